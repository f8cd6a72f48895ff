package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// forEachGroups runs f with the kernels for groups that every level has, and those in plain Go.
func forEachGroups(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer func(old func(cpu.Level) integers) { chooseGroups = old }(chooseGroups)
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		for _, kind := range kindsOf(l) {
			t.Run(fmt.Sprintf("%v/kind=%d", l, kind), func(t *testing.T) {
				defer cpu.SetForTest(l)()
				chooseGroups = func(cpu.Level) integers { return kind }
				f(t)
			})
		}
	}
}

// TestGroups compares what is said of scores and distances with float64, for rows anywhere and in any order.
func TestGroups(t *testing.T) {
	forEachGroups(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 7))
		for _, c := range []struct {
			k, dim      int
			scale, away float32 // of the elements, and of the center from the origin
		}{{32, 48, 1, 0}, {33, 50, 1, 0}, {47, 100, 1, 30}, {64, 384, 1e-6, 0}, {80, 63, 1e6, 0}, {256, 128, 1, 1000}} {
			rows, centroids, center := normals(1, 40*c.dim), normals(2, c.k*c.dim), make([]float32, c.dim)
			for d := range center {
				center[d] = c.away * c.scale
			}
			for _, x := range [][]float32{rows, centroids} {
				for i := range x {
					x[i] = x[i]*c.scale + center[i%c.dim]
				}
			}
			copy(rows[3*c.dim:][:c.dim], centroids[5*c.dim:][:c.dim]) // at distance 0
			copy(centroids[:c.dim], centroids[9*c.dim:][:c.dim])      // two equal ones
			copy(rows[4*c.dim:][:c.dim], center)                      // nothing to round
			order := make([]int32, c.k)
			for i, j := range rng.Perm(c.k) {
				order[i] = int32(j)
			}
			var g Groups
			if !g.Set(centroids, c.k, c.dim, order, center) {
				t.Fatalf("%+v: not for integers", c)
			}
			words, scratch := g.Words(), make([]float32, c.dim)
			ints, rounded, scales := make([]uint32, 40*words), make([]Rounded, 40), make([]RowScale, 40)
			var list []int32
			for i := range rounded {
				rounded[i] = g.Round(ints[i*words:][:words], rows[i*c.dim:][:c.dim], scratch)
				scales[i] = g.Scale(rounded[i])
				if rounded[i].Fits() {
					list = append(list, int32(i))
				} else if i != 4 {
					t.Errorf("%+v: row %d does not fit", c, i)
				}
			}
			if rounded[4].Fits() {
				t.Errorf("%+v: a row at the center fits", c)
			}
			rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			for n := range len(list) + 1 {
				g.check(t, rows, centroids, center, order, list[:n], ints, rounded, scales)
			}
		}
	})
}

// check scores the listed rows in all groups.
func (g *Groups) check(t *testing.T, rows, centroids, center []float32, order, list []int32, ints []uint32, rounded []Rounded, scales []RowScale) {
	t.Helper()
	n, dim := len(list), len(center)
	minus := func(x []float32) []float32 {
		x = append([]float32(nil), x...)
		Sub(x, center)
		return x
	}
	zero := make([]float32, dim)
	g.checkPairs(t, list, ints, scales, len(order))
	for group := 0; group*GroupSize < len(order); group++ {
		best, up := guardedSlice(n, Best{Low: -7}), guardedSlice[float32](n*GroupSize, -7)
		g.Score(best.in, up.in, group, list, ints, g.Words(), scales)
		best.checkIntact(t)
		up.checkIntact(t)
		for i, r := range list {
			row := rows[int(r)*dim:][:dim]
			x := minus(row)
			norm := SqDist64(x, zero)
			top, second, most := math.Inf(-1), math.Inf(-1), math.Inf(-1)
			b := best.in[i]
			for slot, j := range order[group*GroupSize:][:min(GroupSize, len(order)-group*GroupSize)] {
				y := minus(centroids[int(j)*dim:][:dim])
				length := SqDist64(y, zero)
				score := (norm + length - SqDist64(x, y) - length) / 2
				allowed := 0.05 * (norm + length) // of 8 bits
				high := float64(up.in[i*GroupSize+slot])
				if !(score <= high && high <= score+allowed) {
					t.Fatalf("row %d, centroid %d: score %g is at most %g", r, j, score, high)
				}
				most = max(most, high)
				if int32(slot) == b.At {
					top = score
					if float64(b.Most) != high || !(float64(b.Low) <= score && float64(b.Low) >= score-allowed) {
						t.Fatalf("row %d, centroid %d: score %g lies within %g and %g", r, j, score, b.Low, b.Most)
					}
				} else {
					second = max(second, high)
				}
				// What Least and Distance make of the scores are bounds of the distance of the row itself.
				distance := math.Sqrt(SqDist64(row, centroids[int(j)*dim:][:dim]))
				steps := []int32{0}
				StepsOfScores(steps, []float32{float32(high)}, []float32{g.Least(rounded[r])}, float32(1000/math.Sqrt(norm)))
				if low := float64(steps[0]) / 1000 * math.Sqrt(norm); !(low <= distance) {
					t.Fatalf("row %d, centroid %d: distance %g is at least %g", r, j, distance, low)
				}
				if int32(slot) == b.At {
					if d := g.Distance(rounded[r], b.Low); !(distance <= d) {
						t.Fatalf("row %d, centroid %d: distance %g is at most %g", r, j, distance, d)
					}
				}
			}
			if float64(b.Most) != most || math.IsInf(top, -1) || second != math.Inf(-1) && float64(b.Next) != second {
				t.Fatalf("row %d, group %d: got %+v, want %g and %g", r, group, b, most, second)
			}
			if last := len(order) % GroupSize; group == len(order)/GroupSize && !(up.in[i*GroupSize+last] < b.Low) {
				t.Fatalf("row %d: a centroid that is none scores %g", r, up.in[i*GroupSize+last])
			}
		}
	}
}

