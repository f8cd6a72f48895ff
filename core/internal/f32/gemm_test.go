package f32

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// hostile returns n values of every kind: usual ones, exact ones, powers of two, denormals and zeros of both signs.
func hostile(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		switch r.IntN(8) {
		case 0:
			x[i] = float32(math.Copysign(0, r.NormFloat64()))
		case 1:
			x[i] = float32(r.IntN(9) - 4)
		case 2:
			x[i] = float32(math.Ldexp(r.NormFloat64(), r.IntN(250)-125))
		case 3:
			x[i] = math.Float32frombits(r.Uint32() & 0x807fffff) // denormal
		case 4:
			x[i] = float32(math.Ldexp(1, r.IntN(60)-30)) * (1 + 0x1p-23*float32(r.IntN(3)))
		default:
			x[i] = float32(r.NormFloat64())
		}
	}
	return x
}

// fmaOracle is x*y + z by integers of any length, rounded once.
func fmaOracle(x, y, z float32) float32 {
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
	s := exact(x)
	s.Mul(s, exact(y)).Add(s, exact(z))
	f, _ := s.Float32()
	return f
}

func TestFMA(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(x, y, z float32) {
		t.Helper()
		got, want := fma(x, y, z), fmaOracle(x, y, z)
		if want == 0 && got == 0 { // the oracle's zeros have no sign to trust
			want = float32(math.FMA(float64(x), float64(y), float64(z)))
		}
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("fma(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	}
	x, y, z := hostile(r, 200_000), hostile(r, 200_000), hostile(r, 200_000)
	for i := range x {
		check(x[i], y[i], z[i])
	}
	for range 200_000 { // halfway between two float32, and a little beside it
		x := 1 + float32(r.IntN(1<<12))*0x1p-12
		y := 1 + float32(r.IntN(1<<12))*0x1p-12
		scale := float32(math.Ldexp(1, r.IntN(40)-100))
		check(x*scale, y, math.Float32frombits(r.Uint32()&0x007fffff|0x2f800000))
		check(x*0x1p-75, y*0x1p-74, math.Float32frombits(r.Uint32()&0x807fffff))
		check(-x*scale, y, 1+0x1p-23*float32(r.IntN(2)))
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range [][3]float32{{inf, 1, 1}, {inf, 0, 1}, {1, 1, -inf}, {inf, 1, -inf}, {nan, 1, 1}, {1, nan, 0}, {0, 0, nan},
		{3e38, 2, 0}, {-3e38, 2, 0}, {3e38, 2, -inf}, {math.MaxFloat32, 1, 0x1p103}, {math.MaxFloat32, 1, 0x1.fffffep102}} {
		got, want := fma(c[0], c[1], c[2]), float32(math.FMA(float64(c[0]), float64(c[1]), float64(c[2])))
		if got != want && !(got != got && want != want) {
			t.Errorf("fma(%v) = %v, want %v", c, got, want)
		}
	}
}

// gemmOracle is the definition, written as plainly as can be, beside the sum and the sum of the absolute products in float64.
func gemmOracle(c, a, b Dense, then Then, i, j int) (chain float32, sum, size float64) {
	at := func(d Dense, i, j int) float32 {
		if d.Trans {
			i, j = j, i
		}
		return d.Data[i*d.Stride+j]
	}
	if then.Add {
		chain = at(c, i, j)
		sum, size = float64(chain), math.Abs(float64(chain))
	}
	for k := range a.Cols {
		x, y := at(a, i, k), at(b, k, j)
		chain = fma(x, y, chain)
		sum += float64(x) * float64(y)
		size += math.Abs(float64(x) * float64(y))
	}
	if then.Bias != nil {
		chain += then.Bias[j]
		sum += float64(then.Bias[j])
		size += math.Abs(float64(then.Bias[j]))
	}
	if then.ReLU {
		if chain < 0 {
			chain = 0
		}
		sum = max(sum, 0)
	}
	return chain, sum, size
}

// dense returns a matrix of values with rows a little apart.
func dense(rows, cols int, trans bool, values []float32) Dense {
	d := Dense{Rows: rows, Cols: cols, Stride: cols + 3, Data: values}
	if trans {
		d = Dense{Rows: cols, Cols: rows, Stride: rows + 3, Data: values}.T()
	}
	return d
}

func room(rows, cols int, trans bool) int {
	if trans {
		rows, cols = cols, rows
	}
	return max(0, (rows-1)*(cols+3)+cols)
}

// TestGemm wants the bits of the definition at each shape that reaches another tail, and the sum in float64 to within
// what k roundings can do.
func TestGemm(t *testing.T) {
	type shape struct{ m, n, k int }
	shapes := []shape{{1, 1, 0}, {3, 2, 0}, {1, 1, 1}, {0, 4, 4}, {4, 0, 4}, {5, 70, 400}, {130, 17, 390}, {2, 800, 3}, {29, 33, 769}}
	for m := 1; m < 30; m++ {
		shapes = append(shapes, shape{m, 1 + 7*m%69, 1 + m%9}, shape{1 + 5*m%17, 2 * m, m})
	}
	cputest.EachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for number, s := range shapes {
			for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
				for kind, values := range map[string]func(n int) []float32{
					"normal":  func(n int) []float32 { return normals(r.Uint64(), n) },
					"hostile": func(n int) []float32 { return hostile(r, n) },
				} {
					a := dense(s.m, s.k, trans[0], values(room(s.m, s.k, trans[0])))
					b := dense(s.k, s.n, trans[1], values(room(s.k, s.n, trans[1])))
					var then Then
					then.Add, then.ReLU = number&1 == 0, number&2 == 0
					if number%3 > 0 {
						then.Bias = values(s.n)
					}
					out := guardedSlice[float32](room(s.m, s.n, false), -7)
					c := dense(s.m, s.n, false, out.in)
					copy(c.Data, values(len(c.Data)))
					before := c
					before.Data = append([]float32(nil), c.Data...)
					if number%5 == 0 {
						Pack(b).Gemm(c, a, then)
					} else {
						Gemm(c, a, b, then)
					}
					out.checkIntact(t)
					what := fmt.Sprintf("%+v, transposed %v, %s, %+v", s, trans, kind, then)
					for i := range s.m {
						for j := range s.n {
							got := c.Data[i*c.Stride+j]
							want, sum, size := gemmOracle(before, a, b, then, i, j)
							if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
								t.Fatalf("%s: element (%d, %d) is %x, want %x", what, i, j, got, want)
							}
							n := float64(s.k + 2)
							if tol := n*0x1p-24/(1-n*0x1p-24)*size + n*0x1p-149; size < 1e38 && !(math.Abs(float64(got)-sum) <= tol) {
								t.Fatalf("%s: element (%d, %d) is %g, the sum in float64 %g ± %g", what, i, j, got, sum, tol)
							}
						}
						for j := s.n; j < c.Stride && i < s.m-1; j++ {
							if got, want := c.Data[i*c.Stride+j], before.Data[i*c.Stride+j]; got != want {
								t.Fatalf("%s: what stands between the rows was overwritten with %g", what, got)
							}
						}
					}
				}
			}
		}
	})
}

