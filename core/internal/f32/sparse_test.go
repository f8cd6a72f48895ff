package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// withZeros sets all but a share of x to 0, of either sign.
func withZeros(r *rand.Rand, x []float32, share float64) []float32 {
	for i := range x {
		if r.Float64() >= share {
			x[i] = float32(math.Copysign(0, r.NormFloat64()))
		}
	}
	return x
}

// zerosOracle is the definition without the products with a 0 of a.
func zerosOracle(c, a, b Dense, then Then, i, j int) float32 {
	at := func(d Dense, i, j int) *float32 {
		if d.Trans {
			i, j = j, i
		}
		return &d.Data[i*d.Stride+j]
	}
	var x, y []float32
	for k := range a.Cols {
		if v := *at(a, i, k); v != 0 {
			x, y = append(x, v), append(y, *at(b, k, j))
		}
	}
	one := NewDense(1, 1, []float32{*at(c, i, j)})
	if then.Bias != nil {
		then.Bias = then.Bias[j : j+1]
	}
	chain, _, _ := gemmOracle(one, NewDense(1, len(x), x), NewDense(len(x), 1, y), then, 0, 0)
	return chain
}

// TestSparseProduct wants the bits of the definition without the products with 0, at each shape that reaches another tail.
func TestSparseProduct(t *testing.T) {
	type shape struct{ m, n, k int }
	shapes := []shape{{1, 1, 1}, {16, 128, 48}, {33, 129, 49}, {130, 17, 390}, {2, 300, 3}, {29, 64, 200}, {3, 33, 97}, {150, 96, 96}}
	for m := 1; m < 40; m += 3 {
		shapes = append(shapes, shape{m, 1 + 7*m%69, 1 + m%19}, shape{1 + 5*m%17, 8 * m, 2 * m})
	}
	cputest.EachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for number, s := range shapes {
			for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
				for _, share := range []float64{0, 0.1, 0.5, 1} {
					a := dense(s.m, s.k, trans[0], withZeros(r, odd(r, room(s.m, s.k, trans[0])), share))
					b := dense(s.k, s.n, trans[1], odd(r, room(s.k, s.n, trans[1])))
					var then Then
					then.Add, then.ReLU = number&1 == 0, number&2 == 0
					if number%3 > 0 {
						then.Bias = hostile(r, s.n)
					}
					out := guardedSlice[float32](room(s.m, s.n, false), -7)
					c := dense(s.m, s.n, false, out.in)
					copy(c.Data, hostile(r, len(c.Data)))
					before := c
					before.Data = append([]float32(nil), c.Data...)
					sparseProduct(c, a, b, then)
					out.checkIntact(t)
					for i := range s.m {
						for j := range s.n {
							got, want := c.Data[i*c.Stride+j], zerosOracle(before, a, b, then, i, j)
							if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
								t.Fatalf("%+v, transposed %v, share %g, %+v: element (%d, %d) is %x, want %x", s, trans, share, then, i, j, got, want)
							}
						}
						for j := s.n; j < c.Stride && i < s.m-1; j++ {
							if got, want := c.Data[i*c.Stride+j], before.Data[i*c.Stride+j]; got != want {
								t.Fatalf("%+v: what stands between the rows was overwritten with %g", s, got)
							}
						}
					}
				}
			}
		}
	})
}

// TestGemmZeros: whichever way is taken, the values are those of the definition, on any level and number of threads.
func TestGemmZeros(t *testing.T) {
	const m, n, k = 90, 70, 130
	r := rand.New(rand.NewPCG(5, 6))
	defer par.SetThreads(0)
	for _, shares := range [][2]float64{{1, 1}, {0.5, 1}, {1, 0.5}, {0.5, 0.3}, {0.6, 0.6}, {0, 1}, {0.8, 0.8}} {
		for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
			a := dense(m, k, trans[0], withZeros(r, normals(r.Uint64(), room(m, k, trans[0])), shares[0]))
			b := dense(k, n, trans[1], withZeros(r, normals(r.Uint64(), room(k, n, trans[1])), shares[1]))
			for kind, then := range map[string]Then{"plain": {}, "bias": {Bias: normals(7, n), ReLU: true}, "add": {Add: true}} {
				begin := normals(8, m*n)
				want := append([]float32(nil), begin...)
				Gemm(NewDense(m, n, want), a, b, then)
				then.Zeros = true
				var first []float32
				for l := cpu.Generic; l <= cpu.Supported(); l++ {
					for _, threads := range []int{1, 3} {
						restore := cpu.SetForTest(l)
						par.SetThreads(threads)
						got := append([]float32(nil), begin...)
						Gemm(NewDense(m, n, got), a, b, then)
						restore()
						what := fmt.Sprintf("%s, shares %v, transposed %v, %v, %d threads", kind, shares, trans, l, threads)
						if !equal(got, want) {
							t.Fatalf("%s: other values", what)
						}
						if first == nil {
							first = got
						}
						for i := range got {
							if math.Float32bits(got[i]) != math.Float32bits(first[i]) {
								t.Fatalf("%s: other bits than at other levels", what)
							}
						}
					}
				}
			}
		}
	}
}

// Where most of a is 0, what is not finite in b counts only where a is not; what is not finite in a always does.
func TestGemmZerosNotFinite(t *testing.T) {
	const m, n, k = 20, 40, 50
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	cputest.EachLevel(t, func(t *testing.T) {
		a, b, c := NewDense(m, k, make([]float32, m*k)), NewDense(k, n, normals(2, k*n)), NewDense(m, n, make([]float32, m*n))
		a.Data[3*k+1], a.Data[4*k+2], a.Data[19*k+49] = nan, inf, -inf
		b.Data[7*n+5], b.Data[2*n+39] = nan, 1
		Gemm(c, a, b, Then{Zeros: true})
		for i := range m {
			for j := range n {
				got, want := c.Data[i*n+j], zerosOracle(c, a, b, Then{}, i, j)
				if got != want && !(got != got && want != want) {
					t.Fatalf("element (%d, %d) is %v, want %v", i, j, got, want)
				}
			}
		}
	})
}
