package rqvae

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"gorgonia.org/gorgonia"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/kmeans"
)

// History is what each epoch came to, and which of them the model is of.
type History struct {
	Epochs []Epoch
	Kept   int // index of Epochs
}

// Fit trains a model on the rows of x. Of all epochs it keeps the one that, among those whose Error is within 5 % of the
// least, has the lowest CollisionRate, then Loss. Equal rows and Params give equal models on any number of threads and
// every CPU.
//
// Fit ends early with the error of ctx. When a loss or gradient is not finite it ends with a core.ErrDiverged that names
// the step and the learning rate; the model and the history are then of the epochs before, nil if there was none.
func Fit(ctx context.Context, x core.Matrix, p Params) (_ *Model, _ *History, err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := x.Check(); err != nil {
		return nil, nil, fmt.Errorf("rqvae: %w", err)
	}
	if x.Cols != p.InDim {
		return nil, nil, fmt.Errorf("rqvae: %w: rows of %d columns, InDim is %d", core.ErrShape, x.Cols, p.InDim)
	}
	if err := p.check(x.Rows); err != nil {
		return nil, nil, err
	}
	if err := x.CheckFinite(); err != nil {
		return nil, nil, fmt.Errorf("rqvae: %w", err)
	}
	t := newTrainer(ctx, x, p)
	if p.Checkpoint != "" {
		if err := t.resume(p.Checkpoint); err != nil {
			return nil, nil, err
		}
	}
	failed := t.run()
	best := t.kept.best()
	if best == nil || failed != nil && ctx.Err() != nil {
		return nil, nil, failed
	}
	m := newModel(best.weights)
	m.params = t.Params
	return m, &History{Epochs: t.history, Kept: best.epoch}, failed
}

// trainer is the state of a fit.
type trainer struct {
	Params
	ctx     context.Context
	x       core.Matrix
	watched []int // the rows that epochs are judged by
	batches map[int]*batch

	weights *weights
	adam    *adam
	ema     *averages // nil: codebooks learn by gradients
	history []Epoch
	kept    kept
	hash    string // see fingerprint

	used [][]int    // with RestartDead: how often an epoch used each code of each level
	last *quantizer // and that of its last batch
}

func newTrainer(ctx context.Context, x core.Matrix, p Params) *trainer {
	p.Normalized = p.Normalize != AsTheyAre
	t := &trainer{Params: p, ctx: ctx, x: x, watched: monitored(x.Rows, p.Seed), batches: map[int]*batch{}, weights: newWeights(p.Shape)}
	if t.Normalized {
		t.weights.input.learn(x, p.Normalize)
	}
	t.weights.start(p.Books, p.Seed)
	if p.EMA > 0 {
		t.ema = newAverages(p, x.Rows)
		for i := range t.weights.tensors {
			if w := &t.weights.tensors[i]; strings.HasPrefix(w.Name, booksPrefix) {
				w.learned = false
			}
		}
	}
	t.adam = newAdam(t.weights)
	return t
}

// run trains from where the state is to the last epoch.
func (t *trainer) run() error {
	for epoch, e := range t.history {
		if t.Progress != nil {
			t.Progress(epoch, e)
		}
	}
	if t.Patience > 0 && stale(t.history, t.Patience) { // a checkpoint of the end
		return nil
	}
	for epoch := len(t.history); epoch < t.Epochs; epoch++ {
		e, err := t.epoch(epoch)
		if err != nil {
			return err
		}
		t.history = append(t.history, e)
		t.kept.add(snapshot{epoch: epoch, error: e.Error, rate: e.CollisionRate, loss: e.Loss}, t.weights)
		if t.RestartDead {
			t.restart(t.last, epoch)
		}
		ends := epoch == t.Epochs-1 || t.Patience > 0 && stale(t.history, t.Patience)
		if t.Checkpoint != "" && ((epoch+1)%t.CheckpointEvery == 0 || ends) {
			if err := t.save(t.Checkpoint); err != nil {
				return fmt.Errorf("rqvae: checkpoint: %w", err)
			}
		}
		if t.Progress != nil {
			t.Progress(epoch, e)
		}
		if ends {
			break
		}
	}
	return nil
}

// epoch takes all rows once, in an order that depends on the seed and its number alone.
func (t *trainer) epoch(epoch int) (e Epoch, err error) {
	order := rand.New(rand.NewPCG(t.Seed, uint64(epoch)<<1|1)).Perm(t.x.Rows)
	steps := (t.x.Rows + t.BatchSize - 1) / t.BatchSize
	for i := range steps {
		if err := t.ctx.Err(); err != nil {
			return e, err
		}
		rows := order[i*t.BatchSize : min(len(order), (i+1)*t.BatchSize)]
		b, err := t.batch(len(rows))
		if err != nil {
			return e, err
		}
		gather(b.x, t.x, rows)
		t.weights.input.apply(b.x, b.x)
		e.LR = t.rate(t.adam.steps, steps)
		if t.adam.steps == 0 && t.KMeansInit && t.Books == nil {
			b.quantizer.begin = t.cluster
		}
		if err := b.run(); err != nil {
			return e, err
		}
		b.quantizer.begin = nil
		if what := b.notFinite(); what != "" {
			return e, fmt.Errorf("rqvae: %w: %s at step %d, in epoch %d, with a learning rate of %.4g; lower the learning rate, or scale the rows",
				core.ErrDiverged, what, t.adam.steps+1, epoch+1, e.LR)
		}
		if t.MaxNorm > 0 {
			clip(b.grads, t.MaxNorm)
		}
		if t.RestartDead {
			t.count(b.quantizer)
			t.last = b.quantizer
		}
		t.adam.step(t.weights, b.grads, e.LR, t.WeightDecay)
		if t.ema != nil {
			t.ema.step(b.quantizer)
		}
		share := 1 / float64(steps)
		e.Loss += float64(float64(b.loss[0]) * share)
		e.Recon += float64(float64(b.recon[0]) * share)
	}
	if name := t.weights.notFinite(); name != "" {
		return e, fmt.Errorf("rqvae: %w: %s overflowed in epoch %d, with a learning rate of %.4g; lower it", core.ErrDiverged, name, epoch+1, e.LR)
	}
	return e, e.monitor(t.ctx, newModel(t.weights), t.x, t.watched, t.Loss)
}

