package resolve

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/transport"
)

// firstOffers is how many places a row is offered at first, beside those of its full group. Tests set others.
var firstOffers = 32

// offer is a place that a row may go to, and what that adds.
type offer struct {
	added float64
	place int32
}

func (o offer) compare(p offer) int {
	return cmp.Or(cmp.Compare(o.added, p.added), cmp.Compare(o.place, p.place))
}

// offered is what a row is offered.
type offered struct {
	places []offer
	most   int     // beside those of its full group
	rest   float64 // what others add at least
}

// settle gives rows other codes, until none of the crowd's has too many, and tells whether they are proved to add the least.
//
// A row is offered all places of its full group, which are all to be taken, and some of the others, the best. These have
// prices of at least nothing; so where a row pays, price included, no more than the last of them adds, what it was not offered
// cannot be better. Other rows, and those for which there is no place among what they were offered, are offered more, but none
// more than rows leave: of so many places the rest of these rows leave one.
func (g *crowd) settle(ctx context.Context) (exact bool, err error) {
	if err := g.measure(ctx); err != nil {
		return false, err
	}
	all := make([]offered, len(g.rows))
	open := make([]int32, len(g.rows))
	for r := range all {
		open[r], all[r].most = int32(r), min(g.leave, firstOffers)
	}
	prices := make([]float64, len(g.room)+len(g.over))
	for {
		if g.pairs(all) > g.Pairs {
			return false, g.guess(ctx)
		}
		if err := g.offer(ctx, all, open); err != nil {
			return false, err
		}
		to, more, err := g.assign(ctx, all, prices)
		if err != nil {
			return false, err
		}
		if len(more) == 0 {
			for r, p := range to {
				g.move(int32(r), p)
			}
			return true, nil
		}
		open = more
		for _, r := range open {
			all[r].most = min(g.leave, 4*all[r].most)
		}
	}
}

// move gives row r the code of a place, if it is one.
func (g *crowd) move(r, place int32) {
	if place >= 0 {
		levels := g.codes.Levels - g.depth
		copy(g.codes.Row(int(g.rows[r]))[g.depth:], g.digits[int(place)*levels:][:levels])
	}
}

// pairs is how many places are offered to rows, altogether.
func (g *crowd) pairs(all []offered) int {
	inside := 0
	for _, f := range g.full {
		inside += f.hi - f.lo
	}
	n := 0
	for r, o := range all {
		if f := g.over[g.from[r]].full; f >= 0 {
			n += g.full[f].hi - g.full[f].lo
		}
		n += min(o.most, len(g.room)-inside)
	}
	return n
}

// offer sets what some rows are offered.
func (g *crowd) offer(ctx context.Context, all []offered, which []int32) error {
	return g.score(ctx, which, func(_ int, r int32, added []float64) {
		o, own := &all[r], g.over[g.from[r]].full
		o.places = o.places[:0]
		if own >= 0 {
			for p := g.full[own].lo; p < g.full[own].hi; p++ {
				o.places = append(o.places, offer{added[p], int32(p)})
			}
		}
		inside := len(o.places)
		outside := func(p int) bool { return g.of[p] < 0 }
		var some bool
		o.places, some = appendBest(o.places, added, o.most, outside)
		o.rest = math.Inf(1)
		if some && o.most < g.leave {
			o.rest = slices.MaxFunc(o.places[inside:], offer.compare).added
		}
	})
}

// appendBest appends the most places that add least, of those that are allowed; some tells that there are more.
func appendBest(dst []offer, added []float64, most int, allowed func(p int) bool) (_ []offer, some bool) {
	first := len(dst)
	limit := offer{math.Inf(1), -1}
	for p, a := range added {
		o := offer{a, int32(p)}
		if (some && a > limit.added) || !allowed(p) {
			continue
		}
		dst = append(dst, o)
		if len(dst)-first == 2*most+16 { // keep the better half
			slices.SortFunc(dst[first:], offer.compare)
			dst, some = dst[:first+most], true
			limit = dst[len(dst)-1]
		}
	}
	if len(dst)-first > most {
		slices.SortFunc(dst[first:], offer.compare)
		dst, some = dst[:first+most], true
	}
	return dst, some
}

