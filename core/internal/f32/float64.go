package f32

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
