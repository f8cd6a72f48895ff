package rqvae

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// clusters are rows around a few centers.
func clusters(rows, dim int) core.Matrix {
	rng := rand.New(rand.NewPCG(4, 5))
	centers := normals(6, 12*dim)
	x := core.NewMatrix(rows, dim)
	for i := range rows {
		c := rng.IntN(12)
		for j := range dim {
			x.Row(i)[j] = centers[c*dim+j] + float32(rng.NormFloat64()*0.2)
		}
	}
	return x
}

func same(t *testing.T, what string, a, b *Model) {
	t.Helper()
	for i, w := range a.Tensors() {
		if !slices.Equal(w.Data, b.Tensors()[i].Data) {
			t.Fatalf("%s: %s differs", what, w.Name)
		}
	}
}

// variants are settings that together reach every part of training.
var variants = map[string]func(*Params){
	"plain":    func(*Params) {},
	"norm":     func(p *Params) { p.BatchNorm, p.Dropout, p.WeightDecay = true, 0.2, 0.1 },
	"sinkhorn": func(p *Params) { p.Epsilons, p.SinkhornIters, p.KMeansInit = []float64{0.05, 0, 0.05}, 20, true },
	"plus": func(p *Params) {
		p.Plus, p.EDim, p.Books = true, p.InDim, nil
		for _, k := range p.Clusters {
			p.Books = append(p.Books, core.Matrix{Rows: k, Cols: p.InDim, Data: normals(uint64(k), k*p.InDim)})
		}
	},
	"aids": func(p *Params) { p.MaxNorm, p.RestartDead, p.Clusters = 0.1, true, []int{5, 90, 6} },
	"ema": func(p *Params) {
		p.EMA, p.Epsilons, p.RestartDead, p.Clusters = 0.9, []float64{0, 0, 0.05}, true, []int{5, 90, 6}
	},
	"deep":    func(p *Params) { p.LevelDropout, p.KMeansInit, p.RestartDead, p.EMA = 0.6, true, true, 0.9 },
	"columns": func(p *Params) { p.Normalize, p.BatchNorm = EachColumn, true },
	"normal plus": func(p *Params) {
		p.Normalize, p.Plus, p.EDim, p.Books = AllColumns, true, p.InDim, nil
		for _, k := range p.Clusters {
			p.Books = append(p.Books, core.Matrix{Rows: k, Cols: p.InDim, Data: normals(uint64(k), k*p.InDim)})
		}
	},
	"rotate": func(p *Params) { p.Rotate, p.KMeansInit = true, true },
	"l1":     func(p *Params) { p.Loss, p.Sum, p.Schedule, p.WarmupEpochs = L1, true, Cosine, 1 },
}

func TestEqualSeedsGiveEqualModels(t *testing.T) {
	x := clusters(150, 12)
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			p := smallParams(12)
			change(&p)
			fit := func(threads int, l cpu.Level) (*Model, *History) {
				defer cpu.SetForTest(l)()
				defer par.SetThreads(0)
				par.SetThreads(threads)
				m, h, err := Fit(context.Background(), x, p)
				if err != nil {
					t.Fatal(err)
				}
				return m, h
			}
			m, h := fit(1, cpu.Generic)
			if h.Epochs[len(h.Epochs)-1].Recon >= h.Epochs[0].Recon {
				t.Errorf("nothing was learned: %v", h.Epochs)
			}
			for l := cpu.Generic; l <= cpu.Supported(); l++ {
				for _, threads := range []int{1, 3} {
					again, h2 := fit(threads, l)
					same(t, l.String(), m, again)
					if h.Kept != h2.Kept || h.Epochs[h.Kept].Error != h2.Epochs[h.Kept].Error {
						t.Error("the histories differ")
					}
				}
			}
			p.Seed++
			if other, _ := fit(2, cpu.Supported()); slices.Equal(other.Tensors()[0].Data, m.Tensors()[0].Data) {
				t.Error("another seed gives the same model")
			}
		})
	}
}

// What a fit keeps is what the rule says of its whole history.
func TestKeptEpoch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 1 + rng.IntN(40)
		var k kept
		all := make([]snapshot, n)
		for i := range all {
			all[i] = snapshot{epoch: i, error: 1 + float64(rng.IntN(12))/50, rate: float64(rng.IntN(4)), loss: float64(rng.IntN(5))}
			k.add(all[i], newWeights(Shape{InDim: 1, EDim: 1, Clusters: []int{1}}))
		}
		least := math.Inf(1)
		for _, s := range all {
			least = min(least, s.error)
		}
		var want *snapshot
		for i := range all {
			s := &all[i]
			if s.error <= closeTo*least && (want == nil || s.rate < want.rate || s.rate == want.rate && s.loss < want.loss) {
				want = s
			}
		}
		got := k.best()
		if got == nil || got.weights == nil || got.rate != want.rate || got.loss != want.loss || got.error > closeTo*least {
			t.Fatalf("kept %+v of %+v, want %+v", got, all, want)
		}
	}
}

