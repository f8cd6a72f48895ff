//go:build !amd64 || noasm

package f32

func quantize16(dst []int16, row []float32, scale float32) float32 {
	return quantize16Generic(dst, row, scale)
}

func dots16At(dst []int32, row, book []int16, at []int32) { dots16AtGeneric(dst, row, book, at) }

func nearestTile16(kind kind16, state []float32, panel []uint32, rows []int16, alpha, bias []float32, stride, slot int, _ []float32, _ int) {
	nearestTile16Generic(state, panel, rows, alpha, bias, stride, slot, shapes16[kind].lanes)
}

func best16(kind kind16, best, state []float32) { best16Generic(best, state, shapes16[kind].lanes) }
