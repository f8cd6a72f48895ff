//go:build !amd64 || noasm

package f32

func roughTile(kind roughKind, state []float32, p roughPanel, rows []uint8, alpha []float32, stride int, _ []float32, _ int) {
	roughTileGeneric(state, p, rows, alpha, stride, roughShapes[kind].lanes)
}

func roughCodes(kind roughKind, codes []int32, state []float32) {
	roughCodesGeneric(codes, state, roughShapes[kind].lanes)
}

func roughRow(_ roughKind, dst []uint8, row, mean []float32) float32 {
	return roughRowGeneric(dst, row, mean)
}
