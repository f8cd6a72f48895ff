package resolve_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/resolve"
)

func BenchmarkMove(b *testing.B) {
	for _, c := range []struct{ rows, levels, k, dim int }{{20_000, 3, 256, 384}, {3500, 3, 16, 64}} {
		rng := rand.New(rand.NewPCG(1, 2))
		s := resolve.Space{Rows: core.NewMatrix(c.rows, c.dim)}
		for range c.levels {
			book := core.NewMatrix(c.k, c.dim)
			for i := range book.Data {
				book.Data[i] = float32(rng.NormFloat64())
			}
			s.Books = append(s.Books, book)
		}
		codes := core.NewCodes(c.rows, c.levels)
		for i := range c.rows { // some 3 a group, every third beside another
			for l := range codes.Row(i) {
				codes.Row(i)[l] = int32(rng.IntN(c.k) * rng.IntN(c.k) / c.k)
			}
			if i%3 == 0 && i > 0 {
				copy(codes.Row(i), codes.Row(i-1))
			}
		}
		for i := range s.Rows.Data {
			s.Rows.Data[i] = float32(rng.NormFloat64())
		}
		for _, how := range []resolve.Mover{resolve.DefaultCapacity(), resolve.Capacity{Most: 1}, resolve.DefaultSinkhorn()} {
			b.Run(fmt.Sprintf("how=%+v/rows=%d/levels=%d/k=%d", how, c.rows, c.levels, c.k), func(b *testing.B) {
				for b.Loop() {
					m, err := how.Move(ctx, s, codes, resolve.Held{})
					if err != nil {
						b.Fatal(err)
					}
					sum := 0.0
					for _, a := range m.Added {
						sum += a
					}
					b.ReportMetric(sum, "added")
					b.ReportMetric(float64(len(m.Rows)), "moved")
				}
			})
		}
	}
}
