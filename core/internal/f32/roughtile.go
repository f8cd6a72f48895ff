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
	roughGo:     {4, [2]int{4, 1}},
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

const roughUnroll = 4 // quads that a tile takes at a time

// roughPanel is a panel's quads and, per centroid, what a sum starts from, w and b (see Rough8).
type roughPanel struct {
	quads        []uint32
	starts       []int32
	weight, bias []float32
	slot         int // of the first centroid
}

// roughTileGeneric keeps, per row and lane, the best score so far and its slot less its lane: state[row][0][lane] and
// state[row][1][lane] (an int32). The rows are stride bytes apart.
func roughTileGeneric(state []float32, p roughPanel, rows []uint8, alpha []float32, stride, lanes int) {
	width := len(p.bias)
	quads := len(p.quads) / width
	for i, a := range alpha {
		row, best, id := rows[i*stride:][:4*quads], state[2*lanes*i:][:lanes], state[2*lanes*i+lanes:][:lanes]
		for h := 0; h < width; h += 4 {
			s, t, u, v := p.starts[h], p.starts[h+1], p.starts[h+2], p.starts[h+3]
			for q := range quads {
				c, x := p.quads[q*width+h:][:4], row[4*q:][:4]
				s, t, u, v = s+roughDot(c[0], x), t+roughDot(c[1], x), u+roughDot(c[2], x), v+roughDot(c[3], x)
			}
			for j, dot := range [4]int32{s, t, u, v} {
				lane := (h + j) % lanes
				score := float32(float32(float32(dot)*p.weight[h+j])*a) - p.bias[h+j]
				if score > best[lane] {
					best[lane], id[lane] = score, math.Float32frombits(uint32(p.slot+h+j-lane))
				}
			}
		}
	}
}

func roughDot(c uint32, x []uint8) int32 {
	return int32(int8(c))*int32(x[0]) + int32(int8(c>>8))*int32(x[1]) + int32(int8(c>>16))*int32(x[2]) + int32(int8(c>>24))*int32(x[3])
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
