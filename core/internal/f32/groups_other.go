//go:build !amd64 || noasm

package f32

func groupTile(kind integers, best []Best, up []float32, list []int32, rows []uint32, stride int, params []RowScale, panel []uint32, table []float32) {
	groupTileGeneric(kind, best, up, list, rows, stride, params, panel, table)
}

func pairs(kind integers, dst, list, slots []int32, rows []uint32, stride int, centroids []uint32, words int) {
	pairsGeneric(kind, dst, list, slots, rows, stride, centroids, words)
}
