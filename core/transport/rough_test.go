package transport

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// surplusOf is how many rows are too many, or too few.
func surplusOf(columns []int32, s Sizes) int {
	counts := make([]int, len(s.Lower))
	for _, j := range columns {
		counts[j]++
	}
	many, few := 0, 0
	for j, c := range counts {
		many += max(0, c-s.Upper[j])
		few += max(0, s.Lower[j]-c)
	}
	return max(many, few)
}

func meanOf(x core.Matrix) []float32 {
	mean := make([]float32, x.Cols)
	for i := range x.Rows {
		for c, v := range x.Row(i) {
			mean[c] += v / float32(x.Rows)
		}
	}
	return mean
}

// TestRough lets centroids wander and wants each row where it is cheapest at the prices, columns about as full as they are
// to be, and what it costs near the least.
func TestRough(t *testing.T) {
	for _, c := range []struct{ rows, cols, k int }{{3000, 24, 40}, {3000, 7, 1}, {2500, 40, 33}, {1500, 130, 100}, {3000, 64, 50}, {400, 3, 2}} {
		x, centroids := mixture(3, c.rows, c.cols, c.k)
		for name, sizes := range map[string]Sizes{"balanced": Balanced(c.rows, c.k), "loose": Between(c.k, c.rows/c.k/2, c.rows/c.k*3/2+1)} {
			r := NewRough(Stored(x), meanOf(x), sizes)
			off := 1e-5 // of the distances
			if f32.BytesFit(c.cols) {
				off = 0.01
			}
			rng := rand.New(rand.NewPCG(4, 0))
			for time := range 5 {
				columns, err := r.Assign(context.Background(), centroids)
				if err != nil {
					t.Fatal(err)
				}
				if got := surplusOf(columns, sizes); got > int(roughMost*float64(c.rows)) {
					t.Errorf("%v %s, time %d: %d rows too many or too few", c, name, time, got)
				}
				var cost float64
				for i, j := range columns {
					own := f32.SqDist64(x.Row(i), centroids.Row(int(j)))
					cost += own
					for l := range c.k {
						if d := f32.SqDist64(x.Row(i), centroids.Row(l)); d+r.prices[l] < own+r.prices[j]-off*(1+own+d) {
							t.Fatalf("%v %s, time %d, row %d: costs %g in column %d, %g in %d", c, name, time, i, own+r.prices[j], j, d+r.prices[l], l)
						}
					}
				}
				costs, err := Distances(Stored(x), centroids)
				if err != nil {
					t.Fatal(err)
				}
				s, err := Solve(context.Background(), costs, sizes, r.Warm())
				if err != nil {
					t.Fatal(err)
				}
				if (r.bytes != nil) != f32.BytesFit(c.cols) {
					t.Fatalf("%v %s: bytes %v", c, name, r.bytes != nil)
				}
				if !(cost < 1.03*s.Primal) {
					t.Errorf("%v %s, time %d: cost %g, the least is %g", c, name, time, cost, s.Primal)
				}
				for i := range centroids.Data {
					centroids.Data[i] += float32(0.1 * rng.NormFloat64())
				}
			}
		}
	}
}

// TestRoughHelped is of data that prices in float32 leave far from balanced: equal rows, numbers that overflow.
func TestRoughHelped(t *testing.T) {
	equal, twin := core.NewMatrix(100, 3), core.NewMatrix(10, 3)
	huge, big := mixture(5, 200, 5, 8)
	for _, m := range []core.Matrix{huge, big} {
		for i := range m.Data {
			m.Data[i] *= 1e30
		}
	}
	for name, c := range map[string]struct{ x, centroids core.Matrix }{"equal": {equal, twin}, "huge": {huge, big}} {
		sizes := Balanced(c.x.Rows, c.centroids.Rows)
		columns, err := NewRough(Stored(c.x), meanOf(c.x), sizes).Assign(context.Background(), c.centroids)
		if err != nil || surplusOf(columns, sizes) > 0 {
			t.Errorf("%s: error %v, %d rows too many or too few", name, err, surplusOf(columns, sizes))
		}
	}
}

