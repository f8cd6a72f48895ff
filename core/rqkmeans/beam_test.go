package rqkmeans_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// prefix is the start of a code, what it leaves of the row, and its defined distance.
type prefix struct {
	codes    []int32
	residual []float32
	distance float64
}

// beamOracle is the definition of a beam's code, worked out naively.
func beamOracle(row []float32, books []core.Matrix, beam int) []int32 {
	kept := []prefix{{residual: row}}
	for _, book := range books {
		var all []prefix
		for _, p := range kept {
			for k := range book.Rows {
				if slices.ContainsFunc(seq(k), func(j int) bool { return slices.Equal(book.Row(j), book.Row(k)) }) {
					continue // a copy
				}
				next := prefix{codes: append(slices.Clone(p.codes), int32(k)), residual: slices.Clone(p.residual)}
				for i, c := range book.Row(k) {
					e := float64(p.residual[i]) - float64(c)
					next.distance += float64(e * e)
					next.residual[i] -= c
				}
				if !(next.distance < math.Inf(1)) {
					next.distance = math.Inf(1)
				}
				all = append(all, next)
			}
		}
		slices.SortFunc(all, func(a, b prefix) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), slices.Compare(a.codes, b.codes))
		})
		kept = all[:min(beam, len(all))]
	}
	return kept[0].codes
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func encodeBeam(t *testing.T, m *rqkmeans.Model, x core.Matrix, beam, batch int) core.Codes {
	t.Helper()
	codes := core.NewCodes(x.Rows, len(m.Clusters()))
	if err := m.EncodeBeam(context.Background(), x, codes, beam, batch, nil); err != nil {
		t.Fatal(err)
	}
	return codes
}

