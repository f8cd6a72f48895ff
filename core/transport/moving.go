package transport

import (
	"context"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Moving assigns rows to centroids time after time, as Solve does with Distances to the bit, and keeps what it has worked
// out for those that stay where they were: the last iterations of a fit move few.
type Moving struct {
	rows      Rows
	sizes     Sizes
	centroids []float32 // of the last time
	moved     []bool    // since then
	stride    int
	products  []float32 // of each row with each centroid, stride apart
	norms     []float64 // |x|² of each row, at least
	offers    [][]offer // of each row, the last time
}

// newMoving takes room for the products.
func newMoving(rows Rows, s Sizes, products []float32, stride int) *Moving {
	return &Moving{rows: rows, sizes: s, moved: make([]bool, len(s.Lower)), products: products, stride: stride}
}

// Assign is Solve with the Distances to these centroids, as many as there are sizes.
func (m *Moving) Assign(ctx context.Context, centroids core.Matrix, warm *Solution) (*Solution, error) {
	d, err := distancesTo(m.rows, centroids)
	if err != nil {
		return nil, err
	}
	d.moving = m
	var s *Solution
	if err = m.follow(ctx, centroids); err == nil {
		s, err = Solve(ctx, d, m.sizes, warm)
	}
	if err != nil {
		m.centroids, m.norms = nil, nil // what is known is of several times, or of some rows
	}
	return s, err
}

// follow brings moved and products up to these centroids.
func (m *Moving) follow(ctx context.Context, centroids core.Matrix) error {
	dim, k := centroids.Cols, centroids.Rows
	ids, book := make([]int, 0, k), make([]float32, 0, k*dim)
	for j := range k {
		c := centroids.Row(j)
		if m.moved[j] = m.centroids == nil || !slices.Equal(c, m.centroids[j*dim:(j+1)*dim]); m.moved[j] {
			ids, book = append(ids, j), append(book, c...)
		}
	}
	m.centroids = append(m.centroids[:0], centroids.Data...)
	if len(ids) == 0 {
		return nil
	}
	first := m.norms == nil
	if first {
		m.norms = make([]float64, m.rows.Len())
	}
	p := f32.NewProducts(book, len(ids), dim)
	scratch := make([]struct{ rows, products []float32 }, par.Threads())
	return par.Chunks(ctx, m.rows.Len(), scoredRows, func(worker, lo, hi int) {
		s := &scratch[worker]
		if s.rows == nil && !m.rows.Stored() {
			s.rows = make([]float32, scoredRows*dim)
		}
		block := m.rows.Block(lo, hi, s.rows)
		for i := lo; first && i < hi; i++ {
			m.norms[i] = f32.SqNorm(block[(i-lo)*dim : (i-lo+1)*dim])
		}
		if len(ids) == k {
			p.Dots(m.products[lo*m.stride:], m.stride, block)
			return
		}
		if s.products == nil {
			s.products = make([]float32, scoredRows*p.Stride())
		}
		p.Dots(s.products, p.Stride(), block)
		for i := lo; i < hi; i++ {
			for x, j := range ids {
				m.products[i*m.stride+j] = s.products[(i-lo)*p.Stride()+x]
			}
		}
	})
}

// cost is what row i costs in column j, or NaN if that is not known.
func (m *Moving) cost(i, j int32) float64 {
	if !m.moved[j] {
		for _, o := range m.offers[i] {
			if o.column == j {
				return o.cost
			}
		}
	}
	return math.NaN()
}
