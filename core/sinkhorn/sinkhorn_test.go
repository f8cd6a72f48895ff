package sinkhorn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

var ctx = context.Background()

func randomCosts(seed uint64, rows, cols int) Costs {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := Costs{rows, cols, make([]float64, rows*cols)}
	for i := range c.Data {
		c.Data[i] = rng.ExpFloat64()
	}
	return c
}

func TestExpAndLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		x := 1400*rng.Float64() - 700
		if got, want := exp(x), math.Exp(x); !(math.Abs(got-want) <= 4*0x1p-53*want) {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
		x = math.Exp(x)
		if got, want := log(x), math.Log(x); !(math.Abs(got-want) <= 4*0x1p-53*math.Abs(want)) {
			t.Fatalf("log(%v) = %v, want %v", x, got, want)
		}
		x = 1 + (rng.Float64()-0.5)*0x1p-20
		if got, want := log(x), math.Log(x); !(math.Abs(got-want) <= 4*0x1p-53*math.Abs(want)) {
			t.Fatalf("log(%v) = %v, want %v", x, got, want)
		}
	}
	if exp(-701) != 0 || exp(math.Inf(-1)) != 0 || exp(0) != 1 || log(1) != 0 {
		t.Errorf("exp(-701) = %v, exp(-Inf) = %v, exp(0) = %v, log(1) = %v", exp(-701), exp(math.Inf(-1)), exp(0), log(1))
	}
}

// bigPlan is the plan after that many iterations, in 600 bits, so that nothing underflows or overflows.
func bigPlan(c Costs, a, b []float64, epsilon float64, iters int) [][]float64 {
	const bits = 600
	num := func(x float64) *big.Float { return new(big.Float).SetPrec(bits).SetFloat64(x) }
	low := slices.Min(c.Data)
	q := make([][]*big.Float, c.Rows)
	for i := range q {
		q[i] = make([]*big.Float, c.Cols)
		for j := range q[i] {
			q[i][j] = bigExp(num(c.Data[i*c.Cols+j]-low), num(epsilon), bits)
		}
	}
	scale := func(n int, want []float64, m int, at func(i, j int) **big.Float) {
		for i := range n {
			sum := num(0)
			for j := range m {
				sum.Add(sum, *at(i, j))
			}
			f := num(1 / float64(n))
			if want != nil {
				f = num(want[i])
			}
			f.Quo(f, sum)
			for j := range m {
				p := at(i, j)
				*p = new(big.Float).SetPrec(bits).Mul(*p, f)
			}
		}
	}
	for range iters {
		scale(c.Rows, a, c.Cols, func(i, j int) **big.Float { return &q[i][j] })
		scale(c.Cols, b, c.Rows, func(j, i int) **big.Float { return &q[i][j] })
	}
	out := make([][]float64, c.Rows)
	for i := range q {
		out[i] = make([]float64, c.Cols)
		for j, v := range q[i] {
			out[i][j], _ = v.Float64()
		}
	}
	return out
}

