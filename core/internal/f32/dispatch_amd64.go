//go:build !noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

func nearestTile(l cpu.Level, state, panel, group, bias []float32, ids []int32, dim int, ahead []float32, stride int) {
	lanes, n := shapes[l].lanes, len(bias)
	_, _, _, _ = state[3*lanes-1], panel[lanes*dim-1], group[n*dim-1], ids[n-1]
	s, p, g, b, i, a := &state[0], &panel[0], &group[0], &bias[0], &ids[0], &ahead[0]
	switch {
	case l == cpu.AVX512 && n == 14:
		nearestAVX512x14(s, p, g, b, i, dim, a, stride)
	case l == cpu.AVX512 && n == 8:
		nearestAVX512x8(s, p, g, b, i, dim, a, stride)
	case l == cpu.AVX512 && n == 4:
		nearestAVX512x4(s, p, g, b, i, dim, a, stride)
	case l == cpu.AVX512 && n == 2:
		nearestAVX512x2(s, p, g, b, i, dim, a, stride)
	case l == cpu.AVX2 && n == 6:
		nearestAVX2x6(s, p, g, b, i, dim, a, stride)
	case l == cpu.AVX2 && n == 4:
		nearestAVX2x4(s, p, g, b, i, dim, a, stride)
	case l == cpu.AVX2 && n == 2:
		nearestAVX2x2(s, p, g, b, i, dim, a, stride)
	default:
		nearestTileGeneric(state, panel, group, bias, ids, lanes, dim)
	}
}

func scoresTile(l cpu.Level, dst, panel, group, bias []float32, dim int) {
	lanes, n := shapes[l].lanes, len(bias)
	_, _, _ = dst[n*lanes-1], panel[lanes*dim-1], group[n*dim-1]
	d, p, g, b := &dst[0], &panel[0], &group[0], &bias[0]
	switch {
	case l == cpu.AVX512 && n == 14:
		scoresAVX512x14(d, p, g, b, dim)
	case l == cpu.AVX512 && n == 8:
		scoresAVX512x8(d, p, g, b, dim)
	case l == cpu.AVX512 && n == 4:
		scoresAVX512x4(d, p, g, b, dim)
	case l == cpu.AVX512 && n == 2:
		scoresAVX512x2(d, p, g, b, dim)
	case l == cpu.AVX2 && n == 6:
		scoresAVX2x6(d, p, g, b, dim)
	case l == cpu.AVX2 && n == 4:
		scoresAVX2x4(d, p, g, b, dim)
	case l == cpu.AVX2 && n == 2:
		scoresAVX2x2(d, p, g, b, dim)
	default:
		scoresTileGeneric(dst, panel, group, bias, lanes, dim)
	}
}

func exactTile(l cpu.Level, dst []float64, panel []float32, points []float64, dim int) {
	lanes, n := shapes[l].lanes, len(points)/dim
	_, _, _ = dst[n*lanes-1], panel[lanes*dim-1], points[n*dim-1]
	d, p, q := &dst[0], &panel[0], &points[0]
	switch {
	case l == cpu.AVX512 && n == 2:
		exactAVX512x2(d, p, q, dim)
	case l == cpu.AVX512 && n == 1:
		exactAVX512x1(d, p, q, dim)
	case l == cpu.AVX2 && n == 2:
		exactAVX2x2(d, p, q, dim)
	case l == cpu.AVX2 && n == 1:
		exactAVX2x1(d, p, q, dim)
	default:
		exactTileGeneric(dst, panel, points, lanes, dim)
	}
}

func sqDists64At(dst []float64, x, rows []float32, at []int32) {
	dim, n := len(x), len(x)/4
	if cpu.Use() == cpu.Generic || n == 0 {
		sqDists64AtGeneric(dst, x, rows, at)
		return
	}
	var offsets [8]int
	var sums [8]float64
	for len(at) > 0 {
		size := min(len(at), 8)
		for i := range offsets { // what is left over repeats the last row
			j := int(at[min(i, size-1)])
			_ = rows[j*dim : (j+1)*dim]
			offsets[i] = 4 * j * dim
		}
		if size <= 4 {
			exactAtAVX2x4(&sums[0], &x[0], &rows[0], &offsets[0], n)
		} else {
			exactAtAVX2x8(&sums[0], &x[0], &rows[0], &offsets[0], n)
		}
		for i, s := range sums[:size] {
			row := rows[int(at[i])*dim:][:dim]
			for d := 4 * n; d < dim; d++ {
				e := float64(x[d]) - float64(row[d])
				s += float64(e * e)
			}
			dst[i] = s
		}
		dst, at = dst[size:], at[size:]
	}
}

