package rqvae

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

type settings struct {
	InDim         int       `json:"in_dim"`
	Layers        []int     `json:"layers"`
	EDim          int       `json:"e_dim"`
	Clusters      []int     `json:"clusters"`
	BN            bool      `json:"bn"`
	Plus          bool      `json:"plus"`
	Loss          string    `json:"loss"`
	Sum           bool      `json:"sum"`
	Weight        float64   `json:"weight"`
	Beta          float64   `json:"beta"`
	Epsilons      []float64 `json:"epsilons"`
	SinkhornIters int       `json:"sinkhorn_iters"`
	Rotate        bool      `json:"rotate"`
	EMA           float64   `json:"ema"`
	LR            float64   `json:"lr"`
	Decay         float64   `json:"decay"`
}

// readFixture reads a file that testdata/make.py wrote.
func readFixture(t *testing.T, name string) (map[string]Tensor, Params) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	tensors := map[string]Tensor{}
	var s settings
	for key, text := range header {
		var entry struct {
			Shape    []int
			Offsets  []int `json:"data_offsets"`
			Settings string
		}
		if err := json.Unmarshal(text, &entry); err != nil {
			t.Fatal(err)
		}
		if key == "__metadata__" {
			if err := json.Unmarshal([]byte(entry.Settings), &s); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data := raw[8+int(n):][entry.Offsets[0]:entry.Offsets[1]]
		v := Tensor{Name: key, Shape: entry.Shape, Data: make([]float32, len(data)/4)}
		for i := range v.Data {
			v.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		tensors[key] = v
	}
	p := DefaultParams(s.InDim)
	p.Layers, p.EDim, p.Clusters, p.BatchNorm, p.Plus = s.Layers, s.EDim, s.Clusters, s.BN, s.Plus
	p.Sum, p.QuantWeight, p.Beta, p.Epsilons, p.SinkhornIters = s.Sum, s.Weight, s.Beta, s.Epsilons, s.SinkhornIters
	p.LR, p.WeightDecay, p.Rotate, p.EMA = s.LR, s.Decay, s.Rotate, s.EMA
	if s.Loss == "l1" {
		p.Loss = L1
	}
	return tensors, p
}

// Training steps are those of PyTorch.
func TestStepsAreThoseOfPyTorch(t *testing.T) {
	for _, name := range []string{"plain", "norm", "l1sum", "sinkhorn", "plus", "rotate", "ema", "deep", "deepmeans"} {
		t.Run(name, func(t *testing.T) {
			cputest.EachLevel(t, func(t *testing.T) {
				torch, p := readFixture(t, name)
				x := torch["x"]
				trained := newTrainer(context.Background(), core.Matrix{Rows: x.Shape[0], Cols: x.Shape[1], Data: x.Data}, p)
				for _, w := range trained.weights.tensors {
					if before, ok := torch["before/"+w.Name]; !ok || copy(w.Data, before.Data) != len(w.Data) {
						t.Fatalf("the fixture has no %s of shape %v", w.Name, w.Shape)
					}
				}
				b, err := trained.batch(x.Shape[0])
				if err != nil {
					t.Fatal(err)
				}
				copy(b.x.Data, x.Data)
				if depths, ok := torch["depth"]; ok {
					b.quantizer.deepen = func(depth []int) {
						for i, n := range depths.Data {
							depth[i] = int(n)
						}
					}
				}
				// A bias before a batch norm has no effect: its gradient is rounding alone, which Adam divides by itself. The
				// running mean follows it.
				noise := map[string]bool{}
				for _, layers := range [][]layer{trained.weights.encoder, trained.weights.decoder} {
					for _, l := range layers {
						for _, w := range trained.weights.tensors {
							noise[w.Name] = noise[w.Name] || l.norm != nil && &w.Data[0] == &l.bias[0]
						}
					}
				}
				compare := func(when string) {
					for _, w := range trained.weights.tensors {
						if !noise[w.Name] && !(when == "last/" && strings.HasSuffix(w.Name, "running_mean")) {
							within(t, when+w.Name, w.Data, toFloat64(torch[when+w.Name].Data), 1e-5)
						}
					}
				}
				for step := range 3 {
					if err := b.run(); err != nil {
						t.Fatal(err)
					}
					losses := toFloat64(torch["losses"].Data[2*step:][:2])
					within(t, "loss", b.loss, losses[:1], 1e-5)
					within(t, "reconstruction loss", b.recon, losses[1:], 1e-5)
					if step == 0 {
						for l, codes := range b.quantizer.codes {
							for i, k := range codes {
								if want := int32(torch["codes"].Data[i*len(p.Clusters)+l]); k != want {
									t.Fatalf("row %d, level %d: code %d, want %d", i, l, k, want)
								}
							}
						}
						g := 0
						for _, w := range trained.weights.tensors {
							if w.learned {
								if !noise[w.Name] {
									within(t, "grad/"+w.Name, b.grads[g], toFloat64(torch["grad/"+w.Name].Data), 1e-5)
								}
								g++
							}
						}
					}
					trained.adam.step(trained.weights, b.grads, p.LR, p.WeightDecay)
					if trained.ema != nil {
						trained.ema.step(b.quantizer)
					}
					if step == 0 {
						compare("after/")
					}
				}
				compare("last/")
			})
		})
	}
}
