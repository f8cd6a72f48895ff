package f32

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

func TestSqDistsAt(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for dim := 1; dim < 100; dim++ {
			x, rows := normals(1, dim), normals(2, 9*dim)
			for _, at := range [][]int32{{}, {3}, {8, 0}, {1, 1, 1}, {5, 4, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8}} {
				dst := guardedSlice(len(at), float32(-7))
				SqDistsAt(dst.in, x, rows, at)
				for i, j := range at {
					want := SqDist64(x, rows[int(j)*dim:(int(j)+1)*dim])
					if got := float64(dst.in[i]); !(math.Abs(got-want) <= float64(dim+2)*0x1p-24*want) {
						t.Errorf("dim %d, row %d: got %g, want %g", dim, j, got, want)
					}
					if low, high := Below(dst.in[i], dim), Above(dst.in[i], dim); !(low <= math.Sqrt(want) && math.Sqrt(want) <= high) {
						t.Errorf("dim %d, row %d: %g is not within %g and %g", dim, j, math.Sqrt(want), low, high)
					}
					if d := Within(Above(dst.in[i], dim), dim); !(d >= dst.in[i] && Below(math.Nextafter32(d, 1e30), dim) > Above(dst.in[i], dim)) {
						t.Errorf("dim %d, row %d: above %g a distance may still be %g", dim, j, d, Above(dst.in[i], dim))
					}
				}
				dst.checkIntact(t)
			}
		}
	})
}

func TestAtMost(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 3))
		for _, n := range []int{0, 1, 31, 32, 33, 64, 100, 1023, 1024, 1025, 2500} {
			bound, offset := make([]uint16, n), make([]uint16, n)
			for _, limit := range []uint16{0, 1, 100, 32767, 32768, 40000, 65535} {
				for j := range bound {
					bound[j], offset[j] = uint16(rng.Uint32()), uint16(rng.Uint32())>>rng.IntN(16)
					if rng.IntN(2) == 0 { // around the limit, where an off-by-one shows
						bound[j] = uint16(min(65535, max(0, int(limit)+int(offset[j])+rng.IntN(3)-1)))
					}
				}
				var want []int32
				for j := range bound {
					if int(bound[j]) <= min(int(limit)+int(offset[j]), 65535) {
						want = append(want, int32(j))
					}
				}
				at := guardedSlice(n, int32(-1))
				if got := at.in[:AtMost(at.in, bound, offset, limit)]; !slices.Equal(got, want) {
					t.Errorf("%d bounds, limit %d: got %v, want %v", n, limit, got, want)
				}
				at.checkIntact(t)
			}
		}
	})
}

// TestStepsOfScores wants bounds at or below the true distances, and by less than two steps.
func TestStepsOfScores(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		const dim, k, scale = 40, 37, 1000
		for _, n := range []int{1, 7, 16, 33} {
			rows, centroids := normals(6, n*dim), normals(7, k*dim)
			copy(centroids, rows[:dim]) // at distance 0
			book := NewCodebook(centroids, k, dim)
			var p Panels
			p.Pack(rows, dim)
			scores, errs, least := make([]float32, k*n), make([]float32, n), make([]float32, n)
			book.Scores(scores, errs, &p)
			for i := range n {
				least[i] = float32(SqDist64(rows[i*dim:(i+1)*dim], make([]float32, dim))*(1-0x1p-22)) - 2*errs[i]*(1+0x1p-20)
			}
			for j := range k {
				dst := guardedSlice(n, int32(-1))
				StepsOfScores(dst.in, scores[j*n:(j+1)*n], least, scale)
				for i, got := range dst.in {
					want := math.Sqrt(SqDist64(rows[i*dim:(i+1)*dim], centroids[j*dim:(j+1)*dim])) * scale
					if !(float64(got) <= want && (want < 50 || float64(got) > want-3)) {
						t.Errorf("row %d, centroid %d: bound %d, distance %g", i, j, got, want)
					}
				}
				dst.checkIntact(t)
			}
		}
		held := []int32{0}
		if StepsOfScores(held, []float32{-1e20}, []float32{0}, 1e6); held[0] != 65535 {
			t.Errorf("a bound beyond 65535 is held at %d", held[0])
		}
		if StepsOfScores(held, []float32{1}, []float32{0}, 1e6); held[0] != 0 {
			t.Errorf("a bound below 0 is held at %d", held[0])
		}
	})
}
