package f32

import "math"

// What a step of training does beside its products. Each operation rounds by itself, so that the bits are the same on
// every level.

// WhereOn sets dst to x where y is above 0, and to 0 elsewhere: the way back through a ReLU that gave y. dst may be x. It
// panics if x or y is shorter than dst.
func WhereOn(dst, x, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := whereOnVectors(dst, x, y); i < len(dst); i++ {
		v := x[i]
		if !(y[i] > 0) {
			v = 0
		}
		dst[i] = v
	}
}

// TimesDiff sets dst to c*(x-y). It panics if x or y is shorter than dst.
func TimesDiff(dst, x, y []float32, c float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := timesDiffVectors(dst, x, y, c); i < len(dst); i++ {
		dst[i] = c * (x[i] - y[i])
	}
}

// SumSqDiff is the sum of (x[i]-y[i])² in float64: sixteen sums, of every sixteenth square, are added up in pairs as by
// Dot64. It panics if y is shorter than x.
func SumSqDiff(x, y []float32) float64 {
	y = y[:len(x)]
	var s [dotLanes]float64
	i := sqDiff64Vectors(&s, x, y)
	for ; i < len(x); i += dotLanes {
		q := y[i:]
		for j, v := range x[i:min(i+dotLanes, len(x))] {
			d := float64(v) - float64(q[j])
			s[j] += float64(d * d)
		}
	}
	return fold(&s)
}

// AdamW is one step of AdamW (Loshchilov, Hutter, ICLR 2019) with what has been worked out of the step's number t.
type AdamW struct {
	Beta1, Beta2, Eps float64
	Rate              float64 // learning rate / (1 - Beta1^t)
	Root              float64 // the root of 1 - Beta2^t
	Keep              float64 // 1 - learning rate * weight decay
}

// Step moves the means m of the gradients g and v of their squares, then the weights x, all in place:
//
//	m += (1-Beta1) (g-m),  v = Beta2 v + (1-Beta2) g g,  x = Keep x - Rate (m / (√v/Root + Eps))
//
// in float32, rounded after each operation, from the left. It panics if m, v or g is shorter than x.
func (a AdamW) Step(x, m, v, g []float32) {
	m, v, g = m[:len(x)], v[:len(x)], g[:len(x)]
	c := a.constants()
	toward, beta2, square, keep, rate, root, eps := c[0], c[1], c[2], c[3], c[4], c[5], c[6]
	for i := adamVectors(x, m, v, g, &c); i < len(x); i++ {
		d := g[i]
		m[i] += float32(toward * (d - m[i]))
		v[i] = float32(beta2*v[i]) + float32(float32(square*d)*d)
		x[i] = float32(keep*x[i]) - float32(rate*(m[i]/(float32(math.Sqrt(float64(v[i])))/root+eps)))
	}
}

func (a AdamW) constants() [7]float32 {
	return [7]float32{float32(1 - a.Beta1), float32(a.Beta2), float32(1 - a.Beta2), float32(a.Keep), float32(a.Rate), float32(a.Root), float32(a.Eps)}
}
