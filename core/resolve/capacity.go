package resolve

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Capacity moves rows until no code has more than Most holders, those of the store included.
//
// As few rows move as can be: of the rows of a code only those beyond Most, and which of them is chosen with where they go.
// They go to codes with room, where they share the first codes of a group:
//
//   - First all but the last: in each group of rows that share these codes, the added squared error is the least that
//     there is.
//   - Where such a group has too few free codes for its rows, as few of them as can be leave it, to codes that share one
//     code less and that the groups around it have left free. All groups of one parent that are full are settled together,
//     again with the least added error. And so on upwards; where codes of a whole parent do not do, which of its groups a
//     row leaves counts no more.
//
// Least is proved, by the prices of package transport, unless a group has too many pairs of rows and codes that matter
// (Pairs): then the rows that would add most stay, and the others go to free codes the cheapest pair first.
type Capacity struct {
	Most  int // holders of a code, at least 1
	Pairs int // pairs of rows and codes beyond which a group is settled by rule of thumb
}

// DefaultCapacity is one holder a code. A group of two million pairs takes some ten seconds on two cores.
func DefaultCapacity() Capacity { return Capacity{Most: 1, Pairs: 2_000_000} }

// Move returns codes of which none has too many holders. It returns a core.ErrParam if there are too few codes for that.
func (c Capacity) Move(ctx context.Context, s Space, codes core.Codes, held Held) (Moved, error) {
	if c.Most < 1 {
		return Moved{}, fmt.Errorf("resolve: %w: a capacity of %d, want at least 1", core.ErrParam, c.Most)
	}
	if err := s.check(codes, held); err != nil {
		return Moved{}, err
	}
	after, in := codes.Clone(), &measured{Space: s}
	var guessed atomic.Bool
	for depth, left := codes.Levels-1, true; left; depth-- {
		if depth < 0 {
			return Moved{}, s.tooMany(codes.Rows, held, c.Most)
		}
		var crowded [][]cell
		for _, g := range groups(cellsOf(after, held), depth) {
			if slices.ContainsFunc(g, c.isCrowded) {
				crowded = append(crowded, g)
			}
		}
		var full atomic.Bool
		failed := make([]error, len(crowded))
		err := par.Chunks(ctx, len(crowded), 1, func(_, n, _ int) {
			g := newCrowd(c, in, after, crowded[n], depth)
			if g.lacks > 0 {
				full.Store(true)
				return
			}
			proved, err := g.settle(ctx)
			if failed[n] = err; !proved {
				guessed.Store(true)
			}
		})
		if err != nil {
			return Moved{}, err
		}
		for _, err := range failed {
			if err != nil {
				return Moved{}, err
			}
		}
		left = full.Load()
	}
	m := s.moved(codes, after)
	m.Guess = guessed.Load()
	return m, nil
}

func (c Capacity) isCrowded(x cell) bool { return len(x.rows) > c.room(x) }

// room is how many rows of the batch may have a code.
func (c Capacity) room(x cell) int { return max(0, c.Most-x.held) }

func (s Space) tooMany(rows int, held Held, most int) error {
	room, taken := float64(most), 0
	for _, b := range s.Books {
		room *= float64(b.Rows)
	}
	for _, n := range held.Holders {
		taken += min(int(n), most)
	}
	return fmt.Errorf("resolve: %w: %d items, and all codes together take %.0f, of which at least %d are held: want more levels, larger codebooks or a capacity above %d",
		core.ErrParam, rows, room, taken, most)
}
