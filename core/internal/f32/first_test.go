package f32

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// kinds16 lists the kernels this CPU and build have.
func kinds16() []kind16 {
	kinds := []kind16{go16, avx216, vnni16}
	if cpu.Use() == cpu.Generic {
		kinds = kinds[:1]
	} else if !cpu.VNNI() {
		kinds = kinds[:2]
	}
	return kinds
}

// TestTile16 takes numbers so small that every score is exact, ties included.
func TestTile16(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	small := func(n int) []int16 {
		x := make([]int16, n)
		for i := range x {
			x[i] = int16(r.IntN(5) - 2)
		}
		return x
	}
	for _, kind := range kinds16() {
		shape := shapes16[kind]
		lanes := shape.lanes
		for _, size := range shape.rows {
			for _, pairs := range []int{4, 8, 20} {
				// Three panels, the last of one vector.
				slots, stride := 5*lanes, Padded16(2*pairs)|32
				rows, centroids := small(size*stride), small(slots*2*pairs)
				alpha, bias := make([]float32, size), make([]float32, slots)
				for i := range alpha {
					alpha[i] = float32(r.IntN(3) + 1)
				}
				for j := range bias {
					bias[j] = float32(r.IntN(9) - 20)
				}
				state := guardedSlice[float32](size*3*lanes, -7)
				for i := range state.in {
					state.in[i] = float32(math.Inf(-1))
				}
				for slot := 0; slot < slots; slot += 2 * lanes {
					width := min(2*lanes, slots-slot)
					panel := make([]uint32, width*pairs)
					for i := range panel {
						c := centroids[(slot+i%width)*2*pairs+2*(i/width):]
						panel[i] = uint32(uint16(c[0])) | uint32(uint16(c[1]))<<16
					}
					nearestTile16(kind, state.in, panel, rows, alpha, bias[slot:][:width], stride, slot, make([]float32, 1), 0)
				}
				state.checkIntact(t)
				best := guardedSlice[float32](3*size, -7)
				best16(kind, best.in, state.in)
				best.checkIntact(t)
				for i := range size {
					scores := make([]float32, slots)
					first, second := float32(math.Inf(-1)), float32(math.Inf(-1))
					for j := range scores {
						for d := range 2 * pairs {
							scores[j] += float32(rows[i*stride+d]) * float32(centroids[j*2*pairs+d])
						}
						scores[j] = scores[j]*alpha[i] + bias[j]
						first, second = max(first, scores[j]), max(second, min(first, scores[j]))
					}
					got := best.in[3*i:]
					if slot := math.Float32bits(got[2]); got[0] != first || got[1] != second || int(slot) >= slots || scores[slot] != first {
						t.Fatalf("kernels %d, %d rows, %d pairs, row %d: best %v, second %v, slot %d; want %v, %v of %v",
							kind, size, pairs, i, got[0], got[1], slot, first, second, scores)
					}
				}
			}
		}
	}
}

// firstScores returns the best score of the first pass for each row, its centroid, the second best, and E.
func firstScores(b *Codebook, rows []float32) (best, second []float32, ids []int32, errs []float64) {
	var t scratch16
	n := len(rows) / b.Dim
	var mean []float32
	if b.centered != nil {
		mean = b.mean
	}
	b.first.search(&t, mean, make([]int32, n), rows, 0)
	for i := range n {
		best, second = append(best, t.best[3*i]), append(second, t.best[3*i+1])
		ids = append(ids, b.first.ids[math.Float32bits(t.best[3*i+2])])
	}
	return best, second, ids, t.errs
}

// lopsided returns vectors that are one value throughout but for the last element, chosen so that, rounded at the scale of
// their norm, each element but one loses almost half a step, all in one direction.
func lopsided(n, dim int) []float32 {
	x := make([]float32, n*dim)
	for i := range n {
		row := x[i*dim:][:dim]
		for d := range row {
			row[d] = 1
		}
		best := 0.0
		var last float32
		for v := float32(1); v < 3; v += 1e-3 {
			row[dim-1] = v + float32(i)*1e-5
			dot, _ := dot64(row, row)
			q := float64(Scale16(math.Sqrt(dot), dim))
			if lost := q - math.Floor(q); lost < 0.5 && lost > best {
				best, last = lost, row[dim-1]
			}
		}
		row[dim-1] = last
	}
	return x
}

