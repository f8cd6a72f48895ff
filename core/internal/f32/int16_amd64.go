//go:build !noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func quantize16(dst []int16, row []float32, scale float32) float32 {
	_ = dst[padded16(len(row))-1]
	switch cpu.Use() {
	case cpu.AVX512:
		return quantize16AVX512(&dst[0], &row[0], scale, len(row))
	case cpu.AVX2:
		return quantize16AVX2(&dst[0], &row[0], scale, len(row))
	}
	return quantize16Generic(dst, row, scale)
}

func quantize8(dst []uint8, row []float32, scale float32) float32 {
	if cpu.Use() != cpu.AVX512 {
		return quantize8Generic(dst, row, scale)
	}
	_ = dst[(len(row)+15)&^15-1]
	return quantize8AVX512(&dst[0], &row[0], scale, len(row))
}

func measure(x []float32) (sum, most float32) {
	switch cpu.Use() {
	case cpu.AVX512:
		return measureAVX512(&x[0], len(x))
	case cpu.AVX2:
		return measureAVX2(&x[0], len(x))
	}
	return measureGeneric(x)
}

func survivors(kind integers, mask []uint8, low, up []float32) {
	lanes := shapesInt[kind].lanes
	_, _ = mask[(len(up)-1)/8], low[lanes-1]
	switch kind {
	case vnni8:
		survivorsAVX512(&mask[0], &low[0], &up[0], len(up)/lanes)
	case avx2x16:
		survivorsAVX2(&mask[0], &low[0], &up[0], len(up)/lanes)
	default:
		survivorsGeneric(mask, low, up)
	}
}

func bracketTile(kind integers, low, up []float32, panel, rows []uint32, params, table []float32, slots, stride int, ahead []float32, step int) {
	size, width, lanes := len(params)/perRow, len(table)/perCentroid, shapesInt[kind].lanes
	words := len(panel) / width
	_, _, _ = low[size*lanes-1], up[(size-1)*slots+width-1], rows[(size-1)*stride+words-1]
	l, u, p, r, x, c, a := &low[0], &up[0], &panel[0], &rows[0], &params[0], &table[0], &ahead[0]
	bytes, two := 4*stride, width == 2*lanes
	switch {
	case kind == vnni8 && size == 14 && two:
		bracketVNNIx14x2(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == vnni8 && size == 14:
		bracketVNNIx14x1(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == vnni8 && size == 8 && two:
		bracketVNNIx8x2(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == vnni8 && size == 8:
		bracketVNNIx8x1(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == vnni8 && size == 4 && two:
		bracketVNNIx4x2(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == vnni8 && size == 4:
		bracketVNNIx4x1(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == avx2x16 && size == 6 && two:
		bracketAVX2x6x2(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == avx2x16 && size == 6:
		bracketAVX2x6x1(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == avx2x16 && size == 4 && two:
		bracketAVX2x4x2(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == avx2x16 && size == 4:
		bracketAVX2x4x1(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == avx2x16 && size == 2 && two:
		bracketAVX2x2x2(l, u, p, r, x, c, slots, bytes, words, a, step)
	case kind == avx2x16 && size == 2:
		bracketAVX2x2x1(l, u, p, r, x, c, slots, bytes, words, a, step)
	default:
		bracketTileGeneric(kind, low, up, panel, rows, params, table, slots, stride)
	}
}
