package f32

import (
	"fmt"
	"testing"
	"time"

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

// BenchmarkFirstPass lets searches with and without the first pass take turns; the best turn of each counts.
func BenchmarkFirstPass(b *testing.B) {
	for _, c := range []struct{ rows, dim, k int }{{256, 384, 256}, {4, 384, 256}, {256, 48, 256}, {256, 384, 32}, {256, 2048, 256}, {256, 384, 4096}} {
		for l := cpu.AVX2; l <= cpu.Supported(); l++ {
			b.Run(fmt.Sprintf("level=%v/rows=%d/dim=%d/k=%d", l, c.rows, c.dim, c.k), func(b *testing.B) {
				defer cpu.SetForTest(l)()
				x, centroids, codes := normals(1, c.rows*c.dim), normals(2, c.k*c.dim), make([]int32, c.rows)
				with := NewCodebook(centroids, c.k, c.dim)
				choose := chooseIntegers
				chooseIntegers = func(cpu.Level, int, int) integers { return noIntegers }
				without := NewCodebook(centroids, c.k, c.dim)
				chooseIntegers = choose
				if with.first.kind == noIntegers {
					b.Skip("no first pass is chosen here")
				}
				best := [2]time.Duration{1 << 62, 1 << 62}
				for b.Loop() {
					for i, book := range []*Codebook{with, without} {
						start := time.Now()
						book.Nearest(codes, x)
						best[i] = min(best[i], time.Since(start))
					}
				}
				b.ReportMetric(float64(best[0].Nanoseconds())/float64(c.rows), "ns/row")
				b.ReportMetric(float64(best[1].Nanoseconds())/float64(c.rows), "ns/row-float32")
				b.ReportMetric(float64(best[1])/float64(best[0]), "gain")
				b.ReportMetric(0, "ns/op")
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
