package persist

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"

	"github.com/semantic-id/semantic-id/core"
)

// maxHeader bounds the header of a .npy file, as NumPy does. A header for two dimensions has 118 bytes.
const maxHeader = 10000

// npyHeader matches what every NumPy writes for an array of a plain dtype and two dimensions.
var npyHeader = regexp.MustCompile(`^\{ *'descr': *'([^'\\]*)', *'fortran_order': *(True|False), *'shape': *\(([0-9]{1,10}), *([0-9]{1,10}),?\),? *\} *\n?$`)

// npyArray says what a .npy file holds: rows x cols values of size bytes each, '<f4' (4) or '<f8' (8).
type npyArray struct {
	rows, cols uint64
	size       uint64
	fortran    bool // column after column
	header     uint64
}

// bytes is the length of the whole file; for fewer than 2^60 values, which the caller sees to, it does not overflow.
func (a npyArray) bytes() uint64 { return a.header + a.rows*a.cols*a.size }

// readNPYHeader reads all that stands before the values.
func readNPYHeader(r io.Reader) (npyArray, error) {
	var a npyArray
	start := make([]byte, 8, 12)
	if _, err := io.ReadFull(r, start); err != nil {
		return a, unexpectedEOF(err)
	}
	lengthBytes := 4
	if string(start[:6]) != "\x93NUMPY" {
		return a, fmt.Errorf("%w: not a .npy array", core.ErrFormat)
	}
	switch {
	case start[6] == 1 && start[7] == 0:
		lengthBytes = 2
	case (start[6] == 2 || start[6] == 3) && start[7] == 0:
	default:
		return a, fmt.Errorf("%w: .npy version %d.%d, want 1.0, 2.0 or 3.0", core.ErrFormat, start[6], start[7])
	}
	var length [4]byte
	if _, err := io.ReadFull(r, length[:lengthBytes]); err != nil {
		return a, unexpectedEOF(err)
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > maxHeader {
		return a, fmt.Errorf("%w: .npy header of %d bytes, want at most %d", core.ErrFormat, n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return a, unexpectedEOF(err)
	}
	m := npyHeader.FindSubmatch(text)
	if m == nil {
		return a, fmt.Errorf("%w: .npy header %.100q, want a two-dimensional array of '<f4' or '<f8'", core.ErrFormat, bytes.TrimSpace(text))
	}
	switch descr := string(m[1]); descr {
	case "<f4":
		a.size = 4
	case "<f8":
		a.size = 8
	default:
		return a, fmt.Errorf("%w: dtype %.20q, want '<f4' or '<f8'", core.ErrFormat, descr)
	}
	a.fortran = string(m[2]) == "True"
	a.rows, _ = strconv.ParseUint(string(m[3]), 10, 64) // at most ten digits
	a.cols, _ = strconv.ParseUint(string(m[4]), 10, 64)
	a.header = uint64(8 + lengthBytes + int(n))
	return a, nil
}

// ReadNPYShape reads all that stands before the values of a .npy file of float32 rows, and returns how many bytes that is.
// Other contents are an ErrFormat.
func ReadNPYShape(r io.Reader) (rows, cols, header int, err error) {
	a, err := readNPYHeader(r)
	if err != nil {
		return 0, 0, 0, err
	}
	if a.size != 4 || a.fortran {
		return 0, 0, 0, fmt.Errorf("%w: want float32 in C order: numpy.ascontiguousarray(x, numpy.float32)", core.ErrFormat)
	}
	if a.cols > 0 && a.rows > (math.MaxInt-a.header)/4/a.cols {
		return 0, 0, 0, fmt.Errorf("%w: %d rows of %d columns are more than an address space holds", core.ErrFormat, a.rows, a.cols)
	}
	return int(a.rows), int(a.cols), int(a.header), nil
}

// readNPYValues reads the values as float32 rows. The caller has checked the shape and that memory for it is reasonable.
func readNPYValues(r io.Reader, a npyArray) (core.Matrix, error) {
	m := core.NewMatrix(int(a.rows), int(a.cols))
	size := int(a.size)
	buf := make([]byte, min(1<<16, len(m.Data)*size))
	for done := 0; done < len(m.Data); {
		part := buf[:min(len(buf), (len(m.Data)-done)*size)]
		if _, err := io.ReadFull(r, part); err != nil {
			return m, unexpectedEOF(err)
		}
		for ; len(part) > 0; part = part[size:] {
			var v float32
			if size == 4 {
				v = math.Float32frombits(binary.LittleEndian.Uint32(part))
			} else {
				v = float32(math.Float64frombits(binary.LittleEndian.Uint64(part)))
			}
			at := done
			if a.fortran {
				at = done%m.Rows*m.Cols + done/m.Rows
			}
			m.Data[at] = v
			done++
		}
	}
	return m, nil
}

// writeNPY writes m as NumPy writes a C-ordered float32 array, version 1.0.
func writeNPY(w io.Writer, m core.Matrix) error {
	text := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", m.Rows, m.Cols)
	pad := 63 - (10+len(text))%64 // the values begin at a multiple of 64 bytes, after a newline
	head := append([]byte("\x93NUMPY\x01\x00"), byte(len(text)+pad+1), 0)
	head = append(head, text...)
	head = append(head, bytes.Repeat([]byte{' '}, pad)...)
	head = append(head, '\n')
	if _, err := w.Write(head); err != nil {
		return err
	}
	buf := make([]byte, 0, 1<<16)
	for i, v := range m.Data {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf) == cap(buf) || i == len(m.Data)-1 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}

// unexpectedEOF makes the end of a file in the wrong place an ErrFormat.
func unexpectedEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: ends too early", core.ErrFormat)
	}
	return err
}
