package rqvae

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

const (
	blockRows = 2048 // that go through the layers together
	taskRows  = 256  // that one goroutine works on at a time, where rows do not depend on each other
)

// Model is a trained quantizer. It is read-only, so many goroutines may use it at once.
type Model struct {
	params           Params // of the fit, for Save
	weights          *weights
	encoder, decoder []layer // batch norms folded in
	search           []*f32.Codebook
	width            int // of the widest layer
}

var _ core.Quantizer = (*Model)(nil)

// New makes a model of this shape of copies of the tensors that Tensors names, in any order.
func New(s Shape, tensors []Tensor) (*Model, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	given := make(map[string]Tensor, len(tensors))
	for _, t := range tensors {
		given[t.Name] = t
	}
	w := newWeights(s)
	for _, want := range w.tensors {
		t, ok := given[want.Name]
		if !ok {
			return nil, fmt.Errorf("rqvae: %w: no tensor %q", core.ErrShape, want.Name)
		}
		if !slices.Equal(t.Shape, want.Shape) || len(t.Data) != len(want.Data) {
			return nil, fmt.Errorf("rqvae: %w: tensor %q of shape %v, want %v", core.ErrShape, t.Name, t.Shape, want.Shape)
		}
		copy(want.Data, t.Data)
	}
	if len(tensors) != len(w.tensors) {
		return nil, fmt.Errorf("rqvae: %w: %d tensors, a model of this shape has %d", core.ErrShape, len(tensors), len(w.tensors))
	}
	return checked(w)
}

// FromFlat is New of the values of all tensors, one after the other in the order of Tensors.
func FromFlat(s Shape, values []float32) (*Model, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if n := s.weights(); n != len(values) {
		return nil, fmt.Errorf("rqvae: %w: %d weights, a model of this shape has %d", core.ErrShape, len(values), n)
	}
	w := newWeights(s)
	for _, t := range w.tensors {
		values = values[copy(t.Data, values):]
	}
	return checked(w)
}

func checked(w *weights) (*Model, error) {
	if name := w.notFinite(); name != "" {
		return nil, fmt.Errorf("rqvae: %w: tensor %q", core.ErrNotFinite, name)
	}
	if w.input != nil {
		for j, v := range w.input.scale {
			if !(v > 0) {
				return nil, fmt.Errorf("rqvae: %w: tensor %q holds %g for column %d, want numbers above 0", core.ErrParam, inputScale, v, j)
			}
		}
	}
	return newModel(w), nil
}

// newModel makes a model of w, which it keeps.
func newModel(w *weights) *Model {
	m := &Model{params: DefaultParams(w.shape.InDim), weights: w, width: w.shape.EDim}
	for _, l := range w.encoder {
		m.encoder = append(m.encoder, l.ready())
		m.width = max(m.width, l.in, l.out)
	}
	for _, l := range w.decoder {
		m.decoder = append(m.decoder, l.ready())
	}
	for _, b := range w.books {
		m.search = append(m.search, f32.NewCodebook(b.Data, b.Rows, b.Cols))
	}
	return m
}

// Shape is what the model was made of.
func (m *Model) Shape() Shape { return m.weights.shape }

// Tensors returns the arrays of the model: linear weights (out, in) and biases, codebooks, of batch norms the weight,
// the bias, and the running mean and variance, and those of a normalization. They are the model's own: read, do not write.
func (m *Model) Tensors() []Tensor { return m.weights.tensors }

// Dim is the number of columns of a row.
func (m *Model) Dim() int { return m.weights.shape.InDim }

// Clusters gives the codebook size of each level.
func (m *Model) Clusters() []int { return m.weights.shape.Clusters }

// Books returns the codebooks, coarse level first. They are the model's own: read, do not write.
func (m *Model) Books() []core.Matrix { return m.weights.books }

// ready returns the layer as models use it.
func (l layer) ready() layer {
	l = l.folded()
	l.packed = sync.OnceValue(func() *f32.Packed { return f32.Pack(f32.NewDense(l.out, l.in, l.w).T()) })
	return l
}