func model(t *testing.T, metric core.Metric, books ...core.Matrix) *rqkmeans.Model {
	t.Helper()
	m, err := rqkmeans.New(books, metric)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// normals is rows of normal deviates, times scale.
func normals(seed uint64, rows, cols int, scale float64) core.Matrix {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := core.NewMatrix(rows, cols)
	for i := range x.Data {
		x.Data[i] = float32(scale * rng.NormFloat64())
	}
	return x
}

// few is rows of few distinct numbers, whose sums float32 holds exactly: distances that are equal, or nearly.
func few(seed uint64, rows, cols int) core.Matrix {
	rng := rand.New(rand.NewPCG(seed, 2))
	x := core.NewMatrix(rows, cols)
	for i := range x.Data {
		x.Data[i] = float32(rng.IntN(3) - 1)
	}
	return x
}

func TestBeamIsTheDefinition(t *testing.T) {
	shift := func(m core.Matrix, by float32) core.Matrix {
		for i := range m.Data {
			m.Data[i] += by
		}
		return m
	}
	nudge := func(m core.Matrix) core.Matrix { // apart by single roundings
		for i := range m.Data {
			if i%5 == 0 {
				m.Data[i] = math.Nextafter32(m.Data[i], float32(i%2)*4-2)
			}
		}
		return m
	}
	copied := normals(30, 40, 6, 1)
	copy(copied.Row(17), copied.Row(3))
	copy(copied.Row(39), copied.Row(3))
	twins := nudge(few(31, 24, 5))
	for i := range 12 {
		copy(twins.Row(2*i+1), twins.Row(2*i))
		twins.Row(2*i + 1)[0] = math.Nextafter32(twins.Row(2*i + 1)[0], 9)
	}
	cases := map[string]struct {
		x     core.Matrix
		books []core.Matrix
	}{
		"normal":        {normals(1, 40, 19, 1), []core.Matrix{normals(2, 33, 19, 0.8), normals(3, 7, 19, 0.5), normals(4, 70, 19, 0.4)}},
		"one column":    {normals(5, 30, 1, 1), []core.Matrix{normals(6, 9, 1, 1), normals(7, 11, 1, 0.2)}},
		"one level":     {normals(8, 30, 12, 1), []core.Matrix{normals(9, 50, 12, 1)}},
		"ties":          {few(10, 40, 6), []core.Matrix{few(11, 30, 6), few(12, 40, 6), few(13, 20, 6)}},
		"near ties":     {nudge(few(14, 40, 6)), []core.Matrix{nudge(few(15, 30, 6)), nudge(few(16, 40, 6)), nudge(few(17, 20, 6))}},
		"twins":         {few(18, 40, 5), []core.Matrix{few(19, 9, 5), twins, few(20, 9, 5)}},
		"copies":        {normals(21, 20, 6, 1), []core.Matrix{copied, copied, normals(22, 3, 6, 1)}},
		"far":           {shift(normals(23, 30, 8, 1), 3000), []core.Matrix{shift(normals(24, 40, 8, 1), 3000), normals(25, 40, 8, 0.5)}},
		"zeros":         {core.NewMatrix(3, 4), []core.Matrix{core.NewMatrix(5, 4), core.NewMatrix(2, 4), few(26, 5, 4)}},
		"tiny":          {normals(27, 20, 5, 1e-42), []core.Matrix{normals(28, 9, 5, 1e-42), normals(29, 9, 5, 1e-42)}},
		"huge":          {normals(30, 20, 5, 1e30), []core.Matrix{normals(31, 9, 5, 1e30), normals(32, 9, 5, 1e30)}},
		"overflow":      {normals(33, 20, 5, 1e38), []core.Matrix{normals(34, 9, 5, 1e38), normals(35, 9, 5, 1e38)}},
		"single":        {normals(36, 20, 5, 1), []core.Matrix{normals(37, 1, 5, 1), normals(38, 1, 5, 1), normals(39, 6, 5, 1)}},
		"many levels":   {normals(40, 10, 4, 1), repeat(20, func(l uint64) core.Matrix { return normals(50+l, 3, 4, 1/float64(l+1)) })},
		"many columns":  {normals(41, 9, 300, 1), []core.Matrix{normals(42, 20, 300, 0.7), normals(43, 35, 300, 0.3)}},
		"large, few":    {few(44, 30, 40), []core.Matrix{few(45, 130, 40), few(46, 64, 40)}},
		"scaled, apart": {normals(47, 20, 7, 1e4), []core.Matrix{normals(48, 12, 7, 1e4), normals(49, 12, 7, 1e-3), normals(50, 12, 7, 1e3)}},
	}
	beams := []int{1, 2, 5, 33, 200}
	want := map[string][][]int32{} // by case, and then by beam and row
	for name, c := range cases {
		for _, beam := range beams {
			for i := range c.x.Rows {
				want[name] = append(want[name], beamOracle(c.x.Row(i), c.books, beam))
			}
		}
	}
	cputest.EachLevel(t, func(t *testing.T) {
		for name, c := range cases {
			for _, from := range []string{"tables", "residuals"} {
				m := model(t, core.L2, c.books...)
				if from == "residuals" {
					m.WithoutTables()
				}
				for b, beam := range beams {
					got := encodeBeam(t, m, c.x, beam, 0)
					for i := range c.x.Rows {
						if want := want[name][b*c.x.Rows+i]; !slices.Equal(got.Row(i), want) {
							t.Errorf("%s, from %s, beam %d, row %d: codes %v, the definition says %v", name, from, beam, i, got.Row(i), want)
							break
						}
					}
				}
			}
		}
	})
}

func repeat(n uint64, f func(uint64) core.Matrix) []core.Matrix {
	var all []core.Matrix
	for i := range n {
		all = append(all, f(i))
	}
	return all
}

// TestBeamOfAllFindsTheOptimum: a beam that drops nothing tries every code.
func TestBeamOfAllFindsTheOptimum(t *testing.T) {
	x := normals(60, 50, 3, 1)
	books := []core.Matrix{normals(61, 5, 3, 1), normals(62, 4, 3, 0.7), normals(63, 6, 3, 0.5)}
	m := model(t, core.L2, books...)
	codes := encodeBeam(t, m, x, 5*4*6, 0)
	greedy := encodeBeam(t, m, x, 1, 0)
	better := 0
	for i := range x.Rows {
		best := math.Inf(1)
		for j := range 120 {
			best = min(best, remains(x.Row(i), books, []int32{int32(j / 24), int32(j / 6 % 4), int32(j % 6)}))
		}
		got := remains(x.Row(i), books, codes.Row(i))
		if got > best*(1+1e-6) {
			t.Errorf("row %d: distance %g, the least is %g", i, got, best)
		}
		if got < remains(x.Row(i), books, greedy.Row(i))*(1-1e-6) {
			better++
		}
	}
	if better == 0 {
		t.Error("no row is better off than with a beam of 1")
	}
}

// remains is the squared distance of a row to what a code stands for.
func remains(row []float32, books []core.Matrix, code []int32) float64 {
	var d float64
	for i, v := range row {
		e := float64(v)
		for l, k := range code {
			e -= float64(books[l].Row(int(k))[i])
		}
		d += e * e
	}
	return d
}

// TestBeamSameEverywhere: fitted codebooks, both metrics, and every way to call.
func TestBeamSameEverywhere(t *testing.T) {
	x := blobs(70, 1500, 40, 60)
	for _, metric := range []core.Metric{core.L2, core.Cosine} {
		p := rqkmeans.Params{Clusters: []int{40, 64, 20}, Metric: metric, MaxIter: 10, Tol: 1e-4, Restarts: 1}
		fitted, _, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		var want core.Codes
		cputest.EachLevel(t, func(t *testing.T) {
			m := model(t, metric, fitted.Books()...)
			one := core.NewCodes(x.Rows, 3)
			if err := m.Encode(context.Background(), x, one); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(encodeBeam(t, m, x, 1, 0).Data, one.Data) {
				t.Error("a beam of 1 differs from Encode")
			}
			defer par.SetThreads(0)
			for _, c := range [][2]int{{1, 0}, {2, 1}, {3, 7}, {2, 100000}} {
				par.SetThreads(c[0])
				got := encodeBeam(t, m, x, 6, c[1])
				if want.Data == nil {
					want = got
				}
				if !slices.Equal(got.Data, want.Data) {
					t.Errorf("%v, %d threads, batch %d: other codes", metric, c[0], c[1])
				}
			}
		})
		if greedy := encodeBeam(t, fitted, x, 1, 0); slices.Equal(greedy.Data, want.Data) {
			t.Errorf("%v: a beam of 6 changed nothing", metric)
		}
		for i := range 50 {
			row := slices.Clone(x.Row(i))
			if metric == core.Cosine {
				var s float64
				for _, v := range row {
					s += float64(float64(v) * float64(v))
				}
				for j, v := range row {
					row[j] = float32(float64(v) / math.Sqrt(s))
				}
			}
			if code := beamOracle(row, fitted.Books(), 6); !slices.Equal(want.Row(i), code) {
				t.Fatalf("%v, row %d: codes %v, the definition says %v", metric, i, want.Row(i), code)
			}
		}
	}
}

func TestBeamErrors(t *testing.T) {
	m := model(t, core.Cosine, normals(80, 9, 4, 1), normals(81, 9, 4, 1))
	x := normals(82, 600, 4, 1)
	codes := core.NewCodes(600, 2)
	ctx, cancel := context.WithCancel(context.Background())
	for _, beam := range []int{0, -3, 4097} {
		if err := m.EncodeBeam(ctx, x, codes, beam, 0, nil); !errors.Is(err, core.ErrParam) {
			t.Errorf("beam %d: got error %v, want ErrParam", beam, err)
		}
	}
	if err := m.EncodeBeam(ctx, core.NewMatrix(600, 5), codes, 4, 0, nil); !errors.Is(err, core.ErrShape) {
		t.Errorf("rows of another width: got error %v", err)
	}
	clear(x.Row(400))
	if err := m.EncodeBeam(ctx, x, codes, 4, 0, nil); !errors.Is(err, core.ErrZeroRow) {
		t.Errorf("a row of zeros: got error %v", err)
	}
	x.Row(300)[2] = float32(math.NaN())
	if err := m.EncodeBeam(ctx, x, codes, 4, 0, nil); !errors.Is(err, core.ErrNotFinite) || !contains(err, "row 300") {
		t.Errorf("NaN in row 300: got error %v", err)
	}
	cancel()
	if err := m.EncodeBeam(ctx, x, codes, 4, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got error %v", err)
	}
	wide := model(t, core.L2, core.NewMatrix(2, 1), core.NewMatrix(1<<20, 1))
	if err := wide.EncodeBeam(context.Background(), core.NewMatrix(1, 1), core.NewCodes(1, 2), 100, 0, nil); !errors.Is(err, core.ErrParam) || !contains(err, "1 to 64") {
		t.Errorf("more candidates than there is memory for: got error %v", err)
	}
}

func contains(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}

func BenchmarkEncodeBeam(b *testing.B) {
	x := normals(90, 4096, 384, 0.05)
	m, _, _, err := rqkmeans.Fit(context.Background(), x, nil, rqkmeans.Params{Clusters: []int{256, 256, 256}, MaxIter: 2, Restarts: 1})
	if err != nil {
		b.Fatal(err)
	}
	codes, back := core.NewCodes(x.Rows, 3), core.NewMatrix(x.Rows, x.Cols)
	for _, beam := range []int{1, 5, 16} {
		b.Run(fmt.Sprintf("rows=4096/dim=384/k=256/levels=3/beam=%d", beam), func(b *testing.B) {
			for b.Loop() {
				if err := m.EncodeBeam(context.Background(), x, codes, beam, 0, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*x.Rows), "ns/row")
			if err := m.Decode(codes, back); err != nil {
				b.Fatal(err)
			}
			var sum float64
			for i, v := range x.Data {
				sum += (float64(v) - float64(back.Data[i])) * (float64(v) - float64(back.Data[i]))
			}
			b.ReportMetric(sum/float64(x.Rows), "error/row")
		})
	}
}
