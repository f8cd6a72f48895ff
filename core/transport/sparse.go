package transport

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// Sparse is costs of rows that can go to a few columns each.
type Sparse struct {
	columns int
	first   []int
	column  []int32
	cost    []float64
}

// NewSparse returns the costs by which row i can go to column[first[i]] for cost[first[i]], and so on to first[i+1]-1. It
// refers to what it is given. It returns an error for lengths that do not fit, and for columns that a row has twice or that
// are none of the given number.
func NewSparse(columns int, first []int, column []int32, cost []float64) (*Sparse, error) {
	if len(first) < 2 || first[0] != 0 || first[len(first)-1] != len(column) || len(column) != len(cost) {
		return nil, fmt.Errorf("transport: %w: %d starts of rows, %d columns and %d costs of these; want starts from 0 to the number of costs",
			core.ErrShape, len(first), len(column), len(cost))
	}
	last := make([]int, max(columns, 0)) // the row that had a column last, from 1 on
	for i := range len(first) - 1 {
		if first[i] > first[i+1] || first[i+1] > len(column) {
			return nil, fmt.Errorf("transport: %w: row %d has costs %d to %d of %d", core.ErrShape, i, first[i], first[i+1]-1, len(column))
		}
		for _, j := range column[first[i]:first[i+1]] {
			if j < 0 || int(j) >= columns {
				return nil, fmt.Errorf("transport: %w: row %d has column %d, want 0 to %d", core.ErrParam, i, j, columns-1)
			}
			if last[j] == i+1 {
				return nil, fmt.Errorf("transport: %w: row %d has column %d twice", core.ErrParam, i, j)
			}
			last[j] = i + 1
		}
	}
	return &Sparse{columns, first, column, cost}, nil
}

func (s *Sparse) Rows() int    { return len(s.first) - 1 }
func (s *Sparse) Columns() int { return s.columns }

func (s *Sparse) Row(dst []float64, i int) {
	for j := range dst {
		dst[j] = math.Inf(1)
	}
	for x := s.first[i]; x < s.first[i+1]; x++ {
		dst[s.column[x]] = s.cost[x]
	}
}

// offering implements source.
func (s *Sparse) offering([]float64, window) func(rows []int32, found func(r int, offers []offer)) error {
	var offers []offer
	return func(rows []int32, found func(r int, offers []offer)) error {
		for r, i := range rows {
			offers = offers[:0]
			for x := s.first[i]; x < s.first[i+1]; x++ {
				o, err := makeOffer(i, s.column[x], s.cost[x])
				if err != nil {
					return err
				}
				if !math.IsInf(o.cost, 1) {
					offers = append(offers, o)
				}
			}
			if len(offers) == 0 {
				return errNowhere(i)
			}
			found(r, offers)
		}
		return nil
	}
}

// paying implements source.
func (s *Sparse) paying(columns []int32) func(dst []float64, i int32) {
	at := make(map[int32]int, len(columns))
	for x, j := range columns {
		at[j] = x
	}
	return func(dst []float64, i int32) {
		for x := range dst {
			dst[x] = math.Inf(1)
		}
		for x := s.first[i]; x < s.first[i+1]; x++ {
			if y, ok := at[s.column[x]]; ok {
				dst[y] = s.cost[x]
			}
		}
	}
}
