package rqkmeans_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/persist"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// blobs is rows around centers random points.
func blobs(seed uint64, rows, cols, centers int) core.Matrix {
	rng := rand.New(rand.NewPCG(seed, 0))
	mid := core.NewMatrix(centers, cols)
	for i := range mid.Data {
		mid.Data[i] = float32(rng.NormFloat64())
	}
	x := core.NewMatrix(rows, cols)
	for i := range rows {
		for j := range cols {
			x.Row(i)[j] = mid.Row(i % centers)[j] + 0.2*float32(rng.NormFloat64())
		}
	}
	return x
}

func Example() {
	x := blobs(1, 300, 8, 5)
	model, codes, _, err := rqkmeans.Fit(context.Background(), x, nil, rqkmeans.DefaultParams(2, 5))
	if err != nil {
		fmt.Println(err)
		return
	}
	again := core.NewCodes(x.Rows, 2)
	if err := model.Encode(context.Background(), x, again); err != nil {
		fmt.Println(err)
		return
	}
	ids := format.Plain(again, "-")
	fmt.Println(len(ids), "ids; training codes found again:", slices.Equal(codes.Data, again.Data))
	fmt.Println("rows 0 and 5, of one blob, share their first code:", codes.Row(0)[0] == codes.Row(5)[0])
	// Output:
	// 300 ids; training codes found again: true
	// rows 0 and 5, of one blob, share their first code: true
}

// TestEncodeIsTheDefinition compares codes with the definition worked out naively.
func TestEncodeIsTheDefinition(t *testing.T) {
	for _, metric := range []core.Metric{core.L2, core.Cosine} {
		x := blobs(2, 700, 19, 7)
		p := rqkmeans.Params{Clusters: []int{7, 3, 12}, Metric: metric, MaxIter: 10, Tol: 1e-4, Restarts: 1}
		m, _, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		codes := core.NewCodes(x.Rows, 3)
		if err := m.Encode(context.Background(), x, codes); err != nil {
			t.Fatal(err)
		}
		for i := range x.Rows {
			r := slices.Clone(x.Row(i))
			if metric == core.Cosine {
				var s float64
				for _, v := range r {
					s += float64(float64(v) * float64(v))
				}
				for j, v := range r {
					r[j] = float32(float64(v) / math.Sqrt(s))
				}
			}
			for l, book := range m.Books() {
				best, code := math.Inf(1), 0
				for k := range book.Rows {
					var d float64
					for j, v := range r {
						e := float64(v) - float64(book.Row(k)[j])
						d += float64(e * e)
					}
					if d < best {
						best, code = d, k
					}
				}
				if int(codes.Row(i)[l]) != code {
					t.Fatalf("%v: row %d, level %d: code %d, the definition says %d", metric, i, l, codes.Row(i)[l], code)
				}
				for j := range r {
					r[j] -= book.Row(code)[j]
				}
			}
		}
	}
}

func TestSameOnAnyThreadsAndBatches(t *testing.T) {
	x := blobs(3, 2000, 33, 20)
	p := rqkmeans.DefaultParams(3, 20)
	p.Seed = 7
	defer par.SetThreads(0)
	par.SetThreads(1)
	want, wantCodes, wantLevels, err := rqkmeans.Fit(context.Background(), x, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{2, 5} {
		par.SetThreads(threads)
		got, codes, levels, err := rqkmeans.Fit(context.Background(), x, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		for l := range want.Books() {
			if !slices.Equal(got.Books()[l].Data, want.Books()[l].Data) {
				t.Errorf("%d threads: other codebook at level %d", threads, l)
			}
		}
		if !slices.Equal(codes.Data, wantCodes.Data) || !slices.Equal(levels, wantLevels) {
			t.Errorf("%d threads: other codes or account", threads)
		}
		for _, batch := range []int{1, 7, 100000} {
			again := core.NewCodes(x.Rows, 3)
			if err := got.EncodeBlocks(context.Background(), x, again, batch, nil); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(again.Data, wantCodes.Data) {
				t.Errorf("%d threads, batch %d: encode differs from the codes of fit", threads, batch)
			}
		}
	}
	p.Seed = 8
	if other, _, _, _ := rqkmeans.Fit(context.Background(), x, nil, p); slices.Equal(other.Books()[0].Data, want.Books()[0].Data) {
		t.Error("another seed gave the same codebook")
	}
}

func TestDecodeIsTheSumOfCentroids(t *testing.T) {
	books := []core.Matrix{{Rows: 2, Cols: 2, Data: []float32{1, 2, 3, 4}}, {Rows: 1, Cols: 2, Data: []float32{0.5, -1}}}
	m, err := rqkmeans.New(books, core.L2)
	if err != nil {
		t.Fatal(err)
	}
	out := core.NewMatrix(2, 2)
	if err := m.Decode(core.Codes{Rows: 2, Levels: 2, Data: []int32{1, 0, 0, 0}}, out); err != nil {
		t.Fatal(err)
	}
	if want := []float32{3.5, 3, 1.5, 1}; !slices.Equal(out.Data, want) {
		t.Errorf("got %v, want %v", out.Data, want)
	}
	for _, bad := range [][]int32{{2, 0, 0, 0}, {0, 0, 0, -1}} {
		if err := m.Decode(core.Codes{Rows: 2, Levels: 2, Data: bad}, out); !errors.Is(err, core.ErrCode) {
			t.Errorf("codes %v: got error %v, want ErrCode", bad, err)
		}
	}
}

func TestConcurrentEncodes(t *testing.T) {
	x := blobs(4, 600, 16, 9)
	m, want, _, err := rqkmeans.Fit(context.Background(), x, nil, rqkmeans.DefaultParams(2, 9))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got := core.NewCodes(x.Rows, 2)
			if err := m.Encode(context.Background(), x, got); err != nil {
				t.Error(err)
			}
			if !slices.Equal(got.Data, want.Data) {
				t.Error("a concurrent encode gave other codes")
			}
		})
	}
	wg.Wait()
}

