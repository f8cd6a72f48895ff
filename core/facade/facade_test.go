package facade

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/kmeans"
)

var kept []any // what callers own must stay where it is: on the heap, and alive

// at is the address of the first value of s.
func at[T any](s []T) uint64 {
	kept = append(kept, s)
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s))))
}

type caller struct{ text []byte }

func newCaller() *caller { return &caller{make([]byte, 200)} }

func (c *caller) err() string { return string(c.text[:slices.Index(c.text, 0)]) }

// want fails unless the call gave this kind and a text with these words.
func (c *caller) want(t *testing.T, what string, got, kind int64, words string) {
	t.Helper()
	if got != kind {
		t.Errorf("%s: kind %d (%s), want %d", what, got, c.err(), kind)
	} else if kind != KindOK && !strings.Contains(c.err(), words) {
		t.Errorf("%s: %q, want the words %q", what, c.err(), words)
	}
}

type fitted struct {
	x        []float32
	books    [][]float32
	codes    []int32
	ks       []int64
	inertia  []float64
	iters    []int64
	flags    []int64
	balanced int64
	proofs   []float64
	control  []int64
	bookAddr []uint64
}

func newFit(rows, dim int, ks ...int64) *fitted {
	rng := rand.New(rand.NewPCG(1, 2))
	f := &fitted{
		x: make([]float32, rows*dim), codes: make([]int32, rows*len(ks)), ks: ks, inertia: make([]float64, len(ks)),
		iters: make([]int64, len(ks)), flags: make([]int64, len(ks)), proofs: make([]float64, 3*len(ks)), control: make([]int64, ControlLen),
	}
	for i := range f.x {
		f.x[i] = float32(rng.NormFloat64())
	}
	for _, k := range ks {
		f.books = append(f.books, make([]float32, int(k)*dim))
		f.bookAddr = append(f.bookAddr, at(f.books[len(f.books)-1]))
	}
	return f
}

func (f *fitted) run(c *caller, dim, maxIter int64) int64 {
	return RQKMeansFit(at(f.x), int64(len(f.x))/dim, dim, 0, int64(len(f.ks)), at(f.ks), 0, maxIter, 1e-4, 1, 7, 0, f.balanced,
		at(f.bookAddr), at(f.codes), at(f.inertia), at(f.iters), at(f.flags), at(f.proofs), at(f.control), at(c.text), int64(len(c.text)))
}

func TestFitEncodeDecodeSaveLoad(t *testing.T) {
	c, f := newCaller(), newFit(300, 6, 5, 4)
	c.want(t, "fit", f.run(c, 6, 100), KindOK, "")
	if f.control[ControlLevel] != 1 || f.control[ControlDone] != f.iters[1] || f.control[ControlTotal] != 100 {
		t.Errorf("control block %v after %v iterations", f.control, f.iters)
	}
	handle := []int64{0}
	c.want(t, "new", QuantizerNew(2, 6, at(f.ks), at(f.bookAddr), 0, at(handle), at(c.text), 200), KindOK, "")
	dir := []byte(t.TempDir() + "/model")
	c.want(t, "save", QuantizerSave(handle[0], at(dir), int64(len(dir)), at(c.text), 200), KindOK, "")
	loaded := []int64{0}
	c.want(t, "load", QuantizerLoad(at(dir), int64(len(dir)), at(loaded), at(c.text), 200), KindOK, "")
	shape, ks := make([]int64, 3), make([]int64, 2)
	c.want(t, "shape", QuantizerShape(loaded[0], at(shape), at(shape[1:]), at(ks), at(shape[2:]), at(c.text), 200), KindOK, "")
	if !slices.Equal(shape, []int64{2, 6, 0}) || !slices.Equal(ks, f.ks) {
		t.Errorf("shape %v, codebooks of %v", shape, ks)
	}
	book := make([]float32, 4*6)
	c.want(t, "codebook", QuantizerCodebook(loaded[0], 1, at(book), at(c.text), 200), KindOK, "")
	if !slices.Equal(book, f.books[1]) {
		t.Error("the codebook changed on its way through the file")
	}
	codes := make([]int32, 600)
	c.want(t, "encode", QuantizerEncode(loaded[0], at(f.x), 300, 6, 1, 0, at(codes), 0, at(c.text), 200), KindOK, "")
	if !slices.Equal(codes, f.codes) {
		t.Error("the loaded model gives other codes than fit")
	}
	c.want(t, "beam", QuantizerEncode(loaded[0], at(f.x), 300, 6, 20, 0, at(codes), 0, at(c.text), 200), KindOK, "")
	if slices.Equal(codes, f.codes) {
		t.Error("a beam of 20 gives the codes of a beam of 1")
	}
	c.want(t, "beam", QuantizerEncode(loaded[0], at(f.x), 300, 6, 0, 0, at(codes), 0, at(c.text), 200), KindParam, "beam is 0")
	refined := [][]float32{make([]float32, 5*6), make([]float32, 4*6)}
	inertia, errs, numbers := make([]float64, 2), make([]float64, 12), make([]int64, 2)
	c.want(t, "refine", RQKMeansRefine(loaded[0], at(f.x), 300, 6, 0, 2, 10, 1e-4, 7, at([]uint64{at(refined[0]), at(refined[1])}),
		at(inertia), at(errs), at(numbers), at(numbers[1:]), at(f.control), at(c.text), 200), KindOK, "")
	if last := errs[numbers[0]-1]; !(last < errs[0]) || last != inertia[1] || slices.Equal(refined[1], f.books[1]) {
		t.Errorf("refined: errors %v, of which %d count, inertia %v", errs, numbers[0], inertia)
	}
	c.want(t, "refine", RQKMeansRefine(loaded[0], at(f.x), 300, 6, 0, 2, 0, 1e-4, 7, at([]uint64{at(refined[0]), at(refined[1])}),
		at(inertia), at(errs), at(numbers), at(numbers[1:]), 0, at(c.text), 200), KindParam, "MaxIter is 0")
	out := make([]float32, len(f.x))
	c.want(t, "decode", QuantizerDecode(handle[0], at(codes), 300, 2, at(out), at(c.text), 200), KindOK, "")
	if want := f.books[0][codes[0]*6] + f.books[1][codes[1]*6]; out[0] != want {
		t.Errorf("decoded %g, want %g", out[0], want)
	}
	QuantizerFree(handle[0])
	c.want(t, "freed", QuantizerDecode(handle[0], at(codes), 300, 2, at(out), at(c.text), 200), KindHandle, "no such model handle")
}

