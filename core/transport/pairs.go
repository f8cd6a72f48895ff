package transport

import "math"

// pairs are the edges between all nodes. For each pair of columns it has a heap of the rows that can move.
type pairs struct {
	g     *graph
	n     int       // nodes
	least []float64 // n*n: what the cheapest move costs before prices
	heaps [][]move  // k*k, the cheapest first; rows that have left may be further down
	key   []float64 // of search, for each node: the length of the shortest path so far, +Inf when it is done, and
	price []float64 // its price, +Inf when it is done
}

// heapRoom is the room for rows that come to a heap which begins with so many.
func heapRoom(size int32) int32 { return 2 + size/8 }

// move is a row that can move, and what that costs.
type move struct {
	cost float64
	row  int32
}

func (m move) before(o move) bool { return m.cost < o.cost || m.cost == o.cost && m.row < o.row }

func newPairs(g *graph) *pairs {
	k := g.k
	p := &pairs{g: g, n: k + 1, least: make([]float64, (k+1)*(k+1)), heaps: make([][]move, k*k), key: make([]float64, k+1), price: make([]float64, k+1)}
	for x := range p.least {
		p.least[x] = math.Inf(1)
	}
	sizes, sum := make([]int32, k*k), 0
	for i, offers := range g.offers {
		u := int(g.column[i]) * k
		for _, o := range offers {
			sizes[u+int(o.column)]++
		}
	}
	for x, size := range sizes {
		if x/k != x%k && size > 0 {
			sum += int(size + heapRoom(size))
		}
	}
	all := make([]move, sum)
	for x, size := range sizes {
		if x/k != x%k && size > 0 {
			size += heapRoom(size)
			p.heaps[x], all = all[:0:size], all[size:]
		}
	}
	for i, offers := range g.offers {
		u := g.column[i]
		cost := g.paid[i]
		for _, o := range offers {
			if o.column != u {
				x := int(u)*k + int(o.column)
				p.heaps[x] = append(p.heaps[x], move{o.cost - cost, int32(i)})
			}
		}
	}
	for x, h := range p.heaps {
		if len(h) > 0 {
			for i := len(h)/2 - 1; i >= 0; i-- {
				sink(h, i)
			}
			p.least[x/k*p.n+x%k] = h[0].cost
		}
	}
	for j := range k {
		p.loaded(int32(j))
	}
	return p
}

// sink moves the element at i down to where it belongs in a heap.
func sink(h []move, i int) {
	m := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].before(h[c]) {
			c++
		}
		if !h[c].before(m) {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = m
}

// add puts m into a heap.
func add(h []move, m move) []move {
	h = append(h, m)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !m.before(h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = m
	return h
}

// take takes the first out of a heap.
func take(h []move) []move {
	last := len(h) - 1
	h[0] = h[last]
	if h = h[:last]; last > 0 {
		sink(h, 0)
	}
	return h
}

func (p *pairs) opened(i, j int32) {
	cost := p.g.paid[i]
	for _, o := range p.g.offers[i] {
		if o.column != j {
			x, m := int(j)*p.g.k+int(o.column), move{o.cost - cost, i}
			p.heaps[x] = add(p.heaps[x], m)
			p.least[int(j)*p.n+int(o.column)] = p.heaps[x][0].cost
		}
	}
}

func (p *pairs) closed(i, j int32) {
	for _, o := range p.g.offers[i] {
		x := int(j)*p.g.k + int(o.column)
		h := p.heaps[x]
		if len(h) == 0 || p.g.column[h[0].row] == j {
			continue
		}
		for len(h) > 0 && p.g.column[h[0].row] != j {
			h = take(h)
		}
		p.heaps[x] = h
		least := math.Inf(1)
		if len(h) > 0 {
			least = h[0].cost
		}
		p.least[int(j)*p.n+int(o.column)] = least
	}
}

func (p *pairs) loaded(j int32) {
	at := func(can bool) float64 {
		if can {
			return 0
		}
		return math.Inf(1)
	}
	spare := p.n - 1
	p.least[int(j)*p.n+spare] = at(p.g.canHoldMore(j))
	p.least[spare*p.n+int(j)] = at(p.g.canHoldLess(j))
}

func (p *pairs) cheapest(u, v int32) (row int32, cost float64) {
	cost = p.least[int(u)*p.n+int(v)]
	if int(u) == p.g.k || int(v) == p.g.k || math.IsInf(cost, 1) {
		return -1, cost
	}
	return p.heaps[int(u)*p.g.k+int(v)][0].row, cost
}

func (p *pairs) each(u int32, f func(v int32, cost float64)) {
	for v, cost := range p.least[int(u)*p.n:][:p.n] {
		if !math.IsInf(cost, 1) {
			f(int32(v), cost)
		}
	}
}

func (p *pairs) search(s int32) int32 {
	g := p.g
	dist, from, key, price := g.dist, g.from[:len(g.dist)], p.key[:len(g.dist)], p.price[:len(g.dist)]
	copy(price, g.price)
	for v := range key {
		key[v] = math.Inf(1)
	}
	dist[s] = 0
	g.order = g.order[:0]
	for u := s; ; {
		g.order = append(g.order, u)
		base := dist[u] - price[u]
		key[u], price[u] = math.Inf(1), math.Inf(1) // done
		nearest, next := math.Inf(1), int32(-1)
		for v, cost := range p.least[int(u)*p.n:][:len(dist)] {
			k := key[v]
			if d := cost + (price[v] + base); d < k {
				k = d
				key[v], from[v] = d, u
			}
			if k < nearest {
				nearest, next = k, int32(v)
			}
		}
		if next < 0 {
			return -1
		}
		dist[next] = max(nearest, dist[u]) // rounding may make it less
		if g.excess[next] < 0 {
			return next
		}
		u = next
	}
}
