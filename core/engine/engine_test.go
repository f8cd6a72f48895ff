package engine_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/engine"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
	"github.com/semantic-id/semantic-id/core/store"
)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func rows(n int) core.Matrix {
	rng := rand.New(rand.NewPCG(1, 2))
	x := core.NewMatrix(n, 4)
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64())
	}
	return x
}

// model has two levels of three codes, so that sixty rows share them.
func model(t *testing.T, seed uint64) *rqkmeans.Model {
	t.Helper()
	p := rqkmeans.DefaultParams(2, 3)
	p.Seed = seed
	x := rows(60)
	for i := range x.Data {
		x.Data[i] += float32(seed) * x.Data[i]
	}
	m, _, _, err := rqkmeans.Fit(ctx, x, nil, p)
	must(t, err)
	return m
}

func keys(n int) (items []string) {
	for i := range n {
		if items = append(items, store.IntItem(int64(i))); i%3 == 0 {
			items[i] = store.TextItem(`k"` + string(rune('a'+i)))
		}
	}
	return items
}

func everyStore(t *testing.T, f func(t *testing.T, s store.Store)) {
	t.Run("memory", func(t *testing.T) { f(t, store.NewMemory()) })
	t.Run("sqlite", func(t *testing.T) {
		s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "ids.db"), store.DefaultTimeout)
		must(t, err)
		defer s.Close()
		f(t, s)
	})
}

func TestItemsKeepTheirIDs(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		e := &engine.Engine{Quantizer: model(t, 0), Store: s}
		x, f := rows(60), engine.DefaultFormat()
		ids, other, err := e.UniqueIDs(ctx, x, keys(60), f)
		must(t, err)
		same(t, other, false)
		sorted := slices.Sorted(slices.Values(ids))
		same(t, len(slices.Compact(sorted)), 60)
		again, err := e.Append(ctx, x, keys(60), f)
		must(t, err)
		same(t, again, ids)
		items, err := e.Lookup(ctx, append(ids, "nobody's"))
		must(t, err)
		same(t, items, append(keys(60), ""))

		codes := core.NewCodes(60, 2)
		must(t, e.Quantizer.Encode(ctx, x, codes))
		for _, prefix := range [][]int32{nil, {0}, {1}, {2}, {1, 2}, {3}} {
			var want, got []string
			for i, key := range keys(60) {
				if len(prefix) == 0 || slices.Equal(codes.Row(i)[:len(prefix)], prefix) {
					want = append(want, key)
				}
			}
			found, err := e.Items(ctx, prefix)
			must(t, err)
			for _, item := range found {
				got = append(got, item.Key)
			}
			slices.Sort(want)
			slices.Sort(got)
			same(t, got, want)
		}

		named, err := e.NamedIDs(ctx, x.Slice(0, 1), []string{"n"}, f)
		must(t, err)
		if !strings.HasSuffix(named[0], "-n") {
			t.Error(named)
		}
		n, err := e.Forget(ctx, keys(2))
		same(t, n, 2)
		must(t, err)
		n, err = e.Release(ctx, keys(3))
		same(t, n, 1)
		must(t, err)
	})
}

func TestVersions(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		one, two := &engine.Engine{Quantizer: model(t, 0), Store: s}, &engine.Engine{Quantizer: model(t, 1), Store: s, Version: "2"}
		x, f := rows(60), engine.DefaultFormat()
		ids, err := one.Append(ctx, x, keys(60), f)
		must(t, err)
		f.Token = true
		tokens, err := two.Append(ctx, x, keys(60), f)
		must(t, err)
		if !strings.HasPrefix(tokens[0], "<2><a_") {
			t.Error(tokens[0])
		}
		f.Write = func(codes []int32) string { return "x" }
		own, err := two.Append(ctx, x.Slice(0, 1), []string{store.TextItem("new")}, f)
		must(t, err)
		same(t, own, []string{"2:x"})
		items, err := one.Lookup(ctx, []string{ids[7], tokens[7]})
		must(t, err)
		same(t, items, []string{keys(60)[7], keys(60)[7]})

		mixed := &engine.Engine{Quantizer: two.Quantizer, Store: s}
		if _, err := mixed.Append(ctx, x, keys(60), f); !errors.Is(err, core.ErrParam) || !strings.Contains(err.Error(), "another model") {
			t.Error(err)
		}
		_, other, err := mixed.UniqueIDs(ctx, x.Slice(0, 1), []string{store.TextItem("new")}, f)
		same(t, other, true)
		must(t, err)
		if _, err := two.Append(ctx, x, keys(60), engine.Format{Sep: "::"}); !errors.Is(err, core.ErrParam) || !strings.Contains(err.Error(), "colon") {
			t.Error(err)
		}
		bad := &engine.Engine{Quantizer: two.Quantizer, Store: s, Version: "a b"}
		if _, err := bad.Append(ctx, x, keys(60), f); !errors.Is(err, core.ErrParam) {
			t.Error(err)
		}
	})
}