// packPanel takes offsets in elements; it leaves in offsets what it likes.
func packPanel(l cpu.Level, panel, norms, rows []float32, offsets []int, dim int) {
	if l == cpu.Generic {
		packPanelGeneric(panel, norms, rows, offsets, dim)
		return
	}
	lanes := shapes[l].lanes
	_, _, offsets = panel[lanes*dim-1], norms[2*lanes-1], offsets[:lanes]
	for i, o := range offsets {
		_ = rows[o : o+dim]
		offsets[i] = 4 * o // bytes
	}
	if l == cpu.AVX512 {
		packAVX512(&panel[0], &norms[0], &rows[0], &offsets[0], dim)
	} else {
		packAVX2(&panel[0], &norms[0], &rows[0], &offsets[0], dim)
	}
}

func dots(l cpu.Level, dst, rows, matrix []float32, dim int) {
	n := len(matrix) / dim
	_, _, _ = dst[len(rows)/dim*n-1], rows[dim-1], matrix[n*dim-1]
	d, r, m := &dst[0], &rows[0], &matrix[0]
	switch two := len(rows) == 2*dim; {
	case l == cpu.AVX512 && two:
		dotsAVX512x2(d, r, m, n, dim)
	case l == cpu.AVX512:
		dotsAVX512x1(d, r, m, n, dim)
	case l == cpu.AVX2 && two:
		dotsAVX2x2(d, r, m, n, dim)
	case l == cpu.AVX2:
		dotsAVX2x1(d, r, m, n, dim)
	default:
		dotsGeneric(dst, rows, matrix, dim)
	}
}

// dotsDepth returns the most roundings that any one product passes through in dots.
func dotsDepth(l cpu.Level, dim int) int {
	switch l {
	case cpu.AVX512:
		return (dim+15)/16 + 4
	case cpu.AVX2:
		return (dim+7)/8 + 3
	}
	return dim + 1
}

// The vector loops below take a multiple of eight elements, or of 32, and return how many that was; the rest is plain Go's.

func subVectors(x, y []float32) int {
	n := len(x) / 8
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	subAVX2(&x[0], &y[:len(x)][0], n)
	return 8 * n
}

func addVectors(x, y []float32) int {
	n := len(x) / 8
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	addAVX2(&x[0], &y[:len(x)][0], n)
	return 8 * n
}

func add64Vectors(dst []float64, x []float32, w float64) int {
	n := len(x) / 8
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	add64AVX2(&dst[:len(x)][0], &x[0], w, n)
	return 8 * n
}

// finiteVectors counts elements known to be finite: none if one of those it looks at is not.
func finiteVectors(x []float32) int {
	n := len(x) / 32
	if n == 0 || cpu.Use() == cpu.Generic || timesZeroAVX2(&x[0], n) != 0 {
		return 0
	}
	return 32 * n
}

func dot64Vectors(sums *[dotLanes]float64, x, y []float64) int {
	n := len(x) / dotLanes
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	dot64AVX2(&sums[0], &x[0], &y[:len(x)][0], n)
	return dotLanes * n
}

func addTimes64Vectors(dst, x []float64, w float64) int {
	n := len(x) / dotLanes
	if n == 0 || cpu.Use() == cpu.Generic {
		return 0
	}
	addTimes64AVX2(&dst[:len(x)][0], &x[0], w, n)
	return dotLanes * n
}

func addRows64Blocks(dst []float64, x []float32, stride int, w []float64) int {
	n := len(dst) / 32
	if cpu.Use() == cpu.Generic {
		return 0
	}
	for b := range n {
		addRows64AVX2(&dst[32*b], &x[32*b], stride, &w[0], len(w))
	}
	return 32 * n
}
