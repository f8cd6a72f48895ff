package kmeans

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// lloyd is one run of Lloyd's iterations from given centroids.
type lloyd struct {
	x        Rows
	weights  []float64
	k        int
	maxIter  int
	tol      float64   // of the summed squared shift
	stall    float64   // of what an iteration takes from the inertia, as a share of it; 0: that ends nothing
	scatter  float64   // weighted sum of the squared distances of the rows to their mean
	over     bool      // step beyond the means at first
	center   []float32 // about the mean of the rows
	spread   float64   // root of the mean squared distance of the rows to their mean
	plain    bool      // measure every distance, even where bounds could be used
	progress func()

	centroids core.Matrix
	labels    []int32
	before    []int32 // labels of the iteration before
	sums      *sums
	bounds    *bounds // nil: every distance is measured, by book
	book      f32.Codebook
	scratch   [][]float32 // for book
	moved     []float64
	iters     int
	converged bool
	distinct  bool
	refilled  bool // the last update filled empty clusters
}

const (
	overIters  = 12  // iterations that step beyond the means, at most half of those allowed
	overshoot  = 0.9 // how far beyond in the first, as a share of the step; the last go nearly to the mean
	stallShare = 0.2 // of Tol, what an iteration must take from the inertia

	settlingShare = 32 // with fewer rows than one in so many changing, bounds tell enough to be worth it
)

// run iterates until the labels stay, the centroids have settled to tol, the inertia hardly falls any more, or maxIter.
// Afterwards labels belong to centroids.
//
// The first iterations step beyond the means of the clusters, most in the first (over-relaxation: Salakhutdinov, Roweis,
// Adaptive Overrelaxed Bound Optimization Methods, ICML 2003). That is quicker, and takes Lloyd past many a poor optimum:
// on 63,666 sentence embeddings twelve such iterations and thirty plain ones end lower than a hundred plain ones.
func (l *lloyd) run(ctx context.Context) error {
	l.labels = make([]int32, l.x.Len())
	l.before = make([]int32, l.x.Len())
	l.sums = newSums(l.k, l.x.Dim())
	l.moved = make([]float64, l.k)
	l.distinct = true
	l.plain = l.plain || !boundsFit(l.x.Dim(), l.k, l.x.lean) || l.spread < minSpread || l.spread > maxSpread
	if err := l.assign(ctx); err != nil {
		return err
	}
	if err := l.sums.remake(ctx, l.x, l.weights, l.labels); err != nil {
		return err
	}
	over := 0
	if l.over {
		over = min(overIters, l.maxIter/2)
	}
	within := math.Inf(1)
	for l.iters < l.maxIter && !l.converged {
		beyond := 0.0
		if l.iters < over {
			beyond = overshoot * math.Sqrt(1-float64(l.iters)/float64(over))
		}
		shift, err := l.update(ctx, beyond)
		if err != nil {
			return err
		}
		copy(l.before, l.labels)
		settling := l.iters > 0 && len(l.sums.changed) < l.x.Len()/settlingShare
		if settling && l.bounds == nil && !l.plain {
			giveBack(l.x)
			l.bounds = newBounds(l.x, l.centroids, l.moved, l.center, l.spread)
		}
		if err := l.assign(ctx); err != nil {
			return err
		}
		l.iters++
		l.progress()
		settled := shift <= l.tol && l.tol > 0 || !l.refilled && slices.Equal(l.labels, l.before)
		if settled && beyond == 0 {
			l.converged = true
			break
		}
		if l.refilled {
			err = l.sums.remake(ctx, l.x, l.weights, l.labels)
		} else {
			err = l.sums.update(ctx, l.x, l.weights, l.before, l.labels)
		}
		if err != nil {
			return err
		}
		stalled := false
		if l.stall > 0 {
			was := within
			if within, err = l.sums.within(ctx, l.scatter); err != nil {
				return err
			}
			stalled = was-within <= l.stall*within && !l.refilled
		}
		if settled || stalled {
			l.converged = beyond == 0
			over = 0 // nothing more to gain beyond the means
		}
	}
	return nil
}

// assign gives each row its nearest centroid.
func (l *lloyd) assign(ctx context.Context) error {
	if l.bounds != nil {
		done, err := l.bounds.assign(ctx, l.x, l.centroids, l.labels)
		if !done || l.bounds.useless {
			l.bounds, l.plain = nil, true
		}
		if err != nil || done {
			return err
		}
	}
	if len(l.scratch) < par.Threads() {
		l.scratch = l.x.Scratch(taskRows)
	}
	l.book.Set(l.centroids.Data, l.k, l.x.Dim())
	return par.Chunks(ctx, l.x.Len(), taskRows, func(worker, lo, hi int) {
		l.book.Nearest(l.labels[lo:hi], l.x.Block(lo, hi, l.scratch[worker]))
	})
}