// bigExp is e to the power of -x/epsilon.
func bigExp(x, epsilon *big.Float, bits uint) *big.Float {
	one := new(big.Float).SetPrec(bits).SetInt64(1)
	r := new(big.Float).SetPrec(bits).Quo(x, epsilon)
	halvings := 0
	for r.Cmp(one) > 0 {
		r.Quo(r, big.NewFloat(2))
		halvings++
	}
	sum, term := new(big.Float).Copy(one), new(big.Float).Copy(one)
	for n := int64(1); n < 150; n++ {
		term.Mul(term, r)
		term.Quo(term, new(big.Float).SetPrec(bits).SetInt64(n))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum.Quo(one, sum)
}

func TestSolveEqualsTheIterationsInManyDigits(t *testing.T) {
	for _, c := range []struct {
		rows, cols, iters int
		epsilon           float64
		weighed           bool
	}{
		{5, 3, 7, 1, false}, {5, 3, 7, 0.05, true}, {70, 8, 3, 0.01, false}, // the kernel as it is
		{6, 4, 5, 1e-3, true}, {9, 4, 12, 1e-4, false}, {7, 7, 3, 1e-6, false}, // in logarithms
		{1, 4, 2, 0.1, false}, {4, 1, 2, 0.1, false}, {1, 1, 1, 1e-6, false}, {6, 4, 0, 0.1, false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			costs := randomCosts(uint64(c.rows), c.rows, c.cols)
			var a, b []float64
			if c.weighed {
				a, b = randomWeights(3, c.rows), randomWeights(4, c.cols)
			}
			var s Solver
			r, err := s.Solve(ctx, costs, a, b, Params{Epsilon: c.epsilon, MaxIter: c.iters})
			if err != nil {
				t.Fatal(err)
			}
			if c.iters == 0 {
				return // no plan yet
			}
			got := make([]float64, c.rows*c.cols)
			if err := s.Plan(ctx, got); err != nil {
				t.Fatal(err)
			}
			want := bigPlan(costs, a, b, c.epsilon, c.iters)
			tol := 1e-12 + 8/c.epsilon*0x1p-53*float64(c.iters) // of exponents
			var off float64
			for i := range want {
				sum := 0.0
				for j, w := range want[i] {
					p := got[i*c.cols+j]
					if !(math.Abs(p-w) <= tol*w+1e-200) {
						t.Fatalf("row %d, column %d: %v, want %v", i, j, p, w)
					}
					dual := math.Exp((r.F[i] + r.G[j] - costs.Data[i*c.cols+j]) / c.epsilon)
					if !(math.Abs(dual-w) <= 4*tol*w+1e-200) {
						t.Fatalf("row %d, column %d: %v by potentials, want %v", i, j, dual, w)
					}
					sum += w
				}
				weight := 1 / float64(c.rows)
				if a != nil {
					weight = a[i]
				}
				off += math.Abs(sum - weight)
			}
			if !(math.Abs(r.Error-off) <= 10*tol) || r.Iters > c.iters || r.Iters < c.iters && min(c.rows, c.cols) > 1 {
				t.Errorf("error %v after %d, want %v after %d", r.Error, r.Iters, off, c.iters)
			}
		})
	}
}

func randomWeights(seed uint64, n int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 2))
	w, sum := make([]float64, n), 0.0
	for i := range w {
		w[i] = 0.1 + rng.Float64()
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

func TestItStopsWhereTheWeightsAreRight(t *testing.T) {
	costs := randomCosts(1, 40, 10)
	var s Solver
	r, err := s.Solve(ctx, costs, nil, nil, DefaultParams(0.1))
	if err != nil || !r.Converged || r.Error > 1e-9 || r.Iters > 500 {
		t.Fatalf("%+v, %v", r, err)
	}
	short, err := s.Solve(ctx, costs, nil, nil, Params{Epsilon: 0.1, MaxIter: r.Iters - 1, Tol: 1e-9})
	if err != nil || short.Converged || short.Error <= 1e-9 {
		t.Errorf("one iteration less: %v, %v, %v", short.Converged, short.Error, err)
	}
}

func TestAssignSpreadsRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, c := core.NewMatrix(1000, 8), core.NewMatrix(10, 8)
	for _, m := range []core.Matrix{x, c} {
		for i := range m.Data {
			m.Data[i] = float32(rng.NormFloat64())
		}
	}
	for j := range c.Row(3) {
		c.Row(3)[j] *= 0.1 // nearest to most
	}
	largest := func(p Params) int {
		labels, count := make([]int32, x.Rows), make([]int, c.Rows)
		var s Solver
		if err := s.AssignRows(ctx, labels, x, c, p); err != nil {
			t.Fatal(err)
		}
		for _, l := range labels {
			count[l]++
		}
		return slices.Max(count)
	}
	if n := largest(Params{Epsilon: 0.003, MaxIter: 0}); n < 300 {
		t.Errorf("without iterations %d rows have one column", n)
	}
	if n := largest(Params{Epsilon: 0.003, MaxIter: 100}); n > 120 {
		t.Errorf("with 100 iterations %d of 1000 rows have one of 10 columns", n)
	}
}

func TestAssignWithoutIterationsIsNearest(t *testing.T) {
	costs := randomCosts(1, 100, 7)
	copy(costs.Data[:7], []float64{3, 1, 1, 1, 2, 9, 9})
	labels := make([]int32, 100)
	var s Solver
	if err := s.Assign(ctx, labels, costs, Params{Epsilon: 1e-6}); err != nil {
		t.Fatal(err)
	}
	for i, l := range labels {
		row := costs.Data[i*7 : (i+1)*7]
		if want := slices.Index(row, slices.Min(row)); int(l) != want {
			t.Errorf("row %d: %d, want %d", i, l, want)
		}
	}
}

