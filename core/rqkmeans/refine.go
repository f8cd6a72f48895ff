package rqkmeans

import (
	"context"
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/kmeans"
)

// RefineParams sets up Refine. Start from DefaultRefineParams.
type RefineParams struct {
	Beam    int     // that of the encoding whose error is to fall, as in EncodeBeam
	MaxIter int     // most encodings of all rows, at least 1
	Tol     float64 // stop when an update lowers the error by this share or less
	Seed    uint64

	// Progress, when set, is called after each encoding with how many there were.
	Progress func(done int)
}

// DefaultRefineParams returns 30 iterations and a Tol of 1e-4.
func DefaultRefineParams(beam int) RefineParams {
	return RefineParams{Beam: beam, MaxIter: 30, Tol: 1e-4}
}

// Refined tells how Refine went.
type Refined struct {
	// Errors holds the weighted sum of the squared distances between the rows and what their codes decode to: before, after
	// the first phase, and after each update that was kept. No entry is larger than the one before.
	Errors    []float64
	Inertia   []float64 // the same after each level, of the model returned
	Converged bool      // an update was of no more use than Tol asks for, before MaxIter
}

const (
	// exploreShare of the iterations work on perturbed rows. The first adds noise of exploreNoise standard deviations of what
	// is left over, column by column; then it falls to 0. With beam 5 this ends 10 % below what updates without noise reach on
	// 3,686 x 384 sentence embeddings, 3 levels of 256, and 1 % on 63,666 x 384. Twice the noise is as good on the large data,
	// and ends 4 % higher on the small, 45 % with 8 levels; a third less is 0.2 to 0.3 % worse.
	exploreShare, exploreNoise = 2.0 / 3, 1.5
	// exploreBeam is the widest beam that looks for codes of perturbed rows: wider ones change the outcome by 0.1 %.
	exploreBeam = 5
	// leastStep is the smallest part of an update that is tried.
	leastStep = 1.0 / 16
	// refineColumns is how many columns a goroutine takes through all rows at a time. It changes no result.
	refineColumns = 64
)

// Refine returns a model of which EncodeBeam with p.Beam finds codes of rows of lower error, mostly, than of m: it fits the
// codebooks of all levels to each other, where Fit fits each level to what the levels before leave over. weights is as in
// Fit. The model returned is never worse on x than m.
//
// It alternates between encoding the rows and moving all centroids, given the codes, to where the squared error is least:
// level by level, each centroid by the weighted mean of what the whole codes leave of its rows, which is one round of block
// coordinate descent on the joint least-squares problem (Barnes, Rizvi, Nasrabadi, IEEE Trans. Image Process. 5(2), 1996).
// The first phase encodes rows with noise that dies down, so that codes leave the local optimum in which Fit ends. In the
// second the rows are as they are, and an update is kept only if the error after encoding anew is lower, else half of it is
// tried, and so on. Centroids that no code names stay where they are. Equal arguments give equal models on any number of
// threads and every CPU.
func (m *Model) Refine(ctx context.Context, x core.Matrix, weights []float64, p RefineParams) (_ *Model, _ Refined, err error) {
	defer fault.Recover(&err, x.Data)
	if err := m.checkRefine(x, weights, p); err != nil {
		return nil, Refined{}, err
	}
	if err := checkRows(ctx, x, m.metric); err != nil {
		return nil, Refined{}, err
	}
	r := &refiner{ctx: ctx, x: x, weights: weights, params: p, metric: m.metric}
	if m.metric == core.Cosine {
		r.norms = make([]float64, x.Rows)
		for i := range r.norms {
			r.norms[i] = math.Sqrt(sqNorm64(x.Row(i)))
		}
	}
	best, err := r.encode(m.books, 0)
	if err != nil {
		return nil, Refined{}, err
	}
	account := Refined{Errors: []float64{best.error()}}
	if best, err = r.explore(best); err != nil {
		return nil, Refined{}, err
	}
	account.Errors = append(account.Errors, best.error())
	for step := 1.0; ; {
		next, at, err := r.descend(best, step)
		if err != nil {
			return nil, Refined{}, err
		}
		if next == nil {
			account.Converged = r.done < p.MaxIter
			break
		}
		gain := best.error() - next.error()
		best, step = next, min(1, 2*at)
		account.Errors = append(account.Errors, best.error())
		if gain <= p.Tol*best.error() {
			account.Converged = true
			break
		}
	}
	model, err := New(best.books, m.metric)
	if err != nil {
		return nil, Refined{}, err
	}
	model.settings, account.Inertia = m.settings, best.left
	return model, account, nil
}

