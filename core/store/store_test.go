package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/pgtest"
	"github.com/semantic-id/semantic-id/core/store"
)

var ctx = context.Background()

// kinds are all stores, each made new and empty; again opens what a store has kept, once it is closed.
var kinds = []struct {
	name  string
	open  func(t *testing.T) store.Store
	again func(t *testing.T, s store.Store) store.Store
}{
	{"memory", func(*testing.T) store.Store { return store.NewMemory() }, func(t *testing.T, s store.Store) store.Store {
		data, err := s.(*store.Memory).Snapshot()
		must(t, err)
		m, err := store.RestoreMemory(data)
		must(t, err)
		return m
	}},
	{"sqlite", func(t *testing.T) store.Store { return openSQLite(t, filepath.Join(t.TempDir(), "ids.db")) }, func(t *testing.T, s store.Store) store.Store {
		path := s.(*store.SQLite).Path()
		must(t, s.Close())
		return openSQLite(t, path)
	}},
	{"postgres", func(t *testing.T) store.Store { return openPostgres(t, pgtest.DSN(t)) }, func(t *testing.T, s store.Store) store.Store {
		must(t, s.Close())
		return openPostgres(t, dsns[s])
	}},
}

func openSQLite(t *testing.T, path string) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(ctx, path, 10*time.Second)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// dsns are those of the PostgreSQL stores that were opened.
var dsns = map[store.Store]string{}

func openPostgres(t *testing.T, dsn string) *store.Postgres {
	t.Helper()
	s, err := store.OpenPostgres(ctx, dsn, 10*time.Second)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	dsns[s] = dsn
	return s
}

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

func everyStore(t *testing.T, f func(t *testing.T, s store.Store, again func(store.Store) store.Store)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			f(t, k.open(t), func(s store.Store) store.Store { return k.again(t, s) })
		})
	}
}

func suffixes(t *testing.T, s store.Store, keys ...string) []int64 {
	t.Helper()
	n, err := s.NextSuffixes(ctx, keys)
	must(t, err)
	return n
}

func TestCounting(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, again func(store.Store) store.Store) {
		same(t, suffixes(t, s, "a", "b", "a", "a"), []int64{0, 0, 1, 2})
		same(t, suffixes(t, s), []int64{})
		s = again(s)
		same(t, suffixes(t, s, "c", "a", "Ä", "a", "b"), []int64{0, 3, 0, 4, 1})
	})
}

func TestKeysThatNoStoreTakes(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, _ func(store.Store) store.Store) {
		for _, key := range []string{"", "a\x00b", "\xff"} {
			if _, err := s.NextSuffixes(ctx, []string{"a", key}); !errors.Is(err, core.ErrParam) || !strings.Contains(err.Error(), "position 1") {
				t.Errorf("%q: %v", key, err)
			}
		}
		same(t, suffixes(t, s, "a"), []int64{0}) // none of those batches has counted
	})
}

// TestAFailedTransactionLeavesNothing tries every write of Tx.
func TestAFailedTransactionLeavesNothing(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, again func(store.Store) store.Store) {
		write := func(tx store.Tx, key string, mark store.Mark) {
			_, err := tx.Add([]string{key, key, "both"})
			must(t, err)
			must(t, tx.Shift([]string{key, "both"}, []int64{3, -1}))
			must(t, tx.SetMarks([]string{"m", key}, []store.Mark{mark, mark}))
			must(t, tx.RemoveItems("", []string{"tnobody"}))
		}
		must(t, s.Update(ctx, func(tx store.Tx) error {
			write(tx, "a", store.Held)
			must(t, tx.SetModel("", "m"))
			return tx.AddItems("", []store.Item{{"t1", "x", "1-"}, {"i1", "y", "1-2-"}})
		}))
		before := contents(t, s)
		boom := errors.New("boom")
		fail := func(tx store.Tx) error {
			write(tx, "b", store.Free)
			must(t, tx.AddItems("", []store.Item{{"t2", "z", "0-"}}))
			must(t, tx.RemoveItems("", []string{"t1"}))
			must(t, tx.AddItems("", []store.Item{{"t1", "w", "1-"}}))
			must(t, tx.SetMarks([]string{"m"}, []store.Mark{store.Unmarked}))
			must(t, tx.SetModel("", "n"))
			_, err := tx.Scan("", "", store.Item{}, 9) // which brings them into order
			must(t, err)
			return boom
		}
		if err := s.Update(ctx, fail); !errors.Is(err, boom) {
			t.Error(err)
		}
		same(t, contents(t, s), before)
		func() {
			defer func() { same(t, recover(), any("panic")) }()
			_ = s.Update(ctx, func(tx store.Tx) error { _ = fail(tx); panic("panic") })
		}()
		same(t, contents(t, s), before)
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.AddItems("v", []store.Item{{"t9", "x", ""}}) }); err == nil {
			t.Error("two items have one id")
		}
		same(t, contents(t, again(s)), before)
	})
}

func contents(t *testing.T, s store.Store) (all []any) {
	t.Helper()
	ids := []string{"a", "b", "both", "m", "x", "y", "z", "w"}
	items := []string{"t1", "t2", "i1", "t9"}
	must(t, s.Update(ctx, func(tx store.Tx) error {
		counts, err := tx.Counts(ids)
		must(t, err)
		marks, err := tx.Marks(ids)
		must(t, err)
		of, err := tx.Items("", items)
		must(t, err)
		holders, err := tx.Holders(ids)
		must(t, err)
		found, err := tx.Scan("", "", store.Item{}, 9)
		must(t, err)
		model, err := tx.Model("")
		must(t, err)
		all = []any{counts, marks, of, holders, found, model}
		return nil
	}))
	return all
}

