package f32

import "math"

// Rounded centroids stand in panels of one or two vectors, [quads][vector][lane]: a lane holds four neighbouring elements of
// its centroid as signed bytes, the first in the lowest bits. Rounded rows are unsigned bytes, row after row. A tile is the
// product of a few rows and a panel: one lane of one register sums all products of a row and a centroid.

// roughShape is how a kind of kernel takes rounded rows and centroids.
type roughShape struct {
	lanes int    // centroids in a vector
	rows  [2]int // rows in a tile; the second is for what is left over at the end
}

var roughShapes = [...]roughShape{
	roughGo:     {maxRoughLanes, [2]int{4, 1}},
	roughAVX2:   {8, [2]int{4, 2}},
	roughAVX512: {16, [2]int{12, 4}},
	roughVNNI:   {16, [2]int{14, 4}},
}

// take returns the number of rows that the next tile takes where some are left.
func (s roughShape) take(left int) int {
	if left <= s.rows[1] {
		return s.rows[1]
	}
	return s.rows[0]
}

const (
	maxRoughLanes = 16
	roughUnroll   = 4    // quads that a tile takes at a time
	roughPart     = 1024 // elements whose dot product is an integer that float32 holds: 127 * 63 * 1024 < 2^24
)

// roughPanel is a panel's quads and, per centroid, what a sum starts from, w and b (see Rough8).
type roughPanel struct {
	quads        []uint32
	floats       []float32 // in place of quads for plain Go, [part][centroid][element] with at most roughPart elements a part
	starts       []int32
	weight, bias []float32
	slot         int // of the first centroid
}

// set fills the place of centroid j of the panel with its bytes, each q+64. It returns the sums of all q and q².
func (p *roughPanel) set(j int, bytes []uint8) (sum, norm int) {
	width := len(p.bias)
	for i := 0; i < len(bytes); i += 4 {
		b := bytes[i:][:4]
		s, t, u, v := int(b[0])-roughMiddle, int(b[1])-roughMiddle, int(b[2])-roughMiddle, int(b[3])-roughMiddle
		sum += s + t + u + v
		norm += s*s + t*t + u*u + v*v
		if p.floats == nil {
			p.quads[i/4*width+j] = uint32(uint8(s)) | uint32(uint8(t))<<8 | uint32(uint8(u))<<16 | uint32(uint8(v))<<24
			continue
		}
		first := i / roughPart * roughPart // of the part
		n := min(roughPart, len(bytes)-first)
		f := p.floats[first*width+j*n+i-first:][:4]
		f[0], f[1], f[2], f[3] = float32(s), float32(t), float32(u), float32(v)
	}
	return sum, norm
}

// roughTileGeneric keeps, per row and lane, the best score so far and its slot less its lane: state[row][0][lane] and
// state[row][1][lane] (an int32). The rows are stride bytes apart. It multiplies floats, which plain Go does faster.
func roughTileGeneric(state []float32, p roughPanel, rows []uint8, alpha []float32, stride, lanes int) {
	var x [roughPart]float32
	var dots [2 * maxRoughLanes]float32
	var sums [2 * maxRoughLanes]int32
	width := len(p.bias)
	padded := len(p.floats) / width
	for i, a := range alpha {
		row, best, id := rows[i*stride:][:padded], state[2*lanes*i:][:lanes], state[2*lanes*i+lanes:][:lanes]
		copy(sums[:], p.starts)
		for first := 0; first < padded; first += roughPart {
			n := min(roughPart, padded-first)
			for d, v := range row[first:][:n] {
				x[d] = float32(v)
			}
			dotsGeneric(dots[:width], x[:n], p.floats[first*width:][:n*width], n)
			for j := range width {
				sums[j] += int32(dots[j])
			}
		}
		for j, dot := range sums[:width] {
			score := float32(float32(float32(dot)*p.weight[j])*a) - p.bias[j]
			if lane := j % lanes; score > best[lane] {
				best[lane], id[lane] = score, math.Float32frombits(uint32(p.slot+j-lane))
			}
		}
	}
}

// roughCodesGeneric writes, for each row of state, the lowest slot of the best score.
func roughCodesGeneric(codes []int32, state []float32, lanes int) {
	for i := range codes {
		best, id := state[2*lanes*i:][:lanes], state[2*lanes*i+lanes:][:lanes]
		most := float32(math.Inf(-1))
		for lane, s := range best {
			slot := int32(math.Float32bits(id[lane])) + int32(lane)
			if s > most || s == most && slot < codes[i] {
				most, codes[i] = s, slot
			}
		}
	}
}

// roughRowGeneric writes q + 64 of each element to dst (see Rough8) and returns r. dst is undefined where 63/r overflows or r
// is not finite, and beyond the row.
func roughRowGeneric(dst []uint8, row, mean []float32) (most float32) {
	mean = mean[:len(row)]
	for i, v := range row {
		if d := v - mean[i]; d > most {
			most = d
		} else if -d > most {
			most = -d
		}
	}
	scale := roughMost / most
	for i, v := range row {
		d := v - mean[i]
		dst[i] = uint8(int32(math.RoundToEven(float64(d*scale))) + roughMiddle)
	}
	return most
}
