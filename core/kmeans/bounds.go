package kmeans

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync/atomic"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// bounds lets Lloyd skip distances that cannot matter, with the same labels as working them all out (Elkan, ICML 2003; with
// groups of centroids: Ding et al., Yinyang K-Means, ICML 2015). Centroids near each other form a group. For each row and
// group it holds a lower bound of the distance to the nearest centroid of the group, its own left out, and for each row an
// upper bound of the distance to its own; both give way by how far centroids move. A group whose lower bound is above
// the upper bound of the row cannot hold its nearest. In the others, its own group first, distances are bounded from both
// sides by integer arithmetic, and where that does not settle it by float32, and that by float64.
//
// Lower bounds are whole steps, a step being 1/16384 of the spread of the data. All bounds are stored as if the centroids
// had not moved since the start, so that a move changes one number a group and not a column.
type bounds struct {
	step   float64
	inStep float64 // 1/step, rounded up
	scale  float32 // 1/step, rounded down
	k      int
	groups int
	order  []int32 // slots: the centroids, those of a group together
	slot   []int32 // of each centroid
	center []float32
	book   f32.Groups

	lower []uint16  // rows x groups: bound + drift, in steps
	upper []float32 // one a row: bound - gone[its label]

	gone      []float64 // one a centroid: how far it went since the start
	groupGone []float64 // one a group: the sum of the farthest moves among its centroids
	drift     []uint16  // the same in steps, rounded up

	words   int           // of a rounded row
	ints    []uint32      // the rows as integers, where there is memory for them, or nil
	rounded []f32.Rounded // of each row, with ints

	filled  bool
	useless bool        // the last assign measured too many distances
	workers []*searcher // kept, as memory is promised
}

const (
	stepsPerSpread = 16384
	minSpread      = 1e-9 // outside these, float32 squares could underflow or overflow
	maxSpread      = 1e9
	storedShare    = 0.36 // the most memory that bounds and rounded rows may take, as a share of the rows themselves
	boundsShare    = 0.15 // the same for bounds alone
	leanShare      = 0.06 // and where memory is short
	muchDrift      = 1 << 15
	mostMeasured   = 4 // distances a row: data for which integers are no good takes more
)

// boundsBytes is the memory of the bounds of a row, intBytes that of a row as integers of a byte.
func boundsBytes(k int) int { return 2*((k+f32.GroupSize-1)/f32.GroupSize) + 4 }
func intBytes(dim int) int  { return (dim+63)&^63 + 16 }

// boundsFit tells whether bounds are for such data, intsFit whether the rows are held as integers beside them: otherwise
// each row is rounded whenever it is in question.
func boundsFit(dim, k int, lean bool) bool {
	share := boundsShare
	if lean {
		share = leanShare
	}
	return f32.GroupsFit(k, dim) && float64(boundsBytes(k)) <= share*float64(4*dim)
}

func intsFit(dim, k int, lean bool) bool {
	return !lean && f32.GroupsOfBytes() && float64(boundsBytes(k)+intBytes(dim)) <= storedShare*float64(4*dim)
}

// boundsMemory is what the bounds of so many rows take.
func boundsMemory(rows, dim, k int, lean bool) float64 {
	bytes := boundsBytes(k)
	if intsFit(dim, k, lean) {
		bytes += intBytes(dim)
	}
	return float64(rows) * float64(bytes)
}

func newBounds(x Rows, centroids core.Matrix, moved []float64, center []float32, spread float64) *bounds {
	k := centroids.Rows
	groups := (k + f32.GroupSize - 1) / f32.GroupSize
	b := &bounds{
		step: spread / stepsPerSpread, inStep: stepsPerSpread / spread * (1 + 1e-12), scale: math.Nextafter32(float32(stepsPerSpread/spread), 0), k: k, groups: groups,
		order: group(centroids, moved), slot: make([]int32, k), center: center,
		lower: make([]uint16, x.Len()*groups), upper: make([]float32, x.Len()),
		gone: make([]float64, k), groupGone: make([]float64, groups), drift: make([]uint16, groups),
	}
	for s, j := range b.order {
		b.slot[j] = int32(s)
	}
	return b
}