// fewRows go through the layers faster with packed weights; more may have zeros to leave out.
const fewRows = 16

// through returns what layers make of rows, in a or b.
func through(layers []layer, rows int, x, a, b []float32) []float32 {
	for _, l := range layers {
		y := f32.NewDense(rows, l.out, a[:rows*l.out])
		then := f32.Then{Bias: l.bias, ReLU: l.relu, Zeros: true}
		if in := f32.NewDense(rows, l.in, x); rows < fewRows {
			l.packed().Gemm(y, in, then)
		} else {
			f32.Gemm(y, in, f32.NewDense(l.out, l.in, l.w).T(), then)
		}
		x, a, b = y.Data, b, a
	}
	return x
}

// arrays are handed on from call to call: to clear new memory takes a tenth of the time of encoding.
var arrays = sync.Pool{New: func() any { return new([]float32) }}

// arrayOf returns n values of any kind, to be put back into arrays.
func arrayOf(n int) *[]float32 {
	a := arrays.Get().(*[]float32)
	if cap(*a) < n {
		*a = make([]float32, n)
	}
	*a = (*a)[:n]
	return a
}

// blocks calls fn with blocks of rows, and with memory for what layers make of one, and for the latents.
func (m *Model) blocks(ctx context.Context, rows, most int, fn func(lo, hi int, a, b []float32) error) error {
	if most < 1 || most > blockRows {
		most = blockRows
	}
	n := min(rows, most) * m.width
	memory := arrayOf(2 * n)
	defer arrays.Put(memory)
	a, b := (*memory)[:n], (*memory)[n:]
	for lo := 0; lo < rows; lo += most {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(lo, min(rows, lo+most), a, b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// latents returns the latents of rows, which hold until a and b are used again. first numbers the rows in errors.
func (m *Model) latents(x core.Matrix, first int, a, b []float32) (core.Matrix, error) {
	if i := notFinite(x.Data); i >= 0 {
		return core.Matrix{}, fmt.Errorf("rqvae: %w: row %d; remove or impute such rows", core.ErrNotFinite, first+i/x.Cols)
	}
	if in := m.weights.input; in != nil {
		rows := core.NewMatrix(x.Rows, x.Cols)
		in.apply(rows, x)
		x = rows
	}
	z := core.Matrix{Rows: x.Rows, Cols: m.weights.shape.EDim, Data: through(m.encoder, x.Rows, x.Data, a, b)}
	if m.weights.shape.Plus {
		f32.Add(z.Data, x.Data)
	}
	if i := notFinite(z.Data); i >= 0 {
		return z, fmt.Errorf("rqvae: %w: the latent of row %d; scale rows as those of the training", core.ErrNotFinite, first+i/z.Cols)
	}
	return z, nil
}

// Latents writes the latent of each row of x, before it is quantized, into dst, which has EDim columns.
func (m *Model) Latents(ctx context.Context, x, dst core.Matrix) (err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := m.check(x); err != nil {
		return err
	}
	if dst.Rows != x.Rows || dst.Cols != m.weights.shape.EDim || len(dst.Data) != dst.Rows*dst.Cols {
		return fmt.Errorf("rqvae: %w: room for %d latents of %d columns, want %d of %d", core.ErrShape, dst.Rows, dst.Cols, x.Rows, m.weights.shape.EDim)
	}
	return m.blocks(ctx, x.Rows, 0, func(lo, hi int, a, b []float32) error {
		z, err := m.latents(x.Slice(lo, hi), lo, a, b)
		copy(dst.Slice(lo, hi).Data, z.Data)
		return err
	})
}

func (m *Model) check(x core.Matrix) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("rqvae: %w", err)
	}
	if x.Cols != m.Dim() {
		return fmt.Errorf("rqvae: %w: rows of %d columns, the model has %d", core.ErrShape, x.Cols, m.Dim())
	}
	return nil
}

// Encode writes into dst, for each row of x and each level, the nearest code vector to what the levels before left of the
// row's latent. The codes do not depend on what else is in x.
func (m *Model) Encode(ctx context.Context, x core.Matrix, dst core.Codes) error {
	return m.EncodeBlocks(ctx, x, dst, 0, nil)
}

// EncodeBlocks is Encode with at most batch rows in work at once (0: a good number) and progress, if not nil, called with
// the rows done so far.
func (m *Model) EncodeBlocks(ctx context.Context, x core.Matrix, dst core.Codes, batch int, progress func(rows int)) (err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := m.check(x); err != nil {
		return err
	}
	if dst.Rows != x.Rows || dst.Levels != len(m.search) || len(dst.Data) != dst.Rows*dst.Levels {
		return fmt.Errorf("rqvae: %w: codes for %d rows of %d levels, want %d of %d", core.ErrShape, dst.Rows, dst.Levels, x.Rows, len(m.search))
	}
	return m.blocks(ctx, x.Rows, batch, func(lo, hi int, a, b []float32) error {
		z, err := m.latents(x.Slice(lo, hi), lo, a, b)
		if err != nil {
			return err
		}
		err = par.Chunks(ctx, z.Rows, taskRows, func(_, i, j int) {
			m.quantize(z.Slice(i, j), dst.Data[(lo+i)*dst.Levels:(lo+j)*dst.Levels])
		})
		if err != nil {
			return err
		}
		if progress != nil {
			progress(hi)
		}
		return nil
	})
}

// quantize writes the codes of the latents z, at most taskRows of them, and leaves in z what the levels left over.
func (m *Model) quantize(z core.Matrix, codes []int32) {
	var labels [taskRows]int32
	levels := len(m.search)
	for l, book := range m.weights.books {
		m.search[l].Nearest(labels[:z.Rows], z.Data)
		for i, k := range labels[:z.Rows] {
			codes[i*levels+l] = k
			f32.Sub(z.Row(i), book.Row(int(k)))
		}
	}
}

// Decode writes into dst what the decoder makes of the sum of the vectors that each row of codes names, added in float32
// from the coarse level on.
func (m *Model) Decode(codes core.Codes, dst core.Matrix) error {
	if codes.Levels != len(m.search) || codes.Rows < 1 || len(codes.Data) != codes.Rows*codes.Levels {
		return fmt.Errorf("rqvae: %w: codes of %d rows and %d levels, the model has %d levels", core.ErrShape, codes.Rows, codes.Levels, len(m.search))
	}
	if dst.Rows != codes.Rows || dst.Cols != m.Dim() || len(dst.Data) != dst.Rows*dst.Cols {
		return fmt.Errorf("rqvae: %w: room for %d rows of %d columns, want %d of %d", core.ErrShape, dst.Rows, dst.Cols, codes.Rows, m.Dim())
	}
	books := m.weights.books
	for i := range codes.Rows {
		for l, k := range codes.Row(i) {
			if k < 0 || int(k) >= books[l].Rows {
				return fmt.Errorf("rqvae: %w: %d at row %d, level %d, want 0 to %d", core.ErrCode, k, i, l, books[l].Rows-1)
			}
		}
	}
	latent := make([]float32, min(codes.Rows, blockRows)*m.weights.shape.EDim)
	return m.blocks(context.Background(), codes.Rows, 0, func(lo, hi int, a, b []float32) error {
		z := core.Matrix{Rows: hi - lo, Cols: m.weights.shape.EDim, Data: latent[:(hi-lo)*m.weights.shape.EDim]}
		for i := range z.Rows {
			row := z.Row(i)
			clear(row)
			for l, k := range codes.Row(lo + i) {
				f32.Add(row, books[l].Row(int(k)))
			}
		}
		rows := dst.Slice(lo, hi)
		copy(rows.Data, through(m.decoder, z.Rows, z.Data, a, b))
		m.weights.input.undo(rows)
		return nil
	})
}