// assign finds where rows go at the least added error, given what they are offered: a place, or -1 to stay. more are rows
// that have to be offered more before that is sure. prices are those of places and of over, to start from and to keep.
func (g *crowd) assign(ctx context.Context, all []offered, prices []float64) (to, more []int32, err error) {
	// The columns: over, for rows that stay; nowhere, for rows that find no place among their offers; and places.
	nowhere := int32(len(g.over))
	sizes := transport.Between(len(g.over)+1, 0, len(all))
	for n, o := range g.over {
		sizes.Lower[n], sizes.Upper[n] = o.room, o.room
	}
	columnOf, placeOf := make([]int32, len(g.room)), make([]int32, len(g.over)+1)
	most := 0.0
	for _, o := range all {
		for _, x := range o.places {
			most = max(most, math.Abs(x.added))
			if columnOf[x.place] == 0 {
				columnOf[x.place], placeOf = int32(len(placeOf)), append(placeOf, x.place)
				lower := 0
				if g.of[x.place] >= 0 {
					lower = g.room[x.place]
				}
				sizes.Lower, sizes.Upper = append(sizes.Lower, lower), append(sizes.Upper, g.room[x.place])
			}
		}
	}
	first, column, cost := []int{0}, []int32(nil), []float64(nil)
	for r, o := range all {
		if from := g.from[r]; g.over[from].room > 0 {
			column, cost = append(column, from), append(cost, 0)
		}
		if !math.IsInf(o.rest, 1) {
			column, cost = append(column, nowhere), append(cost, 3*most)
		}
		for _, x := range o.places {
			column, cost = append(column, columnOf[x.place]), append(cost, x.added)
		}
		first = append(first, len(column))
	}
	costs, err := transport.NewSparse(len(placeOf), first, column, cost)
	if err != nil {
		return nil, nil, err
	}
	warm := &transport.Solution{Prices: make([]float64, len(placeOf))}
	copy(warm.Prices, prices[len(g.room):])
	for j, p := range placeOf[nowhere+1:] {
		warm.Prices[int(nowhere)+1+j] = prices[p]
	}
	s, err := transport.Solve(ctx, costs, sizes, warm)
	if err != nil {
		return nil, nil, err
	}
	copy(prices[len(g.room):], s.Prices[:nowhere])
	to = make([]int32, len(all))
	for j, p := range placeOf[nowhere+1:] {
		prices[p] = s.Prices[int(nowhere)+1+j]
	}
	for r, o := range all {
		j := s.Columns[r]
		pays := s.Prices[j]
		to[r] = -1
		if j > nowhere {
			to[r] = placeOf[j]
			at := slices.IndexFunc(o.places, func(x offer) bool { return x.place == to[r] })
			pays += o.places[at].added
		}
		if j == nowhere || pays > o.rest+float64(1e-12*math.Abs(o.rest)) {
			more = append(more, int32(r))
		}
	}
	return to, more, nil
}

// guess is settle by rule of thumb: of the rows of a code those stay that would add most elsewhere, and of the others and
// the places of a full group, and then of what is left of them and all other places, the best pair comes first.
func (g *crowd) guess(ctx context.Context) error {
	least := make([]float64, len(g.rows))
	every := make([]int32, len(g.rows))
	for r := range every {
		every[r] = int32(r)
	}
	err := g.score(ctx, every, func(_ int, r int32, added []float64) {
		least[r] = math.Inf(1)
		own := g.over[g.from[r]].full
		for p, a := range added {
			if g.of[p] < 0 || g.of[p] == own {
				least[r] = min(least[r], a)
			}
		}
	})
	if err != nil {
		return err
	}
	slices.SortFunc(every, func(a, b int32) int {
		return cmp.Or(cmp.Compare(g.from[a], g.from[b]), cmp.Compare(least[b], least[a]), cmp.Compare(a, b))
	})
	var moving []int32
	stayed := make([]int, len(g.over))
	for _, r := range every {
		if from := g.from[r]; stayed[from] < g.over[from].room {
			stayed[from]++
		} else {
			moving = append(moving, r)
		}
	}
	room := slices.Clone(g.room)
	var left []int32
	for f := range g.full {
		mine := slices.DeleteFunc(slices.Clone(moving), func(r int32) bool { return g.over[g.from[r]].full != int32(f) })
		mine, err := g.fill(ctx, mine, room, int32(f))
		if err != nil {
			return err
		}
		left = append(left, mine...)
	}
	if len(g.full) == 0 {
		left = moving
	}
	_, err = g.fill(ctx, left, room, -1)
	return err
}

// fill moves rows to the places of a full group, or to those of none, the best pair first, until there is no room or no row
// left, and returns the rows that are left.
func (g *crowd) fill(ctx context.Context, rows []int32, room []int, full int32) ([]int32, error) {
	free := 0
	for p, n := range room {
		if g.of[p] == full {
			free += n
		}
	}
	type pair struct {
		offer
		row int32
	}
	for len(rows) > 0 && free > 0 {
		most := max(16, g.Pairs/len(rows)/4)
		found := make([][]pair, par.Threads())
		scratch := make([][]offer, par.Threads())
		err := g.score(ctx, rows, func(worker int, r int32, added []float64) {
			best, _ := appendBest(scratch[worker][:0], added, most, func(p int) bool { return g.of[p] == full && room[p] > 0 })
			scratch[worker] = best
			for _, o := range best {
				found[worker] = append(found[worker], pair{o, r})
			}
		})
		if err != nil {
			return nil, err
		}
		pairs := slices.Concat(found...)
		slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(a.offer.compare(b.offer), cmp.Compare(a.row, b.row)) })
		placed := make(map[int32]bool)
		for _, x := range pairs {
			if !placed[x.row] && room[x.place] > 0 {
				placed[x.row] = true
				room[x.place]--
				free--
				g.move(x.row, x.place)
			}
		}
		rows = slices.DeleteFunc(rows, func(r int32) bool { return placed[r] })
	}
	return rows, nil
}
