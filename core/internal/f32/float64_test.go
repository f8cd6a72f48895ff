package f32

import (
	"math"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

func TestFloat64Sums(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
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

func TestAddRows64(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for _, rows := range []int{0, 1, 2, 37} {
			for _, cols := range []int{0, 1, 31, 32, 33, 64, 103} {
				stride := cols + rows%3
				x := normals(3, max(0, (rows-1)*stride+cols))
				w := make([]float64, rows)
				for j, v := range normals(4, rows) {
					w[j] = float64(v) / 3
				}
				dst := guardedSlice[float64](cols, -7)
				want := make([]float64, cols)
				for i := range want {
					dst.in[i] = 1 / float64(i+3)
					want[i] = dst.in[i]
					for j := range w {
						want[i] += float64(w[j] * float64(x[j*stride+i]))
					}
				}
				AddRows64(dst.in, x, stride, w)
				dst.checkIntact(t)
				for i, v := range want {
					if math.Float64bits(dst.in[i]) != math.Float64bits(v) {
						t.Fatalf("%d rows of %d, element %d: %v, want %v", rows, cols, i, dst.in[i], v)
					}
				}
			}
		}
		for _, bad := range []func(){
			func() { AddRows64(make([]float64, 4), make([]float32, 8), 3, make([]float64, 2)) },
			func() { AddRows64(make([]float64, 4), make([]float32, 7), 4, make([]float64, 2)) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Fatal("no panic")
					}
				}()
				bad()
			}()
		}
	})
}
