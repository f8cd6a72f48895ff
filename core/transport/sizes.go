package transport

import (
	"fmt"

	"github.com/semantic-id/semantic-id/core"
)

// Sizes say how many rows column j takes: Lower[j] to Upper[j].
type Sizes struct {
	Lower, Upper []int
}

// Balanced are sizes that differ by at most one: rows/columns rounded down or up.
func Balanced(rows, columns int) Sizes {
	return Between(columns, rows/columns, (rows+columns-1)/columns)
}

// Between are equal bounds for each column.
func Between(columns, lower, upper int) Sizes {
	s := Sizes{make([]int, columns), make([]int, columns)}
	for j := range columns {
		s.Lower[j], s.Upper[j] = lower, upper
	}
	return s
}

// Check returns an error unless there are bounds for each column and rows can be spread within them.
func (s Sizes) Check(rows, columns int) error {
	if len(s.Lower) != columns || len(s.Upper) != columns {
		return fmt.Errorf("transport: %w: %d lower and %d upper sizes, want %d of each, one a column", core.ErrShape, len(s.Lower), len(s.Upper), columns)
	}
	least, most := 0, 0
	for j, lower := range s.Lower {
		upper := s.Upper[j]
		switch {
		case lower < 0:
			return fmt.Errorf("transport: %w: the lower size of column %d is %d, want at least 0", core.ErrParam, j, lower)
		case upper < lower:
			return fmt.Errorf("transport: %w: column %d is to take at least %d and at most %d rows", core.ErrParam, j, lower, upper)
		}
		least += min(lower, rows+1) // enough to be too many, and no overflow
		most += min(upper, rows)
	}
	if least > rows {
		return fmt.Errorf("transport: %w: %d rows, but the lower sizes of the %d columns ask for %d or more: %d too few", core.ErrParam, rows, columns, least, least-rows)
	}
	if most < rows {
		return fmt.Errorf("transport: %w: %d rows, but the upper sizes of the %d columns leave room for %d: %d too many", core.ErrParam, rows, columns, most, rows-most)
	}
	return nil
}

// within is s without upper sizes of more than all rows.
func (s Sizes) within(rows int) Sizes {
	upper := make([]int, len(s.Upper))
	for j, u := range s.Upper {
		upper[j] = min(u, rows)
	}
	return Sizes{s.Lower, upper}
}
