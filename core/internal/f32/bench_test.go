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

func BenchmarkOthers(b *testing.B) {
	const n, dim, k = 64, 384, 256
	rows, centroids := normals(1, n*dim), normals(2, k*dim)
	var p Panels
	p.Pack(rows, dim)
	dst, sum := make([]float64, 8*n), make([]float64, dim)
	scratch := append([]float32(nil), rows...)
	far := append([]float32(nil), centroids...)
	for i := range far {
		far[i] += 1000
	}
	book, farBook := NewCodebook(centroids, k, dim), NewCodebook(far, k, dim)
	codes := make([]int32, n)
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		for _, c := range []struct {
			what string
			f    func()
		}{
			{"pack/rows=64", func() { p.Pack(rows, dim) }},
			{"sqdists64/rows=64/points=8", func() { p.SqDists64(dst, centroids[:8*dim]) }},
			{"sub/rows=64", func() { Sub(scratch, rows) }},
			{"notfinite/rows=64", func() { NotFinite(rows) }},
			{"add64", func() { Add64(sum, rows[:dim], 1) }},
			{"set/k=256", func() { book.Set(centroids, k, dim) }},
			{"allneedfloat64/rows=64/k=256", func() { farBook.Nearest(codes, far[:n*dim]) }},
		} {
			b.Run(fmt.Sprintf("%s/level=%v/dim=%d", c.what, l, dim), func(b *testing.B) {
				defer cpu.SetForTest(l)()
				p.Pack(rows, dim)
				farBook.Set(far, k, dim)
				for b.Loop() {
					c.f()
				}
			})
		}
	}
}
