package f32

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// GroupSize is how many centroids form a group.
const GroupSize = 16

// Groups is centroids in groups of GroupSize, for rows of which it is known that their nearest centroid is in one of
// some groups: it tells between what numbers the scores x·c - |c|²/2 of these groups lie. Rows and centroids are taken less
// a center and rounded to integers, and so are scores; what that is worth is worked out at firstPass.
//
// The squared distance of row and centroid is |x|² less twice the score. Here x and c are the rounded differences to the
// center, whose distance is within 2^-24 (|x|+|c|) of that of the row and the centroid themselves.
type Groups struct {
	first   firstPass
	space   space
	shifted []float32 // the centroids less the center
	center  []float32
	whole   []uint32 // the rounded centroids by slot, Words of each
}

// GroupsFit tells whether k centroids of dim elements are enough for groups to be of use.
func GroupsFit(k, dim int) bool { return k >= 2*GroupSize && dim >= 48 && dim <= 1<<16 }

// chooseGroups says which kernels take groups. Tests choose otherwise.
var chooseGroups = func(l cpu.Level) integers {
	switch {
	case cpu.VNNI():
		return vnni8
	case l >= cpu.AVX2:
		return avx2x16
	}
	return go8
}

// Set prepares g for k centroids of dim elements, row-major in centroids, of which order lists each once: the first
// GroupSize of that list are group 0, and so on. It returns false where they are too far from the center or too close to
// it for integers.
func (g *Groups) Set(centroids []float32, k, dim int, order []int32, center []float32) bool {
	if len(centroids) != k*dim || len(order) != k || len(center) != dim {
		panic(fmt.Sprintf("f32: %d values, an order of %d and a center of %d elements for %d centroids of %d elements",
			len(centroids), len(order), len(center), k, dim))
	}
	l := cpu.Use()
	g.center = center
	g.shifted = append(g.shifted[:0], centroids...)
	for j := range k {
		Sub(g.shifted[j*dim:][:dim], center)
	}
	g.first.kind = chooseGroups(l)
	g.space.set(l, g.shifted, order, nil, k, dim)
	if !g.first.within(&g.space) {
		return false
	}
	f := &g.first
	f.lay(&g.space, order, dim, GroupSize, GroupSize)
	words := g.Words()
	g.whole = resize(g.whole, f.slots*words)
	for slot := range f.slots {
		panel := f.panels[slot/GroupSize*GroupSize*f.words+slot%GroupSize:]
		row := g.whole[slot*words:][:words]
		for w := range f.words {
			row[w] = panel[w*GroupSize]
		}
		clear(row[f.words:])
	}
	return true
}

// Words is how many words a rounded row takes.
func (g *Groups) Words() int { return (g.first.words + 15) &^ 15 }

// Rounded is what rounding took from a row, and what else its scores depend on.
type Rounded struct {
	inverse float32 // of the scale
	lost    float32 // norm of what rounding took, at most
	length  float32 // |x| plus that, at most; 0 for a row that is no good for integers
	square  float32 // |x|², of which measure is sure to a relative groupError
}

// Fits tells whether the row could be rounded.
func (r Rounded) Fits() bool { return r.length > 0 }

// Round writes a row, less the center, as integers to dst, Words of them. scratch is room for a row.
func (g *Groups) Round(dst []uint32, row, scratch []float32) Rounded {
	x := scratch[:copy(scratch, row)]
	Sub(x, g.center)
	square, most := measure(x)
	f := &g.first
	norm := math.Sqrt(sqError16(square, f.dim)) * slack
	if !(norm > leastNorm && norm < mostNorm) {
		return Rounded{}
	}
	scale, sum := f.roundAt(dst, x, norm, most)
	lost := math.Sqrt(sqError16(sum, f.dim)) / float64(scale)
	return Rounded{inverse: 1 / scale, lost: upward(lost), length: upward(norm + lost), square: square}
}

// groupError bounds the relative error of measure's sum of dim squares, and of a few roundings more.
func groupError(dim int) float64 { return float64(dim+16) * 0x1p-23 }

// apart is what the squared distance of rounded differences and that of what they are the differences of may be apart.
func (g *Groups) apart(r Rounded) float64 {
	both := float64(r.length) + g.first.norm
	return both * both * 0x1p-22
}

// Least is at most |x|², less by what makes StepsOfScores of it and what scores are at most a lower bound of the distance.
func (g *Groups) Least(r Rounded) float32 {
	return float32((float64(r.square)*(1-groupError(g.first.dim)) - g.apart(r)) * (1 - 0x1p-22))
}

