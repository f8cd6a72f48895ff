//go:build !amd64 || noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func rowTile(l cpu.Level, dst, panel, rows []float32, ld, dim int) {
	rowTileGeneric(dst, panel, rows, ld, shapes[l].lanes, dim)
}

func addTables(dst, least, dots []float32, tables [][]float32, base float32) {
	addTablesGeneric(dst, least, dots, tables, base)
}

func countAtMost32(v []float32, limit float32) int { return countAtMost32Generic(v, limit) }

func appendAtMost32(keys []uint64, v []float32, limit float32, first int) []uint64 {
	return appendAtMost32Generic(keys, v, limit, first)
}

func (t *twoLeast) find(v []float32, limit float32) { t.findGeneric(v, limit) }
