//go:build !noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

// The vector loops below take a multiple of eight elements, or of sixteen, and return how many that was; the rest is
// plain Go's.

func whereOnVectors(dst, x, y []float32) int {
	n := len(dst) / 8
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	whereOnAVX2(&dst[0], &x[:len(dst)][0], &y[:len(dst)][0], n)
	return 8 * n
}

func timesDiffVectors(dst, x, y []float32, c float32) int {
	n := len(dst) / 8
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	timesDiffAVX2(&dst[0], &x[:len(dst)][0], &y[:len(dst)][0], c, n)
	return 8 * n
}

func sqDiff64Vectors(sums *[dotLanes]float64, x, y []float32) int {
	n := len(x) / dotLanes
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	sqDiff64AVX2(&sums[0], &x[0], &y[:len(x)][0], n)
	return dotLanes * n
}

func adamVectors(x, m, v, g []float32, constants *[7]float32) int {
	n := len(x) / 8
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	adamAVX2(&x[0], &m[:len(x)][0], &v[:len(x)][0], &g[:len(x)][0], &constants[0], n)
	return 8 * n
}