// Distance is at least that of the row and a centroid whose score is at least low.
func (g *Groups) Distance(r Rounded, low float32) float64 {
	return math.Sqrt(max(0, float64(r.square)*(1+groupError(g.first.dim))-2*float64(low)+g.apart(r))) * slack
}

// RowScale is what a tile wants to know of a rounded row; see bracket.go.
type RowScale [perRow]float32

// Scale returns it for the centroids as they are.
func (g *Groups) Scale(r Rounded) RowScale {
	norm := float64(r.length) + g.first.norm
	return RowScale{r.inverse, r.lost, r.length, upward(g.first.constant + g.first.define*norm*norm)}
}

// Best is what a row's scores in one group come to.
type Best struct {
	Low  float32 // the best is at least
	Most float32 // the best is at most
	Next float32 // the others than the one of Most are at most
	At   int32   // the one of Most, the first if there are several
}

// Score sets best[i] for row list[i], and up[i*GroupSize:] to what its scores in the group are at most. Rounded rows are
// stride words apart in rows, and scales belongs to them. Where the last group has fewer centroids than GroupSize the
// scores of the others are less than all scores.
func (g *Groups) Score(best []Best, up []float32, group int, list []int32, rows []uint32, stride int, scales []RowScale) {
	f := &g.first
	slot := group * GroupSize
	panel, table := f.panels[slot*f.words:][:GroupSize*f.words], f.table[slot*perCentroid:][:GroupSize*perCentroid]
	size := groupRows[f.kind]
	for i := 0; i < len(list); i += size {
		if left := len(list) - i; left < size {
			var some [8]int32
			var bestOf [8]Best
			var upOf [8 * GroupSize]float32
			for j := range some {
				some[j] = list[i+min(j, left-1)]
			}
			groupTile(f.kind, bestOf[:size], upOf[:], some[:size], rows, stride, scales, panel, table)
			copy(best[i:], bestOf[:left])
			copy(up[i*GroupSize:], upOf[:left*GroupSize])
			return
		}
		groupTile(f.kind, best[i:i+size], up[i*GroupSize:], list[i:i+size], rows, stride, scales, panel, table)
	}
}

// ScorePairs sets low[i] and most[i] to what the score of row list[i] and the centroid at slot slots[i] is at least and at
// most. Rows and scales are as for Score.
func (g *Groups) ScorePairs(low, most []float32, list, slots []int32, rows []uint32, stride int, scales []RowScale) {
	f := &g.first
	lanes := shapesInt[f.kind].lanes
	var dots [64]int32
	for i := 0; i < len(list); i += len(dots) {
		n := min(len(dots), len(list)-i)
		pairs(f.kind, dots[:n], list[i:i+n], slots[i:i+n], rows, stride, g.whole, g.Words())
		for j, dot := range dots[:n] {
			slot := int(slots[i+j])
			low[i+j], most[i+j] = bracketOf(dot, f.table[slot/lanes*perCentroid*lanes+slot%lanes:], lanes, scales[list[i+j]][:])
		}
	}
}

// pairsGeneric sets dst[i] to the product of row list[i] and centroid slots[i], which take so many words.
func pairsGeneric(kind integers, dst, list, slots []int32, rows []uint32, stride int, centroids []uint32, words int) {
	for i, r := range list {
		dst[i] = 0
		for w, c := range centroids[int(slots[i])*words:][:words] {
			dst[i] += wordProduct(shapesInt[kind].perWord, rows[int(r)*stride:][w], c)
		}
	}
}

// groupRows is how many rows a tile takes.
var groupRows = [...]int{go16: 4, go8: 4, avx2x16: 4, vnni8: 8}

// groupTileGeneric is one tile of Score.
func groupTileGeneric(kind integers, best []Best, up []float32, list []int32, rows []uint32, stride int, params []RowScale, panel []uint32, table []float32) {
	for i, r := range list {
		at := &best[i]
		at.Most, at.Next = float32(math.Inf(-1)), float32(math.Inf(-1))
		for j := range GroupSize {
			low, most := bracketOne(kind, panel, table, j, rows[int(r)*stride:][:len(panel)/GroupSize], params[r][:])
			up[i*GroupSize+j] = most
			if most > at.Most {
				at.Low, at.Most, at.Next, at.At = low, most, at.Most, int32(j)
			} else if most > at.Next {
				at.Next = most
			}
		}
	}
}

// GroupsOfBytes tells whether an element of a rounded row takes a byte, and not two.
func GroupsOfBytes() bool { return shapesInt[chooseGroups(cpu.Use())].perWord == 4 }
