package transport

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/semantic-id/semantic-id/core/internal/par"
)

// problem is what Solve is to solve.
type problem struct {
	costs source
	sizes Sizes
	n, k  int
}

// limits say where to go which way; tests set others.
var limits = struct {
	pairs     int // the most columns for which edges are kept for all pairs of them: some 32 MiB
	few       int // so many costs are all looked at
	most      int // columns offered to a row at first
	sample    int // rows a column in the first of several samples
	warm      int // the same where prices are to be good already, as a few rows tell less than they do
	firstMost int // columns offered to a row of it
}{pairs: 1024, few: 1 << 14, most: 7, sample: 4, warm: 64, firstMost: 32}

const (
	growth      = 4       // how many times as many rows the next sample has
	fewRows     = 16      // with fewer rows a column than this, columns compete for single rows, which are offered
	manyOffers  = 8       // so many times as many
	mostInvited = 1 << 28 // costs that invite looks at, at most
	closeGap    = 1e-12   // the largest gap for which prices are left as they have grown
)

// solve goes the long way where prices are not known: it solves the problem for growing samples of the rows first, whose
// prices are the nearer to those of all rows the more rows there are.
func (p *problem) solve(ctx context.Context, prices []float64, warm *Solution) (*Solution, error) {
	w := window{math.Inf(1), p.k}
	if p.n > limits.few/p.k {
		w.most = limits.most
		if p.n < fewRows*p.k {
			w.most *= manyOffers
		}
		w.most = min(p.k, w.most)
		reach, err := p.samples(ctx, prices, warm != nil)
		switch {
		case err != nil:
			return nil, err
		case reach > 0:
			w.width = reach
		case warm != nil && warm.reach > 0:
			w.width = 1.5 * warm.reach
		}
	}
	if _, few := p.costs.(*Sparse); few {
		w = window{math.Inf(1), p.k} // they are in memory anyway
	}
	m, err := p.start(ctx, ids(p.n), p.sizes, prices, w)
	if err != nil {
		return nil, err
	}
	solution, err := m.finish(ctx)
	if d, ok := p.costs.(*distances); ok && d.moving != nil {
		d.moving.offers = m.graph.offers
	}
	return solution, err
}