// checkPairs compares what is said of rows and one centroid each with what is said of their groups.
func (g *Groups) checkPairs(t *testing.T, list []int32, ints []uint32, scales []RowScale, k int) {
	t.Helper()
	n := len(list)
	slots := make([]int32, n)
	for i := range slots {
		slots[i] = int32((7*i + n) % k)
	}
	low, most := guardedSlice[float32](n, -7), guardedSlice[float32](n, -7)
	g.ScorePairs(low.in, most.in, list, slots, ints, g.Words(), scales)
	low.checkIntact(t)
	most.checkIntact(t)
	up := make([]float32, GroupSize)
	for i, r := range list {
		best := make([]Best, 1)
		g.Score(best, up, int(slots[i]/GroupSize), []int32{r}, ints, g.Words(), scales)
		if want := float64(up[slots[i]%GroupSize]); math.Abs(float64(most.in[i])-want) > 1e-5*math.Abs(want) {
			t.Fatalf("row %d, slot %d: a score of at most %g, in its group %g", r, slots[i], most.in[i], want)
		}
		if best[0].At == slots[i]%GroupSize && math.Abs(float64(low.in[i]-best[0].Low)) > 1e-5*math.Abs(float64(best[0].Most)) {
			t.Fatalf("row %d, slot %d: a score of at least %g, in its group %g", r, slots[i], low.in[i], best[0].Low)
		}
	}
}

func TestGroupsOfEqualCentroids(t *testing.T) {
	forEachGroups(t, func(t *testing.T) {
		const k, dim = 32, 64
		centroids, order := make([]float32, k*dim), make([]int32, k)
		for j := range order {
			order[j] = int32(j)
			copy(centroids[j*dim:], normals(3, dim))
		}
		var g Groups
		g.Set(centroids, k, dim, order, make([]float32, dim))
		ints, best, up := make([]uint32, g.Words()), make([]Best, 1), make([]float32, GroupSize)
		r := g.Round(ints, normals(4, dim), make([]float32, dim))
		g.Score(best, up, 1, []int32{0}, ints, g.Words(), []RowScale{g.Scale(r)})
		if best[0].At != 0 || best[0].Next != best[0].Most {
			t.Errorf("got %+v, want the first, and another as good", best[0])
		}
		if g.Set(make([]float32, k*dim), k, dim, order, make([]float32, dim)) {
			t.Error("centroids at the center are taken for integers")
		}
	})
}

// BenchmarkGroups is one group for 256 rows out of 512.
func BenchmarkGroups(b *testing.B) {
	const k, dim, n = 256, 384, 512
	rows, centroids, order := normals(1, n*dim), normals(2, k*dim), make([]int32, k)
	for j := range order {
		order[j] = int32(j)
	}
	for l := cpu.AVX2; l <= cpu.Supported(); l++ {
		b.Run(l.String(), func(b *testing.B) {
			defer cpu.SetForTest(l)()
			var g Groups
			g.Set(centroids, k, dim, order, make([]float32, dim))
			ints, scales, list := make([]uint32, n*g.Words()), make([]RowScale, n), []int32(nil)
			for i := range n {
				scales[i] = g.Scale(g.Round(ints[i*g.Words():][:g.Words()], rows[i*dim:][:dim], make([]float32, dim)))
				if i%2 == 0 {
					list = append(list, int32(i))
				}
			}
			best, up := make([]Best, n), make([]float32, n*GroupSize)
			for i := range b.N {
				g.Score(best, up, i%16, list, ints, g.Words(), scales)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(list)), "ns/row")
		})
	}
}
