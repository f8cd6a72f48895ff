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

	asked   []int32       // the rows in question; numbers of rows are from lo on
	slots   []int32       // of their own centroids
	open    []int32       // those whose own centroid leaves groups to be searched
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
	low     []float32
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
	alone      bool  // the row's own centroid, whose group is not searched
}

func newSearcher(b *bounds, x Rows) *searcher {
	s := &searcher{
		b: b, x: x,
		asked: make([]int32, 0, taskRows), slots: make([]int32, 0, taskRows), open: make([]int32, 0, taskRows), best: make([]float32, taskRows), last: make([]int32, taskRows), lists: make([][]int32, b.groups),
		row: make([]float32, x.Dim()), minus: make([]float32, x.Dim()), least: make([]float32, taskRows), steps: make([]int32, taskRows),
		scales: make([]f32.RowScale, taskRows), leastOf: make([]float32, taskRows), scores: make([]f32.Best, taskRows), up: make([]float32, taskRows*f32.GroupSize), low: make([]float32, taskRows), most: make([]float32, taskRows),
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
	s.asked, s.slots, s.open, s.near = s.asked[:0], s.slots[:0], s.open[:0], s.near[:0]
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
		s.best[r], s.last[r] = float32(math.Inf(-1)), -1
		if ints := s.ints[r*b.words:][:b.words]; b.ints == nil || !b.filled {
			s.rounded[r] = b.book.Round(ints, s.x.Row(i, s.row), s.minus)
		} else {
			f32.Prefetch(ints)
		}
		if !s.rounded[r].Fits() {
			s.open = append(s.open, int32(r))
			continue
		}
		s.scales[r], s.leastOf[r] = b.book.Scale(s.rounded[r]), b.book.Least(s.rounded[r])
		s.asked, s.slots = append(s.asked, int32(r)), append(s.slots, b.slot[labels[r]])
	}
	s.own()
	s.score()
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

// own bounds the distances of the rows in question to their own centroids anew, and lists the groups that may hold a
// nearer one. Where there are none the label stays.
func (s *searcher) own() {
	b, n := s.b, len(s.asked)
	b.book.ScorePairs(s.low[:n], s.most[:n], s.asked, s.slots, s.ints, b.words, s.scales)
	for j, r := range s.asked {
		s.best[r] = s.low[j]
		if !b.filled {
			s.open = append(s.open, r)
			for g := range s.lists {
				s.lists[g] = append(s.lists[g], r)
			}
			continue
		}
		i := s.lo + int(r)
		upper := b.book.Distance(s.rounded[r], s.low[j])
		at := s.at[:f32.AtMost(s.at, b.lower[i*b.groups:][:b.groups], b.drift, b.steps(upper))]
		if len(at) == 0 {
			b.upper[i] = up32(upper - b.gone[s.labels[r]])
			continue
		}
		s.open = append(s.open, r)
		alone, own := true, s.slots[j]/f32.GroupSize
		for _, g := range at {
			s.lists[g] = append(s.lists[g], r)
			alone = alone && g != own
		}
		if alone {
			s.add(r, candidate{most: s.most[j], alone: true, slot: s.slots[j]})
		}
	}
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
	b := s.b
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
	s.name(r, only, b.order[only.slot], b.book.Distance(s.rounded[r], s.best[r]))
	return true
}

// measure finds the label of row r by the distances of its candidates, and returns how many those are.
func (s *searcher) measure(r int) int {
	b, dim := s.b, s.x.Dim()
	s.ids = s.ids[:0]
	for c := s.last[r]; c >= 0; c = s.near[c].before {
		if n := &s.near[c]; n.most >= s.best[r] {
			s.ids = append(s.ids, b.order[n.slot])
		}
	}
	if !s.rounded[r].Fits() {
		s.ids = append(s.ids, b.order...)
	}
	row, dist := s.x.Row(s.lo+r, s.row), s.dist[:len(s.ids)]
	f32.SqDistsAt(dist, row, s.centroids.Data, s.ids)
	best := 0
	for c, d := range dist {
		if d < dist[best] {
			best = c
		}
	}
	upper := f32.Above(dist[best], dim)
	label := nearestOf(row, s.centroids, s.ids, dist, best, f32.Within(upper, dim))
	var of *candidate // nil: of a row that is no good for integers
	for c := s.last[r]; c >= 0; c = s.near[c].before {
		if n := &s.near[c]; b.order[n.slot] == label {
			of = n
		}
	}
	s.name(r, of, label, upper)
	return len(s.ids)
}

// name makes a centroid, that of candidate c, the label of row r, upper being the most it is away. The bounds of its group
// leave it out from now on, and no longer the centroid before it.
func (s *searcher) name(r int, c *candidate, label int32, upper float64) {
	b, i := s.b, s.lo+r
	s.labels[r] = label
	b.upper[i] = up32(upper - b.gone[label])
	if c == nil || c.alone {
		return
	}
	first := c
	for first.before >= 0 {
		first = &s.near[first.before]
	}
	if first.alone {
		b.include(i, int(first.slot)/f32.GroupSize, s.stepsOf(r, first.most))
	}
	b.setLower(i, int(c.slot)/f32.GroupSize, s.stepsOf(r, c.rest))
}

// stepsOf is a lower bound of the distance between row r and a centroid whose score is at most that.
func (s *searcher) stepsOf(r int, score float32) int32 {
	var steps [1]int32
	f32.StepsOfScores(steps[:], []float32{score}, s.leastOf[r:r+1], s.b.scale)
	return steps[0]
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
