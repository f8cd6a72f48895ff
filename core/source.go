package core

import (
	"context"
	"fmt"
	"io"
)

// Source gives rows in order, some at a time, from wherever they are: files, a database, a network.
type Source interface {
	// Dim is the number of columns of a row.
	Dim() int
	// Next writes the next rows to dst, row after row, and returns how many: at least one, at most len(dst)/Dim(). After
	// the last row it returns io.EOF; it may do so with the last rows already.
	Next(ctx context.Context, dst []float32) (rows int, err error)
}

// Blocks calls f with all rows of src, of the given number of rows at a time, the last time of what is left; first is
// the number of the block's first row. The block is overwritten after the call. An error of src is returned with the rows
// it happened at, one of f as it is. A source without rows is an ErrShape.
func Blocks(ctx context.Context, src Source, rows int, f func(first int, block Matrix) error) error {
	if src.Dim() < 1 || rows < 1 {
		return fmt.Errorf("%w: blocks of %d rows of %d columns, want at least one of each", ErrShape, rows, src.Dim())
	}
	block := NewMatrix(rows, src.Dim())
	for first := 0; ; first += rows {
		n, err := fill(ctx, src, block)
		if err != nil && err != io.EOF {
			return fmt.Errorf("rows %d to %d: %w", first+n, first+rows-1, err)
		}
		if first+n == 0 {
			return fmt.Errorf("%w: a source of no rows, want at least one sample", ErrShape)
		}
		if n > 0 {
			if err := f(first, block.Slice(0, n)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// fill reads rows until block is full, the source ends (io.EOF) or fails, and returns how many it has read.
func fill(ctx context.Context, src Source, block Matrix) (int, error) {
	idle := 0
	for n := 0; ; {
		if n == block.Rows {
			return n, nil
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, err := src.Next(ctx, block.Slice(n, block.Rows).Data)
		if got < 0 || got > block.Rows-n {
			return n, fmt.Errorf("%w: the source says that it wrote %d rows, where there is room for %d", ErrShape, got, block.Rows-n)
		}
		if n += got; err != nil {
			return n, err
		}
		if got > 0 {
			idle = 0
		} else if idle++; idle == 100 {
			return n, io.ErrNoProgress
		}
	}
}
