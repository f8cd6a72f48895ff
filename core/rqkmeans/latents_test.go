package rqkmeans_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// TestLatents: what the first code is nearest to.
func TestLatents(t *testing.T) {
	x := core.Matrix{Rows: 3, Cols: 2, Data: []float32{3, 4, -1, 0, 0.5, -20}}
	book := core.Matrix{Rows: 4, Cols: 2, Data: []float32{1, 0, 0, 1, -1, 0, 0, -1}}
	for _, metric := range []core.Metric{core.L2, core.Cosine} {
		m, err := rqkmeans.New([]core.Matrix{book}, metric)
		if err != nil {
			t.Fatal(err)
		}
		z := core.NewMatrix(x.Rows, x.Cols)
		if err := m.Latents(t.Context(), x, z); err != nil {
			t.Fatal(err)
		}
		if metric == core.L2 && !slices.Equal(z.Data, x.Data) {
			t.Error("others than the rows under L2")
		}
		codes := core.NewCodes(3, 1)
		if err := m.Encode(t.Context(), x, codes); err != nil {
			t.Fatal(err)
		}
		for i := range z.Rows {
			if norm := f32.SqNorm64(z.Row(i)); metric == core.Cosine && math.Abs(norm-1) > 1e-6 {
				t.Errorf("row %d has a norm of %g", i, norm)
			}
			for j := range book.Rows {
				if f32.SqDist64(z.Row(i), book.Row(j)) < f32.SqDist64(z.Row(i), book.Row(int(codes.Data[i]))) {
					t.Errorf("metric %d, row %d: %d is nearer than its code", metric, i, j)
				}
			}
		}
		bad := core.Matrix{Rows: 2, Cols: 2, Data: []float32{1, 2, 0, float32(math.NaN())}}
		if err := m.Latents(t.Context(), bad, core.NewMatrix(2, 2)); !errors.Is(err, core.ErrNotFinite) {
			t.Error(err)
		}
		if err := m.Latents(t.Context(), x, core.NewMatrix(3, 1)); !errors.Is(err, core.ErrShape) {
			t.Error(err)
		}
	}
}
