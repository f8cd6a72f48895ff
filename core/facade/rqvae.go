package facade

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rqvae"
)

// autoencoders are the models of package rqvae that callers hold.
var autoencoders = handles[*rqvae.Model]{of: " of an RQVAE"}

// rqvaeSettings is the JSON object that calls take: the arguments of the Python class RQVAE, by their names, plus, which
// says that the encoder adds to the rows (RQ-KMeans+), and the checkpoint.
type rqvaeSettings struct {
	InDim           int       `json:"in_dim"`
	NumEmbList      []int     `json:"num_emb_list"`
	EDim            int       `json:"e_dim"`
	Layers          []int     `json:"layers"`
	BN              bool      `json:"bn"`
	Plus            bool      `json:"plus"`
	DropoutProb     float64   `json:"dropout_prob"`
	LossType        string    `json:"loss_type"`
	LossReduction   string    `json:"loss_reduction"`
	QuantLossWeight float64   `json:"quant_loss_weight"`
	Beta            float64   `json:"beta"`
	KMeansInit      bool      `json:"kmeans_init"`
	KMeansIters     int       `json:"kmeans_iters"`
	SkEpsilons      []float64 `json:"sk_epsilons"`
	SkIters         int       `json:"sk_iters"`
	LR              float64   `json:"lr"`
	WeightDecay     float64   `json:"weight_decay"`
	BatchSize       int       `json:"batch_size"`
	Epochs          int       `json:"epochs"`
	LRScheduler     string    `json:"lr_scheduler"` // "" for none
	WarmupEpochs    int       `json:"warmup_epochs"`
	LRStepSize      int       `json:"lr_step_size"`
	LRGamma         float64   `json:"lr_gamma"`
	MaxGradNorm     float64   `json:"max_grad_norm"` // 0 for none, as the next
	Patience        int       `json:"patience"`
	RestartDead     bool      `json:"restart_dead"`
	RotationTrick   bool      `json:"rotation_trick"`
	EMADecay        float64   `json:"ema_decay"` // 0 for none
	LevelDropout    float64   `json:"level_dropout"`
	NormalizeInput  string    `json:"normalize_input"` // "" for none
	Checkpoint      string    `json:"checkpoint"`      // path of a file, "" for none
	CheckpointEvery int       `json:"checkpoint_every"`
}

func rqvaeSettingsAt(addr uint64, size int64) (s rqvaeSettings, err error) {
	d := json.NewDecoder(bytes.NewReader(slice[byte](addr, size)))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: settings: %w", core.ErrParam, err)
	}
	return s, nil
}

func (s rqvaeSettings) shape() rqvae.Shape {
	return rqvae.Shape{InDim: s.InDim, Layers: s.Layers, EDim: s.EDim, Clusters: s.NumEmbList, BatchNorm: s.BN, Plus: s.Plus, Normalized: s.NormalizeInput != ""}
}

var (
	rqvaeLosses     = map[string]rqvae.Loss{"mse": rqvae.MSE, "l1": rqvae.L1}
	rqvaeReductions = map[string]bool{"mean": false, "sum": true}
	rqvaeNorms      = map[string]rqvae.Normalization{"": rqvae.AsTheyAre, "columns": rqvae.EachColumn, "all": rqvae.AllColumns}
	rqvaeSchedules  = map[string]rqvae.Schedule{"": rqvae.Constant, "cosine": rqvae.Cosine, "step": rqvae.Step, "constant_with_warmup": rqvae.ConstantWithWarmup}
)

// named looks up the value of a setting.
func named[T any](key, name string, values map[string]T) (T, error) {
	v, ok := values[name]
	if !ok {
		return v, fmt.Errorf("%w: unknown %s %q", core.ErrParam, key, name)
	}
	return v, nil
}

func (s rqvaeSettings) params(seed uint64) (p rqvae.Params, err error) {
	p = rqvae.Params{
		Shape: s.shape(), Dropout: s.DropoutProb, QuantWeight: s.QuantLossWeight, Beta: s.Beta,
		KMeansInit: s.KMeansInit, KMeansIters: s.KMeansIters, Epsilons: s.SkEpsilons, SinkhornIters: s.SkIters,
		LR: s.LR, WeightDecay: s.WeightDecay, BatchSize: s.BatchSize, Epochs: s.Epochs,
		WarmupEpochs: s.WarmupEpochs, StepSize: s.LRStepSize, Gamma: s.LRGamma, Seed: seed,
		MaxNorm: s.MaxGradNorm, Patience: s.Patience, RestartDead: s.RestartDead, Rotate: s.RotationTrick, EMA: s.EMADecay, LevelDropout: s.LevelDropout,
		Checkpoint: s.Checkpoint, CheckpointEvery: s.CheckpointEvery,
	}
	if p.Loss, err = named("loss_type", s.LossType, rqvaeLosses); err != nil {
		return p, err
	}
	if p.Sum, err = named("loss_reduction", s.LossReduction, rqvaeReductions); err != nil {
		return p, err
	}
	if p.Normalize, err = named("normalize_input", s.NormalizeInput, rqvaeNorms); err != nil {
		return p, err
	}
	p.Schedule, err = named("lr_scheduler", s.LRScheduler, rqvaeSchedules)
	return p, err
}

