package rqvae

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// Shape is what a model's tensors depend on.
type Shape struct {
	InDim     int   // columns of a row
	Layers    []int // widths of the encoder's hidden layers; the decoder has them in reverse
	EDim      int   // columns of the latent and of the codebooks
	Clusters  []int // vectors of each codebook, coarse level first
	BatchNorm bool  // between a hidden layer's product and its ReLU
	Plus      bool  // the latent is the row plus what the encoder makes of it (RQ-KMeans+); EDim is InDim then

	Normalized bool // it keeps means and scales of rows, see Normalization; Fit sets it
}

// Loss says how a reconstruction is compared with its row.
type Loss int

const (
	MSE Loss = iota // squared differences
	L1              // absolute differences
)

// Schedule says how the learning rate goes, step by step.
type Schedule int

const (
	Constant           Schedule = iota // LR
	Cosine                             // up in a line for WarmupEpochs, then by half a cosine to 0
	Step                               // times Gamma every StepSize epochs
	ConstantWithWarmup                 // up in a line for WarmupEpochs, then LR
)

// Params sets up Fit. Start from DefaultParams and change fields: 0 is then a value, not "unset".
type Params struct {
	Shape

	Dropout     float64 // share of what goes into each linear layer set to 0 in training, from 0 to below 1
	Loss        Loss
	Sum         bool    // sum losses over the columns and average them over the rows; false: average over both
	QuantWeight float64 // weight of the quantizer's loss beside that of the reconstruction
	Beta        float64 // weight of moving latents to code vectors beside moving code vectors to latents

	KMeansInit  bool // codebooks begin as k-means of the first batch
	KMeansIters int

	// Epsilons, when set, has one number a level: where it is positive, training assigns that level's batch by Sinkhorn's
	// iterations with this weight of the entropy, which uses all vectors alike. Encoding always takes the nearest.
	Epsilons      []float64
	SinkhornIters int

	LR, WeightDecay   float64 // of AdamW
	BatchSize, Epochs int
	Schedule          Schedule
	WarmupEpochs      int
	StepSize          int // epochs
	Gamma             float64

	Seed uint64

	// Aids, off by default.

	// MaxNorm, if positive, bounds the norm of all gradients together: against steps that a few rows far from the others would
	// dominate.
	MaxNorm float64
	// Patience, if positive, ends the training after so many epochs in which neither the least error nor the least collision
	// rate fell.
	Patience int
	// RestartDead moves vectors that an epoch did not use to where rows are: for codebooks of which a part is never reached.
	RestartDead bool
	// Rotate differentiates each level as a rotation (rotate.go): for levels of which few vectors are used. Set EMA, to 0.9 say,
	// and KMeansInit with it: vectors that gradients move do not keep up with the latents then.
	Rotate bool
	// EMA, if positive, keeps each vector as the mean of what chose it, of which this share stays each step (ema.go): for codebooks
	// that lag behind the latents, or jump about. Below 1.
	EMA float64
	// LevelDropout is the share of a batch's rows that go through the first levels alone, from 1 to all, drawn for each (depth.go):
	// for prefixes of codes that are used alone. From 0 to 1.
	LevelDropout float64
	// Normalize says how the model normalizes rows (scaling.go): for columns of different scales, or values far from 1.
	Normalize Normalization

	// Books, when set, are the codebooks to begin with, of the clusters and columns that Shape says.
	Books []core.Matrix

	// Checkpoint, when set, is a file that keeps the state of the training after every CheckpointEvery epochs and after the
	// last. If it is there at the start, the training goes on from it, to the same model as without a break.
	Checkpoint      string
	CheckpointEvery int

	// Progress, when set, is called after each epoch from the calling goroutine.
	Progress func(epoch int, e Epoch)
}

// DefaultParams returns the settings of the Python class RQVAE for rows of dim columns: 4 codebooks of 256 vectors of 64
// columns behind layers of 512, 256 and 128.
func DefaultParams(dim int) Params {
	return Params{
		Shape:       Shape{InDim: dim, Layers: []int{512, 256, 128}, EDim: 64, Clusters: []int{256, 256, 256, 256}},
		QuantWeight: 1, Beta: 0.25, KMeansIters: 100, SinkhornIters: 100,
		LR: 1e-4, BatchSize: 2048, Epochs: 100, StepSize: 50, Gamma: 0.5, CheckpointEvery: 10,
	}
}

// maxWidth is far beyond any layer that memory holds, and keeps products of two from overflowing.
const maxWidth = 1 << 24

func badParam(format string, args ...any) error {
	return fmt.Errorf("rqvae: %w: %s", core.ErrParam, fmt.Sprintf(format, args...))
}

// Check returns an ErrParam for the first field that cannot be used.
func (s Shape) Check() error {
	if s.InDim < 1 || s.InDim > maxWidth {
		return badParam("InDim is %d, want 1 to %d", s.InDim, maxWidth)
	}
	for i, w := range s.Layers {
		if w < 1 || w > maxWidth {
			return badParam("layer %d is %d wide, want 1 to %d", i, w, maxWidth)
		}
	}
	if s.EDim < 1 || s.EDim > maxWidth {
		return badParam("EDim is %d, want 1 to %d", s.EDim, maxWidth)
	}
	if len(s.Clusters) == 0 {
		return badParam("no codebook, want a size for each level")
	}
	for l, k := range s.Clusters {
		if k < 1 || k > maxWidth {
			return badParam("codebook %d has %d vectors, want 1 to %d", l, k, maxWidth)
		}
	}
	if s.Plus && s.EDim != s.InDim {
		return badParam("EDim is %d and InDim %d: the start from RQ-KMeans codebooks adds rows and latents, so they must be equal", s.EDim, s.InDim)
	}
	return nil
}