func ids(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

// samples makes prices better by what samples of the rows tell, and returns how far they moved in the last, 0 if none was
// solved: where prices are to be good already and the first sample shows it.
func (p *problem) samples(ctx context.Context, prices []float64, good bool) (reach float64, err error) {
	var sizes []int
	least := limits.sample
	if good {
		least = limits.warm
	}
	for m := p.n / growth; m >= least*p.k; m /= growth {
		sizes = append(sizes, m)
	}
	if len(sizes) == 0 {
		return 0, nil
	}
	rows := ids(p.n)
	rng := rand.New(rand.NewPCG(0, 0))
	rng.Shuffle(p.n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for _, m := range slices.Backward(sizes) {
		share := Sizes{make([]int, p.k), make([]int, p.k)}
		for j := range p.k {
			share.Lower[j] = int(float64(p.sizes.Lower[j]) * float64(m) / float64(p.n))
			share.Upper[j] = min(m, int(math.Ceil(float64(p.sizes.Upper[j])*float64(m)/float64(p.n))))
		}
		w := window{reach, min(p.k, limits.most)}
		if reach == 0 {
			w = window{math.Inf(1), min(p.k, limits.firstMost)}
		}
		some := slices.Sorted(slices.Values(rows[:m]))
		g, err := p.start(ctx, some, share, prices, w)
		if err == nil && good && reach == 0 {
			// With the best prices there are, by chance, some 0.4 root(m k) rows too many in columns. A sample is worth while if
			// more of all rows have to be moved than would be after it.
			many, chance := float64(g.graph.surplus()), 0.16*float64(m)*float64(p.k)
			if max(0, float64(many*many)-chance)*float64(p.n)/float64(m) < 4*chance {
				return 0, nil
			}
		}
		if err == nil {
			err = g.prove(ctx)
		}
		if err != nil { // perhaps sizes that these rows cannot meet; what is wrong with all rows shows soon
			return 0, ctx.Err()
		}
		before := slices.Clone(prices)
		copy(prices, g.prices())
		reach = spread(before, prices)
	}
	return reach, nil
}

// spread is by how much the difference of two prices has changed at most.
func spread(before, after []float64) float64 {
	least, most := math.Inf(1), math.Inf(-1)
	for j, p := range before {
		d := after[j] - p
		least, most = min(least, d), max(most, d)
	}
	return most - least
}

// matching is a graph of some rows and what shows that the columns which these were not offered are too expensive for them.
type matching struct {
	p     *problem
	rows  []int32
	graph *graph
	w     window
	first []float64 // the prices at the start
	// Row i was last made offers at prices price[then[i]], and what it was not offered cost at least rest[i] with them.
	rest  []float64
	then  []int32
	price [][]float64
}

// start has each of the rows in its cheapest column.
func (p *problem) start(ctx context.Context, rows []int32, sizes Sizes, prices []float64, w window) (*matching, error) {
	of, rest, err := offersTo(ctx, p.costs, rows, prices, w)
	if err != nil {
		return nil, err
	}
	g := newGraph(p.k, sizes, prices, of)
	return &matching{
		p: p, rows: rows, graph: g, w: w, rest: rest, then: make([]int32, len(rows)), price: [][]float64{slices.Clone(g.price)},
		first: slices.Clone(prices),
	}, nil
}

// prices are those of the columns; the spare is worth nothing from now on.
func (m *matching) prices() []float64 {
	g := m.graph
	for j := range g.k {
		g.price[j] -= g.price[g.k]
	}
	g.price[g.k] = 0
	return slices.Clone(g.price[:g.k])
}

// prove moves rows until each column has what it is to hold and no row would rather be elsewhere.
func (m *matching) prove(ctx context.Context) error {
	for {
		var open []int32
		err := m.graph.repair(ctx)
		switch {
		case err == nil:
			if open = m.open(); len(open) == 0 {
				return nil
			}
		case err == errStuck:
			if open = m.confined(); len(open) == 0 {
				return m.graph.stuck()
			}
			if invited, err := m.invite(ctx, open); invited || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		default:
			return err
		}
		if err := m.widen(ctx, open, err != nil); err != nil {
			return err
		}
	}
}

// widen offers more columns to some rows: those that are cheaper than where they are, and such as may soon be, prices moving
// less from one time to the next; many more where rows are stuck without.
func (m *matching) widen(ctx context.Context, open []int32, stuck bool) error {
	g := m.graph
	m.w.width = spread(m.price[len(m.price)-1][:g.k], g.price[:g.k]) / 4
	if stuck || len(m.price) > 8 {
		m.w = window{math.Inf(1), 2 * m.w.most}
	}
	rows := make([]int32, len(open))
	for x, i := range open {
		rows[x] = m.rows[i]
	}
	of, rest, err := offersTo(ctx, m.p.costs, rows, g.price[:g.k], m.w)
	if err != nil {
		return err
	}
	for x, i := range open {
		m.rest[i], m.then[i] = rest[x], int32(len(m.price))
		g.widen(i, of[x])
	}
	m.price = append(m.price, slices.Clone(g.price))
	return nil
}

// invite offers columns that lack rows and that nobody was offered to those of the given rows for which they are cheapest.
// It returns false if it is not for it to do.
func (m *matching) invite(ctx context.Context, rows []int32) (bool, error) {
	g := m.graph
	var lacking []int32
	for j, reached := range g.reached()[:g.k] {
		if !reached && (g.excess[j] < 0 || g.canHoldMore(int32(j))) {
			lacking = append(lacking, int32(j))
		}
	}
	if len(lacking) == 0 || len(lacking) > mostInvited/len(rows) {
		return false, nil
	}
	type worker struct {
		paying func(dst []float64, i int32)
		costs  []float64
		best   [][]guest // of each lacking column
	}
	workers := make([]worker, par.Threads())
	err := par.Chunks(ctx, len(rows), offerRows, func(number, lo, hi int) {
		w := &workers[number]
		if w.paying == nil {
			w.paying, w.costs, w.best = m.p.costs.paying(lacking), make([]float64, len(lacking)), make([][]guest, len(lacking))
		}
		for _, i := range rows[lo:hi] {
			own := g.paid[i] + g.price[g.column[i]]
			w.paying(w.costs, m.rows[i])
			for y, c := range w.costs {
				if !math.IsInf(c, 1) {
					w.best[y] = append(w.best[y], guest{c - own, c, mixed(i, lacking[y]), i})
					if most := g.guests(lacking[y]); len(w.best[y]) >= 2*most {
						w.best[y] = fewest(w.best[y], most)
					}
				}
			}
		}
	})
	if err != nil {
		return false, err
	}
	invited := false
	for y, j := range lacking {
		var all []guest
		for _, w := range workers {
			if w.best != nil {
				all = append(all, w.best[y]...)
			}
		}
		for _, b := range fewest(all, g.guests(j)) {
			g.widen(b.row, []offer{{b.cost, j}})
			invited = true
		}
	}
	return invited, nil
}

// guest is a row that may be offered a column, what it costs there, and that less what it costs where it is, prices included.
type guest struct {
	more, cost float64
	drawn      uint64 // equal ones come in this order
	row        int32
}

// guests is how many rows to invite to column j.
func (g *graph) guests(j int32) int { return 8 + 2*max(0, -g.excess[j]) }

// fewest leaves so many guests, those to whom it costs least more.
func fewest(guests []guest, most int) []guest {
	slices.SortFunc(guests, func(a, b guest) int {
		return cmp.Or(cmp.Compare(a.more, b.more), cmp.Compare(a.drawn, b.drawn), cmp.Compare(a.row, b.row))
	})
	return guests[:min(most, len(guests))]
}

// confined lists the rows in columns that the last search came to which might go elsewhere if they were offered more.
func (m *matching) confined() []int32 {
	var rows []int32
	reached := m.graph.reached()
	for i, j := range m.graph.column {
		if reached[j] && !math.IsInf(m.rest[i], 1) {
			rows = append(rows, int32(i))
		}
	}
	return rows
}

// fallen is by how much prices have fallen at most since each of the times.
func (m *matching) fallen() []float64 {
	fallen := make([]float64, len(m.price))
	for t, was := range m.price {
		least := math.Inf(1)
		for j, p := range m.graph.price[:m.graph.k] {
			least = min(least, p-was[j])
		}
		fallen[t] = least
	}
	return fallen
}

// open lists the rows for which a column that they were not offered may be cheaper than where they are.
func (m *matching) open() []int32 {
	var open []int32
	g, fallen := m.graph, m.fallen()
	for i, rest := range m.rest {
		cost := g.paid[i]
		if cost+g.price[g.column[i]] > rest+fallen[m.then[i]]+float64(sameShare*math.Abs(cost)) {
			open = append(open, int32(i))
		}
	}
	return open
}

// finish returns the solution, its prices made anew if those that there are do not prove it.
func (m *matching) finish(ctx context.Context) (*Solution, error) {
	if err := m.prove(ctx); err != nil {
		return nil, err
	}
	s := m.solution()
	if s.Gap <= closeGap {
		return s, nil
	}
	m.graph.reprice()
	if err := m.prove(ctx); err != nil {
		return nil, err
	}
	if anew := m.solution(); anew.Gap <= s.Gap {
		return anew, nil
	}
	return s, nil
}

// solution is the assignment as it is, with its proof.
func (m *matching) solution() *Solution {
	g := m.graph
	s := &Solution{Columns: slices.Clone(g.column), Counts: slices.Clone(g.count), Prices: m.prices()}
	s.reach = spread(m.first, s.Prices)
	fallen := m.fallen()
	var slack, paid float64
	for i, offers := range g.offers {
		best, own := m.rest[i]+fallen[m.then[i]], 0.0
		for _, o := range offers {
			best = min(best, o.cost+g.price[o.column])
			if o.column == g.column[i] {
				own = o.cost
			}
		}
		s.Primal += own
		paid += math.Abs(own)
		slack += max(0, own+g.price[g.column[i]]-best)
	}
	for j, p := range s.Prices {
		slack += float64(max(0, p) * float64(g.sizes.Upper[j]-g.count[j]))
		slack += float64(max(0, -p) * float64(g.count[j]-g.sizes.Lower[j]))
	}
	s.Dual = s.Primal - slack
	if slack > 0 {
		s.Gap = slack / paid
	}
	return s
}
