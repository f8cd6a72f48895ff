//go:build unix

package rowfile_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rowfile"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// counting gives rows of dim numbers that count up, a few at a time, until rows have been given; then it returns end.
type counting struct {
	dim, rows, given, calls int
	end                     error
	atLast                  bool // return end with the last rows
}

func (c *counting) Dim() int { return c.dim }

func (c *counting) Next(_ context.Context, dst []float32) (int, error) {
	c.calls++
	n := min(1+c.calls%7, len(dst)/c.dim, c.rows-c.given)
	for i := range n * c.dim {
		dst[i] = float32(c.given*c.dim + i)
	}
	c.given += n
	if n == 0 || c.atLast && c.given == c.rows {
		return n, c.end
	}
	return n, nil
}

// mixture is rows around 40 random points.
func mixture(rows, cols int) core.Matrix {
	rng := rand.New(rand.NewPCG(5, 0))
	mid := core.NewMatrix(40, cols)
	for i := range mid.Data {
		mid.Data[i] = float32(rng.NormFloat64())
	}
	x := core.NewMatrix(rows, cols)
	for i := range rows {
		for j, v := range mid.Row(rng.IntN(40)) {
			x.Row(i)[j] = v + float32(rng.NormFloat64())/4
		}
	}
	return x
}

// matrixSource gives the rows of a matrix.
type matrixSource struct {
	x    core.Matrix
	next int
}

func (s *matrixSource) Dim() int { return s.x.Cols }

func (s *matrixSource) Next(_ context.Context, dst []float32) (int, error) {
	n := min(100, len(dst)/s.x.Cols, s.x.Rows-s.next)
	copy(dst, s.x.Slice(s.next, s.next+n).Data)
	if s.next += n; s.next == s.x.Rows {
		return n, io.EOF
	}
	return n, nil
}

// checkNothingLeft wants no temporary file, and none of them open or mapped.
func checkNothingLeft(t *testing.T) {
	t.Helper()
	if entries, err := os.ReadDir(os.TempDir()); err != nil || len(entries) > 0 {
		t.Errorf("%v in the directory for temporary files, error %v; want nothing", entries, err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	open, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range open {
		link, _ := os.Readlink(fd)
		maps = append(maps, link...)
	}
	if strings.Contains(string(maps), os.TempDir()) {
		t.Error("a temporary file is still open or mapped")
	}
}

func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, c := range []counting{{dim: 3, rows: 5000}, {dim: 1 << 20, rows: 3}, {dim: 1, rows: 1}, {dim: 5 << 20, rows: 2}, {dim: 100, rows: 20972}} {
		for _, c.atLast = range []bool{false, true} {
			c.end, c.given = io.EOF, 0
			f, err := rowfile.Spool(context.Background(), "", &c)
			if err != nil {
				t.Fatal(err)
			}
			if f.Rows != c.rows || f.Cols != c.dim || len(f.Data) != c.rows*c.dim {
				t.Fatalf("%d × %d, %d values; want %d × %d", f.Rows, f.Cols, len(f.Data), c.rows, c.dim)
			}
			for i, v := range f.Data {
				if v != float32(i) {
					t.Fatalf("%d × %d: value %d is %g", c.rows, c.dim, i, v)
				}
			}
			for range 2 {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			checkNothingLeft(t)
		}
	}
}

func TestSourcesThatFail(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lost := errors.New("connection lost")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		src  core.Source
		want error
		text string
	}{
		"error":         {context.Background(), &counting{dim: 3, rows: 1234, end: lost}, lost, "rows 1234 to"},
		"error at last": {context.Background(), &counting{dim: 3, rows: 1234, end: lost, atLast: true}, lost, "rows 1234 to"},
		"no rows":       {context.Background(), &counting{dim: 3, end: io.EOF}, core.ErrShape, "no rows"},
		"no columns":    {context.Background(), &counting{dim: 0, rows: 1}, core.ErrShape, "of 0 columns"},
		"no progress":   {context.Background(), &counting{dim: 3, rows: 77}, io.ErrNoProgress, "rows 77 to"},
		"too many rows": {context.Background(), liar{}, core.ErrShape, "wrote 524289 rows"},
		"canceled":      {ctx, &counting{dim: 3, rows: 5, end: io.EOF}, context.Canceled, "rows 0 to"},
	} {
		f, err := rowfile.Spool(c.ctx, "", c.src)
		if f != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v and error %v, want %v with %q", name, f, err, c.want, c.text)
		}
		if _, _, _, err := rqkmeans.FitSource(c.ctx, c.src, nil, rqkmeans.DefaultParams(1, 1)); err == nil {
			t.Errorf("%s: a fit gave no error", name)
		}
		checkNothingLeft(t)
	}
	if _, err := rowfile.Spool(context.Background(), "/does/not/exist", &counting{dim: 1, rows: 1, end: io.EOF}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such directory: got error %v", err)
	}
}

