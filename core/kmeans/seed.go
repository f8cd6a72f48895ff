package kmeans

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// seedRows is how many rows per centroid seeding looks at; it samples that many when there are more.
const seedRows = 64

// plusPlus picks K rows of x as first centroids by greedy k-means++: each next one is the best of 2+ln K rows drawn with
// a chance proportional to weight × squared distance to the nearest centroid so far. When nothing is left at a distance
// (fewer distinct rows than K), the lowest rows not yet taken fill up.
func plusPlus(ctx context.Context, x core.Matrix, weights []float64, k int, seed uint64) (core.Matrix, error) {
	rng := rand.New(rand.NewPCG(seed, 0x736565642d726f77))
	rows := sampleRows(x.Rows, max(seedRows*k, 4096), rng)
	n, dim := len(rows), x.Cols
	out := core.NewMatrix(k, dim)
	near := make([]float64, n) // squared distance of each sampled row to the nearest centroid so far
	for i := range near {
		near[i] = 1 // the first is drawn by weight alone
	}
	candidates := 2 + int(math.Log(float64(k)))
	dist := make([][]float64, candidates)
	for c := range dist {
		dist[c] = make([]float64, n)
	}
	cumulative := make([]float64, n)
	taken := make([]bool, n)
	for j := range k {
		if j == 1 {
			candidatesAll := par.Chunks(ctx, n, taskRows, func(_, lo, hi int) {
				for i := lo; i < hi; i++ {
					near[i] = f32.SqDist64(x.Row(rows[i]), out.Row(0))
				}
			})
			if candidatesAll != nil {
				return out, candidatesAll
			}
		}
		var total float64
		for i, d := range near {
			total += float64(d * weightOf(weights, rows[i]))
			cumulative[i] = total
		}
		if !(total > 0) {
			fill := 0
			for taken[fill] {
				fill++
			}
			taken[fill] = true
			copy(out.Row(j), x.Row(rows[fill]))
			continue
		}
		if j == 0 {
			i := draw(cumulative, rng)
			taken[i] = true
			copy(out.Row(0), x.Row(rows[i]))
			continue
		}
		best, bestTotal := 0, math.Inf(1)
		picks := make([]int, candidates)
		for c := range picks {
			picks[c] = draw(cumulative, rng)
			err := par.Chunks(ctx, n, taskRows, func(_, lo, hi int) {
				for i := lo; i < hi; i++ {
					dist[c][i] = min(near[i], f32.SqDist64(x.Row(rows[i]), x.Row(rows[picks[c]])))
				}
			})
			if err != nil {
				return out, err
			}
			var t float64
			for i, d := range dist[c] {
				t += float64(d * weightOf(weights, rows[i]))
			}
			if t < bestTotal {
				best, bestTotal = c, t
			}
		}
		taken[picks[best]] = true
		copy(out.Row(j), x.Row(rows[picks[best]]))
		near, dist[best] = dist[best], near
	}
	return out, nil
}

// draw returns an index with a chance proportional to the step of cumulative at it.
func draw(cumulative []float64, rng *rand.Rand) int {
	u := rng.Float64() * cumulative[len(cumulative)-1]
	i := sort.Search(len(cumulative), func(i int) bool { return cumulative[i] > u })
	return min(i, len(cumulative)-1)
}

// sampleRows draws m of n row numbers without replacement, ascending; all of them when m >= n.
func sampleRows(n, m int, rng *rand.Rand) []int {
	rows := make([]int, 0, min(n, m))
	for i := range n { // selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S)
		if m >= n || rng.Float64()*float64(n-i) < float64(m-len(rows)) {
			rows = append(rows, i)
		}
	}
	return rows
}
