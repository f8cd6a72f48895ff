package f32

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
