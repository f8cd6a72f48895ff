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
	offerRows = 256  // rows that a goroutine makes offers for at a time
	slabRoom  = 1024 // offers for which memory is taken at once
)

// offersTo makes the offers of rows, in their order. What is not offered to a row costs it at least rest, prices included.
func offersTo(ctx context.Context, src source, rows []int32, prices []float64, w window) (of [][]offer, rest []float64, err error) {
	of, rest = make([][]offer, len(rows)), make([]float64, len(rows))
	bad := make([]error, (len(rows)+offerRows-1)/offerRows)
	type worker struct {
		offering func(rows []int32, found func(r int, offers []offer)) error
		slab     []offer
	}
	workers := make([]worker, par.Threads())
	err = par.Chunks(ctx, len(rows), offerRows, func(number, lo, hi int) {
		m := &workers[number]
		if m.offering == nil {
			m.offering = src.offering(prices, w)
		}
		bad[lo/offerRows] = m.offering(rows[lo:hi], func(r int, offers []offer) {
			offers, rest[lo+r] = w.cut(offers, prices)
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

// cut leaves the offers in the window, and says what the others cost at least.
func (w window) cut(offers []offer, prices []float64) ([]offer, float64) {
	if w.all(len(offers)) {
		return offers, math.Inf(1)
	}
	value := func(o offer) float64 { return o.cost + prices[o.column] }
	least := math.Inf(1)
	for _, o := range offers {
		least = min(least, value(o))
	}
	rest := least + w.width
	offers = slices.DeleteFunc(offers, func(o offer) bool { return value(o) > rest })
	if len(offers) > w.most {
		slices.SortFunc(offers, func(a, b offer) int {
			return cmp.Or(cmp.Compare(value(a), value(b)), cmp.Compare(a.column, b.column))
		})
		rest = value(offers[w.most])
		offers = offers[:w.most]
	}
	return offers, rest
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
