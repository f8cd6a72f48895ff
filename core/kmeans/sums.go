package kmeans

import (
	"context"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

const (
	chunkRows = 65536 // rows summed into one partial sum; part of the definition of a fit, never to be changed
	taskRows  = 512   // rows one goroutine takes at a time where the order does not matter
	taskCols  = 64    // columns one goroutine sums
)

// sums holds, for each cluster, the weighted sum of its rows in float64 and their weight.
type sums struct {
	rows    []float64 // K*D
	weight  []float64 // K
	count   []int     // rows of positive weight in each cluster
	partial []float64 // K*D, of one chunk
}

func newSums(k, dim int) *sums {
	return &sums{rows: make([]float64, k*dim), weight: make([]float64, k), count: make([]int, k), partial: make([]float64, k*dim)}
}

// remake sums the rows of the dirty clusters anew: each entry over a chunk in row order, the chunks in their order.
func (s *sums) remake(ctx context.Context, x core.Matrix, weights []float64, labels []int32, dirty []bool) error {
	for k, d := range dirty {
		if d {
			clear(s.rows[k*x.Cols : (k+1)*x.Cols])
			s.weight[k], s.count[k] = 0, 0
		}
	}
	for i, l := range labels {
		if !dirty[l] {
			continue
		}
		w := weightOf(weights, i)
		s.weight[l] += w
		if w > 0 {
			s.count[l]++
		}
	}
	dim := x.Cols
	for lo := 0; lo < x.Rows; lo += chunkRows {
		hi := min(x.Rows, lo+chunkRows)
		err := par.Chunks(ctx, dim, taskCols, func(_, c0, c1 int) {
			for k := range dirty {
				clear(s.partial[k*dim+c0 : k*dim+c1])
			}
			for i := lo; i < hi; i++ {
				if !dirty[labels[i]] {
					continue
				}
				k := int(labels[i]) * dim
				f32.Add64(s.partial[k+c0:k+c1], x.Data[i*dim+c0:i*dim+c1], weightOf(weights, i))
			}
			for k, d := range dirty {
				if !d {
					continue
				}
				for c := k*dim + c0; c < k*dim+c1; c++ {
					s.rows[c] += s.partial[c]
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func weightOf(weights []float64, i int) float64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// sumRows adds f(i) over all rows, chunk by chunk in row order, each f(i) worked out on some goroutine.
func sumRows(ctx context.Context, rows int, f func(i int) float64) (float64, error) {
	part := make([]float64, (rows+taskRows-1)/taskRows)
	err := par.Chunks(ctx, rows, taskRows, func(_, lo, hi int) {
		var s float64
		for i := lo; i < hi; i++ {
			s += f(i)
		}
		part[lo/taskRows] = s
	})
	var total float64
	for _, s := range part {
		total += s
	}
	return total, err
}

// meanVariance is the mean over the columns of their weighted variance, the scale of Params.Tol.
func meanVariance(ctx context.Context, x core.Matrix, weights []float64) (float64, error) {
	s := newSums(1, x.Cols)
	labels := make([]int32, x.Rows)
	if err := s.remake(ctx, x, weights, labels, []bool{true}); err != nil {
		return 0, err
	}
	mean := s.rows
	for c := range mean {
		mean[c] /= s.weight[0]
	}
	sq, err := sumRows(ctx, x.Rows, func(i int) float64 {
		var t float64
		for c, v := range x.Row(i) {
			d := float64(v) - mean[c]
			t += float64(d * d)
		}
		return float64(t * weightOf(weights, i))
	})
	return sq / s.weight[0] / float64(x.Cols), err
}
