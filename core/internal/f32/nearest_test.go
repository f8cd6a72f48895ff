package f32

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

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
			cputest.EachLevel(t, func(t *testing.T) {
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
			cputest.EachLevel(t, func(t *testing.T) {
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
