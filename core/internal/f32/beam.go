package f32

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// What beam search is made of: dot products of rows with all centroids, sums of tables over them, and the indices of
// the least such sums. All are float32 and differ from level to level by rounding; a caller bounds that (see DotError).

// Chunk is how many scores the loops over tables take at a time.
const Chunk = 32

// Products is centroids packed for dot products of rows with all of them. It is read-only, for any number of goroutines.
type Products struct {
	K, Dim int
	level  cpu.Level
	few    []float32 // the centroids filled up to fewDots, if there are no more, or
	panels Panels    // of them
}

// fewDots is how many products of a row are worked out at a time where panels would be filled up with many more.
const fewDots = 8

// NewProducts packs k centroids of dim elements, row-major.
func NewProducts(centroids []float32, k, dim int) *Products {
	if k < 1 || dim < 1 || len(centroids) != k*dim {
		panic(fmt.Sprintf("f32: %d values for %d centroids of %d elements", len(centroids), k, dim))
	}
	p := &Products{K: k, Dim: dim, level: cpu.Use()}
	if k > fewDots {
		p.panels.packAll(p.level, centroids, dim)
		return p
	}
	p.few = make([]float32, 0, fewDots*dim)
	for j := range fewDots {
		j = min(j, k-1)
		p.few = append(p.few, centroids[j*dim:(j+1)*dim]...)
	}
	return p
}

// Stride is k rounded up to a multiple of Chunk.
func Stride(k int) int { return (k + Chunk - 1) / Chunk * Chunk }

// Stride is K rounded up to a multiple of Chunk.
func (p *Products) Stride() int { return Stride(p.K) }

// Dots sets dst[i*ld+j] to the dot product of row i of rows and centroid j, summed in some order in float32, and leaves
// something in what follows up to dst[i*ld+Stride()-1]. It panics if the lengths do not fit.
func (p *Products) Dots(dst []float32, ld int, rows []float32) {
	n := len(rows) / p.Dim
	if len(rows) != n*p.Dim || n == 0 || ld < p.Stride() || len(dst) < (n-1)*ld+p.Stride() {
		panic(fmt.Sprintf("f32: room for %d products, %d a row, of %d values with %d centroids of %d elements",
			len(dst), ld, len(rows), p.K, p.Dim))
	}
	if p.few != nil {
		for i := range n {
			dots(p.level, dst[i*ld:][:fewDots], rows[i*p.Dim:][:p.Dim], p.few, p.Dim)
		}
		return
	}
	lanes, sizes := shapes[p.level].lanes, shapes[p.level].sizes
	for q := range p.panels.count() { // the panel stays in the cache, and the rows come and go
		panel := p.panels.data[q*lanes*p.Dim:][:lanes*p.Dim]
		for i := 0; i < n; {
			size := 1
			for _, z := range sizes {
				if i+z <= n {
					size = z
					break
				}
			}
			rowTile(p.level, dst[i*ld+q*lanes:], panel, rows[i*p.Dim:][:size*p.Dim], ld, p.Dim)
			i += size
		}
	}
}

// SqNorm is at least the sum of the squares of x.
func SqNorm(x []float32) float64 {
	var norm [1]float32
	if len(x) > 0 {
		dots(cpu.Use(), norm[:], x, x, len(x))
	}
	return float64(norm[0])*sumGrow(2*len(x)) + sumTiny(len(x))
}

// DotError bounds the error of one of Dots, as a share of the product of the two norms, and what underflow adds to that.
func DotError(dim int) (share, tiny float64) {
	d := float64(dim)
	return d * unit * math.Exp(d*unit) * slack, (d + 2) * 0x1p-148
}

