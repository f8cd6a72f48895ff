package rqvae

import (
	"context"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// parallel calls fn for parts of n values or rows; results must not depend on the parts.
func parallel(n, part int, fn func(lo, hi int)) {
	_ = par.Chunks(context.Background(), n, part, func(_, lo, hi int) { fn(lo, hi) })
}

// parallelSum adds what fn returns for parts of n, always the same parts and in their order.
func parallelSum(n, part int, fn func(lo, hi int) float64) float64 {
	sums := make([]float64, (n+part-1)/part)
	parallel(n, part, func(lo, hi int) { sums[lo/part] = fn(lo, hi) })
	var s float64
	for _, v := range sums {
		s += v
	}
	return s
}

// notFinite is f32.NotFinite of many values.
func notFinite(x []float32) int {
	at := make([]int, (len(x)+partValues-1)/partValues)
	parallel(len(x), partValues, func(lo, hi int) { at[lo/partValues] = f32.NotFinite(x[lo:hi]) })
	for part, i := range at {
		if i >= 0 {
			return part*partValues + i
		}
	}
	return -1
}

const (
	partValues  = 1 << 14 // values of an array that one task takes
	partColumns = 64
	partRows    = 64
)

// ones are weights of as many rows.
var ones = func() []float64 {
	w := make([]float64, partRows)
	for i := range w {
		w[i] = 1
	}
	return w
}()

func matrix(rows, cols int) tensor.Shape { return tensor.Shape{rows, cols} }

// linear is y = x wᵀ + bias, then ReLU if relu is set.
func (g *graph) linear(x, w, bias *gorgonia.Node, relu bool) *gorgonia.Node {
	rows, in, out := x.Shape()[0], w.Shape()[1], w.Shape()[0]
	return g.apply(op{
		name: "linear", shape: matrix(rows, out), diff: []bool{true, true, true}, over: -1,
		forward: func(dst []float32, v [][]float32) {
			f32.Gemm(f32.NewDense(rows, out, dst), f32.NewDense(rows, in, v[0]), f32.NewDense(out, in, v[1]).T(), f32.Then{Bias: v[2], ReLU: relu, Zeros: true})
		},
		backward: func(n gorgonia.Nodes, y, grad *gorgonia.Node) gorgonia.Nodes {
			var sums *gorgonia.Node
			if relu {
				grad, sums = g.whereOn(grad, y)
			} else {
				sums = g.columnSums(grad)
			}
			return gorgonia.Nodes{g.times(grad, n[1]), g.timesT(grad, n[0]), sums}
		},
	}, x, w, bias)
}

// times is a b.
func (g *graph) times(a, b *gorgonia.Node) *gorgonia.Node {
	m, k, n := a.Shape()[0], a.Shape()[1], b.Shape()[1]
	return g.apply(op{name: "times", shape: matrix(m, n), over: -1, forward: func(dst []float32, v [][]float32) {
		f32.Gemm(f32.NewDense(m, n, dst), f32.NewDense(m, k, v[0]), f32.NewDense(k, n, v[1]), f32.Then{Zeros: true})
	}}, a, b)
}

// timesT is aᵀ b.
func (g *graph) timesT(a, b *gorgonia.Node) *gorgonia.Node {
	k, m, n := a.Shape()[0], a.Shape()[1], b.Shape()[1]
	return g.apply(op{name: "timesT", shape: matrix(m, n), over: -1, forward: func(dst []float32, v [][]float32) {
		f32.Gemm(f32.NewDense(m, n, dst), f32.NewDense(k, m, v[0]).T(), f32.NewDense(k, n, v[1]), f32.Then{Zeros: true})
	}}, a, b)
}

// totals are float64 sums of the columns of a matrix, of so many rows each, always the same ones.
type totals struct {
	cols int
	sums [][]float64
}

func newTotals(rows, cols int) *totals {
	t := &totals{cols: cols, sums: make([][]float64, (rows+partRows-1)/partRows)}
	for i := range t.sums {
		t.sums[i] = make([]float64, cols)
	}
	return t
}

// add takes rows lo to hi of x, a part.
func (t *totals) add(x []float32, lo, hi int) {
	s := t.sums[lo/partRows]
	clear(s)
	f32.AddRows64(s, x[lo*t.cols:hi*t.cols], t.cols, ones[:hi-lo])
}

// write adds up the parts, in their order.
func (t *totals) write(dst []float32) {
	for j := range dst {
		var s float64
		for _, part := range t.sums {
			s += part[j]
		}
		dst[j] = float32(s)
	}
}

// columnSums adds up the rows of a.
func (g *graph) columnSums(a *gorgonia.Node) *gorgonia.Node {
	rows, cols := a.Shape()[0], a.Shape()[1]
	t := newTotals(rows, cols)
	return g.apply(op{name: "columnSums", shape: tensor.Shape{cols}, over: -1, forward: func(dst []float32, v [][]float32) {
		parallel(rows, partRows, func(lo, hi int) { t.add(v[0], lo, hi) })
		t.write(dst)
	}}, a)
}

// eachColumn calls fn with all rows in order, cut to columns lo to hi, on a goroutine for each cut.
func eachColumn(x []float32, cols int, fn func(lo, hi, row int, values []float32)) {
	parallel(cols, min(partColumns, max(16, cols/4)), func(lo, hi int) {
		for i, row := 0, x; len(row) > 0; i, row = i+1, row[cols:] {
			fn(lo, hi, i, row[lo:hi])
		}
	})
}

// whereOn is grad where y, what a ReLU gave, is above 0, and 0 elsewhere, and the sums of its columns.
func (g *graph) whereOn(grad, y *gorgonia.Node) (on, sums *gorgonia.Node) {
	rows, cols := y.Shape()[0], y.Shape()[1]
	t := newTotals(rows, cols)
	on = g.apply(op{name: "whereOn", shape: y.Shape(), over: 0, forward: func(dst []float32, v [][]float32) {
		parallel(rows, partRows, func(lo, hi int) {
			f32.WhereOn(dst[lo*cols:hi*cols], v[0][lo*cols:], v[1][lo*cols:])
			t.add(dst, lo, hi)
		})
	}}, grad, y)
	sums = g.apply(op{name: "columnSums", shape: tensor.Shape{cols}, over: -1, forward: func(dst []float32, _ [][]float32) { t.write(dst) }}, on)
	return on, sums
}

// dropout sets a share of x to 0 and scales the rest up to the same mean (Srivastava et al., JMLR 15, 2014). Which, is drawn
// from draw's seed at each run.
func (g *graph) dropout(x *gorgonia.Node, share float64, draw func() uint64) *gorgonia.Node {
	mask := make([]float32, x.Shape().TotalSize())
	scale, below := float32(1/(1-share)), uint32(share*(1<<32))
	times := func(dst []float32, v [][]float32) {
		parallel(len(dst), partValues, func(lo, hi int) {
			for i, m := range mask[lo:hi] {
				dst[lo+i] = v[0][lo+i] * m
			}
		})
	}
	return g.apply(op{
		name: "dropout", shape: x.Shape(), diff: []bool{true}, over: 0,
		forward: func(dst []float32, v [][]float32) {
			seed := draw()
			parallel(len(mask), partValues, func(lo, hi int) {
				rng := rand.NewPCG(seed, uint64(lo))
				for i := lo; i < hi; i++ {
					mask[i] = scale
					if uint32(rng.Uint64()>>32) < below {
						mask[i] = 0
					}
				}
			})
			times(dst, v)
		},
		backward: func(_ gorgonia.Nodes, y, grad *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{g.apply(op{name: "dropoutGrad", shape: y.Shape(), over: 0, forward: times}, grad, y)}
		},
	}, x)
}

// norm is batch norm in training, then ReLU. It moves n's running mean and variance.
func (g *graph) norm(x, gain, shift *gorgonia.Node, n *norm) *gorgonia.Node {
	rows, cols := x.Shape()[0], x.Shape()[1]
	mean, inverse := make([]float64, cols), make([]float64, cols) // of the batch, and 1 / its standard deviation
	unit := func(v float32, j int) float64 { return float64((float64(v) - mean[j]) * inverse[j]) }
	return g.apply(op{
		name: "norm", shape: matrix(rows, cols), diff: []bool{true, true, true}, over: -1,
		forward: func(dst []float32, v [][]float32) {
			variance := make([]float64, cols)
			clear(mean)
			eachColumn(v[0], cols, func(lo, hi, _ int, row []float32) { f32.Add64(mean[lo:hi], row, 1) })
			for j := range mean {
				mean[j] /= float64(rows)
			}
			eachColumn(v[0], cols, func(lo, hi, _ int, row []float32) {
				for j, x := range row {
					d := float64(x) - mean[lo+j]
					variance[lo+j] += float64(d * d)
				}
			})
			for j, s := range variance {
				inverse[j] = 1 / math.Sqrt(s/float64(rows)+normEps)
				n.mean[j] += float32(float64(normMomentum * (mean[j] - float64(n.mean[j]))))
				n.variance[j] += float32(float64(normMomentum * (s/float64(rows-1) - float64(n.variance[j]))))
			}
			eachColumn(v[0], cols, func(lo, hi, i int, row []float32) {
				for j, x := range row {
					y := float32(float64(unit(x, lo+j)*float64(v[1][lo+j])) + float64(v[2][lo+j]))
					dst[i*cols+lo+j] = max(y, 0)
				}
			})
		},
		backward: func(in gorgonia.Nodes, y, grad *gorgonia.Node) gorgonia.Nodes {
			grad, shiftGrad := g.whereOn(grad, y)
			gainGrad := g.apply(op{name: "normGainGrad", shape: gain.Shape(), over: -1, forward: func(dst []float32, v [][]float32) {
				sums := make([]float64, cols)
				eachColumn(v[0], cols, func(lo, hi, i int, row []float32) {
					for j, d := range row {
						sums[lo+j] += float64(float64(d) * unit(v[1][i*cols+lo+j], lo+j))
					}
				})
				for j, s := range sums {
					dst[j] = float32(s)
				}
			}}, grad, in[0])
			xGrad := g.apply(op{name: "normGrad", shape: x.Shape(), over: 0, forward: func(dst []float32, v [][]float32) {
				eachColumn(v[0], cols, func(lo, hi, i int, row []float32) {
					for j, d := range row {
						j += lo
						rest := float64(v[3][j]) + float64(unit(v[1][i*cols+j], j)*float64(v[4][j]))
						dst[i*cols+j] = float32(float64(float64(v[2][j])*inverse[j]) * (float64(d) - rest/float64(rows)))
					}
				})
			}}, grad, in[0], in[1], shiftGrad, gainGrad)
			return gorgonia.Nodes{xGrad, gainGrad, shiftGrad}
		},
	}, x, gain, shift)
}

// distance is the loss between y and a target that no gradient reaches, times scale.
func (g *graph) distance(y, target *gorgonia.Node, loss Loss, scale float64) *gorgonia.Node {
	return g.apply(op{
		name: "distance", diff: []bool{true, false}, over: -1,
		forward: func(dst []float32, v [][]float32) {
			dst[0] = float32(scale * parallelSum(len(v[0]), partValues, func(lo, hi int) float64 {
				if loss == L1 {
					return absDiff64(v[0][lo:hi], v[1][lo:hi])
				}
				return f32.SumSqDiff(v[0][lo:hi], v[1][lo:hi])
			}))
		},
		backward: func(in gorgonia.Nodes, _, grad *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{g.apply(op{name: "distanceGrad", shape: y.Shape(), over: 0, forward: func(dst []float32, v [][]float32) {
				c := float32(scale * float64(v[2][0]))
				parallel(len(dst), partValues, func(lo, hi int) { distanceGrad(dst[lo:hi], v[0][lo:hi], v[1][lo:hi], c, loss) })
			}}, in[0], in[1], grad), nil}
		},
	}, y, target)
}

func distanceGrad(dst, y, target []float32, c float32, loss Loss) {
	if loss == MSE {
		f32.TimesDiff(dst, y, target, 2*c)
		return
	}
	for i, v := range y {
		switch d := v - target[i]; {
		case d > 0:
			dst[i] = c
		case d < 0:
			dst[i] = -c
		default:
			dst[i] = d // 0, or NaN
		}
	}
}

func absDiff64(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		s += math.Abs(float64(v) - float64(y[i]))
	}
	return s
}

// weighted is a + weight b, of numbers.
func (g *graph) weighted(a, b *gorgonia.Node, weight float64) *gorgonia.Node {
	return g.apply(op{
		name: "weighted", diff: []bool{true, true}, over: -1,
		forward: func(dst []float32, v [][]float32) {
			dst[0] = float32(float64(v[0][0]) + float64(weight*float64(v[1][0])))
		},
		backward: func(_ gorgonia.Nodes, _, grad *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{grad, g.apply(op{name: "weightedGrad", over: -1, forward: func(dst []float32, v [][]float32) {
				dst[0] = float32(weight * float64(v[0][0]))
			}}, grad)}
		},
	}, a, b)
}

// sum is gorgonia's a + b.
func (g *graph) sum(a, b *gorgonia.Node) *gorgonia.Node {
	return gorgonia.Must(gorgonia.Add(a, b))
}
