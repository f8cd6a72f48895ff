package rqkmeans

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Beam search. Level by level it keeps the beam best prefixes of a row's code: of all pairs of a prefix kept so far and a
// centroid that is not a copy of an earlier one of its level, those with the least distances. The distance of a pair is the
// one that defines codes: between the float32 residual that the prefix leaves, each difference rounded once, and the
// centroid, summed in float64. Ties go to the lowest codes, compared coarse level first. So a beam of 1 is Encode.
//
// The distances are worked out approximately, in float32 and without residuals: half of |x - Σ c|² - |x|² is a sum of
// |c|²/2 - x·c over the levels and of c·c' over the pairs of levels (Babenko, Lempitsky, CVPR 2014, section 4). The first
// come from one product of the rows with all codebooks, the second from tables made once. Where candidates lie too close
// to the limit of what is kept for these sums to tell, see beamTables.bound, the defined distances decide.

const (
	maxBeam = 4096
	// maxScores is the most candidates of a row at one level.
	maxScores = 1 << 26
	// maxTables is the most values that the tables of a model may have: 256 MiB. Above, scores come from residuals.
	maxTables = 1 << 26
	// beamBlock is the most rows whose products with all codebooks are worked out at once. It changes no code.
	beamBlock = 56
	// maxProducts is how many values of these products may stay in a cache.
	maxProducts = 1 << 17
)

// EncodeBeam is EncodeBlocks by a search that keeps the beam best prefixes at each level: mostly of lower error with a
// beam of more than 1, in more time. The codes are a definition as those of Encode are: equal on every CPU, in any batch,
// on any number of threads.
func (m *Model) EncodeBeam(ctx context.Context, x core.Matrix, dst core.Codes, beam, batch int, progress func(rows int)) error {
	if beam == 1 {
		return m.EncodeBlocks(ctx, x, dst, batch, progress)
	}
	if err := m.checkBeam(beam); err != nil {
		return err
	}
	t := m.beamTables()
	return m.encode(ctx, x, dst, batch, progress, func(x core.Matrix, codes []int32) int { return m.beamRows(t, x, codes, beam) })
}

func (m *Model) checkBeam(beam int) error {
	if beam < 1 || beam > maxBeam {
		return fmt.Errorf("rqkmeans: %w: beam is %d, want 1 to %d", core.ErrParam, beam, maxBeam)
	}
	for l, k := range m.Clusters() {
		if l > 0 && beam > max(1, maxScores/k) {
			return fmt.Errorf("rqkmeans: %w: beam is %d, want 1 to %d with %d centroids at level %d", core.ErrParam, beam, maxScores/k, k, l)
		}
	}
	return nil
}

// beamTables is what beam search needs of the codebooks.
type beamTables struct {
	levels []beamLevel
	width  int       // products of a row with all codebooks
	mean   []float32 // subtracted from rows first; nil: nothing
	tabled bool      // whether there are pairs, else scores come from residuals
}

type beamLevel struct {
	products *f32.Products
	first    int       // where a row's products with this level start
	copies   []bool    // centroids equal to an earlier one
	half     []float32 // |c|²/2, and +Inf for copies and beyond the last centroid; Stride() values
	// pairs[m] holds the products of each centroid of level m with those of this level, a row each. Half of |c|² is added
	// to those of level 0.
	pairs []core.Matrix
	norms float64 // the largest norms of this level and all before, summed
}

// beamTables makes the tables at the first call.
func (m *Model) beamTables() *beamTables {
	m.beamOnce.Do(func() { m.beam = newBeamTables(m.books) })
	return m.beam
}

func newBeamTables(books []core.Matrix) *beamTables {
	t := &beamTables{}
	books = slices.Clone(books)
	t.mean, books[0] = center(books[0])
	values := 0
	norms := 0.0
	for l, b := range books {
		v := beamLevel{products: f32.NewProducts(b.Data, b.Rows, b.Cols), first: t.width, copies: copies(b)}
		v.half = make([]float32, v.products.Stride())
		largest := 0.0
		for k := range v.half {
			if k >= b.Rows || v.copies[k] {
				v.half[k] = float32(math.Inf(1))
			}
			if k < b.Rows {
				s := sqNorm64(b.Row(k))
				largest = max(largest, math.Sqrt(s))
				v.half[k] += float32(s / 2)
			}
		}
		norms += largest * (1 + 0x1p-40)
		v.norms = norms
		t.width += v.products.Stride()
		for m := range l {
			values += books[m].Rows * v.products.Stride()
		}
		t.levels = append(t.levels, v)
	}
	t.tabled = values <= maxTables
	if !t.tabled {
		return t
	}
	for l := range t.levels {
		v := &t.levels[l]
		for m, b := range books[:l] {
			p := core.NewMatrix(b.Rows, v.products.Stride())
			v.products.Dots(p.Data, p.Cols, b.Data)
			if m == 0 {
				for i := range p.Rows {
					f32.Add(p.Row(i), v.half)
				}
			}
			v.pairs = append(v.pairs, p)
		}
	}
	return t
}

