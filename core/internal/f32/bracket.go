package f32

import (
	"math"
	"unsafe"
)

// A word holds neighbouring elements of a quantized row or centroid: two of 16 bits, or four of 8 bits. Quantized centroids
// stand in panels of one or two vectors, [word][vector][lane], quantized rows as they are, row after row. A tile is the
// product of a few rows and a panel: one lane of one register sums all products of a row and a centroid.

// integers is a set of kernels for quantized rows.
type integers int

const (
	noIntegers integers = iota
	go16                // plain Go, for tests: these would take longer than float32
	go8
	avx2x16
	vnni8
)

// shapeInt is how a set of kernels takes rows and centroids.
type shapeInt struct {
	perWord int   // elements in a word
	lanes   int   // centroids in a vector
	rows    []int // rows in a tile, most first; fewer are for what is left over at the end
}

var shapesInt = [...]shapeInt{
	go16:    {2, 8, []int{4, 2}},
	go8:     {4, 16, []int{4, 2}},
	avx2x16: {2, 8, []int{6, 4, 2}},
	vnni8:   {4, 16, []int{14, 8, 4}},
}

// unroll is the number of words that a tile takes at a time.
const unroll = 4

// take returns the number of rows that the next tile takes where some are left.
func (s shapeInt) take(left int) int {
	size := s.rows[0]
	for _, z := range s.rows[1:] {
		if left <= z {
			size = z
		}
	}
	return size
}

// Per row, and per centroid, a tile reads numbers x and c. The score's estimate is s = x[0] c[0] (dot product + c[4]) + c[3],
// and it is off by x[1] c[1] + x[2] c[2] + x[3] at most.
const (
	perRow      = 4
	perCentroid = 5 // the last is an int32
)

// bracketTileGeneric sets up[row*slots+centroid] to what each score is at most, and low[row][lane] to what the best of a
// lane's is at least, if that is more than it holds. Rows are stride words apart. params holds x of each row, and table
// c of each centroid, [vector][5][lane].
func bracketTileGeneric(kind integers, low, up []float32, panel, rows []uint32, params, table []float32, slots, stride int) {
	shape := shapesInt[kind]
	width := len(table) / perCentroid
	words := len(panel) / width
	for i := range len(params) / perRow {
		for j := range width {
			least, most := bracketOne(kind, panel, table, j, rows[i*stride:][:words], params[i*perRow:][:perRow])
			up[i*slots+j] = most
			low[i*shape.lanes+j%shape.lanes] = max(low[i*shape.lanes+j%shape.lanes], least)
		}
	}
}

// bracketOne is what the score of a row and centroid j of the panel is at least and at most.
func bracketOne(kind integers, panel []uint32, table []float32, j int, row []uint32, x []float32) (least, most float32) {
	shape, width := shapesInt[kind], len(table)/perCentroid
	var dot int32
	for w, r := range row {
		dot += wordProduct(shape.perWord, r, panel[w*width+j])
	}
	return bracketOf(dot, table[j/shape.lanes*perCentroid*shape.lanes+j%shape.lanes:], shape.lanes, x)
}

// wordProduct is the sum of the products of a word's elements, of a row and of a centroid.
func wordProduct(perWord int, row, centroid uint32) int32 {
	if perWord == 2 {
		r, v := (*[2]int16)(unsafe.Pointer(&row)), (*[2]int16)(unsafe.Pointer(&centroid))
		return int32(r[0])*int32(v[0]) + int32(r[1])*int32(v[1])
	}
	r, v := (*[4]uint8)(unsafe.Pointer(&row)), (*[4]int8)(unsafe.Pointer(&centroid))
	return int32(r[0])*int32(v[0]) + int32(r[1])*int32(v[1]) + int32(r[2])*int32(v[2]) + int32(r[3])*int32(v[3])
}

// bracketOf is what a score is at least and at most, from the product of integers, the numbers of the centroid, which
// stand lanes apart, and those of the row.
func bracketOf(dot int32, column []float32, lanes int, x []float32) (least, most float32) {
	c := func(n int) float32 { return column[n*lanes] }
	dot += int32(math.Float32bits(c(4)))
	s := float32(float32(float32(dot)*c(0))*x[0]) + c(3)
	e := float32(c(1)*x[1]) + x[3]
	e += float32(c(2) * x[2])
	most = s + e
	return s + (s - most), most
}

// survivorsGeneric sets bit i%8 of mask[i/8] where up[i] is not less than all of low, and clears it elsewhere.
func survivorsGeneric(mask []uint8, low, up []float32) {
	limit := float32(math.Inf(-1))
	for _, v := range low {
		limit = max(limit, v)
	}
	clear(mask)
	for i, v := range up {
		if v >= limit {
			mask[i/8] |= 1 << (i % 8)
		}
	}
}

// measureGeneric returns the sum of the squares and the greatest absolute value.
func measureGeneric(x []float32) (sum, most float32) {
	for _, v := range x {
		sum += float32(v * v)
		most = max(most, v, -v)
	}
	return sum, most
}

// quantize8Generic sets dst[i] to row[i]*scale + 128, the product rounded to the nearest integer, which must lie within
// ±127, and what follows up to a multiple of 16 to 128. It returns the sum of (row[i]*scale - dst[i] + 128)².
func quantize8Generic(dst []uint8, row []float32, scale float32) (sum float32) {
	for i, v := range row {
		n := math.RoundToEven(float64(v * scale))
		e := float32(math.FMA(float64(v), float64(scale), -n))
		dst[i] = uint8(int(n) + 128)
		sum += float32(e * e)
	}
	for i := len(row); i < (len(row)+15)&^15; i++ {
		dst[i] = 128
	}
	return sum
}

func as16(words []uint32) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(&words[0])), 2*len(words))
}

func as8(words []uint32) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(&words[0])), 4*len(words))
}
