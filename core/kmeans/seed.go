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

// seedRows is how many rows a centroid k-means++ looks at; it samples that many when there are more.
const seedRows = 16

// plusPlus picks k of the rows as first centroids by greedy k-means++: each next one is the best of 2+ln k rows drawn with
// a chance proportional to weight × squared distance to the nearest centroid so far. When no row is left at a distance
// (fewer distinct rows than k), the lowest rows not yet taken fill up.
func plusPlus(ctx context.Context, all Rows, weights []float64, k int, seed uint64) (core.Matrix, error) {
	rng := rand.New(rand.NewPCG(seed, 0x736565642d726f77))
	rows := sampleRows(all.Len(), max(seedRows*k, 4096), rng)
	n := len(rows)
	x, err := all.gather(ctx, rows)
	if err != nil {
		return core.Matrix{}, err
	}
	weight := make([]float64, n)
	var sum float64
	for i, row := range rows {
		weight[i] = weightOf(weights, row)
		sum += weight[i]
	}
	if sum == 0 { // all sampled rows weigh nothing: they are as good as each other
		for i := range weight {
			weight[i] = 1
		}
	}
	near := make([]float64, n) // squared distance of each sampled row to the nearest centroid so far
	for i := range near {
		near[i] = 1 // the first is drawn by weight alone
	}
	out := core.NewMatrix(k, x.Cols)
	taken := make([]bool, n)
	cumulative := make([]float64, n)
	picks := make([]int, candidates(k))
	dist := make([]float64, n*len(picks)) // row by row: near, were this candidate taken
	for j := range k {
		var total float64
		for i, d := range near {
			total += float64(d * weight[i])
			cumulative[i] = total
		}
		if !(total > 0) {
			i := 0
			for taken[i] {
				i++
			}
			taken[i] = true
			copy(out.Row(j), x.Row(i))
			continue
		}
		for c := range picks {
			picks[c] = draw(cumulative, rng)
		}
		tries := picks
		if j == 0 {
			tries = picks[:1] // no greed in the first: the mean is nobody's cluster
		}
		best, err := greediest(ctx, x, weight, near, dist, tries, j == 0)
		if err != nil {
			return out, err
		}
		taken[picks[best]] = true
		copy(out.Row(j), x.Row(picks[best]))
	}
	return out, nil
}

// greediest returns which of the candidates leaves the least sum of weight × squared distance, and makes near what that
// candidate leaves. first: near says nothing yet.
func greediest(ctx context.Context, x core.Matrix, weight, near, dist []float64, picks []int, first bool) (int, error) {
	m := len(picks)
	at := make([]int32, m)
	for c, i := range picks {
		at[c] = int32(i)
	}
	err := par.Chunks(ctx, x.Rows, taskRows, func(_, lo, hi int) {
		approx := make([]float32, m)
		for i := lo; i < hi; i++ {
			row := x.Row(i)
			f32.SqDistsAt(approx, row, x.Data, at)
			for c, a := range approx {
				d := near[i]
				if low := f32.Below(a, x.Cols); first || !(low*low*(1-1e-12) > d) { // else the exact distance is above near
					e := f32.SqDist64(row, x.Row(int(at[c])))
					if first || e < d {
						d = e
					}
				}
				dist[i*m+c] = d
			}
		}
	})
	if err != nil {
		return 0, err
	}
	best, least := 0, math.Inf(1)
	for c := range m {
		var total float64
		for i, w := range weight {
			total += float64(dist[i*m+c] * w)
		}
		if total < least {
			best, least = c, total
		}
	}
	for i := range near {
		near[i] = dist[i*m+best]
	}
	return best, nil
}

// candidates is how many rows greedy k-means++ weighs up for each centroid (scikit-learn's number).
func candidates(k int) int { return 2 + int(math.Log(float64(k))) }

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
