package kmeans

import (
	"context"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Rows are what Fit clusters: the rows of a matrix or, for data of which memory can hold no second copy, what is left of
// them when centroids are taken away, worked out whenever a row is asked for. Both give the same bits.
type Rows struct {
	x     core.Matrix
	lean  bool // memory is short
	unit  bool // divide each row by its norm first
	codes core.Codes
	books []core.Matrix // less[i] is what code i of a row takes away
}

// pieceRows is how many rows are worked out at once where the whole of them is wanted: a few MiB.
const pieceRows = 2048

// RowsOf are the rows of x as they are stored.
func RowsOf(x core.Matrix) Rows { return Rows{x: x} }

// Unit are the rows divided by their norms; see f32.Normalize.
func (r Rows) Unit() Rows {
	r.unit = true
	return r
}

// Lean are the same rows for a Fit that holds little beside them, for rows that memory cannot hold: see boundsFit.
func (r Rows) Lean() Rows {
	r.lean = true
	return r
}

// Less are the rows less the centroids that their codes name, the first book first: each difference is rounded to
// float32 once per element and book. There may be more codes a row than books. Rows refers to all it is given.
func (r Rows) Less(codes core.Codes, books []core.Matrix) Rows {
	r.codes, r.books = codes, books
	return r
}

// Len is the number of rows.
func (r Rows) Len() int { return r.x.Rows }

// Dim is the number of columns of a row.
func (r Rows) Dim() int { return r.x.Cols }

// Stored tells whether a row is read as it lies in memory.
func (r Rows) Stored() bool { return !r.unit && len(r.books) == 0 }

// Scratch is memory for n rows for each of par.Threads workers to pass to Row or Block: none where rows are stored.
func (r Rows) Scratch(n int) [][]float32 {
	s := make([][]float32, par.Threads())
	if !r.Stored() {
		for w := range s {
			s[w] = make([]float32, n*r.Dim())
		}
	}
	return s
}

// Row is row i: where it is stored, or worked out in scratch.
func (r Rows) Row(i int, scratch []float32) []float32 {
	row := r.x.Row(i)
	if r.Stored() {
		return row
	}
	return r.workOut(row, i, scratch[:len(row)])
}

// Block is rows lo to hi-1, row after row: where they are stored, or worked out in scratch.
func (r Rows) Block(lo, hi int, scratch []float32) []float32 {
	if r.Stored() {
		return r.x.Slice(lo, hi).Data
	}
	dim := r.Dim()
	for i := lo; i < hi; i++ {
		r.workOut(r.x.Row(i), i, scratch[(i-lo)*dim:(i-lo+1)*dim])
	}
	return scratch[:(hi-lo)*dim]
}

func (r Rows) workOut(row []float32, i int, out []float32) []float32 {
	copy(out, row)
	if r.unit {
		f32.Normalize(out)
	}
	for l, book := range r.books {
		f32.Sub(out, book.Row(int(r.codes.Data[i*r.codes.Levels+l])))
	}
	return out
}

// prefetch begins to fetch row i, to be asked for soon.
func (r Rows) prefetch(i int) { f32.Prefetch(r.x.Row(i)) }

// gather is a matrix of some rows: of its own memory, or r itself where that is all of its stored rows.
func (r Rows) gather(ctx context.Context, rows []int) (core.Matrix, error) {
	if r.Stored() && len(rows) == r.Len() {
		return r.x, nil
	}
	out := core.NewMatrix(len(rows), r.Dim())
	err := par.Chunks(ctx, len(rows), taskRows, func(_, lo, hi int) {
		for j := lo; j < hi; j++ {
			copy(out.Row(j), r.Row(rows[j], out.Row(j)))
		}
	})
	return out, err
}

// each calls f once for each row, on some goroutine.
func (r Rows) each(ctx context.Context, f func(i int, row []float32)) error {
	scratch := r.Scratch(1)
	return par.Chunks(ctx, r.Len(), taskRows, func(worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			f(i, r.Row(i, scratch[worker]))
		}
	})
}

// pieces hands f rows at(0) to at(n-1) in turn, as row(lo) to row(hi-1): all at once where they are stored, else some
// thousands worked out in *piece, which is made here if it is nil.
func (r Rows) pieces(ctx context.Context, n int, at func(j int) int, piece *[]float32, f func(lo, hi int, row func(j int) []float32) error) error {
	if r.Stored() {
		return f(0, n, func(j int) []float32 { return r.x.Row(at(j)) })
	}
	dim := r.Dim()
	if *piece == nil {
		*piece = make([]float32, min(pieceRows, r.Len())*dim)
	}
	for lo := 0; lo < n; lo += pieceRows {
		hi := min(n, lo+pieceRows)
		row := func(j int) []float32 { return (*piece)[(j-lo)*dim : (j-lo+1)*dim] }
		err := par.Chunks(ctx, hi-lo, 64, func(_, a, b int) {
			for j := lo + a; j < lo+b; j++ {
				r.Row(at(j), row(j))
			}
		})
		if err != nil {
			return err
		}
		if err := f(lo, hi, row); err != nil {
			return err
		}
	}
	return nil
}
