package rqvae

import (
	"math"

	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// adam is AdamW (Kingma, Ba, ICLR 2015; Loshchilov, Hutter, ICLR 2019) as PyTorch has it, with its defaults.
type adam struct {
	m, v  [][]float32 // running means of the gradient of each learned tensor and of its squares
	steps int
}

const (
	adamBeta1 = 0.9
	adamBeta2 = 0.999
	adamEps   = 1e-8
)

func newAdam(w *weights) *adam {
	a := &adam{}
	for _, t := range w.tensors {
		if t.learned {
			a.m, a.v = append(a.m, make([]float32, len(t.Data))), append(a.v, make([]float32, len(t.Data)))
		}
	}
	return a
}

// of returns the means of the tensor of w with this data.
func (a *adam) of(w *weights, data []float32) (m, v []float32) {
	i := 0
	for _, t := range w.tensors {
		if t.learned {
			if &t.Data[0] == &data[0] {
				return a.m[i], a.v[i]
			}
			i++
		}
	}
	panic("rqvae: no learned tensor has this data")
}

// step moves the learned tensors of w against their gradients.
func (a *adam) step(w *weights, grads [][]float32, lr, decay float64) {
	a.steps++
	k := f32.AdamW{
		Beta1: adamBeta1, Beta2: adamBeta2, Eps: adamEps, Rate: lr / (1 - math.Pow(adamBeta1, float64(a.steps))),
		Root: math.Sqrt(1 - math.Pow(adamBeta2, float64(a.steps))), Keep: 1 - float64(lr*decay),
	}
	i := 0
	for _, t := range w.tensors {
		if !t.learned {
			continue
		}
		m, v, g := a.m[i], a.v[i], grads[i]
		i++
		parallel(len(t.Data), partValues, func(lo, hi int) { k.Step(t.Data[lo:hi], m[lo:hi], v[lo:hi], g[lo:hi]) })
	}
}

// rate is the learning rate of a step, both counted from 0, where an epoch has perEpoch of them.
func (p Params) rate(step, perEpoch int) float64 {
	warmup, total := p.WarmupEpochs*perEpoch, p.Epochs*perEpoch
	if step < warmup && (p.Schedule == Cosine || p.Schedule == ConstantWithWarmup) {
		return p.LR * float64(step+1) / float64(warmup)
	}
	switch p.Schedule {
	case Cosine:
		return p.LR * (1 + math.Cos(math.Pi*float64(step-warmup)/float64(max(1, total-warmup)))) / 2
	case Step:
		return p.LR * math.Pow(p.Gamma, float64(step/perEpoch/p.StepSize))
	}
	return p.LR
}