func TestAllEqual(t *testing.T) {
	for _, value := range []float64{0, 1, 1e300, -5} {
		costs := Costs{10, 4, slices.Repeat([]float64{value}, 40)}
		labels := slices.Repeat([]int32{9}, 10)
		var s Solver
		for _, epsilon := range []float64{1, 1e-6} {
			if err := s.Assign(ctx, labels, costs, Params{Epsilon: epsilon, MaxIter: 5}); err != nil || slices.Max(labels) != 0 {
				t.Errorf("%v: %v, %v", value, labels, err)
			}
		}
	}
}

func TestEqualOnAnyNumberOfThreads(t *testing.T) {
	defer par.SetThreads(0)
	for _, epsilon := range []float64{0.01, 1e-6} { // as it is, in logarithms
		costs := randomCosts(1, 1000, 30)
		for i := range costs.Rows {
			costs.Data[i*30+29] += 10 // nearest to no row
		}
		var want []float64
		var wantLabels []int32
		for _, threads := range []int{1, 2, 5} {
			par.SetThreads(threads)
			var s Solver
			r, err := s.Solve(ctx, costs, nil, nil, Params{Epsilon: epsilon, MaxIter: 5})
			if err != nil {
				t.Fatal(err)
			}
			got, labels := slices.Concat(r.F, r.G, []float64{r.Error}), make([]int32, costs.Rows)
			if err := s.Assign(ctx, labels, costs, Params{Epsilon: epsilon, MaxIter: 1}); err != nil {
				t.Fatal(err)
			}
			if s.inLogs != (epsilon < 1e-3) {
				t.Errorf("epsilon %v: in logarithms: %v", epsilon, s.inLogs)
			}
			if want == nil {
				want, wantLabels = got, labels
			}
			if !slices.Equal(got, want) || !slices.Equal(labels, wantLabels) {
				t.Errorf("epsilon %v: %d threads differ from one", epsilon, threads)
			}
		}
	}
}

// The bits are those of every build and CPU, also where the compiler fuses multiplications and additions (GOAMD64=v3, arm64).
func TestBitsAreTheSameEverywhere(t *testing.T) {
	const want = 0xd915615674bcded3
	h := fnv.New64a()
	for _, epsilon := range []float64{0.5, 0.01, 1e-5} {
		costs := Costs{200, 21, make([]float64, 200*21)}
		for i := range costs.Data {
			costs.Data[i] = float64(i*i%997) / 997
		}
		var s Solver
		r, err := s.Solve(ctx, costs, nil, nil, Params{Epsilon: epsilon, MaxIter: 7})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range slices.Concat(r.F, r.G, []float64{r.Error}) {
			binary.Write(h, binary.LittleEndian, v)
		}
	}
	if got := h.Sum64(); got != want {
		t.Errorf("got %#x, want %#x", got, uint64(want))
	}
}

func TestMemoryIsKept(t *testing.T) {
	var s Solver
	big, small := randomCosts(1, 300, 20), randomCosts(2, 100, 7)
	labels := make([]int32, 300)
	p := Params{Epsilon: 0.01, MaxIter: 20}
	run := func(s *Solver, c Costs) []int32 {
		if err := s.Assign(ctx, labels[:c.Rows], c, p); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(labels[:c.Rows])
	}
	run(&s, big)
	at := &s.kernel[0]
	if got, want := run(&s, small), run(new(Solver), small); !slices.Equal(got, want) {
		t.Error("a solver used before gives other labels")
	}
	if &s.kernel[0] != at {
		t.Error("memory was made anew")
	}
}

