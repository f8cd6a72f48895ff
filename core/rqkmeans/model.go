package rqkmeans

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/persist"
)

// blockRows is how many rows one goroutine takes through all levels at a time. It changes no code.
const blockRows = 256

// Model is a fitted quantizer. It is read-only, so many goroutines may use it at once.
type Model struct {
	metric   core.Metric
	dim      int
	books    []core.Matrix
	search   []*f32.Codebook
	settings persist.RQKMeans // of the fit, for Save; without the codebooks
	scratch  sync.Pool        // []float32 of blockRows*dim: the residuals of one block

	beamOnce    sync.Once // makes beam, which only EncodeBeam needs
	beam        *beamTables
	beamScratch sync.Pool // *beamScratch
}

var _ core.Quantizer = (*Model)(nil)

// New makes a model of codebooks, coarse level first, all of the same number of columns. It keeps them: do not change
// them afterwards.
func New(books []core.Matrix, metric core.Metric) (*Model, error) {
	if len(books) == 0 {
		return nil, fmt.Errorf("rqkmeans: %w: no codebook, want one for each level", core.ErrShape)
	}
	if metric != core.L2 && metric != core.Cosine {
		return nil, fmt.Errorf("rqkmeans: %w: unknown metric %d", core.ErrParam, metric)
	}
	m := &Model{metric: metric, dim: books[0].Cols, books: books, settings: DefaultParams(len(books), 1).settings()}
	for l, b := range books {
		if err := b.Check(); err != nil {
			return nil, fmt.Errorf("rqkmeans: codebook %d: %w", l, err)
		}
		if b.Cols != m.dim {
			return nil, fmt.Errorf("rqkmeans: %w: codebook %d has %d columns, codebook 0 has %d", core.ErrShape, l, b.Cols, m.dim)
		}
		if err := b.CheckFinite(); err != nil {
			return nil, fmt.Errorf("rqkmeans: codebook %d: %w", l, err)
		}
		m.search = append(m.search, f32.NewCodebook(b.Data, b.Rows, b.Cols))
	}
	m.scratch.New = func() any { b := make([]float32, blockRows*m.dim); return &b }
	m.beamScratch.New = func() any { return new(beamScratch) }
	return m, nil
}

// Dim is the number of columns of a row.
func (m *Model) Dim() int { return m.dim }

// Metric says how rows are compared.
func (m *Model) Metric() core.Metric { return m.metric }

// Books returns the codebooks, coarse level first. They are the model's own: read, do not write.
func (m *Model) Books() []core.Matrix { return m.books }

// Clusters gives the codebook size of each level.
func (m *Model) Clusters() []int {
	ks := make([]int, len(m.books))
	for l, b := range m.books {
		ks[l] = b.Rows
	}
	return ks
}

// Latents writes into dst what the codebooks quantize of each row of x, which the sum of the centroids of a code stands
// for: x itself, or under Cosine its rows divided by their norms. Rows that cannot be encoded are an error.
func (m *Model) Latents(ctx context.Context, x, dst core.Matrix) (err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := m.check(x, core.NewCodes(x.Rows, len(m.books))); err != nil {
		return err
	}
	if dst.Rows != x.Rows || dst.Cols != m.dim || len(dst.Data) != len(x.Data) {
		return fmt.Errorf("rqkmeans: %w: room for %d rows of %d columns, want %d of %d", core.ErrShape, dst.Rows, dst.Cols, x.Rows, m.dim)
	}
	if err := checkRows(ctx, x, m.metric); err != nil {
		return err
	}
	return par.Chunks(ctx, x.Rows, blockRows, func(_, lo, hi int) {
		copy(dst.Slice(lo, hi).Data, x.Slice(lo, hi).Data)
		for i := lo; i < hi && m.metric == core.Cosine; i++ {
			f32.Normalize(dst.Row(i))
		}
	})
}

// Encode writes into dst, for each row of x and each level, the nearest centroid to what the levels before left over.
// The next residual is the float32 difference, rounded once per element. The codes do not depend on what else is in x.
func (m *Model) Encode(ctx context.Context, x core.Matrix, dst core.Codes) error {
	return m.EncodeBlocks(ctx, x, dst, 0, nil)
}

// EncodeBlocks is Encode with at most batch rows in work per goroutine (0: a good number) and progress, if not nil,
// called from several goroutines with the rows done so far.
func (m *Model) EncodeBlocks(ctx context.Context, x core.Matrix, dst core.Codes, batch int, progress func(rows int)) error {
	return m.encode(ctx, x, dst, batch, progress, m.encodeBlock)
}