func (m *Model) checkRefine(x core.Matrix, weights []float64, p RefineParams) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("rqkmeans: %w", err)
	}
	if x.Cols != m.dim {
		return fmt.Errorf("rqkmeans: %w: rows of %d columns, the model has %d", core.ErrShape, x.Cols, m.dim)
	}
	if err := m.checkBeam(p.Beam); err != nil {
		return err
	}
	if p.MaxIter < 1 {
		return fmt.Errorf("rqkmeans: %w: MaxIter is %d, want at least 1", core.ErrParam, p.MaxIter)
	}
	if !(p.Tol >= 0) {
		return fmt.Errorf("rqkmeans: %w: Tol is %g, want a number >= 0", core.ErrParam, p.Tol)
	}
	return kmeans.CheckWeights(weights, x.Rows)
}

// refiner is one run of Refine.
type refiner struct {
	ctx     context.Context
	x       core.Matrix
	weights []float64
	params  RefineParams
	metric  core.Metric
	norms   []float64 // of the rows, under Cosine
	done    int       // encodings
	spread  []float64 // standard deviation of what is left over, by column
}

// trial is codebooks with their codes.
type trial struct {
	books []core.Matrix
	codes core.Codes
	left  []float64 // weighted sum of the squared distances that each level leaves
}

func (t *trial) error() float64 { return t.left[len(t.left)-1] }

func (r *refiner) weight(i int) float64 {
	if r.weights == nil {
		return 1
	}
	return r.weights[i]
}

// explore encodes perturbed rows and updates, over and over, and returns what that leads to if it is better than start.
func (r *refiner) explore(start *trial) (*trial, error) {
	rounds := int(exploreShare * float64(r.params.MaxIter-1))
	if rounds < 1 {
		return start, nil
	}
	at := start
	for i := range rounds {
		books, err := r.update(at, 1)
		if err == nil {
			at, err = r.encode(books, exploreNoise*(1-float64(i)/float64(rounds)))
		}
		if err != nil {
			return nil, err
		}
	}
	books, err := r.update(at, 1)
	if err == nil {
		at, err = r.encode(books, 0)
	}
	if err != nil {
		return nil, err
	}
	if at.error() < start.error() {
		return at, nil
	}
	return start, nil
}

// descend returns a better trial and which part of the update from t led there, step or less; nil if there is none.
func (r *refiner) descend(t *trial, step float64) (*trial, float64, error) {
	for ; step >= leastStep && r.done < r.params.MaxIter; step /= 2 {
		books, err := r.update(t, step)
		if err != nil {
			return nil, 0, err
		}
		next, err := r.encode(books, 0)
		if err != nil {
			return nil, 0, err
		}
		if next.error() < t.error() {
			return next, step, nil
		}
	}
	return nil, 0, nil
}

// rows returns rows lo to hi-1 as they are compared, in buf where they need to change.
func (r *refiner) rows(buf []float32, lo, hi int) []float32 {
	rows := r.x.Slice(lo, hi).Data
	if r.metric != core.Cosine {
		return rows
	}
	buf = buf[:copy(buf, rows)]
	for i := range hi - lo {
		f32.Normalize(buf[i*r.x.Cols:][:r.x.Cols])
	}
	return buf
}

// encode encodes the rows with these codebooks, each element less certain by noise standard deviations of what is left
// over, and measures what their codes leave of the rows as they are.
func (r *refiner) encode(books []core.Matrix, noise float64) (*trial, error) {
	model, err := New(books, core.L2) // the rows are normalized already
	if err != nil {
		return nil, err
	}
	t := &trial{books: books, codes: core.NewCodes(r.x.Rows, len(books))}
	beam := r.params.Beam
	if noise > 0 {
		beam = min(beam, exploreBeam)
	}
	var tables *beamTables
	if beam > 1 {
		tables = model.beamTables()
	}
	dim, levels := r.x.Cols, len(books)
	scale := make([]float32, dim)
	if noise > 0 {
		for j, s := range r.spread {
			scale[j] = float32(noise * s * math.Sqrt(12) / (1 << 16))
		}
	}
	blocks := (r.x.Rows + blockRows - 1) / blockRows
	left := make([]float64, blocks*levels)
	err = par.Chunks(r.ctx, r.x.Rows, blockRows, func(_, lo, hi int) {
		buf := model.scratch.Get().(*[]float32)
		defer model.scratch.Put(buf)
		rows := r.rows(*buf, lo, hi)
		codes := t.codes.Data[lo*levels : hi*levels]
		search := core.Matrix{Rows: hi - lo, Cols: dim, Data: rows}
		if noise > 0 {
			noisy := model.scratch.Get().(*[]float32)
			defer model.scratch.Put(noisy)
			search.Data = (*noisy)[:copy(*noisy, rows)]
			for i := range hi - lo {
				perturb(search.Row(i), scale, r.params.Seed, uint64(r.done), uint64(lo+i))
			}
		}
		// Rows that noise has made infinite keep codes of 0.
		if tables != nil {
			model.beamRows(tables, search, codes, beam)
		} else {
			model.encodeBlock(search, codes)
		}
		r.measure(left[lo/blockRows*levels:][:levels], rows, t, lo)
	})
	if err != nil {
		return nil, err
	}
	t.left = make([]float64, levels)
	for i, v := range left {
		t.left[i%levels] += v
	}
	r.done++
	if r.params.Progress != nil {
		r.params.Progress(r.done)
	}
	return t, nil
}

