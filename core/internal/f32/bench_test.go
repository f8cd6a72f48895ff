package f32

import (
	"fmt"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

func BenchmarkNearest(b *testing.B) {
	for _, c := range []struct{ rows, dim, k int }{{1024, 384, 256}, {1, 384, 256}, {8, 384, 256}, {1024, 32, 256}} {
		for l := cpu.Generic; l <= cpu.Supported(); l++ {
			b.Run(fmt.Sprintf("level=%v/rows=%d/dim=%d/k=%d", l, c.rows, c.dim, c.k), func(b *testing.B) {
				defer cpu.SetForTest(l)()
				x, cents := normals(1, c.rows*c.dim), normals(2, c.k*c.dim)
				book := NewCodebook(cents, c.k, c.dim)
				codes := make([]int32, c.rows)
				for b.Loop() {
					book.Nearest(codes, x)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.rows), "ns/row")
			})
		}
	}
}