// TestGemmNotFinite: what is not finite reaches the elements it belongs to, and no others.
func TestGemmNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	cputest.EachLevel(t, func(t *testing.T) {
		const m, n, k = 15, 35, 5
		a, b, c := NewDense(m, k, normals(1, m*k)), NewDense(k, n, normals(2, k*n)), NewDense(m, n, make([]float32, m*n))
		a.Data[3*k+1], a.Data[4*k+2], a.Data[14*k+4], b.Data[2*n+34] = nan, inf, -inf, nan
		for i := range c.Data {
			c.Data[i] = nan // without Add it must not matter
		}
		for _, relu := range []bool{false, true} {
			Gemm(c, a, b, Then{ReLU: relu})
			for i := range m {
				for j := range n {
					got := c.Data[i*n+j]
					want, _, _ := gemmOracle(c, a, b, Then{ReLU: relu}, i, j)
					if got != want && !(got != got && want != want) {
						t.Fatalf("element (%d, %d) is %v, want %v", i, j, got, want)
					}
				}
			}
		}
	})
}

// TestGemmThreads wants the same bits on any number of threads and for parts of a batch.
func TestGemmThreads(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		const m, n, k = 300, 130, 200
		a, b := NewDense(m, k, normals(1, m*k)), NewDense(n, k, normals(2, k*n)).T()
		bias := normals(3, n)
		product := func(rows int) []float32 {
			c := make([]float32, m*n)
			for i := 0; i < m; i += rows {
				size := min(rows, m-i)
				Gemm(NewDense(size, n, c[i*n:][:size*n]), NewDense(size, k, a.Data[i*k:][:size*k]), b, Then{Bias: bias, ReLU: true})
			}
			return c
		}
		defer par.SetThreads(0)
		par.SetThreads(1)
		want := product(m)
		for _, threads := range []int{1, 2, 3, 16} {
			par.SetThreads(threads)
			for _, rows := range []int{m, 1, 13, 140} {
				if got := product(rows); !equal(got, want) {
					t.Fatalf("%d threads, %d rows at once: other bits", threads, rows)
				}
			}
		}
	})
}

func TestGemmPanics(t *testing.T) {
	m := func(rows, cols int) Dense { return NewDense(rows, cols, make([]float32, rows*cols)) }
	short := m(3, 4)
	short.Data = short.Data[:11]
	narrow := m(3, 4)
	narrow.Stride = 3
	for name, f := range map[string]func(){
		"inner":   func() { Gemm(m(2, 3), m(2, 4), m(5, 3), Then{}) },
		"rows":    func() { Gemm(m(2, 3), m(3, 4), m(4, 3), Then{}) },
		"columns": func() { Gemm(m(2, 3), m(2, 4), m(4, 2), Then{}) },
		"c":       func() { Gemm(m(3, 2).T(), m(2, 4), m(4, 3), Then{}) },
		"bias":    func() { Gemm(m(2, 3), m(2, 4), m(4, 3), Then{Bias: make([]float32, 2)}) },
		"memory":  func() { Gemm(m(3, 3), short, m(4, 3), Then{}) },
		"stride":  func() { Gemm(m(3, 3), narrow, m(4, 3), Then{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
