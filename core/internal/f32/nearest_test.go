package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// checkBounds holds codes and bounds against the definition. It returns how much farther apart the bounds of the code's
// own distance are than they need be, relative to the distance, at worst.
func checkBounds(t *testing.T, what string, codes []int32, upper, lower, rows, centroids []float32, k, dim int) (loose float64) {
	t.Helper()
	for i, got := range codes {
		row := rows[i*dim:][:dim]
		if want := oracle(row, centroids, k); got != want {
			t.Fatalf("%s: row %d: code %d, want %d", what, i, got, want)
		}
		own := math.Sqrt(distance(row, centroids[int(got)*dim:][:dim]))
		if !(float64(upper[i]) >= own*(1-1e-12)) && own == own {
			t.Fatalf("%s: row %d: upper bound %g of the distance %g", what, i, upper[i], own)
		}
		loose = max(loose, float64(upper[i])/own-1)
		for j := range k {
			c := centroids[j*dim:][:dim]
			if j == int(got) || equal(c, centroids[int(got)*dim:][:dim]) {
				continue
			}
			if other := math.Sqrt(distance(row, c)); !(float64(lower[i]) <= other*(1+1e-12)) && other == other {
				t.Fatalf("%s: row %d: lower bound %g of the distance %g to centroid %d", what, i, lower[i], other, j)
			}
		}
	}
	return loose
}

func TestNearestBounds(t *testing.T) {
	cases := append([]hardCase{{"normal", atScale(1, 1)}}, hardCases...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			forEachLevel(t, func(t *testing.T) {
				for _, s := range []struct{ n, k, dim int }{{1, 1, 1}, {70, 40, 1}, {70, 3, 2}, {5, 14, 16}, {70, 33, 33}, {20, 100, 64}, {20, 5, 384}} {
					r := rand.New(rand.NewPCG(uint64(s.k), uint64(s.dim)))
					rows, centroids := c.make(r, s.n, s.k, s.dim)
					b := NewCodebook(centroids, s.k, s.dim)
					codes := guardedSlice[int32](s.n, -7)
					upper, lower := guardedSlice[float32](s.n, -7), guardedSlice[float32](s.n, -7)
					checkGuards := func() { codes.checkIntact(t); upper.checkIntact(t); lower.checkIntact(t) }

					b.NearestBounds(codes.in, upper.in, lower.in, rows)
					checkGuards()
					loose := checkBounds(t, fmt.Sprintf("%+v", s), codes.in, upper.in, lower.in, rows, centroids, s.k, s.dim)
					if c.name == "normal" && s.dim > 16 && loose > 3e-6+5e-8*float64(s.dim) {
						t.Errorf("%+v: upper bounds are %g too high", s, loose)
					}

					var p Panels
					index := make([]int32, s.n)
					gathered := make([]float32, 0, len(rows))
					for i := range index {
						index[i] = int32(r.IntN(s.n))
						gathered = append(gathered, rows[int(index[i])*s.dim:][:s.dim]...)
					}
					p.PackIndex(rows, s.dim, index)
					b.NearestPanels(codes.in, upper.in, lower.in, &p)
					checkGuards()
					checkBounds(t, fmt.Sprintf("panels, %+v", s), codes.in, upper.in, lower.in, gathered, centroids, s.k, s.dim)
					clear(codes.in)
					b.NearestPanels(codes.in, nil, nil, &p)
					checkBounds(t, fmt.Sprintf("panels, codes only, %+v", s), codes.in, upper.in, lower.in, gathered, centroids, s.k, s.dim)
				}
			})
		})
	}
}

// TestFewRowsNeedFloat64 counts the rows that float32 leaves open, on data like that of users: points around centers,
// unit length, and the same far from the origin.
func TestFewRowsNeedFloat64(t *testing.T) {
	const n, k, dim = 2000, 64, 96
	for _, c := range []struct {
		name   string
		offset float32
		most   float64
	}{{"unit length", 0, 0.01}, {"far from the origin", 100, 0.01}} {
		t.Run(c.name, func(t *testing.T) {
			forEachLevel(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				centers := fill(40*dim, normal(r, 1))
				rows := make([]float32, 0, n*dim)
				for range n {
					center, x := centers[r.IntN(40)*dim:], make([]float32, dim)
					var norm float64
					for d := range x {
						x[d] = center[d] + float32(r.NormFloat64())
						norm += float64(x[d]) * float64(x[d])
					}
					for d := range x {
						x[d] = x[d]/float32(math.Sqrt(norm)) + c.offset
					}
					rows = append(rows, x...)
				}
				b := NewCodebook(rows[:k*dim], k, dim)
				var s scratch
				open := 0
				codes := make([]int32, 100)
				for lo := 0; lo < n; lo += len(codes) {
					b.nearestBlock(&s, codes, rows[lo*dim:])
					for _, f := range s.flagged {
						if f {
							open++
						}
					}
				}
				share := float64(open) / n
				t.Logf("%.2f %% of the rows", 100*share)
				if share > c.most {
					t.Errorf("float32 leaves %.2f %% of the rows open, want at most %.2f %%", 100*share, 100*c.most)
				}
			})
		})
	}
}

func TestScores(t *testing.T) {
	for _, c := range append([]hardCase{{"normal", atScale(1, 1)}}, hardCases...) {
		t.Run(c.name, func(t *testing.T) {
			forEachLevel(t, func(t *testing.T) {
				for _, s := range []struct{ n, k, dim int }{{1, 1, 1}, {70, 40, 2}, {33, 29, 9}, {5, 14, 64}} {
					rows, centroids := c.make(rand.New(rand.NewPCG(uint64(s.k), uint64(s.dim))), s.n, s.k, s.dim)
					var p Panels
					p.Pack(rows, s.dim)
					dst, errs := guardedSlice[float32](s.n*s.k, -7), guardedSlice[float32](s.n, -7)
					NewCodebook(centroids, s.k, s.dim).Scores(dst.in, errs.in, &p)
					dst.checkIntact(t)
					errs.checkIntact(t)
					for i, e := range errs.in {
						if e <= 0 || e != e {
							t.Fatalf("%+v: row %d: error %v", s, i, e)
						}
						row := rows[i*s.dim:][:s.dim]
						for j := range s.k {
							dot, _ := dot64(row, centroids[j*s.dim:])
							norm, _ := dot64(centroids[j*s.dim:][:s.dim], centroids[j*s.dim:])
							if got, want := float64(dst.in[j*s.n+i]), dot-norm/2; float64(e) < math.Inf(1) && !(math.Abs(got-want) <= float64(e)) {
								t.Fatalf("%+v: row %d, centroid %d: %g, want %g ± %g", s, i, j, got, want, e)
							}
						}
					}
					if c.name == "normal" && errs.in[0] > 3e-4 {
						t.Errorf("%+v: error %g", s, errs.in[0])
					}
				}
			})
		})
	}
}
