// Package kmeans clusters float32 rows into one codebook of K centroids. A residual quantizer calls Fit once a level,
// on what the levels before left over. Distances are squared Euclidean. Sums run in float64 and in a fixed order, so
// equal data and Params give equal centroids on any number of threads and every CPU.
//
// Start: greedy k-means++ (Arthur, Vassilvitskii, SODA 2007), in wide data followed by Lloyd in growing principal
// subspaces. Where there are few rows a centroid, single rows are moved then (Hartigan, Wong, Applied Statistics 28(1),
// 1979). The end is Lloyd (IEEE Trans. Inf. Theory 28(2), 1982): over-relaxed at first where there are many, then skipping
// distances by exact bounds (Elkan, ICML 2003; Ding et al., ICML 2015).
//
// Where sizes are set, a codebook without them is the start, and assignments that keep to the sizes, exact ones by package
// transport, take turns with means.
package kmeans

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/transport"
)

// Params sets up Fit. Start from DefaultParams and change fields: 0 is then a value, not "unset".
type Params struct {
	K        int     // centroids, from 1 to the number of rows
	MaxIter  int     // most iterations over all rows, of single rows moved and of Lloyd, at least 1; the last is Lloyd's
	Tol      float64 // stop when the summed squared centroid shift is <= Tol × the mean column variance, or an iteration takes <= Tol/5 of the inertia away; 0: when no label moves
	Restarts int     // runs from different seeds, at least 1; the one of least inertia is kept
	Seed     uint64

	// Sizes, when set, say how many rows each cluster is to have: transport.Balanced(rows, K) for sizes that differ by at
	// most one, transport.Between(K, least, most) for others. A row counts one, so there may be no weights.
	Sizes transport.Sizes

	// Progress, when set, is called from the calling goroutine after each iteration over all rows with the
	// number done so far, over all restarts.
	Progress func(done int)
}

// DefaultParams returns k centroids, 100 iterations, a Tol of 1e-4 and one restart: the best of ten ends some 1 % lower in
// ten times the time, and what Fit does about poor optima gains more.
func DefaultParams(k int) Params { return Params{K: k, MaxIter: 100, Tol: 1e-4, Restarts: 1} }

// Check returns an ErrParam for the first field that cannot be used with this many rows.
func (p Params) Check(rows int) error {
	switch {
	case p.K < 1 || p.K > rows:
		return fmt.Errorf("kmeans: %w: K is %d, want 1 to %d, the number of rows", core.ErrParam, p.K, rows)
	case p.MaxIter < 1:
		return fmt.Errorf("kmeans: %w: MaxIter is %d, want at least 1", core.ErrParam, p.MaxIter)
	case !(p.Tol >= 0) || math.IsInf(p.Tol, 1):
		return fmt.Errorf("kmeans: %w: Tol is %g, want a number >= 0", core.ErrParam, p.Tol)
	case p.Restarts < 1:
		return fmt.Errorf("kmeans: %w: Restarts is %d, want at least 1", core.ErrParam, p.Restarts)
	}
	if p.sized() {
		if err := p.Sizes.Check(rows, p.K); err != nil {
			return fmt.Errorf("kmeans: %w", err)
		}
	}
	return nil
}

// sized tells whether clusters are to have certain sizes.
func (p Params) sized() bool { return p.Sizes.Lower != nil || p.Sizes.Upper != nil }

// Result is one fitted codebook.
type Result struct {
	Centroids core.Matrix // K rows
	Labels    []int32     // the nearest centroid of each row, by the definition of a code; with Sizes that of Assignment
	Inertia   float64     // sum over rows of weight × squared distance to the centroid
	Iters     int         // iterations over all rows, of the restart that was kept
	Converged bool        // false: MaxIter ended it
	Distinct  bool        // false: fewer distinct rows (of positive weight) than K, so some centroids are copies

	// Assignment, only with Sizes, is that of the rows to Centroids, with the proof that no other of these sizes has a
	// smaller sum of squared distances. Its Columns are Labels.
	Assignment *transport.Solution
}

