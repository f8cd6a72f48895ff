package persist

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// npy returns a .npy file of version 1.0, 2.0 or 3.0 with the header as NumPy lays it out, and values.
func npy(version byte, header string, values ...any) []byte {
	lengthBytes := 4
	if version == 1 {
		lengthBytes = 2
	}
	text := []byte(header)
	for (8+lengthBytes+len(text)+1)%64 != 0 {
		text = append(text, ' ')
	}
	text = append(text, '\n')
	b := []byte{0x93, 'N', 'U', 'M', 'P', 'Y', version, 0}
	b = append(b, binary.LittleEndian.AppendUint32(nil, uint32(len(text)))[:lengthBytes]...)
	b = append(b, text...)
	for _, v := range values {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return b
}

func header(descr, fortran, shape string) string {
	return fmt.Sprintf("{'descr': %s, 'fortran_order': %s, 'shape': %s, }", descr, fortran, shape)
}

type member struct {
	name   string
	data   []byte
	method uint16
}

func zipped(t testing.TB, members ...member) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: m.method})
		if err == nil {
			_, err = f.Write(m.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte, clusters []int, dim int) ([]core.Matrix, error) {
	return readCodebooks(bytes.NewReader(b), int64(len(b)), clusters, dim)
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

func TestReadsAllThatNumPyWrites(t *testing.T) {
	want := []core.Matrix{{Rows: 2, Cols: 3, Data: []float32{1, 2, 3, 4, 5, 6}}}
	rows, columns := []float32{1, 2, 3, 4, 5, 6}, []float32{1, 4, 2, 5, 3, 6}
	wide := []float64{1, 2, 3, 4, 5, 6 + 1e-12}
	for name, file := range map[string][]byte{
		"1.0":              npy(1, header("'<f4'", "False", "(2, 3)"), rows),
		"2.0":              npy(2, header("'<f4'", "False", "(2, 3)"), rows),
		"3.0":              npy(3, header("'<f4'", "False", "(2, 3)"), rows),
		"fortran":          npy(1, header("'<f4'", "True", "(2, 3)"), columns),
		"float64":          npy(1, header("'<f8'", "False", "(2, 3)"), wide),
		"no spaces":        npy(1, "{'descr':'<f4','fortran_order':False,'shape':(2,3)}", rows),
		"a comma too many": npy(1, header("'<f4'", "False", "(2, 3,)"), rows),
	} {
		for _, method := range []uint16{zip.Store, zip.Deflate} {
			got, err := read(zipped(t, member{"codebook_0.npy", file, method}), []int{2}, 3)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, method %d: %v, %v", name, method, got, err)
			}
		}
	}
}

func TestRefusesHostileArrays(t *testing.T) {
	values := []float32{1, 2, 3, 4, 5, 6}
	good := npy(1, header("'<f4'", "False", "(2, 3)"), values)
	nan := npy(1, header("'<f4'", "False", "(2, 3)"), []float32{1, 2, 3, 4, float32(math.NaN()), 6})
	const one = "codebook_0.npy"
	big := make([]byte, 4<<20)
	for name, c := range map[string]struct {
		file     []byte
		clusters []int
		dim      int
		says     string
	}{
		"empty":            {nil, []int{2}, 3, "zip"},
		"no zip":           {[]byte("PK\x03\x04 not really"), []int{2}, 3, "zip"},
		"object":           {zipped(t, member{one, npy(1, header("'|O'", "False", "(2, 3)"), values), 8}), []int{2}, 3, "'<f4'"},
		"integers":         {zipped(t, member{one, npy(1, header("'<i4'", "False", "(2, 3)"), values), 8}), []int{2}, 3, `"<i4"`},
		"big-endian":       {zipped(t, member{one, npy(1, header("'>f4'", "False", "(2, 3)"), values), 8}), []int{2}, 3, `">f4"`},
		"records":          {zipped(t, member{one, npy(1, header("[('a', '<f4')]", "False", "(2, 3)"), values), 8}), []int{2}, 3, "two-dimensional"},
		"one dimension":    {zipped(t, member{one, npy(1, header("'<f4'", "False", "(6,)"), values), 8}), []int{2}, 3, "two-dimensional"},
		"three dimensions": {zipped(t, member{one, npy(1, header("'<f4'", "False", "(2, 3, 1)"), values), 8}), []int{2}, 3, "two-dimensional"},
		"code":             {zipped(t, member{one, npy(1, header("'<f4'", "False", "(exit(), 3)"), values), 8}), []int{2}, 3, "two-dimensional"},
		"more after it":    {zipped(t, member{one, npy(1, header("'<f4'", "False", "(2, 3)")+" + x", values), 8}), []int{2}, 3, "two-dimensional"},
		"version 4":        {zipped(t, member{one, npy(4, header("'<f4'", "False", "(2, 3)"), values), 8}), []int{2}, 3, "version 4.0"},
		"no npy":           {zipped(t, member{one, []byte("\x80\x04\x95pickle, as it were"), 8}), []int{2}, 3, "not a .npy array"},
		"long header":      {zipped(t, member{one, npy(2, strings.Repeat(" ", 70000), values), 8}), []int{2}, 3, "header of 7"},
		"other shape":      {zipped(t, member{one, good, 8}), []int{3}, 2, "shape (2, 3), want (3, 2)"},
		"too short":        {zipped(t, member{one, good[:len(good)-1], 8}), []int{2}, 3, "too few or too many"},
		"too long":         {zipped(t, member{one, append(good[:len(good):len(good)], 0), 8}), []int{2}, 3, "too few or too many"},
		"other name":       {zipped(t, member{"codebook_1.npy", good, 8}), []int{2}, 3, "no array codebook_0.npy"},
		"same name twice":  {zipped(t, member{one, good, 8}, member{one, good, 8}), []int{2, 2}, 3, "no array codebook_1.npy"},
		"one too many":     {zipped(t, member{one, good, 8}, member{"codebook_1.npy", good, 8}), []int{2}, 3, "2 arrays, want 1"},
		"NaN":              {zipped(t, member{one, nan, 8}), []int{2}, 3, "row 1"},
		"beyond float32":   {zipped(t, member{one, npy(1, header("'<f8'", "False", "(1, 1)"), 1e300), 8}), []int{1}, 1, "row 0"},
		"zip bomb":         {zipped(t, member{one, big, 8}), []int{2}, 3, "not a .npy"},
		"npy bomb": {zipped(t, member{one, append(npy(1, header("'<f4'", "False", "(4096, 4096)")), big...), 8}),
			[]int{2}, 3, "shape (4096, 4096), want (2, 3)"},
		"all said to be huge": {zipped(t, member{one, npy(1, header("'<f4'", "False", "(2147483647, 2147483647)"), values), 8}),
			[]int{math.MaxInt32}, math.MaxInt32, "too few or too many"},
		"huge beyond counting": {zipped(t, member{one, npy(1, header("'<f8'", "False", "(2147483647, 2147483647)"), values), 8}),
			[]int{math.MaxInt32}, math.MaxInt32, "too few or too many"},
		"declared to expand beyond deflate": {declare(t, zipped(t, member{one, good, 8}), 1<<40), []int{1 << 19}, 1 << 19, "declares 1099511627776 bytes"},
		"declared in the directory": {declare(t, zipped(t, member{one, npy(1, header("'<f4'", "False", "(100, 100)"), values), 8}), 128+40000),
			[]int{100}, 100, "too early"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if n := allocated(func() { _, err = read(c.file, c.clusters, c.dim) }); n > 1<<20 {
				t.Errorf("allocated %d bytes", n)
			}
			if !errors.Is(err, core.ErrFormat) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q in it", err, c.says)
			}
		})
	}
}

