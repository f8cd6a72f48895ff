package f32

import (
	"context"
	"sync"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// A ReLU leaves half of what it is given at 0, and a product has nothing to do there. Where enough of a is 0, each of its
// rows is made a list of what is not, and a row of c takes from b the rows that the list names. The lists are of a few
// columns of a at a time, so that what they choose among stays in the L1 cache.

const (
	sparseBlock  = 24 << 10 // bytes of b that lists choose among
	sparsePanels = 4        // of b's columns that a list is read for: their sums are eight registers
	sparseRows   = 128      // of c that one task takes
	sparsePiece  = 16       // a list is of so many columns, or a multiple
	sparseSample = 16       // rows are looked at for their zeros
)

// sparseShare is the largest share of values that are not 0 at which leaving out the others gains.
var sparseShare = 0.75

// sparseDepth is how many columns of a one list is of.
func sparseDepth(l cpu.Level) int { return sparseBlock / (4 * sparsePanels * max(shapes[l].lanes, 16)) }

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
	lanes, depth := shapes[l].lanes, sparseDepth(l)
	wide, blocks := sparsePanels*lanes, ceil(k, depth)
	packed := scratchOf(k * ceil(n, lanes) * lanes)
	defer floats.Put(packed)
	// block is depth rows of wide columns of b, in panels: those from row p and column j on.
	block := func(p, j int) []float32 {
		return (*packed)[j*k+p*ceil(min(wide, n-j), lanes)*lanes:]
	}
	each := func(tasks int, do func(g *gemm, t int)) {
		_ = par.Chunks(context.Background(), tasks, 1, func(_, t, _ int) {
			g := gemms.Get().(*gemm)
			defer gemms.Put(g)
			do(g, t)
		})
	}
	each(ceil(n, wide)*blocks, func(g *gemm, t int) {
		p, j := t%blocks*depth, t/blocks*wide
		g.packB(l, block(p, j), b, p, min(depth, k-p), j, min(wide, n-j))
	})
	rows := min(sparseRows, ceil(ceil(m, 2*par.Threads()), sparsePiece)*sparsePiece)
	each(ceil(m, rows), func(g *gemm, t int) {
		lo, hi := t*rows, min(m, (t+1)*rows)
		for p := 0; p < k; p += depth {
			tile := tileOf{depth: min(depth, k-p), add: then.Add || p > 0}
			if p+tile.depth == k {
				tile.relu, tile.bias = then.ReLU, then.Bias
			}
			g.lists.set(l, a, lo, hi, p, tile.depth)
			for j := 0; j < n; j += wide {
				g.sparse(l, c, lo, j, min(wide, n-j), block(p, j), tile)
			}
		}
	})
}

// sparse works on the rows of c from i on that g.lists is of, and on columns j to j+cols: a block of b.
func (g *gemm) sparse(l cpu.Level, c Dense, i, j, cols int, block []float32, t tileOf) {
	s, lanes := &g.lists, shapes[l].lanes
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

// lists are what is not 0 in some rows and columns of a matrix: the values and, beside each, the offset in bytes of its
// column's row in a panel.
type lists struct {
	rows, room      int // a list has room for so many values
	values          []float32
	offsets, counts []int32
	pieces          []float32 // of the matrix, where they do not lie as compress wants them
}

// set takes rows lo to hi and columns p to p+depth of a.
func (s *lists) set(l cpu.Level, a Dense, lo, hi, p, depth int) {
	n := ceil(depth, sparsePiece)
	s.rows, s.room = hi-lo, n*sparsePiece
	s.values, s.offsets, s.counts = resize(s.values, s.rows*s.room), resize(s.offsets, s.rows*s.room), resize(s.counts, s.rows)
	step := 4 * shapes[l].lanes
	if l == cpu.Generic {
		s.setGeneric(a, lo, p, depth, step)
		return
	}
	if !a.Trans && depth == s.room {
		compress(l, s, a.Data[lo*a.Stride+p:], n, a.Stride, sparsePiece, step)
		return
	}
	s.pieces = resize(s.pieces, s.rows*s.room)
	if !a.Trans {
		for r := range s.rows {
			row := s.pieces[r*s.room:][:s.room]
			clear(row[copy(row, a.Data[(lo+r)*a.Stride+p:][:depth]):])
		}
		compress(l, s, s.pieces, n, s.room, sparsePiece, step)
		return
	}
	var offsets [sparsePiece]int
	var norms [2 * sparsePiece]float32
	for q := range n {
		have := min(sparsePiece, depth-q*sparsePiece)
		for i := range offsets {
			offsets[i] = (p+q*sparsePiece+min(i, have-1))*a.Stride + lo
		}
		piece := s.pieces[q*sparsePiece*s.rows:][:sparsePiece*s.rows]
		packPanel(cpu.AVX2, piece, norms[:], a.Data, offsets[:], s.rows) // its panels have sixteen lanes
		for r := 0; have < sparsePiece && r < s.rows; r++ {
			clear(piece[r*sparsePiece:][have:sparsePiece])
		}
	}
	compress(l, s, s.pieces, n, sparsePiece, sparsePiece*s.rows, step)
}

func (s *lists) setGeneric(a Dense, lo, p, depth, step int) {
	row, column := a.Stride, 1
	if a.Trans {
		row, column = 1, a.Stride
	}
	for r := range s.rows {
		n := 0
		for d := range depth {
			if v := a.Data[(lo+r)*row+(p+d)*column]; v != 0 {
				s.values[r*s.room+n], s.offsets[r*s.room+n] = v, int32(d*step)
				n++
			}
		}
		s.counts[r] = int32(n)
	}
}

// multiplyGeneric adds to each row of c, stride apart, as many panels of columns of what the lists say.
func (s *lists) multiplyGeneric(lanes int, c []float32, stride, panels int, block []float32, t tileOf) {
	for r := range s.rows {
		for j := range panels * lanes {
			panel, out := block[j/lanes*lanes*t.depth+j%lanes:], &c[r*stride+j]
			var sum float32
			if t.add {
				sum = *out
			}
			for i, v := range s.values[r*s.room:][:s.counts[r]] {
				sum = fma(v, panel[s.offsets[r*s.room+i]/4], sum)
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