// center returns the mean of the centroids and their differences to it, where that halves the largest norm: the errors of
// scores grow with the norms.
func center(b core.Matrix) (mean []float32, centered core.Matrix) {
	sums := make([]float64, b.Cols)
	for k := range b.Rows {
		f32.Add64(sums, b.Row(k), 1/float64(b.Rows))
	}
	mean = make([]float32, b.Cols)
	for i, s := range sums {
		mean[i] = float32(s)
	}
	centered = core.Matrix{Rows: b.Rows, Cols: b.Cols, Data: slices.Clone(b.Data)}
	before, after := 0.0, 0.0
	for k := range b.Rows {
		f32.Sub(centered.Row(k), mean)
		before, after = max(before, sqNorm64(b.Row(k))), max(after, sqNorm64(centered.Row(k)))
	}
	if b.Rows == 1 || !(after < before/4) {
		return nil, b
	}
	return mean, centered
}

// copies marks the rows that are equal, bit by bit, to an earlier one.
func copies(b core.Matrix) []bool {
	seen := map[string]bool{}
	c := make([]bool, b.Rows)
	bits := make([]byte, 0, 4*b.Cols)
	for k := range b.Rows {
		bits = bits[:0]
		for _, v := range b.Row(k) {
			u := math.Float32bits(v)
			bits = append(bits, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
		}
		c[k] = seen[string(bits)]
		seen[string(bits)] = true
	}
	return c
}

func sqNorm64(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(float64(v) * float64(v))
	}
	return s
}

// bound returns how far a score at level l may be from half the defined distance less a number that is the same for all
// candidates of the row, given what SqNorm says of the row; +Inf where float32 may overflow.
//
// Let u = 2^-24, r the norm of the row, s the largest norms of the levels up to l, summed, and n = r + s. No partial sum
// of a score is larger than rs + s²/2 < n²/2. The products in it are off by at most DotError of rs + s²/2 (twice that from
// residuals, where they are of norm n rather than r). A score goes through at most j + 3 additions and roundings of table
// entries at level j, (l+1)(l+6)/2 in all, each of which adds at most u n²/2. On the other side, the float32 residual is
// off by u n for each level before and, like the centroids of level 0, for the subtraction of a mean, and half the square
// of the distance by n times that; its sum in float64 by (dim+8) 2^-53 n²/2. What is quadratic in u goes into slack.
func (t *beamTables) bound(l, dim int, sqNorm float64) float64 {
	n := math.Sqrt(sqNorm) + t.levels[l].norms
	n *= n
	if !(n < 0x1p120) {
		return math.Inf(1)
	}
	const u, slack = 0x1p-24, 1 + 0x1p-10
	share, tiny := f32.DotError(dim)
	if !t.tabled {
		share *= 2
	}
	levels := float64(l + 1)
	e := n / 2 * (share + u*(levels*(levels+5)/2+2*levels+6) + float64(dim+8)*0x1p-53)
	return (e + levels*levels*tiny) * slack
}

// beamScratch is the memory of one search.
type beamScratch struct {
	rows     []float32 // normalized, if the metric asks for it
	centered []float32 // less the mean, if there is one
	products []float32 // with all codebooks

	kept, next candidates
	scores     []float32   // of the successors of all candidates, Stride() of each
	least      []float32   // of each candidate's, as AddTables gives it
	tables     [][]float32 // those of one candidate
	residuals  []float32   // of all candidates, where there are no tables
	dots       []float32   // and their products with the codebook of a level
	residual   []float32   // of the candidate with the number at
	at         int
	keys       []uint64
	exact      []exactScore
}

// candidates are prefixes of a row's code, in ascending order.
type candidates struct {
	codes  []int32   // levels of each, of which those done are set
	scores []float32 // half the squared distance, less a number that is the same for all of a row
}

// exactScore is the defined distance of the successor in key.
type exactScore struct {
	distance float64
	key      uint64
}

