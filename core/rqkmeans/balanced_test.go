package rqkmeans_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/persist"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
	"github.com/semantic-id/semantic-id/core/transport"
)

// leftOver is, for each level, the sum of the squared distances between what the levels before left over and the centroids
// of the codes, worked out naively.
func leftOver(x core.Matrix, metric core.Metric, codes core.Codes, books []core.Matrix) []float64 {
	sums := make([]float64, len(books))
	for i := range x.Rows {
		row := slices.Clone(x.Row(i))
		if metric == core.Cosine {
			var norm float64
			for _, v := range row {
				norm += float64(v) * float64(v)
			}
			for c := range row {
				row[c] = float32(float64(row[c]) / math.Sqrt(norm))
			}
		}
		for l, book := range books {
			for c, v := range book.Row(int(codes.Row(i)[l])) {
				e := float64(row[c]) - float64(v)
				sums[l] += e * e
				row[c] -= v
			}
		}
	}
	return sums
}

// checkBalanced wants codes that are used equally often, to within one, and certificates of what they leave.
func checkBalanced(t *testing.T, x core.Matrix, metric core.Metric, codes core.Codes, books []core.Matrix, proofs []rqkmeans.Certificate) {
	t.Helper()
	sums := leftOver(x, metric, codes, books)
	for l, book := range books {
		counts := make([]int, book.Rows)
		for i := range x.Rows {
			counts[codes.Row(i)[l]]++
		}
		if least, most := slices.Min(counts), slices.Max(counts); most-least > 1 {
			t.Errorf("level %d: a code is used %d times, another %d times", l, least, most)
		}
		p := proofs[l]
		if !(math.Abs(p.Primal-sums[l]) <= 1e-9*sums[l]) || !(p.Gap >= 0 && p.Gap <= transport.MaxGap) || !(p.Primal-p.Dual <= 1e-9*p.Primal) {
			t.Errorf("level %d: %+v, the codes leave %g", l, p, sums[l])
		}
	}
}

func TestBalanced(t *testing.T) {
	for _, c := range []struct {
		rows, cols, centers int
		clusters            []int
	}{
		{500, 7, 5, []int{12, 5, 40}},
		{700, 33, 60, []int{16, 16, 16}},
		{60, 4, 60, []int{60, 1, 7}},
		{300, 3, 2, []int{30, 30}},
	} {
		for _, metric := range []core.Metric{core.L2, core.Cosine} {
			t.Run(fmt.Sprintf("%dx%d/%v", c.rows, c.cols, metric), func(t *testing.T) {
				x := blobs(31, c.rows, c.cols, c.centers)
				p := rqkmeans.Params{Clusters: c.clusters, Metric: metric, MaxIter: 40, Tol: 1e-5, Restarts: 1, Seed: 2, Balanced: true}
				m, codes, levels, err := rqkmeans.Fit(context.Background(), x, nil, p)
				if err != nil {
					t.Fatal(err)
				}
				proofs := make([]rqkmeans.Certificate, len(levels))
				for l, a := range levels {
					if proofs[l] = a.Certificate; a.Inertia != a.Certificate.Primal {
						t.Errorf("level %d: inertia %g, certificate %+v", l, a.Inertia, a.Certificate)
					}
				}
				checkBalanced(t, x, metric, codes, m.Books(), proofs)

				again := core.NewCodes(x.Rows, len(c.clusters))
				done := 0
				proofs, err = m.EncodeBalanced(context.Background(), x, again, false, func(levels int) { done = levels })
				if err != nil || done != len(c.clusters) {
					t.Fatalf("error %v after %d levels", err, done)
				}
				checkBalanced(t, x, metric, again, m.Books(), proofs)
				if d := proofs[0].Primal - levels[0].Inertia; math.Abs(d) > 1e-9*levels[0].Inertia {
					t.Errorf("level 0 is encoded at %g, and was fitted to %g", proofs[0].Primal, levels[0].Inertia)
				}
				nearest := core.NewCodes(x.Rows, len(c.clusters))
				if err := m.Encode(context.Background(), x, nearest); err != nil {
					t.Fatal(err)
				}
				if free := leftOver(x, metric, nearest, m.Books())[0]; proofs[0].Primal < free*(1-1e-12) {
					t.Errorf("balanced codes leave %g, the nearest centroids %g", proofs[0].Primal, free)
				}

				p.Recompute = true
				lean, leanCodes, leanLevels, err := rqkmeans.Fit(context.Background(), x, nil, p)
				if err != nil || !slices.Equal(leanCodes.Data, codes.Data) || !slices.Equal(leanLevels, levels) {
					t.Errorf("recomputed: error %v, other codes or account", err)
				}
				if _, err := lean.EncodeBalanced(context.Background(), x, leanCodes, true, nil); err != nil || !slices.Equal(leanCodes.Data, again.Data) {
					t.Errorf("recomputed: error %v, or other codes", err)
				}
			})
		}
	}
}

