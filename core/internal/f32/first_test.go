package f32

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

// kindsOf lists the kernels for integers that a level has on this CPU.
func kindsOf(l cpu.Level) []integers {
	kinds := []integers{go16, go8}
	if l >= cpu.AVX2 {
		kinds = append(kinds, avx2x16)
	}
	if l == cpu.AVX512 && cpu.VNNI() {
		kinds = append(kinds, vnni8)
	}
	return kinds
}

// TestBracketTile takes numbers so small that every result is exact.
func TestBracketTile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range kindsOf(cpu.Use()) {
		shape := shapesInt[kind]
		lanes := shape.lanes
		for _, size := range shape.rows {
			for _, words := range []int{4, 8, 20} {
				slots, stride := 5*lanes, words+16 // three panels, the last of one vector
				rows, centroids := make([]uint32, size*stride), make([]uint32, slots*words)
				zero := int64(0) // what a row holds for 0
				if shape.perWord == 4 {
					zero = 128
				}
				element := func(words []uint32, i int, row bool) int64 {
					switch {
					case shape.perWord == 2:
						return int64(as16(words)[i])
					case row:
						return int64(as8(words)[i])
					}
					return int64(int8(as8(words)[i]))
				}
				mask := map[int]uint32{2: 0x000f000f, 4: 0x0f0f0f0f}[shape.perWord]
				for i := range rows {
					rows[i] = r.Uint32() & mask
				}
				for i := range centroids {
					centroids[i] = r.Uint32() & mask
					if shape.perWord == 2 {
						as16(centroids)[2*i] = -as16(centroids)[2*i]
					} else {
						as8(centroids)[4*i] = -as8(centroids)[4*i]
					}
				}
				if shape.perWord == 4 { // the greatest and least bytes there are
					for i := range 4 * words {
						as8(rows)[i], as8(centroids)[i], as8(centroids[words:])[i] = 255, 0x7f, 0x81
					}
				}
				params, table := make([]float32, size*perRow), make([]float32, slots*perCentroid)
				for i := range params {
					params[i] = float32(r.IntN(3) + 1)
				}
				field := func(j, n int) *float32 { return &table[(j/lanes*perCentroid+n)*lanes+j%lanes] }
				for j := range slots {
					for n, most := range []int{2, 3, 3, 9} {
						*field(j, n) = float32(r.IntN(most) + 1)
					}
					*field(j, 4) = math.Float32frombits(uint32(int32(-zero) * 3))
				}
				low, up := guardedSlice[float32](size*lanes, -7), guardedSlice[float32](size*slots, -7)
				for i := range low.in {
					low.in[i] = float32(math.Inf(-1))
				}
				for slot := 0; slot < slots; slot += 2 * lanes {
					width := min(2*lanes, slots-slot)
					panel := make([]uint32, width*words)
					for i := range panel {
						panel[i] = centroids[(slot+i%width)*words+i/width]
					}
					bracketTile(kind, low.in, up.in[slot:], panel, rows, params, table[slot*perCentroid:][:width*perCentroid], slots, stride, make([]float32, 1), 0)
				}
				low.checkIntact(t)
				up.checkIntact(t)
				for i := range size {
					x := params[i*perRow:]
					least := make([]float64, lanes)
					for l := range least {
						least[l] = math.Inf(-1)
					}
					for j := range slots {
						dot := -3 * zero
						for d := range words * shape.perWord {
							dot += element(rows[i*stride:][:words], d, true) * element(centroids[j*words:][:words], d, false)
						}
						s := float64(x[0])*float64(*field(j, 0))*float64(dot) + float64(*field(j, 3))
						e := float64(x[1])*float64(*field(j, 1)) + float64(x[2])*float64(*field(j, 2)) + float64(x[3])
						if got := up.in[i*slots+j]; float64(got) != s+e {
							t.Fatalf("kernels %d, %d rows, %d words, row %d, centroid %d: at most %v, want %v", kind, size, words, i, j, got, s+e)
						}
						least[j%lanes] = max(least[j%lanes], s-e)
					}
					for l, want := range least {
						if got := low.in[i*lanes+l]; float64(got) != want {
							t.Fatalf("kernels %d, %d rows, %d words, row %d, lane %d: at least %v, want %v", kind, size, words, i, l, got, want)
						}
					}
					mask := guardedSlice[uint8](slots/8, 7)
					survivors(kind, mask.in, low.in[i*lanes:][:lanes], up.in[i*slots:][:slots])
					mask.checkIntact(t)
					limit := float32(math.Inf(-1))
					for _, v := range low.in[i*lanes:][:lanes] {
						limit = max(limit, v)
					}
					for j, v := range up.in[i*slots:][:slots] {
						if got := mask.in[j/8]>>(j%8)&1 == 1; got != (v >= limit) {
							t.Fatalf("kernels %d: %v survives %v: %v", kind, v, limit, got)
						}
					}
				}
			}
		}
	}
}

