package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/store"
)

// Mover gives rows other codes: a Capacity or a Sinkhorn.
type Mover interface {
	Move(ctx context.Context, s Space, codes core.Codes, held Held) (Moved, error)
	limits(m Moved) []int // of the rows, as Batch.Most has them
}

func (c Capacity) limits(m Moved) []int { return slices.Repeat([]int{c.Most}, m.Codes.Rows) }

func (Sinkhorn) limits(m Moved) []int {
	most := make([]int, m.Codes.Rows)
	for _, i := range m.Rows {
		most[i] = 1
	}
	return most
}

// tries is how often AssignMoved tries to get codes that others take meanwhile.
const tries = 100

// AssignMoved lets how move rows to other codes and then makes the ids unique as Assign does. Codes that the store holds are
// not free, also if others take them meanwhile. b.IDs are those of codes, which write makes of them: other ids for other
// codes. An item that the store knows keeps its id, and its row is not moved; of new items it keeps the codes that they have
// then. On an error nothing was given out.
func AssignMoved(ctx context.Context, st store.Store, b Batch, s Space, codes core.Codes, write func(core.Codes) []string, how Mover) (ids []string, m Moved, err error) {
	if err := b.check(); err != nil {
		return nil, m, err
	}
	if err := s.check(codes, Held{}); err != nil {
		return nil, m, err
	}
	if len(b.IDs) != codes.Rows {
		return nil, m, fmt.Errorf("%w: %d ids and %d codes", core.ErrShape, len(b.IDs), codes.Rows)
	}
	q := inquiry{ctx: ctx, store: st, held: Held{Codes: core.Codes{Levels: codes.Levels}}, at: map[string]int{}}
	for range tries {
		rows, err := newRows(ctx, st, b, codes.Rows)
		if err != nil {
			return nil, m, err
		}
		part := pick(codes, rows)
		if err := q.ask(pickIDs(b.IDs, rows), part, false); err != nil {
			return nil, m, err
		}
		m = Moved{Codes: codes.Clone()}
		now := b
		now.IDs, now.Most = slices.Clone(b.IDs), make([]int, codes.Rows)
		if len(rows) > 0 {
			moved, err := how.Move(ctx, s.pick(rows), part, q.held)
			if err != nil {
				return nil, m, err
			}
			for x, most := range how.limits(moved) {
				now.Most[rows[x]] = most
			}
			for x, id := range write(pick(moved.Codes, moved.Rows)) {
				now.IDs[rows[moved.Rows[x]]] = id
			}
			for x, i := range rows {
				copy(m.Codes.Row(i), moved.Codes.Row(x))
			}
			for _, x := range moved.Rows {
				m.Rows = append(m.Rows, rows[x])
			}
			m.Added, m.Guess = moved.Added, moved.Guess
		}
		if b.Items != nil {
			now.Codes = m.Codes
		}
		a, err := Assign(ctx, st, now)
		full := (*Full)(nil)
		if !errors.As(err, &full) {
			return a.Texts(now), m, err
		}
		near := siblings(pick(m.Codes, full.Rows), s.Books[codes.Levels-1].Rows)
		if err := q.ask(write(near), near, true); err != nil {
			return nil, m, err
		}
	}
	return nil, m, fmt.Errorf("%w: codes were taken by others in %d tries to get them: try again when there are fewer writers", store.ErrLocked, tries)
}

// newRows lists the rows whose items are not known.
func newRows(ctx context.Context, st store.Store, b Batch, n int) ([]int, error) {
	known := make([]bool, n)
	if b.Items != nil {
		var err error
		if known, err = Knows(ctx, st, b.Version, b.Items); err != nil {
			return nil, err
		}
	}
	rows := make([]int, 0, n)
	for i, k := range known {
		if !k {
			rows = append(rows, i)
		}
	}
	return rows, nil
}

func pickIDs(ids []string, rows []int) []string {
	some := make([]string, len(rows))
	for x, i := range rows {
		some[x] = ids[i]
	}
	return some
}

func pick(codes core.Codes, rows []int) core.Codes {
	some := core.NewCodes(len(rows), codes.Levels)
	for x, i := range rows {
		copy(some.Row(x), codes.Row(i))
	}
	return some
}

func (s Space) pick(rows []int) Space {
	if len(rows) == s.Rows.Rows {
		return s
	}
	some := core.NewMatrix(len(rows), s.Rows.Cols)
	for x, i := range rows {
		copy(some.Row(x), s.Rows.Row(i))
	}
	return Space{some, s.Books}
}

// siblings are all codes that share all but the last with one of codes, a code once.
func siblings(codes core.Codes, last int) core.Codes {
	all := core.Codes{Levels: codes.Levels}
	for _, g := range groups(cellsOf(codes, Held{}), codes.Levels-1) {
		for j := range last {
			all.Data = append(append(all.Data, g[0].code[:codes.Levels-1]...), int32(j))
			all.Rows++
		}
	}
	return all
}

// inquiry is what a store was asked about codes.
type inquiry struct {
	ctx   context.Context
	store store.Store
	held  Held
	at    map[string]int // of ids, where in held they are
}

// ask asks for the holders of codes with such ids; once, or again.
func (q *inquiry) ask(ids []string, codes core.Codes, again bool) error {
	var asked []string
	for i, id := range ids {
		_, old := q.at[id]
		if !old {
			q.at[id] = q.held.Codes.Rows
			q.held.Codes.Rows++
			q.held.Codes.Data = append(q.held.Codes.Data, codes.Row(i)...)
			q.held.Holders = append(q.held.Holders, 0)
		}
		if !old || again {
			asked = append(asked, id)
		}
	}
	holders, err := Holders(q.ctx, q.store, asked)
	for x, id := range asked[:len(holders)] {
		q.held.Holders[q.at[id]] = holders[x]
	}
	return err
}
