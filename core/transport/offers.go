package transport

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// offer is a column that a row may go to, and what it costs there.
type offer struct {
	cost   float64
	column int32
}

// window says which columns are offered to a row: those that cost at most width more than the cheapest, prices included, and
// no more than most of them, the cheapest, of equal ones the first.
type window struct {
	width float64
	most  int
}

// source is costs that can tell which columns are in a window.
type source interface {
	Costs
	// offering returns a function for one goroutine that calls found with the offers of each row, by its index in rows, in
	// any order and perhaps with some that are outside the window but none missing, ready to be changed; prices are those
	// of the columns. It returns an error for costs that cannot be.
	offering(prices []float64, w window) func(rows []int32, found func(r int, offers []offer)) error
	// paying returns a function for one goroutine that sets dst to what row i, which got offers before, pays in some columns.
	paying(columns []int32) func(dst []float64, i int32)
}

const (
	offerRows = 252  // rows that a goroutine makes offers for at a time
	slabRoom  = 1024 // offers for which memory is taken at once
)

// offersTo makes the offers of rows, in their order. What is not offered to a row costs it at least rest, prices included.
func offersTo(ctx context.Context, src source, rows []int32, prices []float64, w window) (of [][]offer, rest []float64, err error) {
	of, rest = make([][]offer, len(rows)), make([]float64, len(rows))
	bad := make([]error, (len(rows)+offerRows-1)/offerRows)
	type worker struct {
		offering func(rows []int32, found func(r int, offers []offer)) error
		slab     []offer
		cutter   cutter
	}
	workers := make([]worker, par.Threads())
	err = par.Chunks(ctx, len(rows), offerRows, func(number, lo, hi int) {
		m := &workers[number]
		if m.offering == nil {
			m.offering, m.cutter = src.offering(prices, w), cutter{window: w, prices: prices}
		}
		bad[lo/offerRows] = m.offering(rows[lo:hi], func(r int, offers []offer) {
			offers, rest[lo+r] = m.cutter.cut(rows[lo+r], offers)
			if cap(m.slab)-len(m.slab) < len(offers) {
				m.slab = make([]offer, 0, max(slabRoom, len(offers)))
			}
			at := len(m.slab)
			m.slab = append(m.slab, offers...)
			of[lo+r] = m.slab[at:len(m.slab):len(m.slab)]
		})
	})
	if err != nil {
		return nil, nil, err
	}
	for _, err := range bad { // the first row at fault, on any number of threads
		if err != nil {
			return nil, nil, err
		}
	}
	return of, rest, nil
}

// sameShare is how far apart two costs of a row may be, prices included, to count as the same, as a share of the lesser cost: what
// rounding makes of equal ones. It is far less than the gap that a solution may have.
const sameShare = 1e-13

// cutter is what one goroutine cuts offers with.
type cutter struct {
	window
	prices []float64
	values []float64
	draws  []uint64
	ranks  ranks[float64]
	order  ranks[uint64]
}

// cut leaves the offers to a row that are in the window, and says what the others cost at least. Of columns that cost the
// same, the row's number decides which: copies of a row, or of a column, are offered different columns.
func (c *cutter) cut(row int32, offers []offer) ([]offer, float64) {
	if c.all(len(offers)) {
		return offers, math.Inf(1)
	}
	value := func(o offer) float64 { return o.cost + c.prices[o.column] }
	best := 0
	for x, o := range offers {
		if value(o) < value(offers[best]) {
			best = x
		}
	}
	first := offers[best]
	copy(offers[1:], offers[:best]) // the others as they were, whatever there is beyond the window
	offers[0] = first
	rest := value(offers[0]) + c.width
	offers = slices.DeleteFunc(offers, func(o offer) bool { return value(o) > rest })
	if len(offers) <= c.most {
		return offers, rest
	}
	c.values, c.draws = c.values[:0], c.draws[:0]
	for _, o := range offers {
		c.values = append(c.values, value(o))
	}
	last, same := c.ranks.nth(c.values, c.most-1), float64(sameShare*math.Abs(offers[0].cost))
	n, drawn := 1, uint64(math.MaxUint64) // of those that cost the same as the last, the ones with lower draws are in
	for x, o := range offers[1:] {
		if v := c.values[1+x]; v < last-same {
			n++
		} else if v <= last+same {
			c.draws = append(c.draws, mixed(row, o.column))
		}
	}
	if len(c.draws) > c.most-n {
		drawn = c.order.nth(c.draws, c.most-n)
	}
	rest, n = math.Inf(1), 1
	for x, o := range offers[1:] {
		v := c.values[1+x]
		if n < c.most && (v < last-same || v <= last+same && mixed(row, o.column) < drawn) {
			offers[n] = o
			n++
		} else {
			rest = min(rest, v)
		}
	}
	return offers[:n], rest
}

// ranks is memory to find the n-th smallest of a few.
type ranks[T cmp.Ordered] []T

// nth is the n-th smallest of v, counted from 0, which must have as many.
func (r *ranks[T]) nth(v []T, n int) T {
	least := append((*r)[:0], v[:n+1]...)
	slices.Sort(least)
	for _, x := range v[n+1:] {
		if x < least[n] {
			i := n
			for i > 0 && x < least[i-1] {
				least[i] = least[i-1]
				i--
			}
			least[i] = x
		}
	}
	*r = least
	return least[n]
}

// mixed is a number that looks drawn for each pair (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
func mixed(a, b int32) uint64 {
	z := uint64(a)<<32 | uint64(uint32(b))
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// all tells whether nothing is outside the window.
func (w window) all(columns int) bool { return w.most >= columns && math.IsInf(w.width, 1) }

// anyCosts is a source of costs of any kind.
type anyCosts struct{ Costs }

func (a anyCosts) offering([]float64, window) func(rows []int32, found func(r int, offers []offer)) error {
	costs, offers := make([]float64, a.Columns()), make([]offer, 0, a.Columns())
	return func(rows []int32, found func(r int, offers []offer)) error {
		for r, i := range rows {
			a.Row(costs, int(i))
			offers = offers[:0]
			for j, c := range costs {
				o, err := makeOffer(i, int32(j), c)
				if err != nil {
					return err
				}
				if !math.IsInf(c, 1) {
					offers = append(offers, o)
				}
			}
			if len(offers) == 0 {
				return errNowhere(i)
			}
			found(r, offers)
		}
		return nil
	}
}

// makeOffer returns an error for a cost that cannot be.
func makeOffer(row, column int32, cost float64) (offer, error) {
	if math.IsNaN(cost) || math.IsInf(cost, -1) {
		return offer{}, fmt.Errorf("transport: %w: row %d costs %g in column %d", core.ErrNotFinite, row, cost, column)
	}
	return offer{cost, column}, nil
}

func errNowhere(row int32) error {
	return fmt.Errorf("transport: %w: row %d cannot go to any column", core.ErrParam, row)
}

func (a anyCosts) paying(columns []int32) func(dst []float64, i int32) {
	costs := make([]float64, a.Columns())
	return func(dst []float64, i int32) {
		a.Row(costs, int(i))
		for x, j := range columns {
			dst[x] = costs[j]
		}
	}
}
