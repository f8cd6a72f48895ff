package kmeans

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// exchangeCases are data with what can go wrong in it.
func exchangeCases() map[string]struct {
	x       core.Matrix
	weights []float64
	k       int
} {
	shifted := clouds(21, 400, 20, 20, 0.4, 1)
	for i := range shifted.Data {
		shifted.Data[i] += 3000 // scores in float32 say little
	}
	twins := clouds(22, 300, 9, 30, 0.5, 1)
	copy(twins.Data[len(twins.Data)/2:], twins.Data[:len(twins.Data)/2])
	uneven := make([]float64, 500)
	for i := range uneven {
		uneven[i] = float64(i%4) * 0.3 // a quarter weighs nothing
	}
	return map[string]struct {
		x       core.Matrix
		weights []float64
		k       int
	}{
		"clouds":         {clouds(23, 1500, 40, 60, 0.6, 1), nil, 100},
		"weights":        {clouds(24, 500, 17, 30, 0.6, 1), uneven, 40},
		"one column":     {clouds(25, 200, 1, 10, 0.5, 1), nil, 30},
		"far from zero":  {shifted, nil, 40},
		"equal rows":     {twins, nil, 40},
		"few distinct":   {clouds(26, 120, 8, 7, 0, 1), nil, 20},
		"every row":      {clouds(27, 30, 8, 30, 0.1, 1), nil, 30},
		"one centroid":   {clouds(28, 50, 8, 1, 1, 1), nil, 1},
		"huge":           {clouds(29, 200, 8, 10, 0.5, 1e25), nil, 20}, // squares overflow float32
		"tiny":           {clouds(30, 200, 8, 10, 0.5, 1e-25), nil, 20},
		"an empty start": {clouds(31, 200, 8, 10, 0.5, 1), nil, 0}, // see beginExchange
	}
}

// beginExchange starts from the first k rows, and for k = 0 from 20 copies of the first.
func beginExchange(t *testing.T, x core.Matrix, weights []float64, k int) *hartigan {
	t.Helper()
	first := core.NewMatrix(20, x.Cols)
	if k > 0 {
		first = core.NewMatrix(k, x.Cols)
	}
	for j := range first.Rows {
		copy(first.Row(j), x.Row(min(j, k)))
	}
	h := newHartigan(RowsOf(x), weights, first)
	if err := h.begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h
}

// bestMove is the definition of what propose finds.
func bestMove(h *hartigan, i int) int32 {
	own, w, s := int(h.labels[i]), weightOf(h.weights, i), h.sums
	if w == 0 || s.count[own] < 2 || s.weight[own] <= w {
		return -1
	}
	row := h.x.x.Row(i)
	best, to := leave(f32.SqDist64(row, h.centroids.Row(own)), w, s.weight[own])*(1-leastGain), int32(-1)
	for k := range h.centroids.Rows {
		if k != own {
			if cost := join(f32.SqDist64(row, h.centroids.Row(k)), w, s.weight[k]); cost < best {
				best, to = cost, int32(k)
			}
		}
	}
	return to
}

