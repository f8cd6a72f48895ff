package f32

import "math"

// Quantized centroids stand in panels of one or two vectors, [pairs][vector][lane]: a lane holds two neighbouring elements of
// its centroid, the first in the lower bits. Quantized rows stay as they are, row after row. A tile is the product of a few rows and a panel: one lane of
// one register sums all products of a row and a centroid.

// shape16 is how a kind of kernel takes quantized rows and centroids.
type shape16 struct {
	lanes int   // centroids in a vector
	rows  []int // rows in a tile, most first; fewer are for what is left over at the end
}

// take returns the number of rows that the next tile takes where some are left.
func (s shape16) take(left int) int {
	size := s.rows[0]
	for _, z := range s.rows[1:] {
		if left <= z {
			size = z
		}
	}
	return size
}

var shapes16 = [...]shape16{
	go16:   {8, []int{4, 2}},
	avx216: {8, []int{6, 4, 2}},
	vnni16: {16, []int{14, 8, 4}},
}

const pairs16 = 4 // pairs of elements that a tile takes at a time

// nearestTile16Generic keeps, per row and lane, the best score so far, the second best and the best one's slot less its
// lane: state[row][0][lane], state[row][1][lane] and state[row][2][lane] (an int32). A score is alpha[row] times a dot
// product plus the centroid's bias; the rows are stride elements apart, and the first centroid's slot is given.
func nearestTile16Generic(state []float32, panel []uint32, rows []int16, alpha, bias []float32, stride, slot, lanes int) {
	vectors, pairs := len(bias)/lanes, len(panel)/len(bias)
	for i, a := range alpha {
		row, s := rows[i*stride:][:2*pairs], state[3*lanes*i:][:3*lanes]
		best, second, id := s[:lanes], s[lanes:2*lanes], s[2*lanes:]
		for h := range vectors {
			for lane := range lanes {
				var dot int32
				for p := range pairs {
					c := panel[(p*vectors+h)*lanes+lane]
					dot += int32(row[2*p])*int32(int16(c)) + int32(row[2*p+1])*int32(int16(c>>16))
				}
				score := float32(float32(dot)*a) + bias[h*lanes+lane]
				second[lane] = max(second[lane], min(best[lane], score))
				if score > best[lane] {
					best[lane] = score
					id[lane] = math.Float32frombits(uint32(slot + h*lanes))
				}
			}
		}
	}
}

// best16Generic writes, for each row of state, the best score over all lanes, the second best, and the best one's slot (an
// int32).
func best16Generic(best, state []float32, lanes int) {
	for ; len(best) > 0; best, state = best[3:], state[3*lanes:] {
		first, second, slot := float32(math.Inf(-1)), float32(math.Inf(-1)), uint32(0)
		for lane := range lanes {
			s := state[lane]
			second = max(second, min(first, s), state[lanes+lane])
			if s > first {
				first, slot = s, math.Float32bits(state[2*lanes+lane])+uint32(lane)
			}
		}
		best[0], best[1], best[2] = first, second, math.Float32frombits(slot)
	}
}
