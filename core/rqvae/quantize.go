package rqvae

import (
	"context"

	"gorgonia.org/gorgonia"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/sinkhorn"
)

// quantizer is the residual quantizer of one training graph. Its ops share what it keeps of a run: the codes, and what
// each level left over.
type quantizer struct {
	ctx      context.Context // of the fit
	books    []core.Matrix
	begin    func(l int, z, book core.Matrix) error // sets a codebook before its first use; nil: they are as they should be
	epsilons []float64                              // per level; nil: none
	iters    int                                    // of Sinkhorn's
	rotate   bool                                   // differentiate by rotations, not straight through
	deepen   func(depth []int)                      // says how many levels each row of a run goes through; nil: all
	search   []*f32.Codebook
	solver   sinkhorn.Solver

	codes [][]int32     // per level; -1 where a row does not go through it
	left  []core.Matrix // per level: the residual after it, 0 where a row does not go through it
	err   error         // of the run: ctx ended, or distances that overflow

	sums   [][]float64 // what leftSums returns
	summed bool        // of this run
}

func newQuantizer(ctx context.Context, books []core.Matrix, rows int, p Params) *quantizer {
	q := &quantizer{ctx: ctx, books: books, epsilons: p.Epsilons, iters: p.SinkhornIters, rotate: p.Rotate}
	for _, b := range books {
		q.search = append(q.search, new(f32.Codebook))
		q.codes = append(q.codes, make([]int32, rows))
		q.left = append(q.left, core.NewMatrix(rows, p.EDim))
		q.sums = append(q.sums, make([]float64, len(b.Data)))
	}
	return q
}

// assign finds the codes of the residuals z at a level.
func (q *quantizer) assign(l int, z core.Matrix, codes []int32) error {
	book := q.books[l]
	if q.begin != nil {
		if err := q.begin(l, z, book); err != nil {
			return err
		}
	}
	if q.epsilons != nil && q.epsilons[l] > 0 {
		return q.solver.AssignRows(q.ctx, codes, z, book, sinkhorn.Params{Epsilon: q.epsilons[l], MaxIter: q.iters})
	}
	if q.begin != nil {
		q.search[l].Set(book.Data, book.Rows, book.Cols)
	}
	return par.Chunks(q.ctx, z.Rows, taskRows, func(_, lo, hi int) {
		q.search[l].Nearest(codes[lo:hi], z.Slice(lo, hi).Data)
	})
}

// run quantizes z level by level and writes the sum of the chosen vectors to dst.
func (q *quantizer) run(dst, z core.Matrix) {
	clear(dst.Data)
	q.summed = false
	deep := q.depths(z.Rows)
	if q.begin == nil {
		parallel(len(q.books), 1, func(l, _ int) {
			if q.epsilons == nil || q.epsilons[l] <= 0 {
				q.search[l].Set(q.books[l].Data, q.books[l].Rows, q.books[l].Cols)
			}
		})
	}
	for l, book := range q.books {
		if q.err == nil && deep != nil {
			q.err = q.assignDeep(l, z, deep)
		} else if q.err == nil {
			q.err = q.assign(l, z, q.codes[l])
		}
		left := q.left[l]
		q.err = firstErr(q.err, par.Chunks(q.ctx, z.Rows, taskRows, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				if q.codes[l][i] < 0 {
					clear(left.Row(i))
					continue
				}
				c := book.Row(int(q.codes[l][i]))
				copy(left.Row(i), z.Row(i))
				f32.Sub(left.Row(i), c)
				f32.Add(dst.Row(i), c)
			}
		}))
		z = left
	}
}

// leftSums adds up, for each vector of a level, what it left over of the rows that chose it. The sums hold until the next run.
func (q *quantizer) leftSums(l int) []float64 {
	if !q.summed {
		q.summed = true
		cols := q.books[0].Cols
		parts := (cols + partColumns - 1) / partColumns
		parallel(len(q.books)*parts, 1, func(task, _ int) {
			l, lo := task/parts, task%parts*partColumns
			hi := min(cols, lo+partColumns)
			sums := q.sums[l]
			for k := range q.books[l].Rows {
				clear(sums[k*cols+lo : k*cols+hi])
			}
			for i, k := range q.codes[l] {
				if k >= 0 {
					f32.Add64(sums[int(k)*cols+lo:], q.left[l].Row(i)[lo:hi], 1)
				}
			}
		})
	}
	return q.sums[l]
}

func firstErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// quantize is the sum of the vectors that the codes of z name. Its gradient goes straight through to z (van den Oord,
// Vinyals, Kavukcuoglu, NeurIPS 2017), or by rotations, see rotate.go. books are the codebooks that gradients move.
func (g *graph) quantize(q *quantizer, z *gorgonia.Node, books gorgonia.Nodes) *gorgonia.Node {
	rows, cols := z.Shape()[0], z.Shape()[1]
	return g.apply(op{
		name: "quantize", shape: z.Shape(), diff: append([]bool{true}, make([]bool, len(books))...), over: -1,
		forward: func(dst []float32, v [][]float32) {
			q.run(core.Matrix{Rows: rows, Cols: cols, Data: dst}, core.Matrix{Rows: rows, Cols: cols, Data: v[0]})
		},
		backward: func(in gorgonia.Nodes, y, grad *gorgonia.Node) gorgonia.Nodes {
			if q.rotate {
				grad = g.apply(op{name: "turnBack", shape: z.Shape(), over: -1, forward: func(dst []float32, v [][]float32) {
					q.back(core.Matrix{Rows: rows, Cols: cols, Data: dst}, core.Matrix{Rows: rows, Cols: cols, Data: v[1]}, v[0], 0)
				}}, grad, in[0], y)
			}
			return append(gorgonia.Nodes{grad}, make(gorgonia.Nodes, len(books))...)
		},
	}, append(gorgonia.Nodes{z}, books...)...)
}

// quantizeLoss is scale times the sum over the levels of (1 + beta) times the squared norm of what they left over in the
// last run of quantize, whose output is sum. The part 1 moves each level's vectors; without books it is left out. The part
// beta moves z, and straight through at the first level alone: a level hands the gradient of its vector on to its residual,
// so that what it leaves over has none. By rotations it has one.
func (g *graph) quantizeLoss(q *quantizer, z, sum *gorgonia.Node, books gorgonia.Nodes, beta, scale float64) *gorgonia.Node {
	rows, cols := z.Shape()[0], z.Shape()[1]
	diff := []bool{true, false}
	moving := 0.0
	for range books {
		diff = append(diff, true)
		moving = 1
	}
	return g.apply(op{
		name: "quantizeLoss", diff: diff, over: -1,
		forward: func(dst []float32, _ [][]float32) {
			var s float64
			for _, left := range q.left {
				s += parallelSum(len(left.Data), partValues, func(lo, hi int) float64 { return f32.SqNorm64(left.Data[lo:hi]) })
			}
			dst[0] = float32(float64((moving + beta) * scale * s))
		},
		backward: func(in gorgonia.Nodes, _, grad *gorgonia.Node) gorgonia.Nodes {
			from := gorgonia.Nodes{grad, sum}
			if q.rotate {
				from = append(from, in[0])
			}
			grads := gorgonia.Nodes{g.apply(op{name: "commit", shape: z.Shape(), over: -1, forward: func(dst []float32, v [][]float32) {
				by := 2 * beta * scale * float64(v[0][0])
				if q.rotate {
					q.back(core.Matrix{Rows: rows, Cols: cols, Data: dst}, core.Matrix{Rows: rows, Cols: cols, Data: v[2]}, nil, by)
					return
				}
				c := float32(by)
				parallel(len(dst), partValues, func(lo, hi int) {
					for i, r := range q.left[0].Data[lo:hi] {
						dst[lo+i] = c * r
					}
				})
			}}, from...), nil}
			for l, book := range in[2:] {
				grads = append(grads, g.apply(op{name: "bookGrad", shape: book.Shape(), over: -1, forward: func(dst []float32, v [][]float32) {
					c := -2 * scale * float64(v[0][0])
					for i, s := range q.leftSums(l) {
						dst[i] = float32(c * s)
					}
				}}, grad, sum))
			}
			return grads
		},
	}, append(gorgonia.Nodes{z, sum}, books...)...)
}
