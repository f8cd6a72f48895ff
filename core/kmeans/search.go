package kmeans

import (
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// searcher finds the labels of some rows on one goroutine.
type searcher struct {
	b         *bounds
	x         Rows
	centroids core.Matrix
	lo        int
	labels    []int32

	open    []int32       // the rows in question; numbers of rows are from lo on
	best    []float32     // of each row: what its best score is at least
	last    []int32       // of each row: its last candidate, or -1
	near    []candidate   // of all rows
	lists   [][]int32     // of each group: the rows of which it is to be searched
	ints    []uint32      // the rows as integers: those of bounds, or rounded here
	rounded []f32.Rounded // of each row

	scales  []f32.RowScale
	leastOf []float32  // of each row: see Groups.Least
	hard    []int32    // rows that integers do not settle
	scores  []f32.Best // of the rows in a list, one group
	up      []float32  // the same: what each score is at most
	most    []float32
	least   []float32
	row     []float32
	minus   []float32
	steps   []int32
	at      []int32
	ids     []int32
	dist    []float32
}

// candidate is a centroid that may be the nearest of a row.
type candidate struct {
	most, rest float32 // its score is at most; those of the others in its group are
	slot       int32
	before     int32 // the candidate of the same row found before, or -1
}

func newSearcher(b *bounds, x Rows) *searcher {
	s := &searcher{
		b: b, x: x,
		open: make([]int32, 0, taskRows), best: make([]float32, taskRows), last: make([]int32, taskRows), lists: make([][]int32, b.groups),
		row: make([]float32, x.Dim()), minus: make([]float32, x.Dim()), least: make([]float32, taskRows), steps: make([]int32, taskRows),
		scales: make([]f32.RowScale, taskRows), leastOf: make([]float32, taskRows), scores: make([]f32.Best, taskRows), up: make([]float32, taskRows*f32.GroupSize), most: make([]float32, taskRows),
		at: make([]int32, b.groups), dist: make([]float32, b.k),
	}
	if b.ints == nil {
		s.ints, s.rounded = make([]uint32, taskRows*b.words), make([]f32.Rounded, taskRows)
	}
	return s
}

// search finds the labels of rows lo to hi-1. It returns how many distances that took.
func (s *searcher) search(lo, hi int, labels []int32) (measured int) {
	b := s.b
	s.lo, s.labels = lo, labels
	s.open, s.near = s.open[:0], s.near[:0]
	if b.ints != nil {
		s.ints, s.rounded = b.ints[lo*b.words:], b.rounded[lo:]
	}
	for r := range hi - lo {
		i := lo + r
		if b.filled {
			at := b.lower[i*b.groups:][:b.groups]
			if f32.AtMost(s.at, at, b.drift, b.steps(float64(b.upper[i])+b.gone[labels[r]])) == 0 {
				continue
			}
		}
		s.open = append(s.open, int32(r))
		s.best[r], s.last[r] = float32(math.Inf(-1)), -1
		if ints := s.ints[r*b.words:][:b.words]; b.ints == nil || !b.filled {
			s.rounded[r] = b.book.Round(ints, s.x.Row(i, s.row), s.minus)
		} else {
			f32.Prefetch(ints)
		}
		if !s.rounded[r].Fits() {
			continue
		}
		s.scales[r], s.leastOf[r] = b.book.Scale(s.rounded[r]), b.book.Least(s.rounded[r])
		if b.filled {
			g := b.slot[labels[r]] / f32.GroupSize
			s.lists[g] = append(s.lists[g], int32(r))
			continue
		}
		for g := range s.lists {
			s.lists[g] = append(s.lists[g], int32(r))
		}
	}
	s.score()
	if b.filled {
		for _, r := range s.open {
			if !s.rounded[r].Fits() {
				continue
			}
			limit := b.steps(b.book.Distance(s.rounded[r], s.best[r]))
			own := b.slot[labels[r]] / f32.GroupSize
			n := f32.AtMost(s.at, b.lower[(lo+int(r))*b.groups:][:b.groups], b.drift, limit)
			for _, g := range s.at[:n] {
				if g != own {
					s.lists[g] = append(s.lists[g], r)
				}
			}
		}
		s.score()
	}
	s.hard = s.hard[:0]
	for _, r := range s.open {
		if !s.settle(int(r)) {
			s.x.prefetch(lo + int(r))
			s.hard = append(s.hard, r)
		}
	}
	for _, r := range s.hard {
		measured += s.measure(int(r))
	}
	return measured
}

// score searches the groups for the rows in their lists, which it empties.
func (s *searcher) score() {
	b := s.b
	for g, list := range s.lists {
		if len(list) > 0 {
			b.book.Score(s.scores, s.up, g, list, s.ints, b.words, s.scales)
			s.take(g, list)
			s.lists[g] = list[:0]
		}
	}
}

// take makes what the scores say of rows in group g their lower bounds there, and notes what may be their nearest.
func (s *searcher) take(g int, rows []int32) {
	b, n := s.b, len(rows)
	for j, r := range rows {
		s.least[j], s.most[j] = s.leastOf[r], s.scores[j].Most
	}
	f32.StepsOfScores(s.steps[:n], s.most[:n], s.least[:n], b.scale)
	for j, r := range rows {
		b.setLower(s.lo+int(r), g, s.steps[j])
		t := &s.scores[j]
		s.best[r] = max(s.best[r], t.Low)
		if t.Most < s.best[r] {
			continue
		}
		s.add(r, candidate{most: t.Most, rest: t.Next, slot: int32(g*f32.GroupSize) + t.At})
		if t.Next < s.best[r] {
			continue
		}
		for c, most := range s.up[j*f32.GroupSize:][:f32.GroupSize] {
			if most >= s.best[r] && int32(c) != t.At {
				s.add(r, candidate{most: most, rest: t.Most, slot: int32(g*f32.GroupSize + c)})
			}
		}
	}
}

func (s *searcher) add(r int32, c candidate) {
	if int(c.slot) >= s.b.k {
		return // fills up the last group
	}
	c.before = s.last[r]
	s.last[r] = int32(len(s.near))
	s.near = append(s.near, c)
}

// settle takes the label of row r if there is but one candidate, and returns whether that is so.
func (s *searcher) settle(r int) bool {
	b, i := s.b, s.lo+r
	var only *candidate
	for c := s.last[r]; c >= 0; c = s.near[c].before {
		if n := &s.near[c]; n.most >= s.best[r] {
			if only != nil {
				return false
			}
			only = n
		}
	}
	if only == nil {
		return false
	}
	label := b.order[only.slot]
	s.labels[r] = label
	b.upper[i] = up32(b.book.Distance(s.rounded[r], s.best[r]) - b.gone[label])
	s.leaveOut(i, only)
	return true
}

// measure finds the label of row r by the distances of its candidates, and returns how many those are.
func (s *searcher) measure(r int) int {
	b, i, dim := s.b, s.lo+r, s.x.Dim()
	s.ids = s.ids[:0]
	for c := s.last[r]; c >= 0; c = s.near[c].before {
		if n := &s.near[c]; n.most >= s.best[r] {
			s.ids = append(s.ids, b.order[n.slot])
		}
	}
	if !s.rounded[r].Fits() {
		s.ids = append(s.ids, b.order...)
	}
	row, dist := s.x.Row(i, s.row), s.dist[:len(s.ids)]
	f32.SqDistsAt(dist, row, s.centroids.Data, s.ids)
	best := 0
	for c, d := range dist {
		if d < dist[best] {
			best = c
		}
	}
	upper := f32.Above(dist[best], dim)
	label := nearestOf(row, s.centroids, s.ids, dist, best, f32.Within(upper, dim))
	s.labels[r] = label
	b.upper[i] = up32(upper - b.gone[label])
	for c := s.last[r]; c >= 0; c = s.near[c].before {
		if n := &s.near[c]; b.order[n.slot] == label {
			s.leaveOut(i, n)
		}
	}
	return len(s.ids)
}

// leaveOut makes the lower bound of row i in the group of its own centroid that of the others there.
func (s *searcher) leaveOut(i int, own *candidate) {
	b, g := s.b, int(own.slot)/f32.GroupSize
	least, steps := [1]float32{s.leastOf[i-s.lo]}, [1]int32{}
	f32.StepsOfScores(steps[:], []float32{own.rest}, least[:], b.scale)
	b.setLower(i, g, steps[0])
}

// nearestOf settles which of the centroids at is nearest by the definition of a code, when it is sure to be one of those
// with dist <= within, as best is.
func nearestOf(row []float32, centroids core.Matrix, at []int32, dist []float32, best int, within float32) int32 {
	label, exact := at[best], -1.0
	for c, d := range dist {
		if d > within || c == best {
			continue
		}
		if exact < 0 {
			exact = f32.SqDist64(row, centroids.Row(int(label)))
		}
		if e := f32.SqDist64(row, centroids.Row(int(at[c]))); e < exact || e == exact && at[c] < label {
			label, exact = at[c], e
		}
	}
	return label
}
