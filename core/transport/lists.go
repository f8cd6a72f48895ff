package transport

import "math"

// lists are the edges where all pairs of columns would fill the memory. Each column has a list of its rows, which is gone
// through for the edges that leave it: there are few rows in each of so many columns.
type lists struct {
	g          *graph
	first      []int32 // of each column: a row, or -1
	next, prev []int32 // of each row: its neighbours in the list, or -1
	done       []bool  // of each node
	touched    []int32 // nodes with a finite dist
	queue      []move  // nodes (as rows) that may be next, at their dist; those that are done may be among them
}

func newLists(g *graph) *lists {
	n := len(g.offers)
	l := &lists{g: g, first: make([]int32, g.k), next: make([]int32, n), prev: make([]int32, n), done: make([]bool, g.k+1)}
	for j := range l.first {
		l.first[j] = -1
	}
	for i := n - 1; i >= 0; i-- {
		l.opened(int32(i), g.column[i])
	}
	for v := range g.dist {
		g.dist[v] = math.Inf(1)
	}
	return l
}

func (l *lists) opened(i, j int32) {
	head := l.first[j]
	l.next[i], l.prev[i], l.first[j] = head, -1, i
	if head >= 0 {
		l.prev[head] = i
	}
}

func (l *lists) closed(i, j int32) {
	before, after := l.prev[i], l.next[i]
	if before >= 0 {
		l.next[before] = after
	} else {
		l.first[j] = after
	}
	if after >= 0 {
		l.prev[after] = before
	}
}

func (l *lists) loaded(int32) {}

func (l *lists) cheapest(u, v int32) (row int32, cost float64) {
	g, spare := l.g, int32(l.g.k)
	row, cost = -1, math.Inf(1)
	switch {
	case u == spare && g.canHoldLess(v), v == spare && g.canHoldMore(u):
		return -1, 0
	case u == spare || v == spare:
		return -1, cost
	}
	for i := l.first[u]; i >= 0; i = l.next[i] {
		own := g.paid[i]
		for _, o := range g.offers[i] {
			if d := o.cost - own; o.column == v && (d < cost || d == cost && i < row) {
				row, cost = i, d
			}
		}
	}
	return row, cost
}

func (l *lists) each(u int32, f func(v int32, cost float64)) {
	g := l.g
	if int(u) == g.k {
		for j := range g.k {
			if g.canHoldLess(int32(j)) {
				f(int32(j), 0)
			}
		}
		return
	}
	if g.canHoldMore(u) {
		f(int32(g.k), 0)
	}
	for i := l.first[u]; i >= 0; i = l.next[i] {
		own := g.paid[i]
		for _, o := range g.offers[i] {
			if o.column != u {
				f(o.column, o.cost-own)
			}
		}
	}
}

// relax takes into account that the path by u to v is d long.
func (l *lists) relax(u, v int32, d float64) {
	g := l.g
	d = max(d, g.dist[u]) // rounding may make it less
	if l.done[v] || !(d < g.dist[v]) {
		return
	}
	if math.IsInf(g.dist[v], 1) {
		l.touched = append(l.touched, v)
	}
	g.dist[v], g.from[v] = d, u
	l.queue = add(l.queue, move{d, v})
}

func (l *lists) search(s int32) int32 {
	g := l.g
	for _, v := range l.touched {
		g.dist[v], l.done[v] = math.Inf(1), false
	}
	g.order, l.touched, l.queue = g.order[:0], append(l.touched[:0], s), append(l.queue[:0], move{0, s})
	g.dist[s] = 0
	for len(l.queue) > 0 {
		u := l.queue[0].row
		l.queue = take(l.queue)
		if l.done[u] {
			continue
		}
		if g.excess[u] < 0 {
			return u
		}
		l.done[u] = true
		g.order = append(g.order, u)
		base := g.dist[u] - g.price[u]
		if int(u) == g.k {
			l.each(u, func(v int32, cost float64) { l.relax(u, v, cost+(g.price[v]+base)) })
			continue
		}
		if g.canHoldMore(u) {
			l.relax(u, int32(g.k), g.price[g.k]+base)
		}
		for i := l.first[u]; i >= 0; i = l.next[i] {
			here := base - g.paid[i]
			for _, o := range g.offers[i] {
				if d := o.cost + (g.price[o.column] + here); d < g.dist[o.column] && !l.done[o.column] {
					l.relax(u, o.column, d)
				}
			}
		}
	}
	return -1
}
