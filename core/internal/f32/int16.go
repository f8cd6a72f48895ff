package f32

import (
	"fmt"
	"math"
)

// Dot products of integers are exact, and those of 16 bits take half as long as those of floats: rows rounded to integers
// and what that rounding cost them bound every distance. Let q and r be the integers of x and y at scales s and t. Then
//
//	|x·y - q·r/(s t)| <= |x| |y - r/t| + |y| |x - q/s| + |x - q/s| |y - r/t|,
//
// where Quantize16 bounds the two errors. With Scale16 neither |q·r| nor any part of the sum leaves 32 bits.

// Padded16 is the length of a quantized row of dim elements: a multiple of 32, zeros at the end.
func Padded16(dim int) int { return (dim + 31) &^ 31 }

// norm16 is the greatest norm of a quantized row: the largest whose square fits an int32.
const norm16 = 46340

// Scale16 returns a scale at which Quantize16 rounds dim elements with a norm of at most norm to integers with a norm of
// at most 46,340, so that the dot product of two such rows is at most 2^31 - 1.
func Scale16(norm float64, dim int) float32 {
	s := (norm16 - math.Sqrt(float64(dim))/2) / norm
	return float32(min(max(0, s)*(1-0x1p-22), math.MaxFloat32))
}

// Quantize16 sets dst[i] to row[i]*scale, rounded to the nearest integer (even where two are) and held within ±32767,
// and what follows to 0. It returns a bound of |row - dst/scale|², the squared error in the units of row, +Inf or NaN
// where row*scale overflows or is not a number. It panics unless len(dst) is Padded16(len(row)).
func Quantize16(dst []int16, row []float32, scale float32) (sqError float64) {
	if len(row) == 0 || len(dst) != Padded16(len(row)) {
		panic(fmt.Sprintf("f32: room for %d integers, want %d for %d elements", len(dst), Padded16(len(row)), len(row)))
	}
	return sqError16(quantize16(dst, row, scale), len(row)) / (float64(scale) * float64(scale))
}

// sqError16 bounds the sum of n squared errors of which quantize16 made sum. Each error is rounded once, to within a
// factor of 1 + 2^-24, and its square goes through at most n+6 additions; where squares underflow, 2^-149 makes up for it.
func sqError16(sum float32, n int) float64 {
	return (float64(sum) + float64(n+8)*0x1p-149) * (1 + float64(n+10)*0x1p-23)
}

// quantize16Generic returns the sum of (row[i]*scale - dst[i])².
func quantize16Generic(dst []int16, row []float32, scale float32) (sum float32) {
	for i, v := range row {
		q := v * scale
		if !(q < 32767) { // so written, a NaN becomes 32767
			q = 32767
		}
		if q < -32767 {
			q = -32767
		}
		n := math.RoundToEven(float64(q))
		e := float32(math.FMA(float64(v), float64(scale), -n))
		dst[i] = int16(n)
		sum += float32(e * e)
	}
	clear(dst[len(row):])
	return sum
}

// Dots16At sets dst[i] to the dot product of row with row at[i] of book, whose rows are as long: exact unless it leaves 32
// bits, where it wraps around. No element may be -32768. It panics unless len(row) is a multiple of 32 and len(dst) is len(at).
func Dots16At(dst []int32, row, book []int16, at []int32) {
	if len(row) == 0 || len(row)%32 != 0 || len(dst) != len(at) {
		panic(fmt.Sprintf("f32: rows of %d integers, want a multiple of 32; room for %d dot products, want %d", len(row), len(dst), len(at)))
	}
	dots16At(dst, row, book, at)
}

func dots16AtGeneric(dst []int32, row, book []int16, at []int32) {
	for i, j := range at {
		other := book[int(j)*len(row):][:len(row)]
		var s int32
		for d, v := range row {
			s += int32(v) * int32(other[d])
		}
		dst[i] = s
	}
}
