package kmeans

import (
	"context"
	"math"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// TestScatter compares scatterOf with the definition, for rows far from the origin, weights of zero, and rows all equal,
// and wants the same bits of any number of threads.
func TestScatter(t *testing.T) {
	defer par.SetThreads(0)
	far := clouds(1, 3000, 20, 5, 0.1, 1)
	for i := range far.Data {
		far.Data[i] += 1000
	}
	weights := make([]float64, 3000)
	for i := 7; i < len(weights); i++ {
		weights[i] = float64(i % 3)
	}
	same := core.NewMatrix(700, 5)
	for i := range same.Data {
		same.Data[i] = 0.1
	}
	for name, c := range map[string]struct {
		x       core.Matrix
		weights []float64
	}{"rows": {far, nil}, "weights": {far, weights}, "equal": {same, nil}, "one": {far.Slice(0, 1), nil}} {
		var total, want float64
		mean := make([]float64, c.x.Cols)
		for i := range c.x.Rows {
			w := weightOf(c.weights, i)
			total += w
			for j, v := range c.x.Row(i) {
				mean[j] += w * float64(v)
			}
		}
		for j := range mean {
			mean[j] /= total
		}
		for i := range c.x.Rows {
			for j, v := range c.x.Row(i) {
				want += weightOf(c.weights, i) * (float64(v) - mean[j]) * (float64(v) - mean[j])
			}
		}
		var first float64
		for _, threads := range []int{1, 2, 5} {
			par.SetThreads(threads)
			scatter, weight, center, err := scatterOf(context.Background(), RowsOf(c.x), c.weights)
			if err != nil || weight != total || !(math.Abs(scatter-want) <= 1e-9*want+1e-20) {
				t.Errorf("%s: got %g of weight %g (%v), want %g of %g", name, scatter, weight, err, want, total)
			}
			for j, v := range center {
				if math.Abs(float64(v)-mean[j]) > 1e-6*math.Abs(mean[j]) {
					t.Errorf("%s: center %d is %g, want %g", name, j, v, mean[j])
				}
			}
			if threads == 1 {
				first = scatter
			} else if scatter != first {
				t.Errorf("%s: %g with %d threads, %g with one", name, scatter, threads, first)
			}
		}
	}
}