// check returns an ErrParam for the first field that cannot be used with this many rows.
func (p Params) check(rows int) error {
	if err := p.Shape.Check(); err != nil {
		return err
	}
	finite := func(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }
	batch := min(rows, p.BatchSize)
	switch {
	case !(p.Dropout >= 0 && p.Dropout < 1):
		return badParam("Dropout is %g, want a number from 0 to below 1", p.Dropout)
	case p.Loss != MSE && p.Loss != L1:
		return badParam("unknown loss %d", p.Loss)
	case !finite(p.QuantWeight):
		return badParam("QuantWeight is %g, want a number >= 0", p.QuantWeight)
	case !finite(p.Beta):
		return badParam("Beta is %g, want a number >= 0", p.Beta)
	case p.KMeansIters < 1:
		return badParam("KMeansIters is %d, want at least 1", p.KMeansIters)
	case p.Epsilons != nil && len(p.Epsilons) != len(p.Clusters):
		return badParam("%d Epsilons for %d levels, want one for each", len(p.Epsilons), len(p.Clusters))
	case p.SinkhornIters < 1:
		return badParam("SinkhornIters is %d, want at least 1", p.SinkhornIters)
	case !finite(p.LR):
		return badParam("LR is %g, want a number >= 0", p.LR)
	case !finite(p.WeightDecay):
		return badParam("WeightDecay is %g, want a number >= 0", p.WeightDecay)
	case p.BatchSize < 1:
		return badParam("BatchSize is %d, want at least 1", p.BatchSize)
	case p.Epochs < 1:
		return badParam("Epochs is %d, want at least 1", p.Epochs)
	case p.Schedule < Constant || p.Schedule > ConstantWithWarmup:
		return badParam("unknown schedule %d", p.Schedule)
	case p.WarmupEpochs < 0:
		return badParam("WarmupEpochs is %d, want at least 0", p.WarmupEpochs)
	case p.Schedule == Step && p.StepSize < 1:
		return badParam("StepSize is %d, want at least 1", p.StepSize)
	case !finite(p.Gamma):
		return badParam("Gamma is %g, want a number >= 0", p.Gamma)
	case !finite(p.MaxNorm):
		return badParam("MaxNorm is %g, want a number >= 0", p.MaxNorm)
	case !(p.EMA >= 0 && p.EMA < 1):
		return badParam("EMA is %g, want a number from 0, for none, to below 1, such as 0.9", p.EMA)
	case p.Normalize < AsTheyAre || p.Normalize > AllColumns:
		return badParam("unknown normalization %d", p.Normalize)
	case !(p.LevelDropout >= 0 && p.LevelDropout <= 1):
		return badParam("LevelDropout is %g, want a number from 0 to 1", p.LevelDropout)
	case p.Patience < 0:
		return badParam("Patience is %d, want at least 0", p.Patience)
	case p.Checkpoint != "" && p.CheckpointEvery < 1:
		return badParam("CheckpointEvery is %d, want at least 1", p.CheckpointEvery)
	case p.BatchNorm && len(p.Layers) > 0 && lastBatch(rows, p.BatchSize) < 2:
		return badParam("a batch of one row (%d rows, BatchSize %d) has no variance for BatchNorm: choose another BatchSize", rows, p.BatchSize)
	}
	for l, e := range p.Epsilons {
		if !finite(max(e, 0)) || math.IsNaN(e) {
			return badParam("Epsilons of level %d is %g, want a number; at most 0 for none", l, e)
		}
	}
	if p.Books != nil {
		return p.checkBooks()
	}
	for l, k := range p.Clusters {
		if p.KMeansInit && k > batch {
			return badParam("KMeansInit needs a batch of at least %d rows for codebook %d, the first one has %d: raise BatchSize, or give more rows", k, l, batch)
		}
	}
	return nil
}

// lastBatch is the number of rows in the last batch of an epoch.
func lastBatch(rows, size int) int { return (rows-1)%size + 1 }

func (p Params) checkBooks() error {
	if len(p.Books) != len(p.Clusters) {
		return badParam("%d codebooks to begin with, the model has %d levels", len(p.Books), len(p.Clusters))
	}
	for l, b := range p.Books {
		if err := b.Check(); err != nil {
			return fmt.Errorf("rqvae: codebook %d to begin with: %w", l, err)
		}
		if b.Rows != p.Clusters[l] || b.Cols != p.EDim {
			return badParam("codebook %d to begin with has %d vectors of %d columns, the model wants %d of %d", l, b.Rows, b.Cols, p.Clusters[l], p.EDim)
		}
		if err := b.CheckFinite(); err != nil {
			return fmt.Errorf("rqvae: codebook %d to begin with: %w", l, err)
		}
	}
	return nil
}
