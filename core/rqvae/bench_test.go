package rqvae

import (
	"context"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// BenchmarkStep is a training step at 768-512-256-128-64 and back, 4 codebooks of 256, batches of 2048.
func BenchmarkStep(b *testing.B) {
	p := DefaultParams(768)
	x := core.Matrix{Rows: 2048, Cols: 768, Data: normals(1, 2048*768)}
	t := newTrainer(context.Background(), x, p)
	step, err := t.batch(2048)
	if err != nil {
		b.Fatal(err)
	}
	copy(step.x.Data, x.Data)
	for b.Loop() {
		if err := step.run(); err != nil {
			b.Fatal(err)
		}
		t.adam.step(t.weights, step.grads, 1e-4, 0)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}

func BenchmarkEncode(b *testing.B) {
	p := DefaultParams(768)
	w := newWeights(p.Shape)
	w.start(nil, 1)
	m := newModel(w)
	x, codes := core.Matrix{Rows: 8192, Cols: 768, Data: normals(1, 8192*768)}, core.NewCodes(8192, 4)
	for b.Loop() {
		if err := m.Encode(context.Background(), x, codes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(8192*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkEncodeOne(b *testing.B) {
	w := newWeights(DefaultParams(768).Shape)
	w.start(nil, 1)
	m := newModel(w)
	x, codes := core.Matrix{Rows: 1, Cols: 768, Data: normals(1, 768)}, core.NewCodes(1, 4)
	for b.Loop() {
		if err := m.Encode(context.Background(), x, codes); err != nil {
			b.Fatal(err)
		}
	}
}
