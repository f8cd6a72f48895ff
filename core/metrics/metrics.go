// Package metrics says what codes are worth: whether near rows have near codes (Rank, Correlation), how evenly codes and
// ids are used (Use), whether their prefixes mean what labels or item pairs say (Labels, Pairs), and how one set of
// codes differs from another (Agree).
//
// Near rows are those of least squared Euclidean distance, by the float64 sum that also defines codes. Sums over rows
// run in float64 in a fixed order, so every result is the same on any number of threads and any CPU. docs/metrics.md has
// the formulas.
package metrics

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Distance says how far apart two rows of codes are.
type Distance int

const (
	Hierarchical Distance = iota // the levels less the length of the common prefix
	Hamming                      // the levels at which the codes differ
)

func (d Distance) check() error {
	if d != Hierarchical && d != Hamming {
		return fmt.Errorf("metrics: %w: distance is %d, want %d (hierarchical) or %d (hamming)", core.ErrParam, d, Hierarchical, Hamming)
	}
	return nil
}

// between returns the distance of two rows of equal length.
func (d Distance) between(a, b []int32) int {
	same := 0
	for l, v := range a {
		if v == b[l] {
			same++
		} else if d == Hierarchical {
			break
		}
	}
	return len(a) - same
}

// checkCodes returns an ErrShape unless there is at least one row and one level and Data is as long as they say.
func checkCodes(c core.Codes) error {
	if c.Rows < 1 || c.Levels < 1 || len(c.Data) != c.Rows*c.Levels {
		return fmt.Errorf("metrics: %w: %d codes for %d rows of %d levels, want at least one of each", core.ErrShape, len(c.Data), c.Rows, c.Levels)
	}
	if c.Rows > math.MaxInt32 {
		return fmt.Errorf("metrics: %w: %d rows, want at most %d", core.ErrShape, c.Rows, math.MaxInt32)
	}
	return nil
}

func checkBoth(x core.Matrix, c core.Codes) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := checkCodes(c); err != nil {
		return err
	}
	if x.Rows != c.Rows {
		return fmt.Errorf("metrics: %w: %d rows of X, %d rows of codes, want one row of codes for each of X", core.ErrShape, x.Rows, c.Rows)
	}
	return nil
}

// checkRows returns an error unless all of which are numbers of n rows.
func checkRows(what string, which []int64, n int) error {
	for i, row := range which {
		if row < 0 || row >= int64(n) {
			return fmt.Errorf("metrics: %w: %s %d is row %d, want 0 to %d", core.ErrParam, what, i, row, n-1)
		}
	}
	return nil
}

// CheckFinite returns a core.ErrNotFinite that names the first row of x which holds NaN or infinity.
func CheckFinite(ctx context.Context, x core.Matrix) (err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := x.Check(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	const chunk = 1024
	var found atomic.Bool
	err = par.Chunks(ctx, x.Rows, chunk, func(_, lo, hi int) {
		if f32.NotFinite(x.Slice(lo, hi).Data) >= 0 {
			found.Store(true)
		}
	})
	if err == nil && found.Load() {
		err = x.CheckFinite()
	}
	return err
}

// Neighbors returns the k rows of x nearest to each of the query rows, nearest first, ties by index, without the query
// itself: ids[i*k:][:k] are those of queries[i], dists their squared Euclidean distances. x must be finite. progress, if
// not nil, is called from several goroutines with the queries done so far.
func Neighbors(ctx context.Context, x core.Matrix, queries []int64, k int, progress func(done int)) (ids []int32, dists []float64, err error) {
	if err := checkNeighbors(x, queries, k); err != nil {
		return nil, nil, err
	}
	ids, dists = make([]int32, len(queries)*k), make([]float64, len(queries)*k)
	err = eachNeighbors(ctx, x, queries, k, progress, func(lo, hi int, some []int32, far []float64) {
		copy(ids[lo*k:hi*k], some)
		copy(dists[lo*k:hi*k], far)
	})
	return ids, dists, err
}

func checkNeighbors(x core.Matrix, queries []int64, k int) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if k < 1 || k >= x.Rows {
		return fmt.Errorf("metrics: %w: k is %d, want 1 to %d, one less than there are rows", core.ErrParam, k, x.Rows-1)
	}
	if x.Rows > math.MaxInt32 {
		return fmt.Errorf("metrics: %w: %d rows, want at most %d", core.ErrShape, x.Rows, math.MaxInt32)
	}
	return checkRows("query", queries, x.Rows)
}

// eachNeighbors calls f, from several goroutines, with the neighbors of queries lo to hi-1, which are overwritten after it.
func eachNeighbors(ctx context.Context, x core.Matrix, queries []int64, k int, progress func(done int),
	f func(lo, hi int, ids []int32, dists []float64)) (err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	search := f32.NewNeighbors(x.Data, x.Cols)
	if err := par.Chunks(ctx, search.Blocks(), 1, func(_, lo, _ int) { search.Prepare(lo) }); err != nil {
		return err
	}
	type scratch struct {
		rows  []float32
		skip  []int32
		ids   []int32
		dists []float64
	}
	chunk := queryChunk(len(queries))
	pool := sync.Pool{New: func() any { return &scratch{ids: make([]int32, chunk*k), dists: make([]float64, chunk*k)} }}
	var done counter
	return par.Chunks(ctx, len(queries), chunk, func(_, lo, hi int) {
		s := pool.Get().(*scratch)
		defer pool.Put(s)
		s.rows, s.skip = s.rows[:0], s.skip[:0]
		for _, q := range queries[lo:hi] {
			s.rows = append(s.rows, x.Row(int(q))...)
			s.skip = append(s.skip, int32(q))
		}
		ids, dists := s.ids[:(hi-lo)*k], s.dists[:(hi-lo)*k]
		search.Search(ids, dists, s.rows, s.skip, k)
		f(lo, hi, ids, dists)
		done.add(hi-lo, progress)
	})
}

// queryChunk is how many of n queries to search at once: multiples of a tile's 14, and enough chunks for all threads.
func queryChunk(n int) int {
	return 14 * min(max(1, n/(14*4*par.Threads())), 8)
}

// SumSquares returns the sum over all elements of (x-y)², each row of x first divided by its norm under Cosine.
func SumSquares(ctx context.Context, x, y core.Matrix, metric core.Metric) (sum float64, err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := x.Check(); err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	if y.Rows != x.Rows || y.Cols != x.Cols || len(y.Data) != len(x.Data) {
		return 0, fmt.Errorf("metrics: %w: %d rows of %d columns against %d rows of %d columns", core.ErrShape, x.Rows, x.Cols, y.Rows, y.Cols)
	}
	const chunk = 1024
	sums := make([]float64, (x.Rows+chunk-1)/chunk)
	err = par.Chunks(ctx, x.Rows, chunk, func(_, lo, hi int) {
		unit := make([]float32, x.Cols)
		for i := lo; i < hi; i++ {
			row := x.Row(i)
			if metric == core.Cosine {
				copy(unit, row)
				f32.Normalize(unit) // a row of zeros stays
				row = unit
			}
			sums[lo/chunk] += f32.SqDist64(row, y.Row(i))
		}
	})
	return total(sums), err
}

func total(values []float64) float64 {
	var s float64
	for _, v := range values {
		s += v
	}
	return s
}
