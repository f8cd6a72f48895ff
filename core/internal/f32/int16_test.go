package f32

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// forEachInt16 is forEachLevel, with and without VNNI.
func forEachInt16(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	forEachLevel(t, f)
	if cpu.VNNI() {
		t.Run("avx512 without VNNI", func(t *testing.T) {
			defer cpu.SetVNNIForTest(false)()
			f(t)
		})
	}
}

// exactSqError is |row - q/scale|², rounded only at the end.
func exactSqError(row []float32, q []int16, scale float32) float64 {
	wide := func(v float64) *big.Float { return new(big.Float).SetPrec(700).SetFloat64(v) }
	sum := wide(0)
	for i, v := range row {
		e := wide(float64(v))
		e.Mul(e, wide(float64(scale)))
		e.Sub(e, wide(float64(q[i])))
		sum.Add(sum, e.Mul(e, e))
	}
	got, _ := sum.Quo(sum, wide(float64(scale)*float64(scale))).Float64()
	return got
}

func TestQuantize16(t *testing.T) {
	forEachInt16(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for dim := 1; dim <= 130; dim++ {
			for name, c := range map[string]struct {
				f     func() float32
				scale float32
			}{
				"normal":    {normal(r, 1), Scale16(math.Sqrt(float64(dim)), dim)},
				"halves":    {func() float32 { return float32(r.IntN(9)-4) / 2 }, 1}, // ties to even
				"saturated": {normal(r, 30000), 3},
				"integers":  {func() float32 { return float32(r.IntN(2001) - 1000) }, 1}, // no error at all
				"tiny":      {normal(r, 1e-42), math.MaxFloat32},
				"vanishing": {normal(r, 1e-30), 1e-12},
				"huge":      {normal(r, 1e38), 1e-35},
				"any":       {anyFloat(r), 1},
			} {
				row, dst := fill(dim, c.f), guardedSlice[int16](Padded16(dim), -7)
				got := Quantize16(dst.in, row, c.scale)
				dst.checkIntact(t)
				for i, q := range dst.in {
					want := 0.0
					if i < dim {
						want = max(-32767, min(32767, math.RoundToEven(float64(row[i]*c.scale))))
					}
					if float64(q) != want {
						t.Fatalf("%s, dim %d: element %d is %d, want %v", name, dim, i, q, want)
					}
				}
				if want := exactSqError(row, dst.in, c.scale); !(got >= want) {
					t.Errorf("%s, dim %d: squared error %g is more than its bound %g", name, dim, want, got)
				} else if got > want*(1+1e-4)+1e-40/float64(c.scale)/float64(c.scale) && want < 1e36 {
					t.Errorf("%s, dim %d: bound %g of the squared error %g", name, dim, got, want)
				}
			}
		}
	})
}

func TestQuantize16NotFinite(t *testing.T) {
	forEachInt16(t, func(t *testing.T) {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for _, dim := range []int{1, 8, 16, 40, 77} {
				for at := range dim {
					row, dst := normals(1, dim), make([]int16, Padded16(dim))
					row[at] = bad
					if got := Quantize16(dst, row, 100); got < math.Inf(1) {
						t.Errorf("%v at %d of %d: bound %g", bad, at, dim, got)
					}
					if q := dst[at]; q != 32767 && q != -32767 {
						t.Errorf("%v at %d of %d became %d", bad, at, dim, q)
					}
				}
			}
		}
	})
}

// TestScale16 holds that a row of the greatest norm fits, whichever way its elements are rounded.
func TestScale16(t *testing.T) {
	for dim := 1; dim <= 4096; dim *= 2 {
		for _, norm := range []float64{1e-30, 1, 12345, 1e30} {
			s := float64(Scale16(norm, dim))
			if got := s*norm + math.Sqrt(float64(dim))/2; !(got <= norm16 && got > norm16*(1-1e-6)) {
				t.Errorf("%d elements of norm %g may become integers of norm %f", dim, norm, got)
			}
		}
	}
	if got := Scale16(0, 4); got != math.MaxFloat32 {
		t.Errorf("scale of zeros is %g", got)
	}
}

func TestDots16At(t *testing.T) {
	forEachInt16(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, dim := range []int{32, 64, 96, 128, 160, 384, 416} {
			const k = 40
			for _, most := range []int{32767, 1000} { // the sums of the first wrap around
				vector := func(n int) []int16 {
					x := make([]int16, n)
					for i := range x {
						x[i] = int16(r.IntN(2*most+1) - most)
					}
					return x
				}
				row, book := vector(dim), vector(k*dim)
				for i := range dim { // the greatest products there are
					row[i] = int16(most)
					book[i], book[dim+i] = int16(most), -int16(most)
				}
				for n := range 13 {
					at := make([]int32, n)
					for i := range at {
						at[i] = int32(r.IntN(k))
					}
					copy(at, []int32{0, k - 1, 1})
					dst := guardedSlice[int32](n, -7)
					Dots16At(dst.in, row, book, at)
					dst.checkIntact(t)
					for i, j := range at {
						var want int64
						for d, v := range row {
							want += int64(v) * int64(book[int(j)*dim+d])
						}
						if dst.in[i] != int32(want) {
							t.Fatalf("%d elements, %d rows: dot product %d is %d, want %d", dim, n, i, dst.in[i], want)
						}
					}
				}
			}
		}
	})
}

func TestInt16Panics(t *testing.T) {
	for name, f := range map[string]func(){
		"Quantize16, not padded":    func() { Quantize16(make([]int16, 5), make([]float32, 5), 1) },
		"Quantize16, nothing":       func() { Quantize16(nil, nil, 1) },
		"Dots16At, not padded":      func() { Dots16At(make([]int32, 1), make([]int16, 5), make([]int16, 50), make([]int32, 1)) },
		"Dots16At, no room":         func() { Dots16At(nil, make([]int16, 32), make([]int16, 64), make([]int32, 1)) },
		"Dots16At, beyond the book": func() { Dots16At(make([]int32, 1), make([]int16, 32), make([]int16, 64), []int32{2}) },
		"Dots16At, before the book": func() { Dots16At(make([]int32, 1), make([]int16, 32), make([]int16, 64), []int32{-1}) },
	} {
		forEachInt16(t, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		})
	}
}

func BenchmarkAt(b *testing.B) {
	const dim, k, n = 384, 256, 12
	row, centroids := normals(1, dim), normals(2, k*dim)
	row16, book16 := make([]int16, dim), make([]int16, k*dim)
	scale := Scale16(30, dim)
	Quantize16(row16, row, scale)
	for j := range k {
		Quantize16(book16[j*dim:][:dim], centroids[j*dim:][:dim], scale)
	}
	r := rand.New(rand.NewPCG(1, 1))
	at := make([]int32, 64*n)
	for i := range at {
		at[i] = int32(r.IntN(k))
	}
	dots, dists := make([]int32, n), make([]float32, n)
	for l := cpu.AVX2; l <= cpu.Supported(); l++ {
		for name, f := range map[string]func(at []int32){
			"sqdists":  func(at []int32) { SqDistsAt(dists, row, centroids, at) },
			"dots16":   func(at []int32) { Dots16At(dots, row16, book16, at) },
			"quantize": func([]int32) { Quantize16(row16, row, scale) },
		} {
			b.Run(fmt.Sprintf("%s/level=%v/dim=%d/n=%d", name, l, dim, n), func(b *testing.B) {
				defer cpu.SetForTest(l)()
				for i := 0; b.Loop(); i++ {
					f(at[i%64*n:][:n])
				}
			})
		}
	}
}
