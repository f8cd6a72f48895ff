// Package sinkhorn assigns rows to columns under marginals, softly: of all plans that move given weights of rows to given
// weights of columns it finds the one of least cost less Epsilon times entropy, by scaling rows and columns in turns
// (Cuturi, NeurIPS 2013). Assign takes the best column of each row of such a plan for equal weights, which spreads a batch
// over the columns (Caron et al., SwAV, NeurIPS 2020). Package transport finds the plan without entropy.
//
// All is float64. Where the scalings stay moderate an iteration is two matrix products with the kernel exp(-cost/Epsilon);
// where they do not, with a small Epsilon, it is worked out in logarithms, and they are taken into the kernel (Schmitzer,
// SIAM J. Sci. Comput. 41(3), 2019). Sums run in an order that the sizes alone decide, and exp is our own: results are
// the same, bit for bit, on any number of threads and every CPU.
package sinkhorn

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Params sets up a Solver's calls. Start from DefaultParams.
type Params struct {
	Epsilon float64 // weight of the entropy, > 0: for Solve in the unit of the costs, for Assign in that of centered costs
	MaxIter int     // most times that rows and columns are scaled, at least 0
	Tol     float64 // Solve stops when the rows' weights are off by no more than this share of their sum, together; 0: never
}

// DefaultParams returns 1000 iterations and a Tol of 1e-9.
func DefaultParams(epsilon float64) Params { return Params{Epsilon: epsilon, MaxIter: 1000, Tol: 1e-9} }

// Costs are what it costs to move a unit of weight from a row to a column.
type Costs struct {
	Rows, Cols int
	Data       []float64 // Rows × Cols, row-major
}

// Result is a plan by its potentials: row i gives exp((F[i] + G[j] - cost)/Epsilon) to column j.
type Result struct {
	F, G      []float64 // of rows and columns, in the unit of the costs
	Iters     int
	Error     float64 // by what share of their sum the rows' weights are off, together; the columns' are met
	Converged bool    // Error is at most Tol
}

// maxSpread is the most that costs may differ by, in units of epsilon: beyond, rounding would reach the plan.
const maxSpread = 1e12

// Solver keeps its memory, some Rows × Cols float64 beside the costs, for the next call, and refers to the costs until then.
// The zero value is ready; it serves one goroutine at a time.
type Solver struct {
	costs     Costs
	base      float64   // the least cost
	inverse   float64   // costs less base times this are exponents
	a, b      []float64 // the weights
	kernel    []float64 // Rows × Cols: exp(alpha + beta - exponent)
	alpha     []float64 // what the kernel has of the logarithms of the rows' scalings
	beta      []float64 // and of the columns'
	u, v      []float64 // the rest of the scalings
	nextU     []float64
	total     []float64 // of the columns, before they were scaled last: times e to the power of
	most      []float64 // this, if inLogs
	inLogs    bool      // the last iteration was in logarithms
	sums      []float64 // Cols numbers for each chunk of rows
	maxima    []float64 // the same
	errs      []float64 // of each chunk
	strange   []bool    // of each chunk: a sum is beyond what floats hold well
	distances []float64 // of AssignRows
	blocks    []block   // one a goroutine
}

// block is where AssignRows works out distances of a few rows.
type block struct {
	panels  f32.Panels
	columns []float64 // Cols × rows
}

const blockRows = 64

// Solve finds the plan between rows of weights a and columns of weights b: positive numbers of equal sum, or nil for 1/Rows
// or 1/Cols each. It ends early with the error of ctx.
func (s *Solver) Solve(ctx context.Context, costs Costs, a, b []float64, p Params) (*Result, error) {
	low, high, err := check(costs, p)
	if err != nil {
		return nil, err
	}
	sumA, err := checkWeights("row", a, costs.Rows)
	if err != nil {
		return nil, err
	}
	sumB, err := checkWeights("column", b, costs.Cols)
	if err != nil {
		return nil, err
	}
	if math.Abs(sumA-sumB) > 1e-9*sumA {
		return nil, fmt.Errorf("sinkhorn: %w: rows weigh %g, columns %g: scale one to the sum of the other", core.ErrParam, sumA, sumB)
	}
	if err := s.begin(ctx, costs, a, b, low, high, 1/p.Epsilon); err != nil {
		return nil, err
	}
	r := &Result{}
	for {
		last := r.Iters == p.MaxIter
		off, settled, err := s.iterate(ctx, func(off float64) bool { return last || off <= p.Tol*sumA && p.Tol > 0 })
		if err != nil {
			return nil, err
		}
		r.Error = off / sumA
		if settled {
			break
		}
		r.Iters++
	}
	r.Converged = r.Error <= p.Tol
	r.F, r.G = make([]float64, costs.Rows), make([]float64, costs.Cols)
	for i := range r.F {
		r.F[i] = float64((s.alpha[i]+log(s.u[i]))*p.Epsilon) + s.base
	}
	for j := range r.G {
		r.G[j] = float64((s.beta[j] + log(s.v[j])) * p.Epsilon)
	}
	return r, nil
}

// Plan writes the plan of the last Solve to dst, which has room for Rows × Cols.
func (s *Solver) Plan(ctx context.Context, dst []float64) error {
	if len(dst) != len(s.costs.Data) {
		return fmt.Errorf("sinkhorn: %w: room for %d numbers, the plan has %d", core.ErrShape, len(dst), len(s.costs.Data))
	}
	cols := s.costs.Cols
	return par.Chunks(ctx, s.costs.Rows, s.chunk(), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			for j, k := range s.kernel[i*cols : (i+1)*cols] {
				dst[i*cols+j] = float64(s.u[i]*k) * s.v[j]
			}
		}
	})
}