// beamRows encodes a few rows; it returns the first that cannot be encoded, or -1.
func (m *Model) beamRows(t *beamTables, x core.Matrix, codes []int32, beam int) int {
	s := m.beamScratch.Get().(*beamScratch)
	defer m.beamScratch.Put(s)
	rows := x.Data
	if i := f32.NotFinite(rows); i >= 0 {
		return i / m.dim
	}
	if m.metric == core.Cosine {
		s.rows = append(s.rows[:0], rows...)
		rows = s.rows
		for i := range x.Rows {
			if !f32.Normalize(rows[i*m.dim : (i+1)*m.dim]) {
				return i
			}
		}
	}
	levels := len(m.books)
	block := max(1, min(beamBlock, maxProducts/t.width))
	for first := 0; first < x.Rows; first += block {
		n := min(block, x.Rows-first)
		part := rows[first*m.dim:][:n*m.dim]
		centered := part
		if t.mean != nil {
			s.centered = append(s.centered[:0], part...)
			centered = s.centered
			for i := range n {
				f32.Sub(centered[i*m.dim:][:m.dim], t.mean)
			}
		}
		s.products = resize(s.products, n*t.width)
		for l, v := range t.levels {
			if l > 0 && !t.tabled {
				break
			}
			v.products.Dots(s.products[v.first:], t.width, centered)
		}
		for i := range n {
			m.beamRow(t, s, part[i*m.dim:][:m.dim], f32.SqNorm(centered[i*m.dim:][:m.dim]), s.products[i*t.width:][:t.width],
				beam, codes[(first+i)*levels:][:levels])
		}
	}
	return -1
}

// beamRow writes the code of one row to out.
func (m *Model) beamRow(t *beamTables, s *beamScratch, row []float32, sqNorm float64, products []float32, beam int, out []int32) {
	levels := len(m.books)
	s.kept.codes, s.kept.scores = resize(s.kept.codes, levels), append(s.kept.scores[:0], 0)
	for l := range t.levels {
		want := beam
		if l == levels-1 {
			want = 1
		}
		s.at = -1
		if e := t.bound(l, m.dim, sqNorm); e < math.Inf(1) {
			m.scoreAll(t, s, l, row, products)
			m.choose(t, s, l, row, want, e)
		} else {
			m.chooseExactly(t, s, l, row, want)
		}
		m.extend(t, s, l)
	}
	copy(out, s.kept.codes)
}

// scoreAll works out the scores of all successors of the candidates at level l.
func (m *Model) scoreAll(t *beamTables, s *beamScratch, l int, row, products []float32) {
	v, n, levels := &t.levels[l], len(s.kept.scores), len(m.books)
	stride := v.products.Stride()
	s.scores, s.least = resize(s.scores, n*stride), resize(s.least, n*f32.Chunk)
	dots, step := products[v.first:], 0
	fromResiduals := l > 0 && !t.tabled
	if fromResiduals {
		s.residuals, s.dots = resize(s.residuals, n*m.dim), resize(s.dots, n*stride)
		for i := range n {
			m.residual(s.residuals[i*m.dim:][:m.dim], row, s.kept.codes[i*levels:][:l])
		}
		v.products.Dots(s.dots, stride, s.residuals)
		dots, step = s.dots, stride
	}
	for i, score := range s.kept.scores {
		s.tables = s.tables[:0]
		if l == 0 || fromResiduals {
			s.tables = append(s.tables, v.half)
		} else {
			for j, k := range s.kept.codes[i*levels:][:l] {
				s.tables = append(s.tables, v.pairs[j].Row(int(k)))
			}
		}
		f32.AddTables(s.scores[i*stride:][:stride], s.least[i*f32.Chunk:][:f32.Chunk], dots[i*step:], s.tables, score)
	}
}

// residual sets dst to what a prefix leaves of a row.
func (m *Model) residual(dst, row []float32, prefix []int32) {
	copy(dst, row)
	for l, k := range prefix {
		f32.Sub(dst, m.books[l].Row(int(k)))
	}
}

