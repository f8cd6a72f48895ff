package kmeans

import (
	"context"
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// bounds lets Lloyd skip distances that cannot matter, with the same labels as working them all out (Elkan, ICML 2003).
// For each row and centroid it holds a lower bound of their distance, for each row an upper bound of the distance to its
// own centroid; both give way by how far the centroids move. A centroid whose lower bound is above the upper bound of
// the row cannot be its nearest. The others are measured in float32, and in float64 where that does not settle it.
//
// Lower bounds are whole steps, a step being 1/16384 of the spread of the data. All bounds are stored as if the centroids
// had not moved since the start, so that a move changes one number a centroid and not a column. Each row has a summary of
// its lower bounds, the least of every 16th, which give way by the farthest move among those: late in a fit it tells of
// nearly all rows that nothing about them has changed, and neither their bounds nor the rows themselves are read.
type bounds struct {
	step   float64
	scale  float32 // 1/step, rounded down
	k      int
	stride int // k, rounded up to whole lanes

	lower   []uint16  // rows x stride: bound + drift, in steps; that of a row's own centroid is 65535, which does not matter
	summary []uint16  // rows x f32.Lanes: least of lower - drift, + laneDrift
	upper   []float32 // one a row: bound - gone[its label]

	gone      []float64 // one a centroid: how far it went since the start
	drift     []uint16  // the same in steps, rounded up; stride numbers
	rough     rough
	laneGone  []float64 // one a lane: the sum of the farthest moves among its centroids
	laneDrift []uint16  // the same in steps, rounded up

	scratch []*boundsScratch // of assign, one a goroutine; kept, as memory is promised
}

const (
	stepsPerSpread = 16384
	minSpread      = 1e-9 // outside these, float32 squares could underflow or overflow
	maxSpread      = 1e9
	manyOpen       = 16   // from so many open centroids on, they are measured roughly first
	fewOpen        = 8    // with no more centroids open than this, a tighter upper bound is not worth its distance
	ahead          = 2    // rows fetched before they are needed
	boundsShare    = 0.4  // of the memory of a row: with bounds that take more they are not for enough of the rows to be worth it
	storedShare    = 0.33 // the most memory the bounds may take, as a share of the rows themselves
	leanShare      = 0.06 // the same where memory is short
)

// laneStride is k rounded up to whole lanes.
func laneStride(k int) int { return (k + f32.Lanes - 1) / f32.Lanes * f32.Lanes }

// boundsBytes is the memory of the bounds of a row.
func boundsBytes(k int) int { return 2*laneStride(k) + 2*f32.Lanes + 4 }

// boundsFit tells whether bounds can be used for such data. spread is the root of the mean squared distance of the rows
// to their mean.
func boundsFit(dim, k int, spread float64) bool {
	return k >= 8 && float64(boundsBytes(k)) <= boundsShare*float64(4*dim) && minSpread <= spread && spread <= maxSpread
}

// boundedRows is for how many of the rows, the first, there are bounds: as many as their share of memory has room for.
func boundedRows(x Rows, k int) int {
	share := storedShare
	if x.lean {
		share = leanShare
	}
	return int(min(1, share*float64(4*x.Dim())/float64(boundsBytes(k))) * float64(x.Len()))
}

// newBounds are to be filled before they are used.
func newBounds(rows, k int, spread float64) *bounds {
	stride := laneStride(k)
	b := &bounds{
		step: spread / stepsPerSpread, scale: math.Nextafter32(float32(stepsPerSpread/spread), 0), k: k, stride: stride,
		lower: make([]uint16, rows*stride), summary: make([]uint16, rows*f32.Lanes), upper: make([]float32, rows),
		gone: make([]float64, k), drift: make([]uint16, stride),
		laneGone: make([]float64, f32.Lanes), laneDrift: make([]uint16, f32.Lanes),
	}
	return b
}

// fill measures every distance, when labels belong to the centroids, which book holds.
func (b *bounds) fill(ctx context.Context, x Rows, centroids core.Matrix, labels []int32, book *f32.Codebook) error {
	workers := make([]fillScratch, par.Threads())
	rows := x.Scratch(fillRows)
	dim := x.Dim()
	zero := make([]float32, dim)
	return par.Chunks(ctx, len(b.upper), fillRows, func(worker, lo, hi int) {
		m := &workers[worker]
		if m.scores == nil {
			m.scores = make([]float32, b.k*fillRows)
		}
		n := hi - lo
		block := x.Block(lo, hi, rows[worker])
		m.panels.Pack(block, dim)
		scores := m.scores[:b.k*n]
		book.Scores(scores, m.errs[:n], &m.panels)
		for i := range n {
			var at [1]int32
			row := block[i*dim : (i+1)*dim]
			f32.SqDistsAt(m.least[i:i+1], row, zero, at[:]) // |x|²
			low := f32.Below(m.least[i], dim)
			m.least[i] = down32(low*low - 2*float64(m.errs[i]))
			at[0] = labels[lo+i]
			f32.SqDistsAt(m.dist[:1], row, centroids.Data, at[:])
			b.upper[lo+i] = up32(f32.Above(m.dist[0], dim))
		}
		for k := range b.k {
			f32.StepsOfScores(m.steps[:n], scores[k*n:(k+1)*n], m.least[:n], b.scale)
			for i, s := range m.steps[:n] {
				b.lower[(lo+i)*b.stride+k] = uint16(s)
			}
		}
		for i := lo; i < hi; i++ {
			lower := b.lower[i*b.stride : (i+1)*b.stride]
			lower[labels[i]] = 65535
			f32.Summarize(b.summary[i*f32.Lanes:(i+1)*f32.Lanes], lower, b.drift, b.laneDrift)
		}
	})
}

const fillRows = 32 // measured at once: as many as the kernel takes

// fillScratch is what one goroutine fills bounds in.
type fillScratch struct {
	panels f32.Panels
	scores []float32
	errs   [fillRows]float32 // of the scores
	least  [fillRows]float32 // |x|² less what its error and that of the scores may make up
	dist   [fillRows]float32
	steps  [fillRows]int32
}

// move takes note that centroid k went from where it was by dist[k].
func (b *bounds) move(dist []float64) {
	var farthest [f32.Lanes]float64
	for k, d := range dist {
		b.gone[k] = (b.gone[k] + d) * (1 + 1e-12)
		b.drift[k] = b.steps(b.gone[k])
		farthest[k%f32.Lanes] = max(farthest[k%f32.Lanes], d)
	}
	for g, d := range farthest {
		b.laneGone[g] = (b.laneGone[g] + d) * (1 + 1e-12)
		b.laneDrift[g] = b.steps(b.laneGone[g])
	}
}

// steps is d in steps, rounded up and held at 65535.
func (b *bounds) steps(d float64) uint16 {
	return uint16(min(65535, max(0, int64(d/b.step*(1+1e-12))+1)))
}

// assign makes the labels of the rows that have bounds belong to where the centroids are; they belong to where the
// centroids were before the last move.
func (b *bounds) assign(ctx context.Context, x Rows, centroids core.Matrix, labels []int32) error {
	b.rough.set(centroids)
	if len(b.scratch) < par.Threads() {
		b.scratch = make([]*boundsScratch, par.Threads())
	}
	return par.Chunks(ctx, len(b.upper), taskRows, func(worker, lo, hi int) {
		m := b.scratch[worker]
		if m == nil {
			m = newBoundsScratch(b.k, x.Dim())
			b.scratch[worker] = m
		}
		for i := lo; i < hi; i++ {
			m.limit[i-lo] = b.steps(float64(b.upper[i]) + b.gone[labels[i]])
		}
		rows := m.rows[:f32.OpenRows(m.rows[:hi-lo], b.summary[lo*f32.Lanes:hi*f32.Lanes], b.laneDrift, m.limit[:hi-lo])]
		for j, r := range rows {
			if j+ahead < len(rows) {
				next := lo + int(rows[j+ahead])
				x.prefetch(next)
				f32.Prefetch(b.lower[next*b.stride : (next+1)*b.stride])
			}
			i := lo + int(r)
			labels[i] = b.assignRow(x, centroids, i, labels[i], m)
			f32.Summarize(b.summary[i*f32.Lanes:(i+1)*f32.Lanes], b.lower[i*b.stride:(i+1)*b.stride], b.drift, b.laneDrift)
		}
	})
}

// boundsScratch is what one goroutine works in.
type boundsScratch struct {
	limit    []uint16 // of each row
	rows     []int32  // those of which some centroid is open
	at       []int32  // centroids that are open to the row
	dist     []float32
	row      []float32 // where a row is worked out that is not stored
	rough    roughRow
	near     []int32
	nearDist []float32
}

func newBoundsScratch(k, dim int) *boundsScratch {
	return &boundsScratch{
		limit: make([]uint16, taskRows), rows: make([]int32, taskRows), at: make([]int32, k+1), dist: make([]float32, k+1), row: make([]float32, dim), rough: newRoughRow(k+1, dim), near: make([]int32, k+1), nearDist: make([]float32, k+1),
	}
}

func (b *bounds) assignRow(x Rows, centroids core.Matrix, i int, own int32, m *boundsScratch) int32 {
	dim := centroids.Cols
	lower := b.lower[i*b.stride:][:b.k]
	upper := float64(b.upper[i]) + b.gone[own]
	n := f32.AtMost(m.at[:b.k], lower, b.drift[:b.k], b.steps(upper))
	if n == 0 {
		return own
	}
	row := x.Row(i, m.row)
	if n > fewOpen {
		m.at[b.k] = own
		f32.SqDistsAt(m.dist[:1], row, centroids.Data, m.at[b.k:])
		if now := f32.Above(m.dist[0], dim); now < upper {
			upper = now
			b.upper[i] = up32(upper - b.gone[own])
		}
		if n = f32.AtMost(m.at[:b.k], lower, b.drift[:b.k], b.steps(upper)); n == 0 {
			return own
		}
	}
	m.at[n] = own
	n++
	at, dist := m.at[:n], m.dist[:n]
	near, nearDist := at, dist // those that may be nearest
	if n < manyOpen {
		f32.SqDistsAt(dist, row, centroids.Data, at)
	} else {
		near, nearDist = b.rough.near(dist, row, centroids, at, m)
	}
	f32.RaiseBounds(lower, b.drift[:b.k], at, dist, b.scale, dim)
	best := 0
	for c, d := range nearDist {
		if d < nearDist[best] {
			best = c
		}
	}
	upper = f32.Above(nearDist[best], dim)
	label := nearestOf(row, centroids, near, nearDist, best, f32.Within(upper, dim))
	lower[label] = 65535
	b.upper[i] = up32(upper - b.gone[label])
	return label
}

// near measures the centroids at roughly and returns those that may be the nearest with their distances. dist becomes
// at most the squared distance of each.
func (r *rough) near(dist, row []float32, centroids core.Matrix, at []int32, m *boundsScratch) ([]int32, []float32) {
	slack := r.sqDists(dist, row, at, &m.rough)
	if !(slack < math.MaxFloat32) { // squares overflow
		f32.SqDistsAt(dist, row, centroids.Data, at)
		return at, dist
	}
	least := dist[0]
	for _, d := range dist[1:] {
		least = min(least, d)
	}
	limit, take := up32(float64(least)+2*slack), up32(slack)
	n := 0
	for c, d := range dist {
		dist[c] = max(0, d-take)
		if d <= limit {
			m.near[n] = at[c]
			n++
		}
	}
	near, nearDist := m.near[:n], m.nearDist[:n]
	f32.SqDistsAt(nearDist, row, centroids.Data, near)
	return near, nearDist
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

// down32 is d as a float32 that is not more.
func down32(d float64) float32 { return -up32(-d) }

// up32 is d as a float32 that is not less.
func up32(d float64) float32 {
	f := float32(d)
	if float64(f) < d {
		f = math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}