func TestBalanced(t *testing.T) {
	c, f := newCaller(), newFit(300, 6, 7, 4)
	f.balanced = 1
	c.want(t, "fit", f.run(c, 6, 100), KindOK, "")
	again, proofs := make([]int32, len(f.codes)), make([]float64, 6)
	handle := []int64{0}
	c.want(t, "new", QuantizerNew(2, 6, at(f.ks), at(f.bookAddr), 0, at(handle), at(c.text), 200), KindOK, "")
	c.want(t, "encode", QuantizerEncodeBalanced(handle[0], at(f.x), 300, 6, 0, at(again), at(proofs), at(f.control), at(c.text), 200), KindOK, "")
	counts := [2][7]int{}
	for i, k := range again {
		counts[i%2][k]++
	}
	for l, want := range [2][7]int{{43, 43, 43, 43, 43, 43, 42}, {75, 75, 75, 75}} {
		slices.SortFunc(counts[l][:], func(a, b int) int { return b - a })
		if counts[l] != want {
			t.Errorf("level %d: sizes %v, want %v", l, counts[l], want)
		}
	}
	for l := range 2 {
		if p := f.proofs[3*l:]; p[0] != f.inertia[l] || !(p[1] > 0 && p[2] <= 1e-9) {
			t.Errorf("level %d: proof %v, inertia %g", l, p[:3], f.inertia[l])
		}
	}
	if d := proofs[0] - f.proofs[0]; d > 1e-9*proofs[0] || -d > 1e-9*proofs[0] || proofs[4] <= 0 {
		t.Errorf("encoded with proofs %v, fitted with %v", proofs, f.proofs)
	}
	c.want(t, "no proofs", QuantizerEncodeBalanced(handle[0], at(f.x), 300, 6, 1, at(again), 0, 0, at(c.text), 200), KindOK, "")
	c.want(t, "width", QuantizerEncodeBalanced(handle[0], at(f.x), 300, 5, 0, at(again), 0, 0, at(c.text), 200), KindShape, "5 columns")
	c.want(t, "null", QuantizerEncodeBalanced(handle[0], at(f.x), 300, 6, 0, 0, 0, 0, at(c.text), 200), KindParam, "null")
}

