package rqvae

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// program runs a graph that gorgonia made and differentiated: only what the wanted nodes need, in order, in memory that is
// given out once. gorgonia's own machine allocates each value anew and knows no ops that share memory.
type program struct {
	steps  []func()
	values map[*gorgonia.Node][]float32
}

// newProgram plans the run that ends in the wanted nodes. inputs are the values of the graph's variables; their memory is
// read anew in each run.
func newProgram(g *gorgonia.ExprGraph, inputs map[*gorgonia.Node][]float32, wanted ...*gorgonia.Node) (*program, error) {
	order, err := gorgonia.Sort(g)
	if err != nil {
		return nil, err
	}
	slices.Reverse(order)
	children := func(n *gorgonia.Node) gorgonia.Nodes {
		var list gorgonia.Nodes
		for it := g.From(n.ID()); it.Next(); {
			list = append(list, it.Node().(*gorgonia.Node))
		}
		return list
	}
	uses := map[*gorgonia.Node]int{} // how often a value is still read
	for _, n := range wanted {
		uses[n]++ // never given back
	}
	for i := len(order) - 1; i >= 0; i-- {
		if n := order[i]; uses[n] > 0 {
			for _, c := range children(n) {
				uses[c]++
			}
		}
	}
	p := &program{values: map[*gorgonia.Node][]float32{}}
	var m memory
	for _, n := range order {
		switch {
		case uses[n] == 0:
		case n.Op() == nil:
			data, ok := inputs[n]
			if !ok || len(data) != n.Shape().TotalSize() {
				return nil, fmt.Errorf("rqvae: input %v has %d values, want %v", n, len(data), n.Shape())
			}
			p.values[n] = data
			uses[n]++ // not ours to overwrite
		case n.Op().Arity() == 0: // a constant
			v, err := n.Op().Do()
			if err != nil {
				return nil, err
			}
			c, ok := v.Data().(float32)
			if !ok {
				return nil, fmt.Errorf("rqvae: constant %v is no float32", n)
			}
			p.values[n] = []float32{c}
			uses[n]++
		default:
			in := children(n)
			o, ours := n.Op().(*op)
			if ours && o.over >= 0 && uses[in[o.over]] == 1 {
				p.values[n] = p.values[in[o.over]]
				uses[in[o.over]]++ // its memory lives on
			} else {
				p.values[n] = m.take(n.Shape().TotalSize())
			}
			if err := p.add(n, in); err != nil {
				return nil, err
			}
			for _, c := range in {
				if uses[c]--; uses[c] == 0 {
					m.give(p.values[c])
				}
			}
		}
	}
	return p, nil
}

// add plans the step of a node.
func (p *program) add(n *gorgonia.Node, children gorgonia.Nodes) error {
	dst := p.values[n]
	if o, ok := n.Op().(*op); ok {
		in := make([][]float32, len(children))
		for i, c := range children {
			in[i] = p.values[c]
		}
		p.steps = append(p.steps, func() { o.forward(dst, in) })
		return nil
	}
	doer, ok := n.Op().(gorgonia.UsePreallocDoer) // one of gorgonia's own, as its sum of two gradients
	if !ok || n.IsScalar() {
		return fmt.Errorf("rqvae: no way to run %v in place", n)
	}
	value := func(n *gorgonia.Node) gorgonia.Value {
		return tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(p.values[n]))
	}
	out := value(n)
	var in []gorgonia.Value
	for _, c := range children {
		in = append(in, value(c))
	}
	p.steps = append(p.steps, func() {
		if _, err := doer.UsePreallocDo(out, in...); err != nil {
			panic(err) // shapes were checked when the graph was made
		}
	})
	return nil
}

func (p *program) run() {
	for _, step := range p.steps {
		step()
	}
}

// memory gives out slices, those given back first.
type memory struct{ free [][]float32 }

// take returns n values of what is free and fits closest, or new ones.
func (m *memory) take(n int) []float32 {
	best := -1
	for i, s := range m.free {
		if cap(s) >= n && cap(s) <= 2*n && (best < 0 || cap(s) < cap(m.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]float32, n)
	}
	s := m.free[best]
	m.free = slices.Delete(m.free, best, best+1)
	return s[:n]
}

func (m *memory) give(s []float32) { m.free = append(m.free, s) }
