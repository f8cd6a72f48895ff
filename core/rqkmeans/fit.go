// Package rqkmeans is residual k-means: level 0 is a k-means codebook of the rows, each further level a codebook of what
// the levels before leave over, so a row becomes one code per level, coarse first (Chen, Guan, Wang, Sensors 10(12),
// 2010). Equal data and Params give equal models and codes on any number of threads and every CPU.
package rqkmeans

import (
	"context"
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/kmeans"
)

// Params sets up Fit. Start from DefaultParams and change fields: 0 is then a value, not "unset".
type Params struct {
	Clusters []int // centroids of each level, coarse level first; each from 1 to the number of rows
	Metric   core.Metric
	MaxIter  int     // most Lloyd iterations a level and restart
	Tol      float64 // as kmeans.Params.Tol, of what is left over at the level
	Restarts int     // k-means runs a level, of which the best is kept
	Seed     uint64

	// Progress, when set, is called after each Lloyd iteration with the level and the iterations done in it.
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

func (p Params) level(l int) kmeans.Params {
	kp := kmeans.Params{K: p.Clusters[l], MaxIter: p.MaxIter, Tol: p.Tol, Restarts: p.Restarts, Seed: p.Seed + uint64(l)}
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
	Distinct  bool // false: fewer distinct rows than centroids
}

// Fit fits a model to the rows of x and returns it with the codes of those rows and an account of each level. weights
// is as in kmeans.Fit. Beside x it needs less than one and a half times its memory: a copy for the residuals, and bounds.
// Fit ends early with the error of ctx.
func Fit(ctx context.Context, x core.Matrix, weights []float64, p Params) (*Model, core.Codes, []Level, error) {
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
		if err := p.level(l).Check(x.Rows); err != nil {
			return nil, none, nil, fmt.Errorf("level %d: %w", l, err)
		}
	}
	if err := x.CheckFinite(); err != nil {
		return nil, none, nil, fmt.Errorf("rqkmeans: %w", err)
	}
	residual := core.NewMatrix(x.Rows, x.Cols)
	copy(residual.Data, x.Data)
	if p.Metric == core.Cosine {
		if err := normalize(ctx, residual); err != nil {
			return nil, none, nil, err
		}
	}
	codes := core.NewCodes(x.Rows, len(p.Clusters))
	books := make([]core.Matrix, len(p.Clusters))
	levels := make([]Level, len(p.Clusters))
	for l := range p.Clusters {
		r, err := kmeans.Fit(ctx, residual, weights, p.level(l))
		if err != nil {
			return nil, none, nil, fmt.Errorf("level %d: %w", l, err)
		}
		books[l] = r.Centroids
		levels[l] = Level{Inertia: r.Inertia, Iters: r.Iters, Converged: r.Converged, Distinct: r.Distinct}
		err = par.Chunks(ctx, x.Rows, blockRows, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				codes.Data[i*codes.Levels+l] = r.Labels[i]
				f32.Sub(residual.Row(i), r.Centroids.Row(int(r.Labels[i])))
			}
		})
		if err != nil {
			return nil, none, nil, err
		}
	}
	m, err := New(books, p.Metric)
	if err != nil {
		return nil, none, nil, err
	}
	m.settings = p.settings()
	return m, codes, levels, nil
}

// normalize divides each row by its norm: the float64 sum of squares in column order, its root, and one rounding of each
// quotient to float32.
func normalize(ctx context.Context, x core.Matrix) error {
	bad := make([]int, (x.Rows+blockRows-1)/blockRows) // 1 + the first zero row of each block
	err := par.Chunks(ctx, x.Rows, blockRows, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			if !normalizeRow(x.Row(i)) {
				bad[lo/blockRows] = i + 1
				return
			}
		}
	})
	if err != nil {
		return err
	}
	for _, i := range bad {
		if i > 0 {
			return zeroRow(i - 1)
		}
	}
	return nil
}

func normalizeRow(row []float32) bool {
	var s float64
	for _, v := range row {
		s += float64(float64(v) * float64(v))
	}
	if s == 0 {
		return false
	}
	norm := math.Sqrt(s)
	for i, v := range row {
		row[i] = float32(float64(v) / norm)
	}
	return true
}

func zeroRow(i int) error {
	return fmt.Errorf("rqkmeans: %w: row %d; leave it out or use the L2 metric", core.ErrZeroRow, i)
}