// TestRoughPeaks is of rows of which bytes would show one element and nothing of the others.
func TestRoughPeaks(t *testing.T) {
	x, centroids := mixture(9, 1000, 60, 20)
	for i := range x.Rows {
		x.Row(i)[7] = float32(i%2) * 2000
	}
	for j := range centroids.Rows {
		centroids.Row(j)[7] = float32(j%2) * 2000
	}
	sizes := Balanced(x.Rows, centroids.Rows)
	r := NewRough(Stored(x), meanOf(x), sizes)
	columns, err := r.Assign(context.Background(), centroids)
	if err != nil || r.bytes != nil || surplusOf(columns, sizes) > int(roughMost*1000) {
		t.Errorf("error %v, bytes %v, %d rows too many or too few", err, r.bytes != nil, surplusOf(columns, sizes))
	}
}

func TestRoughErrors(t *testing.T) {
	x, centroids := mixture(6, 100, 4, 5)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewRough(Stored(x), meanOf(x), Balanced(100, 5)).Assign(ctx, centroids); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after an end of the context", err)
	}
	for _, m := range []core.Matrix{x, centroids} {
		m.Data[7] = float32(math.NaN())
		if _, err := NewRough(Stored(x), meanOf(x), Balanced(100, 5)).Assign(context.Background(), centroids); !errors.Is(err, core.ErrNotFinite) {
			t.Errorf("error %v with a NaN", err)
		}
		m.Data[7] = 0
	}
	if RoughFits(1<<24/256+1, 250) || !RoughFits(1<<24/256, 256) {
		t.Error("fits in 64 MiB or not")
	}
}

func TestRoughSameEverywhere(t *testing.T) {
	defer par.SetThreads(0)
	for _, cols := range []int{37, 70} { // float32, bytes
		x, centroids := mixture(7, 2100, cols, 45)
		roughSameEverywhere(t, x, centroids)
	}
}

func roughSameEverywhere(t *testing.T, x, centroids core.Matrix) {
	t.Helper()
	var want []int32
	var prices []float64
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		restore := cpu.SetForTest(l)
		for _, threads := range []int{1, 3} {
			par.SetThreads(threads)
			r := NewRough(Stored(x), meanOf(x), Balanced(x.Rows, centroids.Rows))
			got, err := r.Assign(context.Background(), centroids)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want, prices = got, r.prices
			}
			if !slices.Equal(got, want) || !slices.Equal(r.prices, prices) {
				t.Errorf("%v, %d threads: other columns or prices", l, threads)
			}
		}
		restore()
	}
}

// TestCenter wants the change of all prices that proves most.
func TestCenter(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 0))
	for range 2000 {
		k := 1 + rng.IntN(8)
		s, n := Sizes{make([]int, k), make([]int, k)}, 0
		prices := make([]float64, k)
		for j := range k {
			s.Lower[j] = rng.IntN(5)
			s.Upper[j] = s.Lower[j] + rng.IntN(3)
			n += s.Lower[j] + rng.IntN(s.Upper[j]-s.Lower[j]+1)
			prices[j] = float64(rng.IntN(9) - 4)
		}
		// What n rows pay less for prices that are lower by by, less what the columns owe then.
		proves := func(by float64) float64 {
			sum := -float64(n) * by
			for j, p := range prices {
				sum -= max(0, p-by)*float64(s.Upper[j]) + min(0, p-by)*float64(s.Lower[j])
			}
			return sum
		}
		best := proves(0)
		for _, p := range prices {
			best = max(best, proves(p))
		}
		centered := slices.Clone(prices)
		center(s, n, centered)
		if got := proves(prices[0] - centered[0]); got != best {
			t.Fatalf("prices %v of sizes %v for %d rows become %v, which prove %g, want %g", prices, s, n, centered, got, best)
		}
	}
}