func TestProposalsAreTheBestMoves(t *testing.T) {
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		for name, c := range exchangeCases() {
			t.Run(fmt.Sprintf("%v/%s", l, name), func(t *testing.T) {
				defer cpu.SetForTest(l)()
				h := beginExchange(t, c.x, c.weights, c.k)
				for range 3 {
					for lo := 0; lo < c.x.Rows; lo += blockRows {
						hi := min(c.x.Rows, lo+blockRows)
						if err := h.propose(context.Background(), lo, hi); err != nil {
							t.Fatal(err)
						}
						for i := lo; i < hi; i++ {
							if want := bestMove(h, i); h.to[i-lo] != want {
								t.Fatalf("row %d of cluster %d: to %d, want %d", i, h.labels[i], h.to[i-lo], want)
							}
						}
					}
					if _, err := h.pass(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// inertiaOf is the weighted sum of squared distances to the means of the labels, all in float64.
func inertiaOf(x core.Matrix, weights []float64, labels []int32, k int) float64 {
	mean, total := make([]float64, k*x.Cols), make([]float64, k)
	for i, l := range labels {
		total[l] += weightOf(weights, i)
		for c, v := range x.Row(i) {
			mean[int(l)*x.Cols+c] += weightOf(weights, i) * float64(v)
		}
	}
	var sum float64
	for i, l := range labels {
		if total[l] > 0 {
			for c, v := range x.Row(i) {
				d := float64(v) - mean[int(l)*x.Cols+c]/total[l]
				sum += weightOf(weights, i) * d * d
			}
		}
	}
	return sum
}

// TestPassesLowerTheInertia wants each pass to gain what it says, no cluster to lose its last row, and, where no move is
// left, each row to be nearest to its own centroid.
func TestPassesLowerTheInertia(t *testing.T) {
	for name, c := range exchangeCases() {
		t.Run(name, func(t *testing.T) {
			h := beginExchange(t, c.x, c.weights, c.k)
			k := h.centroids.Rows
			scale := inertiaOf(c.x, c.weights, make([]int32, c.x.Rows), k)
			tol := 1e-6 * scale
			if name == "far from zero" { // centroids are rounded to 2⁻¹² there
				tol = 1e-3 * scale
			}
			gain, passes := 1.0, 0
			for ; gain > 0 && passes < 200; passes++ {
				used := slices.Clone(h.sums.count)
				before := inertiaOf(c.x, c.weights, h.labels, k)
				var err error
				if gain, err = h.pass(context.Background()); err != nil {
					t.Fatal(err)
				}
				after := inertiaOf(c.x, c.weights, h.labels, k)
				if !(gain >= 0) || math.Abs(before-after-gain) > tol {
					t.Fatalf("pass %d: from inertia %g to %g, said to gain %g", passes, before, after, gain)
				}
				for j, n := range h.sums.count {
					if n == 0 && used[j] > 0 {
						t.Fatalf("pass %d left cluster %d without rows", passes, j)
					}
				}
			}
			if gain > 0 {
				t.Fatalf("still gains %g after %d passes", gain, passes)
			}
			for i := range c.x.Rows {
				if weightOf(c.weights, i) == 0 {
					continue
				}
				own := f32.SqDist64(c.x.Row(i), h.centroids.Row(int(h.labels[i])))
				for j, n := range h.sums.count {
					if d := f32.SqDist64(c.x.Row(i), h.centroids.Row(j)); n > 0 && d < own*(1-leastGain) {
						t.Fatalf("row %d is at %g from its centroid, at %g from another", i, own, d)
					}
				}
			}
		})
	}
}

// TestFewRowsEndLower holds a fit against the best of ten of k-means++ and Lloyd.
func TestFewRowsEndLower(t *testing.T) {
	x := RowsOf(clouds(32, 1200, 48, 1, 1, 1))
	r, err := Fit(context.Background(), x, nil, DefaultParams(100))
	if err != nil {
		t.Fatal(err)
	}
	best := math.Inf(1)
	for seed := range uint64(10) {
		l := lloydFit(t, x, 100, seed, true, false)
		inertia, err := l.inertia(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, inertia)
	}
	if !(r.Inertia < 0.97*best) {
		t.Errorf("inertia %g, the best of ten without moving single rows %g", r.Inertia, best)
	}
}

// TestFewRowsSameEverywhere wants the same bits on any CPU level and number of threads, and nearest labels.
func TestFewRowsSameEverywhere(t *testing.T) {
	defer par.SetThreads(0)
	x := RowsOf(clouds(33, 2500, 70, 90, 0.7, 1)) // wide enough for a sketch, more than two blocks
	p := DefaultParams(120)
	p.Seed = 4
	var want *Result
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		restore := cpu.SetForTest(l)
		for _, threads := range []int{1, 3} {
			par.SetThreads(threads)
			got, err := Fit(context.Background(), x, nil, p)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got.Labels, want.Labels) || !slices.Equal(got.Centroids.Data, want.Centroids.Data) || got.Inertia != want.Inertia || got.Iters != want.Iters {
				t.Errorf("%v, %d threads: inertia %g after %d iterations, want %g after %d", l, threads, got.Inertia, got.Iters, want.Inertia, want.Iters)
			}
		}
		restore()
	}
	labels := make([]int32, x.Len())
	f32.NewCodebook(want.Centroids.Data, p.K, x.Dim()).Nearest(labels, x.x.Data)
	if !slices.Equal(labels, want.Labels) {
		t.Error("labels are not those of the nearest centroids")
	}
}

// TestWideAndHuge sketches rows near the ends of float32.
func TestWideAndHuge(t *testing.T) {
	for _, scale := range []float64{1e-38, 1e37} {
		x := RowsOf(clouds(36, 300, 80, 10, 0.1, scale))
		r, err := Fit(context.Background(), x, nil, DefaultParams(10))
		if err != nil {
			t.Fatal(err)
		}
		if per := r.Inertia / float64(300*80) / scale / scale; !(per < 0.15) { // 0.01 is the noise, 1 the spread
			t.Errorf("scale %g: error %g per value", scale, per)
		}
	}
}

func TestFewRowsMaxIter(t *testing.T) {
	x := RowsOf(clouds(34, 600, 12, 1, 1, 1))
	p := DefaultParams(60)
	last := math.Inf(1)
	for _, n := range []int{1, 2, 4} {
		p.MaxIter = n
		done := 0
		p.Progress = func(d int) { done = d }
		r, err := Fit(context.Background(), x, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Iters != n || done != n || n == 1 && r.Converged || !(r.Inertia < last) {
			t.Errorf("MaxIter %d: %d iterations, %d told, converged %v, inertia %g after %g", n, r.Iters, done, r.Converged, r.Inertia, last)
		}
		last = r.Inertia
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.MaxIter = 100
	p.Progress = func(d int) { cancel() } // in the first pass
	if _, err := Fit(ctx, x, nil, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
}

// TestGreedyTakesTheBestCandidate compares one step of k-means++ with its definition.
func TestGreedyTakesTheBestCandidate(t *testing.T) {
	x := clouds(35, 1300, 11, 30, 0.3, 1)
	g := newGreedy(x, 4)
	for i := range g.weight {
		g.weight[i] = float64(i % 3)
	}
	if err := g.first(context.Background(), 5); err != nil {
		t.Fatal(err)
	}
	near := make([]float64, x.Rows)
	for i := range near {
		near[i] = f32.SqDist64(x.Row(i), x.Row(5))
	}
	for step := range 20 {
		picks := []int{step, 100 + 7*step, 100 + 7*step, 900 + 3*step}
		best, err := g.best(context.Background(), picks)
		if err != nil {
			t.Fatal(err)
		}
		want, least := 0, math.Inf(1)
		for c, pick := range picks {
			var sum float64
			for i, d := range near {
				sum += g.weight[i] * min(d, f32.SqDist64(x.Row(i), x.Row(pick)))
			}
			if sum < least*(1-1e-12) {
				want, least = c, sum
			}
		}
		if best != want {
			t.Fatalf("step %d: candidate %d, want %d", step, best, want)
		}
		for i := range near {
			near[i] = min(near[i], f32.SqDist64(x.Row(i), x.Row(picks[best])))
			if near[i] != g.near[i] {
				t.Fatalf("step %d, row %d: nearest at %g, want %g", step, i, g.near[i], near[i])
			}
		}
	}
}
