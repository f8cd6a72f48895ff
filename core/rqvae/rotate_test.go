package rqvae

import (
	"context"
	"math"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// turnBack is the transpose of a matrix that takes e to q and changes no angle.
func TestTurnBack(t *testing.T) {
	for _, dim := range []int{1, 2, 3, 17, 64} {
		e, q := normals(1, dim), normals(2, dim)
		for _, q := range [][]float32{q, scaled(e, 3), scaled(e, -0.5), nearly(e, -1)} {
			// the matrix, a row for each unit vector
			m := make([][]float64, dim)
			for i := range m {
				m[i] = make([]float64, dim)
				m[i][i] = 1
				turnBack(m[i], e, q)
			}
			scale := norm64(q) / norm64(e)
			for i := range m {
				var y float64
				for j, v := range m[i] {
					y += v * float64(e[j])
				}
				if !(math.Abs(y-float64(q[i])) <= 1e-7*norm64(q)) {
					t.Fatalf("dim %d: entry %d of e turned is %g, want %g", dim, i, y, q[i])
				}
				for k := range m {
					var s float64
					for j, v := range m[i] {
						s += v * m[k][j] / (scale * scale)
					}
					if k == i {
						s--
					}
					if !(math.Abs(s) <= 1e-7) {
						t.Fatalf("dim %d: rows %d and %d of the matrix are off orthonormal by %g", dim, i, k, s)
					}
				}
			}
		}
		v, zero := toFloat64(e), make([]float32, dim)
		turnBack(v, zero, q)
		turnBack(v, q, zero)
		within(t, "straight through", e, v, 0)
	}
}

func scaled(x []float32, by float32) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = by * v
	}
	return y
}

// nearly is scaled, one entry changed in its last bits.
func nearly(x []float32, by float32) []float32 {
	y := scaled(x, by)
	y[0] *= 1 + 1e-6
	return y
}

func norm64(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return math.Sqrt(s)
}

// A level is a linear function of its residual as it is differentiated, with the rotation and scaling held: differences of the
// whole function, written down with matrices in float64, are what back returns.
func TestBackIsDifferencesOfHeldRotations(t *testing.T) {
	const rows, cols, commit = 5, 6, 0.7
	p := DefaultParams(cols)
	p.EDim, p.Clusters, p.Rotate = cols, []int{5, 4, 7}, true
	w := newWeights(p.Shape)
	for l, b := range w.books {
		copy(b.Data, normals(uint64(l), len(b.Data)))
	}
	q := newQuantizer(context.Background(), w.books, rows, p)
	z, sum, got := core.Matrix{Rows: rows, Cols: cols, Data: normals(7, rows*cols)}, core.NewMatrix(rows, cols), core.NewMatrix(rows, cols)
	q.run(sum, z)
	grad := normals(8, rows*cols)
	q.back(got, z, grad, commit)
	for i := range rows {
		var held [][][]float64 // per level, the transposed matrix
		for l, book := range w.books {
			residual := z.Row(i)
			if l > 0 {
				residual = q.left[l-1].Row(i)
			}
			m := make([][]float64, cols)
			for j := range m {
				m[j] = make([]float64, cols)
				m[j][j] = 1
				turnBack(m[j], residual, book.Row(int(q.codes[l][i])))
			}
			held = append(held, m)
		}
		x := toFloat64(z.Row(i))
		want := differences(x, func() (s float64) {
			rest := append([]float64(nil), x...)
			for l := range held {
				turned := make([]float64, cols)
				for j := range turned {
					for k, v := range rest {
						turned[j] += held[l][j][k] * v
					}
				}
				vector := w.books[l].Row(int(q.codes[l][i]))
				for j, v := range turned {
					s += v * float64(grad[i*cols+j])
					d := rest[j] - float64(vector[j])
					s += commit / 2 * d * d
					rest[j] -= v
				}
			}
			return s
		})
		within(t, "gradient", got.Row(i), want, 1e-6)
	}
}