// RQVAEFit trains a model on x, float32 (rows, dim), as rqvae.Fit does. settings is JSON text, see rqvaeSettings. booksAddr,
// unless 0, holds an uint64 address for each level, of the codebook to begin with, float32 (num_emb_list[l], e_dim).
//
// While it runs it writes to historyOut, float64 (epochs, 5 + 2 levels), a row for each epoch before it counts it in
// ControlDone: the loss, its part of the reconstruction, the learning rate, the error, the collision rate, and per level the
// utilization and the perplexity. On success, and with KindDiverged, it writes the number of epochs and the index of the one
// that was kept (int64; 0 epochs: none was) and its tensors to weightsOut, float32, one after the other in the order of
// rqvae.Model.Tensors, weightsLen of them.
func RQVAEFit(xAddr uint64, rows, dim int64, settingsAddr uint64, settingsLen int64, seed uint64, booksAddr, weightsOut uint64, weightsLen int64,
	historyOut, epochsOut, keptOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		s, err := rqvaeSettingsAt(settingsAddr, settingsLen)
		if err != nil {
			return err
		}
		p, err := s.params(seed)
		if err != nil {
			return err
		}
		if err := p.Shape.Check(); err != nil {
			return err
		}
		levels := len(s.NumEmbList)
		if booksAddr != 0 {
			ks := make([]int64, levels)
			for l, k := range s.NumEmbList {
				ks[l] = int64(k)
				book, err := matrix(slice[uint64](booksAddr, int64(levels))[l], ks[l], int64(s.EDim))
				if err != nil {
					return err
				}
				p.Books = append(p.Books, book)
			}
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, 1)
		control.set(ControlTotal, s.Epochs)
		width := 5 + 2*levels
		p.Progress = func(epoch int, e rqvae.Epoch) {
			row := slice[float64](historyOut, int64(s.Epochs*width))[epoch*width:][:0]
			row = append(row, e.Loss, e.Recon, e.LR, e.Error, e.CollisionRate)
			row = append(row, e.Utilization...)
			_ = append(row, e.Perplexity...)
			control.set(ControlDone, epoch+1)
		}
		put(epochsOut, int64(0))
		m, h, failed := rqvae.Fit(ctx, x, p)
		if m == nil {
			return failed
		}
		if err := putTensors(weightsOut, weightsLen, m); err != nil {
			return err
		}
		put(epochsOut, int64(len(h.Epochs)))
		put(keptOut, int64(h.Kept))
		return failed
	})
}

func putTensors(addr uint64, size int64, m *rqvae.Model) error {
	out := slice[float32](addr, size)
	for _, t := range m.Tensors() {
		if len(out) < len(t.Data) {
			return fmt.Errorf("%w: room for %d weights, the model has more", core.ErrShape, size)
		}
		out = out[copy(out, t.Data):]
	}
	if len(out) > 0 {
		return fmt.Errorf("%w: room for %d weights, the model has %d fewer", core.ErrShape, size, len(out))
	}
	return nil
}

// RQVAENew makes a model of a copy of its tensors, as RQVAEFit writes them, and writes its handle (int64) to handleOut. Of the
// settings it uses in_dim, num_emb_list, e_dim, layers, bn, plus and normalize_input.
func RQVAENew(settingsAddr uint64, settingsLen int64, weightsAddr uint64, weightsLen int64, handleOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := rqvaeSettingsAt(settingsAddr, settingsLen)
		if err != nil {
			return err
		}
		m, err := rqvae.FromFlat(s.shape(), slice[float32](weightsAddr, weightsLen))
		if err != nil {
			return err
		}
		put(handleOut, autoencoders.add(m))
		return nil
	})
}

// RQVAELoad reads the model directory at the UTF-8 path and writes its handle (int64) to handleOut.
func RQVAELoad(pathAddr uint64, pathLen int64, handleOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := rqvae.Load(string(slice[byte](pathAddr, pathLen)))
		if err != nil {
			return err
		}
		put(handleOut, autoencoders.add(m))
		return nil
	})
}

// RQVAEShape writes the number of levels, the columns of rows and of latents, and the size of each codebook (all int64);
// clustersOut may be 0.
func RQVAEShape(handle int64, levelsOut, dimOut, latentDimOut, clustersOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := autoencoders.get(handle)
		if err != nil {
			return err
		}
		clusters := m.Clusters()
		put(levelsOut, int64(len(clusters)))
		put(dimOut, int64(m.Dim()))
		put(latentDimOut, int64(m.Shape().EDim))
		putClusters(clustersOut, clusters)
		return nil
	})
}

// RQVAEFree lets go of a model. Calls that use it at this moment still end well; an unknown handle is ignored.
func RQVAEFree(handle int64) { _, _ = autoencoders.take(handle) }

// RQVAEEncode writes the codes, int32 (rows, levels), of x, float32 (rows, dim). batch bounds the rows in work (0: a good
// number) and changes no code.
func RQVAEEncode(handle int64, xAddr uint64, rows, dim, batch int64, codesAddr, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		m, err := autoencoders.get(handle)
		if err != nil {
			return err
		}
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		dst, err := codes(codesAddr, rows, int64(len(m.Clusters())))
		if err != nil {
			return err
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, 1)
		control.set(ControlTotal, x.Rows)
		return m.EncodeBlocks(ctx, x, dst, intOf(batch), func(done int) { control.set(ControlDone, done) })
	})
}

// RQVAELatents writes what the model quantizes of x, float32 (rows, dim): its latents, float32 (rows, columns of a codebook).
func RQVAELatents(handle int64, xAddr uint64, rows, dim int64, outAddr, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		m, err := autoencoders.get(handle)
		if err != nil {
			return err
		}
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		out, err := matrix(outAddr, rows, int64(m.Shape().EDim))
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		return m.Latents(ctx, x, out)
	})
}

// RQVAEDecode writes the rows, float32 (rows, dim), that the decoder makes of codes, int32 (rows, levels).
func RQVAEDecode(handle int64, codesAddr uint64, rows, levels int64, outAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := autoencoders.get(handle)
		if err != nil {
			return err
		}
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		out, err := matrix(outAddr, rows, int64(m.Dim()))
		if err != nil {
			return err
		}
		return m.Decode(c, out)
	})
}