func TestBadInput(t *testing.T) {
	e := &engine.Engine{Quantizer: model(t, 0), Store: store.NewMemory()}
	x, f := rows(3), engine.DefaultFormat()
	for name, call := range map[string]func() error{
		"sep":        func() error { _, _, err := e.UniqueIDs(ctx, x, nil, engine.Format{Sep: "1"}); return err },
		"unequal":    func() error { _, err := e.Append(ctx, x, keys(2), f); return err },
		"no items":   func() error { _, err := e.Append(ctx, x, nil, f); return err },
		"twice":      func() error { _, err := e.Append(ctx, x, []string{"i1", "i2", "i1"}, f); return err },
		"no rows":    func() error { _, err := e.Append(ctx, core.Matrix{}, keys(0), f); return err },
		"columns":    func() error { _, err := e.Append(ctx, core.NewMatrix(3, 5), keys(3), f); return err },
		"a bad name": func() error { _, err := e.NamedIDs(ctx, x, []string{"", "b", "c"}, f); return err },
	} {
		if err := call(); !errors.Is(err, core.ErrParam) && !errors.Is(err, core.ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	items, err := e.Items(ctx, nil)
	must(t, err)
	same(t, len(items), 0)
}

func TestExportAndImport(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		e := &engine.Engine{Quantizer: model(t, 0), Store: s, Version: "v"}
		ids, err := e.Append(ctx, rows(60), keys(60), engine.DefaultFormat())
		must(t, err)
		want, err := e.Items(ctx, nil)
		must(t, err)
		for _, table := range []engine.Table{engine.CSV, engine.JSONL} {
			var file bytes.Buffer
			n, err := e.Export(ctx, &file, table)
			must(t, err)
			same(t, n, 60)
			text := file.String()
			fresh := &engine.Engine{Quantizer: e.Quantizer, Store: store.NewMemory(), Version: "v"}
			n, err = fresh.Import(ctx, strings.NewReader(text), table)
			must(t, err)
			same(t, n, 60)
			got, err := fresh.Items(ctx, nil)
			must(t, err)
			same(t, got, want)
			again, err := fresh.Append(ctx, rows(60), keys(60), engine.DefaultFormat())
			must(t, err)
			same(t, again, ids)
			other := &engine.Engine{Quantizer: e.Quantizer, Store: store.NewMemory(), Version: "w"}
			if _, err := other.Import(ctx, strings.NewReader(text), table); !errors.Is(err, core.ErrParam) {
				t.Error(err)
			}
		}
		if _, err := e.Export(ctx, nil, 7); !errors.Is(err, core.ErrParam) {
			t.Error(err)
		}
	})
}

func TestBadTables(t *testing.T) {
	e := &engine.Engine{Quantizer: model(t, 0), Store: store.NewMemory()}
	for text, table := range map[string]engine.Table{
		"":                                                            engine.CSV,
		"id,semantic_id\n1,2\n":                                       engine.CSV,
		"id,semantic_id,id_type\n1,2,real\n":                          engine.CSV,
		"id,semantic_id,id_type\nx,2,int\n":                           engine.CSV,
		"id,semantic_id,id_type\n1,2\n":                               engine.CSV,
		"id,semantic_id,id_type\n1,,int\n":                            engine.CSV,
		"id,semantic_id,code_0,id_type\n1,2,-3,int\n":                 engine.CSV,
		`{"id":1.5,"semantic_id":"a"}`:                                engine.JSONL,
		`{"semantic_id":"a"}`:                                         engine.JSONL,
		`{"id":1,"semantic_id":"a","codes":[-1]}`:                     engine.JSONL,
		`{"id":1,"semantic_id":"a"}{"id":1,"semantic_id":"b"}`:        engine.JSONL,
		`{"id":1,"semantic_id":"a"}{"id":2,"semantic_id":"a"}`:        engine.JSONL,
		`{"id":1,"semantic_id":"a"}{"id":2,"semantic_id":"b","codes"`: engine.JSONL,
		"[]": 9,
	} {
		if _, err := e.Import(ctx, strings.NewReader(text), table); !errors.Is(err, core.ErrParam) {
			t.Errorf("%s: %v", text, err)
		}
	}
	items, err := e.Items(ctx, nil)
	must(t, err)
	same(t, len(items), 0)
}

