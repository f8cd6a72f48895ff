package rqkmeans_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// decodeError is the weighted sum of the squared distances between rows and what their codes decode to, worked out anew.
func decodeError(t *testing.T, m *rqkmeans.Model, x core.Matrix, weights []float64, beam int) float64 {
	t.Helper()
	decoded := core.NewMatrix(x.Rows, x.Cols)
	if err := m.Decode(encodeBeam(t, m, x, beam, 0), decoded); err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i := range x.Rows {
		norm, w := 1.0, 1.0
		if m.Metric() == core.Cosine {
			norm = math.Sqrt(remains(x.Row(i), nil, nil))
		}
		if weights != nil {
			w = weights[i]
		}
		for j, v := range x.Row(i) {
			d := float64(float32(float64(v)/norm)) - float64(decoded.Row(i)[j])
			sum += w * d * d
		}
	}
	return sum
}

func TestRefineLowersTheError(t *testing.T) {
	x := blobs(100, 1500, 24, 200)
	weights := make([]float64, x.Rows)
	for i := range weights {
		weights[i] = float64(i % 3)
	}
	for _, metric := range []core.Metric{core.L2, core.Cosine} {
		for _, weights := range [][]float64{nil, weights} {
			p := rqkmeans.Params{Clusters: []int{24, 30, 16}, Metric: metric, MaxIter: 30, Tol: 1e-4, Restarts: 1}
			m, _, _, err := rqkmeans.Fit(context.Background(), x, weights, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, beam := range []int{1, 4} {
				refined, account, err := m.Refine(context.Background(), x, weights, rqkmeans.DefaultRefineParams(beam))
				if err != nil {
					t.Fatal(err)
				}
				errs := account.Errors
				before, after := decodeError(t, m, x, weights, beam), decodeError(t, refined, x, weights, beam)
				if math.Abs(errs[0]-before) > 1e-9*before || math.Abs(errs[len(errs)-1]-after) > 1e-9*after {
					t.Errorf("%v, beam %d: errors from %g to %g, they are %g and %g", metric, beam, errs[0], errs[len(errs)-1], before, after)
				}
				for i, e := range errs[1:] {
					if !(e <= errs[i]) {
						t.Errorf("%v, beam %d: the errors rise: %v", metric, beam, errs)
					}
				}
				if !(after < 0.97*before) {
					t.Errorf("%v, beam %d: the error came from %g to %g only", metric, beam, before, after)
				}
				if last := account.Inertia[2]; last != errs[len(errs)-1] || !(account.Inertia[0] > account.Inertia[1] && account.Inertia[1] > last) {
					t.Errorf("%v, beam %d: inertia %v, errors %v", metric, beam, account.Inertia, errs)
				}
				if refined.Metric() != metric {
					t.Errorf("the metric became %v", refined.Metric())
				}
			}
		}
	}
}

func TestRefineSameEverywhere(t *testing.T) {
	x := blobs(101, 1100, 70, 150)
	fitted, _, _, err := rqkmeans.Fit(context.Background(), x, nil, rqkmeans.Params{Clusters: []int{20, 30}, MaxIter: 5, Restarts: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, beam := range []int{1, 3} {
		var want *rqkmeans.Model
		var wantAccount rqkmeans.Refined
		cputest.EachLevel(t, func(t *testing.T) {
			m := model(t, core.L2, fitted.Books()...)
			defer par.SetThreads(0)
			for _, threads := range []int{1, 3} {
				par.SetThreads(threads)
				p := rqkmeans.DefaultRefineParams(beam)
				p.MaxIter, p.Seed = 12, 5
				got, account, err := m.Refine(context.Background(), x, nil, p)
				if err != nil {
					t.Fatal(err)
				}
				if want == nil {
					want, wantAccount = got, account
				}
				if !slices.Equal(account.Errors, wantAccount.Errors) || !slices.Equal(account.Inertia, wantAccount.Inertia) {
					t.Errorf("beam %d, %d threads: another account", beam, threads)
				}
				for l, b := range got.Books() {
					if !slices.Equal(b.Data, want.Books()[l].Data) {
						t.Errorf("beam %d, %d threads: another codebook at level %d", beam, threads, l)
					}
				}
			}
		})
	}
}

// TestRefineLeavesOut: rows of weight 0 change nothing, nor do centroids change that no row needs.
func TestRefineLeavesOut(t *testing.T) {
	x := normals(102, 400, 9, 1)
	far := normals(103, 8, 9, 1)
	for j := range far.Row(5) {
		far.Row(5)[j] = 1000
	}
	m := model(t, core.L2, far, normals(104, 8, 9, 0.5))
	refine := func(rows int, weights []float64) *rqkmeans.Model {
		got, account, err := m.Refine(context.Background(), x.Slice(0, rows), weights, rqkmeans.DefaultRefineParams(2))
		if err != nil {
			t.Fatal(err)
		}
		if len(account.Errors) < 3 {
			t.Errorf("nothing was refined: %v", account.Errors)
		}
		return got
	}
	weights := make([]float64, 400)
	for i := range 300 {
		weights[i] = 1
	}
	want, got := refine(300, nil), refine(400, weights)
	for l, b := range got.Books() {
		if !slices.Equal(b.Data, want.Books()[l].Data) {
			t.Errorf("rows of weight 0 changed level %d", l)
		}
	}
	if !slices.Equal(want.Books()[0].Row(5), far.Row(5)) {
		t.Error("a centroid that no row names has moved")
	}
	if slices.Equal(want.Books()[0].Row(4), far.Row(4)) && slices.Equal(want.Books()[0].Row(3), far.Row(3)) {
		t.Error("no other centroid has")
	}
	if far.Row(5)[0] != 1000 || m.Books()[0].Row(5)[0] != 1000 {
		t.Error("the model refined was changed")
	}
}

func TestRefineWhatCannotBeBetter(t *testing.T) {
	x := core.Matrix{Rows: 4, Cols: 1, Data: []float32{0, 1, 8, 9}}
	m := model(t, core.L2, core.Matrix{Rows: 2, Cols: 1, Data: []float32{0, 8}}, core.Matrix{Rows: 2, Cols: 1, Data: []float32{0, 1}})
	for _, beam := range []int{1, 2} {
		got, account, err := m.Refine(context.Background(), x, nil, rqkmeans.DefaultRefineParams(beam))
		if err != nil {
			t.Fatal(err)
		}
		if !account.Converged || slices.Max(account.Errors) != 0 {
			t.Errorf("beam %d: converged %v, errors %v, want none", beam, account.Converged, account.Errors)
		}
		if !slices.Equal(got.Books()[0].Data, m.Books()[0].Data) {
			t.Errorf("beam %d: codebooks without error have changed", beam)
		}
	}
}

func TestRefineErrors(t *testing.T) {
	x := normals(110, 600, 4, 1)
	m := model(t, core.Cosine, normals(111, 9, 4, 1), normals(112, 9, 4, 1))
	nan, zero := normals(110, 600, 4, 1), normals(110, 600, 4, 1)
	nan.Row(300)[2] = float32(math.NaN())
	clear(zero.Row(400))
	good := rqkmeans.DefaultRefineParams(2)
	with := func(change func(*rqkmeans.RefineParams)) rqkmeans.RefineParams {
		p := good
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		x       core.Matrix
		weights []float64
		p       rqkmeans.RefineParams
		want    error
		words   string
	}{
		"beam 0":        {x, nil, rqkmeans.DefaultRefineParams(0), core.ErrParam, "beam is 0"},
		"no iterations": {x, nil, with(func(p *rqkmeans.RefineParams) { p.MaxIter = 0 }), core.ErrParam, "MaxIter is 0"},
		"tol":           {x, nil, with(func(p *rqkmeans.RefineParams) { p.Tol = math.NaN() }), core.ErrParam, "Tol is NaN"},
		"width":         {core.NewMatrix(600, 5), nil, good, core.ErrShape, "5 columns"},
		"no rows":       {core.Matrix{Cols: 4}, nil, good, core.ErrShape, "0 rows"},
		"weights":       {x, make([]float64, 599), good, core.ErrShape, "599 weights"},
		"all weights 0": {x, make([]float64, 600), good, core.ErrParam, "sum to 0"},
		"NaN":           {nan, nil, good, core.ErrNotFinite, "row 300"},
		"zero row":      {zero, nil, good, core.ErrZeroRow, "row 400"},
	} {
		if _, _, err := m.Refine(context.Background(), c.x, c.weights, c.p); !errors.Is(err, c.want) || !contains(err, c.words) {
			t.Errorf("%s: got error %v, want %v with the words %q", name, err, c.want, c.words)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	last := 0
	p := good
	p.Progress = func(done int) {
		if last = done; done == 3 {
			cancel()
		}
	}
	if _, _, err := m.Refine(ctx, x, nil, p); !errors.Is(err, context.Canceled) || last != 3 {
		t.Errorf("canceled at the third encoding: got error %v after %d", err, last)
	}
}
