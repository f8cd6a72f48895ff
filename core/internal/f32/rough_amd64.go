//go:build !noasm

package f32

func roughTile(kind roughKind, state []float32, p roughPanel, rows []uint8, alpha []float32, stride int, ahead []float32, step int) {
	g, width, lanes := len(alpha), len(p.bias), roughShapes[kind].lanes
	if kind == roughGo {
		roughTileGeneric(state, p, rows, alpha, stride, lanes)
		return
	}
	quads := len(p.quads) / width
	_, _, _ = state[2*lanes*g-1], p.quads[quads*width-1], rows[(g-1)*stride+4*quads-1]
	_, _ = p.starts[width-1], p.weight[width-1]
	kernel := roughTileAVX2x2x1
	switch two, many := width == 2*lanes, g == roughShapes[kind].rows[0]; {
	case kind == roughVNNI && many && two:
		kernel = roughTileVNNIx14x2
	case kind == roughVNNI && many:
		kernel = roughTileVNNIx14x1
	case kind == roughVNNI && two:
		kernel = roughTileVNNIx4x2
	case kind == roughVNNI:
		kernel = roughTileVNNIx4x1
	case kind == roughAVX512 && many && two:
		kernel = roughTileAVX512x12x2
	case kind == roughAVX512 && many:
		kernel = roughTileAVX512x12x1
	case kind == roughAVX512 && two:
		kernel = roughTileAVX512x4x2
	case kind == roughAVX512:
		kernel = roughTileAVX512x4x1
	case many && two:
		kernel = roughTileAVX2x4x2
	case many:
		kernel = roughTileAVX2x4x1
	case two:
		kernel = roughTileAVX2x2x2
	}
	kernel(&state[0], &p.quads[0], &rows[0], &alpha[0], &p.starts[0], &p.weight[0], &p.bias[0], stride, quads, p.slot, &ahead[0], step)
}

func roughCodes(kind roughKind, codes []int32, state []float32) {
	lanes := roughShapes[kind].lanes
	_, _ = codes[0], state[2*lanes*len(codes)-1]
	switch kind {
	case roughVNNI, roughAVX512:
		roughCodesAVX512(&codes[0], &state[0], len(codes))
	case roughAVX2:
		roughCodesAVX2(&codes[0], &state[0], len(codes))
	default:
		roughCodesGeneric(codes, state, lanes)
	}
}

func roughRow(kind roughKind, dst []uint8, row, mean []float32) float32 {
	padded := (len(row) + 15) &^ 15
	_, _ = dst[padded-1], mean[padded-1]
	switch kind {
	case roughVNNI, roughAVX512:
		return roughRowAVX512(&dst[0], &row[0], &mean[0], len(row))
	case roughAVX2:
		return roughRowAVX2(&dst[0], &row[0], &mean[0], len(row))
	}
	return roughRowGeneric(dst, row, mean)
}