func TestAssignRowsIsAssign(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	x, c := core.NewMatrix(130, 11), core.NewMatrix(9, 11)
	for _, m := range []core.Matrix{x, c} {
		for i := range m.Data {
			m.Data[i] = float32(rng.NormFloat64())
		}
	}
	costs := Costs{130, 9, make([]float64, 130*9)}
	for i := range costs.Data { // 130 rows: two blocks and a part
		costs.Data[i] = f32.SqDist64(x.Row(i/9), c.Row(i%9))
	}
	p := Params{Epsilon: 0.003, MaxIter: 50}
	got, want := make([]int32, 130), make([]int32, 130)
	var s Solver
	if err := errors.Join(s.AssignRows(ctx, got, x, c, p), s.Assign(ctx, want, costs, p)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBadInput(t *testing.T) {
	good := func() (Costs, Params) { return randomCosts(1, 3, 2), Params{Epsilon: 0.1, MaxIter: 3} }
	solve := func(change func(c *Costs, p *Params), a, b []float64) error {
		c, p := good()
		if change != nil {
			change(&c, &p)
		}
		_, err := new(Solver).Solve(ctx, c, a, b, p)
		if a == nil && b == nil {
			if e := new(Solver).Assign(ctx, make([]int32, c.Rows), c, p); err != nil && (e == nil || e.Error() != err.Error()) && !strings.Contains(err.Error(), "differ by") {
				t.Errorf("Assign says %v, Solve %v", e, err)
			}
		}
		return err
	}
	nan := math.NaN()
	for _, c := range []struct {
		err   error
		kind  error
		words string
	}{
		{solve(func(c *Costs, _ *Params) { c.Data[3] = nan }, nil, nil), core.ErrNotFinite, "the cost of row 1 and column 1"},
		{solve(func(c *Costs, _ *Params) { c.Data[4] = math.Inf(-1) }, nil, nil), core.ErrNotFinite, "the cost of row 2 and column 0"},
		{solve(func(c *Costs, _ *Params) { *c = Costs{0, 2, nil} }, nil, nil), core.ErrShape, "0 costs for 0 rows"},
		{solve(func(c *Costs, _ *Params) { c.Cols = 3 }, nil, nil), core.ErrShape, "6 costs for 3 rows and 3 columns"},
		{solve(func(_ *Costs, p *Params) { p.Epsilon = 0 }, nil, nil), core.ErrParam, "Epsilon is 0, want a number > 0"},
		{solve(func(_ *Costs, p *Params) { p.Epsilon = nan }, nil, nil), core.ErrParam, "Epsilon is NaN"},
		{solve(func(_ *Costs, p *Params) { p.Epsilon = math.Inf(1) }, nil, nil), core.ErrParam, "Epsilon is +Inf"},
		{solve(func(_ *Costs, p *Params) { p.Epsilon = 1e-300 }, nil, nil), core.ErrParam, "a larger Epsilon"},
		{solve(func(_ *Costs, p *Params) { p.MaxIter = -1 }, nil, nil), core.ErrParam, "MaxIter is -1"},
		{solve(func(_ *Costs, p *Params) { p.Tol = nan }, nil, nil), core.ErrParam, "Tol is NaN"},
		{solve(nil, []float64{1, 1}, nil), core.ErrShape, "2 weights for 3 rows"},
		{solve(nil, []float64{1, 1, 0}, nil), core.ErrParam, "the weight of row 2 is 0"},
		{solve(nil, nil, []float64{nan, 1}), core.ErrParam, "the weight of column 0 is NaN"},
		{solve(nil, []float64{1, 1, 1}, []float64{1, 1}), core.ErrParam, "rows weigh 3, columns 2"},
		{new(Solver).Assign(ctx, make([]int32, 2), randomCosts(1, 3, 2), Params{Epsilon: 1}), core.ErrShape, "room for 2 labels, there are 3 rows"},
		{new(Solver).AssignRows(ctx, make([]int32, 2), core.NewMatrix(2, 3), core.NewMatrix(2, 4), Params{Epsilon: 1}), core.ErrShape, "rows of 3 columns, centroids of 4"},
		{new(Solver).Plan(ctx, make([]float64, 1)), core.ErrShape, "room for 1 numbers"},
	} {
		if !errors.Is(c.err, c.kind) || !strings.Contains(fmt.Sprint(c.err), c.words) {
			t.Errorf("%v, want %v with %q", c.err, c.kind, c.words)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	c, p := good()
	if _, err := new(Solver).Solve(over, c, nil, nil, p); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func BenchmarkAssign(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, c := core.NewMatrix(2048, 64), core.NewMatrix(256, 64)
	for _, m := range []core.Matrix{x, c} {
		for i := range m.Data {
			m.Data[i] = float32(rng.NormFloat64())
		}
	}
	labels := make([]int32, x.Rows)
	for _, epsilon := range []float64{0.003, 0.05, 1e-6} {
		for _, iters := range []int{0, 20, 100} {
			b.Run(fmt.Sprintf("rows=2048/k=256/dim=64/epsilon=%g/iters=%d", epsilon, iters), func(b *testing.B) {
				var s Solver
				for b.Loop() {
					if err := s.AssignRows(ctx, labels, x, c, Params{Epsilon: epsilon, MaxIter: iters}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