// TestEncodeBalancedBatch encodes rows that were not fitted, also fewer than there are centroids.
func TestEncodeBalancedBatch(t *testing.T) {
	m, _, _, err := rqkmeans.Fit(context.Background(), blobs(32, 900, 10, 12), nil, rqkmeans.DefaultParams(3, 24))
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 5, 24, 100, 777} {
		x := blobs(33, rows, 10, 12)
		codes := core.NewCodes(rows, 3)
		proofs, err := m.EncodeBalanced(context.Background(), x, codes, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkBalanced(t, x, core.L2, codes, m.Books(), proofs)
	}
}

func TestBalancedSameOnAnyThreads(t *testing.T) {
	defer par.SetThreads(0)
	x := blobs(34, 1200, 20, 30)
	p := rqkmeans.DefaultParams(3, 25)
	p.Balanced = true
	var want, wantEncoded core.Codes
	cputest.EachLevel(t, func(t *testing.T) {
		for _, threads := range []int{1, 2, 5} {
			par.SetThreads(threads)
			m, codes, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
			if err != nil {
				t.Fatal(err)
			}
			encoded := core.NewCodes(x.Rows, 3)
			if _, err := m.EncodeBalanced(context.Background(), x, encoded, false, nil); err != nil {
				t.Fatal(err)
			}
			if want.Data == nil {
				want, wantEncoded = codes, encoded
			}
			if !slices.Equal(codes.Data, want.Data) || !slices.Equal(encoded.Data, wantEncoded.Data) {
				t.Errorf("%d threads: other codes", threads)
			}
		}
	})
}

func TestBalancedSaveAndLoad(t *testing.T) {
	x := blobs(35, 200, 6, 5)
	p := rqkmeans.DefaultParams(2, 9)
	p.Balanced = true
	m, _, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/model"
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	file, err := persist.LoadRQKMeans(dir)
	if err != nil || file.Implementation != "constrained" {
		t.Fatalf("error %v, implementation %q", err, file.Implementation)
	}
	loaded, err := rqkmeans.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, got := core.NewCodes(x.Rows, 2), core.NewCodes(x.Rows, 2)
	_, err1 := m.EncodeBalanced(context.Background(), x, want, false, nil)
	_, err2 := loaded.EncodeBalanced(context.Background(), x, got, false, nil)
	if err1 != nil || err2 != nil || !slices.Equal(got.Data, want.Data) {
		t.Errorf("errors %v, %v; or the loaded model gives other codes", err1, err2)
	}
}

func TestBalancedBadInput(t *testing.T) {
	x := blobs(36, 50, 3, 2)
	nan := blobs(36, 50, 3, 2)
	nan.Row(7)[1] = float32(math.NaN())
	zero := blobs(36, 50, 3, 2)
	clear(zero.Row(4))
	p := rqkmeans.DefaultParams(2, 6)
	p.Balanced = true
	if _, _, _, err := rqkmeans.Fit(context.Background(), x, slices.Repeat([]float64{1}, 50), p); !errors.Is(err, core.ErrParam) {
		t.Errorf("weights: error %v", err)
	}
	if _, _, _, err := rqkmeans.Fit(context.Background(), nan, nil, p); !errors.Is(err, core.ErrNotFinite) {
		t.Errorf("NaN: error %v", err)
	}
	if _, _, _, err := rqkmeans.Fit(context.Background(), x, nil, rqkmeans.Params{Clusters: []int{51}, MaxIter: 1, Restarts: 1, Balanced: true}); !errors.Is(err, core.ErrParam) {
		t.Errorf("K over N: error %v", err)
	}
	p.Metric = core.Cosine
	m, _, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		x    core.Matrix
		rows int // of codes
		want error
	}{
		"NaN":      {context.Background(), nan, 50, core.ErrNotFinite},
		"zero row": {context.Background(), zero, 50, core.ErrZeroRow},
		"width":    {context.Background(), core.NewMatrix(50, 4), 50, core.ErrShape},
		"room":     {context.Background(), x, 49, core.ErrShape},
		"canceled": {canceled, x, 50, context.Canceled},
	} {
		if _, err := m.EncodeBalanced(c.ctx, c.x, core.NewCodes(c.rows, 2), false, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestBalancedStops(t *testing.T) {
	x := blobs(37, 3000, 16, 40)
	ctx, cancel := context.WithCancel(context.Background())
	p := rqkmeans.DefaultParams(3, 40)
	p.Balanced = true
	p.Progress = func(level, done int) {
		if level == 1 && done == 2 {
			cancel()
		}
	}
	if _, _, _, err := rqkmeans.Fit(ctx, x, nil, p); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled", err)
	}
}