func TestEncodeIsTheDefinition(t *testing.T) {
	x := clusters(300, 12)
	p := smallParams(12)
	p.BatchNorm = true
	m, _, err := Fit(context.Background(), x, p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(m.Shape(), m.Tensors())
	if err != nil {
		t.Fatal(err)
	}
	want := core.NewCodes(x.Rows, 3)
	latents := core.NewMatrix(x.Rows, p.EDim)
	if err := errors.Join(m.Encode(context.Background(), x, want), m.Latents(context.Background(), x, latents)); err != nil {
		t.Fatal(err)
	}
	for i := range x.Rows { // in float64, with the batch norm as it is defined
		z := slices.Clone(toFloat64(x.Row(i)))
		for _, l := range m.weights.encoder {
			y := make([]float64, l.out)
			for j := range y {
				y[j] = float64(l.bias[j])
				for k, v := range z {
					y[j] += v * float64(l.w[j*l.in+k])
				}
				if n := l.norm; n != nil {
					y[j] = (y[j]-float64(n.mean[j]))/math.Sqrt(float64(n.variance[j])+1e-5)*float64(n.gain[j]) + float64(n.shift[j])
				}
				if l.relu {
					y[j] = max(0, y[j])
				}
			}
			z = y
		}
		within(t, "latent", latents.Row(i), z, 1e-5)
		rest := slices.Clone(latents.Row(i))
		for l, book := range m.Books() {
			best, code := math.Inf(1), int32(0)
			for k := range book.Rows {
				var d float64
				for j, v := range rest {
					e := float64(v) - float64(book.Row(k)[j])
					d += float64(e * e)
				}
				if d < best {
					best, code = d, int32(k)
				}
			}
			if want.Row(i)[l] != code {
				t.Fatalf("row %d, level %d: code %d, want %d", i, l, want.Row(i)[l], code)
			}
			for j := range rest {
				rest[j] -= book.Row(int(code))[j]
			}
		}
	}
	cputest.EachLevel(t, func(t *testing.T) {
		loaded, err := New(m.Shape(), m.Tensors())
		if err != nil {
			t.Fatal(err)
		}
		for _, batch := range []int{0, 1, 7, 64} {
			for _, m := range []*Model{again, loaded} {
				if m == again && cpu.Use() != cpu.Supported() {
					continue // made for another level
				}
				got := core.NewCodes(x.Rows, 3)
				if err := m.EncodeBlocks(context.Background(), x, got, batch, nil); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got.Data, want.Data) {
					t.Errorf("batches of %d give other codes", batch)
				}
			}
		}
		out, first := core.NewMatrix(x.Rows, 12), core.NewMatrix(1, 12)
		if err := errors.Join(loaded.Decode(want, out), loaded.Decode(core.Codes{Rows: 1, Levels: 3, Data: want.Row(9)}, first)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out.Row(9), first.Data) {
			t.Error("a row decodes otherwise alone")
		}
	})
}

func TestDivergence(t *testing.T) {
	x := clusters(64, 12)
	p := smallParams(12)
	p.LR, p.Epochs = 1e30, 30
	m, h, err := Fit(context.Background(), x, p)
	if !errors.Is(err, core.ErrDiverged) || !strings.Contains(err.Error(), "step ") || !strings.Contains(err.Error(), "1e+30") {
		t.Fatalf("error %v", err)
	}
	if m != nil || h != nil {
		t.Error("a model of weights from before the first epoch's end")
	}
	p.LR, p.Schedule, p.StepSize, p.Gamma = 1e-3, Step, 3, 1e33
	m, h, err = Fit(context.Background(), x, p)
	if !errors.Is(err, core.ErrDiverged) || m == nil || len(h.Epochs) < 3 || m.weights.notFinite() != "" {
		t.Fatalf("error %v, history %+v", err, h)
	}
	p.Gamma, p.Epochs = 1, 3
	if good, _, err := Fit(context.Background(), x, p); err != nil {
		t.Error(err)
	} else {
		same(t, "the epochs before", m, good)
	}
}

