//go:build !noasm

package f32

func groupTile(kind integers, best []Best, up []float32, list []int32, rows []uint32, stride int, params []RowScale, panel []uint32, table []float32) {
	words, last := len(panel)/GroupSize, 0
	for _, i := range list { // the kernel does not check
		last = max(last, int(i))
		if i < 0 {
			panic("f32: a negative row")
		}
	}
	_, _, _, _ = rows[last*stride+words-1], params[last], best[len(list)-1], up[len(list)*GroupSize-1]
	switch {
	case kind == vnni8 && len(table) == GroupSize*perCentroid:
		groupVNNI(&best[0].Low, &up[0], &list[0], &rows[0], 4*stride, &params[0][0], &panel[0], &table[0], words)
	case kind == avx2x16 && len(table) == GroupSize*perCentroid:
		groupAVX2(&best[0].Low, &up[0], &list[0], &rows[0], 4*stride, &params[0][0], &panel[0], &table[0], words)
	default:
		groupTileGeneric(kind, best, up, list, rows, stride, params, panel, table)
	}
}

func pairs(kind integers, dst, list, slots []int32, rows []uint32, stride int, centroids []uint32, words int) {
	if len(list) == 0 {
		return
	}
	row, slot := int32(0), int32(0)
	for i, r := range list { // the kernel does not check
		row, slot = max(row, r), max(slot, slots[i])
		if r < 0 || slots[i] < 0 {
			panic("f32: a negative row or slot")
		}
	}
	_, _, _ = rows[int(row)*stride+words-1], centroids[int(slot)*words+words-1], dst[len(list)-1]
	switch {
	case words%16 != 0 || kind != vnni8 && kind != avx2x16:
		pairsGeneric(kind, dst, list, slots, rows, stride, centroids, words)
	case kind == vnni8:
		pairsVNNI(&dst[0], &list[0], &slots[0], len(list), &rows[0], 4*stride, &centroids[0], words)
	default:
		pairsAVX2(&dst[0], &list[0], &slots[0], len(list), &rows[0], 4*stride, &centroids[0], words)
	}
}