// choose leaves in s.keys the want best successors of the candidates at level l, given their scores within e.
func (m *Model) choose(t *beamTables, s *beamScratch, l int, row []float32, want int, e float64) {
	stride := t.levels[l].products.Stride()
	s.keys = s.keys[:0]
	limit := above(float64(leastLimit(s.least, want)) + 2*e)
	for i := range s.kept.scores {
		s.keys = f32.AppendAtMost32(s.keys, s.scores[i*stride:][:stride], limit, i*stride)
	}
	slices.Sort(s.keys)
	if len(s.keys) <= want {
		return
	}
	// The score of rank want lies within e of the defined distance of that rank. So what is 2e below is in, what is 2e above
	// is out, and the defined distances say which of those between are in.
	last, _ := f32.Unkey32(s.keys[want-1])
	from, to := want, want
	for to < len(s.keys) {
		if v, _ := f32.Unkey32(s.keys[to]); float64(v) > float64(last)+2*e {
			break
		}
		to++
	}
	if to > want {
		for from > 0 {
			if v, _ := f32.Unkey32(s.keys[from-1]); float64(v) < float64(last)-2*e {
				break
			}
			from--
		}
		slices.SortFunc(s.keys[from:to], byIndex) // a candidate's together
		s.exact = s.exact[:0]
		for _, key := range s.keys[from:to] {
			_, i := f32.Unkey32(key)
			s.exact = append(s.exact, exactScore{m.defined(s, l, row, i/stride, i%stride), key})
		}
		slices.SortFunc(s.exact, byDistance)
		for i, x := range s.exact[:want-from] {
			s.keys[from+i] = x.key
		}
	}
	s.keys = s.keys[:want]
}

// chooseExactly is choose without scores.
func (m *Model) chooseExactly(t *beamTables, s *beamScratch, l int, row []float32, want int) {
	stride := t.levels[l].products.Stride()
	s.exact = s.exact[:0]
	for i := range s.kept.scores {
		for k := range m.books[l].Rows {
			if !t.levels[l].copies[k] {
				s.exact = append(s.exact, exactScore{m.defined(s, l, row, i, k), uint64(i*stride + k)})
			}
		}
	}
	slices.SortFunc(s.exact, byDistance)
	s.keys = s.keys[:0]
	for _, x := range s.exact[:min(want, len(s.exact))] {
		s.keys = append(s.keys, x.key)
	}
}

// defined returns the distance that defines codes, of what candidate i leaves of the row to centroid k of level l; +Inf
// where it is not a number.
func (m *Model) defined(s *beamScratch, l int, row []float32, i, k int) float64 {
	if s.at != i {
		s.at, s.residual = i, resize(s.residual, m.dim)
		m.residual(s.residual, row, s.kept.codes[i*len(m.books):][:l])
	}
	d := f32.SqDist64(s.residual, m.books[l].Row(k))
	if !(d < math.Inf(1)) {
		return math.Inf(1)
	}
	return d
}

// extend makes the successors in s.keys the candidates, in ascending order of their codes.
func (m *Model) extend(t *beamTables, s *beamScratch, l int) {
	levels, stride := len(m.books), t.levels[l].products.Stride()
	slices.SortFunc(s.keys, byIndex)
	s.next.codes, s.next.scores = resize(s.next.codes, len(s.keys)*levels), s.next.scores[:0]
	for j, key := range s.keys {
		score, i := f32.Unkey32(key)
		copy(s.next.codes[j*levels:][:l], s.kept.codes[i/stride*levels:])
		s.next.codes[j*levels+l] = int32(i % stride)
		s.next.scores = append(s.next.scores, score)
	}
	s.kept, s.next = s.next, s.kept
}

func byIndex(a, b uint64) int { return cmp.Compare(uint32(a), uint32(b)) }

func byDistance(a, b exactScore) int {
	return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(uint32(a.key), uint32(b.key)))
}

// leastLimit returns a number that at least want of the scores do not exceed, and mostly not many more, given the least
// scores of chunks' lanes; the largest float32 where there are not as many lanes.
func leastLimit(least []float32, want int) float32 {
	some := (want + f32.Chunk - 1) / f32.Chunk * f32.Chunk
	if some > len(least) {
		return math.MaxFloat32
	}
	low, high := slices.Min(least[:some]), slices.Max(least[:some]) // at least want are as low as high
	if !(high < math.MaxFloat32) {
		return math.MaxFloat32
	}
	if f32.CountAtMost32(least, low) >= want {
		low, high = low-(high-low), low
	}
	for range 12 { // a narrower limit would not pay
		middle := low + (high-low)/2
		switch n := f32.CountAtMost32(least, middle); {
		case n < want:
			low = middle
		case n <= want+want/4:
			return middle
		default:
			high = middle
		}
	}
	return high
}

// above is at least v, as a float32 that is not infinite.
func above(v float64) float32 {
	return float32(min(v*(1+math.Copysign(0x1p-22, v))+0x1p-148, math.MaxFloat32))
}

// resize returns s with length n, in new memory if it must; the contents are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
