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
// Lower bounds are whole steps, a step being 1/16384 of the spread of the data. What is stored is the bound plus the
// drift of the centroid until then, so that the move of a centroid changes one number and not a column.
type bounds struct {
	step  float64
	scale float32   // 1/step, rounded down
	lower []uint16  // rows × K
	upper []float32 // one a row
	drift []uint16  // one a centroid: how far it has gone since the start, in steps, rounded up
	moved []float64 // one a centroid: how far it went last
}

const (
	stepsPerSpread = 16384
	minSpread      = 1e-9 // outside these, float32 squares could underflow or overflow
	maxSpread      = 1e9
	fewOpen        = 8    // with no more centroids open than this, a tighter upper bound is not worth its distance
	ahead          = 2    // rows fetched before they are needed
	boundsShare    = 0.4  // the most memory the bounds may take, as a share of the rows themselves
	leanShare      = 0.06 // the same for lean rows
)

// boundsFit tells whether bounds can be used for such data. spread is the root of the mean squared distance of the rows
// to their mean.
func boundsFit(dim, k int, spread float64) bool {
	return k >= 8 && float64(2*k) <= boundsShare*float64(4*dim) && minSpread <= spread && spread <= maxSpread
}

// boundedRows is for how many of the rows, the first, there are bounds: for lean ones, as many as leanShare has room for.
func boundedRows(x Rows, k int) int {
	if !x.lean {
		return x.Len()
	}
	return int(min(1, leanShare*float64(4*x.Dim())/float64(2*k)) * float64(x.Len()))
}

// newBounds knows nothing yet: the first assign measures every distance.
func newBounds(rows, k int, spread float64) *bounds {
	b := &bounds{
		step: spread / stepsPerSpread, scale: math.Nextafter32(float32(stepsPerSpread/spread), 0),
		lower: make([]uint16, rows*k), upper: make([]float32, rows), drift: make([]uint16, k), moved: make([]float64, k),
	}
	for i := range b.upper {
		b.upper[i] = math.MaxFloat32
	}
	return b
}

// move takes note that centroid k went from where it was by dist[k].
func (b *bounds) move(dist []float64) {
	for k, d := range dist {
		b.moved[k] = d * (1 + 1e-12)
		b.drift[k] = uint16(min(65535, uint32(b.drift[k])+uint32(b.steps(b.moved[k]))))
	}
}

// steps is d in steps, rounded up and held at 65535.
func (b *bounds) steps(d float64) uint16 {
	return uint16(min(65535, math.Ceil(d/b.step*(1+1e-12))))
}

// assign makes the labels of the rows that have bounds belong to where the centroids are; they belong to where the
// centroids were before the last move.
func (b *bounds) assign(ctx context.Context, x Rows, centroids core.Matrix, labels []int32) error {
	scratch := make([]measured, par.Threads())
	for i := range scratch {
		scratch[i] = measured{make([]int32, centroids.Rows), make([]float32, centroids.Rows), make([]float32, x.Dim())}
	}
	return par.Chunks(ctx, len(b.upper), taskRows, func(worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			if next := i + ahead; next < hi {
				x.prefetch(next)
				f32.Prefetch(b.lower[next*centroids.Rows : (next+1)*centroids.Rows])
			}
			labels[i] = b.assignRow(x, centroids, i, labels[i], &scratch[worker])
		}
	})
}

// measured is some centroids and their squared distances to a row.
type measured struct {
	at   []int32
	dist []float32
	row  []float32 // where a row is worked out that is not stored
}

func (b *bounds) assignRow(x Rows, centroids core.Matrix, i int, own int32, m *measured) int32 {
	k, dim := centroids.Rows, centroids.Cols
	lower := b.lower[i*k : (i+1)*k]
	upper := float64(b.upper[i]) + b.moved[own]
	open := f32.CountAtMost(lower, b.drift, b.steps(upper))
	if open <= 1 { // only own, which is always among them
		b.upper[i] = up32(upper)
		return own
	}
	row := x.Row(i, m.row)
	if open > fewOpen && b.upper[i] < math.MaxFloat32 {
		one := [1]int32{own}
		f32.SqDistsAt(m.dist[:1], row, centroids.Data, one[:])
		upper = min(upper, f32.Above(m.dist[0], dim))
	}
	n := f32.AtMost(m.at, lower, b.drift, b.steps(upper))
	if n <= 1 {
		b.upper[i] = up32(upper)
		return own
	}
	at, dist := m.at[:n], m.dist[:n]
	f32.SqDistsAt(dist, row, centroids.Data, at)
	f32.RaiseBounds(lower, b.drift, at, dist, b.scale, dim)
	best := 0
	for c, d := range dist {
		if d < dist[best] {
			best = c
		}
	}
	upper = f32.Above(dist[best], dim)
	b.upper[i] = up32(upper)
	return nearestOf(row, centroids, at, dist, best, f32.Within(upper, dim))
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

// up32 is d as a float32 that is not less.
func up32(d float64) float32 {
	f := float32(d)
	if float64(f) < d {
		f = math.Nextafter32(f, math.MaxFloat32)
	}
	return f
}
