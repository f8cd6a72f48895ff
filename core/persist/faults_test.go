package persist

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// testDisk is the disk with calls that are counted, written down, and fail at the n-th, or from the n-th on as when the
// process dies there. It leaves out syncs, which tests need not wait for.
type testDisk struct {
	calls      []string
	failAt     int // 1 is the first call; 0: none fails
	dead       bool
	noExchange bool
	noLink     string // a directory that renames cannot enter, like a mount point
	first      func() // runs before the first rename
}

var errFault = errors.New("injected fault")

func (d *testDisk) step(format string, args ...any) error {
	d.calls = append(d.calls, fmt.Sprintf(format, args...))
	if n := len(d.calls); n == d.failAt || d.dead && d.failAt > 0 && n > d.failAt {
		return errFault
	}
	return nil
}

func (d *testDisk) Mkdir(path string, perm os.FileMode) error {
	if err := d.step("mkdir %s", path); err != nil {
		return err
	}
	return os.Mkdir(path, perm)
}

func (d *testDisk) Chmod(path string, perm os.FileMode) error {
	if err := d.step("chmod %s", path); err != nil {
		return err
	}
	return os.Chmod(path, perm)
}

func (d *testDisk) Sync(path string) error { return d.step("sync %s", path) }

func (d *testDisk) Rename(from, to string) error {
	if err := d.step("rename %s %s", from, to); err != nil {
		return err
	}
	if f := d.first; f != nil {
		d.first = nil
		f()
	}
	if d.noLink != "" && filepath.Dir(to) == d.noLink && filepath.Dir(from) == filepath.Dir(d.noLink) {
		d.calls[len(d.calls)-1] = "refused"
		return syscall.EXDEV
	}
	return os.Rename(from, to)
}

func (d *testDisk) Exchange(a, b string) error {
	if err := d.step("exchange %s %s", a, b); err != nil {
		return err
	}
	if d.noExchange {
		d.calls[len(d.calls)-1] = "refused"
		return errors.ErrUnsupported
	}
	return exchange(a, b)
}

func (d *testDisk) RemoveAll(path string) error {
	if err := d.step("remove %s", path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

func (d *testDisk) Create(path string) (io.WriteCloser, error) {
	if err := d.step("create %s", path); err != nil {
		return nil, err
	}
	f, err := osDisk{}.Create(path)
	return testFile{f, d, path}, err
}

type testFile struct {
	io.WriteCloser
	d    *testDisk
	path string
}

func (f testFile) Write(p []byte) (int, error) {
	if err := f.d.step("write %s", f.path); err != nil {
		n, _ := f.WriteCloser.Write(p[:len(p)/2])
		return n, err
	}
	return f.WriteCloser.Write(p)
}

func (f testFile) Close() error {
	err := f.WriteCloser.Close()
	if e := f.d.step("close %s", f.path); e != nil {
		return e
	}
	return err
}

// model is a small model, another for each seed.
func model(seed int64) RQKMeans {
	m := RQKMeans{Clusters: []int{4, 3}, Dim: 3, Metric: "l2", Implementation: "kmeans", MaxIter: 100, Tol: 1e-4, RandomState: &seed}
	for _, k := range m.Clusters {
		b := core.NewMatrix(k, 3)
		for i := range b.Data {
			b.Data[i] = float32(seed) + float32(i)/8
		}
		m.Books = append(m.Books, b)
	}
	return m
}

// seedOf loads dir and returns which model it is, -1 when there is none. Anything else fails the test.
func seedOf(t *testing.T, dir string) int64 {
	t.Helper()
	m, err := LoadRQKMeans(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, model(*m.RandomState)) {
		t.Fatalf("a model nobody saved: %+v", m)
	}
	return *m.RandomState
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// places are the ways a save can go. Each prepares parent/model, where old says whether a model is there before.
var places = []struct {
	name    string
	disk    testDisk
	old     bool
	prepare func(t *testing.T, parent string)
	extra   []string // what must stand in the directory beside the model's files, before and after
}{
	{name: "new", prepare: func(*testing.T, string) {}},
	{name: "new parents", prepare: func(t *testing.T, parent string) { must(t, os.Remove(parent)) }},
	{name: "empty", prepare: func(t *testing.T, parent string) { must(t, os.Mkdir(filepath.Join(parent, "model"), 0o700)) }},
	{name: "swap", old: true, prepare: func(*testing.T, string) {}},
	{name: "no exchange", old: true, disk: testDisk{noExchange: true}, prepare: func(*testing.T, string) {}},
	{name: "foreign files", old: true, extra: []string{"notes", "sub"}, prepare: addForeign},
	{name: "foreign files only", extra: []string{"notes", "sub"}, prepare: func(t *testing.T, parent string) {
		must(t, os.Mkdir(filepath.Join(parent, "model"), 0o777))
		addForeign(t, parent)
	}},
	{name: "working directory", old: true, prepare: func(t *testing.T, parent string) { t.Chdir(filepath.Join(parent, "model")) }},
	{name: "mount point", old: true, disk: testDisk{noExchange: true}, prepare: func(*testing.T, string) {}},
	{name: "symbolic link", old: true, prepare: func(t *testing.T, parent string) {
		elsewhere := t.TempDir()
		must(t, os.Rename(filepath.Join(parent, "model"), filepath.Join(elsewhere, "target")))
		must(t, os.Symlink(filepath.Join(elsewhere, "target"), filepath.Join(parent, "model")))
	}},
}

func addForeign(t *testing.T, parent string) {
	dir := filepath.Join(parent, "model")
	must(t, os.WriteFile(filepath.Join(dir, "notes"), []byte("mine"), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "sub", "sub"), 0o700))
}

// Whatever call of a save fails, and whether the process lives on or dies, the old model or the new one loads, files of
// others stay, and the next save leaves nothing behind.
func TestFaults(t *testing.T) {
	for _, place := range places {
		for _, dead := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/dead=%v", place.name, dead), func(t *testing.T) {
				step := 1
				if testing.Short() {
					step = 5
				}
				for failAt := 1; ; failAt += step {
					parent := filepath.Join(t.TempDir(), "parent")
					must(t, os.Mkdir(parent, 0o777))
					dir := filepath.Join(parent, "model")
					before := int64(-1)
					if place.old {
						before = 1
						must(t, saveRQKMeans(&testDisk{}, dir, model(before)))
					}
					place.prepare(t, parent)
					if place.name == "mount point" {
						place.disk.noLink = dir
					}

					d := place.disk
					d.failAt, d.dead = failAt, dead
					err := saveRQKMeans(&d, dir, model(2))
					reached := len(d.calls) >= failAt
					after := seedOf(t, dir)
					at := fmt.Sprintf("call %d of %d, %s", failAt, len(d.calls), d.calls[min(failAt, len(d.calls))-1])
					if after != 2 && after != before || err == nil && after != 2 {
						t.Fatalf("%s: error %v, model %d", at, err, after)
					}
					if err != nil && !errors.Is(err, errFault) {
						t.Fatalf("%s: error %v", at, err)
					}
					if err != nil && !dead && after == before { // it tidied up itself
						checkTidy(t, at, parent, dir, place.extra, before >= 0)
					}

					d = place.disk
					must(t, saveRQKMeans(&d, dir, model(3)))
					if got := seedOf(t, dir); got != 3 {
						t.Fatalf("%s: next save gave model %d", at, got)
					}
					checkTidy(t, at, parent, dir, place.extra, true)
					if !reached {
						break
					}
				}
			})
		}
	}
}

