package rqvae

import (
	"context"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// A vector that nothing chooses goes by Laplace's rule: it stays while its count is far above the smoothing, then goes to 0.
func TestUnusedMeans(t *testing.T) {
	const decay, rows = 0.7, 10
	book := core.Matrix{Rows: 3, Cols: 2, Data: []float32{1, 1, -1, 0, 100, -300}}
	q := newQuantizer(context.Background(), []core.Matrix{book}, rows, Params{Shape: Shape{EDim: 2}})
	z := core.NewMatrix(rows, 2)
	for i := range rows {
		copy(z.Row(i), []float32{float32(i%2)*2 - 1 + 0.1, 0.3})
	}
	a := newAverages(Params{Shape: Shape{Clusters: []int{3}}, EMA: decay, BatchSize: rows}, rows)

	smooth := func(n, all float64) float64 { return (n + 1e-5) / (all + 3e-5) * all }
	n, all := [3]float64{10. / 3, 10. / 3, 10. / 3}, 10.0
	m := [3][2]float64{}
	for k := range m {
		for j := range m[k] {
			m[k][j] = float64(book.Row(k)[j]) * smooth(n[k], all)
		}
	}
	for step := range 150 {
		q.run(core.NewMatrix(rows, 2), z)
		a.step(q)
		all = 0
		for k := range n {
			chosen, sum := 0.0, [2]float64{}
			for i, code := range q.codes[0] {
				if int(code) == k {
					chosen++
					sum[0] += float64(z.Row(i)[0])
					sum[1] += float64(z.Row(i)[1])
				}
			}
			if wanted := [3]float64{5, 5, 0}[k]; chosen != wanted {
				t.Fatalf("step %d: %g rows choose vector %d, want %g", step, chosen, k, wanted)
			}
			n[k] = decay*n[k] + (1-decay)*chosen
			m[k][0], m[k][1] = decay*m[k][0]+(1-decay)*sum[0], decay*m[k][1]+(1-decay)*sum[1]
			all += n[k]
		}
		for k := range m {
			want := []float64{m[k][0] / smooth(n[k], all), m[k][1] / smooth(n[k], all)}
			within(t, "vector", book.Row(k), want, 1e-4)
		}
		if step == 10 && !(book.Row(2)[1] < -299) || step == 60 && !(book.Row(2)[1] > -3) {
			t.Errorf("after %d steps the unused vector is %v", step+1, book.Row(2))
		}
	}
}

// A vector that is moved to where rows are stays there until some choose it: its count is no longer one of no use.
func TestRestartedMeans(t *testing.T) {
	p := smallParams(2)
	p.Clusters, p.EDim, p.EMA, p.RestartDead = []int{4}, 2, 0.9, true
	trained := newTrainer(context.Background(), core.Matrix{Rows: 8, Cols: 2, Data: normals(1, 16)}, p)
	q := newQuantizer(context.Background(), trained.weights.books, 8, p)
	q.run(core.NewMatrix(8, 2), core.Matrix{Rows: 8, Cols: 2, Data: normals(2, 16)})
	trained.count(q)
	trained.used[0] = []int{0, 9, 9, 9}
	trained.ema.counts[0][0] = 1e-12
	trained.restart(q, 0)
	for i := range q.codes[0] {
		q.codes[0][i] = 1
	}
	moved := toFloat64(q.books[0].Row(0))
	for range 5 {
		trained.ema.step(q)
	}
	within(t, "the vector", q.books[0].Row(0), moved, 1e-4)
}
