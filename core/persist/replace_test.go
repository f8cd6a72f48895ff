package persist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core"
)

// Savers at once, by swap and inside the directory, and readers meanwhile: every load gives one of the models whole.
func TestConcurrent(t *testing.T) {
	for _, place := range places {
		if place.name == "working directory" { // Chdir and threads do not mix
			continue
		}
		t.Run(place.name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			must(t, os.Mkdir(parent, 0o777))
			dir := filepath.Join(parent, "model")
			if place.old {
				must(t, saveRQKMeans(&testDisk{}, dir, model(0)))
			}
			place.prepare(t, parent)
			ctx, stop := context.WithCancel(t.Context())
			var readers, savers sync.WaitGroup
			for range 2 {
				readers.Go(func() {
					last := int64(-1)
					for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
						if m, err := LoadRQKMeans(dir); err == nil {
							last = *m.RandomState
						} else if last >= 0 || !errors.Is(err, fs.ErrNotExist) {
							t.Errorf("after model %d: %v", last, err)
							return
						}
					}
				})
			}
			for s := range int64(4) {
				savers.Go(func() {
					for i := range int64(8) {
						d := testDisk{noExchange: place.disk.noExchange && i%2 == 0}
						if err := saveRQKMeans(&d, dir, model(1+s*8+i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			savers.Wait()
			stop()
			readers.Wait()
			if seedOf(t, dir) < 1 {
				t.Error("no model")
			}
			checkTidy(t, "after all", parent, dir, place.extra, true)
		})
	}
}

// Two savers find no directory; the one that comes second replaces what the first made.
func TestRaceToCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	d := testDisk{first: func() { must(t, SaveRQKMeans(dir, model(1))) }}
	must(t, saveRQKMeans(&d, dir, model(2)))
	if got := seedOf(t, dir); got != 2 {
		t.Error(got)
	}
	checkTidy(t, "after both", filepath.Dir(dir), dir, nil, true)
}

// A load between whose two files another model is saved takes the other model.
func TestReplacedDuringLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	must(t, SaveRQKMeans(dir, model(1)))
	before, err := lookAt(dir)
	must(t, err)
	must(t, SaveRQKMeans(dir, model(2)))
	if m, err := loadRQKMeans(dir, before.metadata); !errors.Is(err, core.ErrFormat) {
		t.Errorf("a mix: %+v, %v", m, err)
	}
	after, err := lookAt(dir)
	if err != nil || after.same(before) {
		t.Error("the directory looks as before", err)
	}
}

// So it does when the settings have no checksum and would fit: readers and savers of models that alternate between two.
func TestReplacedDuringLoadWithoutChecksums(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	save := func(seed int64) error {
		return replaceDir(&testDisk{}, dir, func(tmp string) error {
			var npz bytes.Buffer
			must(t, writeCodebooks(&npz, model(seed).Books))
			must(t, os.WriteFile(filepath.Join(tmp, codebooksName), npz.Bytes(), 0o666))
			return os.WriteFile(filepath.Join(tmp, metadataName), fmt.Appendf(nil, `{"type": "RQKMeans", "n_levels": 2, "n_clusters": [4, 3],
				"metric": "l2", "max_iter": 100, "tol": 0.0001, "random_state": %d, "n_init": null, "D": 3}`, seed), 0o666)
		})
	}
	must(t, save(0))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		defer stop()
		for seed := range int64(100) {
			if err := save(seed); err != nil {
				t.Error(err)
			}
		}
	}()
	for ctx.Err() == nil {
		seedOf(t, dir)
	}
}

// TestMain turns this program into one that saves models 1, 2, 3, .. to a directory until it is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("PERSIST_TEST_SAVE_TO")
	if dir == "" {
		os.Exit(m.Run())
	}
	for seed := int64(1); ; seed++ {
		if err := SaveRQKMeans(dir, model(seed)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(seed)
	}
}

func TestKilled(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		t.Run(fmt.Sprintf("foreign=%v", foreign), func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "model")
			must(t, SaveRQKMeans(dir, model(0)))
			var extra []string
			if foreign {
				addForeign(t, parent)
				extra = []string{"notes", "sub"}
			}
			for range 12 {
				var out bytes.Buffer
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "PERSIST_TEST_SAVE_TO="+dir)
				cmd.Stdout = &out
				must(t, cmd.Start())
				time.Sleep(20*time.Millisecond + time.Duration(rand.IntN(20_000))*time.Microsecond)
				must(t, cmd.Process.Kill())
				_ = cmd.Wait()
				lines := strings.Fields(out.String())
				done := int64(0)
				if len(lines) > 0 {
					done, _ = strconv.ParseInt(lines[len(lines)-1], 10, 64)
				}
				if got := seedOf(t, dir); got < done || got > done+1 && done > 0 {
					t.Fatalf("saved %d, and model %d is there", done, got)
				}
			}
			must(t, SaveRQKMeans(dir, model(7)))
			checkTidy(t, "after all", parent, dir, extra, true)
		})
	}
}

