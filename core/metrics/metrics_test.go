package metrics

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

func close(a, b float64) bool {
	return math.Abs(a-b) <= 1e-12*max(1, math.Abs(b)) || math.IsNaN(a) && math.IsNaN(b)
}

// made returns rows in lumps and codes that know of them, with some at random.
func made(seed uint64, n, dim, levels, k int) (core.Matrix, core.Codes) {
	r := rand.New(rand.NewPCG(seed, 1))
	x, c := core.NewMatrix(n, dim), core.NewCodes(n, levels)
	for i := range n {
		lump := r.IntN(k)
		for d := range dim {
			x.Data[i*dim+d] = float32(3*math.Sin(float64(lump*dim+d)) + r.NormFloat64())
		}
		for l := range levels {
			c.Data[i*levels+l] = int32((lump >> l) % k)
			if r.IntN(3) == 0 {
				c.Data[i*levels+l] = int32(r.IntN(k))
			}
		}
	}
	return x, c
}

// nearest is the definition: all other rows by distance, ties by index.
func nearest(n, query, k int, distance func(row int) float64) []int32 {
	var rows []int32
	for i := range n {
		if i != query {
			rows = append(rows, int32(i))
		}
	}
	slices.SortStableFunc(rows, func(a, b int32) int { return cmp.Compare(distance(int(a)), distance(int(b))) })
	return rows[:k]
}

func sqDist(a, b []float32) float64 {
	var s float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		s += float64(d * d)
	}
	return s
}

// codeDistance is written apart from Distance.between.
func codeDistance(a, b []int32, d Distance) float64 {
	n := 0
	for l := range a {
		if a[l] != b[l] {
			if d == Hierarchical {
				return float64(len(a) - l)
			}
			n++
		}
	}
	return float64(n)
}

// rankOracle is Recall and NDCG as docs/metrics.md has them.
func rankOracle(x core.Matrix, c core.Codes, queries []int64, k int, d Distance) (recall, ndcg float64) {
	for _, q := range queries {
		q := int(q)
		truth := nearest(x.Rows, q, k, func(row int) float64 { return sqDist(x.Row(q), x.Row(row)) })
		near := nearest(x.Rows, q, k, func(row int) float64 { return codeDistance(c.Row(q), c.Row(row), d) })
		var hits, dcg, ideal float64
		for rank, row := range near {
			if j := slices.Index(truth, row); j >= 0 {
				hits++
				dcg += float64(k-j) / math.Log2(float64(rank+2))
			}
			ideal += float64(k-rank) / math.Log2(float64(rank+2))
		}
		recall += hits / float64(k) / float64(len(queries))
		ndcg += dcg / ideal / float64(len(queries))
	}
	return recall, ndcg
}

func TestRank(t *testing.T) {
	for _, size := range []struct{ n, dim, levels, k, clusters int }{
		{300, 5, 3, 10, 6}, {300, 5, 3, 299, 6}, {2, 1, 1, 1, 2}, {700, 16, 4, 3, 40}, {200, 3, 1, 10, 3}, {200, 3, 2, 7, 1},
	} {
		x, c := made(uint64(size.n), size.n, size.dim, size.levels, size.clusters)
		var queries []int64
		for q := size.n - 1; q >= 0; q -= 1 + size.n/60 {
			queries = append(queries, int64(q))
		}
		for _, d := range []Distance{Hierarchical, Hamming} {
			r, err := Rank(context.Background(), x, c, queries, min(size.k, size.n-1), d, nil)
			if err != nil {
				t.Fatal(err)
			}
			recall, ndcg := rankOracle(x, c, queries, min(size.k, size.n-1), d)
			if !close(r.Recall, recall) || !close(r.NDCG, ndcg) {
				t.Errorf("%v, distance %d: recall %v, NDCG %v; want %v, %v", size, d, r.Recall, r.NDCG, recall, ndcg)
			}
		}
	}
}

