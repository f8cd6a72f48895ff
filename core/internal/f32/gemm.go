package f32

import (
	"context"
	"fmt"
	"math"
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

	// Zeros says that a or, without the three above, b may hold many zeros. Where they do, products with them are left out:
	// then neither they nor what is not finite beside them has a say, and a zero may have the other sign.
	Zeros bool
}

// Gemm sets c, which must not be transposed or share memory with the others, to the product of a and b.
//
// Every element is one chain of fused multiply-adds in float32 over a's columns in order, from 0 or from what was there;
// then what then says. So the bits are the same at any CPU level, on any number of threads (par.Threads), and for one
// row alone or among others. Only the sign and payload of a NaN may differ. It panics on shapes that do not fit.
func Gemm(c, a, b Dense, then Then) { multiply(c, a, b, nil, then) }

// multiply is Gemm, with what a Packed of b holds, or nil.
func multiply(c, a, b Dense, packed []float32, then Then) {
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
	if then.Zeros && packed == nil && sparseGemm(c, a, b, then) {
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
		g.run(l, c, a, b, packed, i, min(m, i+rows), j, min(n, j+cols), then)
	})
}

// The product is worked on in blocks of b of at most gemmDepth rows and gemmWidth columns, which are to stay in the L2
// cache, and gemmHeight rows of a.
const (
	gemmDepth  = 384
	gemmWidth  = 384 // a multiple of every level's lanes
	gemmHeight = 112
)

// gemmTasks returns how many rows and columns of c one task takes. Each task packs for itself what it needs of a and b, so
// fewer and larger ones do less, and more keep all threads at work to the end: it takes what should be done first.
func gemmTasks(l cpu.Level, m, n, k int) (rows, cols int) {
	tile, lanes := shapes[l].sizes[0], shapes[l].lanes
	threads := min(par.Threads(), 1+m*n/(1<<18/max(k, 1)+1)) // a task under 2^18 products is not worth a goroutine
	least := math.Inf(1)
	for across := 1; across <= min(4*threads, ceil(n, lanes)); across++ {
		for down := 1; across*down <= 4*threads && down <= ceil(m, tile); down++ {
			r, c := ceil(ceil(m, down), tile)*tile, ceil(ceil(n, across), lanes)*lanes
			packed := r*ceil(c, gemmWidth) + c // values per step of k, each about as much work as gemmPack products
			rounds := float64(ceil(ceil(m, r)*ceil(n, c), threads))
			if time := (rounds + gemmIdle) * float64(r*c+gemmPack*packed); time < least {
				least, rows, cols = time, r, c
			}
		}
	}
	return rows, cols
}

const (
	gemmPack = 4
	gemmIdle = 0.2 // of a task: what threads wait for others at the end
)

func ceil(x, y int) int { return (x + y - 1) / y }

// gemm is the memory of one task.
type gemm struct {
	a, b    []float32 // blocks as the tiles read them
	bias    []float32 // of the block's columns, filled up with zeros
	tile    []float32 // a tile that lies partly outside of c
	marked  marked    // of a sparse a
	edge    []float32 // columns of c that are no whole panel
	norms   [2 * maxLanes]float32
	offsets [maxLanes]int
}

var gemms = sync.Pool{New: func() any {
	return &gemm{tile: aligned(maxLanes * maxGroup), a: aligned((gemmHeight + maxGroup) * gemmDepth), b: aligned(gemmWidth * gemmDepth)}
}}

// run works on rows i0 to i1 and columns j0 to j1 of c.
func (g *gemm) run(l cpu.Level, c, a, b Dense, packed []float32, i0, i1, j0, j1 int, then Then) {
	lanes, k := shapes[l].lanes, a.Cols
	for ; j0 < j1; j0 += gemmWidth {
		cols := min(gemmWidth, j1-j0)
		if then.Bias != nil {
			g.bias = resize(g.bias, ceil(cols, lanes)*lanes)
			clear(g.bias[copy(g.bias, then.Bias[j0:j0+cols]):])
		}
		depth := blockDepth(k)
		for p := 0; p == 0 || p < k; p += depth {
			depth := min(depth, k-p)
			block := g.b
			if packed != nil {
				block = packed[p*ceil(b.Cols, lanes)*lanes+j0*depth:]
			} else {
				g.packB(l, block, b, p, depth, j0, cols)
			}
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
				g.tiles(l, c, a, block, p, i, end, j0, cols, t)
			}
		}
	}
}

// blockDepth is how many of b's k rows are in a block.
func blockDepth(k int) int { return max(1, ceil(k, max(1, ceil(k, gemmDepth)))) }

// Packed is a right factor laid out once as products read it, for those of few rows, which else take longer to lay it out
// than to multiply.
type Packed struct {
	b     Dense
	level cpu.Level
	data  []float32 // blocks of panels
}

