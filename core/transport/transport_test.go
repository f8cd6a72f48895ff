package transport

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

func TestMain(m *testing.M) {
	if err := cpu.Require(); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// forEachWay runs f as Solve goes about small problems, and then as it goes about large ones: with few offers, with samples,
// with lists of rows for edges.
func forEachWay(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	old := limits
	defer func() { limits = old }()
	t.Run("small", f)
	limits.few, limits.most, limits.sample, limits.warm, limits.firstMost = 0, 1, 1, 1, 2
	t.Run("large", f)
	limits.pairs, limits.most = 0, 2
	t.Run("wide", f)
}

func TestSolveAgainstTryingAll(t *testing.T) {
	forEachWay(t, func(t *testing.T) {
		for name, family := range families {
			t.Run(name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(2, 2))
				for range 200 {
					n, k := 1+rng.IntN(7), 1+rng.IntN(4)
					checkAgainst(t, rng, family(rng, n, k), leastByTrying)
				}
			})
		}
	})
}

func TestSolveAgainstMatching(t *testing.T) {
	forEachWay(t, func(t *testing.T) {
		for name, family := range families {
			t.Run(name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(3, 3))
				for range 12 {
					k := 1 + rng.IntN(12)
					n := k + rng.IntN(60)
					if rng.IntN(4) == 0 {
						n = k
					}
					checkAgainst(t, rng, family(rng, n, k), leastByMatching)
				}
			})
		}
	})
}

