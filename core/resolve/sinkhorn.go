package resolve

import (
	"context"
	"fmt"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/sinkhorn"
)

// Sinkhorn re-encodes rows that share a code at the last level, spread by Sinkhorn over the code they have and those that
// nobody has: codes one after the other, in the order of their first rows, then once more from the start, until no rows
// share a code, nothing changes, or Rounds are over. A row takes the code it is given if no row before it did, else it
// stays. Where no row of a code would move, those after the first are spread over the free codes alone.
//
// Rows that still share a code then keep it. No row moves onto a code that another row or the store holds.
type Sinkhorn struct {
	Epsilon float64 // weight of the entropy, in units of half the range of the squared distances, > 0
	Iters   int     // times that rows and columns are scaled, at least 0
	Rounds  int     // at least 0
}

// DefaultSinkhorn has the Epsilon and Iters of RQ-VAE (Zheng et al., ICDE 2024), and 20 rounds.
func DefaultSinkhorn() Sinkhorn { return Sinkhorn{Epsilon: 0.003, Iters: 100, Rounds: 20} }

// Move returns codes of which fewer are shared.
func (k Sinkhorn) Move(ctx context.Context, s Space, codes core.Codes, held Held) (Moved, error) {
	if !(k.Epsilon > 0) || k.Iters < 0 || k.Rounds < 0 {
		return Moved{}, fmt.Errorf("resolve: %w: Epsilon is %g, Iters %d, Rounds %d, want a number > 0 and integers of at least 0", core.ErrParam, k.Epsilon, k.Iters, k.Rounds)
	}
	if err := s.check(codes, held); err != nil {
		return Moved{}, err
	}
	after, in := codes.Clone(), &measured{Space: s}
	depth := codes.Levels - 1
	var shared [][]cell
	for _, g := range groups(cellsOf(codes, held), depth) {
		if slices.ContainsFunc(g, cell.isShared) {
			shared = append(shared, g)
		}
	}
	spreaders := make([]spreader, par.Threads())
	failed := make([]error, len(shared))
	err := par.Chunks(ctx, len(shared), 1, func(worker, n, _ int) {
		p := &spreaders[worker]
		p.Sinkhorn, p.space, p.codes, p.k = k, in, after, s.Books[depth].Rows
		failed[n] = p.spread(ctx, shared[n])
	})
	if err != nil {
		return Moved{}, err
	}
	for _, err := range failed {
		if err != nil {
			return Moved{}, err
		}
	}
	return s.moved(codes, after), nil
}

func (c cell) isShared() bool { return len(c.rows) > 0 && len(c.rows)+c.held > 1 }

// spreader is what one goroutine re-encodes with: rows that share all codes but the last.
type spreader struct {
	Sinkhorn
	space *measured
	codes core.Codes
	k     int // codes of the last level

	solver    sinkhorn.Solver
	residuals []float32
	distances []float64
	costs     []float64
	labels    []int32
}

// spread re-encodes a group until no code is shared, or nothing changes.
func (p *spreader) spread(ctx context.Context, cells []cell) error {
	last := p.codes.Levels - 1
	holders := make([]cell, p.k) // of each last code; what they are cannot change, as moved rows hold theirs alone
	var shared []int32
	for _, c := range cells {
		holders[c.code[last]] = c
		if c.isShared() {
			shared = append(shared, c.code[last])
		}
	}
	slices.SortFunc(shared, func(a, b int32) int { return int(holders[a].rows[0] - holders[b].rows[0]) })
	for range p.Rounds {
		changed := false
		for _, code := range shared {
			if !holders[code].isShared() {
				continue
			}
			c := holders[code]
			moved, err := p.spreadCode(ctx, holders, code, c.rows, c.held == 0)
			if keep := min(1, max(0, 1-c.held)); err == nil && !moved {
				moved, err = p.spreadCode(ctx, holders, code, c.rows[keep:], false)
			}
			if err != nil {
				return err
			}
			changed = changed || moved
		}
		if !changed {
			break
		}
	}
	return nil
}

// spreadCode spreads some rows of a code over free codes, and over their own if it is offered.
func (p *spreader) spreadCode(ctx context.Context, holders []cell, own int32, rows []int32, offered bool) (moved bool, err error) {
	var columns []int32
	for j, c := range holders {
		if int32(j) == own && offered || len(c.rows)+c.held == 0 {
			columns = append(columns, int32(j))
		}
	}
	if len(columns) == 0 {
		return false, nil
	}
	last, dim, n, k := p.codes.Levels-1, p.space.Rows.Cols, len(rows), len(columns)
	p.residuals, p.distances = resize(p.residuals, n*dim), resize(p.distances, n*p.k)
	p.space.residuals(p.residuals, rows, p.codes, last)
	p.space.distances(p.distances, p.residuals, last)
	p.costs, p.labels = resize(p.costs, n*k), resize(p.labels, n)
	for i := range n {
		for x, j := range columns {
			p.costs[i*k+x] = p.distances[i*p.k+int(j)]
		}
	}
	err = p.solver.Assign(ctx, p.labels, sinkhorn.Costs{Rows: n, Cols: k, Data: p.costs}, sinkhorn.Params{Epsilon: p.Epsilon, MaxIter: p.Iters})
	if err != nil {
		return false, err
	}
	rows = slices.Clone(rows) // it may be a part of what changes
	for x, i := range rows {
		to := columns[p.labels[x]]
		if c := &holders[to]; to != own && len(c.rows) == 0 {
			c.rows = []int32{i}
			p.codes.Row(int(i))[last] = to
			at := slices.Index(holders[own].rows, i)
			holders[own].rows = slices.Delete(slices.Clone(holders[own].rows), at, at+1)
			moved = true
		}
	}
	return moved, nil
}