// group orders the centroids so that those of a group are near each other: the first that is left, and those nearest to it.
// The quarter that moved farthest stays apart from the others: a group drifts as its farthest does.
func group(centroids core.Matrix, moved []float64) []int32 {
	order := make([]int32, centroids.Rows)
	for j := range order {
		order[j] = int32(j)
	}
	slices.SortStableFunc(order, func(i, j int32) int { return cmp.Compare(moved[j], moved[i]) })
	movers := len(order) / (4 * f32.GroupSize) * f32.GroupSize
	dist := make([]float64, centroids.Rows)
	for _, left := range [][]int32{order[:movers], order[movers:]} {
		for ; len(left) > f32.GroupSize; left = left[f32.GroupSize:] {
			first := centroids.Row(int(left[0]))
			for _, j := range left {
				dist[j] = f32.SqDist64(centroids.Row(int(j)), first)
			}
			slices.SortStableFunc(left, func(i, j int32) int { return cmp.Compare(dist[i], dist[j]) })
		}
	}
	return order
}

// move takes note that centroid k went from where it was by dist[k].
func (b *bounds) move(dist []float64) {
	farthest := make([]float64, b.groups)
	for k, d := range dist {
		b.gone[k] = (b.gone[k] + d) * (1 + 1e-12)
		g := b.slot[k] / f32.GroupSize
		farthest[g] = max(farthest[g], d)
	}
	much := false
	for g, d := range farthest {
		b.groupGone[g] = (b.groupGone[g] + d) * (1 + 1e-12)
		b.drift[g] = b.steps(b.groupGone[g])
		much = much || b.drift[g] > muchDrift
	}
	if much {
		b.rebase()
	}
}

// rebase makes the lower bounds what they are worth now: there is not room for ever more drift.
func (b *bounds) rebase() {
	for i := 0; i < len(b.lower); i += b.groups {
		for g, d := range b.drift {
			b.lower[i+g] -= min(b.lower[i+g], d)
		}
	}
	clear(b.groupGone)
	clear(b.drift)
}

// steps is d in steps, rounded up and held at 65535.
func (b *bounds) steps(d float64) uint16 {
	return uint16(max(0, int64(min(65534, float64(d*b.inStep)))+1))
}

// setLower makes a distance the lower bound of row i in group g.
func (b *bounds) setLower(i, g int, steps int32) {
	b.lower[i*b.groups+g] = b.stored(g, steps)
}

// include makes the lower bound of row i in group g no more than a distance.
func (b *bounds) include(i, g int, steps int32) {
	at := &b.lower[i*b.groups+g]
	*at = min(*at, b.stored(g, steps))
}

// stored is a distance as a lower bound of group g is stored.
func (b *bounds) stored(g int, steps int32) uint16 {
	return uint16(min(uint32(steps)+uint32(b.drift[g]), 65535))
}

// assign makes the labels those of the centroids. They were the labels of where the centroids were before the last move,
// or it is the first time. It returns false, and assigns nothing, if the centroids are no good for integers. Where the
// rows are not, it is done but takes long, and useless says so.
func (b *bounds) assign(ctx context.Context, x Rows, centroids core.Matrix, labels []int32) (bool, error) {
	if !b.book.Set(centroids.Data, b.k, x.Dim(), b.order, b.center) {
		return false, nil
	}
	if !b.filled {
		b.words = b.book.Words()
		if intsFit(x.Dim(), b.k, x.lean) {
			b.ints, b.rounded = make([]uint32, x.Len()*b.words), make([]f32.Rounded, x.Len())
		}
	}
	if n := par.Threads(); len(b.workers) < n {
		b.workers = append(b.workers, make([]*searcher, n-len(b.workers))...)
	}
	var measured atomic.Int64
	err := par.Chunks(ctx, x.Len(), taskRows, func(worker, lo, hi int) {
		s := b.workers[worker]
		if s == nil {
			s = newSearcher(b, x)
			b.workers[worker] = s
		}
		s.centroids = centroids
		measured.Add(int64(s.search(lo, hi, labels[lo:hi])))
	})
	b.filled, b.useless = true, measured.Load() > int64(mostMeasured*x.Len())
	return true, err
}

// up32 is d as a float32 that is not less.
func up32(d float64) float32 {
	f := float32(d)
	if float64(f) < d {
		f = math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}
