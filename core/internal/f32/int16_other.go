//go:build !amd64 || noasm

package f32

func quantize16(dst []int16, row []float32, scale float32) float32 {
	return quantize16Generic(dst, row, scale)
}

func dots16At(dst []int32, row, book []int16, at []int32) { dots16AtGeneric(dst, row, book, at) }
