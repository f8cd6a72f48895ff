package rqvae

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// op is one operation of the training graph: a gorgonia.Op that gorgonia composes and differentiates, and whose forward
// program runs on plain slices. An op is made for one place in one graph, so its shapes are known.
type op struct {
	name  string // unlike that of any other in the graph
	shape tensor.Shape
	in    []tensor.Shape
	diff  []bool // which inputs it has a gradient for

	// forward writes the output, which may be the memory of in[over].
	forward func(dst []float32, in [][]float32)
	over    int // -1: none

	// backward returns the gradient of each input, nil where diff is false.
	backward func(in gorgonia.Nodes, out, grad *gorgonia.Node) gorgonia.Nodes
}

var _ gorgonia.SDOp = (*op)(nil)

func typeOf(s tensor.Shape) hm.Type {
	if s.IsScalar() {
		return tensor.Float32
	}
	return gorgonia.TensorType{Dims: s.Dims(), Of: tensor.Float32}
}

func (o *op) Arity() int { return len(o.in) }

func (o *op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, s := range o.in {
		types = append(types, typeOf(s))
	}
	return hm.NewFnType(append(types, typeOf(o.shape))...)
}

func (o *op) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	for i, s := range in {
		if got, ok := s.(tensor.Shape); !ok || !got.Eq(o.in[i]) {
			return nil, fmt.Errorf("%s: input %d of shape %v, want %v", o.name, i, s, o.in[i])
		}
	}
	return o.shape.Clone(), nil
}

// Do is for gorgonia's machines; program runs forward itself.
func (o *op) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	in := make([][]float32, len(values))
	for i, v := range values {
		switch data := v.Data().(type) {
		case []float32:
			in[i] = data
		case float32:
			in[i] = []float32{data}
		default:
			return nil, fmt.Errorf("%s: input %d is %T, want float32", o.name, i, data)
		}
	}
	dst := make([]float32, o.shape.TotalSize())
	o.forward(dst, in)
	if o.shape.IsScalar() {
		return gorgonia.NewF32(dst[0]), nil
	}
	return tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(dst)), nil
}

func (o *op) DiffWRT(int) []bool { return o.diff }

func (o *op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.backward(in, out, grad), nil
}

func (o *op) ReturnsPtr() bool      { return true }
func (o *op) CallsExtern() bool     { return false }
func (o *op) OverwritesInput() int  { return -1 } // program knows better, see over
func (o *op) WriteHash(h hash.Hash) { fmt.Fprint(h, o.name) }
func (o *op) String() string        { return o.name }

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// graph makes nodes of ops.
type graph struct {
	*gorgonia.ExprGraph
	count int
}

// apply adds an op with these inputs. It panics on shapes that do not fit: a fault of this package.
func (g *graph) apply(o op, in ...*gorgonia.Node) *gorgonia.Node {
	g.count++
	o.name = fmt.Sprintf("%s %d", o.name, g.count)
	o.in = make([]tensor.Shape, len(in))
	for i, n := range in {
		o.in[i] = n.Shape()
	}
	return gorgonia.Must(gorgonia.ApplyOp(&o, in...))
}

// input adds a node that a run gives a value.
func (g *graph) input(name string, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(g.ExprGraph, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}
