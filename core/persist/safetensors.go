package persist

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/semantic-id/semantic-id/core"
)

// maxTensorHeader bounds the names and shapes of a safetensors file, in bytes. A tensor takes about a hundred.
const maxTensorHeader = 16 << 20

// WriteSafetensors writes tensors in their order as a safetensors file
// (https://huggingface.co/docs/safetensors): F32, or I64 where Ints is not nil. notes, which may be nil, become its
// __metadata__. Equal arguments give equal bytes.
func WriteSafetensors(w io.Writer, tensors []Tensor, notes map[string]string) error {
	var header bytes.Buffer
	header.WriteByte('{')
	entry := func(name string, value any) error {
		if header.Len() > 1 {
			header.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		text, err := json.Marshal(value) // maps in the order of their keys
		if err != nil {
			return err
		}
		header.Write(key)
		header.WriteByte(':')
		header.Write(text)
		return nil
	}
	if notes != nil {
		if err := entry("__metadata__", notes); err != nil {
			return err
		}
	}
	type info struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	at := int64(0)
	seen := map[string]bool{"__metadata__": true}
	for _, t := range tensors {
		i := info{DType: "F32", Shape: append([]int{}, t.Shape...)}
		bytes, values := 4*int64(len(t.Data)), len(t.Data)
		if t.Ints != nil {
			i.DType, bytes, values = "I64", 8*int64(len(t.Ints)), len(t.Ints)
		}
		if n, err := size(t.Shape, int64(values)); err != nil || n != int64(values) || seen[t.Name] || t.Ints != nil && t.Data != nil {
			return fmt.Errorf("%w: tensor %q of shape %v with %d values cannot be saved: the name comes twice, or the shape does not fit",
				core.ErrShape, t.Name, t.Shape, values)
		}
		seen[t.Name] = true
		i.Offsets = [2]int64{at, at + bytes}
		at += bytes
		if err := entry(t.Name, i); err != nil {
			return err
		}
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 { // values begin at a multiple of eight
		header.WriteByte(' ')
	}
	if header.Len() > maxTensorHeader {
		return fmt.Errorf("%w: the names and shapes of %d tensors take %d bytes, at most %d can be saved", core.ErrParam, len(tensors), header.Len(), maxTensorHeader)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(header.Len()))); err != nil {
		return err
	}
	if _, err := w.Write(header.Bytes()); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := writeValues(w, t); err != nil {
			return err
		}
	}
	return nil
}

// ReadSafetensors reads a safetensors file of length bytes: its tensors in the order of their values, and its
// __metadata__. F64, F16 and BF16 become float32, I32 becomes int64; other types are an ErrFormat, as is everything else
// that the format does not allow: names that come twice, values that overlap, leave gaps or end elsewhere than the file.
func ReadSafetensors(r io.ReaderAt, length int64) ([]Tensor, map[string]string, error) {
	var start [8]byte
	if _, err := r.ReadAt(start[:], 0); err != nil {
		return nil, nil, unexpectedEOF(err)
	}
	n := binary.LittleEndian.Uint64(start[:])
	if n > maxTensorHeader || int64(n) > length-8 {
		return nil, nil, fmt.Errorf("%w: a header of %d bytes in a file of %d; want at most %d", core.ErrFormat, n, length, maxTensorHeader)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil && err != io.EOF {
		return nil, nil, err
	}
	places, notes, err := parseTensors(text, length-8-int64(n))
	if err != nil {
		return nil, nil, err
	}
	tensors := make([]Tensor, len(places))
	for i, p := range places {
		t := Tensor{Name: p.name, Shape: p.shape}
		in := io.NewSectionReader(r, 8+int64(n)+p.from, p.to-p.from)
		if err := readValues(in, &t, p.dtype, (p.to-p.from)/p.dtype.size); err != nil {
			return nil, nil, fmt.Errorf("tensor %.80q: %w", p.name, err)
		}
		tensors[i] = t
	}
	return tensors, notes, nil
}

// place is a tensor before its values are read.
type place struct {
	name     string
	dtype    dtype
	shape    []int
	from, to int64 // bytes
}

// parseTensors reads the header of a file with this many bytes of values.
func parseTensors(text []byte, values int64) ([]place, map[string]string, error) {
	fail := func(format string, args ...any) ([]place, map[string]string, error) {
		return nil, nil, fmt.Errorf("%w: %s", core.ErrFormat, fmt.Sprintf(format, args...))
	}
	entries, err := objectEntries(text)
	if err != nil {
		return fail("the header is not JSON: %v", err)
	}
	var places []place
	var notes map[string]string
	for _, e := range entries {
		if e.key == "__metadata__" {
			if err := json.Unmarshal(e.value, &notes); err != nil {
				return fail("__metadata__ is %.40s, want an object of strings", e.value)
			}
			continue
		}
		var fields map[string]json.RawMessage
		var name string
		var offsets []int64
		p := place{name: e.key}
		if json.Unmarshal(e.value, &fields) != nil || json.Unmarshal(fields["dtype"], &name) != nil ||
			json.Unmarshal(fields["shape"], &p.shape) != nil || json.Unmarshal(fields["data_offsets"], &offsets) != nil || len(offsets) != 2 {
			return fail("tensor %.80q: %.200s, want dtype, shape and two data_offsets", e.key, e.value)
		}
		d, ok := dtypes[name]
		if !ok {
			return fail("tensor %.80q: dtype %.20q, want F32, F64, F16, BF16, I64 or I32", e.key, name)
		}
		n, err := size(p.shape, values)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %.80q: %w", e.key, err)
		}
		p.dtype, p.from, p.to = d, offsets[0], offsets[1]
		if p.from < 0 || p.from > p.to || p.to > values || p.to-p.from != n*d.size { // no overflow: n is at most values, which are bytes
			return fail("tensor %.80q: bytes %d to %d of %d, want %d for %v of %s", e.key, p.from, p.to, values, n*d.size, p.shape, name)
		}
		places = append(places, p)
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	at := int64(0)
	for _, p := range places {
		if p.from != at {
			return fail("tensor %.80q begins at byte %d, the one before ends at %d", p.name, p.from, at)
		}
		at = p.to
	}
	if at != values {
		return fail("the tensors have %d bytes, the file has %d for them", at, values)
	}
	return places, notes, nil
}

type jsonEntry struct {
	key   string
	value json.RawMessage
}

// objectEntries returns what is in a JSON object. A key that comes twice is an error: readers differ on which counts.
func objectEntries(text []byte) ([]jsonEntry, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it begins with %.20q", text)
	}
	var entries []jsonEntry
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		e := jsonEntry{key: t.(string)} // a token in this place is a string or an error
		if err := d.Decode(&e.value); err != nil {
			return nil, err
		}
		if seen[e.key] {
			return nil, fmt.Errorf("%.80q comes twice", e.key)
		}
		seen[e.key] = true
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if rest := bytes.TrimRight(text[d.InputOffset():], " \n\t\r"); len(rest) > 0 {
		return nil, fmt.Errorf("%.20q follows the object", rest)
	}
	return entries, nil
}