// What another saver is still writing is no leftover.
func TestLivingSaverIsLeftAlone(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	err := ReplaceDir(dir, func(tmp string) error {
		must(t, SaveRQKMeans(dir, model(1)))
		return os.WriteFile(filepath.Join(tmp, "late"), nil, 0o666)
	})
	must(t, err)
	if got := names(t, dir); len(got) != 3 { // "late" came last, and keeps what it did not write
		t.Error(got)
	}
	if seedOf(t, dir) != 1 {
		t.Error("the model is gone")
	}
}

func TestModeIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	must(t, os.Mkdir(dir, 0o700))
	must(t, SaveRQKMeans(dir, model(1)))
	must(t, SaveRQKMeans(dir, model(2)))
	info, err := os.Stat(dir)
	must(t, err)
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("the directory was rwx------ and is %v", got)
	}
}

func TestWhereNoModelCanBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("mine"), 0o666))
	must(t, os.MkdirAll(filepath.Join(dir, "odd", metadataName, "x"), 0o777))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	for _, c := range []struct {
		path string
		want error
		text string
	}{
		{"", fs.ErrNotExist, "no such file"},
		{file, syscall.ENOTDIR, "choose a path that is not a file"},
		{filepath.Join(file, "model"), syscall.ENOTDIR, "choose a path that is not a file"},
		{filepath.Join(dir, "odd"), syscall.EISDIR, metadataName},
		{filepath.Join(dir, "loop"), nil, "loop"},
		{filepath.Join(dir, strings.Repeat("x", 300)), syscall.ENAMETOOLONG, "too long"},
	} {
		err := SaveRQKMeans(c.path, model(1))
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "saving "+c.path) {
			t.Errorf("%.50s: %v", c.path, err)
		}
	}
	if text, _ := os.ReadFile(file); string(text) != "mine" {
		t.Error("the file was changed")
	}
	if got := names(t, dir); len(got) != 3 {
		t.Errorf("left behind: %q", got)
	}
	if got := names(t, filepath.Join(dir, "odd")); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

// A link to a directory that is still to be made is followed too.
func TestDanglingLink(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("there", filepath.Join(dir, "link")))
	must(t, SaveRQKMeans(filepath.Join(dir, "link"), model(1)))
	if info, err := os.Lstat(filepath.Join(dir, "there")); err != nil || !info.IsDir() || seedOf(t, filepath.Join(dir, "link")) != 1 {
		t.Error(err)
	}
}

