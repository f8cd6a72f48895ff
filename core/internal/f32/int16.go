package f32

import "math"

// padded16 is the length of a quantized row of dim elements: a multiple of 32, zeros at the end.
func padded16(dim int) int { return (dim + 31) &^ 31 }

// norm16 is the greatest norm of a quantized row: the largest whose square fits an int32.
const norm16 = 46340

// scale16 returns a scale at which quantize16 rounds dim elements with a norm of at most norm to integers with a norm of
// at most 46,340, so that the dot product of two such rows is at most 2^31 - 1.
func scale16(norm float64, dim int) float32 {
	s := (norm16 - math.Sqrt(float64(dim))/2) / norm
	return float32(min(max(0, s)*(1-0x1p-22), math.MaxFloat32))
}

// sqError16 bounds the sum of n squared errors of which quantize16 made sum. Each error is rounded once, to within a
// factor of 1 + 2^-24, and its square goes through at most n+6 additions; where squares underflow, 2^-149 makes up for it.
func sqError16(sum float32, n int) float64 {
	return (float64(sum) + float64(n+8)*0x1p-149) * (1 + float64(n+10)*0x1p-23)
}

// quantize16Generic sets dst[i] to row[i]*scale, rounded to the nearest integer (even where two are) and held within
// ±32767, and what follows, up to padded16, to 0. It returns the sum of (row[i]*scale - dst[i])², which is +Inf or NaN where
// row*scale overflows or is not a number.
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
