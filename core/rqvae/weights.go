package rqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Tensor is an array of a model, row-major, under the name that PyTorch gives it.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32

	learned bool // false: no gradient moves it
}

// norm is a batch norm (Ioffe, Szegedy, ICML 2015).
type norm struct{ gain, shift, mean, variance []float32 }

const (
	normEps      = 1e-5 // added to variances
	normMomentum = 0.1  // share that a batch gets in the running mean and variance
)

const (
	booksPrefix = "rq.vq_layers." // of the names of codebooks
	inputScale  = "normalizer.scale"
)

// layer is y = x Wᵀ + bias, then batch norm, if there is one, and ReLU.
type layer struct {
	in, out int
	w       []float32 // (out, in)
	bias    []float32
	norm    *norm
	relu    bool

	packed func() *f32.Packed // of a model: its transposed weights, made ready when first asked for
}

// weights are all arrays of a model, by their use and by their names.
type weights struct {
	shape            Shape
	encoder, decoder []layer
	books            []core.Matrix
	input            *scaling // nil: none
	tensors          []Tensor
}

// newWeights makes arrays of zeros.
func newWeights(s Shape) *weights {
	w := &weights{shape: s}
	widths := slices.Concat([]int{s.InDim}, s.Layers, []int{s.EDim})
	encoder := "encoder."
	if s.Plus {
		encoder = "encoder.mlp."
	}
	w.encoder = w.addLayers(encoder, widths)
	for l, k := range s.Clusters {
		book := w.add(fmt.Sprintf("%s%d.embedding.weight", booksPrefix, l), true, k, s.EDim)
		w.books = append(w.books, core.Matrix{Rows: k, Cols: s.EDim, Data: book})
	}
	slices.Reverse(widths)
	w.decoder = w.addLayers("decoder.", widths)
	if s.Normalized {
		w.input = &scaling{mean: w.add("normalizer.mean", false, s.InDim), scale: w.add(inputScale, false, s.InDim)}
	}
	return w
}

// weights is how many values the tensors have together.
func (s Shape) weights() int {
	n := 0
	widths := slices.Concat([]int{s.InDim}, s.Layers, []int{s.EDim})
	for i, out := range widths[1:] {
		in := widths[i]
		n += 2*in*out + in + out // in the encoder and, the other way round, in the decoder
	}
	if s.BatchNorm {
		for _, w := range s.Layers {
			n += 2 * 4 * w
		}
	}
	for _, k := range s.Clusters {
		n += k * s.EDim
	}
	if s.Normalized {
		n += 2 * s.InDim
	}
	return n
}

// addLayers adds the layers between these widths. Their names count the modules of PyTorch's Sequential: dropout, linear,
// batch norm if there is one, ReLU.
func (w *weights) addLayers(prefix string, widths []int) []layer {
	modules := 3
	if w.shape.BatchNorm {
		modules = 4
	}
	var layers []layer
	for i := range len(widths) - 1 {
		name := func(module int, what string) string {
			return fmt.Sprintf("%smlp_layers.%d.%s", prefix, i*modules+module, what)
		}
		in, out := widths[i], widths[i+1]
		l := layer{in: in, out: out, relu: i < len(widths)-2}
		l.w = w.add(name(1, "weight"), true, out, in)
		l.bias = w.add(name(1, "bias"), true, out)
		if w.shape.BatchNorm && l.relu {
			l.norm = &norm{
				gain: w.add(name(2, "weight"), true, out), shift: w.add(name(2, "bias"), true, out),
				mean: w.add(name(2, "running_mean"), false, out), variance: w.add(name(2, "running_var"), false, out),
			}
		}
		layers = append(layers, l)
	}
	return layers
}

func (w *weights) add(name string, learned bool, shape ...int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	t := Tensor{Name: name, Shape: shape, Data: make([]float32, n), learned: learned}
	w.tensors = append(w.tensors, t)
	return t.Data
}

// start sets the arrays to what training begins with: linear weights normal (Glorot, Bengio, AISTATS 2010) and biases 0,
// code vectors uniform within 1/K of 0. With Plus the encoder adds nothing yet.
func (w *weights) start(books []core.Matrix, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x696e6974))
	for _, layers := range [][]layer{w.encoder, w.decoder} {
		for _, l := range layers {
			std := math.Sqrt(2 / float64(l.in+l.out))
			for i := range l.w {
				l.w[i] = float32(rng.NormFloat64() * std)
			}
			if l.norm != nil {
				fill(l.norm.gain, 1)
				fill(l.norm.variance, 1)
			}
		}
	}
	for l, b := range w.books {
		if books != nil {
			copy(b.Data, books[l].Data)
			continue
		}
		for i := range b.Data {
			b.Data[i] = float32((2*rng.Float64() - 1) / float64(b.Rows))
		}
	}
	if books != nil {
		w.input.books(w.books)
	}
	if w.shape.Plus {
		clear(w.encoder[len(w.encoder)-1].w)
	}
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}

// clone copies the arrays.
func (w *weights) clone() *weights {
	c := newWeights(w.shape)
	c.copyFrom(w)
	return c
}

func (w *weights) copyFrom(from *weights) {
	for i, t := range w.tensors {
		copy(t.Data, from.tensors[i].Data)
	}
}

// notFinite returns the name of the first array that holds NaN or infinity, or "".
func (w *weights) notFinite() string {
	for _, t := range w.tensors {
		if f32.NotFinite(t.Data) >= 0 {
			return t.Name
		}
	}
	return ""
}

// folded returns the layer with its batch norm, worked out in float64, as part of the product and the bias.
func (l layer) folded() layer {
	if l.norm == nil {
		return l
	}
	f := l
	f.norm, f.w, f.bias = nil, make([]float32, len(l.w)), make([]float32, len(l.bias))
	for j := range l.out {
		scale := float64(l.norm.gain[j]) / math.Sqrt(float64(l.norm.variance[j])+normEps)
		f.bias[j] = float32(float64((float64(l.bias[j])-float64(l.norm.mean[j]))*scale) + float64(l.norm.shift[j]))
		for i, v := range l.w[j*l.in : (j+1)*l.in] {
			f.w[j*l.in+i] = float32(float64(v) * scale)
		}
	}
	return f
}