// declare changes the length which the zip's directory gives for its only member, to more than 32 bits where need be.
func declare(t testing.TB, file []byte, size uint64) []byte {
	at := bytes.Index(file, []byte("PK\x01\x02"))
	le := binary.LittleEndian
	entry, end := bytes.Clone(file[at:]), at
	name, extra := int(le.Uint16(entry[28:])), int(le.Uint16(entry[30:]))
	rest := entry[46+name+extra:] // the end record
	if extra != 0 {
		t.Fatal("an extra field already")
	}
	if size < 1<<32 {
		le.PutUint32(entry[24:], uint32(size))
		return append(file[:end:end], entry...)
	}
	le.PutUint32(entry[24:], math.MaxUint32)
	le.PutUint16(entry[30:], 12)
	field := le.AppendUint64([]byte{1, 0, 8, 0}, size)
	out := append(append(append([]byte{}, entry[:46+name]...), field...), rest...)
	le.PutUint32(out[46+name+12+12:], le.Uint32(rest[12:])+12)
	return append(file[:end:end], out...)
}

func TestStoredChecksumOfZeroIsChecked(t *testing.T) {
	file := zipped(t, member{"codebook_0.npy", npy(1, header("'<f4'", "False", "(1, 1)"), float32(2)), zip.Store})
	if _, err := read(file, []int{1}, 1); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(file, []byte("PK\x01\x02"))
	copy(file[at+16:], []byte{0, 0, 0, 0})
	if d := bytes.Index(file, []byte("PK\x07\x08")); d >= 0 {
		copy(file[d+4:], []byte{0, 0, 0, 0})
	}
	if m, err := read(file, []int{1}, 1); !errors.Is(err, core.ErrFormat) {
		t.Error(m, err)
	}
}

