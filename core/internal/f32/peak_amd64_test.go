//go:build !noasm

package f32

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// BenchmarkPeak holds Nearest in float32 against a loop of nothing but fused multiply-adds on registers, on one goroutine
// and on two, and Nearest with a first pass in integers beside them. They take turns of about half a millisecond, and the
// best turn of each counts, so that what else runs on the machine meets all of them alike, and little of it shows.
//
//	%ofpeak1, %ofpeak2  arithmetic per second in Nearest, as a share of the loop's, on one and two goroutines
//	gain                how much faster two goroutines are than one, as a share of what the loop gains
//	peakGFLOPS          the loop on one goroutine
//	firstpass           how much faster Nearest is with the first pass than in float32, on one goroutine
func BenchmarkPeak(b *testing.B) {
	const rows, dim, k = 256, 384, 256
	const n = 1 << 17 // turns of the loop, of twelve instructions each
	for l := cpu.AVX2; l <= cpu.Supported(); l++ {
		b.Run(fmt.Sprintf("level=%v/rows=%d/dim=%d/k=%d", l, rows, dim, k), func(b *testing.B) {
			defer cpu.SetForTest(l)()
			usual := NewCodebook(normals(2, k*dim), k, dim)
			choose := chooseIntegers
			chooseIntegers = func(cpu.Level, int, int) integers { return noIntegers }
			book := NewCodebook(normals(2, k*dim), k, dim)
			chooseIntegers = choose
			peak, lanes := peakAVX2, 8
			if l == cpu.AVX512 {
				peak, lanes = peakAVX512, 16
			}
			var x [2][]float32
			var codes [2][]int32
			for i := range x {
				x[i], codes[i] = normals(1, rows*dim), make([]int32, rows)
			}
			first := time.Duration(1 << 62)
			loop, nearest := [2]time.Duration{1 << 62, 1 << 62}, [2]time.Duration{1 << 62, 1 << 62}
			for b.Loop() {
				first = min(first, together(1, func(i int) { usual.Nearest(codes[i], x[i]) }))
				for g := range min(2, runtime.GOMAXPROCS(0)) {
					loop[g] = min(loop[g], together(g+1, func(int) { peak(n) }))
					nearest[g] = min(nearest[g], together(g+1, func(i int) { book.Nearest(codes[i], x[i]) }))
				}
			}
			const ofLoop, ofNearest = 2 * 12 * n, 2 * rows * dim * k
			share := func(g int) float64 {
				return ofNearest / float64(nearest[g]) / (ofLoop * float64(lanes) / float64(loop[g]))
			}
			b.ReportMetric(100*share(0), "%ofpeak1")
			b.ReportMetric(ofLoop*float64(lanes)/float64(loop[0]), "peakGFLOPS")
			if usual.first.kind != noIntegers {
				b.ReportMetric(float64(nearest[0])/float64(first), "firstpass")
			}
			if runtime.GOMAXPROCS(0) > 1 {
				b.ReportMetric(100*share(1), "%ofpeak2")
				b.ReportMetric(share(1)/share(0), "gain")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// together returns how long g goroutines take to run f each, side by side.
func together(g int, f func(i int)) time.Duration {
	var wg sync.WaitGroup
	start := time.Now()
	for i := 1; i < g; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(i)
		}()
	}
	f(0)
	wg.Wait()
	return time.Since(start)
}
