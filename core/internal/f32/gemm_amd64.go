//go:build !noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func gemmTile(l cpu.Level, size int, c []float32, stride int, a []float32, row, step int, panel []float32, t tileOf) {
	gemmTileGeneric(size, shapes[l].lanes, c, stride, a, row, step, panel, t)
}
