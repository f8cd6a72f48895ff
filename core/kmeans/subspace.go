package kmeans

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

const (
	subspaceRows  = 2048 // rows the covariance is taken from
	subspaceSteps = 4    // far from exact directions, and enough for a start
)

// principal returns p orthonormal rows of x.Dim() float64: directions along which the rows of x vary most, the strongest
// first, by subspace iteration on the covariance (Golub, Van Loan, Matrix Computations, section 8.2.4). All sums are
// float64 in a fixed order, as a fit must not depend on the machine.
func principal(ctx context.Context, x Rows, p int, rng *rand.Rand) ([]float64, error) {
	dim := x.Dim()
	sample, err := x.gather(ctx, sampleRows(x.Len(), subspaceRows, rng))
	if err != nil {
		return nil, err
	}
	cov, err := covariance(ctx, sample)
	if err != nil {
		return nil, err
	}
	basis, next := make([]float64, p*dim), make([]float64, p*dim)
	for i := range basis {
		basis[i] = rng.Float64() - 0.5
	}
	for range subspaceSteps { // rows turn towards each other, but float64 has digits enough for so few steps
		err := par.Chunks(ctx, p, 1, func(_, lo, hi int) {
			for b := lo; b < hi; b++ {
				for i := range dim {
					next[b*dim+i] = f32.Dot64(cov[i*dim:(i+1)*dim], basis[b*dim:(b+1)*dim])
				}
			}
		})
		if err != nil {
			return nil, err
		}
		basis, next = next, basis
	}
	orthonormalize(basis, dim)
	return basis, nil
}

// covariance is the dim × dim sum of the outer products of the rows of x less their mean.
func covariance(ctx context.Context, x core.Matrix) ([]float64, error) {
	dim := x.Cols
	mean := make([]float64, dim)
	for i := range x.Rows {
		f32.Add64(mean, x.Row(i), 1/float64(x.Rows))
	}
	centered := core.NewMatrix(x.Rows, dim)
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			centered.Row(i)[j] = float32(float64(v) - mean[j])
		}
	}
	cov := make([]float64, dim*dim)
	err := par.Chunks(ctx, dim, 8, func(_, lo, hi int) {
		column := make([]float64, x.Rows)
		for j := lo; j < hi; j++ {
			for i := range column {
				column[i] = float64(centered.Row(i)[j])
			}
			f32.AddRows64(cov[j*dim+j:(j+1)*dim], centered.Data[j:], dim, column)
		}
	})
	for i := range dim {
		for j := range i {
			cov[i*dim+j] = cov[j*dim+i]
		}
	}
	return cov, err
}

// orthonormalize makes the rows orthonormal by modified Gram-Schmidt, done twice. A row that depends on those before it
// becomes zero or a direction of rounding errors; neither harms a start.
func orthonormalize(rows []float64, dim int) {
	for i := range len(rows) / dim {
		r := rows[i*dim : (i+1)*dim]
		for range 2 {
			for j := range i {
				q := rows[j*dim : (j+1)*dim]
				s := f32.Dot64(r, q)
				for k, v := range q {
					r[k] -= float64(s * v)
				}
			}
		}
		if norm := math.Sqrt(f32.Dot64(r, r)); norm > 0 {
			for k := range r {
				r[k] /= norm
			}
		}
	}
}

// project returns the coordinates of the rows of x along the rows of basis, one matrix for each of dims with that many
// leading coordinates.
func project(ctx context.Context, x Rows, basis []float64, dims []int) ([]core.Matrix, error) {
	dim := x.Dim()
	p := len(basis) / dim
	across := make([]float32, len(basis)) // dim × p
	for b := range p {
		for j := range dim {
			across[j*p+b] = float32(basis[b*dim+j])
		}
	}
	out := make([]core.Matrix, len(dims))
	for s, d := range dims {
		out[s] = core.NewMatrix(x.Len(), d)
	}
	scratch := x.Scratch(1)
	err := par.Chunks(ctx, x.Len(), taskRows, func(worker, lo, hi int) {
		sum, row := make([]float64, p), make([]float64, dim)
		for i := lo; i < hi; i++ {
			clear(sum)
			for j, v := range x.Row(i, scratch[worker]) {
				row[j] = float64(v)
			}
			f32.AddRows64(sum, across, p, row)
			for _, m := range out {
				for b := range m.Row(i) {
					m.Row(i)[b] = float32(sum[b])
				}
			}
		}
	})
	return out, err
}
