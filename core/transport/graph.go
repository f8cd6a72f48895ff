package transport

import (
	"context"
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// graph is an assignment that becomes a cheapest one. Its nodes are the columns and one more, the spare, which takes from
// each column what it has beyond its lower size: an edge from j to l moves a row, one from a column to the spare lets the
// column take one more, one from the spare lets it take one less. Prices are such that no edge costs less than nothing,
// prices included; nodes that take in more than they give (excess) send rows along the cheapest path to those that
// lack some, until none does.
type graph struct {
	n, k   int
	sizes  Sizes
	cost   []float64 // n*k
	column []int32   // of each row
	rows   [][]int32 // of each column, ascending
	price  []float64 // of each node
	load   []int     // what each column is to hold
	excess []int     // of each node: what it holds beyond its load

	dist []float64 // of each node: the length of the shortest path to it
	from []int     // the node before it on that path, and
	move []int32   // the row that moves along
	done []bool
}

func newGraph(ctx context.Context, c Costs, s Sizes, prices []float64) (*graph, error) {
	n, k := c.Rows(), c.Columns()
	g := &graph{
		n: n, k: k, sizes: s, cost: make([]float64, n*k), column: make([]int32, n), rows: make([][]int32, k),
		price: append(prices, 0), load: make([]int, k), excess: make([]int, k+1),
		dist: make([]float64, k+1), from: make([]int, k+1), move: make([]int32, k+1), done: make([]bool, k+1),
	}
	bad := make([]error, par.Threads())
	err := par.Chunks(ctx, n, 64, func(worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			row := g.cost[i*k : (i+1)*k]
			c.Row(row, i)
			if err := checkCosts(row, i); err != nil && bad[worker] == nil {
				bad[worker] = err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, err := range bad {
		if err != nil {
			return nil, err
		}
	}
	return g, nil
}

// checkCosts returns an error unless row i can go to some column and has a cost in it.
func checkCosts(costs []float64, i int) error {
	possible := false
	for j, v := range costs {
		if math.IsNaN(v) || math.IsInf(v, -1) {
			return fmt.Errorf("transport: %w: row %d costs %g in column %d", core.ErrNotFinite, i, v, j)
		}
		possible = possible || !math.IsInf(v, 1)
	}
	if !possible {
		return fmt.Errorf("transport: %w: row %d cannot go to any column", core.ErrParam, i)
	}
	return nil
}

// settle sends each row to its cheapest column, prices included, the first of those as cheap, and works out excesses.
func (g *graph) settle() {
	for j := range g.rows {
		g.rows[j] = g.rows[j][:0]
	}
	for i := range g.n {
		best, at := math.Inf(1), 0
		for j, c := range g.cost[i*g.k : (i+1)*g.k] {
			if v := c + g.price[j]; v < best {
				best, at = v, j
			}
		}
		g.column[i] = int32(at)
		g.rows[at] = append(g.rows[at], int32(i))
	}
	spare := -g.n
	for j, p := range g.price[:g.k] {
		has := len(g.rows[j])
		switch p -= g.price[g.k]; {
		case p > 0:
			g.load[j] = g.sizes.Upper[j]
		case p < 0:
			g.load[j] = g.sizes.Lower[j]
		default:
			g.load[j] = min(max(has, g.sizes.Lower[j]), g.sizes.Upper[j])
		}
		g.excess[j] = has - g.load[j]
		spare += g.load[j]
	}
	g.excess[g.k] = spare
}

// repair sends rows from where there are too many to where there are too few.
func (g *graph) repair(ctx context.Context) error {
	for s := range g.excess {
		for g.excess[s] > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			t := g.search(s)
			if t < 0 {
				return g.stuck()
			}
			for v, d := range g.dist {
				if g.done[v] {
					g.price[v] += g.dist[t] - d
				}
			}
			for v := t; v != s; v = g.from[v] {
				g.shift(g.from[v], v, g.move[v])
			}
			g.excess[s]--
			g.excess[t]++
		}
	}
	return nil
}

// search finds the shortest path from node s to a node that lacks rows (Dijkstra) and returns that node, or -1.
func (g *graph) search(s int) int {
	for v := range g.dist {
		g.dist[v], g.done[v] = math.Inf(1), false
	}
	g.dist[s] = 0
	for {
		u := -1
		for v, d := range g.dist {
			if !g.done[v] && !math.IsInf(d, 1) && (u < 0 || d < g.dist[u]) {
				u = v
			}
		}
		if u < 0 || g.excess[u] < 0 {
			return u
		}
		g.done[u] = true
		if u == g.k {
			for j, load := range g.load {
				if load > g.sizes.Lower[j] {
					g.relax(u, j, 0, -1)
				}
			}
			continue
		}
		if g.load[u] < g.sizes.Upper[u] {
			g.relax(u, g.k, 0, -1)
		}
		for _, i := range g.rows[u] {
			costs := g.cost[int(i)*g.k:][:g.k]
			for j, c := range costs {
				if !g.done[j] && !math.IsInf(c, 1) {
					g.relax(u, j, c-costs[u], i)
				}
			}
		}
	}
}

// relax takes the edge from u to v into account, which costs that much before prices.
func (g *graph) relax(u, v int, cost float64, row int32) {
	if g.done[v] {
		return
	}
	if d := g.dist[u] + max(0, cost+(g.price[v]-g.price[u])); d < g.dist[v] {
		g.dist[v], g.from[v], g.move[v] = d, u, row
	}
}

// reprice makes prices anew from the costs alone: what earlier ones have left in the last digits is gone. They are the
// lengths of shortest paths (Bellman, Ford).
func (g *graph) reprice() {
	for v := range g.price {
		g.price[v], g.dist[v], g.done[v] = 0, 0, false
	}
	lower := func(u, v int, cost float64) bool {
		if d := g.dist[u] + cost; d < g.dist[v] {
			g.dist[v] = d
			return true
		}
		return false
	}
	changed := true
	for pass := 0; changed && pass <= g.k; pass++ {
		changed = false
		for j := range g.k {
			if g.load[j] > g.sizes.Lower[j] && lower(g.k, j, 0) {
				changed = true
			}
			if g.load[j] < g.sizes.Upper[j] && lower(j, g.k, 0) {
				changed = true
			}
			for _, i := range g.rows[j] {
				costs := g.cost[int(i)*g.k:][:g.k]
				for l, c := range costs {
					if lower(j, l, c-costs[j]) {
						changed = true
					}
				}
			}
		}
	}
	for v, d := range g.dist {
		g.price[v] = -d
	}
}

// shift moves a row from u to v, or the right to one more row from the spare or to it.
func (g *graph) shift(u, v int, row int32) {
	switch {
	case u == g.k:
		g.load[v]--
	case v == g.k:
		g.load[u]++
	default:
		at := 0
		for g.rows[u][at] != row {
			at++
		}
		g.rows[u] = append(g.rows[u][:at], g.rows[u][at+1:]...)
		at = len(g.rows[v])
		for at > 0 && g.rows[v][at-1] > row {
			at--
		}
		g.rows[v] = append(g.rows[v], 0)
		copy(g.rows[v][at+1:], g.rows[v][at:])
		g.rows[v][at] = row
		g.column[row] = int32(v)
	}
}

// stuck says why rows cannot be moved: after a search that found nothing, rows in columns that it came to can go to no others.
func (g *graph) stuck() error {
	var inside, outside []int
	has, room, lacks := 0, 0, 0
	for j := range g.k {
		if g.done[j] {
			inside = append(inside, j)
			has += len(g.rows[j])
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
	return fmt.Errorf("transport: %w: at most %d rows can go to columns %v, which ask for at least %d: %d too few",
		core.ErrParam, g.n-has, columns(outside), lacks, lacks-(g.n-has))
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

// solution is the assignment as it is, with its proof.
func (g *graph) solution() *Solution {
	s := &Solution{Columns: g.column, Counts: make([]int, g.k), Prices: make([]float64, g.k)}
	for j := range g.k {
		s.Counts[j] = len(g.rows[j])
		s.Prices[j] = g.price[j] - g.price[g.k]
	}
	var slack, paid float64
	for i := range g.n {
		best, own := math.Inf(1), 0.0
		for j, c := range g.cost[i*g.k : (i+1)*g.k] {
			best = min(best, c+s.Prices[j])
			if j == int(g.column[i]) {
				own = c
			}
		}
		s.Primal += own
		paid += math.Abs(own)
		slack += own + s.Prices[g.column[i]] - best
	}
	for j, p := range s.Prices {
		slack += float64(max(0, p) * float64(g.sizes.Upper[j]-s.Counts[j]))
		slack += float64(max(0, -p) * float64(s.Counts[j]-g.sizes.Lower[j]))
	}
	s.Dual = s.Primal - slack
	if slack > 0 {
		s.Gap = slack / paid
	}
	return s
}
