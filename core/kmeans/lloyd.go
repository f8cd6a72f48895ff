package kmeans

import (
	"context"
	"slices"
	"sort"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// lloyd is one run from one seed.
type lloyd struct {
	x        core.Matrix
	weights  []float64
	p        Params
	seed     uint64
	progress func()

	centroids core.Matrix
	labels    []int32
	book      f32.Codebook
	sums      *sums
	distinct  bool
}

func (l *lloyd) fit(ctx context.Context) (*Result, error) {
	variance, err := meanVariance(ctx, l.x, l.weights)
	if err != nil {
		return nil, err
	}
	tol := l.p.Tol * variance
	if l.centroids, err = plusPlus(ctx, l.x, l.weights, l.p.K, l.seed); err != nil {
		return nil, err
	}
	l.labels = make([]int32, l.x.Rows)
	l.sums = newSums(l.p.K, l.x.Cols)
	l.distinct = true

	before := make([]int32, l.x.Rows)
	iters, converged, current := 0, false, false // current: labels belong to centroids
	for iters < l.p.MaxIter && !converged {
		copy(before, l.labels)
		if err := l.assign(ctx); err != nil {
			return nil, err
		}
		if iters > 0 && slices.Equal(before, l.labels) {
			converged, current = true, true
			break
		}
		shift, err := l.update(ctx)
		if err != nil {
			return nil, err
		}
		iters++
		l.progress()
		converged = shift <= tol && (tol > 0 || shift == 0)
	}
	if !current {
		if err := l.assign(ctx); err != nil {
			return nil, err
		}
	}
	inertia, err := l.inertia(ctx)
	if err != nil {
		return nil, err
	}
	return &Result{Centroids: l.centroids, Labels: l.labels, Inertia: inertia, Iters: iters, Converged: converged, Distinct: l.distinct}, nil
}

// assign gives each row its nearest centroid.
func (l *lloyd) assign(ctx context.Context) error {
	l.book.Set(l.centroids.Data, l.p.K, l.x.Cols)
	return par.Chunks(ctx, l.x.Rows, taskRows, func(_, lo, hi int) {
		l.book.Nearest(l.labels[lo:hi], l.x.Slice(lo, hi).Data)
	})
}

// update moves each centroid to the mean of its rows and returns the summed squared shift. Empty clusters take the rows
// farthest from their centroids first.
func (l *lloyd) update(ctx context.Context) (float64, error) {
	if err := l.sums.remake(ctx, l.x, l.weights, l.labels); err != nil {
		return 0, err
	}
	if err := l.refill(ctx); err != nil {
		return 0, err
	}
	var shift float64
	for k := range l.p.K {
		w := l.sums.weight[k]
		if l.sums.count[k] == 0 {
			continue // nothing to take: the centroid stays
		}
		c := l.centroids.Row(k)
		for i, s := range l.sums.rows[k*l.x.Cols : (k+1)*l.x.Cols] {
			v := float32(s / w)
			d := float64(v) - float64(c[i])
			shift += float64(d * d)
			c[i] = v
		}
	}
	return shift, nil
}

// refill gives each empty cluster one row: the row farthest from its centroid, taken out of a cluster that keeps at
// least one, the next empty cluster the next farthest. Equal distances go by row number. A row at distance 0 is never
// taken, so with fewer distinct rows than K some clusters stay empty.
func (l *lloyd) refill(ctx context.Context) error {
	var empty []int
	for k, n := range l.sums.count {
		if n == 0 {
			empty = append(empty, k)
		}
	}
	l.distinct = true
	if len(empty) == 0 {
		return nil
	}
	dist := make([]float64, l.x.Rows)
	err := par.Chunks(ctx, l.x.Rows, taskRows, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			if weightOf(l.weights, i) > 0 {
				dist[i] = f32.SqDist64(l.x.Row(i), l.centroids.Row(int(l.labels[i])))
			}
		}
	})
	if err != nil {
		return err
	}
	order := make([]int, l.x.Rows)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return dist[order[a]] > dist[order[b]] })
	dim := l.x.Cols
	next := 0
	for _, k := range empty {
		for next < len(order) && dist[order[next]] > 0 && l.sums.count[l.labels[order[next]]] < 2 {
			next++
		}
		if next == len(order) || dist[order[next]] == 0 {
			l.distinct = false
			return nil
		}
		i := order[next]
		next++
		from, w := int(l.labels[i]), weightOf(l.weights, i)
		f32.Add64(l.sums.rows[from*dim:(from+1)*dim], l.x.Row(i), -w)
		l.sums.weight[from] -= w
		l.sums.count[from]--
		f32.Add64(l.sums.rows[k*dim:(k+1)*dim], l.x.Row(i), w)
		l.sums.weight[k] += w
		l.sums.count[k]++
		l.labels[i] = int32(k)
	}
	return nil
}

func (l *lloyd) inertia(ctx context.Context) (float64, error) {
	return sumRows(ctx, l.x.Rows, func(i int) float64 {
		return float64(weightOf(l.weights, i) * f32.SqDist64(l.x.Row(i), l.centroids.Row(int(l.labels[i]))))
	})
}