// Assign writes to labels, for each row, the column that gets most of it when all rows weigh the same and so do all
// columns, after p.MaxIter iterations; of equal ones, to a share of 1e-10, the one of least cost, and of these the lowest.
// With 0 iterations that is the column of least cost. Epsilon is in units of half the range of the costs: with mid between
// the least and the greatest cost, and half their difference to it, the exponents are -(cost - mid)/(half + 1e-5)/Epsilon.
// Tol is not used. With fewer rows than columns many a column goes to one row, all of it but for rounding: which of them
// the row gets is then for the costs to say.
func (s *Solver) Assign(ctx context.Context, labels []int32, costs Costs, p Params) error {
	low, high, err := check(costs, p)
	if err != nil {
		return err
	}
	if len(labels) != costs.Rows {
		return fmt.Errorf("sinkhorn: %w: room for %d labels, there are %d rows", core.ErrShape, len(labels), costs.Rows)
	}
	half := high - (low/2 + high/2)
	if err := s.begin(ctx, costs, nil, nil, low, high, 1/(float64((half+1e-5)*p.Epsilon))); err != nil {
		return err
	}
	for range p.MaxIter {
		_, settled, err := s.iterate(ctx, func(float64) bool { return false })
		if err != nil {
			return err
		}
		if settled {
			break // all further iterations are like this one
		}
	}
	k := costs.Cols
	return par.Chunks(ctx, costs.Rows, s.chunk(), func(_, lo, hi int) {
		shares := make([]float64, k)
		for i := lo; i < hi; i++ {
			row := costs.Data[i*k : (i+1)*k]
			least := 0.0 // share of a column that may be chosen
			if p.MaxIter > 0 {
				for j := range shares {
					shares[j] = s.share(i, j)
				}
				least = slices.Max(shares) * (1 - sameShare)
			}
			best := -1
			for j, share := range shares {
				if share >= least && (best < 0 || row[j] < row[best]) {
					best = j
				}
			}
			labels[i] = int32(max(best, 0))
		}
	})
}

// sameShare is by what part shares of columns may differ to count as equal.
const sameShare = 1e-10

// AssignRows is Assign by the squared distances of rows to centroids, worked out as those that define a code.
func (s *Solver) AssignRows(ctx context.Context, labels []int32, x, centroids core.Matrix, p Params) error {
	for _, m := range []core.Matrix{x, centroids} {
		if err := m.Check(); err != nil {
			return fmt.Errorf("sinkhorn: %w", err)
		}
	}
	if x.Cols != centroids.Cols {
		return fmt.Errorf("sinkhorn: %w: rows of %d columns, centroids of %d", core.ErrShape, x.Cols, centroids.Cols)
	}
	k := centroids.Rows
	s.distances = resize(s.distances, x.Rows*k)
	if n := par.Threads(); len(s.blocks) < n {
		s.blocks = make([]block, n)
	}
	err := par.Chunks(ctx, x.Rows, blockRows, func(worker, lo, hi int) {
		b, n := &s.blocks[worker], hi-lo
		b.panels.Pack(x.Slice(lo, hi).Data, x.Cols)
		b.columns = resize(b.columns, n*k)
		b.panels.SqDists64(b.columns, centroids.Data)
		for i := range n {
			for j := range k {
				s.distances[(lo+i)*k+j] = b.columns[j*n+i]
			}
		}
	})
	if err != nil {
		return err
	}
	return s.Assign(ctx, labels, Costs{x.Rows, k, s.distances}, p)
}

// check returns the least and the greatest cost.
func check(c Costs, p Params) (low, high float64, err error) {
	switch {
	case c.Rows < 1 || c.Cols < 1 || len(c.Data) != c.Rows*c.Cols:
		return 0, 0, fmt.Errorf("sinkhorn: %w: %d costs for %d rows and %d columns, want at least one of each", core.ErrShape, len(c.Data), c.Rows, c.Cols)
	case !(p.Epsilon > 0) || math.IsInf(p.Epsilon, 1):
		return 0, 0, fmt.Errorf("sinkhorn: %w: Epsilon is %g, want a number > 0", core.ErrParam, p.Epsilon)
	case p.MaxIter < 0:
		return 0, 0, fmt.Errorf("sinkhorn: %w: MaxIter is %d, want at least 0", core.ErrParam, p.MaxIter)
	case !(p.Tol >= 0):
		return 0, 0, fmt.Errorf("sinkhorn: %w: Tol is %g, want a number >= 0", core.ErrParam, p.Tol)
	}
	low, high = c.Data[0], c.Data[0]
	for i, v := range c.Data {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, 0, fmt.Errorf("sinkhorn: %w: the cost of row %d and column %d", core.ErrNotFinite, i/c.Cols, i%c.Cols)
		}
		low, high = min(low, v), max(high, v)
	}
	return low, high, nil
}

// checkWeights returns the sum of the weights.
func checkWeights(what string, w []float64, n int) (float64, error) {
	if w == nil {
		return 1, nil
	}
	if len(w) != n {
		return 0, fmt.Errorf("sinkhorn: %w: %d weights for %d %ss", core.ErrShape, len(w), n, what)
	}
	var sum float64
	for i, v := range w {
		if !(v >= 1e-100 && v <= 1e100) {
			return 0, fmt.Errorf("sinkhorn: %w: the weight of %s %d is %g, want a number from 1e-100 to 1e100; leave out what weighs nothing", core.ErrParam, what, i, v)
		}
		sum += v
	}
	return sum, nil
}

// resize returns s with length n, in new memory if it must; the contents are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
