//go:build !noasm

package f32

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// BenchmarkPeak holds Nearest against a loop of nothing but fused multiply-adds. The two take turns of about a
// millisecond, so that what else runs on the machine meets both, and the median of the ratios counts: %ofpeak. With
// two goroutines, gain is the share of the loop's speed-up over one goroutine that Nearest has.
func BenchmarkPeak(b *testing.B) {
	const rows, dim, k = 1024, 384, 256
	for l := cpu.AVX2; l <= cpu.Supported(); l++ {
		for _, g := range []int{1, 2} {
			if g > runtime.GOMAXPROCS(0) {
				continue
			}
			b.Run(fmt.Sprintf("level=%v/rows=%d/dim=%d/k=%d/goroutines=%d", l, rows, dim, k, g), func(b *testing.B) {
				defer cpu.SetForTest(l)()
				book := NewCodebook(normals(2, k*dim), k, dim)
				peak, lanes := peakAVX2, 8
				if l == cpu.AVX512 {
					peak, lanes = peakAVX512, 16
				}
				const n = 400000
				peakFlops, nearestFlops := float64(2*12*n*lanes), 2.0*rows*dim*k
				x, codes := normals(1, rows*dim), make([][]int32, g)
				for i := range codes {
					codes[i] = make([]int32, rows)
				}
				var ratios, peaks []float64
				for b.Loop() {
					p := peakFlops / elapsed(g, func(int) { peak(n) })
					s := nearestFlops / elapsed(g, func(i int) { book.Nearest(codes[i], x) })
					peaks, ratios = append(peaks, p), append(ratios, s/p)
				}
				b.ReportMetric(100*median(ratios), "%ofpeak")
				b.ReportMetric(median(peaks)*float64(g), "peakGFLOPS")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// elapsed returns the nanoseconds g goroutines take to run f each.
func elapsed(g int, f func(i int)) float64 {
	var wg sync.WaitGroup
	start := time.Now()
	for i := 1; i < g; i++ {
		wg.Add(1)
		go func() { f(i); wg.Done() }()
	}
	f(0)
	wg.Wait()
	return float64(time.Since(start).Nanoseconds())
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
