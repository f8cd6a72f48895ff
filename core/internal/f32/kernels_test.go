package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

// dot64 returns the dot product of x and y, and that of their absolute values, in float64.
func dot64(x, y []float32) (dot, size float64) {
	for i, v := range x {
		p := float64(v) * float64(y[i])
		dot += p
		size += math.Abs(p)
	}
	return dot, size
}

// sumError bounds the error of a float32 sum of dim products of the given absolute sum, in any order.
func sumError(dim int, size float64) float64 { return float64(dim+2) * 0x1p-24 * size * 1.001 }

func TestPackPanel(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		l := cpu.Use()
		lanes := shapes[l].lanes
		for dim := 1; dim <= 67; dim++ {
			rows := normals(uint64(dim), (lanes+5)*dim)
			offsets, want := make([]int, lanes), make([]int, lanes)
			for i := range offsets {
				offsets[i] = (i * 7 % (lanes + 5)) * dim // gathered, one row more than once on some levels
			}
			offsets[1] = (lanes + 4) * dim // the last row: reading beyond it would leave the slice
			copy(want, offsets)
			panel, norms := guardedSlice[float32](lanes*dim, -7), guardedSlice[float32](2*lanes, -7)
			packPanel(l, panel.in, norms.in, rows, offsets, dim)
			panel.checkIntact(t)
			norms.checkIntact(t)
			for i, o := range want {
				row := rows[o:][:dim]
				var norm, prefix float64
				for d, v := range row {
					if got := panel.in[d*lanes+i]; got != v {
						t.Fatalf("dim %d, lane %d, element %d: %v, want %v", dim, i, d, got, v)
					}
					norm += float64(v) * float64(v)
					if d%4 == 3 || d == dim-1 {
						prefix += norm
					}
				}
				if got := float64(norms.in[i]); !(math.Abs(got-norm) <= sumError(dim, norm)) {
					t.Fatalf("dim %d, lane %d: norm %v, want %v", dim, i, got, norm)
				}
				if got := float64(norms.in[lanes+i]); !(math.Abs(got-prefix) <= 2*sumError(dim, prefix)) {
					t.Fatalf("dim %d, lane %d: prefix norms %v, want %v", dim, i, got, prefix)
				}
			}
		}
	})
}

func TestTiles(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		l := cpu.Use()
		lanes := shapes[l].lanes
		for _, size := range shapes[l].sizes {
			for dim := 1; dim <= 35; dim++ {
				r := rand.New(rand.NewPCG(uint64(size), uint64(dim)))
				panel, group, bias := fill(lanes*dim, normal(r, 1)), fill(size*dim, normal(r, 1)), fill(size, normal(r, 1))
				ids := make([]int32, size)
				for j := range ids {
					ids[j] = r.Int32()
				}
				dst := guardedSlice[float32](size*lanes, -7)
				scoresTile(l, dst.in, panel, group, bias, dim)
				dst.checkIntact(t)

				state := guardedSlice[float32](3*lanes, -7)
				for i := range lanes { // some lanes already hold better scores
					state.in[i], state.in[lanes+i] = float32(r.NormFloat64()+1), float32(r.NormFloat64()-3)
					state.in[2*lanes+i] = math.Float32frombits(uint32(i))
				}
				old := append([]float32(nil), state.in...)
				nearestTile(l, state.in, panel, group, bias, ids, dim, panel, 4)
				state.checkIntact(t)

				for i := range lanes {
					best, second, id := old[i], old[lanes+i], math.Float32bits(old[2*lanes+i])
					for j := range size {
						x, y := make([]float32, dim), make([]float32, dim)
						for d := range dim {
							x[d], y[d] = panel[d*lanes+i], group[d*size+j]
						}
						s, abs := dot64(x, y)
						s += float64(bias[j])
						got := dst.in[j*lanes+i]
						if tol := sumError(dim+1, abs+math.Abs(float64(bias[j]))); !(math.Abs(float64(got)-s) <= tol) {
							t.Fatalf("size %d, dim %d, lane %d, centroid %d: score %v, want %v ± %v", size, dim, i, j, got, s, tol)
						}
						// The two kinds of tile must agree on every bit of a score, so the rest is exact.
						second = max(second, min(best, got))
						if got > best {
							best, id = got, uint32(ids[j])
						}
					}
					if state.in[i] != best || state.in[lanes+i] != second || math.Float32bits(state.in[2*lanes+i]) != id {
						t.Fatalf("size %d, dim %d, lane %d: best %v, second %v, id %x; want %v, %v, %x", size, dim, i,
							state.in[i], state.in[lanes+i], math.Float32bits(state.in[2*lanes+i]), best, second, id)
					}
				}
			}
		}
	})
}

