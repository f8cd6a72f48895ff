package persist

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/semantic-id/semantic-id/core"
)

// maxPickle bounds the pickle in a file of PyTorch, in bytes. A tensor takes about two hundred.
const maxPickle = 16 << 20

// storages are the classes of PyTorch that hold a tensor's values.
var storages = map[string]string{
	"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16", "LongStorage": "I64", "IntStorage": "I32",
}

// ReadTorch reads the tensors of a dict that torch.save wrote (PyTorch 1.6 and later), in the dict's order, from a file of
// length bytes: a zip with a pickle beside the values. Of what a pickle can say it knows only tensors, dicts, lists, tuples,
// strings and numbers; it looks up no name and calls nothing. Everything else is an ErrFormat that names it.
func ReadTorch(r io.ReaderAt, length int64) ([]Tensor, error) {
	zr, err := zip.NewReader(r, length)
	if err != nil {
		return nil, zipError(err)
	}
	a := torchArchive{r: r, length: length, files: map[string]*zip.File{}}
	for _, f := range zr.File {
		if _, twice := a.files[f.Name]; twice {
			return nil, fmt.Errorf("%w: %.80q comes twice in the zip", core.ErrFormat, f.Name)
		}
		a.files[f.Name] = f
		if top, ok := strings.CutSuffix(f.Name, "/data.pkl"); ok && !strings.Contains(top, "/") {
			a.top = top
		}
	}
	pickle, err := a.bytes("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	if a.files[a.top+"/byteorder"] != nil {
		if order, err := a.bytes("byteorder", 16); err != nil || string(order) != "little" {
			return nil, fmt.Errorf("%w: byte order %q, want \"little\": load and save it on a usual machine first (%v)", core.ErrFormat, order, err)
		}
	}
	root, err := unpickle(pickle)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	d, ok := root.(*pickleDict)
	if !ok {
		return nil, fmt.Errorf("%w: the file holds %s, want a dict of tensors: torch.save(model.state_dict(), path)", core.ErrFormat, kindOf(root))
	}
	var tensors []Tensor
	seen := map[string]bool{}
	left := length // values of all tensors together: several may share a storage, but not to grow without bound
	for i, key := range d.keys {
		name, ok := key.(string)
		v, isTensor := d.values[i].(*pickleTensor)
		if !ok || !isTensor {
			return nil, fmt.Errorf("%w: %s under %s, want only tensors under names: torch.save(model.state_dict(), path)",
				core.ErrFormat, kindOf(d.values[i]), kindOf(key))
		}
		if seen[name] {
			return nil, fmt.Errorf("%w: tensor %.80q comes twice", core.ErrFormat, name)
		}
		seen[name] = true
		t, err := a.tensor(name, v, left)
		if err != nil {
			return nil, fmt.Errorf("tensor %.80q: %w", name, err)
		}
		left -= int64(len(t.Data) + len(t.Ints))
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// torchArchive is the zip: members of one folder, not compressed.
type torchArchive struct {
	r      io.ReaderAt
	length int64
	files  map[string]*zip.File
	top    string
}

// open returns a member and its length, which is within the file.
func (a torchArchive) open(name string) (io.ReadCloser, int64, error) {
	f := a.files[a.top+"/"+name]
	if f == nil {
		return nil, 0, fmt.Errorf("%w: no %s in the zip", core.ErrFormat, name)
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 || f.UncompressedSize64 > uint64(a.length) {
		return nil, 0, fmt.Errorf("%w: %s declares %d bytes by method %d, want them as they are, within the file's %d",
			core.ErrFormat, f.Name, f.UncompressedSize64, f.Method, a.length)
	}
	rc, err := f.Open()
	if err != nil {
		return nil, 0, zipError(err)
	}
	return rc, int64(f.UncompressedSize64), nil
}

func (a torchArchive) bytes(name string, most int64) ([]byte, error) {
	rc, n, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	if n > most {
		return nil, fmt.Errorf("%w: %s has %d bytes, want at most %d", core.ErrFormat, name, n, most)
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, zipError(err))
	}
	return b, nil
}

// tensor reads the values of v, of which there may be at most this many.
func (a torchArchive) tensor(name string, v *pickleTensor, most int64) (Tensor, error) {
	d := dtypes[storages[v.storage.class]]
	rc, bytes, err := a.open("data/" + v.storage.key)
	if err != nil {
		return Tensor{}, err
	}
	defer rc.Close()
	held := bytes / d.size
	if v.storage.values < 0 || v.storage.values > held || bytes != v.storage.values*d.size {
		return Tensor{}, fmt.Errorf("%w: storage %q has %d bytes, want %d values of %d", core.ErrFormat, v.storage.key, bytes, v.storage.values, d.size)
	}
	n, err := size(v.shape, min(most, held))
	if err != nil {
		return Tensor{}, err
	}
	last := v.offset // index of the last value
	if last < 0 || last > held {
		return Tensor{}, fmt.Errorf("%w: begins at value %d of %d", core.ErrFormat, last, held)
	}
	plain := int64(1) // the step between neighbours where rows follow each other
	contiguous := true
	for i := len(v.shape) - 1; i >= 0; i-- {
		step, many := v.strides[i], int64(v.shape[i])
		if n > 0 && many > 1 && (step < 1 || step > held || (many-1) > (held-last)/step) {
			return Tensor{}, fmt.Errorf("%w: shape %v by steps of %v goes beyond the %d values it has", core.ErrFormat, v.shape, v.strides, held)
		}
		if n > 0 && many > 1 {
			last += (many - 1) * step
			contiguous = contiguous && step == plain
		}
		plain *= max(many, 1)
	}
	if n > 0 && last >= held {
		return Tensor{}, fmt.Errorf("%w: shape %v from value %d goes beyond the %d values it has", core.ErrFormat, v.shape, v.offset, held)
	}
	all := Tensor{}
	if err := readValues(rc, &all, d, held); err != nil {
		return Tensor{}, zipError(err)
	}
	if k, err := rc.Read(make([]byte, 1)); k != 0 || err != io.EOF { // here archive/zip compares checksums
		return Tensor{}, fmt.Errorf("%w: storage %q: wrong length or checksum", core.ErrFormat, v.storage.key)
	}
	t := Tensor{Name: name, Shape: v.shape}
	if all.Ints != nil {
		t.Ints = strided(all.Ints, v, n, contiguous)
	} else {
		t.Data = strided(all.Data, v, n, contiguous)
	}
	return t, nil
}

// strided returns the n values of v in the order of its shape.
func strided[T any](all []T, v *pickleTensor, n int64, contiguous bool) []T {
	if contiguous {
		return slices.Clone(all[v.offset:][:n:n])
	}
	out := make([]T, 0, n)
	index := make([]int, len(v.shape))
	for at := v.offset; int64(len(out)) < n; {
		out = append(out, all[at])
		for i := len(index) - 1; i >= 0; i-- {
			index[i]++
			at += v.strides[i]
			if index[i] < v.shape[i] {
				break
			}
			at -= int64(index[i]) * v.strides[i]
			index[i] = 0
		}
	}
	return out
}

// What a pickle may build, beside nil, bool, int64, float64, string and *pickleGlobal.
type (
	pickleDict    struct{ keys, values []any }
	pickleList    struct{ items []any }
	pickleTuple   []any
	pickleGlobal  struct{ name string }
	pickleStorage struct {
		class, key string
		values     int64
	}
	pickleTensor struct {
		storage *pickleStorage
		offset  int64
		shape   []int
		strides []int64
	}
	pickleMark struct{}
)

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *pickleDict:
		return "a dict"
	case *pickleList:
		return "a list"
	case pickleTuple:
		return "a tuple"
	case *pickleGlobal:
		return v.name
	case *pickleTensor:
		return "a tensor"
	case *pickleStorage:
		return "a storage"
	case string:
		return fmt.Sprintf("%.80q", v)
	case pickleMark:
		return "a mark"
	}
	return fmt.Sprintf("%.40v", v)
}

