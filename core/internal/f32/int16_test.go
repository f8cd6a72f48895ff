package f32

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

// forEachInt16 is cputest.EachLevel, with and without VNNI.
func forEachInt16(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	cputest.EachLevel(t, f)
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
				"normal":    {normal(r, 1), scale16(math.Sqrt(float64(dim)), dim)},
				"halves":    {func() float32 { return float32(r.IntN(9)-4) / 2 }, 1}, // ties to even
				"saturated": {normal(r, 30000), 3},
				"integers":  {func() float32 { return float32(r.IntN(2001) - 1000) }, 1}, // no error at all
				"tiny":      {normal(r, 1e-42), math.MaxFloat32},
				"vanishing": {normal(r, 1e-30), 1e-12},
				"huge":      {normal(r, 1e38), 1e-35},
				"any":       {anyFloat(r), 1},
			} {
				row, dst := fill(dim, c.f), guardedSlice[int16](padded16(dim), -7)
				got := roundError16(dst.in, row, c.scale)
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
					row, dst := normals(1, dim), make([]int16, padded16(dim))
					row[at] = bad
					if got := roundError16(dst, row, 100); got < math.Inf(1) {
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
			s := float64(scale16(norm, dim))
			if got := s*norm + math.Sqrt(float64(dim))/2; !(got <= norm16 && got > norm16*(1-1e-6)) {
				t.Errorf("%d elements of norm %g may become integers of norm %f", dim, norm, got)
			}
		}
	}
	if got := scale16(0, 4); got != math.MaxFloat32 {
		t.Errorf("scale of zeros is %g", got)
	}
}

// roundError16 bounds the squared error of quantize16 in the units of row.
func roundError16(dst []int16, row []float32, scale float32) float64 {
	return sqError16(quantize16(dst, row, scale), len(row)) / (float64(scale) * float64(scale))
}
