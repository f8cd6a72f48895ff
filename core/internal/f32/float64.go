package f32

import "fmt"

const dotLanes = 16

// Dot64 is the sum of the products of x and y in float64: sixteen sums, of every sixteenth product, are added up in pairs,
// i and i+8, then i and i+4, and so on, so that it is the same on every level. It panics if y is shorter than x.
func Dot64(x, y []float64) float64 {
	y = y[:len(x)]
	var s [dotLanes]float64
	i := dot64Vectors(&s, x, y)
	for ; i < len(x); i += dotLanes {
		q := y[i:]
		for j, v := range x[i:min(i+dotLanes, len(x))] {
			s[j] += float64(v * q[j])
		}
	}
	return fold(&s)
}

func fold(s *[dotLanes]float64) float64 {
	for n := dotLanes / 2; n > 0; n /= 2 {
		for j := range n {
			s[j] += s[j+n]
		}
	}
	return s[0]
}

// AddTimes64 adds w*x[i] to dst[i], the product rounded before it is added. It panics if dst is shorter than x.
func AddTimes64(dst, x []float64, w float64) {
	dst = dst[:len(x)]
	for i := addTimes64Vectors(dst, x, w); i < len(x); i++ {
		dst[i] += float64(w * x[i])
	}
}

// AddRows64 adds to dst the rows of x, which are stride elements apart, row j times w[j]: as Add64 would one after the
// other, to the bit. It panics if x ends before its last row does, or stride is less than len(dst).
func AddRows64(dst []float64, x []float32, stride int, w []float64) {
	if len(w) == 0 {
		return
	}
	if stride < len(dst) || len(x) < (len(w)-1)*stride+len(dst) {
		panic(fmt.Sprintf("f32: %d values in rows %d apart for %d rows of %d", len(x), stride, len(w), len(dst)))
	}
	if i := addRows64Blocks(dst, x, stride, w); i < len(dst) {
		for j, v := range w {
			Add64(dst[i:], x[j*stride+i:j*stride+len(dst)], v)
		}
	}
}
