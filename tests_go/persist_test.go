package tests_go

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

const models = "testdata/models"

// golden is what testdata/models/NAME.json says of the directory NAME.
type golden struct {
	Metric         string        `json:"metric"`
	Implementation string        `json:"implementation"`
	MaxIter        int           `json:"max_iter"`
	Tol            float64       `json:"tol"`
	RandomState    *int64        `json:"random_state"`
	NInit          *int          `json:"n_init"`
	Clusters       []int         `json:"n_clusters"`
	Dim            int           `json:"D"`
	Codebooks      [][][]float32 `json:"codebooks"`
	X              [][]float32   `json:"x"`
	Codes          [][]int32     `json:"codes"`
}

func readGolden(t *testing.T, name string) (golden, persist.RQKMeans) {
	t.Helper()
	var g golden
	text, err := os.ReadFile(filepath.Join(models, name+".json"))
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := persist.RQKMeans{Clusters: g.Clusters, Dim: g.Dim, Metric: g.Metric, Implementation: g.Implementation, MaxIter: g.MaxIter,
		Tol: g.Tol, RandomState: g.RandomState, NInit: g.NInit}
	for _, rows := range g.Codebooks {
		b := core.Matrix{Rows: len(rows), Cols: g.Dim}
		for _, row := range rows {
			b.Data = append(b.Data, row...)
		}
		m.Books = append(m.Books, b)
	}
	return g, m
}

func goldenNames(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(models, "*", "metadata.json"))
	if err != nil || len(dirs) < 3 {
		t.Fatal("model directories missing: ", dirs, err)
	}
	for i, d := range dirs {
		dirs[i] = filepath.Base(filepath.Dir(d))
	}
	return dirs
}

// same compares bit by bit, which tells 0 from -0.
func same(a, b persist.RQKMeans) bool {
	if len(a.Books) != len(b.Books) {
		return false
	}
	for l := range a.Books {
		if len(a.Books[l].Data) != len(b.Books[l].Data) {
			return false
		}
		for i, v := range a.Books[l].Data {
			if math.Float32bits(v) != math.Float32bits(b.Books[l].Data[i]) {
				return false
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

// Every model directory there ever was loads, with what it held when it was written.
func TestGoldenModels(t *testing.T) {
	for _, name := range goldenNames(t) {
		_, want := readGolden(t, name)
		got, err := persist.LoadRQKMeans(filepath.Join(models, name))
		if err != nil || !same(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
		dir := filepath.Join(t.TempDir(), "again")
		if err := persist.SaveRQKMeans(dir, got); err != nil {
			t.Fatal(err)
		}
		if got, err := persist.LoadRQKMeans(dir); err != nil || !same(got, want) {
			t.Errorf("%s saved again: %+v, %v", name, got, err)
		}
	}
}

func TestSavedBytesRepeat(t *testing.T) {
	_, m := readGolden(t, "version-1-python")
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, dir := range []string{a, b} {
		if err := persist.SaveRQKMeans(dir, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"metadata.json", "codebooks.npz"} {
		x, err1 := os.ReadFile(filepath.Join(a, file))
		y, err2 := os.ReadFile(filepath.Join(b, file))
		if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs between two saves of one model: %v %v", file, err1, err2)
		}
	}
}

// allocated returns the bytes allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Cut anywhere, and with any one bit changed, a model directory gives a clear error or the model it held. The settings
// of 0.2.5 have no checksum, so there only the codebooks are sure.
func TestDamagedModels(t *testing.T) {
	for _, name := range goldenNames(t) {
		for _, file := range []string{"metadata.json", "codebooks.npz"} {
			_, want := readGolden(t, name)
			dir := filepath.Join(t.TempDir(), "model")
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(models, name))); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, file)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			loaded, refused := 0, 0
			check := func(how string, at int, damaged []byte) {
				t.Helper()
				if err := os.WriteFile(path, damaged, 0o666); err != nil {
					t.Fatal(err)
				}
				before := allocated()
				got, err := persist.LoadRQKMeans(dir)
				if n := allocated() - before; n > 4<<20 {
					t.Errorf("%s/%s %s at %d: allocated %d bytes", name, file, how, at, n)
				}
				switch {
				case err == nil:
					loaded++
					if name == "semantic-id-0.2.5" && file == "metadata.json" {
						got = persist.RQKMeans{Books: got.Books}
						want = persist.RQKMeans{Books: want.Books}
					}
					if !same(got, want) {
						t.Errorf("%s/%s %s at %d: a wrong model %+v", name, file, how, at, got)
					}
				case !errors.Is(err, core.ErrFormat) && !errors.Is(err, core.ErrType) && !errors.Is(err, core.ErrVersion):
					t.Errorf("%s/%s %s at %d: %v", name, file, how, at, err)
				case !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), dir):
					t.Errorf("%s/%s %s at %d: the error does not name the file: %v", name, file, how, at, err)
				default:
					refused++
				}
			}
			for at := range whole {
				check("cut", at, whole[:at])
			}
			for at := 0; at < 8*len(whole); at += 5 { // all bits pass too; these are quicker
				damaged := bytes.Clone(whole)
				damaged[at/8] ^= 1 << (at % 8)
				check("bit", at, damaged)
			}
			if refused < len(whole) {
				t.Errorf("%s/%s: %d refused, %d loaded", name, file, refused, loaded)
			}
			if file == "codebooks.npz" && name != "semantic-id-0.2.5" && loaded > 0 {
				t.Errorf("%s/%s: loaded %d times in spite of its checksum", name, file, loaded)
			}
		}
	}
}

// A model put together from the files of two is neither.
func TestMixedModels(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	_, m := readGolden(t, "version-1-go")
	if err := persist.SaveRQKMeans(dir, m); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "codebooks.npz"))
	if err != nil {
		t.Fatal(err)
	}
	m.Books[0].Data[0]++
	if err := persist.SaveRQKMeans(dir, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "codebooks.npz"), old, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := persist.LoadRQKMeans(dir); !errors.Is(err, core.ErrFormat) || !strings.Contains(err.Error(), "of another model") {
		t.Error(err)
	}
}

func TestLoadFromWhereNoModelIs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	empty := filepath.Join(dir, "empty")
	half := filepath.Join(dir, "half")
	odd := filepath.Join(dir, "odd")
	pipe := filepath.Join(dir, "pipe")
	if err := os.CopyFS(half, os.DirFS(filepath.Join(models, "version-1-go"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(pipe, os.DirFS(filepath.Join(models, "version-1-go"))); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(file, nil, 0o666), os.Mkdir(empty, 0o777), os.Remove(filepath.Join(half, "codebooks.npz")),
		os.MkdirAll(filepath.Join(odd, "metadata.json"), 0o777),
		os.Remove(filepath.Join(pipe, "codebooks.npz")), syscall.Mkfifo(filepath.Join(pipe, "codebooks.npz"), 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		want error
		says string
	}{
		{filepath.Join(dir, "none"), fs.ErrNotExist, "none"},
		{"", fs.ErrNotExist, "no such file"},
		{file, syscall.ENOTDIR, "pass the directory that holds metadata.json"},
		{empty, fs.ErrNotExist, "not the directory of a saved model"},
		{half, fs.ErrNotExist, "the model is incomplete"},
		{odd, core.ErrFormat, "not a file"},
		{pipe, core.ErrFormat, "not a file"},
	} {
		_, err := persist.LoadRQKMeans(c.path)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}