func TestItems(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, again func(store.Store) store.Store) {
		one, text := store.IntItem(1), store.TextItem("1")
		must(t, s.Update(ctx, func(tx store.Tx) error { return tx.AddItems("", []store.Item{{one, "x", ""}, {text, "y", ""}}) }))
		s = again(s)
		items, err := store.Lookup(ctx, s, []string{"y", "nobody's", "x"})
		must(t, err)
		same(t, items, []string{text, "", one})
		n, err := store.Release(ctx, s, "", []string{text, "tnot there", text})
		must(t, err)
		same(t, n, 1)
		items, err = store.Lookup(ctx, s, []string{"y", "x"})
		must(t, err)
		same(t, items, []string{"", one})
	})
}

// TestScan compares with a sorted list of all items, for every prefix and page size.
func TestScan(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, again func(store.Store) store.Store) {
		var all []store.Item
		add := func(version string, codes ...int32) {
			n := len(all)
			item := store.Item{Key: store.IntItem(int64(n * 7 % 40)), ID: fmt.Sprint("id ", n), Path: store.Path(codes)}
			all = append(all, item)
			must(t, s.Update(ctx, func(tx store.Tx) error { return tx.AddItems(version, []store.Item{item}) }))
		}
		for i := range int32(30) {
			add("", i%3*5, i%2*10+1, i%11)
		}
		s = again(s)
		add("", 1)
		add("")
		others := len(all)
		add("v", 10, 1, 1)
		must(t, s.Update(ctx, func(tx store.Tx) error { return tx.RemoveItems("", []string{all[3].Key, all[31].Key}) }))
		must(t, s.Update(ctx, func(tx store.Tx) error { return tx.AddItems("", []store.Item{all[31]}) }))
		for _, prefix := range [][]int32{{}, {1}, {10}, {10, 1}, {10, 11, 8}, {0, 1, 0, 0}, {5}, {7}, {2147483647}} {
			var want []store.Item
			for i, item := range all[:others] {
				if i != 3 && strings.HasPrefix(item.Path, store.Path(prefix)) {
					want = append(want, item)
				}
			}
			slices.SortFunc(want, func(a, b store.Item) int {
				return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Key, b.Key))
			})
			for _, limit := range []int{1, 4, 1000} {
				var got []store.Item
				must(t, s.Update(ctx, func(tx store.Tx) error {
					for after := (store.Item{}); ; after = got[len(got)-1] {
						page, err := tx.Scan("", store.Path(prefix), after, limit)
						if got = append(got, page...); err != nil || len(page) < limit {
							return err
						}
					}
				}))
				same(t, got, want)
			}
		}
	})
}

func TestManyGoroutines(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, _ func(store.Store) store.Store) {
		const workers, rounds = 8, 20
		var wait sync.WaitGroup
		var mu sync.Mutex
		given := map[string]bool{}
		for range workers {
			wait.Go(func() {
				for range rounds {
					keys := []string{"a", "b", "a"}
					n, err := s.NextSuffixes(ctx, keys)
					mu.Lock()
					for i, key := range keys {
						if err != nil {
							t.Error(err)
							break
						}
						id := fmt.Sprint(key, "-", n[i])
						if given[id] {
							t.Error(id, "twice")
						}
						given[id] = true
					}
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		same(t, len(given), workers*rounds*3)
		same(t, suffixes(t, s, "a", "b"), []int64{2 * workers * rounds, workers * rounds})
	})
}

func TestCanceled(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store, _ func(store.Store) store.Store) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.NextSuffixes(ended, []string{"a"}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		same(t, suffixes(t, s, "a"), []int64{0})
	})
}

func TestContentsThatAreNone(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"version":2}`, `{"version":1} {}`, `{"version":1,"other":1}`, `{"version":1,"counts":{"a":0}}`,
		`{"version":1,"counts":{"a":-1}}`, `{"version":1,"items":{"":{"t1":["a",""]},"v":{"t1":["a",""]}}}`, `{"version":1,"items":{"":{"t1":["",""]}}}`} {
		if _, err := store.RestoreMemory([]byte(text)); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := store.RestoreMemory([]byte(`{"version":1}`)); err != nil {
		t.Error(err)
	}
}

func BenchmarkNextSuffixes(b *testing.B) {
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%d-%d-%d", i*7919%70_000%251, i*7919%70_000/251, 7)
	}
	b.Run("store=memory", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.NewMemory().NextSuffixes(ctx, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store=sqlite", func(b *testing.B) {
		for b.Loop() {
			path := filepath.Join(b.TempDir(), "ids.db")
			s, err := store.OpenSQLite(ctx, path, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.NextSuffixes(ctx, keys); err != nil {
				b.Fatal(err)
			}
			s.Close()
			os.Remove(path)
		}
	})
}

func BenchmarkNextSuffix(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ids.db")
	s, err := store.OpenSQLite(ctx, path, time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	key := []string{"1-2-3"}
	for b.Loop() {
		if _, err := s.NextSuffixes(ctx, key); err != nil {
			b.Fatal(err)
		}
	}
}
