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

func atMost(at []int32, bound, offset []uint16, limit uint16) int {
	switch cpu.Use() {
	case cpu.AVX512:
		return atMostWide(at, bound, offset, limit)
	case cpu.AVX2:
		return atMostMasks(at, bound, offset, limit)
	}
	return atMostGeneric(at, bound, offset, limit, 0)
}

// atMostWide lets the kernel write a whole vector after each word of 16 bounds: no more of them than there are bounds.
func atMostWide(at []int32, bound, offset []uint16, limit uint16) int {
	n, done := 0, len(bound)&^15
	if done > 0 {
		n = atMostAVX512(&at[0], &bound[0], &offset[0], int(limit), done/16)
	}
	return n + atMostGeneric(at[n:], bound[done:], offset[done:], limit, done)
}

// maskBlock is a bit for each of up to 1,024 numbers.
type maskBlock [32]uint32

func atMostMasks(at []int32, bound, offset []uint16, limit uint16) int {
	var mask maskBlock
	n, done := 0, 0
	for len(bound)-done >= 32 {
		words := min(len(mask), (len(bound)-done)/32)
		atMostAVX2(&mask[0], &bound[done], &offset[done], int(limit), words)
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

func stepsOfScores(dst []int32, scores, least []float32, scale float32) {
	whole := 0
	switch l := cpu.Use(); {
	case l == cpu.AVX512 && len(dst) >= 16:
		whole = len(dst) &^ 15
		stepsOfScoresAVX512(&dst[0], &scores[0], &least[0], scale, whole)
	case l != cpu.Generic && len(dst) >= 8:
		whole = len(dst) &^ 7
		stepsOfScoresAVX2(&dst[0], &scores[0], &least[0], scale, whole)
	}
	stepsOfScoresGeneric(dst[whole:], scores[whole:], least[whole:], scale)
}

// Prefetch asks the memory for x, which will be read soon.
func Prefetch[T any](x []T) {
	if bytes := len(x) * int(unsafe.Sizeof(*new(T))); bytes > 0 {
		prefetchLines((*byte)(unsafe.Pointer(&x[0])), (bytes+63)/64)
	}
}