func TestMeasure(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for dim := 1; dim <= 130; dim++ {
			for at := range dim {
				x := normals(uint64(dim), dim)
				x[at] = float32(10 - 20*(at%2))
				sum, most := measure(x)
				want, _ := dot64(x, x)
				if most != 10 || !(math.Abs(float64(sum)-want) <= sumError(dim, want)) {
					t.Fatalf("dim %d: sum %v, greatest %v; want %v, 10", dim, sum, most, want)
				}
			}
		}
	})
}

func TestQuantize8(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for dim := 1; dim <= 130; dim++ {
			for name, row := range map[string][]float32{
				"normal":   normals(uint64(dim), dim),
				"halves":   fill(dim, func() float32 { return 2.5 }), // to even
				"greatest": fill(dim, func() float32 { return -127 }),
			} {
				const scale = 1
				if name == "normal" {
					for i := range row {
						row[i] *= 20
					}
				}
				dst := guardedSlice[uint8]((dim+15)&^15, 7)
				sum := quantize8(dst.in, row, scale)
				dst.checkIntact(t)
				var want float64
				for i, q := range dst.in {
					n := 0.0
					if i < dim {
						n = math.RoundToEven(float64(row[i]))
						want += (float64(row[i]) - n) * (float64(row[i]) - n)
					}
					if float64(q) != n+128 {
						t.Fatalf("%s, dim %d: element %d is %d, want %v", name, dim, i, q, n+128)
					}
				}
				if got := sqError16(sum, dim); !(got >= want && got <= want*(1+1e-4)+1e-40) {
					t.Errorf("%s, dim %d: bound %g of the squared error %g", name, dim, got, want)
				}
			}
		}
	})
}

// lopsided returns vectors that are one value throughout but for the last element, chosen so that, rounded at the scale of
// their norm, each element but one loses almost half a step, all in one direction.
func lopsided(n, dim, perWord int) []float32 {
	x := make([]float32, n*dim)
	for i := range n {
		row := x[i*dim:][:dim]
		for d := range row {
			row[d] = 1
		}
		best := 0.0
		var last float32
		for v := 1 + float32(i)*1e-5; v < 3; v += 1e-3 {
			q := float64(scale16(math.Sqrt(float64(dim-1)+float64(v)*float64(v)), dim))
			if perWord == 4 {
				q = 127 / float64(v)
			}
			if lost := q - math.Floor(q); lost < 0.5 && lost > best {
				best, last = lost, v
			}
		}
		row[dim-1] = last
	}
	return x
}

// TestFirstPassBound attacks E: no score may be farther from the truth, however the errors of all elements add up.
func TestFirstPassBound(t *testing.T) {
	perWord := 2
	attacks := map[string]func(r *rand.Rand, n, k, dim int) (rows, centroids []float32){
		"normal": atScale(1, 1),
		"large":  atScale(1e9, 1e9),
		"small":  atScale(1e-9, 1e-9),
		"all rounding in one direction": func(r *rand.Rand, n, k, dim int) (x, c []float32) {
			c = lopsided(k, dim, perWord)
			scale(c[k/2*dim:], -1) // their mean is near the origin
			return lopsided(n, dim, perWord), c
		},
		"one element far greater than the others": func(r *rand.Rand, n, k, dim int) (x, c []float32) {
			x, c = fill(n*dim, normal(r, 1e-3)), fill(k*dim, normal(r, 1e-3))
			for i := range n {
				x[i*dim] = 1
			}
			for j := range k {
				c[j*dim+j%2] = 1
			}
			return x, c
		},
		"one long centroid": func(r *rand.Rand, n, k, dim int) (x, c []float32) {
			x, c = fill(n*dim, normal(r, 1)), fill(k*dim, normal(r, 1e-3))
			scale(c[:dim], 1e3)
			return x, c
		},
		"far from the origin": func(r *rand.Rand, n, k, dim int) (x, c []float32) {
			f := func() float32 { return float32(100 + r.NormFloat64()) }
			return fill(n*dim, f), fill(k*dim, f)
		},
	}
	forEachSearch(t, func(t *testing.T) {
		kind := chooseIntegers(0, 0, 0)
		if kind == noIntegers {
			return
		}
		perWord = shapesInt[kind].perWord
		worst, what := 0.0, ""
		for name, attack := range attacks {
			for _, dim := range []int{1, 2, 7, 33, 384} {
				const n, k = 20, 21
				rows, centroids := attack(rand.New(rand.NewPCG(uint64(dim), 1)), n, k, dim)
				b := NewCodebook(centroids, k, dim)
				f := &b.first
				if f.kind == noIntegers {
					t.Fatalf("%s, dim %d: no first pass", name, dim)
				}
				mean := make([]float32, dim)
				if b.centered != nil {
					mean = b.mean
				}
				var s scratchInt
				b.searchIntegers(&s, make([]int32, n), rows, 0)
				for i := range n {
					most, least := math.Inf(-1), math.Inf(-1)
					for slot, j := range f.ids {
						var dot, norm float64
						for d, m := range mean {
							x, y := float64(rows[i*dim+d])-float64(m), float64(centroids[int(j)*dim+d])-float64(m)
							dot += x * y
							norm += y * y
						}
						truth := dot - norm/2
						most = max(most, truth)
						e := float64(s.params[i*perRow+3])
						lanes := shapesInt[kind].lanes
						for n := 1; n <= 2; n++ {
							e += float64(s.params[i*perRow+n]) * float64(f.table[(slot/lanes*perCentroid+n)*lanes+slot%lanes])
						}
						up := float64(s.up[i*f.slots+slot])
						off := math.Abs(up - e - truth)
						if !(up >= truth && off <= e*(1+1e-5)) {
							t.Fatalf("%s, dim %d, row %d, centroid %d: error %g of a score, the bound is %g", name, dim, i, j, off, e)
						}
						if dim >= 33 && off/e > worst {
							worst, what = off/e, name
						}
					}
					for _, v := range s.low[i*shapesInt[kind].lanes:][:shapesInt[kind].lanes] {
						least = max(least, float64(v))
					}
					if !(least <= most) {
						t.Fatalf("%s, dim %d, row %d: the best score is %g, but at least %g", name, dim, i, most, least)
					}
				}
			}
		}
		t.Logf("the worst error was %.2f of the bound (%s)", worst, what)
		if worst < 0.9 {
			t.Error("no attack comes near the bound: it or they are too weak to say anything")
		}
	})
}