// encode lets block write the codes of at most blockRows rows at a time. block returns the first that cannot be encoded
// (it holds NaN or infinity, or is all zeros under Cosine), or -1.
func (m *Model) encode(ctx context.Context, x core.Matrix, dst core.Codes, batch int, progress func(rows int), block func(core.Matrix, []int32) int) (err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := m.check(x, dst); err != nil {
		return err
	}
	if batch < 1 || batch > blockRows {
		batch = blockRows
	}
	var failed atomic.Int64 // 1 + the lowest row found that cannot be encoded
	var done atomic.Int64
	err = par.Chunks(ctx, x.Rows, batch, func(_, lo, hi int) {
		if i := block(x.Slice(lo, hi), dst.Data[lo*dst.Levels:hi*dst.Levels]); i >= 0 {
			for row := int64(lo + i + 1); ; {
				old := failed.Load()
				if old != 0 && old <= row || failed.CompareAndSwap(old, row) {
					break
				}
			}
		}
		if n := done.Add(int64(hi - lo)); progress != nil {
			progress(int(n))
		}
	})
	if err != nil {
		return err
	}
	if i := int(failed.Load()); i > 0 {
		return checkBlock(x.Slice(i-1, i), m.metric, i-1)
	}
	return nil
}

// check returns an ErrShape unless x has the columns of the model and dst is for its codes.
func (m *Model) check(x core.Matrix, dst core.Codes) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("rqkmeans: %w", err)
	}
	if x.Cols != m.dim {
		return fmt.Errorf("rqkmeans: %w: rows of %d columns, the model has %d", core.ErrShape, x.Cols, m.dim)
	}
	if dst.Rows != x.Rows || dst.Levels != len(m.books) || len(dst.Data) != dst.Rows*dst.Levels {
		return fmt.Errorf("rqkmeans: %w: codes for %d rows of %d levels, want %d of %d", core.ErrShape, dst.Rows, dst.Levels, x.Rows, len(m.books))
	}
	return nil
}

// encodeBlock encodes a block, each level by the centroid nearest to what the levels before left over.
func (m *Model) encodeBlock(x core.Matrix, codes []int32) int {
	buf := m.scratch.Get().(*[]float32)
	defer m.scratch.Put(buf)
	levels := len(m.books)
	var labels [blockRows]int32
	rows := x.Data
	residual := (*buf)[:len(rows)]
	if i := f32.NotFinite(rows); i >= 0 {
		return i / m.dim
	}
	if m.metric == core.Cosine {
		copy(residual, rows)
		for i := range x.Rows {
			if !f32.Normalize(residual[i*m.dim : (i+1)*m.dim]) {
				return i
			}
		}
		rows = residual
	}
	for l, book := range m.books {
		m.search[l].Nearest(labels[:x.Rows], rows)
		for i, k := range labels[:x.Rows] {
			codes[i*levels+l] = k
		}
		if l == levels-1 {
			break
		}
		if &rows[0] != &residual[0] {
			copy(residual, rows)
			rows = residual
		}
		for i, k := range labels[:x.Rows] {
			f32.Sub(residual[i*m.dim:(i+1)*m.dim], book.Row(int(k)))
		}
	}
	return -1
}

// Decode writes into dst the sum of the centroids that each row of codes names, added in float32 from the coarse level
// on. Under Cosine that is a point near the unit sphere.
func (m *Model) Decode(codes core.Codes, dst core.Matrix) error {
	if codes.Levels != len(m.books) || codes.Rows < 1 || len(codes.Data) != codes.Rows*codes.Levels {
		return fmt.Errorf("rqkmeans: %w: codes of %d rows and %d levels, the model has %d levels", core.ErrShape, codes.Rows, codes.Levels, len(m.books))
	}
	if dst.Rows != codes.Rows || dst.Cols != m.dim || len(dst.Data) != dst.Rows*dst.Cols {
		return fmt.Errorf("rqkmeans: %w: room for %d rows of %d columns, want %d of %d", core.ErrShape, dst.Rows, dst.Cols, codes.Rows, m.dim)
	}
	for i := range codes.Rows {
		for l, k := range codes.Row(i) {
			if k < 0 || int(k) >= m.books[l].Rows {
				return fmt.Errorf("rqkmeans: %w: %d at row %d, level %d, want 0 to %d", core.ErrCode, k, i, l, m.books[l].Rows-1)
			}
		}
	}
	return par.Chunks(context.Background(), codes.Rows, blockRows, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			row := dst.Row(i)
			copy(row, m.books[0].Row(int(codes.Row(i)[0])))
			for l, k := range codes.Row(i)[1:] {
				f32.Add(row, m.books[l+1].Row(int(k)))
			}
		}
	})
}