func TestErrorsHaveKindsAndWords(t *testing.T) {
	c, f := newCaller(), newFit(20, 3, 2)
	c.want(t, "fit", f.run(c, 3, 0), KindParam, "MaxIter is 0")
	f.x[7] = float32(math.NaN())
	c.want(t, "fit", f.run(c, 3, 10), KindNotFinite, "row 2")
	handle := []int64{0}
	c.want(t, "new", QuantizerNew(1, 3, at(f.ks), at(f.bookAddr), 5, at(handle), at(c.text), 200), KindParam, "metric")
	c.want(t, "new", QuantizerNew(1, 3, at(f.ks), at(f.bookAddr), 0, at(handle), at(c.text), 200), KindOK, "")
	c.want(t, "width", QuantizerEncode(handle[0], at(f.x), 15, 4, 1, 0, at(f.codes), 0, at(c.text), 200), KindShape, "4 columns")
	c.want(t, "rows", QuantizerEncode(handle[0], at(f.x), math.MaxInt64, 3, 1, 0, at(f.codes), 0, at(c.text), 200), KindShape, "rows")
	c.want(t, "code", QuantizerDecode(handle[0], at([]int32{9}), 1, 1, at(f.x), at(c.text), 200), KindCode, "9 at row 0")
	c.want(t, "null", QuantizerDecode(handle[0], 0, 1, 1, at(f.x), at(c.text), 200), KindParam, "null")
	dir := []byte(t.TempDir())
	c.want(t, "load", QuantizerLoad(at(dir), int64(len(dir)), at(handle), at(c.text), 200), KindIO, "metadata.json")
	short := &caller{make([]byte, 5)}
	if got := QuantizerLoad(at(dir), int64(len(dir)), at(handle), at(short.text), 5); got != KindIO || len(short.err()) != 4 {
		t.Errorf("a short buffer: kind %d, text %q", got, short.text)
	}
}

func TestPanicsStayInside(t *testing.T) {
	c := newCaller()
	c.want(t, "panic", call(at(c.text), 200, func() error { panic("boom") }), KindInternal, "boom")
	c.want(t, "unknown", call(at(c.text), 200, func() error { return errors.New("odd") }), KindInternal, "odd")
	c.want(t, "device", call(at(c.text), 200, func() error { return core.ErrDevice }), KindDevice, "device")
}

func TestCancel(t *testing.T) {
	c, f := newCaller(), newFit(20000, 32, 200, 200, 200)
	control := controlAt(at(f.control))
	go func() {
		time.Sleep(50 * time.Millisecond)
		control.set(ControlCancel, 1)
	}()
	start := time.Now()
	c.want(t, "fit", f.run(c, 32, 1000000), KindCanceled, "canceled")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if slices.ContainsFunc(f.codes, func(k int32) bool { return k != 0 }) {
		t.Error("a canceled fit wrote codes")
	}
}

func TestForesee(t *testing.T) {
	c := newCaller()
	ks, bytes, ways, work := []int64{256, 64, 64}, make([]float64, 1), make([]int64, 3), make([]float64, 3)
	foresee := func(rows, dim, recompute int64) int64 {
		return RQKMeansForesee(rows, dim, 3, at(ks), recompute, at(bytes), at(ways), at(work), at(c.text), 200)
	}
	c.want(t, "foresee", foresee(20000, 128, 0), KindOK, "")
	if want := []int64{int64(kmeans.ByRow), int64(kmeans.ByBounds), int64(kmeans.ByBounds)}; !slices.Equal(ways, want) {
		t.Errorf("ways %v, want %v", ways, want)
	}
	if residuals := 20000 * 128 * 4.0; bytes[0] < residuals || bytes[0] > 4*residuals {
		t.Errorf("%g bytes, residuals alone take %g", bytes[0], residuals)
	}
	if !(work[0] > 0 && work[1] > 0 && work[1] == work[2]) {
		t.Errorf("work %v", work)
	}
	copied := bytes[0]
	c.want(t, "foresee, recomputed", foresee(20000, 128, 1), KindOK, "")
	if bytes[0] >= copied {
		t.Errorf("%g bytes without a copy of the rows, %g with one", bytes[0], copied)
	}
	c.want(t, "huge", foresee(1<<48, 1<<48, 0), KindOK, "")
	if !(bytes[0] > 0x1p97) {
		t.Errorf("%g bytes for 2^48 x 2^48", bytes[0])
	}
	c.want(t, "too many", foresee(255, 8, 0), KindParam, "level 0 has 256 centroids, want 1 to 255")
	c.want(t, "no rows", foresee(0, 8, 0), KindParam, "0 rows")
}

func TestFormatCodes(t *testing.T) {
	c := newCaller()
	codes, sep := []int32{3, 9, 0, 5}, []byte("-")
	out, needed := make([]byte, 8), []int64{0}
	c.want(t, "plain", FormatCodes(at(codes), 2, 2, StylePlain, at(sep), 1, '\n', at(out), 8, at(needed), at(c.text), 200), KindOK, "")
	if string(out) != "3-9\n0-5\n" || needed[0] != 8 {
		t.Errorf("got %q of %d bytes", out, needed[0])
	}
	c.want(t, "short", FormatCodes(at(codes), 2, 2, StyleToken, 0, 0, '\n', at(out), 8, at(needed), at(c.text), 200), KindParam, "want 22")
}