// TestExpectedRank averages Recall and NDCG over all orders of six rows, which is what their expectation means.
func TestExpectedRank(t *testing.T) {
	const n, k = 6, 3
	for seed := range uint64(6) {
		x, c := made(seed, n, 2, 2, 2)
		for _, d := range []Distance{Hierarchical, Hamming} {
			var recall, ndcg, orders float64
			var permute func(order []int, at int)
			permute = func(order []int, at int) {
				if at == n {
					y, e := core.NewMatrix(n, 2), core.NewCodes(n, 2)
					for i, row := range order {
						copy(y.Row(i), x.Row(row))
						copy(e.Row(i), c.Row(row))
					}
					r, g := rankOracle(y, e, []int64{0, 1, 2, 3, 4, 5}, k, d)
					recall, ndcg, orders = recall+r, ndcg+g, orders+1
					return
				}
				for i := at; i < n; i++ {
					order[at], order[i] = order[i], order[at]
					permute(order, at+1)
					order[at], order[i] = order[i], order[at]
				}
			}
			permute([]int{0, 1, 2, 3, 4, 5}, 0)
			r, err := Rank(context.Background(), x, c, []int64{0, 1, 2, 3, 4, 5}, k, d, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !close(r.ItemRecall, recall/orders) || !close(r.ItemNDCG, ndcg/orders) {
				t.Errorf("seed %d, distance %d: %v, want %v and %v", seed, d, r, recall/orders, ndcg/orders)
			}
		}
	}
}

func TestOneIDForAllScoresChance(t *testing.T) {
	x, _ := made(1, 101, 4, 1, 5)
	c := core.NewCodes(101, 3)
	r, err := Rank(context.Background(), x, c, []int64{3, 50, 100}, 10, Hierarchical, nil)
	if err != nil || !close(r.ItemRecall, 0.1) {
		t.Errorf("%v, %v; want an item recall of 10/100", r, err)
	}
}

func TestRankIsTheSameOnAnyThreads(t *testing.T) {
	defer par.SetThreads(0)
	x, c := made(7, 900, 20, 3, 9)
	queries := make([]int64, 900)
	for i := range queries {
		queries[i] = int64(i)
	}
	var results []Ranking
	for _, threads := range []int{1, 2, 5} {
		par.SetThreads(threads)
		most := 0
		r, err := Rank(context.Background(), x, c, queries, 10, Hierarchical, func(done int) {
			if threads == 1 {
				most = max(most, done)
			}
		})
		if err != nil || threads == 1 && most != 900 {
			t.Fatalf("%v, progress up to %d", err, most)
		}
		results = append(results, r)
	}
	if results[0] != results[1] || results[0] != results[2] {
		t.Errorf("%v", results)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Rank(ctx, x, c, queries, 10, Hierarchical, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestSimilar(t *testing.T) {
	_, c := made(3, 200, 1, 3, 4)
	for _, d := range []Distance{Hierarchical, Hamming} {
		for _, k := range []int{1, 10, 150, 1000} {
			for _, q := range []int{0, 199} {
				ids, dists, err := Similar(c, c.Row(q), q, k, d)
				if err != nil {
					t.Fatal(err)
				}
				want := nearest(200, q, min(k, 199), func(row int) float64 { return codeDistance(c.Row(q), c.Row(row), d) })
				if !slices.Equal(ids, want) {
					t.Errorf("distance %d, k %d: %v, want %v", d, k, ids, want)
				}
				for i, id := range ids {
					if float64(dists[i]) != codeDistance(c.Row(q), c.Row(int(id)), d) {
						t.Errorf("row %d at %d", id, dists[i])
					}
				}
			}
		}
	}
	if ids, dists, _ := Similar(c, c.Row(5), -1, 1, Hierarchical); len(ids) != 1 || dists[0] != 0 {
		t.Errorf("a row is at distance 0 of itself: %v at %v", ids, dists)
	}
}

func TestSpearman(t *testing.T) {
	for _, c := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4, 5}, []float64{5, 6, 7, 8, 7}, 0.8207826816681233}, // the example of SciPy's spearmanr
		{[]float64{1, 2, 3}, []float64{9, 4, 1}, -1},
		{[]float64{1, 1, 1}, []float64{9, 4, 1}, math.NaN()},
		{[]float64{1}, []float64{2}, math.NaN()},
	} {
		if got := Spearman(c.x, c.y); !close(got, c.want) {
			t.Errorf("%v, %v: %v, want %v", c.x, c.y, got, c.want)
		}
	}
}

func TestCorrelation(t *testing.T) {
	x, c := made(5, 400, 3, 3, 5)
	r := rand.New(rand.NewPCG(1, 1))
	a, b := make([]int64, 1000), make([]int64, 1000)
	near, far := make([]float64, 1000), make([]float64, 1000)
	for i := range a {
		a[i], b[i] = r.Int64N(400), r.Int64N(400)
		near[i] = math.Sqrt(sqDist(x.Row(int(a[i])), x.Row(int(b[i]))))
		far[i] = codeDistance(c.Row(int(a[i])), c.Row(int(b[i])), Hamming)
	}
	got, err := Correlation(context.Background(), x, c, a, b, Hamming)
	if want := Spearman(near, far); err != nil || !close(got, want) || got < 0.05 {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, span := range []int64{1, 2, 255, 256, 257, 70000, 1 << 32} {
		c := core.NewCodes(500, 3)
		for i := range c.Data {
			c.Data[i] = int32(r.Int64N(span) + int64(math.MinInt32)*(span>>32))
		}
		for d, g := range prefixes(c) {
			seen := map[[3]int32]int32{}
			for i := range c.Rows {
				var key [3]int32
				copy(key[:], c.Row(i)[:d])
				if was, ok := seen[key]; ok && was != g.of[i] || !ok && g.size(g.of[i]) < 1 {
					t.Fatalf("span %d: row %d is in group %d, rows like it in %d", span, i, g.of[i], was)
				}
				seen[key] = g.of[i]
			}
			if len(seen) != g.count() {
				t.Errorf("span %d, %d codes: %d groups, want %d", span, d, g.count(), len(seen))
			}
			for group := range int32(g.count()) {
				members := g.members(group)
				if !slices.IsSorted(members) || slices.ContainsFunc(members, func(row int32) bool { return g.of[row] != group }) {
					t.Errorf("span %d: group %d is %v", span, group, members)
				}
			}
		}
	}
}

func TestUse(t *testing.T) {
	c := core.Codes{Rows: 4, Levels: 2, Data: []int32{0, 1, 0, 1, 0, 0, 2, 1}}
	u, err := Use(c, []int{4, 2})
	if err != nil {
		t.Fatal(err)
	}
	if u.Unique != 3 || u.CollisionRate != 0.25 || u.SingletonRate != 0.5 || u.LargestBucket != 2 ||
		!close(u.Perplexity, math.Exp(1.5*math.Log(2))) || !close(u.Gini, 1./6) {
		t.Errorf("%+v", u)
	}
	first := u.Levels[0]
	if first.Clusters != 4 || first.Used != 2 || first.Dead != 2 || first.Utilization != 0.5 || first.FanOut != 2 ||
		first.CollisionRate != 0.5 || !close(first.Entropy, 2*math.Log(2)-0.75*math.Log(3)) || !close(first.Gini, 0.625) {
		t.Errorf("%+v", first)
	}
	if second := u.Levels[1]; second.FanOut != 1.5 || second.CollisionRate != 0.25 || second.Dead != 0 {
		t.Errorf("%+v", second)
	}
	if u, err = Use(c, nil); err != nil || u.Levels[0].Clusters != 3 || u.Levels[1].Clusters != 2 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestMeaning works through docs/metrics.md's example.
func TestMeaning(t *testing.T) {
	c := core.Codes{Rows: 5, Levels: 2, Data: []int32{0, 0, 0, 1, 1, 0, 1, 0, 1, 1}}
	m, err := Labels(c, []int32{0, 0, 1, 1, -1})
	if err != nil || m.Rows != 4 || !slices.Equal(m.Purity, []float64{0.5, 1, 1}) {
		t.Errorf("%+v, %v", m, err)
	}
	if want := []float64{0, 1, 2 * math.Log(2) / (1.5*math.Log(2) + math.Log(2))}; !slices.EqualFunc(m.NMI, want, close) {
		t.Errorf("NMI %v, want %v", m.NMI, want)
	}
	if m, err = Labels(c, []int32{-1, -1, -1, -1, -1}); err != nil || !math.IsNaN(m.Purity[1]) || !math.IsNaN(m.NMI[2]) {
		t.Errorf("without labels: %+v, %v", m, err)
	}
}

// TestPairs compares with all pairs, one by one.
func TestPairs(t *testing.T) {
	_, c := made(9, 60, 1, 3, 4)
	a, b := []int64{0, 5, 5, 59, 8}, []int64{1, 6, 6, 2, 30}
	r, err := Pairs(c, a, b)
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for i := range 60 {
		for j := range i {
			all = append(all, codeDistance(c.Row(i), c.Row(j), Hierarchical))
		}
	}
	var auc float64
	shared, chance := make([]float64, 3), make([]float64, 3)
	for i := range a {
		d := codeDistance(c.Row(int(a[i])), c.Row(int(b[i])), Hierarchical)
		for _, e := range all {
			if d < e {
				auc += 1 / float64(5*len(all))
			} else if d == e {
				auc += 0.5 / float64(5*len(all))
			}
		}
		for l := range 3 {
			if d <= float64(2-l) {
				shared[l] += 1. / 5
			}
		}
	}
	for _, e := range all {
		for l := range 3 {
			if e <= float64(2-l) {
				chance[l] += 1 / float64(len(all))
			}
		}
	}
	if math.Abs(r.AUC-auc) > 1e-9 || !slices.EqualFunc(r.Shared, shared, close) {
		t.Errorf("%+v, want AUC %v, shared %v", r, auc, shared)
	}
	for l := range 3 {
		if math.Abs(r.Chance[l]-chance[l]) > 1e-9 {
			t.Errorf("level %d: chance %v, want %v", l, r.Chance[l], chance[l])
		}
	}
}

func TestAgree(t *testing.T) {
	_, a := made(11, 100, 1, 3, 4)
	b := core.NewCodes(100, 2)
	for i := range 100 { // other names for the same first codes
		b.Row(i)[0], b.Row(i)[1] = 3-a.Row(i)[0], 0
	}
	r, err := Agree(a, b)
	if err != nil || len(r.NMI) != 2 || !close(r.NMI[0], 1) || r.Moved[0] != 1 || r.NMI[1] > 0.99 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = Agree(a, a); err != nil || !slices.Equal(r.Moved, []float64{0, 0, 0}) || !close(r.NMI[2], 1) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestShifted(t *testing.T) {
	old := core.Codes{Rows: 8, Levels: 1, Data: []int32{0, 0, 0, 0, 0, 0, 1, 1}}
	fresh := core.Codes{Rows: 2, Levels: 1, Data: []int32{1, 1}}
	s, err := Shifted(fresh, old, []int{2})
	if err != nil {
		t.Fatal(err)
	}
	p, q := 6.5/9, 0.5/3
	want := (q-p)*math.Log(q/p) + (p-q)*math.Log((1-q)/(1-p)) - (1./8 + 1./2)
	if !close(s.PSI[0], want) || !close(s.Utilization[0], (1-0.0625+1-0.5625)/2) {
		t.Errorf("%+v, want a PSI of %v", s, want)
	}
	if s, err = Shifted(old, core.Codes{}, []int{2}); err != nil || !math.IsNaN(s.PSI[0]) || !close(s.Utilization[0], 1-1./256) {
		t.Errorf("without old rows: %+v, %v", s, err)
	}
	// Rows of one distribution have a PSI of about 0, however few they are.
	r := rand.New(rand.NewPCG(8, 8))
	draw := func(n int) core.Codes {
		c := core.NewCodes(n, 1)
		for i := range c.Data {
			c.Data[i] = int32(min(r.IntN(64), r.IntN(64)))
		}
		return c
	}
	if s, err = Shifted(draw(1000), draw(2000), []int{64}); err != nil || s.PSI[0] > 0.05 {
		t.Errorf("nothing has changed: %+v, %v", s, err)
	}
}

func TestSumSquares(t *testing.T) {
	x := core.Matrix{Rows: 2, Cols: 2, Data: []float32{3, 4, 0, 0}}
	y := core.Matrix{Rows: 2, Cols: 2, Data: []float32{0, 0, 1, 1}}
	for metric, want := range map[core.Metric]float64{core.L2: 27, core.Cosine: 3} {
		if got, err := SumSquares(context.Background(), x, y, metric); err != nil || math.Abs(got-want) > 1e-6 {
			t.Errorf("%v: %v, %v; want %v", metric, got, err, want)
		}
	}
}

func TestCheckFinite(t *testing.T) {
	x, _ := made(1, 5000, 3, 1, 2)
	if err := CheckFinite(context.Background(), x); err != nil {
		t.Error(err)
	}
	x.Row(4321)[1], x.Row(1234)[2] = float32(math.NaN()), float32(math.Inf(-1))
	if err := CheckFinite(context.Background(), x); !errors.Is(err, core.ErrNotFinite) || !strings.Contains(err.Error(), "row 1234;") {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	x, c := made(1, 10, 2, 2, 3)
	short := core.Codes{Rows: 9, Levels: 2, Data: c.Data[:18]}
	for what, refusal := range map[string]struct {
		f    func() error
		want error
	}{
		"lengths":  {func() error { _, err := Rank(ctx, x, short, []int64{0}, 1, Hierarchical, nil); return err }, core.ErrShape},
		"k":        {func() error { _, err := Rank(ctx, x, c, []int64{0}, 10, Hierarchical, nil); return err }, core.ErrParam},
		"k 0":      {func() error { _, err := Rank(ctx, x, c, []int64{0}, 0, Hierarchical, nil); return err }, core.ErrParam},
		"query":    {func() error { _, err := Rank(ctx, x, c, []int64{10}, 1, Hierarchical, nil); return err }, core.ErrParam},
		"queries":  {func() error { _, err := Rank(ctx, x, c, nil, 1, Hierarchical, nil); return err }, core.ErrParam},
		"distance": {func() error { _, err := Rank(ctx, x, c, []int64{0}, 1, 2, nil); return err }, core.ErrParam},
		"pair":     {func() error { _, err := Correlation(ctx, x, c, []int64{0}, []int64{-1}, Hamming); return err }, core.ErrParam},
		"pairs":    {func() error { _, err := Correlation(ctx, x, c, []int64{0}, nil, Hamming); return err }, core.ErrParam},
		"code":     {func() error { _, err := Use(core.Codes{Rows: 1, Levels: 1, Data: []int32{-1}}, nil); return err }, core.ErrCode},
		"cluster":  {func() error { _, err := Use(core.Codes{Rows: 1, Levels: 1, Data: []int32{5}}, []int{5}); return err }, core.ErrCode},
		"no codes": {func() error { _, err := Use(core.Codes{}, nil); return err }, core.ErrShape},
		"similar":  {func() error { _, _, err := Similar(c, []int32{1}, -1, 1, Hamming); return err }, core.ErrShape},
		"labels":   {func() error { _, err := Labels(c, []int32{0}); return err }, core.ErrShape},
		"label":    {func() error { _, err := Labels(short, []int32{9, 0, 0, 0, 0, 0, 0, 0, 0}); return err }, core.ErrParam},
		"itself":   {func() error { _, err := Pairs(c, []int64{3}, []int64{3}); return err }, core.ErrParam},
		"shift":    {func() error { _, err := Shifted(c, short, []int{3}); return err }, core.ErrShape},
		"agree":    {func() error { _, err := Agree(c, short); return err }, core.ErrShape},
		"shapes":   {func() error { _, err := SumSquares(ctx, x, core.NewMatrix(10, 3), core.L2); return err }, core.ErrShape},
	} {
		if err := refusal.f(); !errors.Is(err, refusal.want) {
			t.Errorf("%s: %v, want %v", what, err, refusal.want)
		}
	}
}
