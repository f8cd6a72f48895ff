package f32

import (
	"fmt"
	"unsafe"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// Panels holds rows in the order in which the kernels read them. The zero value is ready to Pack, which keeps the memory
// of an earlier Pack where it fits. After that any number of goroutines may use it at once.
type Panels struct {
	Rows, Dim int

	level cpu.Level
	data  []float32 // panels of [Dim][lanes]
	norms []float32 // per panel: what packPanel sums up
}

// Pack takes all rows of dim elements, row-major in rows, which it copies.
func (p *Panels) Pack(rows []float32, dim int) {
	if dim < 1 || len(rows)%dim != 0 {
		panic(fmt.Sprintf("f32: %d values for rows of %d elements", len(rows), dim))
	}
	p.packAll(cpu.Use(), rows, dim)
}

func (p *Panels) packAll(l cpu.Level, rows []float32, dim int) {
	p.pack(l, rows, dim, len(rows)/dim, func(i int) int { return i * dim })
}

func (p *Panels) pack(l cpu.Level, rows []float32, dim, n int, offset func(i int) int) {
	p.Rows, p.Dim, p.level = n, dim, l
	lanes := shapes[l].lanes
	size := lanes * dim
	if need := p.count() * size; cap(p.data) < need {
		p.data = aligned(need)
	}
	p.data = p.data[:p.count()*size]
	p.norms = resize(p.norms, p.count()*2*lanes)
	var offsets [maxLanes]int
	for q := range p.count() {
		for i := range lanes {
			offsets[i] = offset(min(q*lanes+i, n-1)) // lanes left over repeat the last row
		}
		packPanel(l, p.data[q*size:][:size], p.norms[q*2*lanes:], rows, offsets[:lanes], dim)
	}
}

// normsOf returns what packPanel summed up for row i.
func (p *Panels) normsOf(i int) (norm, prefix float32) {
	lanes := shapes[p.level].lanes
	at := i/lanes*2*lanes + i%lanes
	return p.norms[at], p.norms[at+lanes]
}

// row copies row i into dst.
// SqDists64 sets dst[j*Rows+i] to SqDist64 of row i and point j, row-major in points, Dim elements each. It panics
// unless len(dst) is Rows times the number of points.
func (p *Panels) SqDists64(dst []float64, points []float32) {
	n := len(points) / max(1, p.Dim)
	if len(points) != n*p.Dim || len(dst) != n*p.Rows {
		panic(fmt.Sprintf("f32: %d values for points of %d elements, room for %d distances to %d rows", len(points), p.Dim, len(dst), p.Rows))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.points = resize(s.points, len(points))
	for j := 0; j < n; j += 2 { // two by two, [Dim][2]
		size := min(2, n-j)
		for i := range size {
			for d, v := range points[(j+i)*p.Dim:][:p.Dim] {
				s.points[j*p.Dim+d*size+i] = float64(v)
			}
		}
	}
	lanes := shapes[p.level].lanes
	var tile [2 * maxLanes]float64
	for q := range p.count() {
		panel := p.data[q*lanes*p.Dim:][:lanes*p.Dim]
		for j := 0; j < n; j += 2 {
			size := min(2, n-j)
			exactTile(p.level, tile[:], panel, s.points[j*p.Dim:][:size*p.Dim], p.Dim)
			for i := range size {
				copy(dst[(j+i)*p.Rows:][:p.Rows][q*lanes:], tile[i*lanes:][:lanes])
			}
		}
	}
}

// count returns the number of panels.
func (p *Panels) count() int {
	lanes := shapes[p.level].lanes
	return (p.Rows + lanes - 1) / lanes
}

// blockRows returns how many rows to pack at once: 128 KiB of panels. A usual L2 cache of 1 MiB then holds them, the
// rows fetched ahead for the next block, and 256 centroids of 384 elements; with 256 KiB the rows fetched ahead were
// mostly gone again before their turn, and packing took 200 ns a row instead of 60.
func blockRows(l cpu.Level, dim int) int {
	lanes := shapes[l].lanes
	return lanes * min(max(1, 128<<10/(4*lanes*dim)), 1024/lanes)
}

// aligned returns n zeros that start on a cache line, so that no vector of a panel lies across two.
func aligned(n int) []float32 {
	s := make([]float32, n+15)
	skip := (64 - int(uintptr(unsafe.Pointer(&s[0]))%64)) % 64 / 4
	return s[skip:][:n:n]
}

// resize returns s with length n, in new memory if it must; the contents are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
