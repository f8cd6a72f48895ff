//go:build !amd64 || noasm

package f32

func sqDistsAt(dst, x, rows []float32, at []int32) { sqDistsAtGeneric(dst, x, rows, at) }

func atMost(at []int32, bound, offset []uint16, limit uint16) int {
	return atMostGeneric(at, bound, offset, limit, 0)
}

func stepsOfScores(dst []int32, scores, least []float32, scale float32) {
	stepsOfScoresGeneric(dst, scores, least, scale)
}

// Prefetch asks the memory for x, which will be read soon; here it does nothing.
func Prefetch[T any](x []T) {}
