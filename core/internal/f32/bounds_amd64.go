//go:build !noasm

package f32

import (
	"math/bits"
	"unsafe"

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

// maskBlock is a bit for each of up to 1,024 bounds.
type maskBlock [32]uint32

// fill sets a bit for each of the first bounds, 1 where it is at most limit + offset, and returns how many words of m it
// filled, of 32 bounds each; a rest of fewer bounds is left to the caller.
func (m *maskBlock) fill(bound, offset []uint16, limit uint16) int {
	words := min(len(m), len(bound)/32)
	if words == 0 {
		return 0
	}
	if cpu.Use() == cpu.AVX512 {
		atMostAVX512(&m[0], &bound[0], &offset[0], int(limit), words)
	} else {
		atMostAVX2(&m[0], &bound[0], &offset[0], int(limit), words)
	}
	return words
}

func atMost(at []int32, bound, offset []uint16, limit uint16) int {
	if cpu.Use() == cpu.Generic {
		return atMostGeneric(at, bound, offset, limit, 0)
	}
	var mask maskBlock
	n, done := 0, 0
	for words := mask.fill(bound, offset, limit); words > 0; words = mask.fill(bound[done:], offset[done:], limit) {
		for _, m := range mask[:words] {
			for ; m != 0; m &= m - 1 {
				at[n] = int32(done + bits.TrailingZeros32(m))
				n++
			}
			done += 32
		}
	}
	return n + atMostGeneric(at[n:], bound[done:], offset[done:], limit, done)
}

func countAtMost(bound, offset []uint16, limit uint16) int {
	if cpu.Use() == cpu.Generic {
		return countAtMostGeneric(bound, offset, limit)
	}
	var mask maskBlock
	n, done := 0, 0
	for words := mask.fill(bound, offset, limit); words > 0; words = mask.fill(bound[done:], offset[done:], limit) {
		for _, m := range mask[:words] {
			n += bits.OnesCount32(m)
		}
		done += 32 * words
	}
	return n + countAtMostGeneric(bound[done:], offset[done:], limit)
}

// Prefetch asks the memory for x, which will be read soon.
func Prefetch[T any](x []T) {
	if bytes := len(x) * int(unsafe.Sizeof(*new(T))); bytes > 0 {
		prefetchLines((*byte)(unsafe.Pointer(&x[0])), (bytes+63)/64)
	}
}