// checkAgainst solves a problem, from cold and from prices of any kind, and compares with an oracle.
func checkAgainst(t *testing.T, rng *rand.Rand, c table, oracle func(table, Sizes) float64) {
	t.Helper()
	sizes := randomSizes(rng, c.n, c.k)
	if rng.IntN(2) == 0 {
		sizes = Balanced(c.n, c.k)
	}
	warm := &Solution{Prices: make([]float64, c.k)}
	for j := range warm.Prices {
		warm.Prices[j] = float64(rng.IntN(3)) * rng.NormFloat64()
	}
	want := oracle(c, sizes)
	sparse := c.sparse()
	for x, warm := range []*Solution{nil, warm, nil} {
		var costs Costs = c
		if x == 2 {
			costs = sparse
		}
		got, err := Solve(context.Background(), costs, sizes, warm)
		if math.IsInf(want, 1) {
			if !errors.Is(err, core.ErrParam) {
				t.Fatalf("%d rows, %d columns, sizes %v: no assignment is possible, error %v", c.n, c.k, sizes, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d rows, %d columns, sizes %v: %v", c.n, c.k, sizes, err)
		}
		if err := checkSolution(c, sizes, got); err != nil {
			t.Fatalf("%d rows, %d columns, sizes %v: %v", c.n, c.k, sizes, err)
		}
		if !(math.Abs(got.Primal-want) <= 1e-9*math.Abs(want)) {
			t.Fatalf("%d rows, %d columns, sizes %v: cost %g, want %g", c.n, c.k, sizes, got.Primal, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	two := func(cost ...float64) table { return table{len(cost) / 2, 2, cost} }
	for _, c := range []struct {
		what  string
		costs Costs
		sizes Sizes
		warm  []float64
		err   error
		words string
	}{
		{"no rows", table{0, 2, nil}, Between(2, 0, 1), nil, core.ErrShape, "0 rows and 2 columns"},
		{"no columns", table{2, 0, nil}, Sizes{}, nil, core.ErrShape, "2 rows and 0 columns"},
		{"too few sizes", two(1, 2), Between(1, 0, 1), nil, core.ErrShape, "1 lower and 1 upper sizes, want 2"},
		{"negative size", two(1, 2), Sizes{[]int{0, -1}, []int{1, 1}}, nil, core.ErrParam, "lower size of column 1 is -1"},
		{"lower above upper", two(1, 2), Sizes{[]int{0, 2}, []int{1, 1}}, nil, core.ErrParam, "column 1 is to take at least 2 and at most 1"},
		{"rows lacking", two(1, 2), Between(2, 2, 3), nil, core.ErrParam, "1 rows, but the lower sizes of the 2 columns ask for 4 or more: 3 too few"},
		{"room lacking", two(1, 2, 3, 4, 5, 6), Between(2, 0, 1), nil, core.ErrParam, "3 rows, but the upper sizes of the 2 columns leave room for 2: 1 too many"},
		{"huge sizes", two(1, 2), Between(2, math.MaxInt, math.MaxInt), nil, core.ErrParam, "too few"},
		{"NaN", two(1, 2, 3, nan), Between(2, 0, 2), nil, core.ErrNotFinite, "row 1 costs NaN in column 1"},
		{"-Inf", two(1, -inf), Between(2, 0, 2), nil, core.ErrNotFinite, "row 0 costs -Inf in column 1"},
		{"nowhere to go", two(1, 2, inf, inf), Between(2, 0, 2), nil, core.ErrParam, "row 1 cannot go to any column"},
		{"crowded", two(1, inf, 2, inf, 3, 4), Between(2, 0, 1+1), nil, nil, ""},
		{"too crowded", two(1, inf, 2, inf, 3, inf), Between(2, 0, 2), nil, core.ErrParam, "3 rows can go to no other columns than [0], which take at most 2: 1 too many"},
		{"deserted", two(1, inf, 2, inf, 3, 4), Between(2, 2, 3), nil, core.ErrParam, "too few"},
		{"deserted column", two(1, inf, 2, inf, 3, 4, 5, 6), Sizes{[]int{0, 3}, []int{4, 4}}, nil, core.ErrParam, "at most 2 rows can go to columns [1], which ask for at least 3: 1 too few"},
		{"too few prices", two(1, 2), Between(2, 0, 1), []float64{1}, core.ErrShape, "1 prices to start from, want 2"},
		{"a price of NaN", two(1, 2), Between(2, 0, 1), []float64{1, nan}, core.ErrNotFinite, "price of column 1"},
	} {
		var warm *Solution
		if c.warm != nil {
			warm = &Solution{Prices: c.warm}
		}
		_, err := Solve(context.Background(), c.costs, c.sizes, warm)
		if c.err == nil && err == nil {
			continue
		}
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %v with %q", c.what, err, c.err, c.words)
		}
	}
}

func TestSparseCosts(t *testing.T) {
	for _, c := range []struct {
		what    string
		columns int
		first   []int
		column  []int32
		costs   int
		err     error
		words   string
	}{
		{"no starts", 2, nil, nil, 0, core.ErrShape, "0 starts of rows"},
		{"no rows", 2, []int{0}, nil, 0, core.ErrShape, "1 starts of rows"},
		{"costs lacking", 2, []int{0, 2}, []int32{0, 1}, 1, core.ErrShape, "2 columns and 1 costs"},
		{"starts that do not begin", 2, []int{1, 2}, []int32{0, 1}, 2, core.ErrShape, "want starts from 0"},
		{"starts that end early", 2, []int{0, 1}, []int32{0, 1}, 2, core.ErrShape, "want starts from 0"},
		{"descending starts", 2, []int{0, 2, 1, 3}, []int32{0, 1, 0}, 3, core.ErrShape, "row 1 has costs 2 to 0 of 3"},
		{"starts beyond the end", 2, []int{0, 4, 3}, []int32{0, 1, 0}, 3, core.ErrShape, "row 0 has costs 0 to 3 of 3"},
		{"a column too high", 2, []int{0, 1}, []int32{2}, 1, core.ErrParam, "row 0 has column 2, want 0 to 1"},
		{"a negative column", 2, []int{0, 1}, []int32{-1}, 1, core.ErrParam, "column -1"},
		{"a column twice", 2, []int{0, 1, 3}, []int32{1, 1, 1}, 3, core.ErrParam, "row 1 has column 1 twice"},
		{"columns below none", -1, []int{0, 1}, []int32{0}, 1, core.ErrParam, "column 0"},
	} {
		_, err := NewSparse(c.columns, c.first, c.column, make([]float64, c.costs))
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %v with %q", c.what, err, c.err, c.words)
		}
	}
}

// slow is costs that cancel a context after some rows.
type slow struct {
	table
	cancel func()
	left   *atomic.Int64
}

func (s slow) Row(dst []float64, i int) {
	if s.left.Add(-1) == 0 {
		s.cancel()
	}
	s.table.Row(dst, i)
}

func TestInterrupt(t *testing.T) {
	c := families["distances"](rand.New(rand.NewPCG(6, 6)), 3000, 20)
	for _, after := range []int64{1, 2000, 3000} {
		ctx, cancel := context.WithCancel(context.Background())
		left := new(atomic.Int64)
		left.Store(after)
		_, err := Solve(ctx, slow{c, cancel, left}, Balanced(c.n, c.k), nil)
		if err != context.Canceled {
			t.Errorf("canceled after %d rows: error %v", after, err)
		}
		cancel()
	}
	// In the middle of moving rows, all of which begin in one column.
	t.Run("repair", func(t *testing.T) {
		of := make([][]offer, 100_000)
		for i := range of {
			for j := range 50 {
				of[i] = append(of[i], offer{float64(j) + float64(i*j%997)/1000, int32(j)})
			}
		}
		g := newGraph(50, Balanced(len(of), 50), make([]float64, 50), of)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := g.repair(ctx); err != context.DeadlineExceeded {
			t.Errorf("error %v with %d rows to move", err, g.surplus())
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("an interrupt after 20 ms ended it after %v", took)
		}
	})
}

func TestInputStays(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	c := families["uniform"](rng, 40, 5)
	s := Sizes{slices.Repeat([]int{1}, 5), slices.Repeat([]int{math.MaxInt}, 5)}
	warm := &Solution{Prices: []float64{3, 1, 4, 1, 5}}
	if _, err := Solve(context.Background(), c, s, warm); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(warm.Prices, []float64{3, 1, 4, 1, 5}) || s.Upper[0] != math.MaxInt {
		t.Errorf("prices %v, sizes %v afterwards", warm.Prices, s)
	}
}
