package resolve

import (
	"context"
	"sync"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// crowd is a group of rows that share the first depth codes, some of which have to move.
type crowd struct {
	Capacity
	s     *measured
	codes core.Codes // of all rows, read and written at those of the crowd only
	depth int

	rows []int32 // those with a code that has too many
	from []int32 // the index of their code in over
	over []crowded
	full []span  // the groups one level down that have too few places for their rows, so that all of these will be taken
	room []int   // of each place, a code with room, in the order of codes
	of   []int32 // the full group that a place belongs to, or -1

	digits []int32   // of places and then of over: their codes from depth on
	cross  []float64 // of the same: see measure

	moving int // rows that have to move
	leave  int // those of them that have to leave their group one level down; all of them at the last level
	lacks  int // how many places there are too few for these
}

// crowded is a code that too many rows have.
type crowded struct {
	room int
	full int32 // the full group that it belongs to, or -1
}

type span struct{ lo, hi int }

func newCrowd(c Capacity, s *measured, codes core.Codes, cells []cell, depth int) *crowd {
	g := &crowd{Capacity: c, s: s, codes: codes, depth: depth}
	books := s.Books[depth:]
	down := 1 // codes of a group one level down
	for _, b := range books[1:] {
		down *= b.Rows
	}
	fullAt := map[int]int32{} // full groups, by their code at depth
	for _, x := range cells {
		if !c.isCrowded(x) {
			continue
		}
		for _, i := range x.rows {
			g.rows, g.from = append(g.rows, i), append(g.from, int32(len(g.over)))
		}
		o := crowded{c.room(x), -1}
		if first := int(x.code[depth]); len(books) > 1 {
			f, ok := fullAt[first]
			if !ok {
				f = int32(len(g.full))
				fullAt[first], g.full = f, append(g.full, span{-1, -1})
			}
			o.full = f
		}
		g.over = append(g.over, o)
		g.moving += len(x.rows) - o.room
	}
	g.leave = g.moving
	outside, next := 0, cells
	for n := range down * books[0].Rows {
		room := c.Most
		if len(next) > 0 && number(next[0].code[depth:], books) == n {
			room = c.room(next[0]) - len(next[0].rows)
			next = next[1:]
		}
		if room = min(room, g.moving); room <= 0 {
			continue
		}
		of, ok := fullAt[n/down]
		if ok && len(books) > 1 {
			if f := &g.full[of]; f.lo < 0 {
				f.lo, f.hi = len(g.room), len(g.room)
			}
			g.full[of].hi++
			g.leave -= room
		} else {
			of = -1
			outside += room
		}
		g.room, g.of = append(g.room, room), append(g.of, of)
		g.digits = appendDigits(g.digits, n, books)
	}
	for _, x := range cells {
		if c.isCrowded(x) {
			g.digits = append(g.digits, x.code[depth:]...)
		}
	}
	g.lacks = max(0, g.leave-outside)
	return g
}

// number is the place of a code among all codes of some levels.
func number(code []int32, books []core.Matrix) int {
	n := 0
	for l, b := range books {
		n = n*b.Rows + int(code[l])
	}
	return n
}

// appendDigits appends the code with a number.
func appendDigits(dst []int32, n int, books []core.Matrix) []int32 {
	at := len(dst)
	for range books {
		dst = append(dst, 0)
	}
	for l := len(books) - 1; l >= 0; l-- {
		dst[at+l], n = int32(n%books[l].Rows), n/books[l].Rows
	}
	return dst
}

// measure works out what the squared error of a code has beyond the squared distances to its single centroids: |sum|² less the
// sum of |c|². Row r, at distance d(c) of them, has the error sum of d(c) - (levels-1)|r|² + cross.
func (g *crowd) measure(ctx context.Context) error {
	books := g.s.Books[g.depth:]
	levels := len(books)
	g.cross = make([]float64, len(g.digits)/levels)
	if levels == 1 {
		return nil
	}
	return par.Chunks(ctx, len(g.cross), 256, func(_, lo, hi int) {
		sum := make([]float64, g.s.Rows.Cols)
		for p := lo; p < hi; p++ {
			clear(sum)
			var squares, norm float64
			for l, k := range g.digits[p*levels : (p+1)*levels] {
				for d, v := range books[l].Row(int(k)) {
					v := float64(v)
					sum[d] += v
					squares += float64(v * v)
				}
			}
			for _, v := range sum {
				norm += float64(v * v)
			}
			g.cross[p] = norm - squares
		}
	})
}

// scoredRows is how many rows are measured at a time.
const scoredRows = 32

// score calls found with what it adds to the squared error of each of some rows of the crowd, by their index in g.rows, to go to
// each place. added is overwritten after the call. It is called by several goroutines at once, which worker numbers.
func (g *crowd) score(ctx context.Context, which []int32, found func(worker int, r int32, added []float64)) error {
	books, dim := g.s.Books[g.depth:], g.s.Rows.Cols
	levels, places := len(books), len(g.room)
	return par.Chunks(ctx, len(which), scoredRows, func(worker, lo, hi int) {
		s := scorings.Get().(*scoring)
		defer scorings.Put(s)
		n := hi - lo
		s.rows = s.rows[:0]
		for _, r := range which[lo:hi] {
			s.rows = append(s.rows, g.rows[r])
		}
		s.residuals = resize(s.residuals, n*dim)
		g.s.residuals(s.residuals, s.rows, g.codes, g.depth)
		for len(s.distances) < levels {
			s.distances = append(s.distances, nil)
		}
		for l, b := range books {
			s.distances[l] = resize(s.distances[l], n*b.Rows)
			g.s.distances(s.distances[l], s.residuals, g.depth+l)
		}
		s.added = resize(s.added, places)
		for x, r := range which[lo:hi] {
			at := func(p int) float64 {
				sum := g.cross[p]
				for l, k := range g.digits[p*levels : (p+1)*levels] {
					sum += s.distances[l][x*books[l].Rows+int(k)]
				}
				return sum
			}
			own := at(places + int(g.from[r]))
			for p := range places {
				s.added[p] = at(p) - own
			}
			found(worker, r, s.added)
		}
	})
}

// scoring is what one goroutine scores with.
type scoring struct {
	rows      []int32
	residuals []float32
	distances [][]float64 // of each level, rows × centroids
	added     []float64
}

var scorings = sync.Pool{New: func() any { return new(scoring) }}

// resize returns s with length n, in new memory if it must; the contents are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
