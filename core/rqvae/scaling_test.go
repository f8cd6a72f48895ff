package rqvae

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

// uneven are rows whose columns have means and scales of their own; the first does not vary.
func uneven(rows, dim int) core.Matrix {
	x := clusters(rows, dim)
	for i := range rows {
		for j := range dim {
			x.Row(i)[j] = x.Row(i)[j]*float32(j*j)*0.01 + float32(j%3)*7 + 0.1
		}
	}
	return x
}

// normalized are the rows as the definition has them.
func normalized(x core.Matrix, how Normalization) core.Matrix {
	y := core.NewMatrix(x.Rows, x.Cols)
	mean, deviation := make([]float64, x.Cols), make([]float64, x.Cols)
	var all float64
	for j := range x.Cols {
		for i := range x.Rows {
			mean[j] += float64(x.Row(i)[j]) / float64(x.Rows)
		}
		for i := range x.Rows {
			d := float64(x.Row(i)[j]) - mean[j]
			deviation[j] += d * d / float64(x.Rows)
		}
		all += deviation[j] / float64(x.Cols)
		deviation[j] = math.Sqrt(deviation[j])
	}
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			by := deviation[j]
			if how == AllColumns {
				by = math.Sqrt(all)
			} else if j == 0 {
				by = 1
			}
			y.Row(i)[j] = float32((float64(v) - mean[j]) / by)
		}
	}
	return y
}

// A model with a normalization is one without of normalized rows.
func TestNormalizing(t *testing.T) {
	const dim = 12
	x := uneven(200, dim)
	for _, how := range []Normalization{EachColumn, AllColumns} {
		for _, plus := range []bool{false, true} {
			p := smallParams(dim)
			p.Normalize = how
			if plus {
				p.Plus, p.EDim = true, dim
			}
			m, h, err := Fit(context.Background(), x, p)
			if err != nil {
				t.Fatal(err)
			}
			rows := core.NewMatrix(x.Rows, dim)
			m.weights.input.apply(rows, x)
			p.Epochs = 1
			first, _, err := Fit(context.Background(), x, p)
			if err != nil {
				t.Fatal(err)
			}
			p.Normalize = AsTheyAre
			if plain, _, err := Fit(context.Background(), rows, p); err != nil {
				t.Fatal(err)
			} else {
				same(t, "trained on normalized rows", plain, first)
			}
			for j := range dim {
				var got, want []float32
				for i, other := 0, normalized(x, how); i < x.Rows; i++ {
					got, want = append(got, rows.Row(i)[j]), append(want, other.Row(i)[j])
				}
				if j > 0 {
					within(t, "a normalized column", got, toFloat64(want), 1e-5)
				}
			}
			s, tensors := m.Shape(), m.Tensors()
			s.Normalized = false
			bare, err := New(s, tensors[:len(tensors)-2])
			if err != nil {
				t.Fatal(err)
			}
			codes, again := core.NewCodes(x.Rows, 3), core.NewCodes(x.Rows, 3)
			decoded, unscaled := core.NewMatrix(x.Rows, dim), core.NewMatrix(x.Rows, dim)
			latents, others := core.NewMatrix(x.Rows, p.EDim), core.NewMatrix(x.Rows, p.EDim)
			ctx := context.Background()
			if err := errors.Join(m.Encode(ctx, x, codes), bare.Encode(ctx, rows, again), m.Decode(codes, decoded), bare.Decode(codes, unscaled),
				m.Latents(ctx, x, latents), bare.Latents(ctx, rows, others)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(codes.Data, again.Data) || !slices.Equal(latents.Data, others.Data) {
				t.Error("normalized rows have other codes or latents in the model without normalization")
			}
			in := m.weights.input
			var sum float64
			for i := range decoded.Data {
				j := i % dim
				if want := float32(float64(unscaled.Data[i])*float64(in.scale[j]) + float64(in.mean[j])); decoded.Data[i] != want {
					t.Fatalf("decoded %g, want %g", decoded.Data[i], want)
				}
				sum += math.Pow(float64(x.Data[i])-float64(decoded.Data[i]), 2)
			}
			if got := h.Epochs[h.Kept].Error; !(math.Abs(got-sum/float64(len(x.Data))) <= 1e-6*got) {
				t.Errorf("the history has an error of %g, decoded rows one of %g", got, sum/float64(len(x.Data)))
			}
		}
	}
}

// Codebooks to begin with are of the rows as they are; so is what they add up to once normalized and brought back. With one
// scale for all columns the codes are theirs too.
func TestNormalizingCodebooks(t *testing.T) {
	const dim = 12
	x := uneven(200, dim)
	plain, scaled := smallParams(dim), smallParams(dim)
	for _, p := range []*Params{&plain, &scaled} {
		p.Plus, p.EDim, p.LR, p.Epochs = true, dim, 0, 1
		for l, k := range p.Clusters {
			book := core.NewMatrix(k, dim)
			for i := range k {
				copy(book.Row(i), x.Row(i+9*l))
				if l > 0 {
					for j := range dim {
						book.Row(i)[j] *= 0.1
					}
				}
			}
			p.Books = append(p.Books, book)
		}
	}
	scaled.Normalize = AllColumns
	cputest.EachLevel(t, func(t *testing.T) {
		codes, again := core.NewCodes(x.Rows, 3), core.NewCodes(x.Rows, 3)
		a, _, err := Fit(context.Background(), x, plain)
		b, _, err2 := Fit(context.Background(), x, scaled)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Encode(context.Background(), x, codes), b.Encode(context.Background(), x, again)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(codes.Data, again.Data) {
			t.Error("other codes")
		}
	})
	scaled.Normalize = EachColumn
	m := newTrainer(context.Background(), x, scaled).weights
	sum := core.NewMatrix(1, dim)
	want := make([]float64, dim)
	for l, b := range m.books {
		for j := range dim {
			sum.Data[j] += b.Row(l + 1)[j]
			want[j] += float64(scaled.Books[l].Row(l + 1)[j])
		}
	}
	m.input.undo(sum)
	within(t, "sum of vectors", sum.Data, want, 1e-6)
}

func TestScalesOfNothing(t *testing.T) {
	x := core.NewMatrix(1000, 3)
	for i := range x.Rows {
		copy(x.Row(i), []float32{0.1, 0, 1e-30 * float32(i)})
	}
	s := scaling{mean: make([]float32, 3), scale: make([]float32, 3)}
	s.learn(x, EachColumn)
	if s.scale[0] != 1 || s.scale[1] != 1 || !(s.scale[2] < 1e-20) || s.mean[0] != x.Data[0] {
		t.Errorf("means %v, scales %v", s.mean, s.scale)
	}
	s.learn(x.Slice(0, 1), AllColumns)
	if !slices.Equal(s.scale, []float32{1, 1, 1}) {
		t.Errorf("scales %v of one row, want 1", s.scale)
	}
	p := smallParams(3)
	p.Normalize = EachColumn
	w := newTrainer(context.Background(), x, p).weights
	for _, bad := range []float32{0, -1} {
		w.input.scale[1] = bad
		if _, err := New(w.shape, w.tensors); !errors.Is(err, core.ErrParam) || !strings.Contains(err.Error(), "column 1") {
			t.Errorf("a scale of %g: error %v", bad, err)
		}
	}
}