const (
	orderedDict   = "collections.OrderedDict"
	rebuildTensor = "torch._utils._rebuild_tensor_v2"
)

// global returns the object of a name, if it is one of those a state_dict needs.
func global(module, name string) (any, error) {
	full := module + "." + name
	if full == orderedDict || full == rebuildTensor || module == "torch" && storages[name] != "" {
		return &pickleGlobal{full}, nil
	}
	return nil, fmt.Errorf("%w: it refers to %.200q, which is not part of a dict of tensors; it was not run. "+
		"Load it where you trust it and save model.state_dict()", core.ErrFormat, full)
}

// machine is a pickle machine that knows what torch.save writes for dicts of tensors, in protocols 2 to 5.
type machine struct {
	in    []byte
	stack []any
	memo  map[uint32]any
}

// errPickle is the panic of a pickle that is cut off or does not fit together.
var errPickle = errors.New("damaged")

func unpickle(in []byte) (root any, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errPickle { //nolint:errorlint // it is this value
				panic(r)
			}
			err = fmt.Errorf("%w: damaged, or no pickle", core.ErrFormat)
		}
	}()
	m := machine{in: in, memo: map[uint32]any{}}
	for {
		if op := m.take(1)[0]; op == '.' { // STOP
			return m.pop(), nil
		} else if err := m.do(op); err != nil {
			return nil, err
		}
	}
}

