// Package blas lets gonum and gorgonia multiply float32 matrices by the kernels of this module: AVX-512, AVX2 or plain Go,
// on all threads, with the same bits on every one of them.
//
//	blas32.Use(blas.Implementation{})   // gonum.org/v1/gonum/blas/blas32
//	gorgonia.Use(blas.Implementation{}) // gorgonia.org/gorgonia
//	tensor.Use(blas.Implementation{})   // gorgonia.org/tensor
package blas

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Implementation is gonum's BLAS with a Sgemm of ours.
type Implementation struct{ gonum.Implementation }

// Sgemm sets c to alpha op(a) op(b) + beta c, row-major. Every element of the product is one chain of float32 fused
// multiply-adds, k ascending, that begins at 0, or at c where alpha and beta are 1. Otherwise it and c are multiplied by
// alpha and beta, each rounded once, and added up. It panics on sizes that do not fit, as gonum's does.
func (Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	out := f32.Dense{Rows: m, Cols: n, Stride: ldc, Data: c}
	x, y := operand(tA, m, k, a, lda), operand(tB, k, n, b, ldb)
	if alpha == 1 && (beta == 0 || beta == 1) {
		f32.Gemm(out, x, y, f32.Then{Add: beta == 1})
		return
	}
	if m < 0 || n < 0 || k < 0 || ldc < n || m > 0 && len(c) < (m-1)*ldc+n {
		panic(fmt.Sprintf("blas: c has %d values for %d rows of %d, %d apart; k is %d", len(c), m, n, ldc, k))
	}
	product := f32.NewDense(m, n, make([]float32, m*n))
	if alpha != 0 { // else a and b are not looked at, as BLAS has it
		f32.Gemm(product, x, y, f32.Then{})
	}
	for i := range m {
		row, p := c[i*ldc:][:n], product.Data[i*n:]
		for j := range row {
			v := float32(alpha * p[j])
			if beta != 0 { // else NaN in c must not matter
				v += float32(beta * row[j])
			}
			row[j] = v
		}
	}
}

func operand(t blas.Transpose, rows, cols int, data []float32, stride int) f32.Dense {
	switch t {
	case blas.NoTrans:
		return f32.Dense{Rows: rows, Cols: cols, Stride: stride, Data: data}
	case blas.Trans, blas.ConjTrans:
		return f32.Dense{Rows: cols, Cols: rows, Stride: stride, Data: data}.T()
	}
	panic(fmt.Sprintf("blas: unknown transpose %c", t))
}