// Pack returns b made ready. b must not change while that is in use.
func Pack(b Dense) *Packed {
	b.check("b")
	l := cpu.Use()
	lanes, depth := shapes[l].lanes, blockDepth(b.Rows)
	p := &Packed{b, l, aligned(b.Rows * ceil(b.Cols, lanes) * lanes)}
	g := gemms.Get().(*gemm)
	defer gemms.Put(g)
	for i := 0; i < b.Rows && b.Cols > 0; i += depth {
		g.packB(l, p.data[i*ceil(b.Cols, lanes)*lanes:], b, i, min(depth, b.Rows-i), 0, b.Cols)
	}
	return p
}

// Gemm is Gemm with p as b, to the bit.
func (p *Packed) Gemm(c, a Dense, then Then) {
	if p.level != cpu.Use() || len(p.data) == 0 {
		Gemm(c, a, p.b, then)
		return
	}
	multiply(c, a, p.b, p.data, then)
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

// packB lays out columns j to j+cols and rows p to p+depth of b in panels of [depth][lanes] in dst; columns left over in the
// last one may hold anything.
func (g *gemm) packB(l cpu.Level, dst []float32, b Dense, p, depth, j, cols int) {
	lanes := shapes[l].lanes
	if depth == 0 {
		return
	}
	if b.Trans { // columns follow each other in memory
		for q := 0; q < cols; q += lanes {
			for i := range lanes {
				g.offsets[i] = (j+q+min(i, cols-q-1))*b.Stride + p
			}
			packPanel(l, dst[q*depth:][:lanes*depth], g.norms[:2*lanes], b.Data, g.offsets[:lanes], depth)
		}
		return
	}
	src, whole := b.Data[p*b.Stride+j:], cols/lanes*lanes
	columns(l, dst, src, lanes, cols/lanes, depth, b.Stride)
	for d := 0; whole < cols && d < depth; d++ {
		copy(dst[whole*depth+d*lanes:], src[d*b.Stride:][whole:cols])
	}
}

// columnsGeneric copies pieces of size values of each row of src to [piece][depth][size] in dst.
func columnsGeneric(dst, src []float32, size, pieces, depth, stride int) {
	for d := range depth {
		for p := range pieces {
			copy(dst[(p*depth+d)*size:][:size], src[d*stride+p*size:])
		}
	}
}

// gemmStride is how far rows of a block of a lie apart: an odd number of cache lines, so that the same column of several
// rows does not meet in one set of the cache.
func gemmStride(depth int) int { return (depth+15)/16/2*32 + 16 }

// gemmDirect says whether tiles read a where it is: not where the same column of its rows meets in one set of the cache, and
// not with AVX2, whose small tiles ran a tenth slower so.
func gemmDirect(l cpu.Level, a Dense) bool { return l != cpu.AVX2 && !a.Trans && a.Stride%1024 != 0 }

// packA lays out rows i to end and columns p to p+depth of a: rows gemmStride apart, or, if a is transposed, each tile
// as [depth][size].
func (g *gemm) packA(l cpu.Level, a Dense, i, end, p, depth int) {
	size := shapes[l].sizes[0]
	whole := (end - i) / size
	if !a.Trans {
		stride := gemmStride(depth)
		if gemmDirect(l, a) {
			i += whole * size
		}
		for r := i; r < end; r++ {
			copy(g.a[(r-i)*stride:][:depth], a.Data[r*a.Stride+p:])
		}
		return
	}
	if depth == 0 {
		return
	}
	src := a.Data[p*a.Stride+i:]
	columns(l, g.a, src, size, whole, depth, a.Stride)
	at := g.a[whole*size*depth:]
	for i += whole * size; i < end; {
		size := gemmSize(l, end-i)
		n := min(size, end-i)
		for d := range depth {
			copy(at[d*size:][:n], a.Data[(p+d)*a.Stride+i:])
		}
		i, at = i+n, at[size*depth:]
	}
}

// tiles works through a block: a is packed, and b in block.
func (g *gemm) tiles(l cpu.Level, c, a Dense, block []float32, p, i, end, j, cols int, t tileOf) {
	lanes := shapes[l].lanes
	at := g.a
	for i < end {
		size := gemmSize(l, end-i)
		rows := min(size, end-i)
		from, row, step := at, gemmStride(t.depth), 1
		switch {
		case a.Trans:
			row, step = 1, size
			at = at[size*t.depth:]
		case t.depth > 0 && rows == size && gemmDirect(l, a):
			from, row = a.Data[i*a.Stride+p:], a.Stride
		default:
			at = at[rows*row:]
		}
		for q := 0; q < cols; q += lanes {
			panel := block[q*t.depth:]
			t := t
			if t.bias != nil {
				t.bias = t.bias[q:]
			}
			if width := min(lanes, cols-q); rows == size && width == lanes {
				gemmTile(l, size, c.Data[i*c.Stride+j+q:], c.Stride, from, row, step, panel, t)
			} else {
				for r := range rows {
					copy(g.tile[r*lanes:], c.Data[(i+r)*c.Stride+j+q:][:width])
				}
				gemmTile(l, size, g.tile, lanes, from, row, step, panel, t)
				for r := range rows {
					copy(c.Data[(i+r)*c.Stride+j+q:][:width], g.tile[r*lanes:])
				}
			}
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
