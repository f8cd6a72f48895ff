package f32

import (
	"fmt"
	"math"
)

// Sub subtracts y from x in place, each difference rounded once. It panics if y is shorter than x.
func Sub(x, y []float32) {
	for i := subVectors(x, y); i < len(x); i++ {
		x[i] -= y[i]
	}
}

// Add adds y to x in place, each sum rounded once. It panics if y is shorter than x.
func Add(x, y []float32) {
	for i := addVectors(x, y); i < len(x); i++ {
		x[i] += y[i]
	}
}

// Add64 adds w*x[i] to dst[i], the product rounded to float64 before it is added. It panics if dst is shorter than x.
func Add64(dst []float64, x []float32, w float64) {
	for i := add64Vectors(dst, x, w); i < len(x); i++ {
		dst[i] += float64(w * float64(x[i]))
	}
}

// Normalize divides x by its norm: the float64 sum of the squares in order, its root, and one rounding of each quotient
// to float32. It returns false, and leaves x as it is, if all of x is zero.
func Normalize(x []float32) bool {
	var s float64
	for _, v := range x {
		s += float64(float64(v) * float64(v))
	}
	if s == 0 {
		return false
	}
	norm := math.Sqrt(s)
	for i, v := range x {
		x[i] = float32(float64(v) / norm)
	}
	return true
}

// NotFinite returns the index of the first NaN or infinity in x, or -1.
func NotFinite(x []float32) int {
	for i := finiteVectors(x); i < len(x); i++ {
		if math.Float32bits(x[i])&0x7f800000 == 0x7f800000 {
			return i
		}
	}
	return -1
}

// SqDist64 is the distance that defines codes: sum over i of (x[i]-y[i])² in float64, i ascending.
func SqDist64(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		d := float64(v) - float64(y[i])
		s += float64(d * d)
	}
	return s
}

// SqNorm64 is |x|² in float64, of four sums: one would wait for itself.
func SqNorm64(x []float32) float64 {
	var s, t, u, v float64
	for len(x) >= 4 {
		a, b, c, d := float64(x[0]), float64(x[1]), float64(x[2]), float64(x[3])
		s, t, u, v = s+float64(a*a), t+float64(b*b), u+float64(c*c), v+float64(d*d)
		x = x[4:]
	}
	for _, w := range x {
		s += float64(float64(w) * float64(w))
	}
	return s + t + u + v
}

// sqDist64x4 is SqDist64 of x to four vectors at once: four chains of additions that need not wait for one another.
func sqDist64x4(x, a, b, c, d []float32) [4]float64 {
	var p, q, r, s float64
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	for i, v := range x {
		v := float64(v)
		e, f, g, h := v-float64(a[i]), v-float64(b[i]), v-float64(c[i]), v-float64(d[i])
		p += float64(e * e)
		q += float64(f * f)
		r += float64(g * g)
		s += float64(h * h)
	}
	return [4]float64{p, q, r, s}
}

// SqDists64At sets dst[i] to SqDist64 of x and row at[i] of rows. It panics unless len(dst) is len(at).
func SqDists64At(dst []float64, x, rows []float32, at []int32) {
	if len(dst) != len(at) {
		panic(fmt.Sprintf("f32: room for %d distances, want %d", len(dst), len(at)))
	}
	sqDists64At(dst, x, rows, at)
}

func sqDists64AtGeneric(dst []float64, x, rows []float32, at []int32) {
	row := func(i int) []float32 { return rows[int(at[min(i, len(at)-1)])*len(x):][:len(x)] }
	for i := 0; i < len(at); i += 4 {
		if i == len(at)-1 {
			dst[i] = SqDist64(x, row(i))
			break
		}
		d := sqDist64x4(x, row(i), row(i+1), row(i+2), row(i+3))
		copy(dst[i:], d[:])
	}
}