func checkTidy(t *testing.T, at, parent, dir string, extra []string, model bool) {
	t.Helper()
	if !model {
		if _, err := os.Stat(dir); err != nil {
			return
		}
	}
	if got := names(t, parent); !slices.Equal(got, []string{"model"}) {
		t.Fatalf("%s: left beside the model: %q", at, got)
	}
	want := slices.Clone(extra)
	if model {
		want = append(want, codebooksName, metadataName)
	}
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Fatalf("%s: in the model %q, want %q", at, got, want)
	}
}

// Every file and directory is synced after its last change and before the rename or swap that makes it count, and that
// one's directory after it.
func TestSyncOrder(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			must(t, os.Mkdir(parent, 0o777))
			dir := filepath.Join(parent, "model")
			if place.old {
				must(t, saveRQKMeans(&testDisk{}, dir, model(1)))
			}
			place.prepare(t, parent)
			d := place.disk
			if place.name == "mount point" {
				d.noLink = dir
			}
			must(t, saveRQKMeans(&d, dir, model(2)))
			if place.name == "working directory" {
				is, _ := os.Stat(".")
				if here, err := os.Stat(dir); err != nil || !os.SameFile(is, here) {
					t.Error("the working directory is no longer that of the model")
				}
			}

			dirty := map[string]bool{}   // changed, and not synced since
			renamed := map[string]bool{} // directories in which a name was changed for good, and not synced since
			committed, moving := false, false
			for _, call := range d.calls {
				f := append(strings.Fields(call), "") // no path here has spaces
				path := f[1]
				switch f[0] {
				case "mkdir", "create":
					dirty[path], dirty[filepath.Dir(path)] = true, true
					if _, err := os.Stat(path); err == nil {
						renamed[filepath.Dir(path)] = true
					}
				case "write":
					dirty[path] = true
				case "sync":
					delete(dirty, path)
					delete(renamed, path)
				case "rename", "exchange":
					committed = true
					for p := range dirty {
						if p == path || strings.HasPrefix(p, path+"/") {
							t.Errorf("%s, before %s was synced", call, p)
						}
					}
					if dir := filepath.Dir(filepath.Dir(path)); filepath.Base(filepath.Dir(path)) == saved && renamed[dir] && !moving {
						t.Errorf("%s, before the rename that made it count was synced", call)
					}
					moving = filepath.Base(filepath.Dir(path)) == saved
					renamed[filepath.Dir(f[2])] = true
				case "remove":
					if _, err := os.Stat(path); err == nil || renamed[filepath.Dir(path)] && committed {
						t.Errorf("%s, before %s was synced", call, filepath.Dir(path))
					}
				}
			}
			for p := range renamed {
				t.Errorf("%s was not synced at the end", p)
			}
			if !committed {
				t.Error("no rename")
			}
		})
	}
}

// A swap that may not be on the disk yet keeps what it swapped out.
func TestUnsyncedSwapKeepsOld(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	must(t, saveRQKMeans(&testDisk{}, dir, model(1)))
	var d testDisk
	must(t, saveRQKMeans(&d, dir, model(2)))
	d.failAt = slices.IndexFunc(d.calls, func(c string) bool { return strings.HasPrefix(c, "exchange") }) + 2
	if d.failAt < 2 {
		t.Skip("no exchange on this system")
	}
	d.calls = nil
	if err := saveRQKMeans(&d, dir, model(3)); !errors.Is(err, errFault) || !strings.HasPrefix(d.calls[d.failAt-1], "sync") {
		t.Fatal(err, d.calls)
	}
	left := names(t, parent)
	if len(left) != 2 || seedOf(t, filepath.Join(parent, left[0])) != 2 || seedOf(t, dir) != 3 {
		t.Error(left)
	}
}
