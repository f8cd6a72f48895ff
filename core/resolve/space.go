package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Space is what codes were made of. The squared error of a code is the squared distance of the row to the sum of the
// centroids that the code names.
type Space struct {
	Rows  core.Matrix   // what a model quantizes, one row an item: its Latents
	Books []core.Matrix // its codebooks, coarse level first
}

// check returns an error unless codes, and those of a store, are codes of this space.
func (s Space) check(codes core.Codes, held Held) error {
	if err := s.Rows.Check(); err != nil {
		return fmt.Errorf("resolve: %w", err)
	}
	if len(s.Books) == 0 || codes.Levels != len(s.Books) || codes.Rows != s.Rows.Rows || len(codes.Data) != codes.Rows*codes.Levels {
		return fmt.Errorf("resolve: %w: codes of %d rows and %d levels for %d rows and %d codebooks",
			core.ErrShape, codes.Rows, codes.Levels, s.Rows.Rows, len(s.Books))
	}
	for l, b := range s.Books {
		if err := b.Check(); err != nil {
			return fmt.Errorf("resolve: codebook %d: %w", l, err)
		}
		if b.Cols != s.Rows.Cols {
			return fmt.Errorf("resolve: %w: codebook %d has %d columns, the rows have %d", core.ErrShape, l, b.Cols, s.Rows.Cols)
		}
		if err := b.CheckFinite(); err != nil {
			return fmt.Errorf("resolve: codebook %d: %w", l, err)
		}
	}
	if n := held.Codes.Rows; n != len(held.Holders) || len(held.Codes.Data) != n*held.Codes.Levels || n > 0 && held.Codes.Levels != len(s.Books) {
		return fmt.Errorf("resolve: %w: %d held codes of %d levels and %d numbers of holders", core.ErrShape, n, held.Codes.Levels, len(held.Holders))
	}
	for _, c := range []core.Codes{codes, held.Codes} {
		if err := s.checkCodes(c); err != nil {
			return err
		}
	}
	return s.Rows.CheckFinite()
}

func (s Space) checkCodes(codes core.Codes) error {
	for i := range codes.Rows {
		for l, k := range codes.Row(i) {
			if k < 0 || int(k) >= s.Books[l].Rows {
				return fmt.Errorf("resolve: %w: %d at row %d, level %d, want 0 to %d", core.ErrCode, k, i, l, s.Books[l].Rows-1)
			}
		}
	}
	return nil
}

// residuals writes to dst what the first depth levels leave over of some rows, each difference rounded to float32 as it is
// when rows are encoded.
func (s Space) residuals(dst []float32, rows []int32, codes core.Codes, depth int) {
	for x, i := range rows {
		r := dst[x*s.Rows.Cols : (x+1)*s.Rows.Cols]
		copy(r, s.Rows.Row(int(i)))
		for l, k := range codes.Row(int(i))[:depth] {
			f32.Sub(r, s.Books[l].Row(int(k)))
		}
	}
}

// measured is a space with codebooks as kernels read them.
type measured struct {
	Space
	once   sync.Once
	panels []f32.Panels
}

// distances sets dst to the squared distances of residuals to the centroids of a level, rows × centroids.
func (m *measured) distances(dst []float64, residuals []float32, level int) {
	m.once.Do(func() {
		m.panels = make([]f32.Panels, len(m.Books))
		for l, b := range m.Books {
			m.panels[l].Pack(b.Data, b.Cols)
		}
	})
	m.panels[level].SqDists64(dst, residuals)
}

// squaredError is that of a row with a code.
func (s Space) squaredError(scratch []float32, row int, code []int32) float64 {
	copy(scratch, s.Rows.Row(row))
	last := len(code) - 1
	for l, k := range code[:last] {
		f32.Sub(scratch, s.Books[l].Row(int(k)))
	}
	return f32.SqDist64(scratch, s.Books[last].Row(int(code[last])))
}

// Moved is codes of which some are others than before.
type Moved struct {
	Codes core.Codes
	Rows  []int     // whose code is another now, ascending
	Added []float64 // by how much the squared error of each of these rows has grown
	Guess bool      // not all of that is proved to be the least: see Capacity
}

// moved compares codes with what they were.
func (s Space) moved(before, after core.Codes) Moved {
	m := Moved{Codes: after}
	scratch := make([]float32, s.Rows.Cols)
	for i := range after.Rows {
		if was, is := before.Row(i), after.Row(i); !slices.Equal(was, is) {
			m.Rows = append(m.Rows, i)
			m.Added = append(m.Added, s.squaredError(scratch, i, is)-s.squaredError(scratch, i, was))
		}
	}
	return m
}

// Held says of codes how many holders they have in a store. A code comes once.
type Held struct {
	Codes   core.Codes
	Holders []int64
}

// cell is a code and who has it.
type cell struct {
	code []int32
	rows []int32 // of the batch, ascending
	held int     // holders in the store
}

// cellsOf lists the codes that rows of the batch or of the store have, in the order of codes.
func cellsOf(codes core.Codes, held Held) []cell {
	order := make([]int32, codes.Rows)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(slices.Compare(codes.Row(int(a)), codes.Row(int(b))), cmp.Compare(a, b))
	})
	stored := make([]int, 0, held.Codes.Rows)
	for i, n := range held.Holders {
		if n > 0 {
			stored = append(stored, i)
		}
	}
	slices.SortFunc(stored, func(a, b int) int { return slices.Compare(held.Codes.Row(a), held.Codes.Row(b)) })
	var cells []cell
	for len(order) > 0 || len(stored) > 0 {
		var c cell
		if len(order) > 0 {
			c.code = codes.Row(int(order[0]))
		}
		if len(stored) > 0 {
			if code := held.Codes.Row(stored[0]); c.code == nil || slices.Compare(code, c.code) <= 0 {
				c.code, c.held = code, int(held.Holders[stored[0]])
				stored = stored[1:]
			}
		}
		n := 0
		for n < len(order) && slices.Equal(codes.Row(int(order[n])), c.code) {
			n++
		}
		c.rows, order = order[:n:n], order[n:]
		cells = append(cells, c)
	}
	return cells
}

// groups cuts cells where the first depth codes change.
func groups(cells []cell, depth int) [][]cell {
	var all [][]cell
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && slices.Equal(cells[n].code[:depth], cells[0].code[:depth]) {
			n++
		}
		all, cells = append(all, cells[:n]), cells[n:]
	}
	return all
}