// measure adds to left[l] the weighted squared distances of rows, the first of which is row first, to what their codes up
// to level l decode to.
func (r *refiner) measure(left []float64, rows []float32, t *trial, first int) {
	dim := r.x.Cols
	decoded := make([]float32, dim)
	for i := range len(rows) / dim {
		for l, k := range t.codes.Row(first + i) {
			if c := t.books[l].Row(int(k)); l == 0 {
				copy(decoded, c)
			} else {
				f32.Add(decoded, c)
			}
			left[l] += float64(r.weight(first+i) * f32.SqDist64(rows[i*dim:][:dim], decoded))
		}
	}
}

// update returns the codebooks of t, moved step of the way to where each level in turn, with those before it moved all the
// way, leaves the least error, given the codes of t. It notes how far rows are from what their codes decode to.
func (r *refiner) update(t *trial, step float64) ([]core.Matrix, error) {
	dim, levels := r.x.Cols, len(t.books)
	counts := make([][]float64, levels)
	for l, b := range t.books {
		counts[l] = make([]float64, b.Rows)
	}
	total := 0.0
	for i := range r.x.Rows {
		for l, k := range t.codes.Row(i) {
			counts[l][k] += r.weight(i)
		}
		total += r.weight(i)
	}
	moved := make([]core.Matrix, levels)
	for l, b := range t.books {
		moved[l] = core.NewMatrix(b.Rows, dim)
	}
	r.spread = make([]float64, dim)
	err := par.Chunks(r.ctx, dim, refineColumns, func(_, lo, hi int) { // a strip of columns, which depend on no other
		var rest [refineColumns]float32
		strips := make([]core.Matrix, levels) // of the codebooks, as they move
		for l, b := range t.books {
			strips[l] = core.NewMatrix(b.Rows, hi-lo)
			for k := range b.Rows {
				copy(strips[l].Row(k), b.Row(k)[lo:hi])
			}
		}
		for l, strip := range strips {
			sums := make([]float64, len(strip.Data))
			for i := range r.x.Rows {
				left := rest[:copy(rest[:], r.x.Row(i)[lo:hi])]
				if r.norms != nil {
					for j, v := range left {
						left[j] = float32(float64(v) / r.norms[i])
					}
				}
				for m, k := range t.codes.Row(i) {
					f32.Sub(left, strips[m].Row(int(k)))
				}
				k := int(t.codes.Row(i)[l])
				f32.Add64(sums[k*(hi-lo):(k+1)*(hi-lo)], left, r.weight(i))
				if l == 0 {
					for j, v := range left {
						r.spread[lo+j] += float64(r.weight(i) * float64(float64(v)*float64(v)))
					}
				}
			}
			for k, count := range counts[l] {
				if count == 0 {
					copy(moved[l].Row(k)[lo:hi], strip.Row(k))
					continue
				}
				for j, sum := range sums[k*(hi-lo) : (k+1)*(hi-lo)] {
					shift := sum / count
					moved[l].Row(k)[lo+j] = float32(float64(strip.Row(k)[j]) + float64(step*shift))
					strip.Row(k)[j] = float32(float64(strip.Row(k)[j]) + shift)
				}
			}
		}
	})
	for j, v := range r.spread {
		r.spread[j] = math.Sqrt(v / total)
	}
	return moved, err
}

// perturb adds to each element of row a random number from -2^15 to 2^15 times its scale, which seed, round and number
// decide.
func perturb(row, scale []float32, seed, round, number uint64) {
	state := mix(mix(mix(seed)+round) + number)
	var bits uint64
	for j, s := range scale {
		if j%4 == 0 {
			state += 0x9e3779b97f4a7c15
			bits = mix(state)
		}
		row[j] += float32((float32(bits&0xffff) - 0x7fff.8p0) * s)
		bits >>= 16
	}
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