func (m *machine) take(n uint64) []byte {
	if n > uint64(len(m.in)) {
		panic(errPickle)
	}
	b := m.in[:n]
	m.in = m.in[n:]
	return b
}

// number reads n bytes, little-endian.
func (m *machine) number(n uint64) (v uint64) {
	for i, b := range m.take(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (m *machine) line() string {
	i := slices.Index(m.in, '\n')
	if i < 0 {
		panic(errPickle)
	}
	return strings.TrimSuffix(string(m.take(uint64(i)+1)), "\n")
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() any {
	if len(m.stack) == 0 {
		panic(errPickle)
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

// top pops a value of type T and stops if it is another.
func top[T any](m *machine) T {
	v, ok := m.pop().(T)
	if !ok {
		panic(errPickle)
	}
	return v
}

// sinceMark pops what was pushed after the last mark, and the mark.
func (m *machine) sinceMark() []any {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(pickleMark); ok {
			items := slices.Clone(m.stack[i+1:])
			m.stack = m.stack[:i]
			return items
		}
	}
	panic(errPickle)
}

func (m *machine) set(d *pickleDict, items []any) {
	if len(items)%2 != 0 {
		panic(errPickle)
	}
	for i := 0; i < len(items); i += 2 {
		d.keys, d.values = append(d.keys, items[i]), append(d.values, items[i+1])
	}
}

func (m *machine) store(i uint32) {
	v := m.pop()
	m.push(v)
	m.memo[i] = v
}

func (m *machine) recall(i uint32) {
	v, ok := m.memo[i]
	if !ok {
		panic(errPickle)
	}
	m.push(v)
}

// tuple makes one of the last n values.
func (m *machine) tuple(n int) {
	t := make(pickleTuple, n)
	for i := range t {
		t[n-1-i] = m.pop()
	}
	m.push(t)
}

func (m *machine) do(op byte) error {
	switch op {
	case 0x80: // PROTO
		if v := m.number(1); v < 2 || v > 5 {
			return fmt.Errorf("%w: pickle protocol %d, want 2 to 5", core.ErrFormat, v)
		}
	case 0x95: // FRAME
		m.take(8)
	case '(': // MARK
		m.push(pickleMark{})
	case 'N': // NONE
		m.push(nil)
	case 0x88: // NEWTRUE
		m.push(true)
	case 0x89: // NEWFALSE
		m.push(false)
	case 'K': // BININT1
		m.push(int64(m.number(1)))
	case 'M': // BININT2
		m.push(int64(m.number(2)))
	case 'J': // BININT
		m.push(int64(int32(m.number(4))))
	case 0x8a: // LONG1, two's complement
		n := m.number(1)
		if n > 8 {
			return fmt.Errorf("%w: an integer of %d bytes", core.ErrFormat, n)
		}
		v := m.number(n)
		m.push(int64(v<<(64-8*n)) >> (64 - 8*n))
	case 'G': // BINFLOAT, big-endian
		var v uint64
		for _, b := range m.take(8) {
			v = v<<8 | uint64(b)
		}
		m.push(math.Float64frombits(v))
	case 'X': // BINUNICODE
		m.push(string(m.take(m.number(4))))
	case 0x8c: // SHORT_BINUNICODE
		m.push(string(m.take(m.number(1))))
	case ')': // EMPTY_TUPLE
		m.tuple(0)
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		m.tuple(int(op) - 0x84)
	case 't': // TUPLE
		m.push(pickleTuple(m.sinceMark()))
	case ']': // EMPTY_LIST
		m.push(&pickleList{})
	case 'a', 'e': // APPEND, APPENDS
		items := []any{nil}
		if op == 'a' {
			items[0] = m.pop()
		} else {
			items = m.sinceMark()
		}
		l := top[*pickleList](m)
		l.items = append(l.items, items...)
		m.push(l)
	case '}': // EMPTY_DICT
		m.push(&pickleDict{})
	case 's', 'u': // SETITEM, SETITEMS
		var items []any
		if op == 's' {
			v := m.pop()
			items = []any{m.pop(), v}
		} else {
			items = m.sinceMark()
		}
		d := top[*pickleDict](m)
		m.set(d, items)
		m.push(d)
	case 'q': // BINPUT
		m.store(uint32(m.number(1)))
	case 'r': // LONG_BINPUT
		m.store(uint32(m.number(4)))
	case 0x94: // MEMOIZE
		m.store(uint32(len(m.memo)))
	case 'h': // BINGET
		m.recall(uint32(m.number(1)))
	case 'j': // LONG_BINGET
		m.recall(uint32(m.number(4)))
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		var module, name string
		if op == 'c' {
			module, name = m.line(), m.line()
		} else {
			name, module = top[string](m), top[string](m)
		}
		g, err := global(module, name)
		if err != nil {
			return err
		}
		m.push(g)
	case 'Q': // BINPERSID
		s, err := storageOf(top[pickleTuple](m))
		if err != nil {
			return err
		}
		m.push(s)
	case 'R': // REDUCE
		args := top[pickleTuple](m)
		v, err := reduce(top[*pickleGlobal](m), args)
		if err != nil {
			return err
		}
		m.push(v)
	case 'b': // BUILD: attributes of an OrderedDict, which a dict of tensors does not need
		m.pop()
		m.push(top[*pickleDict](m))
	default:
		return fmt.Errorf("%w: it holds the pickle instruction %#02x, which no dict of tensors needs; it was not run", core.ErrFormat, op)
	}
	return nil
}

// storageOf reads ("storage", class, key, place, values).
func storageOf(t pickleTuple) (*pickleStorage, error) {
	if len(t) == 5 && t[0] == "storage" {
		class, ok1 := t[1].(*pickleGlobal)
		key, ok2 := t[2].(string)
		values, ok3 := t[4].(int64)
		if name, ok := "", ok1 && ok2 && ok3; ok {
			if name, ok = strings.CutPrefix(class.name, "torch."); ok && storages[name] != "" {
				return &pickleStorage{name, key, values}, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: a storage is not as torch.save writes it", core.ErrFormat)
}

// reduce is what calling f would give, for the two functions there are.
func reduce(f *pickleGlobal, args pickleTuple) (any, error) {
	switch {
	case f.name == orderedDict && len(args) == 0:
		return &pickleDict{}, nil
	case f.name == rebuildTensor && (len(args) == 6 || len(args) == 7): // storage, offset, shape, strides, and what training needs
		t := &pickleTensor{}
		var ok1, ok2 bool
		t.storage, ok1 = args[0].(*pickleStorage)
		t.offset, ok2 = args[1].(int64)
		shape, ok3 := int64s(args[2])
		strides, ok4 := int64s(args[3])
		if ok1 && ok2 && ok3 && ok4 && len(shape) == len(strides) && len(shape) <= 16 {
			for _, d := range shape {
				if d < 0 || d > maxCount {
					return nil, fmt.Errorf("%w: a tensor of shape %v", core.ErrFormat, shape)
				}
				t.shape = append(t.shape, int(d))
			}
			t.strides = strides
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: %s with arguments that torch.save does not write", core.ErrFormat, f.name)
}

func int64s(v any) (list []int64, ok bool) {
	t, ok := v.(pickleTuple)
	for _, e := range t {
		n, is := e.(int64)
		if !is {
			return nil, false
		}
		list = append(list, n)
	}
	return list, ok
}