type liar struct{}

func (liar) Dim() int                                           { return 2 }
func (liar) Next(_ context.Context, dst []float32) (int, error) { return len(dst)/2 + 1, nil }

func TestFullDisk(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Skip(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 6 << 20, Max: old.Max}); err != nil {
		t.Skip(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)
	_, err := rowfile.Spool(context.Background(), "", &counting{dim: 1 << 10, rows: 3000, end: io.EOF})
	if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "rows 1024 to 2047") {
		t.Errorf("got error %v, want one of the file's size at rows 1024 to 2047", err)
	}
	checkNothingLeft(t)
}

// TestFitAndEncode wants the same model and codes from a source and from a mapped file as from memory.
func TestFitAndEncode(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx := context.Background()
	x := mixture(5000, 24)
	weights := make([]float64, x.Rows)
	for i := range weights {
		weights[i] = float64(i % 3)
	}
	path := filepath.Join(t.TempDir(), "x.npy")
	writeNPY(t, path, x, fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", x.Rows, x.Cols))
	for _, metric := range []core.Metric{core.L2, core.Cosine} {
		p := rqkmeans.Params{Clusters: []int{40, 16}, Metric: metric, MaxIter: 10, Tol: 1e-4, Restarts: 1}
		want, wantCodes, wantLevels, err := rqkmeans.Fit(ctx, x, weights, p)
		if err != nil {
			t.Fatal(err)
		}
		check := func(got *rqkmeans.Model, codes core.Codes, levels []rqkmeans.Level, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			for l := range want.Books() {
				if !slices.Equal(got.Books()[l].Data, want.Books()[l].Data) {
					t.Errorf("%v: other codebook at level %d", metric, l)
				}
			}
			if !slices.Equal(codes.Data, wantCodes.Data) || !slices.Equal(levels, wantLevels) {
				t.Errorf("%v: other codes or account", metric)
			}
		}
		check(rqkmeans.FitSource(ctx, &matrixSource{x: x}, weights, p))
		f, err := rowfile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		p.Recompute = true
		check(rqkmeans.Fit(ctx, f.Matrix, weights, p))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for _, beam := range []int{1, 3} {
			whole := core.NewCodes(x.Rows, 2)
			if err := want.EncodeBeam(ctx, x, whole, beam, 0, nil); err != nil {
				t.Fatal(err)
			}
			var got []int32
			err := want.EncodeSource(ctx, &matrixSource{x: x}, beam, func(c core.Codes) error {
				got = append(got, c.Data...)
				return nil
			})
			if err != nil || !slices.Equal(got, whole.Data) {
				t.Errorf("%v, beam %d: other codes from a source, error %v", metric, beam, err)
			}
		}
	}
	checkNothingLeft(t)
}

func TestEncodeSourceFails(t *testing.T) {
	ctx := context.Background()
	wide := core.NewMatrix(2, 1<<20) // blocks of four rows
	for i := range wide.Data {
		wide.Data[i] = float32(i / wide.Cols)
	}
	m, err := rqkmeans.New([]core.Matrix{wide}, core.Cosine)
	if err != nil {
		t.Fatal(err)
	}
	x := core.NewMatrix(7, wide.Cols)
	for i := range x.Data {
		x.Data[i] = 1
	}
	clear(x.Row(6))
	seen := 0
	err = m.EncodeSource(ctx, &matrixSource{x: x}, 1, func(c core.Codes) error { seen += c.Rows; return nil })
	if !errors.Is(err, core.ErrZeroRow) || !strings.Contains(err.Error(), "row 6;") || seen != 4 {
		t.Errorf("a row of zeros: %d rows and error %v, want 4 and one for row 6", seen, err)
	}
	enough := errors.New("enough")
	if err := m.EncodeSource(ctx, &matrixSource{x: x}, 1, func(core.Codes) error { return enough }); err != enough {
		t.Errorf("got error %v, want that of emit", err)
	}
	if err := m.EncodeSource(ctx, &counting{dim: 5, rows: 3, end: io.EOF}, 1, nil); !errors.Is(err, core.ErrShape) {
		t.Errorf("rows of another width: got error %v", err)
	}
}

// TestShortenedFile shortens a file while it is fitted, in the kernels of a late iteration.
func TestShortenedFile(t *testing.T) {
	x := mixture(20000, 48)
	path := filepath.Join(t.TempDir(), "x.npy")
	for level := range 2 {
		writeNPY(t, path, x, fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", x.Rows, x.Cols))
		f, err := rowfile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		p := rqkmeans.DefaultParams(2, 30)
		p.Recompute, p.Tol = true, 0
		p.Progress = func(l, done int) {
			if l == level && done == 1 {
				if err := os.Truncate(path, 4096); err != nil {
					t.Error(err)
				}
			}
		}
		if _, _, _, err := rqkmeans.Fit(context.Background(), f.Matrix, nil, p); !errors.Is(err, core.ErrUnreadable) {
			t.Errorf("shortened at level %d: got error %v, want ErrUnreadable", level, err)
		}
		m, err := rqkmeans.New([]core.Matrix{x.Slice(0, 16)}, core.L2)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Encode(context.Background(), f.Matrix, core.NewCodes(f.Rows, 1)); !errors.Is(err, core.ErrUnreadable) {
			t.Errorf("encode: got error %v, want ErrUnreadable", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenFails(t *testing.T) {
	x := mixture(10, 4)
	path := filepath.Join(t.TempDir(), "x.npy")
	for name, c := range map[string]struct{ header, text string }{
		"float64":      {"{'descr': '<f8', 'fortran_order': False, 'shape': (10, 4), }", "want float32 in C order"},
		"fortran":      {"{'descr': '<f4', 'fortran_order': True, 'shape': (10, 4), }", "want float32 in C order"},
		"one row more": {"{'descr': '<f4', 'fortran_order': False, 'shape': (11, 4), }", "want 304 for 11 rows"},
		"far more":     {"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }", "address space"},
		"one number":   {"{'descr': '<f4', 'fortran_order': False, 'shape': (10,), }", "want a two-dimensional array"},
		"not .npy":     {"", "not a .npy array"},
	} {
		writeNPY(t, path, x, c.header)
		if c.header == "" {
			if err := os.WriteFile(path, []byte("hello, world"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := rowfile.Open(path)
		if f != nil || !errors.Is(err, core.ErrFormat) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v and error %v, want an ErrFormat with %q", name, f, err, c.text)
		}
	}
	writeNPY(t, path, x, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }")
	if _, err := rowfile.Open(path); !errors.Is(err, core.ErrShape) {
		t.Errorf("no rows: got error %v, want ErrShape", err)
	}
	if _, err := rowfile.Open(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got error %v", err)
	}
}

// writeNPY writes a .npy file of version 1.0 with the given header.
func writeNPY(t *testing.T, path string, x core.Matrix, header string) {
	t.Helper()
	text := header + strings.Repeat(" ", 117-len(header)) + "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), byte(len(text)), 0)
	out = append(out, text...)
	for _, v := range x.Data {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

// walker is a Source of its own: what a program writes to fit rows that it has somewhere else.
type walker struct{ left int }

func (*walker) Dim() int { return 2 }

func (w *walker) Next(_ context.Context, dst []float32) (int, error) {
	n := 0
	for ; w.left > 0 && 2*n < len(dst); n++ {
		dst[2*n], dst[2*n+1] = float32(w.left%3), float32(w.left%2)
		w.left--
	}
	if w.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func ExampleSpool() {
	rows, err := rowfile.Spool(context.Background(), "", &walker{left: 600})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rows.Close()
	p := rqkmeans.DefaultParams(2, 3)
	p.Recompute = true // the rows lie in a file: keep no copy of them
	_, _, levels, err := rqkmeans.Fit(context.Background(), rows.Matrix, nil, p)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d rows, left over: %.0f, then %.0f\n", rows.Rows, levels[0].Inertia, levels[1].Inertia)
	// Output: 600 rows, left over: 150, then 0
}
