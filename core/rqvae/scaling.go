package rqvae

import (
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Normalization says to what rows are brought before the encoder gets them. The model keeps the means and scales: it takes
// rows as those of the training were, and decodes to such.
type Normalization int

const (
	AsTheyAre  Normalization = iota
	EachColumn               // less its mean, divided by its standard deviation
	AllColumns               // less their means, all divided by the root of their mean variance: keeps which rows are near which
)

// scaling is a Normalization as learned from rows: a value x becomes (x - mean) / scale of its column, in float64, rounded once.
type scaling struct{ mean, scale []float32 }

// learn takes mean and scale from x. What does not vary has a scale of 1.
func (s *scaling) learn(x core.Matrix, how Normalization) {
	mean, variance := make([]float64, x.Cols), make([]float64, x.Cols)
	eachColumn(x.Data, x.Cols, func(lo, hi, _ int, row []float32) { f32.Add64(mean[lo:hi], row, 1) })
	for j := range mean {
		mean[j] /= float64(x.Rows)
		s.mean[j] = float32(mean[j])
	}
	eachColumn(x.Data, x.Cols, func(lo, hi, _ int, row []float32) {
		for j, v := range row {
			d := float64(v) - mean[lo+j]
			variance[lo+j] += float64(d * d)
		}
	})
	var all float64
	for j, v := range variance {
		variance[j] = v / float64(x.Rows)
		all += variance[j] / float64(x.Cols)
	}
	for j, v := range variance {
		if how == AllColumns {
			v = all
		}
		if s.scale[j] = float32(math.Sqrt(v)); s.scale[j] == 0 {
			s.scale[j] = 1
		}
	}
}

// apply writes the rows of x, normalized, to dst, which may be x. Without a scaling it does nothing.
func (s *scaling) apply(dst, x core.Matrix) {
	if s == nil {
		return
	}
	parallel(x.Rows, taskRows, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			to := dst.Row(i)
			for j, v := range x.Row(i) {
				to[j] = float32((float64(v) - float64(s.mean[j])) / float64(s.scale[j]))
			}
		}
	})
}

// undo brings normalized rows back, in place.
func (s *scaling) undo(x core.Matrix) {
	if s == nil {
		return
	}
	parallel(x.Rows, taskRows, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j, v := range x.Row(i) {
				x.Row(i)[j] = float32(float64(float64(v)*float64(s.scale[j])) + float64(s.mean[j]))
			}
		}
	})
}

// books brings codebooks of rows to codebooks of normalized rows: sums of vectors, one a level, become those normalized.
func (s *scaling) books(books []core.Matrix) {
	if s == nil {
		return
	}
	levels := *s
	for _, b := range books {
		levels.apply(b, b)
		levels.mean = make([]float32, len(s.mean)) // of the first level alone
	}
}
