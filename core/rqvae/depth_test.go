package rqvae

import (
	"context"
	"math"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// A share of the rows goes through 1 to all levels, each as often, and the others through all.
func TestDepths(t *testing.T) {
	const rows, levels, share = 40000, 4, 0.6
	p := smallParams(6)
	p.EDim, p.Clusters, p.LevelDropout = 6, []int{5, 4, 6, 3}, share
	trained := newTrainer(context.Background(), core.Matrix{Rows: rows, Cols: 6, Data: normals(1, 6*rows)}, p)
	draw := drawDepths(share, levels, trained.stepSeed(-1))
	first, again, next := make([]int, rows), make([]int, rows), make([]int, rows)
	draw(first)
	draw(again)
	trained.adam.steps++
	draw(next)
	counts, same := make([]float64, levels+1), 0
	for i, n := range first {
		if again[i] != n {
			t.Fatal("one step draws differently again")
		}
		if next[i] == n {
			same++
		}
		counts[n]++
	}
	for n, got := range counts {
		want := map[int]float64{0: 0, levels: 1 - share + share/levels}[n]
		if n > 0 && n < levels {
			want = share / levels
		}
		if limit := 5 * math.Sqrt(want*(1-want)/rows); !(math.Abs(got/rows-want) <= limit) {
			t.Errorf("%.4f of the rows go through %d levels, want %.4f ± %.4f", got/rows, n, want, limit)
		}
	}
	if same > rows*3/5 {
		t.Errorf("%d of %d depths are those of the step before", same, rows)
	}

	b, err := trained.batch(rows)
	if err != nil {
		t.Fatal(err)
	}
	copy(b.x.Data, trained.x.Data)
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	for i, n := range next {
		for l, codes := range b.quantizer.codes {
			if (codes[i] >= 0) != (l < n) {
				t.Fatalf("row %d goes through %d levels and has code %d at level %d", i, n, codes[i], l)
			}
		}
	}
}

// The first level alone, as a model of its own, is better for it: over a few seeds.
func TestLevelDropoutTeachesPrefixes(t *testing.T) {
	x := clusters(400, 12)
	first := func(share float64) (sum float64) {
		for seed := range uint64(3) {
			p := smallParams(12)
			p.LevelDropout, p.KMeansInit, p.Epochs, p.Clusters, p.QuantWeight, p.Seed = share, true, 60, []int{4, 4, 4}, 0.3, seed
			m, _, err := Fit(context.Background(), x, p)
			if err != nil {
				t.Fatal(err)
			}
			s := m.Shape()
			s.Clusters = s.Clusters[:1]
			var tensors []Tensor
			for _, w := range m.Tensors() {
				if w.Name != "rq.vq_layers.1.embedding.weight" && w.Name != "rq.vq_layers.2.embedding.weight" {
					tensors = append(tensors, w)
				}
			}
			short, err := New(s, tensors)
			if err != nil {
				t.Fatal(err)
			}
			var e Epoch
			if err := e.monitor(context.Background(), short, x, monitored(x.Rows, 0), MSE); err != nil {
				t.Fatal(err)
			}
			sum += e.Error
		}
		return sum
	}
	if with, without := first(0.5), first(0); !(with < 0.93*without) {
		t.Errorf("the first level alone has an error of %.4f, %.4f without level dropout", with/3, without/3)
	}
}
