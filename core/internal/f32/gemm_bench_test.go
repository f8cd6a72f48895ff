//go:build amd64 && !noasm

package f32

import (
	"fmt"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

func halfZeros(seed uint64, n int) []float32 {
	x := normals(seed, n)
	for i, v := range x {
		x[i] = max(v, 0)
	}
	return x
}

// BenchmarkGemm holds the products of a training step, forward (x wᵀ), for the weights (gᵀ x) and for what goes further
// back (g w), against a loop of nothing but fused multiply-adds on registers, on one thread and on two. They take turns, and
// the best turn of each counts. Where a half is zeros, the products with these count as done.
func BenchmarkGemm(b *testing.B) {
	const batch, n = 2048, 1 << 20
	widths := []int{768, 512, 256, 128, 64}
	for l := cpu.AVX2; l <= cpu.Supported(); l++ {
		for i, in := range widths[:len(widths)-1] {
			out := widths[i+1]
			x, w, g := NewDense(batch, in, normals(1, batch*in)), NewDense(out, in, normals(2, out*in)), NewDense(batch, out, normals(3, batch*out))
			dx, dw, bias := NewDense(batch, in, make([]float32, batch*in)), NewDense(out, in, make([]float32, out*in)), normals(4, out)
			y := NewDense(batch, out, make([]float32, batch*out))
			halfX, halfG := NewDense(batch, in, halfZeros(5, batch*in)), NewDense(batch, out, halfZeros(6, batch*out))
			for _, c := range []struct {
				name string
				f    func()
			}{
				{"forward", func() { Gemm(y, x, w.T(), Then{Bias: bias, ReLU: true}) }},
				{"weights", func() { Gemm(dw, g.T(), x, Then{}) }},
				{"back", func() { Gemm(dx, g, w, Then{}) }},
				{"forward/zeros=half", func() { Gemm(y, halfX, w.T(), Then{Bias: bias, ReLU: true, Zeros: true}) }},
				{"weights/zeros=half", func() { Gemm(dw, halfG.T(), x, Then{Zeros: true}) }},
				{"weights/zeros=inputs", func() { Gemm(dw, g.T(), halfX, Then{Zeros: true}) }},
				{"back/zeros=half", func() { Gemm(dx, halfG, w, Then{Zeros: true}) }},
			} {
				b.Run(fmt.Sprintf("level=%v/%s/in=%d/out=%d", l, c.name, in, out), func(b *testing.B) {
					defer cpu.SetForTest(l)()
					defer par.SetThreads(0)
					peak, lanes := peakAVX2, 8
					if l == cpu.AVX512 {
						peak, lanes = peakAVX512, 16
					}
					loop, product := [2]time.Duration{1 << 62, 1 << 62}, [2]time.Duration{1 << 62, 1 << 62}
					for b.Loop() {
						for t := range 2 {
							loop[t] = min(loop[t], together(t+1, func(int) { peak(n) }))
							par.SetThreads(t + 1)
							product[t] = min(product[t], together(1, func(int) { c.f() }))
						}
					}
					for t := range 2 {
						share := 2 * float64(batch*in*out) / float64(product[t]) / (2 * 12 * float64(n*lanes*(t+1)) / float64(loop[t]))
						b.ReportMetric(100*share, fmt.Sprintf("%%ofpeak%d", t+1))
					}
					b.ReportMetric(2*12*float64(n*lanes)/float64(loop[0]), "peakGFLOPS")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