// TestFewCentroidsAreLeft counts what the first pass leaves open, on data like that of users: points around centers.
func TestFewCentroidsAreLeft(t *testing.T) {
	const n, k, dim = 2000, 64, 384
	r := rand.New(rand.NewPCG(1, 2))
	for name, offset := range map[string]float32{"around the origin": 0, "far from the origin": 100} {
		centers := fill(40*dim, normal(r, 1))
		rows := make([]float32, 0, n*dim)
		for i := range n {
			for d := range dim {
				rows = append(rows, centers[i%40*dim+d]+float32(r.NormFloat64())+offset)
			}
		}
		forEachSearch(t, func(t *testing.T) {
			b := NewCodebook(rows[:k*dim], k, dim)
			kind := b.first.kind
			if kind == noIntegers {
				return
			}
			var s scratchInt
			left, lanes := 0, shapesInt[kind].lanes
			for i := 0; i < n; i += 100 {
				b.searchIntegers(&s, make([]int32, 100), rows[i*dim:], i)
				for i := range 100 {
					mask := make([]uint8, b.first.slots/8)
					survivors(kind, mask, s.low[i*lanes:][:lanes], s.up[i*b.first.slots:][:b.first.slots])
					for _, m := range mask {
						left += bits.OnesCount8(m)
					}
				}
			}
			more, most := float64(left)/n-1, map[int]float64{2: 0.02, 4: 1}[shapesInt[kind].perWord]
			t.Logf("%s: %.3f centroids a row besides the nearest, %d rows open", name, more, len(s.open))
			if more > most || len(s.open) > 0 {
				t.Errorf("%s: the first pass leaves %.3f centroids a row besides the nearest, want at most %g; and %d rows open", name, more, most, len(s.open))
			}
		})
	}
}

// TestFirstPassGivesUp takes two bunches of centroids, each too narrow for integers: the first pass must not go on.
func TestFirstPassGivesUp(t *testing.T) {
	const n, k, dim = 3000, 40, 16
	forEachSearch(t, func(t *testing.T) {
		if chooseIntegers(0, 0, 0) == noIntegers {
			return
		}
		rows, centroids := normals(1, n*dim), scale(normals(2, k*dim), 1e-5)
		for j := range k {
			for d := range dim {
				centroids[j*dim+d] += float32(1 - 2*(j%2))
			}
		}
		checkNearest(t, "near-ties", rows, centroids, k, dim)

		b := NewCodebook(centroids, k, dim)
		codes := make([]int32, n)
		var s scratch
		if rest, _ := b.nearestFirst(&s, codes, rows); len(rest) < n-shapesInt[b.first.kind].rows[0] {
			t.Errorf("the first pass went over %d rows although it left them open", n-len(rest))
		}
		centroids = normals(6, k*dim)
		b.Set(centroids, k, dim)
		if rest, _ := b.nearestFirst(&s, codes, rows); len(rest) >= fewTile {
			t.Errorf("the first pass left out %d rows of %d", len(rest), n)
		}
		checkNearest(t, "several blocks", rows, centroids, k, dim)
	})
}

// TestFirstPassIsChosen holds when codebooks are searched in integers first.
func TestFirstPassIsChosen(t *testing.T) {
	forEachInt16(t, func(t *testing.T) {
		usual := noIntegers
		if cpu.VNNI() {
			usual = vnni8
		} else if cpu.Use() == cpu.AVX2 {
			usual = avx2x16
		}
		for _, c := range []struct {
			k, dim int
			by     float32
			want   integers
		}{{256, 384, 1, usual}, {8, 384, 1, noIntegers}, {256, 8, 1, noIntegers}, {256, 384, 1e-20, noIntegers}, {256, 384, 1e20, noIntegers}} {
			b := NewCodebook(scale(normals(1, c.k*c.dim), c.by), c.k, c.dim)
			if b.first.kind != c.want {
				t.Errorf("%+v: kernels %d", c, b.first.kind)
			}
		}
	})
}
