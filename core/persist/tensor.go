package persist

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// Tensor is an array of a model. Data holds it row by row; if Ints is not nil, the array is one of integers, which stand
// there instead. Without a Shape it is a single number.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
	Ints  []int64
}

// size returns how many values the shape asks for, or an ErrFormat if that is more than most.
func size(shape []int, most int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > maxCount {
			return 0, fmt.Errorf("%w: a shape of %v, want dimensions of 0 to %d", core.ErrFormat, shape, maxCount)
		}
		if n > 0 && int64(d) > most/n {
			return 0, fmt.Errorf("%w: a shape of %v, more than %d values, all that the file can hold", core.ErrFormat, shape, most)
		}
		n *= int64(d)
	}
	return n, nil
}

// dtype is how a file stores a value; names are those of safetensors.
type dtype struct {
	name string
	size int64
	put  func(t *Tensor, b []byte) // appends the values in b, little-endian
}

var dtypes = map[string]dtype{
	"F32":  {"F32", 4, floats(4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })},
	"F64":  {"F64", 8, floats(8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) })},
	"F16":  {"F16", 2, floats(2, func(b []byte) float32 { return half(binary.LittleEndian.Uint16(b)) })},
	"BF16": {"BF16", 2, floats(2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) })},
	"I64":  {"I64", 8, integers(8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })},
	"I32":  {"I32", 4, integers(4, func(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) })},
}

func floats(size int, value func(b []byte) float32) func(t *Tensor, b []byte) {
	return func(t *Tensor, b []byte) {
		for ; len(b) > 0; b = b[size:] {
			t.Data = append(t.Data, value(b))
		}
	}
}

func integers(size int, value func(b []byte) int64) func(t *Tensor, b []byte) {
	return func(t *Tensor, b []byte) {
		for ; len(b) > 0; b = b[size:] {
			t.Ints = append(t.Ints, value(b))
		}
	}
}

// half is the value of an IEEE half.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, int(h>>10&31), uint32(h&1023)
	switch {
	case exponent == 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	case exponent == 0:
		return float32(math.Copysign(math.Ldexp(float64(fraction), -24), float64(int32(sign|1))))
	}
	return math.Float32frombits(sign | uint32(exponent+112)<<23 | fraction<<13)
}

// readValues reads n values of t, which the caller has found to be in the file.
func readValues(r io.Reader, t *Tensor, d dtype, n int64) error {
	if d.name[0] == 'I' {
		t.Ints = make([]int64, 0, n)
	} else {
		t.Data = make([]float32, 0, n)
	}
	buf := make([]byte, min(1<<16, n*d.size)) // a multiple of every size
	for left := n * d.size; left > 0; left -= int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), left)]
		if _, err := io.ReadFull(r, buf); err != nil {
			return unexpectedEOF(err)
		}
		d.put(t, buf)
	}
	return nil
}

// writeValues writes t's values as F32 or I64.
func writeValues(w io.Writer, t Tensor) error {
	buf := make([]byte, 0, 1<<16)
	flush := func(least int) error {
		if len(buf) < least {
			return nil
		}
		_, err := w.Write(buf)
		buf = buf[:0]
		return err
	}
	for _, v := range t.Data {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if err := flush(1 << 16); err != nil {
			return err
		}
	}
	for _, v := range t.Ints {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(v))
		if err := flush(1 << 16); err != nil {
			return err
		}
	}
	return flush(1)
}