func TestClip(t *testing.T) {
	grads := [][]float32{{3, 0}, {0, 0, 4}}
	clip(grads, 10)
	if grads[0][0] != 3 || grads[1][2] != 4 {
		t.Errorf("%v, of norm 5, changed by a limit of 10", grads)
	}
	clip(grads, 1)
	if !(math.Abs(float64(grads[0][0])-0.6) < 1e-6 && math.Abs(float64(grads[1][2])-0.8) < 1e-6) {
		t.Errorf("%v, want 0.6 and 0.8", grads)
	}
}

func TestPatience(t *testing.T) {
	p := smallParams(12)
	p.LR, p.Epochs, p.Patience = 0, 50, 3 // nothing changes after the first epoch
	_, h, err := Fit(context.Background(), clusters(64, 12), p)
	if err != nil || len(h.Epochs) != 4 {
		t.Errorf("%d epochs, %v, want 4", len(h.Epochs), err)
	}
}

// Vectors far from all latents come into use, and their means are forgotten.
func TestRestart(t *testing.T) {
	x := clusters(400, 12)
	p := smallParams(12)
	p.Clusters = []int{40}
	p.KMeansInit, p.Epochs, p.BatchSize, p.RestartDead = false, 12, 100, true
	p.LR = 1e-3
	use := func() float64 {
		_, h, err := Fit(context.Background(), x, p)
		if err != nil {
			t.Fatal(err)
		}
		return h.Epochs[len(h.Epochs)-1].Utilization[0]
	}
	with := use()
	p.RestartDead = false
	if without := use(); !(with > 1.2*without) {
		t.Errorf("%.2f of the vectors are in use, %.2f without restarts", with, without)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := smallParams(12)
	p.Epochs = 1 << 30
	p.Progress = func(epoch int, _ Epoch) {
		if epoch == 3 {
			cancel()
		}
	}
	if m, h, err := Fit(ctx, clusters(64, 12), p); !errors.Is(err, context.Canceled) || m != nil || h != nil {
		t.Errorf("%v, %v, %v", m, h, err)
	}
}

func TestBadInput(t *testing.T) {
	x := clusters(33, 12)
	for _, c := range []struct {
		change func(*Params)
		words  string
	}{
		{func(p *Params) { p.InDim = 13 }, "InDim is 13"},
		{func(p *Params) { p.Clusters = nil }, "no codebook"},
		{func(p *Params) { p.Clusters[1] = 0 }, "codebook 1 has 0"},
		{func(p *Params) { p.Layers[0] = -1 }, "layer 0 is -1"},
		{func(p *Params) { p.Plus = true }, "EDim is 6 and InDim 12"},
		{func(p *Params) { p.Dropout = 1 }, "Dropout is 1"},
		{func(p *Params) { p.Loss = 7 }, "unknown loss"},
		{func(p *Params) { p.Schedule = 9 }, "unknown schedule"},
		{func(p *Params) { p.LR = math.NaN() }, "LR is NaN"},
		{func(p *Params) { p.BatchSize = 0 }, "BatchSize is 0"},
		{func(p *Params) { p.Epochs = 0 }, "Epochs is 0"},
		{func(p *Params) { p.Epsilons = []float64{0.1} }, "1 Epsilons for 3 levels"},
		{func(p *Params) { p.Epsilons = []float64{0.1, math.NaN(), 0} }, "level 1 is NaN"},
		{func(p *Params) { p.EMA = 1 }, "EMA is 1, want"},
		{func(p *Params) { p.Normalize = 3 }, "unknown normalization 3"},
		{func(p *Params) { p.LevelDropout = 1.5 }, "LevelDropout is 1.5, want"},
		{func(p *Params) { p.BatchNorm = true }, "a batch of one row"},
		{func(p *Params) { p.KMeansInit, p.Clusters[2] = true, 33 }, "at least 33 rows for codebook 2"},
		{func(p *Params) { p.Books = []core.Matrix{core.NewMatrix(5, 6)} }, "1 codebooks"},
		{func(p *Params) {
			p.Books = []core.Matrix{core.NewMatrix(5, 6), core.NewMatrix(4, 7), core.NewMatrix(6, 6)}
		}, "codebook 1 to begin with has 4 vectors of 7"},
	} {
		p := smallParams(12)
		c.change(&p)
		if _, _, err := Fit(context.Background(), x, p); err == nil || !strings.Contains(err.Error(), c.words) ||
			!errors.Is(err, core.ErrParam) && !errors.Is(err, core.ErrShape) {
			t.Errorf("error %v, want the words %q", err, c.words)
		}
	}
	x.Data[25] = float32(math.NaN())
	if _, _, err := Fit(context.Background(), x, smallParams(12)); !errors.Is(err, core.ErrNotFinite) || !strings.Contains(err.Error(), "row 2") {
		t.Errorf("error %v", err)
	}
}

func TestScheduleByHand(t *testing.T) {
	p := Params{LR: 2, Epochs: 10, WarmupEpochs: 2, StepSize: 3, Gamma: 0.5}
	for _, c := range []struct {
		schedule Schedule
		step     int // 5 an epoch
		want     float64
	}{
		{Constant, 0, 2}, {Constant, 49, 2},
		{ConstantWithWarmup, 0, 0.2}, {ConstantWithWarmup, 9, 2}, {ConstantWithWarmup, 40, 2},
		{Cosine, 4, 1}, {Cosine, 10, 2}, {Cosine, 30, 1}, {Cosine, 50, 0},
		{Step, 14, 2}, {Step, 15, 1}, {Step, 49, 0.25},
	} {
		p.Schedule = c.schedule
		if got := p.rate(c.step, 5); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("schedule %d, step %d: %g, want %g", c.schedule, c.step, got, c.want)
		}
	}
}