// TestFirstPassBound attacks E: no score may be farther from the truth, however the errors of all elements add up.
func TestFirstPassBound(t *testing.T) {
	attacks := map[string]func(r *rand.Rand, n, k, dim int) (rows, centroids []float32){
		"normal": atScale(1, 1),
		"large":  atScale(1e9, 1e9),
		"small":  atScale(1e-9, 1e-9),
		"all rounding in one direction": func(r *rand.Rand, n, k, dim int) (x, c []float32) {
			c = lopsided(k, dim)
			scale(c[k/2*dim:], -1) // their mean is near the origin
			return lopsided(n, dim), c
		},
		"one element beyond 16 bits": func(r *rand.Rand, n, k, dim int) (x, c []float32) {
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
		if choose16(0, 0, 0) == none16 {
			return
		}
		worst, what := 0.0, ""
		for name, attack := range attacks {
			for _, dim := range []int{1, 2, 7, 33, 384, 1000} {
				const n, k = 20, 21
				rows, centroids := attack(rand.New(rand.NewPCG(uint64(dim), 1)), n, k, dim)
				b := NewCodebook(centroids, k, dim)
				if b.first.kind == none16 {
					t.Fatalf("%s, dim %d: no first pass", name, dim)
				}
				mean := make([]float32, dim)
				if b.centered != nil {
					mean = b.mean
				}
				truth := func(row []float32, j int) float64 {
					var dot, norm float64
					for d, m := range mean {
						x, y := float64(row[d])-float64(m), float64(centroids[j*dim+d])-float64(m)
						dot += x * y
						norm += y * y
					}
					return dot - norm/2
				}
				best, second, ids, errs := firstScores(b, rows)
				for i, e := range errs {
					row := rows[i*dim:][:dim]
					off := math.Abs(float64(best[i]) - truth(row, int(ids[i])))
					top := math.Inf(-1) // of the others
					for j := range k {
						if s := truth(row, j); j != int(ids[i]) {
							top = max(top, s)
						}
					}
					if k > 1 && len(b.copies) == 0 {
						off = max(off, math.Abs(float64(second[i])-top))
					}
					if !(off <= e) {
						t.Fatalf("%s, dim %d, row %d: error %g of a score, the bound is %g", name, dim, i, off, e)
					}
					if dim >= 33 && off/e > worst {
						worst, what = off/e, name
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

// TestFewRowsAreLeftOpen counts what the first pass leaves to float32, on data like that of users: points around centers.
func TestFewRowsAreLeftOpen(t *testing.T) {
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
			if b.first.kind == none16 {
				return
			}
			best, second, _, errs := firstScores(b, rows)
			open := 0
			for i, e := range errs {
				if !(float64(best[i])-float64(second[i]) > 2*e) {
					open++
				}
			}
			share := float64(open) / n
			t.Logf("%s: %.2f %% of the rows", name, 100*share)
			if share > 0.03 {
				t.Errorf("%s: the first pass leaves %.2f %% of the rows open, want at most 3 %%", name, 100*share)
			}
		})
	}
}

// TestFirstPassGivesUp takes rows that all lie in the middle between two centroids: the first pass must not go on with them.
func TestFirstPassGivesUp(t *testing.T) {
	const n, k, dim = 3000, 40, 16
	forEachSearch(t, func(t *testing.T) {
		if choose16(0, 0, 0) == none16 {
			return
		}
		r := rand.New(rand.NewPCG(1, 2))
		rows, centroids := fill(n*dim, normal(r, 1)), fill(k*dim, normal(r, 1))
		for i := 0; i < len(rows); i += dim {
			rows[i] = 0
		}
		for j := 0; j < k; j += 2 { // pairs that differ in the sign of the first element
			copy(centroids[(j+1)*dim:][1:dim], centroids[j*dim:][1:dim])
			centroids[(j+1)*dim] = -centroids[j*dim]
		}
		checkNearest(t, "near-ties", rows, centroids, k, dim)

		b := NewCodebook(centroids, k, dim)
		codes := make([]int32, n)
		var s scratch
		if rest, _ := b.nearestFirst(&s, codes, rows); len(rest) < n-shapes16[b.first.kind].rows[0] {
			t.Errorf("the first pass went over %d rows although it left them open", n-len(rest))
		}
		copy(rows, normals(6, n*dim))
		if rest, _ := b.nearestFirst(&s, codes, rows); len(rest) >= few16 {
			t.Errorf("the first pass left out %d rows of %d", len(rest), n)
		}
		checkNearest(t, "several blocks", rows, centroids, k, dim)
	})
}

// TestFirstPassIsChosen holds when codebooks are searched in integers first.
func TestFirstPassIsChosen(t *testing.T) {
	forEachInt16(t, func(t *testing.T) {
		usual := none16
		if cpu.VNNI() {
			usual = vnni16
		} else if cpu.Use() == cpu.AVX2 {
			usual = avx216
		}
		for _, c := range []struct {
			k, dim int
			by     float32
			want   kind16
		}{{256, 384, 1, usual}, {8, 384, 1, none16}, {256, 8, 1, none16}, {256, 384, 1e-20, none16}, {256, 384, 1e20, none16}} {
			b := NewCodebook(scale(normals(1, c.k*c.dim), c.by), c.k, c.dim)
			if b.first.kind != c.want {
				t.Errorf("%+v: kernels %d", c, b.first.kind)
			}
		}
	})
}