// AddTables sets dst[k] to base - dots[k] + tables[0][k] + tables[1][k] + ..., rounded after each step, and least to the
// least of dst: least[i] is that of dst[i], dst[i+Chunk] and so on. It panics unless there is a table, len(dst) is a
// positive multiple of Chunk, len(least) is Chunk, and the others are at least as long as dst.
func AddTables(dst, least, dots []float32, tables [][]float32, base float32) {
	n := len(dst)
	if n == 0 || n%Chunk != 0 || len(least) != Chunk || len(dots) < n || len(tables) == 0 {
		panic(fmt.Sprintf("f32: %d scores of %d dots and %d tables, room for the least %d", n, len(dots), len(tables), len(least)))
	}
	for _, t := range tables {
		_ = t[:n]
	}
	addTables(dst, least, dots, tables, base)
}

func addTablesGeneric(dst, least, dots []float32, tables [][]float32, base float32) {
	for i := range least {
		least[i] = float32(math.Inf(1))
	}
	for i := range dst {
		dst[i] = base - dots[i]
	}
	for _, t := range tables {
		for i, v := range t[:len(dst)] {
			dst[i] += v
		}
	}
	for i, v := range dst {
		if v < least[i%Chunk] {
			least[i%Chunk] = v
		}
	}
}

// CountAtMost32 returns how many of v, whose length is a multiple of Chunk, are at most limit.
func CountAtMost32(v []float32, limit float32) int { return countAtMost32(v, limit) }

func countAtMost32Generic(v []float32, limit float32) int {
	n := 0
	for _, x := range v {
		if x <= limit {
			n++
		}
	}
	return n
}

// AppendAtMost32 appends a key for each of v, whose length is a multiple of Chunk, that is at most limit: keys sort as
// the values do, and equal values by index, v[0] having index first.
func AppendAtMost32(keys []uint64, v []float32, limit float32, first int) []uint64 {
	return appendAtMost32(keys, v, limit, first)
}

func appendAtMost32Generic(keys []uint64, v []float32, limit float32, first int) []uint64 {
	for i, x := range v {
		if x <= limit {
			keys = append(keys, key32(x, first+i))
		}
	}
	return keys
}

// TwoLeast32 returns which of v, whose length is a multiple of Chunk, are the least and the next of those that are at most
// limit, of equal ones the first; -1 where there are no more.
func TwoLeast32(v []float32, limit float32) (first, second int32) {
	t := twoLeast{first: -1, second: -1}
	t.find(v, limit)
	return t.first, t.second
}

type twoLeast struct {
	first, second int32
	least, next   float32
}

// take takes x, number i, into account, after those before it.
func (t *twoLeast) take(i int, x float32) {
	switch {
	case t.first < 0 || x < t.least:
		t.second, t.next = t.first, t.least
		t.first, t.least = int32(i), x
	case t.second < 0 || x < t.next:
		t.second, t.next = int32(i), x
	}
}

func (t *twoLeast) findGeneric(v []float32, limit float32) {
	for i, x := range v {
		if x <= limit {
			t.take(i, x)
		}
	}
}

// key32 orders as x does, then as index does, which has 32 bits.
func key32(x float32, index int) uint64 {
	b := math.Float32bits(x)
	if b>>31 != 0 {
		b = ^b
	} else {
		b |= 1 << 31
	}
	return uint64(b)<<32 | uint64(uint32(index))
}

// Unkey32 returns the value and the index that a key was made of.
func Unkey32(key uint64) (float32, int) {
	b := uint32(key >> 32)
	if b>>31 != 0 {
		b &^= 1 << 31
	} else {
		b = ^b
	}
	return math.Float32frombits(b), int(uint32(key))
}

// rowTileGeneric writes to dst[i*ld+lane] the dot products of the given rows and the centroids in a panel.
func rowTileGeneric(dst, panel, rows []float32, ld, lanes, dim int) {
	for i := range len(rows) / dim {
		row := rows[i*dim:][:dim]
		for j := 0; j < lanes; j += 4 { // four chains of additions that need not wait for one another
			var s, t, u, v float32
			p := panel[j:]
			for d, x := range row {
				c := p[d*lanes:][:4]
				s += x * c[0]
				t += x * c[1]
				u += x * c[2]
				v += x * c[3]
			}
			o := dst[i*ld+j:][:4]
			o[0], o[1], o[2], o[3] = s, t, u, v
		}
	}
}