func TestWritesAsNumPy(t *testing.T) {
	m := core.Matrix{Rows: 2, Cols: 3, Data: []float32{1, 2, 3, 4, 5, 6}}
	var b bytes.Buffer
	must(t, writeNPY(&b, m))
	if want := npy(1, header("'<f4'", "False", "(2, 3)"), m.Data); !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%q, want %q", b.Bytes(), want)
	}
	for rows := 1; rows < 1e10 && rows > 0; rows = rows*10 + 9 { // headers of all lengths begin the values at 64
		b.Reset()
		_ = writeNPY(&b, core.Matrix{Rows: rows, Cols: 7})
		if b.Len()%64 != 0 || int(binary.LittleEndian.Uint16(b.Bytes()[8:])) != b.Len()-10 {
			t.Errorf("%d rows: header of %d bytes", rows, b.Len())
		}
	}
	var once, twice bytes.Buffer
	must(t, writeCodebooks(&once, []core.Matrix{m, m}))
	must(t, writeCodebooks(&twice, []core.Matrix{m, m}))
	if !bytes.Equal(once.Bytes(), twice.Bytes()) {
		t.Error("two files of one model differ")
	}
	long := core.NewMatrix(1000, 100) // longer than the buffers
	for i := range long.Data {
		long.Data[i] = float32(i)
	}
	once.Reset()
	must(t, writeCodebooks(&once, []core.Matrix{long}))
	if got, err := read(once.Bytes(), []int{1000}, 100); err != nil || !reflect.DeepEqual(got[0], long) {
		t.Error("not read back as written", err)
	}
}

func TestMetadata(t *testing.T) {
	good := `{"type": "RQKMeans", "n_levels": 2, "n_clusters": [4, 3], "metric": "l2", "implementation": "kmeans", "max_iter": 100,
		"tol": 0.0001, "random_state": 7, "n_init": null, "D": 3}`
	if _, err := parseMetadata([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		want     error // nil: still fine
		says     string
	}{
		{`"D"`, `"mine": [{}], "D"`, nil, ""},
		{`"implementation": "kmeans", `, ``, nil, ""},
		{`"n_init": null, `, ``, nil, ""},
		{`null`, `"auto"`, nil, ""},
		{`null`, `3`, nil, ""},
		{`0.0001`, `0`, nil, ""},
		{`7`, `null`, nil, ""},
		{`{`, `[`, core.ErrFormat, "not a JSON object"},
		{`}`, ``, core.ErrFormat, "not a JSON object"},
		{`}`, `} {}`, core.ErrFormat, "not a JSON object"},
		{good, `[]`, core.ErrFormat, "not a JSON object"},
		{good, `null`, core.ErrType, "no type"},
		{good, ``, core.ErrFormat, "not a JSON object"},
		{`"D"`, `"` + strings.Repeat("x", maxMetadata) + `": 0, "D"`, core.ErrFormat, "more than"},
		{`l2`, "l\xff", core.ErrFormat, "UTF-8"},
		{`RQKMeans`, `RQVAE`, core.ErrType, `Invalid model type: "RQVAE", want "RQKMeans"`},
		{`"type"`, `"Type"`, core.ErrType, "no type"},
		{`"RQKMeans"`, `5`, core.ErrType, "Invalid model type: 5"},
		{`"D"`, `"format_version": 2, "D"`, core.ErrVersion, "upgrade semantic-id"},
		{`"D"`, `"format_version": 0, "D"`, core.ErrFormat, "format_version is 0"},
		{`"D"`, `"format_version": "1", "D"`, core.ErrFormat, "format_version"},
		{`"D"`, `"format_version": 1, "D"`, core.ErrFormat, "settings_sha256"},
		{`"D"`, `"sha256": {}, "D"`, core.ErrFormat, "settings_sha256"},
		{`"D"`, `"sha256": {"codebooks.npz": "0"}, "settings_sha256": "0", "D"`, core.ErrFormat, "if you edited it"},
		{`3}`, `null}`, core.ErrFormat, "before it was fitted"},
		{`3}`, `0}`, core.ErrFormat, "D is 0"},
		{`3}`, `2147483648}`, core.ErrFormat, "D is"},
		{`3}`, `3.0}`, core.ErrFormat, `"D" is 3.0`},
		{`"D": 3`, `"d": 3`, core.ErrFormat, `no key "D"`},
		{`"n_levels": 2`, `"n_levels": 3`, core.ErrFormat, "n_levels is 3, n_clusters has 2"},
		{`"n_levels": 2, "n_clusters": [4, 3]`, `"n_levels": 0, "n_clusters": []`, core.ErrFormat, "n_levels is 0"},
		{`[4, 3]`, `[4, 0]`, core.ErrFormat, "level 1 is 0"},
		{`[4, 3]`, `[4, null]`, core.ErrFormat, "level 1 is 0"},
		{`[4, 3]`, `[4, 1e999]`, core.ErrFormat, "n_clusters"},
		{`[4, 3]`, `4`, core.ErrFormat, "n_clusters"},
		{`l2`, `l3`, core.ErrFormat, "metric"},
		{`"l2"`, `null`, core.ErrFormat, "metric"},
		{`"kmeans"`, `"other"`, core.ErrFormat, "implementation"},
		{`100`, `true`, core.ErrFormat, "max_iter"},
		{`0.0001`, `NaN`, core.ErrFormat, "not a JSON object"},
		{`0.0001`, `1e999`, core.ErrFormat, "tol"},
		{`7`, `9223372036854775808`, core.ErrFormat, "random_state"},
		{`"random_state": 7, `, ``, core.ErrFormat, "random_state"},
		{`null`, `"many"`, core.ErrFormat, "n_init"},
	} {
		_, err := parseMetadata([]byte(strings.Replace(good, c.old, c.new, 1)))
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.60s for %.30s: %v", c.new, c.old, err)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	for says, spoil := range map[string]func(*RQKMeans){
		"n_levels is 0":          func(m *RQKMeans) { m.Books, m.Clusters = nil, nil },
		"n_clusters has 1":       func(m *RQKMeans) { m.Clusters = m.Clusters[:1] },
		"want 5 of 3":            func(m *RQKMeans) { m.Clusters[0] = 5 },
		"want 4 of 2":            func(m *RQKMeans) { m.Dim = 2 },
		"metric is \"dot\"":      func(m *RQKMeans) { m.Metric = "dot" },
		"implementation is \"\"": func(m *RQKMeans) { m.Implementation = "" },
		"tol is NaN":             func(m *RQKMeans) { m.Tol = math.NaN() },
		"row 2":                  func(m *RQKMeans) { m.Books[1].Data[7] = float32(math.Inf(1)) },
	} {
		dir := filepath.Join(t.TempDir(), "model")
		m := model(1)
		spoil(&m)
		err := SaveRQKMeans(dir, m)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q in it", err, says)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("something was written")
		}
	}
}

