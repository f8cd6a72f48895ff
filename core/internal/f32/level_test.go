package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

func TestMain(m *testing.M) {
	if err := cpu.Require(); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// forEachSearch is cputest.EachLevel, with codebooks that search in float32 only, and with those that always start with a first
// pass in integers, by each kind of kernel.
func forEachSearch(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer func(old func(cpu.Level, int, int) integers) { chooseIntegers = old }(chooseIntegers)
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		for _, kind := range append(kindsOf(l), noIntegers) {
			t.Run(fmt.Sprintf("%v/first=%d", l, kind), func(t *testing.T) {
				defer cpu.SetForTest(l)()
				chooseIntegers = func(cpu.Level, int, int) integers { return kind }
				f(t)
			})
		}
	}
}

// guarded is a slice with known values on both sides.
type guarded[T comparable] struct {
	in, all []T
	guard   T
}

const guardLen = 64

func guardedSlice[T comparable](n int, guard T) guarded[T] {
	all := make([]T, n+2*guardLen)
	for i := range all {
		all[i] = guard
	}
	return guarded[T]{all[guardLen : guardLen+n : guardLen+n], all, guard}
}

func (g guarded[T]) checkIntact(t *testing.T) {
	t.Helper()
	for i, v := range g.all {
		if (i < guardLen || i >= guardLen+len(g.in)) && v != g.guard {
			t.Fatalf("value %d of %d was overwritten with %v", i-guardLen, len(g.in), v)
		}
	}
}

// normals returns n normal deviates.
func normals(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func scale(x []float32, by float32) []float32 {
	for i := range x {
		x[i] *= by
	}
	return x
}

// distance is what defines codes, squared, written as plainly as can be. Looking for races here would take most of the
// time of a test.
//
//go:norace
func distance(x, y []float32) float64 {
	var d float64
	for i := range x {
		e := float64(x[i]) - float64(y[i])
		d += float64(e * e)
	}
	return d
}

// oracle is the definition of a code.
func oracle(row, centroids []float32, k int) int32 {
	dim := len(row)
	best, code := math.Inf(1), int32(0)
	for j := range k {
		if d := distance(row, centroids[j*dim:][:dim]); d < best {
			best, code = d, int32(j)
		}
	}
	return code
}

func checkNearest(t *testing.T, what string, rows, centroids []float32, k, dim int) {
	t.Helper()
	n := len(rows) / dim
	codes := guardedSlice[int32](n, -7)
	NewCodebook(centroids, k, dim).Nearest(codes.in, rows)
	codes.checkIntact(t)
	for i, got := range codes.in {
		if want := oracle(rows[i*dim:][:dim], centroids, k); got != want {
			t.Fatalf("%s: dim %d, K %d, row %d of %d: code %d, want %d", what, dim, k, i, n, got, want)
		}
	}
}
