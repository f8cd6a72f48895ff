package rqvae

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

func TestMain(m *testing.M) {
	if err := cpu.Require(); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func normals(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// within fails unless got is want to share of the largest entry of want.
func within(t *testing.T, what string, got []float32, want []float64, share float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range got {
		if !(math.Abs(float64(v)-want[i]) <= share*largest) {
			t.Fatalf("%s: entry %d is %g, want %g, the largest is %g", what, i, v, want[i], largest)
		}
	}
}

func toFloat64(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// opCase is an op, or a few, with inputs, and what it computes, written once more in float64.
type opCase struct {
	name   string
	shapes []tensor.Shape
	make   func(g *graph, in gorgonia.Nodes) *gorgonia.Node
	fixed  int // how many of the last inputs have no gradient
	want   func(in [][]float64) []float64
}

func opCases() []opCase {
	linear := func(rows, in, out int, relu bool, x, w, b []float64) []float64 {
		y := make([]float64, rows*out)
		for i := range rows {
			for j := range out {
				s := b[j]
				for k := range in {
					s += x[i*in+k] * w[j*in+k]
				}
				if relu {
					s = max(s, 0)
				}
				y[i*out+j] = s
			}
		}
		return y
	}
	dropped := make([]float64, 9*7) // the mask that a fixed seed gives: read from a first run
	running := &norm{mean: make([]float32, 5), variance: make([]float32, 5)}
	return []opCase{
		{"linear", []tensor.Shape{{9, 7}, {5, 7}, {5}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.linear(n[0], n[1], n[2], false) }, 0,
			func(v [][]float64) []float64 { return linear(9, 7, 5, false, v[0], v[1], v[2]) }},
		{"linear and ReLU", []tensor.Shape{{9, 7}, {5, 7}, {5}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.linear(n[0], n[1], n[2], true) }, 0,
			func(v [][]float64) []float64 { return linear(9, 7, 5, true, v[0], v[1], v[2]) }},
		{"dropout", []tensor.Shape{{9, 7}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node {
			if dropped[0] == 0 && dropped[1] == 0 {
				var probe graph
				probe.ExprGraph = gorgonia.NewGraph()
				ones := probe.input("ones", 9, 7)
				y := make([]float32, len(dropped))
				x := make([]float32, len(dropped))
				fill(x, 1)
				probe.dropout(ones, 0.4, func() uint64 { return 3 }).Op().(*op).forward(y, [][]float32{x})
				copy(dropped, toFloat64(y))
			}
			return g.dropout(n[0], 0.4, func() uint64 { return 3 })
		}, 0, func(v [][]float64) []float64 {
			y := slices.Clone(v[0])
			for i := range y {
				y[i] *= dropped[i]
			}
			return y
		}},
		{"norm", []tensor.Shape{{9, 5}, {5}, {5}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.norm(n[0], n[1], n[2], running) }, 0,
			func(v [][]float64) []float64 {
				y := make([]float64, 45)
				for j := range 5 {
					var mean, variance float64
					for i := range 9 {
						mean += v[0][i*5+j] / 9
					}
					for i := range 9 {
						d := v[0][i*5+j] - mean
						variance += d * d / 9
					}
					for i := range 9 {
						y[i*5+j] = max(0, (v[0][i*5+j]-mean)/math.Sqrt(variance+1e-5)*v[1][j]+v[2][j])
					}
				}
				return y
			}},
		{"squared distance", []tensor.Shape{{9, 7}, {9, 7}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.distance(n[0], n[1], MSE, 0.3) }, 1,
			func(v [][]float64) []float64 {
				var s float64
				for i, y := range v[0] {
					s += 0.3 * (y - v[1][i]) * (y - v[1][i])
				}
				return []float64{s}
			}},
		{"absolute distance", []tensor.Shape{{9, 7}, {9, 7}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.distance(n[0], n[1], L1, 0.3) }, 1,
			func(v [][]float64) []float64 {
				var s float64
				for i, y := range v[0] {
					s += 0.3 * math.Abs(y-v[1][i])
				}
				return []float64{s}
			}},
		{"weighted", []tensor.Shape{{}, {}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.weighted(n[0], n[1], 0.7) }, 0,
			func(v [][]float64) []float64 { return []float64{v[0][0] + 0.7*v[1][0]} }},
		{"sum of gorgonia", []tensor.Shape{{9, 7}, {9, 7}}, func(g *graph, n gorgonia.Nodes) *gorgonia.Node { return g.sum(n[0], n[1]) }, 0,
			func(v [][]float64) []float64 {
				y := slices.Clone(v[0])
				for i := range y {
					y[i] += v[1][i]
				}
				return y
			}},
	}
}

// probe is the sum of y times fixed numbers: a cost by which any op can be differentiated.
func (g *graph) probe(y *gorgonia.Node, by []float32) *gorgonia.Node {
	return g.apply(op{
		name: "probe", diff: []bool{true}, over: -1,
		forward: func(dst []float32, v [][]float32) {
			var s float64
			for i, c := range by {
				s += float64(v[0][i]) * float64(c)
			}
			dst[0] = float32(s)
		},
		backward: func(_ gorgonia.Nodes, _, grad *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{g.apply(op{name: "probeGrad", shape: y.Shape(), over: -1, forward: func(dst []float32, v [][]float32) {
				for i, c := range by {
					dst[i] = c * v[0][0]
				}
			}}, grad)}
		},
	}, y)
}

// differences are the central differences of f, a number, by each entry of x, in float64.
func differences(x []float64, f func() float64) []float64 {
	const h = 1e-6
	d := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + h
		up := f()
		x[i] = v - h
		d[i] = (up - f()) / (2 * h)
		x[i] = v
	}
	return d
}

func TestGradientsAreThoseOfDifferences(t *testing.T) {
	for _, c := range opCases() {
		t.Run(c.name, func(t *testing.T) {
			cputest.EachLevel(t, func(t *testing.T) {
				g := &graph{ExprGraph: gorgonia.NewGraph()}
				inputs := map[*gorgonia.Node][]float32{}
				var nodes gorgonia.Nodes
				var in [][]float64
				for i, shape := range c.shapes {
					n := gorgonia.NewScalar(g.ExprGraph, tensor.Float32, gorgonia.WithName(string(rune('a'+i))))
					if len(shape) > 0 {
						n = g.input(string(rune('a'+i)), shape...)
					}
					inputs[n] = normals(uint64(i), shape.TotalSize())
					nodes, in = append(nodes, n), append(in, toFloat64(inputs[n]))
				}
				y := c.make(g, nodes)
				by := normals(9, y.Shape().TotalSize())
				cost := g.probe(y, by)
				with := nodes[:len(nodes)-c.fixed]
				grads, err := gorgonia.Grad(cost, with...)
				if err != nil {
					t.Fatal(err)
				}
				p, err := newProgram(g.ExprGraph, inputs, append(grads, y, cost)...)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second in used memory
					p.run()
				}
				within(t, "output", p.values[y], c.want(in), 1e-6)
				f := func() float64 {
					var s float64
					for i, v := range c.want(in) {
						s += v * float64(by[i])
					}
					return s
				}
				for i := range with {
					within(t, "gradient", p.values[grads[i]], differences(in[i], f), 2e-6)
				}
			})
		})
	}
}

// The quantizer's gradient is straight-through, so not that of differences of what it computes, but of the loss with some of its
// terms held: stop-gradients.
func TestQuantizerGradients(t *testing.T) {
	const rows, cols, beta, scale = 17, 6, 0.4, 0.3
	p := DefaultParams(cols)
	p.EDim, p.Clusters = cols, []int{5, 4, 7}
	w := newWeights(p.Shape)
	for l, b := range w.books {
		copy(b.Data, normals(uint64(l), len(b.Data)))
	}
	g := &graph{ExprGraph: gorgonia.NewGraph()}
	q := newQuantizer(context.Background(), w.books, rows, p)
	z := g.input("z", rows, cols)
	inputs := map[*gorgonia.Node][]float32{z: normals(8, rows*cols)}
	with := gorgonia.Nodes{z}
	for l, b := range w.books {
		n := g.input(string(rune('a'+l)), b.Rows, b.Cols)
		inputs[n] = b.Data
		with = append(with, n)
	}
	y := g.quantize(q, z, with[1:])
	loss := g.quantizeLoss(q, z, y, with[1:], beta, scale)
	by := normals(9, rows*cols)
	cost := g.weighted(g.probe(y, by), loss, 1)
	grads, err := gorgonia.Grad(cost, with...)
	if err != nil {
		t.Fatal(err)
	}
	run, err := newProgram(g.ExprGraph, inputs, append(grads, y, loss)...)
	if err != nil {
		t.Fatal(err)
	}
	run.run()
	if q.err != nil {
		t.Fatal(q.err)
	}

	zs, books := toFloat64(inputs[z]), [][]float64{}
	for _, b := range w.books {
		books = append(books, toFloat64(b.Data))
	}
	held := make([][]float64, len(books)) // the residuals before each level, and after the last
	rest := slices.Clone(zs)
	sum := make([]float64, len(zs))
	var want float64
	for l, book := range books {
		held[l] = slices.Clone(rest)
		for i := range rows {
			best, code := math.Inf(1), 0
			for k := range len(book) / cols {
				var d float64
				for j := range cols {
					e := rest[i*cols+j] - book[k*cols+j]
					d += e * e
				}
				if d < best {
					best, code = d, k
				}
			}
			if int(q.codes[l][i]) != code {
				t.Fatalf("row %d, level %d: code %d, want %d", i, l, q.codes[l][i], code)
			}
			for j := range cols {
				rest[i*cols+j] -= book[code*cols+j]
				sum[i*cols+j] += book[code*cols+j]
			}
			want += (1 + beta) * scale * best
		}
	}
	within(t, "sum", run.values[y], sum, 1e-6)
	within(t, "loss", run.values[loss], []float64{want}, 1e-6)
	gap := func(l int, z, book []float64) (s float64) { // |z - book[codes]|²
		for i := range rows {
			for j := range cols {
				e := z[i*cols+j] - book[int(q.codes[l][i])*cols+j]
				s += scale * e * e
			}
		}
		return s
	}
	held0 := slices.Clone(books[0])
	toZ := differences(zs, func() float64 { return beta * gap(0, zs, held0) })
	for i := range toZ {
		toZ[i] += float64(by[i])
	}
	within(t, "gradient of z", run.values[grads[0]], toZ, 2e-6)
	for l, book := range books {
		within(t, "gradient of a codebook", run.values[grads[l+1]], differences(book, func() float64 { return gap(l, held[l], book) }), 2e-6)
	}
}

// A network of ours has the gradients of the same network in gorgonia's own operations, on gorgonia's own machine.
func TestGradientsAreThoseOfGorgonia(t *testing.T) {
	const rows = 33
	widths := []int{12, 9, 7, 12}
	run := func(build func(g *graph, x, w, b *gorgonia.Node, relu bool) *gorgonia.Node, loss func(g *graph, y, x *gorgonia.Node) *gorgonia.Node) [][]float32 {
		g := &graph{ExprGraph: gorgonia.NewGraph()}
		value := func(n *gorgonia.Node, data []float32) *gorgonia.Node {
			if err := gorgonia.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(data))); err != nil {
				t.Fatal(err)
			}
			return n
		}
		x := value(g.input("x", rows, widths[0]), normals(1, rows*widths[0]))
		y := x
		var with gorgonia.Nodes
		for i := range widths[1:] {
			in, out := widths[i], widths[i+1]
			w := value(g.input("w"+string(rune('0'+i)), out, in), normals(uint64(10+i), in*out))
			b := value(g.input("b"+string(rune('0'+i)), out), normals(uint64(20+i), out))
			with = append(with, w, b)
			y = build(g, y, w, b, i < len(widths)-2)
		}
		grads, err := gorgonia.Grad(loss(g, y, x), with...)
		if err != nil {
			t.Fatal(err)
		}
		read := make([]gorgonia.Value, len(grads))
		for i, n := range grads {
			gorgonia.Read(n, &read[i])
		}
		machine := gorgonia.NewTapeMachine(g.ExprGraph)
		defer machine.Close()
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		var out [][]float32
		for _, v := range read {
			out = append(out, slices.Clone(v.Data().([]float32)))
		}
		return out
	}
	ours := run(func(g *graph, x, w, b *gorgonia.Node, relu bool) *gorgonia.Node { return g.linear(x, w, b, relu) },
		func(g *graph, y, x *gorgonia.Node) *gorgonia.Node {
			return g.distance(y, x, MSE, 1/float64(rows*widths[0]))
		})
	theirs := run(func(g *graph, x, w, b *gorgonia.Node, relu bool) *gorgonia.Node {
		y := gorgonia.Must(gorgonia.Mul(x, gorgonia.Must(gorgonia.Transpose(w))))
		y = gorgonia.Must(gorgonia.BroadcastAdd(y, b, nil, []byte{0}))
		if relu {
			y = gorgonia.Must(gorgonia.Rectify(y))
		}
		return y
	}, func(g *graph, y, x *gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(y, x))))))
	})
	for i := range ours {
		within(t, "gradient", ours[i], toFloat64(theirs[i]), 1e-5)
	}
}

