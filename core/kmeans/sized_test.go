package kmeans

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/transport"
)

// sizedCases are data that sizes are hard on.
func sizedCases() map[string]core.Matrix {
	grid := core.NewMatrix(300, 3) // many equal distances
	rng := rand.New(rand.NewPCG(40, 0))
	for i := range grid.Data {
		grid.Data[i] = float32(rng.IntN(3))
	}
	far := clouds(41, 200, 5, 1, 1, 1)
	for i := range 190 {
		far.Row(i)[0] += 100 // ten rows are far from all others
	}
	twins := clouds(42, 240, 6, 30, 0.5, 1)
	copy(twins.Data[len(twins.Data)/2:], twins.Data[:len(twins.Data)/2])
	return map[string]core.Matrix{
		"clouds":       clouds(43, 500, 8, 9, 0.3, 1),
		"wide":         clouds(44, 2600, 40, 9, 0.7, 1), // a start in subspaces
		"grid":         grid,
		"far":          far,
		"twins":        twins,
		"few distinct": clouds(45, 210, 4, 4, 0, 1),
		"all equal":    clouds(46, 60, 3, 1, 0, 1),
		"tiny":         clouds(47, 150, 4, 5, 0.4, 1e-18),
		"huge":         clouds(48, 150, 4, 5, 0.4, 1e17),
	}
}

// checkSized wants sizes within bounds, labels and inertia that fit the centroids, and a proof that holds: by the prices,
// no assignment of these sizes costs less. All is worked out anew, in float64.
func checkSized(t *testing.T, x core.Matrix, sizes transport.Sizes, r *Result) {
	t.Helper()
	k := r.Centroids.Rows
	counts := make([]int, k)
	var inertia, bound float64
	for i := range x.Rows {
		own, least := 0.0, math.Inf(1)
		for j := range k {
			var d float64
			for c, v := range x.Row(i) {
				e := float64(v) - float64(r.Centroids.Row(j)[c])
				d += e * e
			}
			if j == int(r.Labels[i]) {
				own = d
			}
			least = min(least, d+r.Assignment.Prices[j])
		}
		counts[r.Labels[i]]++
		inertia += own
		bound += least
	}
	for j, p := range r.Assignment.Prices {
		if counts[j] < sizes.Lower[j] || counts[j] > sizes.Upper[j] {
			t.Errorf("cluster %d has %d rows, want %d to %d", j, counts[j], sizes.Lower[j], sizes.Upper[j])
		}
		bound -= max(0, p)*float64(sizes.Upper[j]) + min(0, p)*float64(sizes.Lower[j])
	}
	if !(math.Abs(r.Inertia-inertia) <= 1e-9*inertia) {
		t.Errorf("inertia %g, want %g", r.Inertia, inertia)
	}
	if !(inertia-bound <= 1e-9*inertia) || !(r.Assignment.Gap <= transport.MaxGap) {
		t.Errorf("cost %g, by the prices at least %g; gap %g", inertia, bound, r.Assignment.Gap)
	}
	if &r.Assignment.Columns[0] != &r.Labels[0] {
		t.Error("labels are not those of the assignment")
	}
}

func TestSized(t *testing.T) {
	for name, x := range sizedCases() {
		for _, k := range []int{1, 2, 7, 32, x.Rows} {
			if k > 300 {
				continue
			}
			for kind, sizes := range map[string]transport.Sizes{
				"balanced": transport.Balanced(x.Rows, k),
				"loose":    transport.Between(k, x.Rows/k/2, 2*((x.Rows+k-1)/k)),
				"at most":  transport.Between(k, 0, (x.Rows+k-1)/k+3),
			} {
				t.Run(fmt.Sprintf("%s/k=%d/%s", name, k, kind), func(t *testing.T) {
					p := DefaultParams(k)
					p.Sizes = sizes
					r, err := Fit(context.Background(), RowsOf(x), nil, p)
					if err != nil {
						t.Fatal(err)
					}
					checkSized(t, x, sizes, r)
					if k == x.Rows && kind == "balanced" && r.Inertia != 0 {
						t.Errorf("inertia %g with a centroid for each row", r.Inertia)
					}
				})
			}
		}
	}
}

// TestSizedEndsAtMeans wants centroids that are the means of their rows once no label moves.
func TestSizedEndsAtMeans(t *testing.T) {
	x := clouds(50, 400, 6, 5, 1, 1)
	p := DefaultParams(11)
	p.Tol, p.Sizes = 0, transport.Balanced(x.Rows, p.K)
	r, err := Fit(context.Background(), RowsOf(x), nil, p)
	if err != nil || !r.Converged || !r.Distinct {
		t.Fatalf("error %v, converged %v, distinct %v", err, r.Converged, r.Distinct)
	}
	for k := range p.K {
		mean := make([]float64, x.Cols)
		n := 0.0
		for i, l := range r.Labels {
			if int(l) == k {
				n++
				for c, v := range x.Row(i) {
					mean[c] += float64(v)
				}
			}
		}
		for c, v := range r.Centroids.Row(k) {
			if float32(mean[c]/n) != v {
				t.Errorf("centroid %d is %g in column %d, the mean of its rows %g", k, v, c, mean[c]/n)
			}
		}
	}
}

