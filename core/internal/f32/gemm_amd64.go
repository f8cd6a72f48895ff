//go:build !noasm

package f32

import "github.com/semantic-id/semantic-id/core/internal/cpu"

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

func (s *lists) multiply(l cpu.Level, c []float32, stride, panels int, block []float32, t tileOf) {
	lanes := shapes[l].lanes
	if l == cpu.Generic {
		s.multiplyGeneric(lanes, c, stride, panels, block, t)
		return
	}
	if s.rows == 0 {
		return
	}
	_, _ = c[(s.rows-1)*stride+panels*lanes-1], block[panels*lanes*t.depth-1]
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
	kernel(&c[0], 4*stride, &s.values[0], &s.offsets[0], &s.counts[0], s.rows, 4*s.room, &block[0], 4*lanes*t.depth, t.add, t.relu, bias)
}

// compress fills the lists: row r has n pieces of values of src, from r*stride on and between apart.
func compress(l cpu.Level, s *lists, src []float32, n, stride, between, step int) {
	_, _, _ = src[(s.rows-1)*stride+(n-1)*between+sparsePiece-1], s.values[s.rows*s.room-1], s.offsets[s.rows*s.room-1]
	if l == cpu.AVX512 {
		compressAVX512(&s.values[0], &s.offsets[0], &s.counts[0], &src[0], s.rows, n, 4*stride, 4*between, 4*s.room, step)
	} else {
		compressAVX2(&s.values[0], &s.offsets[0], &s.counts[0], &src[0], s.rows, n, 4*stride, 4*between, 4*s.room, step, &orders[0])
	}
}

// orders has, for each set of lanes of a vector, their numbers in order.
var orders = func() (table [256][8]int32) {
	for set := range table {
		n := 0
		for lane := range int32(8) {
			if set>>lane&1 == 1 {
				table[set][n] = lane
				n++
			}
		}
	}
	return table
}()
