package kmeans

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// clouds is rows around centers random points, noise apart, all times scale.
func clouds(seed uint64, rows, cols, centers int, noise, scale float64) core.Matrix {
	rng := rand.New(rand.NewPCG(seed, 0))
	mid := make([]float64, centers*cols)
	for i := range mid {
		mid[i] = rng.NormFloat64()
	}
	x := core.NewMatrix(rows, cols)
	for i := range rows {
		for j := range cols {
			x.Row(i)[j] = float32(scale * (mid[i%centers*cols+j] + noise*rng.NormFloat64()))
		}
	}
	return x
}

// lloydFit starts as a fit of many rows does and iterates: as such a fit does, or over: false, in plain Lloyd to tol.
func lloydFit(t testing.TB, x Rows, k int, seed uint64, over, plain bool) *lloyd {
	t.Helper()
	ctx := context.Background()
	scatter, weight, center, err := scatterOf(ctx, x, nil)
	if err != nil {
		t.Fatal(err)
	}
	spread := math.Sqrt(scatter / weight)
	s, err := newStarter(ctx, x, nil, k, false, spread, seed)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.centroids(ctx, seed)
	if err != nil {
		t.Fatal(err)
	}
	p := DefaultParams(k)
	l := &lloyd{
		x: x, k: k, maxIter: p.MaxIter, tol: p.Tol * scatter / weight / float64(x.Dim()), scatter: scatter, center: center, spread: spread,
		over: over, plain: plain, centroids: first, progress: func() {},
	}
	if over {
		l.stall = stallShare * p.Tol
	}
	if err := l.run(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestBoundsChangeNothing fits with bounds and without, and wants the same bits.
func TestBoundsChangeNothing(t *testing.T) {
	grid := core.NewMatrix(3000, 72) // many equal distances
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range grid.Data {
		grid.Data[i] = float32(rng.IntN(2))
	}
	twins := clouds(7, 1500, 80, 30, 0.5, 1)
	copy(twins.Data[len(twins.Data)/2:], twins.Data[:len(twins.Data)/2])
	for name, c := range map[string]struct {
		x    core.Matrix
		k    int
		used bool // the bounds to the end
	}{
		"clouds":         {clouds(1, 3000, 80, 30, 0.3, 1), 34, true},
		"no structure":   {clouds(2, 2500, 96, 1, 1, 1), 40, true},
		"tiny":           {clouds(3, 1200, 73, 10, 0.3, 1e-7), 33, true},
		"huge":           {clouds(4, 1200, 73, 40, 0.3, 1e7), 34, true},
		"near-ties":      {clouds(5, 2000, 112, 4, 1e-6, 1), 50, false},
		"every row":      {clouds(6, 40, 96, 40, 0.1, 1), 40, true},
		"zeros and ones": {grid, 64, true},
		"equal rows":     {twins, 40, true},
		"few distinct":   {clouds(8, 900, 72, 9, 0, 1), 36, true},
		"lean":           {clouds(10, 3000, 192, 30, 0.3, 1), 34, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := RowsOf(c.x)
			if name == "lean" {
				x = x.Lean()
			}
			if !boundsFit(x.Dim(), c.k, x.lean) {
				t.Fatal("bounds are not for such data: the test tests nothing")
			}
			for seed := range uint64(3) {
				want := lloydFit(t, x, c.k, seed, true, true)
				for l := cpu.Generic; l <= cpu.Supported(); l++ {
					restore := cpu.SetForTest(l)
					got := lloydFit(t, x, c.k, seed, true, false)
					restore()
					if !slices.Equal(got.labels, want.labels) || !slices.Equal(got.centroids.Data, want.centroids.Data) || got.iters != want.iters {
						t.Errorf("seed %d, %v: other labels or centroids after %d iterations with bounds, %d without", seed, l, got.iters, want.iters)
					}
					if used := got.bounds != nil && got.bounds.filled; used != c.used {
						t.Errorf("seed %d, %v: bounds used: %v", seed, l, used)
					}
				}
			}
		})
	}
}

// TestLloyd compares a whole run with a naive one in float64 from the same start.
func TestLloyd(t *testing.T) {
	x := clouds(11, 400, 5, 6, 0.4, 1)
	p := DefaultParams(6)
	p.Seed = 3
	r, err := Fit(context.Background(), RowsOf(x), nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Converged || !r.Distinct {
		t.Fatalf("converged %v, distinct %v, want both", r.Converged, r.Distinct)
	}
	var inertia float64
	mean := make([]float64, p.K*x.Cols)
	count := make([]float64, p.K)
	for i := range x.Rows {
		best, label := math.Inf(1), 0
		for k := range p.K {
			var d float64
			for j, v := range x.Row(i) {
				d += (float64(v) - float64(r.Centroids.Row(k)[j])) * (float64(v) - float64(r.Centroids.Row(k)[j]))
			}
			if d < best {
				best, label = d, k
			}
		}
		if int(r.Labels[i]) != label {
			t.Fatalf("row %d: label %d, nearest is %d", i, r.Labels[i], label)
		}
		inertia += best
		count[label]++
		for j, v := range x.Row(i) {
			mean[label*x.Cols+j] += float64(v)
		}
	}
	if math.Abs(inertia-r.Inertia) > 1e-12*inertia {
		t.Errorf("inertia %g, want %g", r.Inertia, inertia)
	}
	for k := range p.K { // the centroids are a fixed point, up to tol
		for j := range x.Cols {
			if d := math.Abs(mean[k*x.Cols+j]/count[k] - float64(r.Centroids.Row(k)[j])); d > 1e-2 {
				t.Errorf("centroid %d, column %d is %g off the mean of its rows", k, j, d)
			}
		}
	}
}

func TestEveryRowItsOwnCentroid(t *testing.T) {
	x := clouds(12, 37, 4, 37, 0, 1)
	r, err := Fit(context.Background(), RowsOf(x), nil, DefaultParams(37))
	if err != nil {
		t.Fatal(err)
	}
	if r.Inertia != 0 || !r.Distinct {
		t.Errorf("inertia %g, distinct %v, want 0 and true", r.Inertia, r.Distinct)
	}
	if seen := slices.Sorted(slices.Values(r.Labels)); len(slices.Compact(seen)) != 37 {
		t.Error("two rows share a centroid")
	}
}

func TestEqualRows(t *testing.T) {
	x := core.NewMatrix(9, 3)
	for i := range x.Data {
		x.Data[i] = 0.7
	}
	r, err := Fit(context.Background(), RowsOf(x), nil, DefaultParams(4))
	if err != nil {
		t.Fatal(err)
	}
	if r.Distinct || r.Inertia != 0 || !r.Converged || slices.Max(r.Labels) != 0 {
		t.Errorf("got %+v, want all rows at centroid 0, converged, not distinct", r)
	}
}

func TestOneRow(t *testing.T) {
	x := core.Matrix{Rows: 1, Cols: 2, Data: []float32{3, -4}}
	r, err := Fit(context.Background(), RowsOf(x), nil, DefaultParams(1))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Centroids.Data, x.Data) || r.Inertia != 0 || r.Labels[0] != 0 {
		t.Errorf("got %+v, want the row itself", r)
	}
}

func TestOneCentroidIsTheWeightedMean(t *testing.T) {
	x := core.Matrix{Rows: 3, Cols: 1, Data: []float32{0, 1, 10}}
	r, err := Fit(context.Background(), RowsOf(x), []float64{1, 3, 0}, DefaultParams(1))
	if err != nil {
		t.Fatal(err)
	}
	if r.Centroids.Data[0] != 0.75 || math.Abs(r.Inertia-0.75) > 1e-12 {
		t.Errorf("centroid %g, inertia %g, want 0.75 and 0.75", r.Centroids.Data[0], r.Inertia)
	}
}

// TestEmptyClustersAreRefilled starts with centroids no row is nearest to.
func TestEmptyClustersAreRefilled(t *testing.T) {
	x := clouds(13, 200, 3, 4, 0.05, 1)
	far := core.NewMatrix(4, 3)
	for i := range far.Data {
		far.Data[i] = float32(1000 * (i / 3))
	}
	l := &lloyd{x: RowsOf(x), k: 4, maxIter: 50, center: make([]float32, x.Cols), spread: 1, centroids: far, progress: func() {}}
	if err := l.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(l.sums.count, 0) || !l.distinct {
		t.Errorf("rows in the clusters: %v, want none empty", l.sums.count)
	}
}

func TestRestartsKeepTheBest(t *testing.T) {
	x := clouds(14, 500, 6, 25, 0.2, 1)
	p := DefaultParams(25)
	best := math.Inf(1)
	for restart := range 4 {
		p.Seed = 5
		p.Restarts = restart + 1
		r, err := Fit(context.Background(), RowsOf(x), nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Inertia > best {
			t.Errorf("%d restarts end at %g, fewer at %g", restart+1, r.Inertia, best)
		}
		best = r.Inertia
	}
}

// TestWideData reaches the start in subspaces: well separated clusters must all be found, weighted or not.
func TestWideData(t *testing.T) {
	x := clouds(16, 5000, 64, 20, 0.1, 1)
	double := make([]float64, x.Rows)
	for i := range double {
		double[i] = 2
	}
	for name, weights := range map[string][]float64{"unweighted": nil, "weighted": double} {
		r, err := Fit(context.Background(), RowsOf(x), weights, DefaultParams(20))
		if err != nil {
			t.Fatal(err)
		}
		per := r.Inertia / float64(x.Rows*x.Cols)
		if weights != nil {
			per /= 2
		}
		if !(per < 0.0105) { // the noise has variance 0.01; a cluster missed adds 0.05
			t.Errorf("%s: error %g per value", name, per)
		}
	}
}

// TestOverRelaxationIsNoWorse wants no more inertia, on average, from over-relaxed Lloyd that stops where it stalls than
// from plain Lloyd to tol.
func TestOverRelaxationIsNoWorse(t *testing.T) {
	for _, c := range []struct {
		x core.Matrix
		k int
	}{{clouds(20, 8000, 24, 60, 0.8, 1), 60}, {clouds(21, 6000, 48, 1, 1, 1), 40}, {clouds(22, 4000, 8, 200, 0.5, 1), 64}} {
		var ratio float64
		for seed := range uint64(5) {
			var inertia [2]float64
			for i, over := range []bool{true, false} {
				var err error
				if inertia[i], err = lloydFit(t, RowsOf(c.x), c.k, seed, over, true).inertia(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			ratio += inertia[0] / inertia[1] / 5
		}
		t.Logf("%d x %d, %d centroids: %g times the inertia of plain Lloyd", c.x.Rows, c.x.Cols, c.k, ratio)
		if !(ratio <= 1.0005) {
			t.Errorf("%d x %d, %d centroids: %g times the inertia of plain Lloyd", c.x.Rows, c.x.Cols, c.k, ratio)
		}
	}
}

func TestTolAndMaxIter(t *testing.T) {
	x := clouds(17, 6000, 12, 1, 1, 1)
	p := DefaultParams(40)
	var iters []int
	for _, tol := range []float64{1, 1e-2, 1e-4, 0} {
		p.Tol, p.MaxIter = tol, 1000
		r, err := Fit(context.Background(), RowsOf(x), nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Converged {
			t.Errorf("tol %g: not converged after %d iterations", tol, r.Iters)
		}
		iters = append(iters, r.Iters)
	}
	if !slices.IsSorted(iters) || iters[0] == iters[3] {
		t.Errorf("iterations for falling tol: %v, want them to grow", iters)
	}
	p.MaxIter = 3
	r, err := Fit(context.Background(), RowsOf(x), nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if r.Converged || r.Iters != 3 {
		t.Errorf("converged %v after %d iterations, want 3 without", r.Converged, r.Iters)
	}
	// With tol 0 the centroids are the very means of their rows.
	p.MaxIter = 1000
	if r, err = Fit(context.Background(), RowsOf(x), nil, p); err != nil {
		t.Fatal(err)
	}
	want, err := means(context.Background(), RowsOf(x), nil, r.Labels, p.K)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want.Data {
		if math.Abs(float64(v-r.Centroids.Data[i])) > 1e-6 {
			t.Fatalf("value %d: centroid %g, mean %g", i, r.Centroids.Data[i], v)
		}
	}
}

func TestUnevenSizes(t *testing.T) {
	x := clouds(18, 2000, 6, 1, 0.05, 1) // one lump, and single rows far off
	for i := range 5 {
		for j := range x.Cols {
			x.Row(400 * i)[j] = float32(50 + 100*i)
		}
	}
	r, err := Fit(context.Background(), RowsOf(x), nil, DefaultParams(6))
	if err != nil {
		t.Fatal(err)
	}
	sizes := make([]int, 6)
	for _, l := range r.Labels {
		sizes[l]++
	}
	if slices.Sort(sizes); !slices.Equal(sizes, []int{1, 1, 1, 1, 1, 1995}) {
		t.Errorf("clusters of %v rows, want one of 1995 and each far row alone", sizes)
	}
}

func TestWeightsAreRepetitions(t *testing.T) {
	x := clouds(19, 600, 4, 3, 0.1, 1)
	weights := make([]float64, x.Rows)
	var double core.Matrix
	double.Cols = x.Cols
	for i := range weights {
		weights[i] = float64(i % 3) // a third of the rows weighs nothing
		for range i % 3 {
			double.Data = append(double.Data, x.Row(i)...)
			double.Rows++
		}
	}
	a, err := Fit(context.Background(), RowsOf(x), weights, DefaultParams(3))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Fit(context.Background(), RowsOf(double), nil, DefaultParams(3))
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(a.Inertia-b.Inertia) > 1e-9*b.Inertia {
		t.Errorf("inertia %g with weights, %g with repeated rows", a.Inertia, b.Inertia)
	}
}

func BenchmarkLloyd(b *testing.B) {
	x := clouds(15, 20000, 128, 300, 0.5, 1)
	for _, plain := range []bool{true, false} {
		b.Run(fmt.Sprintf("rows=%d/dim=%d/k=256/plain=%v", x.Rows, x.Cols, plain), func(b *testing.B) {
			var l *lloyd
			for b.Loop() {
				l = lloydFit(b, RowsOf(x), 256, 0, true, plain)
			}
			inertia, err := l.inertia(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(inertia/float64(x.Rows), "inertia/row")
			b.ReportMetric(float64(l.iters), "iterations")
		})
	}
}