func TestSaveAndLoad(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		dir := filepath.Join(t.TempDir(), "e")
		e := &engine.Engine{Quantizer: model(t, 0), Store: s, Version: "2"}
		ids, err := e.Append(ctx, rows(60), keys(60), engine.DefaultFormat())
		must(t, err)
		must(t, e.Save(ctx, dir))
		again, err := engine.Load(ctx, dir, nil)
		must(t, err)
		defer again.Store.Close()
		same(t, again.Version, "2")
		got, err := again.Append(ctx, rows(60), keys(60), engine.DefaultFormat())
		must(t, err)
		same(t, got, ids)
		_, err = again.Append(ctx, rows(60).Slice(0, 1), []string{"inew"}, engine.DefaultFormat())
		must(t, err)
		must(t, again.Save(ctx, dir)) // beside the database that is open
		items, err := again.Items(ctx, nil)
		must(t, err)
		same(t, len(items), 61)
		shared, err := engine.Load(ctx, dir, s)
		must(t, err)
		if shared.Store != s {
			t.Error("not the store that was passed")
		}
		if _, err := os.Stat(filepath.Join(dir, ".semantic-id-saved")); err == nil {
			t.Error("the save is not settled")
		}
		must(t, again.Store.Close())
		last, err := engine.Load(ctx, dir, nil)
		must(t, err)
		defer last.Store.Close()
		items, err = last.Items(ctx, nil)
		must(t, err)
		same(t, len(items), 61)
	})
}

// TestAFailedSaveChangesNothing: here the backup of the database cannot be made.
func TestAFailedSaveChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "e")
	one := &engine.Engine{Quantizer: model(t, 0), Store: store.NewMemory()}
	_, err := one.Append(ctx, rows(2), keys(2), engine.DefaultFormat())
	must(t, err)
	must(t, one.Save(ctx, dir))
	s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "ids.db"), store.DefaultTimeout)
	must(t, err)
	must(t, s.Close())
	two := &engine.Engine{Quantizer: model(t, 1), Store: s}
	if err := two.Save(ctx, dir); !errors.Is(err, store.ErrStore) {
		t.Error(err)
	}
	again, err := engine.Load(ctx, dir, nil)
	must(t, err)
	same(t, again.Quantizer.(*rqkmeans.Model).Fingerprint(), model(t, 0).Fingerprint())
	entries, err := os.ReadDir(filepath.Dir(dir))
	must(t, err)
	same(t, len(entries), 1)
}

func TestDamagedDirectories(t *testing.T) {
	for name, change := range map[string]struct {
		file string
		edit func([]byte) []byte
		want error
	}{
		"cut":           {"engine_meta.json", func(b []byte) []byte { return b[:len(b)-5] }, core.ErrFormat},
		"newer":         {"engine_meta.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`version": 1`), []byte(`version": 2`), 1) }, core.ErrVersion},
		"another class": {"engine_meta.json", func(b []byte) []byte { return bytes.Replace(b, []byte("RQKMeans"), []byte("RQVAE"), 1) }, core.ErrType},
		"contents":      {"resolver/contents.json", func(b []byte) []byte { return append(b, ' ') }, core.ErrFormat},
		"the model":     {"encoder/metadata.json", func(b []byte) []byte { return append(b, ' ') }, core.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "e")
			must(t, (&engine.Engine{Quantizer: model(t, 0), Store: store.NewMemory()}).Save(ctx, dir))
			file := filepath.Join(dir, filepath.FromSlash(change.file))
			data, err := os.ReadFile(file)
			must(t, err)
			must(t, os.WriteFile(file, change.edit(data), 0o666))
			if _, err := engine.Load(ctx, dir, nil); !errors.Is(err, change.want) {
				t.Error(err)
			}
		})
	}
	if _, err := engine.Load(ctx, filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