// Fit clusters the rows of x. weights holds a finite weight >= 0 for each row, at least one of them positive, or is nil
// for equal weights; a row of weight 0 gets a label and moves nothing. Fit ends early with the error of ctx.
func Fit(ctx context.Context, x Rows, weights []float64, p Params) (*Result, error) {
	if err := x.x.Check(); err != nil {
		return nil, fmt.Errorf("kmeans: %w", err)
	}
	if err := p.Check(x.Len()); err != nil {
		return nil, err
	}
	if err := CheckWeights(weights, x.Len()); err != nil {
		return nil, err
	}
	if p.sized() && weights != nil {
		return nil, fmt.Errorf("kmeans: %w: weights with Sizes, where a row counts one: leave out the weights or Sizes", core.ErrParam)
	}
	few := x.Len() < exchangeBelow*p.K
	tidy := !few || !p.sized() // else there is little to give back, and a collection takes as long as two iterations
	if tidy {
		giveBack(x)
	}
	scatter, weight, center, err := scatterOf(ctx, x, weights)
	if err != nil {
		return nil, err
	}
	f := &fit{
		Params: p, x: x, weights: weights, few: few, center: center, scatter: scatter,
		variance: scatter / weight / float64(x.Dim()), spread: math.Sqrt(scatter / weight),
	}
	starter, err := newStarter(ctx, x, weights, p.K, f.few, f.spread, p.Seed)
	if err != nil {
		return nil, err
	}
	var best *Result
	for restart := range p.Restarts {
		first, err := starter.centroids(ctx, mix(p.Seed, uint64(restart)))
		if err != nil {
			return nil, err
		}
		if restart == p.Restarts-1 {
			if starter = nil; tidy {
				giveBack(x)
			}
		}
		r, err := f.run(ctx, first)
		if err != nil {
			return nil, err
		}
		if best == nil || r.Inertia < best.Inertia {
			best = r
		}
	}
	return best, nil
}

// fit is what the restarts have in common.
type fit struct {
	Params
	x        Rows
	weights  []float64
	few      bool      // few rows a centroid
	center   []float32 // the mean of the rows
	scatter  float64   // weighted sum of the squared distances of the rows to their mean
	variance float64   // the mean over the columns
	spread   float64   // root of the mean squared distance of the rows to their mean
	done     int       // iterations over all rows, over all restarts
}

func (f *fit) progress() {
	f.done++
	if f.Progress != nil {
		f.Progress(f.done)
	}
}

// run is one run from first centroids, which it overwrites.
func (f *fit) run(ctx context.Context, first core.Matrix) (*Result, error) {
	if f.sized() {
		return f.runSized(ctx, first)
	}
	iters := 0
	if f.few {
		var err error
		if iters, err = exchange(ctx, f.x, f.weights, first, f.MaxIter-1, f.progress); err != nil {
			return nil, err
		}
	}
	l := f.lloyd(first, f.MaxIter)
	l.iters, l.over, l.plain = iters, !f.few, f.few
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	inertia, err := l.inertia(ctx)
	return &Result{Centroids: l.centroids, Labels: l.labels, Inertia: inertia, Iters: l.iters, Converged: l.converged, Distinct: l.distinct}, err
}

func (f *fit) lloyd(first core.Matrix, maxIter int) *lloyd {
	return &lloyd{
		x: f.x, weights: f.weights, k: f.K, maxIter: maxIter, tol: f.Tol * f.variance, stall: stallShare * f.Tol,
		center: f.center, spread: f.spread, scatter: f.scatter, centroids: first, progress: f.progress,
	}
}

// giveBack returns to the system what is no longer used: what the fit of the level before had, and what the start had,
// are each of the size of the bounds to come, and the memory of a fit is promised.
func giveBack(x Rows) {
	if GivesBack(x.Len(), x.Dim()) {
		debug.FreeOSMemory()
	}
}

// GivesBack tells whether Fit returns memory to the system between its parts; small data is not worth a collection.
func GivesBack(rows, dim int) bool { return rows >= 1<<20/dim }

// CheckWeights returns an error unless weights is nil or holds a finite weight >= 0 for each row, at least one of them
// positive.
func CheckWeights(weights []float64, rows int) error {
	if weights == nil {
		return nil
	}
	if len(weights) != rows {
		return fmt.Errorf("kmeans: %w: %d weights for %d rows", core.ErrShape, len(weights), rows)
	}
	var sum float64
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 1) {
			return fmt.Errorf("kmeans: %w: the weight of row %d is %g, want a finite number >= 0", core.ErrParam, i, w)
		}
		sum += w
	}
	if sum == 0 || math.IsInf(sum, 1) {
		return fmt.Errorf("kmeans: %w: the weights sum to %g, want a finite number > 0", core.ErrParam, sum)
	}
	return nil
}

// mix hashes two words into one (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
func mix(a, b uint64) uint64 {
	z := a + (b+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
