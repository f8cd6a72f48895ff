//go:build !amd64 || noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func nearestTile(l cpu.Level, state, panel, group, bias []float32, ids []int32, dim int, _ []float32, _ int) {
	nearestTileGeneric(state, panel, group, bias, ids, shapes[l].lanes, dim)
}

func scoresTile(l cpu.Level, dst, panel, group, bias []float32, dim int) {
	scoresTileGeneric(dst, panel, group, bias, shapes[l].lanes, dim)
}

func packPanel(_ cpu.Level, panel, norms, rows []float32, offsets []int, dim int) {
	packPanelGeneric(panel, norms, rows, offsets, dim)
}

func dots(_ cpu.Level, dst, row, matrix []float32) { dotsGeneric(dst, row, matrix) }

func dotsDepth(_ cpu.Level, dim int) int { return dim + 1 }