// A tree of directories, as an engine saves: subdirectories are merged, and foreign files in them stay.
func TestTree(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "engine")
		save := func(text string) error {
			return ReplaceDir(dir, func(tmp string) error {
				must(t, os.MkdirAll(filepath.Join(tmp, "a", "b"), 0o777))
				must(t, os.WriteFile(filepath.Join(tmp, "a", "b", "deep"), []byte(text), 0o666))
				return os.WriteFile(filepath.Join(tmp, "top"), []byte(text), 0o666)
			})
		}
		must(t, save("old"))
		if foreign {
			must(t, os.WriteFile(filepath.Join(dir, "a", "mine"), []byte("mine"), 0o666))
		}
		before, _ := os.Stat(dir)
		must(t, save("new"))
		after, _ := os.Stat(dir)
		if canExchange && os.SameFile(before, after) != foreign {
			t.Errorf("foreign %v: swapped %v", foreign, !os.SameFile(before, after))
		}
		for path, want := range map[string]string{"top": "new", "a/b/deep": "new", "a/mine": "mine"} {
			text, err := os.ReadFile(filepath.Join(dir, path))
			if path == "a/mine" && !foreign {
				continue
			}
			if err != nil || string(text) != want {
				t.Errorf("%s: %q, %v", path, text, err)
			}
		}
		if got := names(t, dir); len(got) != 2 {
			t.Error(got)
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Run("every write fails", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		defer full.Close()
		dir := filepath.Join(t.TempDir(), "model")
		must(t, SaveRQKMeans(dir, model(1)))
		checkFull(t, dir, saveRQKMeans(fullDisk{}, dir, model(2)))
	})
	t.Run("small file system", func(t *testing.T) {
		parent := t.TempDir()
		unmount, err := mountSmall(parent)
		if err != nil {
			t.Log("only a process that may mount can have one: ", err)
			return
		}
		defer unmount()
		dir := filepath.Join(parent, "model")
		must(t, SaveRQKMeans(dir, model(1)))
		big := model(2)
		big.Clusters[0] = 1 << 16
		big.Books[0] = core.NewMatrix(big.Clusters[0], big.Dim)
		for i := range big.Books[0].Data {
			big.Books[0].Data[i] = rand.Float32() // nothing to compress
		}
		checkFull(t, dir, SaveRQKMeans(dir, big))
		must(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o666))
		err = SaveRQKMeans(dir, big) // inside the directory
		must(t, os.Remove(filepath.Join(dir, "notes")))
		checkFull(t, dir, err)
	})
}

func checkFull(t *testing.T, dir string, err error) {
	t.Helper()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space and save again") {
		t.Error(err)
	}
	if got := seedOf(t, dir); got != 1 {
		t.Errorf("model %d", got)
	}
	checkTidy(t, "full", filepath.Dir(dir), dir, nil, true)
}

type fullDisk struct{ osDisk }

func (fullDisk) Create(path string) (io.WriteCloser, error) {
	return os.OpenFile("/dev/full", os.O_WRONLY, 0)
}

func TestReadOnly(t *testing.T) {
	for _, c := range []struct {
		name          string
		parent, model os.FileMode
		foreign       bool
		ok            bool
	}{
		{"both", 0o555, 0o555, false, false},
		{"the directory", 0o777, 0o555, false, false},
		{"the directory, with foreign files", 0o777, 0o555, true, false},
		{"the parent", 0o555, 0o777, false, true}, // saved inside
	} {
		t.Run(c.name, func(t *testing.T) {
			parent, err := os.MkdirTemp("", "readonly") // not t.TempDir: others must reach it
			must(t, err)
			dir := filepath.Join(parent, "model")
			must(t, SaveRQKMeans(dir, model(1)))
			var extra []string
			if c.foreign {
				addForeign(t, parent)
				extra = []string{"notes", "sub"}
			}
			must(t, os.Chmod(dir, c.model))
			must(t, os.Chmod(parent, c.parent))
			t.Cleanup(func() {
				_ = os.Chmod(parent, 0o777)
				_ = os.Chmod(dir, 0o777)
				_ = os.RemoveAll(parent)
			})
			asNobody(t, func() {
				if m, err := LoadRQKMeans(dir); err != nil || *m.RandomState != 1 {
					t.Error("load: ", err)
				}
				err = SaveRQKMeans(dir, model(2))
			})
			if c.ok {
				if err != nil || seedOf(t, dir) != 2 {
					t.Error(err)
				}
			} else if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "you may write to") || seedOf(t, dir) != 1 {
				t.Error(err)
			}
			checkTidy(t, c.name, parent, dir, extra, true)
		})
	}
}
