package f32

import "math"

// Sub subtracts y from x in place, each difference rounded once. Lengths must agree.
func Sub(x, y []float32) {
	for i := range x {
		x[i] -= y[i]
	}
}

// Add64 adds w*x[i] to dst[i], the product rounded to float64 before it is added. Lengths must agree.
func Add64(dst []float64, x []float32, w float64) {
	for i, v := range x {
		dst[i] += float64(w * float64(v))
	}
}

// Add adds y to x in place, each sum rounded once. Lengths must agree.
func Add(x, y []float32) {
	for i := range x {
		x[i] += y[i]
	}
}

// NotFinite returns the index of the first NaN or infinity in x, or -1.
func NotFinite(x []float32) int {
	for i, v := range x {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return i
		}
	}
	return -1
}
