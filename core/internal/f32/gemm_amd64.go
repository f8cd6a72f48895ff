//go:build !noasm

package f32

import (
	"unsafe"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

func gemmTile(l cpu.Level, size int, c []float32, stride int, a []float32, row, step int, panel []float32, t tileOf) {
	lanes := shapes[l].lanes
	if l == cpu.Generic || t.depth == 0 {
		gemmTileGeneric(size, lanes, c, stride, a, row, step, panel, t)
		return
	}
	_, _, _ = c[(size-1)*stride+lanes-1], a[(size-1)*row+(t.depth-1)*step], panel[t.depth*lanes-1]
	var bias *float32
	if t.bias != nil {
		bias = &t.bias[:lanes][0]
	}
	kernel := gemmAVX512x14
	switch {
	case l == cpu.AVX512 && size == 8:
		kernel = gemmAVX512x8
	case l == cpu.AVX512 && size == 4:
		kernel = gemmAVX512x4
	case l == cpu.AVX512 && size == 2:
		kernel = gemmAVX512x2
	case l == cpu.AVX2 && size == 6:
		kernel = gemmAVX2x6
	case l == cpu.AVX2 && size == 4:
		kernel = gemmAVX2x4
	case l == cpu.AVX2 && size == 2:
		kernel = gemmAVX2x2
	}
	kernel(&c[0], 4*stride, &a[0], 4*row, 4*step, &panel[0], t.depth, t.add, t.relu, bias)
}

// columns copies pieces of size values of each row of src to [piece][depth][size] in dst.
func columns(l cpu.Level, dst, src []float32, size, pieces, depth, stride int) {
	if l == cpu.Generic || pieces == 0 || depth == 0 {
		columnsGeneric(dst, src, size, pieces, depth, stride)
		return
	}
	_, _ = dst[pieces*depth*size-1], src[(depth-1)*stride+pieces*size-1]
	switch {
	case l == cpu.AVX512 && size == 32:
		columnsAVX512x32(&dst[0], &src[0], pieces, depth, 4*stride)
	case l == cpu.AVX512:
		columnsAVX512x14(&dst[0], &src[0], pieces, depth, 4*stride)
	case size == 16:
		columnsAVX2x16(&dst[0], &src[0], pieces, depth, 4*stride)
	default:
		columnsAVX2x6(&dst[0], &src[0], pieces, depth, 4*stride)
	}
}

func (m *marked) multiply(l cpu.Level, c []float32, stride, panels int, block []float32, t tileOf) {
	lanes := shapes[l].lanes
	if l == cpu.Generic {
		m.multiplyGeneric(lanes, c, stride, panels, block, t)
		return
	}
	if m.rows == 0 {
		return
	}
	_, _, _ = c[(m.rows-1)*stride+panels*lanes-1], m.values[(m.rows-1)*m.stride+t.depth-1], block[panels*lanes*t.depth-1]
	var bias *float32
	if t.bias != nil {
		bias = &t.bias[:panels*lanes][0]
	}
	kernel := sparseAVX512x4
	switch {
	case l == cpu.AVX512 && panels == 2:
		kernel = sparseAVX512x2
	case l == cpu.AVX512 && panels == 1:
		kernel = sparseAVX512x1
	case l == cpu.AVX2 && panels == 4:
		kernel = sparseAVX2x4
	case l == cpu.AVX2 && panels == 2:
		kernel = sparseAVX2x2
	case l == cpu.AVX2:
		kernel = sparseAVX2x1
	}
	kernel(&c[0], 4*stride, &m.sets[0], &m.values[0], m.rows, 4*m.stride, &block[0], 4*lanes*t.depth, t.add, t.relu, bias)
}

// mark sets the bits of what is not 0 in rows of n pieces of src, stride apart. sets must be 0.
func mark(l cpu.Level, sets []uint64, src []float32, n, stride int) {
	if l == cpu.Generic || len(sets) == 0 || n == 0 {
		markGeneric(sets, src, n, stride)
		return
	}
	_ = src[(len(sets)-1)*stride+n*sparsePiece-1]
	if l == cpu.AVX512 {
		markAVX512(&sets[0], &src[0], len(sets), n, 4*stride)
	} else {
		markAVX2(&sets[0], &src[0], len(sets), n, 4*stride)
	}
}

// turn writes as many columns of the rows of src at offsets as there are sets, a multiple of four, to dst, as rows room
// apart, and sets the bits of what is not 0, from bit q on.
func turn(l cpu.Level, dst []float32, sets []uint64, q int, src []float32, offsets *[sparsePiece]int, room int) {
	if l == cpu.Generic || len(sets) == 0 {
		turnGeneric(dst, sets, q, src, offsets, room)
		return
	}
	_ = dst[(len(sets)-1)*room+sparsePiece-1]
	var at [sparsePiece]int
	for i, o := range offsets {
		_ = src[o+len(sets)-1]
		at[i] = 4 * o
	}
	to := (*uint16)(unsafe.Add(unsafe.Pointer(&sets[0]), q/8))
	if l == cpu.AVX512 {
		turnAVX512(&dst[0], to, &src[0], &at[0], len(sets)/4, 4*room)
	} else {
		turnAVX2(&dst[0], to, &src[0], &at[0], len(sets)/4, 4*room)
	}
}
