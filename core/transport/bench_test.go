package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// mixture is rows of a Gaussian mixture, whose parts are of unequal weights, and centroids among them.
func mixture(seed uint64, rows, cols, k int) (x, centroids core.Matrix) {
	rng := rand.New(rand.NewPCG(seed, 0))
	parts := core.NewMatrix(200, cols)
	for i := range parts.Data {
		parts.Data[i] = float32(rng.NormFloat64())
	}
	draw := func(m core.Matrix) {
		for i := range m.Rows {
			u := rng.Float64()
			mid := parts.Row(int(u * u * 200))
			for j := range m.Row(i) {
				m.Row(i)[j] = mid[j] + float32(rng.NormFloat64())
			}
		}
	}
	x, centroids = core.NewMatrix(rows, cols), core.NewMatrix(k, cols)
	draw(x)
	draw(centroids)
	return x, centroids
}

func BenchmarkSolve(b *testing.B) {
	for _, c := range []struct{ rows, cols, k int }{{3_686, 384, 64}, {63_666, 384, 256}, {1_000_000, 64, 256}} {
		b.Run(fmt.Sprintf("rows=%d/dim=%d/k=%d", c.rows, c.cols, c.k), func(b *testing.B) {
			x, centroids := mixture(1, c.rows, c.cols, c.k)
			costs, err := Distances(Stored(x), centroids)
			if err != nil {
				b.Fatal(err)
			}
			var s *Solution
			for b.Loop() {
				if s, err = Solve(context.Background(), costs, Balanced(c.rows, c.k), nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(s.Primal/float64(c.rows), "cost/row")
			b.ReportMetric(s.Gap, "gap")
		})
	}
}
