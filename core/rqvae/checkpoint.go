package rqvae

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

// A checkpoint is a safetensors file: the weights, AdamW's means, the counts of EMA codebooks, and the weights of the epochs
// that are still kept; the rest of the state is JSON in its header. The order of rows and what is dropped follow from the seed
// and the step.

// progress is the part of the state that is no array.
type progress struct {
	Fingerprint string      `json:"fingerprint"` // of the rows and the settings
	Steps       int         `json:"steps"`
	History     []Epoch     `json:"history"`
	Kept        []keptEpoch `json:"kept"`
}

type keptEpoch struct {
	Epoch             int
	Error, Rate, Loss float64
}

const stateNote = "semantic_id_state"

// save writes the state to the file, whole or not at all.
func (t *trainer) save(path string) (err error) {
	state := progress{Fingerprint: t.fingerprint(), Steps: t.adam.steps, History: t.history}
	var tensors []persist.Tensor
	add := func(prefix string, w *weights) {
		for _, t := range w.tensors {
			tensors = append(tensors, persist.Tensor{Name: prefix + t.Name, Shape: t.Shape, Data: t.Data})
		}
	}
	add("weights/", t.weights)
	for i, m := range t.adam.m {
		for j, data := range [][]float32{m, t.adam.v[i]} {
			tensors = append(tensors, persist.Tensor{Name: fmt.Sprintf("adam/%d/%d", j, i), Shape: []int{len(data)}, Data: data})
		}
	}
	if t.ema != nil {
		for l, counts := range t.ema.counts {
			tensors = append(tensors, persist.Tensor{Name: fmt.Sprintf("ema/%d", l), Shape: []int{len(counts)}, Data: counts})
		}
	}
	for i, s := range t.kept {
		state.Kept = append(state.Kept, keptEpoch{s.epoch, s.error, s.rate, s.loss})
		add(fmt.Sprintf("kept/%d/", i), s.weights)
	}
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := persist.WriteSafetensors(f, tensors, map[string]string{stateNote: string(text)}); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// resume takes the state from the file, if there is one. A checkpoint of other rows or settings is an error.
func (t *trainer) resume(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	tensors, notes, err := persist.ReadSafetensors(f, info.Size())
	if err != nil {
		return fmt.Errorf("rqvae: checkpoint %s: %w; delete it to begin anew", path, err)
	}
	var state progress
	if err := json.Unmarshal([]byte(notes[stateNote]), &state); err != nil {
		return fmt.Errorf("rqvae: checkpoint %s: %w: no state of a training; choose another name", path, core.ErrFormat)
	}
	if state.Fingerprint != t.fingerprint() {
		return fmt.Errorf("rqvae: checkpoint %s: %w: it is of other rows or settings; choose another name, or delete it to begin anew", path, core.ErrParam)
	}
	named := make(map[string][]float32, len(tensors))
	for _, v := range tensors {
		named[v.Name] = v.Data
	}
	take := func(name string, dst []float32) {
		if len(named[name]) != len(dst) {
			err = fmt.Errorf("rqvae: checkpoint %s: %w: %s has %d values, want %d; delete it to begin anew", path, core.ErrFormat, name, len(named[name]), len(dst))
		}
		copy(dst, named[name])
	}
	takeAll := func(prefix string, w *weights) {
		for _, t := range w.tensors {
			take(prefix+t.Name, t.Data)
		}
	}
	kept := t.kept[:0]
	for i, s := range state.Kept {
		kept = append(kept, &snapshot{epoch: s.Epoch, error: s.Error, rate: s.Rate, loss: s.Loss, weights: newWeights(t.Shape)})
		takeAll(fmt.Sprintf("kept/%d/", i), kept[i].weights)
	}
	takeAll("weights/", t.weights)
	for i, m := range t.adam.m {
		take(fmt.Sprintf("adam/0/%d", i), m)
		take(fmt.Sprintf("adam/1/%d", i), t.adam.v[i])
	}
	if t.ema != nil {
		for l, counts := range t.ema.counts {
			take(fmt.Sprintf("ema/%d", l), counts)
		}
	}
	if err != nil {
		return err
	}
	t.kept, t.history, t.adam.steps = kept, state.History, state.Steps
	return nil
}

// fingerprint is a hash of all that the training depends on.
func (t *trainer) fingerprint() string {
	if t.hash != "" {
		return t.hash
	}
	p := t.Params
	p.Progress, p.Checkpoint, p.CheckpointEvery = nil, "", 0
	if p.Schedule != Cosine {
		p.Epochs = 0 // more of them go on from where fewer ended
	}
	h := sha256.New()
	fmt.Fprintf(h, "1 %d %d %+v", t.x.Rows, t.x.Cols, p)
	buf := make([]byte, 4*t.x.Cols)
	for i := range t.x.Rows {
		for j, v := range t.x.Row(i) {
			binary.LittleEndian.PutUint32(buf[4*j:], math.Float32bits(v))
		}
		h.Write(buf)
	}
	t.hash = hex.EncodeToString(h.Sum(nil))
	return t.hash
}
