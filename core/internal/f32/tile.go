package f32

import (
	"unsafe"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// A panel is `lanes` rows transposed, [dim][lanes], so that one vector holds one dimension of neighbouring rows. A
// group is a few centroids transposed, [dim][size]. A tile is the product of a panel and a group: every sum is one
// lane of one register from the first dimension to the last, and there is nothing to add across lanes at the end.

// shape is how a CPU level lays out panels and groups.
type shape struct {
	lanes int   // rows in a panel
	sizes []int // centroids in a group, largest first; smaller ones are for what is left over at the end
}

var shapes = [...]shape{
	cpu.Generic: {4, []int{8, 4, 2}},
	cpu.AVX2:    {16, []int{6, 4, 2}},
	cpu.AVX512:  {32, []int{14, 8, 4, 2}},
}

const (
	maxLanes = 32
	maxGroup = 14
)

// nearestTileGeneric keeps, per row of a panel, the best score so far, the second best and the best one's id:
// state[0][lane], state[1][lane] and state[2][lane] (an int32). A score is a dot product plus the centroid's bias.
func nearestTileGeneric(state, panel, group, bias []float32, ids []int32, lanes, dim int) {
	best, second, id := state[:lanes], state[lanes:2*lanes], state[2*lanes:3*lanes]
	var sums [maxLanes * maxGroup]float32
	products(sums[:], panel, group, lanes, len(bias), dim)
	for j, b := range bias {
		for i, s := range sums[j*lanes : (j+1)*lanes] {
			s += b
			second[i] = max(second[i], min(best[i], s))
			if s > best[i] {
				best[i] = s
				*(*int32)(unsafe.Pointer(&id[i])) = ids[j]
			}
		}
	}
}

// scoresTileGeneric writes the scores of a tile to dst[centroid][lane].
func scoresTileGeneric(dst, panel, group, bias []float32, lanes, dim int) {
	products(dst, panel, group, lanes, len(bias), dim)
	for j, b := range bias {
		for i := range lanes {
			dst[j*lanes+i] += b
		}
	}
}

// products writes the dot products of a tile to dst[centroid][lane], two by two of them at a time.
func products(dst, panel, group []float32, lanes, size, dim int) {
	for i := 0; i < lanes; i += 2 {
		for j := 0; j < size; j += 2 {
			p, g := panel[i:], group[j:]
			var s00, s01, s10, s11 float32
			for d := 0; ; {
				x0, x1, y0, y1 := p[0], p[1], g[0], g[1]
				s00 += x0 * y0
				s01 += x1 * y0
				s10 += x0 * y1
				s11 += x1 * y1
				if d++; d == dim {
					break
				}
				p, g = p[lanes:], g[size:]
			}
			dst[j*lanes+i], dst[j*lanes+i+1] = s00, s01
			dst[(j+1)*lanes+i], dst[(j+1)*lanes+i+1] = s10, s11
		}
	}
}

// exactTileGeneric writes to dst[point][lane] the distances that define codes, of the rows of a panel to len(points)/dim
// points. points[d][point] is transposed, and converted to float64.
func exactTileGeneric(dst []float64, panel []float32, points []float64, lanes, dim int) {
	n := len(points) / dim
	for i := 0; i < lanes; i += 4 { // four chains of additions that need not wait for one another
		for j := range n {
			var s, t, u, v float64
			for d := range dim {
				x, y := panel[d*lanes+i:][:4], points[d*n+j]
				e, f, g, h := float64(x[0])-y, float64(x[1])-y, float64(x[2])-y, float64(x[3])-y
				s += float64(e * e)
				t += float64(f * f)
				u += float64(g * g)
				v += float64(h * h)
			}
			o := dst[j*lanes+i:][:4]
			o[0], o[1], o[2], o[3] = s, t, u, v
		}
	}
}

// packPanelGeneric writes to panel the rows that start at the given offsets (in elements of rows), one per lane, and
// two sums of squares per lane: norms[0][lane] over all dimensions, and norms[1][lane] the sum, over blocks of four
// dimensions, of the squares up to the end of the block.
func packPanelGeneric(panel, norms, rows []float32, offsets []int, dim int) {
	lanes := len(offsets)
	for i, o := range offsets {
		var norm, prefix float32
		row := rows[o : o+dim]
		for d := 0; d < dim; d += 4 {
			var block float32
			for e := d; e < min(d+4, dim); e++ {
				v := row[e]
				panel[e*lanes+i] = v
				block += v * v
			}
			norm += block
			prefix += norm
		}
		norms[i], norms[lanes+i] = norm, prefix
	}
}

// dotsGeneric writes to dst[i*n+j] the dot product of row i of rows, of which there are one or two, with row j of matrix,
// which has n.
func dotsGeneric(dst, rows, matrix []float32, dim int) {
	n := len(matrix) / dim
	for ; len(rows) > 0; dst, rows = dst[n:], rows[dim:] {
		j, row := 0, rows[:dim]
		for ; j+4 <= n; j += 4 {
			m := matrix[j*dim:]
			a, b, c, d := m[:dim], m[dim:][:dim], m[2*dim:][:dim], m[3*dim:][:dim]
			var s, t, u, v float32
			for i, x := range row {
				s += x * a[i]
				t += x * b[i]
				u += x * c[i]
				v += x * d[i]
			}
			dst[j], dst[j+1], dst[j+2], dst[j+3] = s, t, u, v
		}
		for ; j < n; j++ {
			var s float32
			m := matrix[j*dim:][:dim]
			for i, x := range row {
				s += x * m[i]
			}
			dst[j] = s
		}
	}
}
