package f32

import (
	"math"
	"testing"
)

func TestFloat64Sums(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		for n := range 130 {
			x, y := make([]float64, n), make([]float64, n)
			for i, v := range normals(1, n) {
				x[i] = float64(v) / 3
			}
			for i, v := range normals(2, n) {
				y[i] = float64(v) / 7
			}
			var lanes [16]float64
			for i, v := range x {
				lanes[i%16] += float64(v * y[i])
			}
			pair := func(i int) float64 { return lanes[i] + lanes[i+8] }
			four := func(i int) float64 { return pair(i) + pair(i+4) }
			want := (four(0) + four(2)) + (four(1) + four(3))
			if got := Dot64(x, y); math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("Dot64 of %d: %v, want %v", n, got, want)
			}
			dst := guardedSlice[float64](n, -7)
			for i := range dst.in {
				dst.in[i] = y[n-1-i]
			}
			const w = 1.0 / 3
			AddTimes64(dst.in, x, w)
			dst.checkIntact(t)
			for i, v := range x {
				if want := y[n-1-i] + float64(v*w); dst.in[i] != want {
					t.Fatalf("AddTimes64 of %d, element %d: %v, want %v", n, i, dst.in[i], want)
				}
			}
		}
	})
}