func TestDots(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		l := cpu.Use()
		for dim := 1; dim <= 130; dim++ {
			for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 17} {
				for rows := 1; rows <= 2; rows++ {
					x, matrix := normals(1, rows*dim), normals(2, n*dim)
					dst := guardedSlice[float32](rows*n, -7)
					dots(l, dst.in, x, matrix, dim)
					dst.checkIntact(t)
					for at, got := range dst.in {
						i, j := at/n, at%n
						want, size := dot64(x[i*dim:][:dim], matrix[j*dim:])
						if tol := float64(dotsDepth(l, dim)+1) * 0x1p-24 * size * 1.001; !(math.Abs(float64(got)-want) <= tol) {
							t.Fatalf("dim %d, %d rows, n %d, at %d, %d: %v, want %v ± %v", dim, rows, n, i, j, got, want, tol)
						}
					}
				}
			}
		}
	})
}

// TestBound attacks the bound that decides which rows float64 must settle: inputs whose rounding errors all point one
// way, cancel, or vanish below the smallest denormal.
func TestBound(t *testing.T) {
	attacks := map[string]func(r *rand.Rand, n, dim int) []float32{
		"normal": func(r *rand.Rand, n, _ int) []float32 { return fill(n, normal(r, 1)) },
		"positive": func(r *rand.Rand, n, _ int) []float32 {
			return fill(n, func() float32 { return 1 + float32(r.IntN(3))*0x1p-23 })
		},
		"each step rounds up by half an ulp": func(_ *rand.Rand, n, dim int) []float32 {
			d := 0
			return fill(n, func() float32 {
				if d++; d%dim == 1 || dim == 1 {
					return 1
				}
				return 0x1.001p-12
			})
		},
		"cancel": func(r *rand.Rand, n, _ int) []float32 {
			d := 0
			return fill(n, func() float32 { d++; return float32(1-2*(d%2)) * (1000 + float32(r.Float64())) })
		},
		"far from the origin in one dimension": func(r *rand.Rand, n, dim int) []float32 {
			x := fill(n, normal(r, 1))
			for i := 0; i < n; i += dim {
				x[i] += 1e4
			}
			return x
		},
		"denormal products": func(r *rand.Rand, n, _ int) []float32 { return fill(n, normal(r, 3e-23)) },
		"every scale": func(r *rand.Rand, n, _ int) []float32 {
			return fill(n, func() float32 { return float32(r.NormFloat64() * math.Pow(10, float64(r.IntN(36)-25))) })
		},
	}
	cputest.EachLevel(t, func(t *testing.T) {
		worst, what := 0.0, ""
		for name, attack := range attacks {
			for _, dim := range []int{1, 2, 5, 16, 64, 384, 1000} {
				r := rand.New(rand.NewPCG(uint64(dim), 1))
				const n, k = 16, 14
				rows, centroids := attack(r, n*dim, dim), attack(r, k*dim, dim)
				b := NewCodebook(centroids, k, dim)
				space, mean := &b.plain, make([]float32, dim)
				if b.centered != nil {
					space, mean = b.centered, b.mean
				}
				space.pack(b.level, dim)
				centered := append([]float32(nil), rows...)
				for i := range n {
					Sub(centered[i*dim:][:dim], mean)
				}
				var p Panels
				p.Pack(centered, dim)
				lanes := shapes[b.level].lanes
				for i := range n {
					row := rows[i*dim:][:dim]
					bound := space.bound.row(p.normsOf(i))
					for _, g := range space.groups {
						scores := make([]float32, maxLanes*g.size)
						scoresTile(b.level, scores, p.data[i/lanes*lanes*dim:][:lanes*dim], space.packed[g.first*dim:][:g.size*dim], space.bias[g.first:][:g.size], dim)
						for j := range g.size {
							if space.bias[g.first+j] == float32(math.Inf(-1)) {
								continue
							}
							c := b.centroid(int(space.ids[g.first+j]))
							var dot, norm float64
							for d, m := range mean {
								x, y := float64(row[d])-float64(m), float64(c[d])-float64(m)
								dot += x * y
								norm += y * y
							}
							err := math.Abs(float64(scores[j*lanes+i%lanes]) - (dot - norm/2))
							if !(err <= bound) {
								t.Fatalf("%s, dim %d: error %g of a score, the bound is %g", name, dim, err, bound)
							}
							if dim >= 64 && err/bound > worst {
								worst, what = err/bound, fmt.Sprintf("%s, dim %d", name, dim)
							}
						}
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

// TestSqDists64 wants the bits of the definition.
func TestSqDists64(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for _, s := range []struct{ rows, dim, points int }{{1, 1, 1}, {3, 2, 2}, {16, 5, 3}, {33, 7, 1}, {70, 31, 4}, {64, 64, 5}, {5, 3, 0}} {
			for _, by := range []float32{1, 1e38, 1e-40} {
				rows, points := scale(normals(1, s.rows*s.dim), by), normals(2, s.points*s.dim)
				var p Panels
				p.Pack(rows, s.dim)
				dst := guardedSlice[float64](s.rows*s.points, -7)
				p.SqDists64(dst.in, points)
				dst.checkIntact(t)
				for j := range s.points {
					for i := range s.rows {
						got, want := dst.in[j*s.rows+i], distance(rows[i*s.dim:][:s.dim], points[j*s.dim:][:s.dim])
						if math.Float64bits(got) != math.Float64bits(want) {
							t.Fatalf("%+v, row %d, point %d: %x, want %x", s, i, j, got, want)
						}
					}
				}
			}
		}
	})
}

// TestElementwise wants the bits of the definition: each operation rounded by itself.
func TestElementwise(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for n := range 130 {
			x, y := guardedSlice[float32](n, -7), normals(2, n)
			dst, before := guardedSlice[float64](n, -7), normals(3, n)
			old := normals(1, n)
			if n > 5 {
				old[5], y[3] = 1e-42, 3e38
			}
			check := func(what string, run func(), want func(i int) float64, got func(i int) float64) {
				t.Helper()
				copy(x.in, old)
				for i, v := range before {
					dst.in[i] = float64(v) / 3
				}
				run()
				x.checkIntact(t)
				dst.checkIntact(t)
				for i := range n {
					if w, g := want(i), got(i); math.Float64bits(w) != math.Float64bits(g) {
						t.Fatalf("%s, n %d, element %d: %v, want %v", what, n, i, g, w)
					}
				}
			}
			inX := func(i int) float64 { return float64(x.in[i]) }
			check("Sub", func() { Sub(x.in, y) }, func(i int) float64 { return float64(old[i] - y[i]) }, inX)
			check("Add", func() { Add(x.in, y) }, func(i int) float64 { return float64(old[i] + y[i]) }, inX)
			const w = 1.0 / 3
			check("Add64", func() { Add64(dst.in, y, w) }, func(i int) float64 {
				p := float64(w * float64(y[i]))
				return float64(before[i])/3 + p
			}, func(i int) float64 { return dst.in[i] })

			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				copy(x.in, old)
				if got := NotFinite(x.in); got != -1 {
					t.Fatalf("NotFinite of %d finite values is %d", n, got)
				}
				for i := n - 1; i >= 0; i -= 1 + n/8 {
					x.in[i] = bad
					if got := NotFinite(x.in); got != i {
						t.Fatalf("NotFinite of %d values with %v at %d is %d", n, bad, i, got)
					}
				}
			}
		}
	})
}

func TestSqDists64At(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for _, dim := range []int{1, 2, 3, 4, 5, 7, 8, 63, 64, 100, 385} {
			x, rows := normals(1, dim), normals(2, 30*dim)
			rows[29*dim] = float32(math.Inf(1))
			for n := range 20 {
				at := make([]int32, n)
				for i := range at {
					at[i] = int32((29 + 11*i) % 30)
				}
				dst := guardedSlice[float64](n, -3)
				SqDists64At(dst.in, x, rows, at)
				dst.checkIntact(t)
				for i, j := range at {
					if want := distance(x, rows[int(j)*dim:][:dim]); dst.in[i] != want {
						t.Fatalf("dim %d, distance %d of %d: got %v, want %v", dim, i, n, dst.in[i], want)
					}
				}
			}
		}
	})
}
