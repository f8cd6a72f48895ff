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

const (
	seedRows    = 16   // rows a centroid that k-means++ looks at, when there are more, and
	seedLeast   = 4096 // so many at least, or
	sketchLeast = 1024 // of a sketch: with all 3,686 embeddings fits in 32 to 128 clusters end no lower
)

// seedsOf is how many of the rows k-means++ looks at.
func seedsOf(rows, dim, k int, few bool) int {
	least := seedLeast
	if sketched(dim, few) {
		least = sketchLeast
	}
	return min(rows, max(seedRows*k, least))
}

// plusPlus picks k of the rows, of a sample of so many seeds, as first centroids by greedy k-means++: each next one is the
// best of 2+ln k rows drawn with a chance proportional to weight × squared distance to the nearest centroid so far. When no
// row is left at a distance (fewer distinct rows than k), the lowest rows not yet taken fill up.
func plusPlus(ctx context.Context, all Rows, weights []float64, k, seeds int, seed uint64) (core.Matrix, error) {
	rng := rand.New(rand.NewPCG(seed, 0x736565642d726f77))
	rows := sampleRows(all.Len(), seeds, rng)
	n := len(rows)
	x, err := all.gather(ctx, rows)
	if err != nil {
		return core.Matrix{}, err
	}
	g := newGreedy(x, candidates(k))
	weight, near := g.weight, g.near
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
	for i := range near {
		near[i] = 1 // the first is drawn by weight alone
	}
	out := core.NewMatrix(k, x.Cols)
	taken := make([]bool, n)
	cumulative := make([]float64, n)
	picks := make([]int, candidates(k))
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
		best := 0
		if j == 0 {
			err = g.first(ctx, picks[0]) // no greed in the first: the mean is nobody's cluster
		} else {
			best, err = g.best(ctx, picks)
		}
		if err != nil {
			return out, err
		}
		taken[picks[best]] = true
		copy(out.Row(j), x.Row(picks[best]))
	}
	return out, nil
}

// greedy weighs candidates up for k-means++.
type greedy struct {
	x      core.Matrix
	weight []float64
	near   []float64 // squared distance of each row to the nearest centroid so far
	norms  []float64 // squared norm of each row
	panels []f32.Panels
	book   f32.Codebook
	chunks []seedChunk // as panels, of taskRows rows each
	picked []float32   // the candidates, row after row
}

// seedChunk is what some rows have to say about the candidates.
type seedChunk struct {
	scores, errs []float32
	least        []float64 // of each row: a candidate with a lesser score is sure to be no nearer
	gain         []float64 // of each candidate: by how much it lowers the sum of weight × near
	closer       []closer
}

// closer is a row that is nearer to a candidate than to the centroids so far.
type closer struct {
	row, pick int
	dist      float64
}

func newGreedy(x core.Matrix, candidates int) *greedy {
	n := (x.Rows + taskRows - 1) / taskRows
	g := &greedy{
		x: x, weight: make([]float64, x.Rows), near: make([]float64, x.Rows), norms: make([]float64, x.Rows),
		panels: make([]f32.Panels, n), chunks: make([]seedChunk, n), picked: make([]float32, candidates*x.Cols),
	}
	for c := range g.chunks {
		rows := min(taskRows, x.Rows-c*taskRows)
		g.chunks[c] = seedChunk{
			scores: make([]float32, candidates*rows), errs: make([]float32, rows), least: make([]float64, rows), gain: make([]float64, candidates),
		}
	}
	return g
}

// first makes row pick the first centroid.
func (g *greedy) first(ctx context.Context, pick int) error {
	return par.Chunks(ctx, g.x.Rows, taskRows, func(_, lo, hi int) {
		g.panels[lo/taskRows].Pack(g.x.Slice(lo, hi).Data, g.x.Cols)
		for i := lo; i < hi; i++ {
			g.norms[i] = f32.SqNorm64(g.x.Row(i))
			g.near[i] = f32.SqDist64(g.x.Row(i), g.x.Row(pick))
		}
	})
}

// best returns which of the rows in picks lowers the sum of weight × near most as the next centroid, and makes it that.
// Float32 scores leave out the rows that are sure to be no nearer to it; what counts is float64.
func (g *greedy) best(ctx context.Context, picks []int) (int, error) {
	for c, i := range picks {
		copy(g.picked[c*g.x.Cols:], g.x.Row(i))
	}
	g.book.SetScores(g.picked, len(picks), g.x.Cols)
	err := par.Chunks(ctx, g.x.Rows, taskRows, func(_, lo, hi int) {
		ch, n := &g.chunks[lo/taskRows], hi-lo
		clear(ch.gain)
		ch.closer = ch.closer[:0]
		g.book.Scores(ch.scores, ch.errs, &g.panels[lo/taskRows])
		for r, e := range ch.errs {
			norm := g.norms[lo+r]
			ch.least[r] = (norm-norm*0x1p-40-g.near[lo+r])/2 - 2*float64(e)
		}
		for c, pick := range picks {
			for r, s := range ch.scores[c*n : (c+1)*n] {
				if float64(s) < ch.least[r] {
					continue
				}
				i := lo + r
				if d := f32.SqDist64(g.x.Row(i), g.x.Row(pick)); d < g.near[i] {
					ch.closer = append(ch.closer, closer{i, c, d})
					ch.gain[c] += float64((g.near[i] - d) * g.weight[i])
				}
			}
		}
	})
	if err != nil {
		return 0, err
	}
	best, most := 0, math.Inf(-1)
	for c := range picks {
		var gain float64
		for _, ch := range g.chunks {
			gain += ch.gain[c]
		}
		if gain > most {
			best, most = c, gain
		}
	}
	for _, ch := range g.chunks {
		for _, r := range ch.closer {
			if r.pick == best {
				g.near[r.row] = r.dist
			}
		}
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
