package transport

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// graph is an assignment that becomes a cheapest one. Its nodes are the columns and one more, the spare, which takes from
// each column what it has beyond its lower size: an edge from j to l moves a row, one from a column to the spare lets the
// column hold one more, one from the spare lets it hold one less. Prices are such that no edge costs less than nothing,
// prices included. Nodes that have more than they are to hold (excess) send rows along the cheapest path to those that
// have less, until none does. Only the columns offered to a row are open to it.
type graph struct {
	k      int
	sizes  Sizes
	offers [][]offer // of each row
	column []int32   // of each row
	paid   []float64 // what each row costs where it is
	price  []float64 // of each node
	count  []int     // rows in each column
	load   []int     // what each column is to hold
	excess []int     // of each node: what it has beyond that
	edges  edges

	dist  []float64 // of each node: the length of the shortest path to it, and
	from  []int32   // the node before it on that path
	order []int32   // the nodes that are done, the nearest first
	steps []step
}

// step is an edge of a path: row moves from u to v, which costs that much more before prices. No row moves to the spare or
// from there.
type step struct {
	u, v, row int32
	cost      float64
}

// edges finds paths and the cheapest moves.
type edges interface {
	// search sets dist, from and order along the shortest paths from s (Dijkstra) as far as to the nearest node that has
	// too few rows, which it returns, or -1 if there is none.
	search(s int32) int32
	// cheapest is the row that moves from u to v at the least cost before prices, +Inf if none can.
	cheapest(u, v int32) (row int32, cost float64)
	// each calls f with the nodes that edges from u go to and what these cost before prices.
	each(u int32, f func(v int32, cost float64))

	opened(i, j int32) // row i is in column j now, or has more offers
	closed(i, j int32) // row i has left column j
	loaded(j int32)    // column j is to hold another number of rows
}

// canHoldMore and canHoldLess tell whether there is an edge from column j to the spare, and the other way.
func (g *graph) canHoldMore(j int32) bool { return g.load[j] < g.sizes.Upper[j] }
func (g *graph) canHoldLess(j int32) bool { return g.load[j] > g.sizes.Lower[j] }

// newGraph has each row in its cheapest column.
func newGraph(k int, s Sizes, prices []float64, offers [][]offer) *graph {
	g := &graph{
		k: k, sizes: s, offers: offers, column: make([]int32, len(offers)), paid: make([]float64, len(offers)), price: make([]float64, k+1),
		count: make([]int, k), load: make([]int, k), excess: make([]int, k+1),
		dist: make([]float64, k+1), from: make([]int32, k+1),
	}
	copy(g.price, prices)
	for i := range offers {
		o := g.draw(i)
		g.column[i], g.paid[i] = o.column, o.cost
		g.count[o.column]++
	}
	spare := -len(offers)
	for j, p := range prices {
		switch {
		case p > 0:
			g.load[j] = s.Upper[j]
		case p < 0:
			g.load[j] = s.Lower[j]
		default:
			g.load[j] = min(max(g.count[j], s.Lower[j]), s.Upper[j])
		}
		g.excess[j] = g.count[j] - g.load[j]
		spare += g.load[j]
	}
	g.excess[k] = spare
	if k <= limits.pairs {
		g.edges = newPairs(g)
	} else {
		g.edges = newLists(g)
	}
	return g
}

// best is the offer that costs row i least, prices included, the first of equal ones.
func (g *graph) best(i int) offer {
	best, at := math.Inf(1), offer{}
	for _, o := range g.offers[i] {
		if v := o.cost + g.price[o.column]; v < best {
			best, at = v, o
		}
	}
	return at
}

// draw is the same, but one drawn of those that cost the same, so that copies of rows do not all begin in one column.
func (g *graph) draw(i int) offer {
	best := g.best(i)
	most := best.cost + g.price[best.column] + float64(sameShare*math.Abs(best.cost))
	least := mixed(int32(i), best.column)
	for _, o := range g.offers[i] {
		if o.cost+g.price[o.column] <= most {
			if d := mixed(int32(i), o.column); d < least {
				least, best = d, o
			}
		}
	}
	return best
}

// surplus is how many rows are where there are too many.
func (g *graph) surplus() int {
	sum := 0
	for _, e := range g.excess {
		sum += max(0, e)
	}
	return sum
}

