package f32

import (
	"context"
	"math/bits"
	"sync"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// A ReLU leaves half of what it is given at 0, and a product has nothing to do there. Where enough of a is 0, a set of bits
// says for each of its rows what is not, and a row of c takes from b the rows that are in the set. The sets are of a few
// columns of a at a time, so that what they choose among stays in the L1 cache.

const (
	sparseBlock  = 24 << 10 // bytes of b that sets choose among
	sparseDepth  = 64       // rows of b that there are at most: a set is of so many bits
	sparsePanels = 4        // of b's columns that a set is read for: their sums are eight registers
	sparseRows   = 256      // of c that one task takes
	sparsePiece  = 16       // a set is of so many columns, or a multiple
	sparseSample = 16       // rows are looked at for their zeros
)

// sparseShare is the largest share of values that are not 0 at which leaving out the others gains.
var sparseShare = 0.75

// share is the share of values that are not 0 in some rows of d.
func share(d Dense) float64 {
	rows, cols := d.Rows, d.Cols
	if d.Trans {
		rows, cols = cols, rows
	}
	n, all := 0, 0
	for i := 0; i < rows; i += ceil(rows, sparseSample) {
		for _, v := range d.Data[i*d.Stride:][:cols] {
			if v != 0 {
				n++
			}
		}
		all += cols
	}
	return float64(n) / float64(all)
}

// sparseGemm is Gemm with what then.Zeros says, unless that would gain nothing: then it returns false.
func sparseGemm(c, a, b Dense, then Then) bool {
	m, n, k := c.Rows, c.Cols, a.Cols
	if m < sparsePiece || n < sparsePiece || k < sparsePiece {
		return false
	}
	of := share(a)
	if !then.Add && !then.ReLU && then.Bias == nil && of > 0.4 { // as well the transpose of bᵀ aᵀ
		if s := share(b); s < 0.9*of && s <= sparseShare {
			t := scratchOf(m * n)
			defer floats.Put(t)
			sparseProduct(NewDense(n, m, *t), b.T(), a.T(), Then{})
			transposeTo(c, *t)
			return true
		}
	}
	if of > sparseShare {
		return false
	}
	sparseProduct(c, a, b, then)
	return true
}

// floats are arrays for one product each.
var floats = sync.Pool{New: func() any { return new([]float32) }}

func scratchOf(n int) *[]float32 {
	s := floats.Get().(*[]float32)
	if cap(*s) < n {
		*s = aligned(n)
	}
	*s = (*s)[:n]
	return s
}

// transposeTo writes the transpose of what follows each other row by row in t to c.
func transposeTo(c Dense, t []float32) {
	const side = 16
	_ = par.Chunks(context.Background(), c.Rows, side, func(_, lo, hi int) {
		for j0 := 0; j0 < c.Cols; j0 += side {
			for i := lo; i < hi; i++ {
				row := c.Data[i*c.Stride:]
				for j := j0; j < min(c.Cols, j0+side); j++ {
					row[j] = t[j*c.Rows+i]
				}
			}
		}
	})
}

// sparseProduct is Gemm without the products with what is 0 in a.
func sparseProduct(c, a, b Dense, then Then) {
	l := cpu.Use()
	m, n, k := c.Rows, c.Cols, a.Cols
	lanes := shapes[l].lanes
	wide := sparsePanels * lanes
	depth := min(sparseDepth, sparseBlock/(4*wide))
	each := func(tasks int, do func(g *gemm, t int)) {
		_ = par.Chunks(context.Background(), tasks, 1, func(_, t, _ int) {
			g := gemms.Get().(*gemm)
			defer gemms.Put(g)
			do(g, t)
		})
	}
	// block is depth rows of wide columns of b, in panels: those from row p and column j on. Each task lays them out as it goes,
	// unless that takes a transposition.
	block := func(g *gemm, p, j int) []float32 {
		g.packB(l, g.b, b, p, min(depth, k-p), j, min(wide, n-j))
		return g.b
	}
	if b.Trans {
		packed := scratchOf(k * ceil(n, lanes) * lanes)
		defer floats.Put(packed)
		at := func(p, j int) []float32 { return (*packed)[j*k+p*ceil(min(wide, n-j), lanes)*lanes:] }
		blocks := ceil(k, depth)
		each(ceil(n, wide)*blocks, func(g *gemm, t int) {
			p, j := t%blocks*depth, t/blocks*wide
			g.packB(l, at(p, j), b, p, min(depth, k-p), j, min(wide, n-j))
		})
		block = func(g *gemm, p, j int) []float32 {
			size := min(depth, k-p) * ceil(min(wide, n-j), lanes) * lanes
			copy(g.b[:size], at(p, j)) // faster from far away than in the order of sets
			return g.b
		}
	}
	rows := min(sparseRows, ceil(ceil(m, par.Threads()), sparsePiece)*sparsePiece)
	each(ceil(m, rows), func(g *gemm, t int) {
		lo, hi := t*rows, min(m, (t+1)*rows)
		for p := 0; p < k; p += depth {
			tile := tileOf{depth: min(depth, k-p), add: then.Add || p > 0}
			if p+tile.depth == k {
				tile.relu, tile.bias = then.ReLU, then.Bias
			}
			g.marked.set(l, a, lo, hi, p, tile.depth)
			for j := 0; j < n; j += wide {
				if a.Trans { // a share of what the next sets are of
					share := ceil(depth, ceil(n, wide))
					for q := p + depth + j/wide*share; q < min(k, p+depth+(j/wide+1)*share); q++ {
						Prefetch(a.Data[q*a.Stride+lo:][:hi-lo])
					}
				}
				g.sparse(l, c, lo, j, min(wide, n-j), block(g, p, j), tile)
			}
		}
	})
}

// sparse works on the rows of c from i on that g.marked is of, and on columns j to j+cols: a block of b.
func (g *gemm) sparse(l cpu.Level, c Dense, i, j, cols int, block []float32, t tileOf) {
	s, lanes := &g.marked, shapes[l].lanes
	at := c.Data[i*c.Stride+j:]
	bias := t.bias
	for q := 0; q < cols; {
		panels := sparsePanels
		for panels > 1 && panels*lanes > cols-q {
			panels /= 2
		}
		width := min(panels*lanes, cols-q)
		if bias != nil {
			t.bias = bias[j+q:]
		}
		if width == panels*lanes {
			s.multiply(l, at[q:], c.Stride, panels, block[q*t.depth:], t)
		} else { // the panel lies partly outside of c
			g.edge = resize(g.edge, (s.rows+1)*lanes)
			for r := range s.rows {
				copy(g.edge[r*lanes:][:width], at[r*c.Stride+q:])
			}
			if bias != nil {
				t.bias = g.edge[s.rows*lanes:]
				clear(t.bias[copy(t.bias, bias[j+q:][:width]):])
			}
			s.multiply(l, g.edge, lanes, 1, block[q*t.depth:], t)
			for r := range s.rows {
				copy(at[r*c.Stride+q:][:width], g.edge[r*lanes:])
			}
		}
		q += width
	}
}

// marked are some rows and columns of a matrix, and what is not 0 there.
type marked struct {
	rows, stride int
	values       []float32 // row by row, stride apart
	sets         []uint64  // for each row: bit d is set where column d is not 0
	copied       []float32 // memory for values that do not lie so in the matrix
}

// set takes rows lo to hi and columns p to p+depth of a.
func (m *marked) set(l cpu.Level, a Dense, lo, hi, p, depth int) {
	m.rows = hi - lo
	m.sets = resize(m.sets, m.rows)
	clear(m.sets)
	n := ceil(depth, sparsePiece)
	room := n * sparsePiece
	switch whole := m.rows / 4 * 4; {
	case !a.Trans && (hi-1)*a.Stride+p+room <= len(a.Data):
		m.values, m.stride = a.Data[lo*a.Stride+p:], a.Stride
		mark(l, m.sets, m.values, n, m.stride)
	default:
		m.copied = resize(m.copied, m.rows*room)
		m.values, m.stride = m.copied, room
		if !a.Trans {
			for r := range m.rows {
				copy(m.values[r*room:][:depth], a.Data[(lo+r)*a.Stride+p:])
			}
			mark(l, m.sets, m.values, n, room)
			break
		}
		for q := 0; q < depth; q += sparsePiece {
			var offsets [sparsePiece]int
			for i := range offsets { // columns left over repeat the last one
				offsets[i] = (p+min(q+i, depth-1))*a.Stride + lo
			}
			turn(l, m.values[q:], m.sets[:whole], q, a.Data, &offsets, room)
			for r := whole; r < m.rows; r++ {
				for i, o := range offsets {
					m.values[r*room+q+i] = a.Data[o+r]
				}
			}
		}
		if whole < m.rows {
			mark(l, m.sets[whole:], m.values[whole*room:], n, room)
		}
	}
	if depth < room {
		for r := range m.sets {
			m.sets[r] &= 1<<depth - 1
		}
	}
}

// markGeneric sets the bits of what is not 0 in rows of n pieces of src, stride apart.
func markGeneric(sets []uint64, src []float32, n, stride int) {
	for r := range sets {
		for d, v := range src[r*stride:][:n*sparsePiece] {
			if v != 0 {
				sets[r] |= 1 << d
			}
		}
	}
}

// turnGeneric writes columns of the rows of src at offsets to dst, as rows room apart, one for each set, and sets the bits
// of what is not 0, from bit q on.
func turnGeneric(dst []float32, sets []uint64, q int, src []float32, offsets *[sparsePiece]int, room int) {
	for r := range sets {
		for i, o := range offsets {
			v := src[o+r]
			dst[r*room+i] = v
			if v != 0 {
				sets[r] |= 1 << (q + i)
			}
		}
	}
}

// multiplyGeneric adds to each row of c, stride apart, as many panels of columns of what its set names.
func (m *marked) multiplyGeneric(lanes int, c []float32, stride, panels int, block []float32, t tileOf) {
	for r, all := range m.sets {
		values := m.values[r*m.stride:]
		for j := range panels * lanes {
			panel, out := block[j/lanes*lanes*t.depth+j%lanes:], &c[r*stride+j]
			var sum float32
			if t.add {
				sum = *out
			}
			for set := all; set != 0; set &= set - 1 {
				d := bits.TrailingZeros64(set)
				sum = fma(values[d], panel[d*lanes], sum)
			}
			if t.bias != nil {
				sum += t.bias[j]
			}
			if t.relu {
				sum = relu(sum)
			}
			*out = sum
		}
	}
}
