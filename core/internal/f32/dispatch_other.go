//go:build !amd64 || noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func nearestTile(l cpu.Level, state, panel, group, bias []float32, ids []int32, dim int, _ []float32, _ int) {
	nearestTileGeneric(state, panel, group, bias, ids, shapes[l].lanes, dim)
}

func scoresTile(l cpu.Level, dst, panel, group, bias []float32, dim int) {
	scoresTileGeneric(dst, panel, group, bias, shapes[l].lanes, dim)
}

func exactTile(l cpu.Level, dst []float64, panel []float32, points []float64, dim int) {
	exactTileGeneric(dst, panel, points, shapes[l].lanes, dim)
}

func packPanel(_ cpu.Level, panel, norms, rows []float32, offsets []int, dim int) {
	packPanelGeneric(panel, norms, rows, offsets, dim)
}

func dots(_ cpu.Level, dst, rows, matrix []float32, dim int) { dotsGeneric(dst, rows, matrix, dim) }

func sqDists64At(dst []float64, x, rows []float32, at []int32) { sqDists64AtGeneric(dst, x, rows, at) }

func dotsDepth(_ cpu.Level, dim int) int { return dim + 1 }

func subVectors(x, y []float32) int                          { return 0 }
func addVectors(x, y []float32) int                          { return 0 }
func add64Vectors(dst []float64, x []float32, w float64) int { return 0 }
func finiteVectors(x []float32) int                          { return 0 }

func dot64Vectors(sums *[dotLanes]float64, x, y []float64) int                { return 0 }
func addTimes64Vectors(dst, x []float64, w float64) int                       { return 0 }
func addRows64Blocks(dst []float64, x []float32, stride int, w []float64) int { return 0 }

func gemmTile(l cpu.Level, size int, c []float32, stride int, a []float32, row, step int, panel []float32, t tileOf) {
	gemmTileGeneric(size, shapes[l].lanes, c, stride, a, row, step, panel, t)
}

func columns(_ cpu.Level, dst, src []float32, size, pieces, depth, stride int) {
	columnsGeneric(dst, src, size, pieces, depth, stride)
}

func whereOnVectors(dst, x, y []float32) int                      { return 0 }
func timesDiffVectors(dst, x, y []float32, c float32) int         { return 0 }
func sqDiff64Vectors(sums *[dotLanes]float64, x, y []float32) int { return 0 }
func adamVectors(x, m, v, g []float32, constants *[7]float32) int { return 0 }

func (m *marked) multiply(l cpu.Level, c []float32, stride, panels int, block []float32, t tileOf) {
	m.multiplyGeneric(shapes[l].lanes, c, stride, panels, block, t)
}

func mark(_ cpu.Level, sets []uint64, src []float32, n, stride int) {
	markGeneric(sets, src, n, stride)
}

func turn(_ cpu.Level, dst []float32, sets []uint64, q int, src []float32, offsets *[sparsePiece]int, room int) {
	turnGeneric(dst, sets, q, src, offsets, room)
}
