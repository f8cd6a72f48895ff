package transport

import (
	"cmp"
	"context"
	"math"
	"slices"
)

const (
	balanceRounds = 12   // times that all prices are changed, at most
	firstStride   = 1.5  // of the steps; a whole one looks at half of the rows that change at first
	leastStride   = 0.3  // with less there is nothing to be gained
	farthest      = 4    // a price changes by at most so many times the margin of the rows looked at
	marginEvery   = 8    // every so manieth row tells which margin that is
	fewMargins    = 8    // rows a column within it, at least
	solverSteps   = 40   // of conjugate gradients, at most
	solverShare   = 0.05 // of the right side that is left then
)

// balancer finds prices at which columns have about as many rows as they are to have, each row being where it is
// cheapest: it raises the prices of columns that have too many and lowers those of columns that have too few. How many
// rows go from a to b if a gets dearer by so much is read off the rows for which b is second to a, which makes a Newton
// step for the dual problem, a linear system in the Laplacian of a graph of the columns (as in semi-discrete optimal
// transport: Kitagawa, Mérigot, Thibert, J. Eur. Math. Soc. 21, 2019).
type balancer struct {
	sizes Sizes
	// find sets first, second and margin for prices. Since it last did, no difference of two of them has changed by more
	// than moved.
	find   func(ctx context.Context, prices []float64, moved float64) error
	first  []int32   // of each row: its cheapest column, prices included, and
	second []int32   // the next, or -1
	margin []float32 // by how much that costs more, or less than that
	count  []int     // rows in each column
	excess []float64 // of each column: rows that are too many, or, below 0, too few
	near   []int32   // rows that a change of prices may move
	some   []float32 // margins
}

func newBalancer(s Sizes, rows int, find func(ctx context.Context, prices []float64, moved float64) error) *balancer {
	k := len(s.Lower)
	return &balancer{
		sizes: s, find: find, first: make([]int32, rows), second: make([]int32, rows), margin: make([]float32, rows),
		count: make([]int, k), excess: make([]float64, k),
	}
}

// balance changes prices until no more than enough rows are too many or too few, or it gains little, and leaves in first
// the cheapest column of each row. It returns how many are too many or too few.
func (b *balancer) balance(ctx context.Context, prices []float64, enough int) (surplus int, err error) {
	center(b.sizes, len(b.first), prices)
	if surplus, err = b.look(ctx, prices, math.Inf(1)); err != nil {
		return 0, err
	}
	tried, stride := make([]float64, len(prices)), firstStride
	for round := 0; round < balanceRounds && surplus > enough; round++ {
		step := b.step(surplus)
		if step == nil {
			break
		}
		for j, d := range step {
			tried[j] = prices[j] + float64(stride*d)
		}
		center(b.sizes, len(b.first), tried)
		moved := spread(prices, tried)
		now, err := b.look(ctx, tried, moved)
		if err != nil {
			return 0, err
		}
		switch {
		case now >= surplus: // too far
			if _, err := b.look(ctx, prices, moved); err != nil {
				return 0, err
			}
			if stride /= 2; stride < leastStride {
				return surplus, nil
			}
			continue
		case now > surplus*3/4:
			stride = max(stride/2, leastStride)
		default:
			stride = min(stride*1.5, firstStride)
		}
		surplus = now
		copy(prices, tried)
	}
	return surplus, nil
}

// look gives each row its cheapest column and returns how many are too many or too few.
func (b *balancer) look(ctx context.Context, prices []float64, moved float64) (int, error) {
	if err := b.find(ctx, prices, moved); err != nil {
		return 0, err
	}
	clear(b.count)
	for _, j := range b.first {
		b.count[j]++
	}
	many, few := 0, 0
	for j, c := range b.count {
		e := c - min(max(c, b.sizes.Lower[j]), b.sizes.Upper[j])
		b.excess[j] = float64(e)
		many += max(0, e)
		few += max(0, -e)
	}
	return max(many, few), nil
}

// step returns by how much to change prices, or nil if no row would move. The rows of the least margins tell, as many as
// are too many or too few and at least some for each column.
func (b *balancer) step(surplus int) []float64 {
	b.some = b.some[:0]
	for i := 0; i < len(b.margin); i += marginEvery {
		if b.second[i] >= 0 {
			b.some = append(b.some, b.margin[i])
		}
	}
	if len(b.some) == 0 {
		return nil
	}
	slices.Sort(b.some)
	widest := b.some[min(len(b.some)-1, max(surplus, fewMargins*len(b.count))/marginEvery)]
	if !(widest > 0) {
		return nil
	}
	b.near = b.near[:0]
	diagonal := make([]float64, len(b.count))
	for j := range diagonal {
		diagonal[j] = 1 // a column that no row is near to
	}
	for i, m := range b.margin {
		if b.second[i] >= 0 && m <= widest {
			b.near = append(b.near, int32(i))
			diagonal[b.first[i]]++
			diagonal[b.second[i]]++
		}
	}
	step, most := b.solve(diagonal), farthest*float64(widest)
	for j, v := range step {
		step[j] = min(max(float64(v*float64(widest)), -most), most)
	}
	return step
}

// solve solves the system with excess on its right side, roughly, by conjugate gradients.
func (b *balancer) solve(diagonal []float64) []float64 {
	k := len(diagonal)
	x, left, scaled := make([]float64, k), slices.Clone(b.excess), make([]float64, k)
	way, image := make([]float64, k), make([]float64, k)
	dot := func(a, b []float64) (sum float64) {
		for j, v := range a {
			sum += float64(v * b[j])
		}
		return sum
	}
	least := float64(dot(left, left) * solverShare * solverShare)
	var now float64
	for step := range solverSteps {
		for j, d := range diagonal {
			scaled[j] = left[j] / d
		}
		was := now
		if now = dot(left, scaled); !(now > 0) || dot(left, left) <= least {
			break
		}
		share := 0.0
		if step > 0 {
			share = now / was
		}
		for j := range way {
			way[j] = scaled[j] + float64(share*way[j])
			image[j] = float64(diagonal[j] * way[j])
		}
		for _, i := range b.near {
			u, v := b.first[i], b.second[i]
			image[u] -= way[v]
			image[v] -= way[u]
		}
		far := now / dot(way, image)
		for j := range x {
			x[j] += float64(far * way[j])
			left[j] -= float64(far * image[j])
		}
	}
	return x
}

// center changes all prices alike so that columns of positive prices, when full, and the others, with what they must have,
// hold all rows but for those of one column: prices that prove most.
func center(s Sizes, rows int, prices []float64) {
	order := make([]int, len(prices))
	loose := 0
	for j := range order {
		order[j] = j
		rows -= s.Lower[j]
		loose += s.Upper[j] - s.Lower[j]
	}
	if loose == 0 {
		return
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(prices[b], prices[a]) })
	zero := 0.0
	for _, j := range order {
		if rows -= s.Upper[j] - s.Lower[j]; rows <= 0 {
			zero = prices[j]
			break
		}
	}
	for j := range prices {
		prices[j] -= zero
	}
}
