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

func nearestTile16(kind kind16, state []float32, panel []uint32, rows []int16, alpha, bias []float32, stride, slot int, ahead []float32, step int) {
	g, lanes, pairs := len(alpha), shapes16[kind].lanes, len(panel)/len(bias)
	_, _, _ = state[3*lanes*g-1], panel[pairs*len(bias)-1], rows[(g-1)*stride+2*pairs-1]
	s, p, r, a, b, f := &state[0], &panel[0], &rows[0], &alpha[0], &bias[0], &ahead[0]
	two := len(bias) == 2*lanes
	bytes := 2 * stride
	switch {
	case kind == vnni16 && g == 14 && two:
		nearest16VNNIx14x2(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == vnni16 && g == 14:
		nearest16VNNIx14x1(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == vnni16 && g == 8 && two:
		nearest16VNNIx8x2(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == vnni16 && g == 8:
		nearest16VNNIx8x1(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == vnni16 && g == 4 && two:
		nearest16VNNIx4x2(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == vnni16 && g == 4:
		nearest16VNNIx4x1(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == avx216 && g == 6 && two:
		nearest16AVX2x6x2(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == avx216 && g == 6:
		nearest16AVX2x6x1(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == avx216 && g == 4 && two:
		nearest16AVX2x4x2(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == avx216 && g == 4:
		nearest16AVX2x4x1(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == avx216 && g == 2 && two:
		nearest16AVX2x2x2(s, p, r, a, b, bytes, pairs, slot, f, step)
	case kind == avx216 && g == 2:
		nearest16AVX2x2x1(s, p, r, a, b, bytes, pairs, slot, f, step)
	default:
		nearestTile16Generic(state, panel, rows, alpha, bias, stride, slot, lanes)
	}
}

func best16(kind kind16, best, state []float32) {
	lanes := shapes16[kind].lanes
	_ = state[len(best)*lanes-1]
	switch kind {
	case vnni16:
		best16AVX512(&best[0], &state[0], len(best)/3)
	case avx216:
		best16AVX2(&best[0], &state[0], len(best)/3)
	default:
		best16Generic(best, state, lanes)
	}
}