// What a program computes in memory used again and again is what gorgonia's machine computes in memory of its own.
func TestProgramIsWhatGorgoniaRuns(t *testing.T) {
	for _, change := range []func(*Params){func(p *Params) {}, func(p *Params) { p.BatchNorm = true }, func(p *Params) { p.Plus, p.EDim, p.Dropout = true, p.InDim, 0.3 }} {
		p := smallParams(12)
		change(&p)
		x := core.Matrix{Rows: 40, Cols: 12, Data: normals(1, 480)}
		trained := newTrainer(context.Background(), x, p)
		b, g, grads, err := trained.build(x.Rows)
		if err != nil {
			t.Fatal(err)
		}
		copy(b.x.Data, x.Data)
		if err := b.run(); err != nil {
			t.Fatal(err)
		}
		for _, n := range g.AllNodes() {
			if n.IsVar() {
				if err := gorgonia.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(slices.Clone(b.program.values[n])))); err != nil {
					t.Fatal(err)
				}
			}
		}
		read := make([]gorgonia.Value, len(grads))
		for i, n := range grads {
			gorgonia.Read(n, &read[i])
		}
		want := make([][]float32, len(grads))
		for i := range grads {
			want[i] = slices.Clone(b.grads[i])
		}
		machine := gorgonia.NewTapeMachine(g.ExprGraph)
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		for i, v := range read {
			if !slices.Equal(v.Data().([]float32), want[i]) {
				t.Errorf("the gradient of %s differs", trained.weights.tensors[i].Name)
			}
		}
		machine.Close()
	}
}

func smallParams(dim int) Params {
	p := DefaultParams(dim)
	p.Layers, p.EDim, p.Clusters = []int{10, 8}, 6, []int{5, 4, 6}
	p.BatchSize, p.Epochs, p.LR = 32, 4, 1e-2
	return p
}
