package f32

import (
	"fmt"
	"math"
)

// SqDistsAt sets dst[i] to the squared distance of x to row at[i] of rows, in float32 in an order of its own: within
// (len(x)+2)·2⁻²⁴ of the true value, relatively, as long as it neither overflows nor underflows. It panics unless
// len(dst) is len(at).
func SqDistsAt(dst, x, rows []float32, at []int32) {
	if len(dst) != len(at) {
		panic(fmt.Sprintf("f32: room for %d distances, want %d", len(dst), len(at)))
	}
	sqDistsAt(dst, x, rows, at)
}

func sqDistsAtGeneric(dst, x, rows []float32, at []int32) {
	for i, j := range at {
		y := rows[int(j)*len(x) : (int(j)+1)*len(x)]
		var s0, s1, s2, s3 float32
		k := 0
		for ; k+4 <= len(x); k += 4 {
			d0, d1, d2, d3 := x[k]-y[k], x[k+1]-y[k+1], x[k+2]-y[k+2], x[k+3]-y[k+3]
			s0 += float32(d0 * d0)
			s1 += float32(d1 * d1)
			s2 += float32(d2 * d2)
			s3 += float32(d3 * d3)
		}
		for ; k < len(x); k++ {
			d := x[k] - y[k]
			s0 += float32(d * d)
		}
		dst[i] = s0 + s1 + (s2 + s3)
	}
}

// AtMost writes to at the indices j, ascending, for which bound[j] <= limit + offset[j], the sum held at 65535, and
// returns how many there are. It panics unless the three lengths agree.
func AtMost(at []int32, bound, offset []uint16, limit uint16) int {
	if len(at) != len(bound) || len(at) != len(offset) {
		panic(fmt.Sprintf("f32: %d bounds, %d offsets, room for %d", len(bound), len(offset), len(at)))
	}
	return atMost(at, bound, offset, limit)
}

// atMostGeneric takes bound[0] as number first.
func atMostGeneric(at []int32, bound, offset []uint16, limit uint16, first int) int {
	n := 0
	for j, b := range bound {
		if uint32(b) <= min(uint32(limit)+uint32(offset[j]), 65535) {
			at[n] = int32(first + j)
			n++
		}
	}
	return n
}

// sqDistError bounds the relative error of SqDistsAt over n elements, with room for that of the float64 definition.
func sqDistError(n int) float64 { return float64(n+4) * 0x1p-24 }

// Above is at least the true distance when SqDistsAt over n elements gave d.
func Above(d float32, n int) float64 {
	return math.Sqrt(float64(d)*(1+2*sqDistError(n)) + float64(n)*0x1p-148)
}

// Below is at most the true distance when SqDistsAt over n elements gave d.
func Below(d float32, n int) float64 {
	return math.Sqrt(max(0, float64(d)*(1-2*sqDistError(n))-float64(n)*0x1p-148))
}

// Within is the least d for which Below(d, n) may be more than the distance: a result of SqDistsAt above it belongs to a
// true distance above.
func Within(distance float64, n int) float32 {
	return float32((distance*distance + float64(n)*0x1p-147) * (1 + 4*sqDistError(n) + 0x1p-22))
}

// StepsOfScores sets dst[i] to the root of least[i] - 2*scores[i], or of 0 if that is negative, in steps of 1/scale,
// rounded down and held at 65535: a lower bound of a distance, from a score of Codebook.Scores and |x|² less twice its
// error. It panics unless the lengths agree.
func StepsOfScores(dst []int32, scores, least []float32, scale float32) {
	if len(dst) != len(scores) || len(dst) != len(least) {
		panic(fmt.Sprintf("f32: %d scores, %d norms, room for %d", len(scores), len(least), len(dst)))
	}
	stepsOfScores(dst, scores, least, scale*(1-0x1p-21)) // four roundings
}

func stepsOfScoresGeneric(dst []int32, scores, least []float32, scale float32) {
	for i, s := range scores {
		dst[i] = int32(min(float32(math.Sqrt(float64(max(least[i]-2*s, 0))))*scale, 65535))
	}
}
