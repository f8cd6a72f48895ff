package kmeans

import (
	"context"
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

const (
	exchangeBelow = 128  // rows a centroid below which single rows are moved: with 156 that gains 1 %, with 78 4 %, with 14 13 %
	blockRows     = 1024 // rows whose moves are proposed together; part of the definition of a fit
	scoreRows     = 64   // rows scored at a time, so that their scores stay in the cache
	leastPass     = 5e-4 // share of the inertia that a pass must gain for another; with 0 all takes thrice as long for 0.5 %
	leastGain     = 1e-7 // share of its cost that a move must gain, more than the rounding of centroids can feign
	manyClose     = 32   // with more candidates than this, float32 distances thin them out before float64 ones are taken
	widen         = 1 + 0x1p-40
)

// hartigan improves a clustering by moving single rows (Hartigan, Wong, Applied Statistics 28(1), 1979; Telgarsky,
// Vattani, AISTATS 2010). Taking a row of weight w at distance d out of a cluster of weight W lowers the inertia by
// w d² W/(W-w), as the mean follows; putting it into one raises it by w d² W/(W+w). So a row may be worth moving to a
// centroid that is not its nearest: with ten rows a cluster the two factors are 10 % off, and where no such move is left
// is far below where Lloyd's iterations settle. Where none is left, each row is also nearest to its own centroid.
//
// A pass goes through the rows in blocks. For each row of a block the best move is found on all threads, with the
// centroids as they are before the block; then the moves are made in row order, each only if it still lowers the inertia
// with the centroids as they are by then. All that is decided is decided in float64; float32 scores only leave out, by
// the bound on their error, what cannot be the best move.
type hartigan struct {
	x         Rows
	weights   []float64
	centroids core.Matrix // the means of sums, rounded
	labels    []int32
	sums      *sums
	norms     []float64 // squared norm of each row
	inertia   float64

	book    f32.Codebook
	to      []int32 // the best move of each row of the block, or -1
	workers []proposer
}

// proposer is the memory of one goroutine.
type proposer struct {
	rows   []float32
	panels f32.Panels
	scores []float32 // K × scoreRows
	errs   []float32
	most   []float64 // of each row: what joining the cheapest cluster costs by the scores
	close  []int32
	dist   []float32
}

// exchange starts from the rows nearest to each centroid and moves single rows until a pass lowers the inertia by no more
// than a share of leastPass, or maxPasses have been made. It leaves the means in centroids and returns the number of passes.
func exchange(ctx context.Context, x Rows, weights []float64, centroids core.Matrix, maxPasses int, progress func()) (int, error) {
	h := newHartigan(x, weights, centroids)
	if err := h.begin(ctx); err != nil {
		return 0, err
	}
	for passes := range maxPasses {
		gain, err := h.pass(ctx)
		if err != nil {
			return passes, err
		}
		progress()
		if gain <= leastPass*h.inertia {
			return passes + 1, h.means(ctx)
		}
	}
	return maxPasses, h.means(ctx)
}

func newHartigan(x Rows, weights []float64, centroids core.Matrix) *hartigan {
	h := &hartigan{
		x: x, weights: weights, centroids: centroids, labels: make([]int32, x.Len()), sums: newSums(centroids.Rows, x.Dim()),
		norms: make([]float64, x.Len()), to: make([]int32, blockRows), workers: make([]proposer, par.Threads()),
	}
	scratch := x.Scratch(scoreRows)
	for w := range h.workers {
		k := centroids.Rows
		h.workers[w] = proposer{
			rows: scratch[w], scores: make([]float32, k*scoreRows), errs: make([]float32, scoreRows),
			most: make([]float64, scoreRows), close: make([]int32, 0, k), dist: make([]float32, k),
		}
	}
	return h
}

// begin gives each row its nearest centroid and makes the centroids their means.
func (h *hartigan) begin(ctx context.Context) error {
	h.book.Set(h.centroids.Data, h.centroids.Rows, h.x.Dim())
	err := par.Chunks(ctx, h.x.Len(), scoreRows, func(worker, lo, hi int) {
		h.book.Nearest(h.labels[lo:hi], h.x.Block(lo, hi, h.workers[worker].rows))
	})
	if err != nil {
		return err
	}
	if err := h.means(ctx); err != nil {
		return err
	}
	h.inertia, err = sumRows(ctx, h.x, func(i int, row []float32) float64 {
		h.norms[i] = f32.SqNorm64(row)
		return float64(weightOf(h.weights, i) * f32.SqDist64(row, h.centroids.Row(int(h.labels[i]))))
	})
	return err
}

// means remakes the sums and makes each centroid the mean of its rows.
func (h *hartigan) means(ctx context.Context) error {
	if err := h.sums.remake(ctx, h.x, h.weights, h.labels); err != nil {
		return err
	}
	for k, n := range h.sums.count {
		if n > 0 {
			h.sums.mean(h.centroids.Row(k), k)
		}
	}
	return nil
}

// pass goes through all rows once and returns by how much that lowered the inertia.
func (h *hartigan) pass(ctx context.Context) (gain float64, err error) {
	row := h.x.Scratch(1)[0]
	for lo := 0; lo < h.x.Len(); lo += blockRows {
		hi := min(h.x.Len(), lo+blockRows)
		if err := h.propose(ctx, lo, hi); err != nil {
			return 0, err
		}
		for i := lo; i < hi; i++ {
			if to := h.to[i-lo]; to >= 0 {
				gain += h.move(i, int(to), h.x.Row(i, row))
			}
		}
	}
	h.inertia -= gain
	return gain, nil
}

// leave is what a row at squared distance d adds to the inertia by being in a cluster of weight total, for each unit of
// its own weight w; join is what it would add.
func leave(d, w, total float64) float64 { return d * total / (total - w) }
func join(d, w, total float64) float64  { return d * total / (total + w) }

// move moves row i to cluster to if that lowers the inertia, and returns by how much.
func (h *hartigan) move(i, to int, row []float32) float64 {
	s, from, w := h.sums, int(h.labels[i]), weightOf(h.weights, i)
	if s.count[from] < 2 || !(s.weight[from] > w) {
		return 0
	}
	own := leave(f32.SqDist64(row, h.centroids.Row(from)), w, s.weight[from])
	other := join(f32.SqDist64(row, h.centroids.Row(to)), w, s.weight[to])
	if !(other < own*(1-leastGain)) {
		return 0
	}
	s.shift(row, w, from, to)
	h.labels[i] = int32(to)
	s.mean(h.centroids.Row(from), from)
	s.mean(h.centroids.Row(to), to)
	return float64(w * (own - other))
}

// propose finds the best move of each of the rows lo to hi-1.
func (h *hartigan) propose(ctx context.Context, lo, hi int) error {
	h.book.SetScores(h.centroids.Data, h.centroids.Rows, h.x.Dim())
	return par.Chunks(ctx, hi-lo, scoreRows, func(worker, a, b int) {
		p := &h.workers[worker]
		n, dim, total := b-a, h.x.Dim(), h.sums.weight
		rows := h.x.Block(lo+a, lo+b, p.rows)
		p.panels.Pack(rows, dim)
		scores, errs := p.scores[:n*len(total)], p.errs[:n]
		h.book.Scores(scores, errs, &p.panels)
		labels, norms := h.labels[lo+a:lo+b], h.norms[lo+a:lo+b]
		for r := range n {
			p.most[r] = math.Inf(1)
		}
		for k, t := range total {
			f := t / (t + 1)
			for r, s := range scores[k*n : (k+1)*n] {
				if int(labels[r]) == k {
					continue
				}
				if h.weights != nil {
					f = join(1, h.weights[lo+a+r], t)
				}
				d := norms[r] - 2*float64(s)
				p.most[r] = min(p.most[r], f*d)
			}
		}
		for r := range n {
			i := lo + a + r
			h.to[a+r] = h.best(p, i, rows[r*dim:(r+1)*dim], scores[r:], n, p.most[r], float64(errs[r]))
		}
	})
}

// best is the cluster to which moving row i lowers the inertia most, the lowest of those as good, or -1. The score of
// cluster k is scores[k*n]; most is what joining the best cluster costs by the scores, which are err off at most.
func (h *hartigan) best(p *proposer, i int, row, scores []float32, n int, most, err float64) int32 {
	s, own, w := h.sums, h.labels[i], weightOf(h.weights, i)
	if w == 0 || s.count[own] < 2 || !(s.weight[own] > w) {
		return -1
	}
	// A squared distance by the scores is off by less than slack, what joining costs by less still.
	slack := 4*err + h.norms[i]*0x1p-40
	if most-slack > leave(h.norms[i]-2*float64(scores[int(own)*n])+slack, w, s.weight[own])*widen {
		return -1
	}
	p.close = p.close[:0]
	for k, t := range s.weight {
		if int32(k) != own && !(join(h.norms[i]-2*float64(scores[k*n]), w, t) > most+2*slack) {
			p.close = append(p.close, int32(k))
		}
	}
	if len(p.close) > manyClose {
		h.thin(p, row, own, w)
	}
	best, to := leave(f32.SqDist64(row, h.centroids.Row(int(own))), w, s.weight[own])*(1-leastGain), int32(-1)
	for _, k := range p.close {
		if cost := join(f32.SqDist64(row, h.centroids.Row(int(k))), w, s.weight[k]); cost < best {
			best, to = cost, k
		}
	}
	return to
}

// thin leaves of the candidates in p.close those that can be the best by their float32 distances.
func (h *hartigan) thin(p *proposer, row []float32, own int32, w float64) {
	dist := p.dist[:len(p.close)]
	f32.SqDistsAt(dist, row, h.centroids.Data, p.close)
	most := math.Inf(1)
	for c, k := range p.close {
		d := f32.Above(dist[c], len(row))
		most = min(most, join(d*d, w, h.sums.weight[k])*widen)
	}
	n := 0
	for c, k := range p.close {
		if d := f32.Below(dist[c], len(row)); !(join(d*d, w, h.sums.weight[k]) > most*widen) {
			p.close[n] = k
			n++
		}
	}
	p.close = p.close[:n]
}