// widen offers more columns to row i, and moves it to the cheapest if that is cheaper than where it is.
func (g *graph) widen(i int32, more []offer) {
	had := g.offers[i]
	all := append(make([]offer, 0, len(had)+len(more)), had...)
next:
	for _, o := range more {
		for _, h := range had {
			if h.column == o.column {
				continue next
			}
		}
		all = append(all, o)
	}
	g.offers[i] = all
	u, v := g.column[i], g.column[i]
	if o := g.best(int(i)); o.cost+g.price[o.column] < g.paid[i]+g.price[u] {
		v = o.column
		g.column[i], g.paid[i] = v, o.cost
	}
	if u != v {
		g.count[u]--
		g.count[v]++
		g.excess[u]--
		g.excess[v]++
	}
	g.edges.closed(i, u)
	g.edges.opened(i, v)
}

var errStuck = errors.New("rows cannot go where some are lacking")

// repair sends rows from where there are too many to where there are too few. It returns errStuck where there is no path.
func (g *graph) repair(ctx context.Context) error {
	for s := range g.excess {
		for g.excess[s] > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			t := g.edges.search(int32(s))
			if t < 0 {
				return errStuck
			}
			for _, v := range g.order {
				g.price[v] += g.dist[t] - g.dist[v]
			}
			g.augment(int32(s), t)
		}
	}
	return nil
}

// augment moves a row along each edge of the path found from s to t, and again as long as others move at the same costs.
func (g *graph) augment(s, t int32) {
	g.steps = g.steps[:0]
	for v := t; v != s; v = g.from[v] {
		row, cost := g.edges.cheapest(g.from[v], v)
		g.steps = append(g.steps, step{g.from[v], v, row, cost})
	}
	for {
		for _, p := range g.steps {
			g.shift(p)
		}
		g.excess[s]--
		g.excess[t]++
		if g.excess[s] <= 0 || g.excess[t] >= 0 {
			return
		}
		for x := range g.steps {
			p := &g.steps[x]
			row, cost := g.edges.cheapest(p.u, p.v)
			if cost != p.cost {
				return
			}
			p.row = row
		}
	}
}

// shift takes one step.
func (g *graph) shift(p step) {
	switch spare := int32(g.k); {
	case p.u == spare:
		g.load[p.v]--
		g.edges.loaded(p.v)
	case p.v == spare:
		g.load[p.u]++
		g.edges.loaded(p.u)
	default:
		g.column[p.row] = p.v
		for _, o := range g.offers[p.row] {
			if o.column == p.v {
				g.paid[p.row] = o.cost
			}
		}
		g.count[p.u]--
		g.count[p.v]++
		g.edges.closed(p.row, p.u)
		g.edges.opened(p.row, p.v)
	}
}

// reached tells which nodes the last search came to.
func (g *graph) reached() []bool {
	reached := make([]bool, g.k+1)
	for _, v := range g.order {
		reached[v] = true
	}
	return reached
}

// stuck says why rows cannot be moved: after a search that found nothing, those in columns that it came to can go to no others.
func (g *graph) stuck() error {
	reached := g.reached()
	var inside, outside []int
	has, room, lacks := 0, 0, 0
	for j := range g.k {
		if reached[j] {
			inside = append(inside, j)
			has += g.count[j]
			room += g.sizes.Upper[j]
		} else {
			outside = append(outside, j)
			lacks += g.sizes.Lower[j]
		}
	}
	if has > room {
		return fmt.Errorf("transport: %w: %d rows can go to no other columns than %v, which take at most %d: %d too many",
			core.ErrParam, has, columns(inside), room, has-room)
	}
	can := len(g.offers) - has
	return fmt.Errorf("transport: %w: at most %d rows can go to columns %v, which ask for at least %d: %d too few",
		core.ErrParam, can, columns(outside), lacks, lacks-can)
}

// columns prints a few column numbers.
type columns []int

func (c columns) String() string {
	const few = 10
	if len(c) <= few {
		return fmt.Sprint([]int(c))
	}
	return fmt.Sprintf("%v and %d more", []int(c[:few]), len(c)-few)
}

// reprice makes prices anew from the costs alone, so that nothing is left of the last digits of earlier ones: the lengths of
// shortest paths (Bellman, Ford).
func (g *graph) reprice() {
	for v := range g.dist {
		g.dist[v] = 0
	}
	for pass, changed := 0, true; changed && pass <= g.k; pass++ {
		changed = false
		for u := range g.dist {
			g.edges.each(int32(u), func(v int32, cost float64) {
				if d := g.dist[u] + cost; d < g.dist[v] {
					g.dist[v] = d
					changed = true
				}
			})
		}
	}
	for v, d := range g.dist {
		g.price[v] = -d
	}
}
