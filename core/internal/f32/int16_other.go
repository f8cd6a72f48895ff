//go:build !amd64 || noasm

package f32

func quantize16(dst []int16, row []float32, scale float32) float32 {
	return quantize16Generic(dst, row, scale)
}

func quantize8(dst []uint8, row []float32, scale float32) float32 {
	return quantize8Generic(dst, row, scale)
}

func measure(x []float32) (sum, most float32) { return measureGeneric(x) }

func survivors(_ integers, mask []uint8, low, up []float32) { survivorsGeneric(mask, low, up) }

func bracketTile(kind integers, low, up []float32, panel, rows []uint32, params, table []float32, slots, stride int, _ []float32, _ int) {
	bracketTileGeneric(kind, low, up, panel, rows, params, table, slots, stride)
}
