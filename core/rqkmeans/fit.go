// Package rqkmeans is residual k-means: level 0 is a k-means codebook of the rows, each further level a codebook of what
// the levels before leave over, so a row becomes one code per level, coarse first (Chen, Guan, Wang, Sensors 10(12),
// 2010). Equal data and Params give equal models and codes on any number of threads and every CPU.
package rqkmeans

import (
	"context"
	"fmt"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/kmeans"
	"github.com/semantic-id/semantic-id/core/transport"
)

// Params sets up Fit. Start from DefaultParams and change fields: 0 is then a value, not "unset".
type Params struct {
	Clusters []int // centroids of each level, coarse level first; each from 1 to the number of rows
	Metric   core.Metric
	MaxIter  int     // most iterations over all rows a level and restart
	Tol      float64 // as kmeans.Params.Tol, of what is left over at the level
	Restarts int     // k-means runs a level, of which the best is kept
	Seed     uint64

	// Balanced has the clusters of a level differ by at most one row in size: of all such assignments of the rows each
	// level takes one of the least sum of squared distances. There may be no weights then.
	Balanced bool

	// Recompute has what the levels before left over worked out at each use instead of kept in a copy of the rows:
	// slower, for rows that memory cannot hold twice, or at all, such as those of a mapped file. The model is the same.
	Recompute bool

	// Progress, when set, is called after each iteration over all rows with the level and the iterations done in it.
	Progress func(level, done int)
}

// DefaultParams returns the given number of levels of clusters centroids, the L2 metric, 100 iterations, a Tol of 1e-4
// and one restart.
func DefaultParams(levels, clusters int) Params {
	ks := make([]int, levels)
	for l := range ks {
		ks[l] = clusters
	}
	return Params{Clusters: ks, Metric: core.L2, MaxIter: 100, Tol: 1e-4, Restarts: 1}
}

func (p Params) level(l, rows int) kmeans.Params {
	kp := kmeans.Params{K: p.Clusters[l], MaxIter: p.MaxIter, Tol: p.Tol, Restarts: p.Restarts, Seed: p.Seed + uint64(l)}
	if p.Balanced && kp.K > 0 {
		kp.Sizes = transport.Balanced(rows, kp.K)
	}
	if p.Progress != nil {
		kp.Progress = func(done int) { p.Progress(l, done) }
	}
	return kp
}

// Level tells how the fit of one level went.
type Level struct {
	Inertia   float64 // weighted sum of the squared distances that the level leaves
	Iters     int
	Converged bool
	Distinct  bool // false: fewer distinct rows than centroids, or equal centroids of balanced clusters

	Certificate Certificate // with Params.Balanced
}

// Fit fits a model to the rows of x and returns it with the codes of those rows, balanced ones with Params.Balanced, and
// an account of each level. weights is as in kmeans.Fit. Beside x it needs less than one and a half times its memory: a copy for the residuals, and bounds.
// Fit ends early with the error of ctx. x may be mapped from a file: see Params.Recompute and package rowfile.
func Fit(ctx context.Context, x core.Matrix, weights []float64, p Params) (_ *Model, _ core.Codes, _ []Level, err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	none := core.Codes{}
	if err := x.Check(); err != nil {
		return nil, none, nil, fmt.Errorf("rqkmeans: %w", err)
	}
	if len(p.Clusters) == 0 {
		return nil, none, nil, fmt.Errorf("rqkmeans: %w: Clusters is empty, want a codebook size for each level", core.ErrParam)
	}
	if p.Metric != core.L2 && p.Metric != core.Cosine {
		return nil, none, nil, fmt.Errorf("rqkmeans: %w: unknown metric %v", core.ErrParam, p.Metric)
	}
	for l := range p.Clusters {
		if err := p.level(l, x.Rows).Check(x.Rows); err != nil {
			return nil, none, nil, fmt.Errorf("level %d: %w", l, err)
		}
	}
	if err := checkRows(ctx, x, p.Metric); err != nil {
		return nil, none, nil, err
	}
	rows := kmeans.RowsOf(x)
	if p.Recompute {
		rows = rows.Lean()
	}
	codes := core.NewCodes(x.Rows, len(p.Clusters))
	books := make([]core.Matrix, len(p.Clusters))
	levels := make([]Level, len(p.Clusters))
	rest := newLeftover(rows, p.Metric, codes, p.Recompute)
	for l := range p.Clusters {
		left, err := rest.of(ctx, books[:l])
		if err != nil {
			return nil, none, nil, err
		}
		r, err := kmeans.Fit(ctx, left, weights, p.level(l, x.Rows))
		if err != nil {
			return nil, none, nil, fmt.Errorf("level %d: %w", l, err)
		}
		books[l] = r.Centroids
		levels[l] = Level{Inertia: r.Inertia, Iters: r.Iters, Converged: r.Converged, Distinct: r.Distinct}
		if r.Assignment != nil {
			levels[l].Certificate = certify(r.Assignment)
		}
		for i, k := range r.Labels {
			codes.Data[i*codes.Levels+l] = k
		}
	}
	m, err := New(books, p.Metric)
	if err != nil {
		return nil, none, nil, err
	}
	m.settings = p.settings()
	return m, codes, levels, nil
}

// leftover is what levels leave of rows, level by level: worked out once a level and kept, or at each use.
type leftover struct {
	rows      kmeans.Rows
	codes     core.Codes
	recompute bool
	residual  core.Matrix
}

func newLeftover(rows kmeans.Rows, metric core.Metric, codes core.Codes, recompute bool) *leftover {
	if metric == core.Cosine {
		rows = rows.Unit()
	}
	return &leftover{rows: rows, codes: codes, recompute: recompute}
}

// of returns what the levels of these books leave, which stays until the next call.
func (r *leftover) of(ctx context.Context, books []core.Matrix) (kmeans.Rows, error) {
	left := r.rows.Less(r.codes, books)
	if r.recompute || left.Stored() {
		return left, nil
	}
	if r.residual.Data == nil {
		r.residual = core.NewMatrix(left.Len(), left.Dim())
	}
	err := par.Chunks(ctx, left.Len(), blockRows, func(_, lo, hi int) { left.Block(lo, hi, r.residual.Slice(lo, hi).Data) })
	return kmeans.RowsOf(r.residual), err
}

// checkRows returns an error for the first row that holds NaN or infinity, or is all zeros under Cosine.
func checkRows(ctx context.Context, x core.Matrix, metric core.Metric) error {
	bad := make([]error, (x.Rows+blockRows-1)/blockRows)
	err := par.Chunks(ctx, x.Rows, blockRows, func(_, lo, hi int) {
		bad[lo/blockRows] = checkBlock(x.Slice(lo, hi), metric, lo)
	})
	if err != nil {
		return err
	}
	for _, err := range bad {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkBlock is checkRows for a few rows, the number of the first of which is first.
func checkBlock(x core.Matrix, metric core.Metric, first int) error {
	if i := f32.NotFinite(x.Data); i >= 0 {
		return fmt.Errorf("rqkmeans: %w: row %d; remove or impute such rows", core.ErrNotFinite, first+i/x.Cols)
	}
	for i := range x.Rows {
		if metric == core.Cosine && !slices.ContainsFunc(x.Row(i), func(v float32) bool { return v != 0 }) {
			return fmt.Errorf("rqkmeans: %w: row %d; leave it out or use the L2 metric", core.ErrZeroRow, first+i)
		}
	}
	return nil
}