func TestSaveAndLoad(t *testing.T) {
	x := blobs(8, 200, 6, 5)
	p := rqkmeans.Params{Clusters: []int{5, 3}, Metric: core.Cosine, MaxIter: 7, Tol: 0, Restarts: 2, Seed: 11}
	m, want, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/model"
	for range 2 { // the second time over the first
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		if m, err = rqkmeans.Load(dir); err != nil {
			t.Fatal(err)
		}
	}
	got := core.NewCodes(x.Rows, 2)
	if err := m.Encode(context.Background(), x, got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Data, want.Data) || m.Metric() != core.Cosine {
		t.Error("the loaded model encodes differently")
	}
	file, err := persist.LoadRQKMeans(dir)
	if err != nil {
		t.Fatal(err)
	}
	if file.MaxIter != 7 || file.Tol != 0 || *file.NInit != 2 || *file.RandomState != 11 {
		t.Errorf("settings were lost: %+v", file)
	}
}

func TestCancelAndProgress(t *testing.T) {
	x := blobs(5, 3000, 16, 40)
	ctx, cancel := context.WithCancel(context.Background())
	p := rqkmeans.DefaultParams(3, 40)
	var seen [][2]int
	p.Progress = func(level, done int) {
		if seen = append(seen, [2]int{level, done}); level == 1 {
			cancel()
		}
	}
	_, _, _, err := rqkmeans.Fit(ctx, x, nil, p)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v, want Canceled", err)
	}
	if last := seen[len(seen)-1]; last != [2]int{1, 1} {
		t.Errorf("the last progress was level %d, step %d; want level 1, step 1", last[0], last[1])
	}
	if err := (&rqkmeans.Model{}).Encode(ctx, x, core.Codes{}); err == nil {
		t.Error("encoding with an empty model gave no error")
	}
}

func TestBadInput(t *testing.T) {
	x := blobs(6, 10, 3, 2)
	nan := blobs(6, 10, 3, 2)
	nan.Row(7)[1] = float32(math.NaN())
	zero := blobs(6, 10, 3, 2)
	clear(zero.Row(4))
	good := rqkmeans.DefaultParams(2, 2)
	with := func(change func(*rqkmeans.Params)) rqkmeans.Params {
		p := rqkmeans.DefaultParams(2, 2)
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		x       core.Matrix
		weights []float64
		p       rqkmeans.Params
		want    error
	}{
		"no levels":      {x, nil, rqkmeans.DefaultParams(0, 2), core.ErrParam},
		"K over N":       {x, nil, rqkmeans.DefaultParams(2, 11), core.ErrParam},
		"K 0":            {x, nil, rqkmeans.DefaultParams(2, 0), core.ErrParam},
		"no iterations":  {x, nil, with(func(p *rqkmeans.Params) { p.MaxIter = 0 }), core.ErrParam},
		"tol NaN":        {x, nil, with(func(p *rqkmeans.Params) { p.Tol = math.NaN() }), core.ErrParam},
		"no restarts":    {x, nil, with(func(p *rqkmeans.Params) { p.Restarts = 0 }), core.ErrParam},
		"metric":         {x, nil, with(func(p *rqkmeans.Params) { p.Metric = 9 }), core.ErrParam},
		"NaN":            {nan, nil, good, core.ErrNotFinite},
		"zero row":       {zero, nil, with(func(p *rqkmeans.Params) { p.Metric = core.Cosine }), core.ErrZeroRow},
		"no rows":        {core.Matrix{Cols: 3}, nil, good, core.ErrShape},
		"weights short":  {x, []float64{1}, good, core.ErrShape},
		"weights below":  {x, []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, -1}, good, core.ErrParam},
		"weights all 0":  {x, make([]float64, 10), good, core.ErrParam},
		"data too short": {core.Matrix{Rows: 10, Cols: 3, Data: make([]float32, 29)}, nil, good, core.ErrShape},
	} {
		if _, _, _, err := rqkmeans.Fit(context.Background(), c.x, c.weights, c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
	m, _, _, err := rqkmeans.Fit(context.Background(), x, nil, good)
	if err != nil {
		t.Fatal(err)
	}
	codes := core.NewCodes(10, 2)
	if err := m.Encode(context.Background(), nan, codes); !errors.Is(err, core.ErrNotFinite) {
		t.Errorf("encoding NaN: got error %v", err)
	}
	if err := m.Encode(context.Background(), core.NewMatrix(10, 4), codes); !errors.Is(err, core.ErrShape) {
		t.Errorf("encoding rows of another width: got error %v", err)
	}
}