// FuzzRead: whatever the two files hold, reading them fails or gives a model that is saved and read back the same, and
// takes no more memory than their length accounts for.
func FuzzRead(f *testing.F) {
	goldens, err := filepath.Glob("../../tests_go/testdata/models/*/" + metadataName)
	if err != nil || len(goldens) < 3 {
		f.Fatal(goldens, err)
	}
	for _, path := range goldens {
		meta, _ := os.ReadFile(path)
		npz, _ := os.ReadFile(filepath.Join(filepath.Dir(path), codebooksName))
		f.Add(meta, npz)
		for _, part := range []int{1, 2, 3} {
			f.Add(meta, npz[:len(npz)*part/4])
			f.Add(meta[:len(meta)*part/4], npz)
		}
	}
	meta := []byte(`{"type": "RQKMeans", "n_levels": 1, "n_clusters": [2], "metric": "l2", "max_iter": 1, "tol": 0, "random_state": null, "D": 3}`)
	values := []float32{1, 2, 3, 4, 5, 6}
	f.Add(meta, zipped(f, member{"codebook_0.npy", npy(1, header("'<f4'", "True", "(2, 3)"), values), zip.Store}))
	f.Add(meta, zipped(f, member{"codebook_0.npy", npy(3, header("'<f8'", "False", "(2, 3)"), values, values), zip.Store}))
	f.Add(meta, zipped(f, member{"codebook_0.npy", npy(2, header("'|O'", "False", "(2, 3)"), values), zip.Store}))
	f.Fuzz(func(t *testing.T, meta, npz []byte) {
		m, err := parseMetadata(meta)
		if err != nil {
			checkKind(t, err)
			return
		}
		var books []core.Matrix
		n := allocated(func() { books, err = read(npz, m.NClusters, m.D) })
		if most := uint64(1<<20 + len(npz)*(2*maxRatio+100)); n > most {
			t.Errorf("allocated %d bytes for %d", n, len(npz))
		}
		if err != nil {
			checkKind(t, err)
			return
		}
		var again bytes.Buffer
		must(t, writeCodebooks(&again, books))
		got, err := read(again.Bytes(), m.NClusters, m.D)
		if err != nil || !reflect.DeepEqual(got, books) {
			t.Errorf("%v is read back as %v, %v", books, got, err)
		}
	})
}

func checkKind(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, core.ErrFormat) && !errors.Is(err, core.ErrType) && !errors.Is(err, core.ErrVersion) {
		t.Error(err)
	}
}
