package transport

import (
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Rows are rows of float32, stored or worked out when asked for; kmeans.Rows are such.
type Rows interface {
	// Len is the number of rows.
	Len() int
	// Dim is the number of columns of a row.
	Dim() int
	// Scratch is memory for n rows for each worker to pass to Row or Block.
	Scratch(n int) [][]float32
	// Row is row i: where it is stored, or worked out in scratch.
	Row(i int, scratch []float32) []float32
	// Block is rows lo to hi-1, row after row: where they are stored, or worked out in scratch.
	Block(lo, hi int, scratch []float32) []float32
}

// Stored are the rows of a matrix.
func Stored(x core.Matrix) Rows { return stored{x} }

type stored struct{ x core.Matrix }

func (s stored) Len() int                                { return s.x.Rows }
func (s stored) Dim() int                                { return s.x.Cols }
func (s stored) Scratch(int) [][]float32                 { return nil }
func (s stored) Row(i int, _ []float32) []float32        { return s.x.Row(i) }
func (s stored) Block(lo, hi int, _ []float32) []float32 { return s.x.Slice(lo, hi).Data }

// Distances are the squared Euclidean distances of rows to centroids, in float64 as they define codes. Both are referred
// to, and must be finite. It returns a core.ErrShape unless they have equally many columns, at least one, and there is a
// centroid.
func Distances(rows Rows, centroids core.Matrix) (Costs, error) {
	if err := centroids.Check(); err != nil {
		return nil, fmt.Errorf("transport: centroids: %w", err)
	}
	if rows.Dim() != centroids.Cols {
		return nil, fmt.Errorf("transport: %w: rows of %d columns, centroids of %d", core.ErrShape, rows.Dim(), centroids.Cols)
	}
	return &distances{rows: rows, centroids: centroids}, nil
}

type distances struct {
	rows      Rows
	centroids core.Matrix
}

func (d *distances) Rows() int    { return d.rows.Len() }
func (d *distances) Columns() int { return d.centroids.Rows }

func (d *distances) Row(dst []float64, i int) {
	row := d.rows.Row(i, make([]float32, d.rows.Dim()))
	for j := range dst {
		dst[j] = f32.SqDist64(row, d.centroids.Row(j))
	}
}
