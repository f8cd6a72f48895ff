//go:build !noasm

package f32

import (
	"math/bits"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

func sqDistsAt(dst, x, rows []float32, at []int32) {
	if len(at) == 0 || len(x) == 0 || cpu.Use() == cpu.Generic {
		sqDistsAtGeneric(dst, x, rows, at)
		return
	}
	for _, j := range at { // the kernel does not check
		_ = rows[int(j)*len(x) : (int(j)+1)*len(x)]
	}
	if cpu.Use() == cpu.AVX512 {
		sqDistsAtAVX512(&dst[0], &x[0], &rows[0], &at[0], len(at), len(x))
	} else {
		sqDistsAtAVX2(&dst[0], &x[0], &rows[0], &at[0], len(at), len(x))
	}
}

func atMost(at []int32, bound, offset []uint16, limit uint16) int {
	if cpu.Use() == cpu.Generic {
		return atMostGeneric(at, bound, offset, limit, 0)
	}
	const block = 32 * 32
	var mask [block / 32]uint32
	n, whole := 0, len(bound)&^31
	for lo := 0; lo < whole; lo += block {
		words := min(block, whole-lo) / 32
		if cpu.Use() == cpu.AVX512 {
			atMostAVX512(&mask[0], &bound[lo], &offset[lo], int(limit), words)
		} else {
			atMostAVX2(&mask[0], &bound[lo], &offset[lo], int(limit), words)
		}
		for w, m := range mask[:words] {
			for ; m != 0; m &= m - 1 {
				at[n] = int32(lo + 32*w + bits.TrailingZeros32(m))
				n++
			}
		}
	}
	return n + atMostGeneric(at[n:], bound[whole:], offset[whole:], limit, whole)
}