// A training that is broken off and goes on ends in the same bits as one without a break.
func TestResuming(t *testing.T) {
	x := clusters(150, 12)
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			p := smallParams(12)
			change(&p)
			p.Epochs = 7
			whole, h, err := Fit(context.Background(), x, p)
			if err != nil {
				t.Fatal(err)
			}
			p.Checkpoint, p.CheckpointEvery = t.TempDir()+"/state", 2
			for _, stop := range []int{2, 5, 100} { // after epochs 3 and 6: from the last checkpoint an epoch is lost
				ctx, cancel := context.WithCancel(context.Background())
				p.Progress = func(epoch int, _ Epoch) {
					if epoch == stop {
						cancel()
					}
				}
				m, h2, err := Fit(ctx, x, p)
				cancel()
				if stop < 100 {
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				same(t, "resumed", whole, m)
				if h.Kept != h2.Kept || !reflect.DeepEqual(h.Epochs, h2.Epochs) {
					t.Errorf("history %+v, want %+v", h2, h)
				}
			}
			p.Progress = nil
			again, _, err := Fit(context.Background(), x, p) // nothing is left to do
			if err != nil {
				t.Fatal(err)
			}
			same(t, "loaded", whole, again)
			p.Beta *= 2
			if _, _, err := Fit(context.Background(), x, p); !errors.Is(err, core.ErrParam) || !strings.Contains(err.Error(), "other rows or settings") {
				t.Errorf("error %v", err)
			}
			p.Beta /= 2
			data, err := os.ReadFile(p.Checkpoint)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p.Checkpoint, data[:len(data)-100], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Fit(context.Background(), x, p); !errors.Is(err, core.ErrFormat) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	x := clusters(150, 12)
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			p := smallParams(12)
			change(&p)
			m, _, err := Fit(context.Background(), x, p)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir() + "/model"
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			loaded, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "loaded", m, loaded)
			if !reflect.DeepEqual(m.Shape(), loaded.Shape()) || loaded.params.Loss != p.Loss || loaded.params.Sum != p.Sum {
				t.Errorf("settings %+v, want %+v", loaded.params, p)
			}
		})
	}
}

// Of many rows, Error is of those at even distances, and the rest of all of them.
func TestMonitor(t *testing.T) {
	const n, dim = errorRows + 900, 12
	x := clusters(n, dim)
	p := smallParams(dim)
	w := newWeights(p.Shape)
	w.start(nil, 1)
	m := newModel(w)
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	var e Epoch
	if err := e.monitor(context.Background(), m, x, rows, MSE); err != nil {
		t.Fatal(err)
	}
	codes, decoded := core.NewCodes(n, len(p.Clusters)), core.NewMatrix(n, dim)
	if err := m.Encode(context.Background(), x, codes); err != nil {
		t.Fatal(err)
	}
	if err := m.Decode(codes, decoded); err != nil {
		t.Fatal(err)
	}
	var sum, count float64
	different := map[string]bool{}
	for i := range n {
		different[fmt.Sprint(codes.Row(i))] = true
		for j, v := range x.Row(i) {
			if i%2 == 0 {
				d := float64(v) - float64(decoded.Row(i)[j])
				sum += d * d
				count++
			}
		}
	}
	if want := sum / count; math.Abs(e.Error-want) > 1e-12*want {
		t.Errorf("an error of %g, want %g", e.Error, want)
	}
	if want := 1 - float64(len(different))/n; e.CollisionRate != want {
		t.Errorf("a rate of %g, want %g", e.CollisionRate, want)
	}
}
