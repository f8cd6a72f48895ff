package f32

import (
	"context"
	"fmt"
	"sync"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Dense is a matrix in memory: element (i, j) is Data[i*Stride+j], or Data[j*Stride+i] if Trans.
type Dense struct {
	Rows, Cols, Stride int
	Trans              bool
	Data               []float32
}

// NewDense returns the matrix of rows and cols whose rows follow each other in data.
func NewDense(rows, cols int, data []float32) Dense {
	return Dense{Rows: rows, Cols: cols, Stride: cols, Data: data}
}

// T returns the transpose, in the same memory.
func (d Dense) T() Dense {
	d.Rows, d.Cols, d.Trans = d.Cols, d.Rows, !d.Trans
	return d
}

// check panics unless d has memory for its elements.
func (d Dense) check(what string) {
	rows, cols := d.Rows, d.Cols
	if d.Trans {
		rows, cols = cols, rows
	}
	if rows < 0 || cols < 0 || d.Stride < cols || rows > 0 && cols > 0 && len(d.Data) < (rows-1)*d.Stride+cols {
		panic(fmt.Sprintf("f32: %s: %d values for %d rows of %d, %d apart", what, len(d.Data), rows, cols, d.Stride))
	}
}

// Then is what Gemm does beside the product. The zero value is the product alone.
type Then struct {
	Add  bool      // begin each sum with what c holds instead of 0
	Bias []float32 // one value per column, added to the finished sum; nil: none
	ReLU bool      // after that, set what is below 0 to 0
}

// Gemm sets c, which must not be transposed or share memory with the others, to the product of a and b.
//
// Every element is one chain of fused multiply-adds in float32 over a's columns in order, from 0 or from what was there;
// then what then says. So the bits are the same at any CPU level, on any number of threads (par.Threads), and for one
// row alone or among others. Only the sign and payload of a NaN may differ. It panics on shapes that do not fit.
func Gemm(c, a, b Dense, then Then) {
	c.check("c")
	a.check("a")
	b.check("b")
	m, n, k := c.Rows, c.Cols, a.Cols
	if a.Rows != m || b.Cols != n || b.Rows != k || c.Trans || then.Bias != nil && len(then.Bias) != n {
		panic(fmt.Sprintf("f32: product of %d x %d and %d x %d into %d x %d (transposed: %v), %d biases",
			a.Rows, a.Cols, b.Rows, b.Cols, m, n, c.Trans, len(then.Bias)))
	}
	if m == 0 || n == 0 {
		return
	}
	l := cpu.Use()
	rows, cols := gemmTasks(l, m, n, k)
	across := (n + cols - 1) / cols
	tasks := across * ((m + rows - 1) / rows)
	_ = par.Chunks(context.Background(), tasks, 1, func(_, t, _ int) {
		g := gemms.Get().(*gemm)
		defer gemms.Put(g)
		i, j := t/across*rows, t%across*cols
		g.run(l, c, a, b, i, min(m, i+rows), j, min(n, j+cols), then)
	})
}

// The product is worked on in blocks of b of at most gemmDepth rows and gemmWidth columns, which are to stay in the L2
// cache, and gemmHeight rows of a.
const (
	gemmDepth  = 384
	gemmWidth  = 384 // a multiple of every level's lanes
	gemmHeight = 112
)

// gemmTasks returns how many rows and columns of c one task takes: a few tasks per thread, none of them under a million
// multiplications. A task packs for itself what it needs of a and b, so it is to be high first, and wide.
func gemmTasks(l cpu.Level, m, n, k int) (rows, cols int) {
	tile, lanes := shapes[l].sizes[0], shapes[l].lanes
	want := max(1, min(4*par.Threads(), m*n/(1<<20/max(k, 1)+1)))
	if par.Threads() == 1 {
		want = 1
	}
	across := ceil(n, gemmWidth)
	down := min(ceil(want, across), ceil(m, 4*tile))
	if across*down < want {
		across = min(ceil(want, down), ceil(n, lanes))
	}
	return ceil(ceil(m, down), tile) * tile, ceil(ceil(n, across), lanes) * lanes
}

func ceil(x, y int) int { return (x + y - 1) / y }

// gemm is the memory of one task.
type gemm struct {
	a, b    []float32 // blocks as the tiles read them
	bias    []float32 // of the block's columns, filled up with zeros
	tile    []float32 // a tile that lies partly outside of c
	norms   [2 * maxLanes]float32
	offsets [maxLanes]int
}

var gemms = sync.Pool{New: func() any {
	return &gemm{tile: aligned(maxLanes * maxGroup), a: aligned((gemmHeight + maxGroup) * gemmDepth), b: aligned(gemmWidth * gemmDepth)}
}}

// run works on rows i0 to i1 and columns j0 to j1 of c.
func (g *gemm) run(l cpu.Level, c, a, b Dense, i0, i1, j0, j1 int, then Then) {
	lanes, k := shapes[l].lanes, a.Cols
	for ; j0 < j1; j0 += gemmWidth {
		cols := min(gemmWidth, j1-j0)
		if then.Bias != nil {
			g.bias = resize(g.bias, ceil(cols, lanes)*lanes)
			clear(g.bias[copy(g.bias, then.Bias[j0:j0+cols]):])
		}
		depth := max(1, ceil(k, max(1, ceil(k, gemmDepth))))
		for p := 0; p == 0 || p < k; p += depth {
			depth := min(depth, k-p)
			g.packB(l, b, p, depth, j0, cols)
			for i := i0; i < i1; i += gemmHeight / shapes[l].sizes[0] * shapes[l].sizes[0] {
				end := min(i1, i+gemmHeight/shapes[l].sizes[0]*shapes[l].sizes[0])
				g.packA(l, a, i, end, p, depth)
				t := tileOf{depth: depth, add: then.Add || p > 0}
				if p+depth == k {
					t.relu = then.ReLU
					if then.Bias != nil {
						t.bias = g.bias
					}
				}
				g.tiles(l, c, i, end, j0, cols, t, a.Trans)
			}
		}
	}
}

// tileOf is what the tiles of one block have in common.
type tileOf struct {
	depth     int
	add, relu bool
	bias      []float32 // nil: none
}

// gemmSize returns how many rows the next tile takes where n are left.
func gemmSize(l cpu.Level, n int) int {
	size := shapes[l].sizes[0]
	for _, z := range shapes[l].sizes[1:] {
		if n <= z {
			size = z
		}
	}
	return size
}

// packB lays out columns j to j+cols and rows p to p+depth of b in panels of [depth][lanes]; columns left over in the last
// one may hold anything.
func (g *gemm) packB(l cpu.Level, b Dense, p, depth, j, cols int) {
	lanes := shapes[l].lanes
	if depth == 0 {
		return
	}
	if b.Trans { // columns follow each other in memory
		for q := 0; q < cols; q += lanes {
			for i := range lanes {
				g.offsets[i] = (j+q+min(i, cols-q-1))*b.Stride + p
			}
			packPanel(l, g.b[q*depth:][:lanes*depth], g.norms[:2*lanes], b.Data, g.offsets[:lanes], depth)
		}
		return
	}
	whole := cols / lanes * lanes
	for d := range depth {
		row := b.Data[(p+d)*b.Stride+j:][:cols]
		at := g.b[d*lanes:]
		for q := 0; q < whole; q += lanes {
			copyLanes(at[q*depth:], row[q:], lanes)
		}
		copy(at[whole*depth:], row[whole:])
	}
}

// copyLanes copies the lanes of a panel.
func copyLanes(dst, src []float32, lanes int) {
	switch lanes {
	case 32:
		*(*[32]float32)(dst) = *(*[32]float32)(src)
	case 16:
		*(*[16]float32)(dst) = *(*[16]float32)(src)
	default:
		copy(dst[:lanes], src)
	}
}

// gemmStride is how far rows of a block of a lie apart: an odd number of cache lines, so that the same column of several
// rows does not meet in one set of the cache.
func gemmStride(depth int) int { return (depth+15)/16/2*32 + 16 }

// packA lays out rows i to end and columns p to p+depth of a: rows gemmStride apart, or, if a is transposed, each tile
// as [depth][size].
func (g *gemm) packA(l cpu.Level, a Dense, i, end, p, depth int) {
	if !a.Trans {
		stride := gemmStride(depth)
		g.a = g.a[:cap(g.a)]
		for r := i; r < end; r++ {
			copy(g.a[(r-i)*stride:][:depth], a.Data[r*a.Stride+p:])
		}
		return
	}
	for d := range depth {
		row := a.Data[(p+d)*a.Stride+i:][:end-i]
		at := g.a
		for len(row) > 0 {
			size := gemmSize(l, len(row))
			n := min(size, len(row))
			copy(at[d*size:][:n], row)
			row, at = row[n:], at[size*depth:]
		}
	}
}

// tiles works through a block: a and b are packed.
func (g *gemm) tiles(l cpu.Level, c Dense, i, end, j, cols int, t tileOf, trans bool) {
	lanes := shapes[l].lanes
	at := g.a
	for i < end {
		size := gemmSize(l, end-i)
		rows := min(size, end-i)
		row, step := gemmStride(t.depth), 1
		if trans {
			row, step = 1, size
		}
		for q := 0; q < cols; q += lanes {
			panel := g.b[q*t.depth:]
			t := t
			if t.bias != nil {
				t.bias = t.bias[q:]
			}
			if width := min(lanes, cols-q); rows == size && width == lanes {
				gemmTile(l, size, c.Data[i*c.Stride+j+q:], c.Stride, at, row, step, panel, t)
			} else {
				for r := range rows {
					copy(g.tile[r*lanes:], c.Data[(i+r)*c.Stride+j+q:][:width])
				}
				gemmTile(l, size, g.tile, lanes, at, row, step, panel, t)
				for r := range rows {
					copy(c.Data[(i+r)*c.Stride+j+q:][:width], g.tile[r*lanes:])
				}
			}
		}
		if trans {
			at = at[size*t.depth:]
		} else {
			at = at[rows*row:]
		}
		i += rows
	}
}

// gemmTileGeneric works on size rows of c, lanes wide and stride apart. Element (r, d) of a is a[r*row+d*step], and panel
// is [depth][lanes].
func gemmTileGeneric(size, lanes int, c []float32, stride int, a []float32, row, step int, panel []float32, t tileOf) {
	for r := range size {
		for j := 0; j < lanes; j += 4 {
			out := c[r*stride+j:][:4]
			var s, u, v, w float32
			if t.add {
				s, u, v, w = out[0], out[1], out[2], out[3]
			}
			for d := range t.depth {
				x, b := a[r*row+d*step], panel[d*lanes+j:][:4]
				s, u, v, w = fma(x, b[0], s), fma(x, b[1], u), fma(x, b[2], v), fma(x, b[3], w)
			}
			if t.bias != nil {
				s, u, v, w = s+t.bias[j], u+t.bias[j+1], v+t.bias[j+2], w+t.bias[j+3]
			}
			if t.relu {
				s, u, v, w = relu(s), relu(u), relu(v), relu(w)
			}
			out[0], out[1], out[2], out[3] = s, u, v, w
		}
	}
}

// relu keeps NaN and -0, as the instruction does.
func relu(x float32) float32 {
	if x < 0 {
		return 0
	}
	return x
}
