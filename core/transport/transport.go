// Package transport sends each of N rows to one of K columns at the least summed cost, every column taking between a
// lower and an upper number of rows: the transport problem, whose solutions for squared distances are exactly balanced
// clusters. A row counts one; there are no weights.
//
// Solve ends with a proof: prices of the columns whose dual value is the cost of the assignment, so that no other can cost
// less. Costs are taken and summed in float64. Equal input gives equal output on any number of threads and every CPU.
//
// Method: successive shortest paths on a graph of the columns alone, where the edge from j to l is the cheapest move of a
// row from j to l (Ahuja, Magnanti, Orlin, Network Flows, 1993, section 9.7). Rows are offered the few columns that are near
// their cheapest, prices included; at the end a bound tells which rows must be offered more (column generation), so memory
// goes with the rows and the square of the columns, up to 1,024 of these, and with the rows and columns beyond. From cold, prices
// come from samples of the rows, each four times as large as the one before: what is left to move then is what chance
// makes of a sample.
package transport

import (
	"context"
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// Costs are what each row pays in each column. Distances and Sparse make some; others may be of any kind.
type Costs interface {
	// Rows is the number of rows.
	Rows() int
	// Columns is the number of columns.
	Columns() int
	// Row writes to dst, of Columns elements, what row i costs in each column; +Inf is where it cannot go. The same row
	// has the same costs each time. Row is called by several goroutines at once.
	Row(dst []float64, i int)
}

// Solution is an assignment and the proof that none costs less.
type Solution struct {
	Columns []int32 // of each row
	Counts  []int   // rows in each column

	// Prices of the columns: with them every row is where its cost and the column's price add up to the least. A price is
	// positive only where a column is full (Counts is Upper), negative only where it has no more than it must (Lower).
	// Where Lower is Upper everywhere, all of them may be raised alike.
	Prices []float64

	Primal float64 // the summed cost of the assignment
	Dual   float64 // what every assignment costs at least, by the prices
	Gap    float64 // Primal - Dual as a share of the sum of what the rows pay, without signs; 0 if Primal is Dual

	reach float64 // by how much the difference of two prices changed on the way
}

// MaxGap is the largest Gap of a solution, unless costs are of so different magnitudes that float64 cannot tell: where all
// the rest costs next to nothing beside single costs which sizes alone decide on.
const MaxGap = 1e-9

// Solve finds an assignment of least cost. warm is a solution of a problem like this one with as many columns, of which it
// takes the Prices (the nearer they are, the sooner it is done; the rest may be empty), or nil.
//
// It returns a core.ErrShape where numbers of columns or rows do not fit, a core.ErrNotFinite for a cost of NaN or -Inf and
// for such prices, a core.ErrParam for sizes that cannot be met, which it names, and the error of ctx soon after that ends.
func Solve(ctx context.Context, c Costs, s Sizes, warm *Solution) (*Solution, error) {
	n, k := c.Rows(), c.Columns()
	if n < 1 || k < 1 {
		return nil, fmt.Errorf("transport: %w: %d rows and %d columns, want at least one of each", core.ErrShape, n, k)
	}
	if err := s.Check(n, k); err != nil {
		return nil, err
	}
	prices := make([]float64, k)
	if warm != nil {
		if len(warm.Prices) != k {
			return nil, fmt.Errorf("transport: %w: %d prices to start from, want %d, one a column", core.ErrShape, len(warm.Prices), k)
		}
		for j, p := range warm.Prices {
			if math.IsNaN(p) || math.IsInf(p, 0) {
				return nil, fmt.Errorf("transport: %w: the price of column %d to start from is %g", core.ErrNotFinite, j, p)
			}
		}
		copy(prices, warm.Prices)
	}
	p := &problem{costs: sourceOf(c), sizes: s.within(n), n: n, k: k}
	return p.solve(ctx, prices, warm)
}

func sourceOf(c Costs) source {
	if s, ok := c.(source); ok {
		return s
	}
	return anyCosts{c}
}
