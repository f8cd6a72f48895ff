package rqvae

import (
	"fmt"
	"strings"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

const (
	runningVar     = "running_var"
	batchesTracked = "num_batches_tracked" // PyTorch counts beside each batch norm the batches that it has seen; we do not
)

// Save writes the model as the directory dir, whole or not at all: what the Python class RQVAE writes.
func (m *Model) Save(dir string) error {
	p, s := m.params, m.Shape()
	out := persist.RQVAE{
		InDim: s.InDim, NumEmbList: s.Clusters, EDim: s.EDim, Layers: s.Layers, DropoutProb: p.Dropout, BN: s.BatchNorm,
		LossType: "mse", QuantLossWeight: p.QuantWeight, Beta: p.Beta, KMeansInit: p.KMeansInit, KMeansIters: p.KMeansIters,
		SKEpsilons: p.Epsilons, SKIters: p.SinkhornIters, LossReduction: "mean",
	}
	if p.Loss == L1 {
		out.LossType = "l1"
	}
	if p.Sum {
		out.LossReduction = "sum"
	}
	if seed := int64(p.Seed); seed >= 0 {
		out.RandomState = &seed
	}
	for _, t := range m.Tensors() {
		out.Tensors = append(out.Tensors, persist.Tensor{Name: t.Name, Shape: t.Shape, Data: t.Data})
		if name, ok := strings.CutSuffix(t.Name, runningVar); ok {
			out.Tensors = append(out.Tensors, persist.Tensor{Name: name + batchesTracked, Ints: []int64{0}})
		}
	}
	return persist.SaveRQVAE(dir, out)
}

// Load reads a model that Save, Python or semantic-id 0.2.5 wrote.
func Load(dir string) (*Model, error) {
	in, err := persist.LoadRQVAE(dir)
	if err != nil {
		return nil, err
	}
	p := DefaultParams(in.InDim)
	p.Shape = Shape{InDim: in.InDim, Layers: in.Layers, EDim: in.EDim, Clusters: in.NumEmbList, BatchNorm: in.BN}
	p.Dropout, p.Sum, p.QuantWeight, p.Beta = in.DropoutProb, in.LossReduction == "sum", in.QuantLossWeight, in.Beta
	p.KMeansInit, p.KMeansIters, p.Epsilons, p.SinkhornIters = in.KMeansInit, in.KMeansIters, in.SKEpsilons, in.SKIters
	if in.LossType == "l1" {
		p.Loss = L1
	}
	if in.RandomState != nil {
		p.Seed = uint64(*in.RandomState)
	}
	var tensors []Tensor
	for _, t := range in.Tensors {
		if strings.HasSuffix(t.Name, batchesTracked) {
			continue
		}
		p.Normalized = p.Normalized || t.Name == inputScale
		p.Plus = p.Plus || strings.HasPrefix(t.Name, "encoder.mlp.")
		tensors = append(tensors, Tensor{Name: t.Name, Shape: t.Shape, Data: t.Data})
	}
	if err := p.Shape.Check(); err != nil {
		return nil, fmt.Errorf("loading %s: %w: %w", dir, core.ErrFormat, err)
	}
	if n := p.Shape.weights(); n > 1<<40 {
		return nil, fmt.Errorf("loading %s: %w: settings of a model of %d weights", dir, core.ErrFormat, n)
	}
	m, err := New(p.Shape, tensors)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w: %w", dir, core.ErrFormat, err)
	}
	m.params = p
	return m, nil
}