// cluster makes book the k-means centroids of z, what level l gets of the first batch.
func (t *trainer) cluster(l int, z, book core.Matrix) error {
	p := kmeans.DefaultParams(book.Rows)
	p.MaxIter, p.Seed = t.KMeansIters, t.Seed+uint64(l)
	r, err := kmeans.Fit(t.ctx, kmeans.RowsOf(z), nil, p)
	if err != nil {
		return err
	}
	copy(book.Data, r.Centroids.Data)
	return nil
}

// batch is the graph for batches of a number of rows.
type batch struct {
	x           core.Matrix
	program     *program
	quantizer   *quantizer
	loss, recon []float32
	grads       [][]float32 // of the learned tensors
}

func (b *batch) run() error {
	b.program.run()
	return b.quantizer.err
}

func (b *batch) notFinite() string {
	if v := float64(b.loss[0]); math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprintf("the loss is %g", v)
	}
	for _, g := range b.grads {
		if i := notFinite(g); i >= 0 {
			return fmt.Sprintf("a gradient is %g", g[i])
		}
	}
	return ""
}

// building guards gorgonia's own state, which graphs share.
var building sync.Mutex

// batch returns the graph for batches of so many rows. There are two sizes: the last batch of an epoch may be smaller.
func (t *trainer) batch(rows int) (*batch, error) {
	if b := t.batches[rows]; b != nil {
		return b, nil
	}
	b, _, _, err := t.build(rows)
	if err != nil {
		return nil, fmt.Errorf("rqvae: the training graph: %w", err)
	}
	t.batches[rows] = b
	return b, nil
}

// build makes the graph, has gorgonia differentiate it, and plans its run. The last of its results are the gradients' nodes.
func (t *trainer) build(rows int) (*batch, *graph, gorgonia.Nodes, error) {
	building.Lock()
	defer building.Unlock()
	b := &batch{x: core.NewMatrix(rows, t.InDim), quantizer: newQuantizer(t.ctx, t.weights.books, rows, t.Params)}
	if t.LevelDropout > 0 {
		b.quantizer.deepen = drawDepths(t.LevelDropout, len(t.Clusters), t.stepSeed(-1))
	}
	g := &graph{ExprGraph: gorgonia.NewGraph()}
	x := g.input("x", rows, t.InDim)
	inputs := map[*gorgonia.Node][]float32{x: b.x.Data}
	var learned gorgonia.Nodes
	nodes := map[*float32]*gorgonia.Node{} // by where their values lie
	for _, s := range t.weights.tensors {
		if s.learned {
			n := g.input(s.Name, s.Shape...)
			learned = append(learned, n)
			inputs[n], nodes[&s.Data[0]] = s.Data, n
		}
	}
	param := func(data []float32) *gorgonia.Node { return nodes[&data[0]] }

	z := t.layers(g, x, t.weights.encoder, param)
	if t.Plus {
		z = g.sum(x, z)
	}
	var books gorgonia.Nodes
	for _, book := range t.weights.books {
		if t.ema == nil {
			books = append(books, param(book.Data))
		}
	}
	quantized := g.quantize(b.quantizer, z, books)
	reconScale, quantScale := 1/float64(rows), 1/float64(rows*len(t.Clusters))
	if !t.Sum {
		reconScale /= float64(t.InDim)
		quantScale /= float64(t.EDim)
	}
	quantLoss := g.quantizeLoss(b.quantizer, z, quantized, books, t.Beta, quantScale)
	recon := g.distance(t.layers(g, quantized, t.weights.decoder, param), x, t.Loss, reconScale)
	loss := g.weighted(recon, quantLoss, t.QuantWeight)
	grads, err := gorgonia.Grad(loss, learned...)
	if err != nil {
		return nil, nil, nil, err
	}
	wanted := append(slices.Clone(grads), loss, recon)
	if b.program, err = newProgram(g.ExprGraph, inputs, wanted...); err != nil {
		return nil, nil, nil, err
	}
	b.loss, b.recon = b.program.values[loss], b.program.values[recon]
	for _, n := range grads {
		b.grads = append(b.grads, b.program.values[n])
	}
	return b, g, grads, nil
}

// layers adds layers to the graph.
func (t *trainer) layers(g *graph, x *gorgonia.Node, layers []layer, param func([]float32) *gorgonia.Node) *gorgonia.Node {
	for _, l := range layers {
		if t.Dropout > 0 {
			x = g.dropout(x, t.Dropout, t.stepSeed(g.count))
		}
		x = g.linear(x, param(l.w), param(l.bias), l.relu && l.norm == nil)
		if l.norm != nil {
			x = g.norm(x, param(l.norm.gain), param(l.norm.shift), l.norm)
		}
	}
	return x
}

// stepSeed returns a function that gives the seed for the step that runs of what is drawn at a place of the graph; -1: of none.
func (t *trainer) stepSeed(place int) func() uint64 {
	return func() uint64 {
		return rand.NewPCG(t.Seed+uint64(place)<<32, uint64(t.adam.steps)).Uint64()
	}
}