// update moves each centroid to the mean of its rows, or beyond it by that share of the step, and returns the summed
// squared distance to the means. Empty clusters take the rows farthest from their centroids first.
func (l *lloyd) update(ctx context.Context, beyond float64) (float64, error) {
	if err := l.refill(ctx); err != nil {
		return 0, err
	}
	shift, err := step(ctx, l.centroids, l.sums, beyond, l.moved)
	if err != nil {
		return 0, err
	}
	if l.bounds != nil {
		l.bounds.move(l.moved)
	}
	return shift, nil
}

// step moves each centroid to the mean of its rows, or beyond it by that share of the step, writes to moved, unless nil,
// how far it went, and returns the sum of the squared distances to the means. A centroid without rows stays.
func step(ctx context.Context, centroids core.Matrix, s *sums, beyond float64, moved []float64) (shift float64, err error) {
	shifts := make([]float64, centroids.Rows)
	err = par.Chunks(ctx, centroids.Rows, taskCentroids, func(_, lo, hi int) {
		mean, was := make([]float32, centroids.Cols), make([]float32, centroids.Cols)
		for k := lo; k < hi; k++ {
			centroid := centroids.Row(k)
			copy(was, centroid)
			if s.count[k] > 0 {
				s.mean(mean, k)
				shifts[k] = f32.SqDist64(mean, centroid)
				for c, v := range centroid {
					centroid[c] = float32(float64(mean[c]) + float64(beyond*(float64(mean[c])-float64(v))))
				}
			}
			if moved != nil {
				moved[k] = math.Sqrt(f32.SqDist64(was, centroid))
			}
		}
	})
	for _, d := range shifts {
		shift += d
	}
	return shift, err
}

// refill gives each empty cluster one row: the row farthest from its centroid, taken out of a cluster that keeps at
// least one, the next empty cluster the next farthest. Equal distances go by row number. A row at distance 0 is never
// taken, so with fewer distinct rows than K some clusters stay empty. Only sums change, which no longer belong to the
// labels then: labels follow when the rows are assigned, and the sums are remade.
func (l *lloyd) refill(ctx context.Context) error {
	var empty []int
	for k, n := range l.sums.count {
		if n == 0 {
			empty = append(empty, k)
		}
	}
	l.distinct, l.refilled = true, false
	if len(empty) == 0 {
		return nil
	}
	far, err := l.farthest(ctx, l.k) // each empty cluster takes one, each of the others keeps at most one
	if err != nil {
		return err
	}
	next := 0
	scratch := make([]float32, l.x.Dim())
	for _, k := range empty {
		for next < len(far) && l.sums.count[l.labels[far[next].row]] < 2 {
			next++
		}
		if next == len(far) {
			l.distinct = false
			return nil
		}
		i := far[next].row
		next++
		from, w := int(l.labels[i]), weightOf(l.weights, i)
		l.sums.shift(l.x.Row(i, scratch), w, from, k)
		l.refilled = true
	}
	return nil
}

type rowAt struct {
	row  int
	dist float64
}

// farthest returns the n rows farthest from their centroids, fewer if fewer are at a distance, the farthest first, equal
// distances by row number; rows of weight 0 are left out.
func (l *lloyd) farthest(ctx context.Context, n int) ([]rowAt, error) {
	cut := func(rows []rowAt) []rowAt {
		slices.SortFunc(rows, func(a, b rowAt) int { return cmp.Or(cmp.Compare(b.dist, a.dist), cmp.Compare(a.row, b.row)) })
		return rows[:min(n, len(rows))]
	}
	byWorker := make([][]rowAt, par.Threads())
	scratch := l.x.Scratch(1)
	err := par.Chunks(ctx, l.x.Len(), taskRows, func(worker, lo, hi int) {
		rows := byWorker[worker]
		for i := lo; i < hi; i++ {
			if weightOf(l.weights, i) > 0 {
				if d := f32.SqDist64(l.x.Row(i, scratch[worker]), l.centroids.Row(int(l.labels[i]))); d > 0 {
					rows = append(rows, rowAt{i, d})
				}
			}
		}
		if len(rows) > 4*n+taskRows {
			rows = cut(rows)
		}
		byWorker[worker] = rows
	})
	return cut(slices.Concat(byWorker...)), err
}

func (l *lloyd) inertia(ctx context.Context) (float64, error) {
	return sumRows(ctx, l.x, func(i int, row []float32) float64 {
		return float64(weightOf(l.weights, i) * sqDist(row, l.centroids.Row(int(l.labels[i]))))
	})
}