// TestSizedIsMonotone makes one iteration after the other, to the means alone, and wants each to end no higher.
func TestSizedIsMonotone(t *testing.T) {
	for name, x := range sizedCases() {
		t.Run(name, func(t *testing.T) {
			first := core.NewMatrix(8, x.Cols)
			for k := range first.Rows {
				copy(first.Row(k), x.Row(k*x.Rows/8))
			}
			// A single iteration does not step beyond the means.
			s := &sized{x: RowsOf(x), sizes: transport.Balanced(x.Rows, 8), maxIter: 1, centroids: first, progress: func() {}}
			last, steps := math.Inf(1), 0
			for !s.converged && steps < 100 {
				steps++
				s.iters = 0
				if err := s.run(context.Background()); err != nil {
					t.Fatal(err)
				}
				if now := s.assignment.Primal; now > last*(1+1e-6) { // centroids are rounded to float32
					t.Fatalf("iteration %d: inertia %.12g after %.12g", steps, now, last)
				} else {
					last = now
				}
			}
			if !s.converged {
				t.Errorf("not converged after %d iterations", steps)
			}
		})
	}
}

// TestSizedSameEverywhere wants the same bits on any CPU level and number of threads, from rows in memory or worked out.
func TestSizedSameEverywhere(t *testing.T) {
	defer par.SetThreads(0)
	x := clouds(51, 1500, 40, 60, 0.7, 1)
	codes := core.NewCodes(x.Rows, 1)
	rest := RowsOf(x).Less(codes, []core.Matrix{{Rows: 1, Cols: x.Cols, Data: make([]float32, x.Cols)}})
	p := DefaultParams(37)
	p.Seed, p.Sizes, p.Restarts = 4, transport.Balanced(x.Rows, p.K), 2
	var want *Result
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		restore := cpu.SetForTest(l)
		for _, threads := range []int{1, 3} {
			par.SetThreads(threads)
			for _, rows := range []Rows{RowsOf(x), rest.Lean()} {
				got, err := Fit(context.Background(), rows, nil, p)
				if err != nil {
					t.Fatal(err)
				}
				if want == nil {
					want = got
				}
				if !slices.Equal(got.Labels, want.Labels) || !slices.Equal(got.Centroids.Data, want.Centroids.Data) ||
					got.Inertia != want.Inertia || got.Iters != want.Iters || !slices.Equal(got.Assignment.Prices, want.Assignment.Prices) {
					t.Errorf("%v, %d threads, stored %v: inertia %g after %d iterations, want %g after %d",
						l, threads, rows.Stored(), got.Inertia, got.Iters, want.Inertia, want.Iters)
				}
			}
		}
		restore()
	}
	checkSized(t, x, p.Sizes, want)
}

// TestStepsBeyondTheMeansEndLower compares with iterations to the means alone from the same starts.
func TestStepsBeyondTheMeansEndLower(t *testing.T) {
	x := RowsOf(clouds(52, 1200, 24, 50, 0.8, 1))
	var with, without float64
	for seed := range uint64(5) {
		p := DefaultParams(40)
		p.Seed, p.Sizes = seed, transport.Balanced(x.Len(), p.K)
		r, err := Fit(context.Background(), x, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		with += r.Inertia
		s, err := newStarter(context.Background(), x, nil, p.K, true, 1, seed)
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.centroids(context.Background(), mix(seed, 0))
		if err != nil {
			t.Fatal(err)
		}
		plain := &sized{x: x, sizes: p.Sizes, maxIter: 1, centroids: first, progress: func() {}}
		for range 100 {
			plain.iters = 0
			if err := plain.run(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		without += plain.assignment.Primal
	}
	if !(with < 0.99*without) {
		t.Errorf("mean inertia %g, with steps to the means alone %g", with/5, without/5)
	}
}

func TestSizedStops(t *testing.T) {
	x := RowsOf(clouds(53, 3000, 16, 40, 1, 1))
	p := DefaultParams(40)
	p.Sizes = transport.Balanced(x.Len(), p.K)
	ctx, cancel := context.WithCancel(context.Background())
	last := 0
	p.Progress = func(done int) {
		if last = done; done == 3 {
			cancel()
		}
	}
	if _, err := Fit(ctx, x, nil, p); !errors.Is(err, context.Canceled) || last != 3 {
		t.Errorf("error %v after %d iterations, canceled after 3", err, last)
	}
	p.Progress = func(done int) { last = done }
	for _, n := range []int{1, 2, 5} {
		p.MaxIter = n
		r, err := Fit(context.Background(), x, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Iters != n || last != n || r.Converged {
			t.Errorf("%d iterations and %d told, converged %v, want %d", r.Iters, last, r.Converged, n)
		}
	}
}

func TestSizedBadInput(t *testing.T) {
	x := RowsOf(clouds(54, 10, 3, 2, 1, 1))
	for name, c := range map[string]struct {
		sizes   transport.Sizes
		weights []float64
		err     error
		words   string
	}{
		"too small":  {transport.Between(3, 0, 3), nil, core.ErrParam, "10 rows, but the upper sizes of the 3 columns leave room for 9: 1 too many"},
		"too large":  {transport.Between(3, 4, 9), nil, core.ErrParam, "10 rows, but the lower sizes of the 3 columns ask for 12 or more: 2 too few"},
		"crossed":    {transport.Between(3, 4, 3), nil, core.ErrParam, "at least 4 and at most 3"},
		"one short":  {transport.Balanced(10, 2), nil, core.ErrShape, "2 lower and 2 upper sizes, want 3"},
		"only lower": {transport.Sizes{Lower: []int{1, 1, 1}}, nil, core.ErrShape, "3 lower and 0 upper sizes"},
		"weights":    {transport.Balanced(10, 3), slices.Repeat([]float64{1}, 10), core.ErrParam, "a row counts one"},
	} {
		p := DefaultParams(3)
		p.Sizes = c.sizes
		_, err := Fit(context.Background(), x, c.weights, p)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %v with %q", name, err, c.err, c.words)
		}
	}
}
