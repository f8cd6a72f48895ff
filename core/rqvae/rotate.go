package rqvae

import (
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// turnBack multiplies v by the transpose of what takes e to q: the rotation in the plane of both, and the scaling by the
// ratio of their norms, as Fifty, Junkins, Duan, Iyengar, Liu, Amid, Thrun, Ré (ICLR 2025) have them,
//
//	|q|/|e| (I - 2 r rᵀ + 2 q̂ êᵀ),  r = (ê + q̂) / |ê + q̂|.
//
// Where e and q are opposite, r is 0: a reflection then takes e to q. Where one of them is 0, v stays.
func turnBack(v []float64, e, q []float32) {
	var ee, qq float64
	for j, x := range e {
		y := float64(q[j])
		ee += float64(float64(x) * float64(x))
		qq += float64(y * y)
	}
	if ee == 0 || qq == 0 {
		return
	}
	perE, perQ := 1/math.Sqrt(ee), 1/math.Sqrt(qq)
	var uu, uv, qv float64 // u is ê + q̂
	for j, x := range e {
		y := float64(float64(q[j]) * perQ)
		u := float64(float64(x)*perE) + y
		uu += float64(u * u)
		uv += float64(u * v[j])
		qv += float64(y * v[j])
	}
	toU := 0.0
	if uu > 1e-24 {
		toU = 2 * uv / uu
	}
	scale := math.Sqrt(qq) * perE
	for j, x := range e {
		unit := float64(float64(x) * perE)
		u := unit + float64(float64(q[j])*perQ)
		v[j] = scale * (v[j] - float64(toU*u) + float64(2*qv*unit))
	}
}

// back writes to dst the gradient of z, what the last run quantized, when the gradient of the sum of the vectors is grad
// (nil: 0) and that of what each level left over commit times itself. Each level is differentiated as the rotation and scaling
// that takes its residual to its vector, both held, and the next residual as the difference of the two.
func (q *quantizer) back(dst, z core.Matrix, grad []float32, commit float64) {
	cols := z.Cols
	parallel(z.Rows, taskRows, func(lo, hi int) {
		at, turned := make([]float64, cols), make([]float64, cols) // the gradient of the residual at a level
		for i := lo; i < hi; i++ {
			clear(at)
			for l := len(q.books) - 1; l >= 0; l-- {
				k := int(q.codes[l][i])
				if k < 0 {
					continue
				}
				residual := z.Row(i)
				if l > 0 {
					residual = q.left[l-1].Row(i)
				}
				for j := range turned {
					turned[j] = -at[j]
					if grad != nil {
						turned[j] += float64(grad[i*cols+j])
					}
				}
				turnBack(turned, residual, q.books[l].Row(k))
				for j, left := range q.left[l].Row(i) {
					at[j] += turned[j] + float64(commit*float64(left))
				}
			}
			for j, v := range at {
				dst.Row(i)[j] = float32(v)
			}
		}
	})
}
