//go:build !noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func quantize16(dst []int16, row []float32, scale float32) float32 {
	_ = dst[Padded16(len(row))-1]
	switch cpu.Use() {
	case cpu.AVX512:
		return quantize16AVX512(&dst[0], &row[0], scale, len(row))
	case cpu.AVX2:
		return quantize16AVX2(&dst[0], &row[0], scale, len(row))
	}
	return quantize16Generic(dst, row, scale)
}

func dots16At(dst []int32, row, book []int16, at []int32) {
	l := cpu.Use()
	if len(at) == 0 || l == cpu.Generic {
		dots16AtGeneric(dst, row, book, at)
		return
	}
	for _, j := range at { // the kernel does not check
		_ = book[int(j)*len(row):][:len(row)]
	}
	d, r, b, a := &dst[0], &row[0], &book[0], &at[0]
	switch {
	case cpu.VNNI():
		dots16AtVNNI(d, r, b, a, len(at), len(row))
	case l == cpu.AVX512:
		dots16AtAVX512(d, r, b, a, len(at), len(row))
	default:
		dots16AtAVX2(d, r, b, a, len(at), len(row))
	}
}
