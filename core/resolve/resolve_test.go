package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/pgtest"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

var ctx = context.Background()

func everyStore(t *testing.T, f func(t *testing.T, s store.Store)) {
	t.Run("memory", func(t *testing.T) { f(t, store.NewMemory()) })
	t.Run("sqlite", func(t *testing.T) {
		s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "ids.db"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f(t, s)
	})
	t.Run("postgres", func(t *testing.T) {
		s, err := store.OpenPostgres(ctx, pgtest.DSN(t), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f(t, s)
	})
}

func words(s string) []string { return strings.Fields(s) }

// assign works on words, with "-" unless sep is given.
func assign(t *testing.T, s store.Store, b resolve.Batch) string {
	t.Helper()
	if b.Sep == "" {
		b.Sep = "-"
	}
	a, err := resolve.Assign(ctx, s, b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(a.Texts(b), " ")
}

func TestSequences(t *testing.T) {
	type step struct{ ids, names, items, sep, want string }
	for name, steps := range map[string][]step{
		"counting":                 {{ids: "a a b a", want: "a a-1 b a-2"}, {ids: "b a", want: "b-1 a-3"}},
		"names":                    {{ids: "a a b a", names: "x y z w", want: "a a-y b a-w"}, {ids: "a", want: "a-3"}},
		"a name again":             {{ids: "a a a", names: "x y y", want: "a a-y a-2"}, {ids: "a a", names: "y x", want: "a-3 a-x"}},
		"names that are numbers":   {{ids: "a a a a", names: "3 2 1 3", want: "a a-2 a-1 a-3"}, {ids: "a", want: "a-4"}},
		"a name is a later number": {{ids: "a a", names: "9 3", want: "a a-3"}, {ids: "a a a", want: "a-2 a-4 a-5"}},
		"a number passed over by a name comes as a bare id": {{ids: "1 1 1", names: "x y z", want: "1 1-y 1-z"}, {ids: "1-1 1-1 1-2", want: "1-1 1-1-1 1-2"}},
		"a bare id of this batch":                           {{ids: "1 1 1 1-1", want: "1 1-2 1-3 1-1"}, {ids: "1 1-1", want: "1-4 1-1-1"}},
		"a bare id of a later one":                          {{ids: "1 1", want: "1 1-1"}, {ids: "1-1 1-1 1", want: "1-1-1 1-1-2 1-2"}},
		"a bare id that has a name":                         {{ids: "1 1", names: "x y-z", want: "1 1-y-z"}, {ids: "1-y-z 1-y-z", want: "1-y-z-1 1-y-z-2"}},
		"separators":                                        {{ids: "a a", sep: "_", want: "a a_1"}, {ids: "a_1 a", want: "a_1-1 a-2"}, {ids: "a_1", sep: "_", want: "a_1_2"}},
		"items": {{ids: "a a b", items: "i1 t1 i2", want: "a a-1 b"}, {ids: "z a a", items: "t1 i3 i1", want: "a-1 a-2 a"},
			{ids: "a", want: "a-3"}, {ids: "a-1", items: "i9", want: "a-1-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			everyStore(t, func(t *testing.T, s store.Store) {
				for i, step := range steps {
					b := resolve.Batch{IDs: words(step.ids), Sep: step.sep, Names: words(step.names), Items: words(step.items)}
					if step.names == "" {
						b.Names = nil
					}
					if step.items == "" {
						b.Items = nil
					}
					if got := assign(t, s, b); got != step.want {
						t.Errorf("step %d: got %s, want %s", i, got, step.want)
					}
				}
			})
		})
	}
}

func TestReleased(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		assign(t, s, resolve.Batch{IDs: words("a a a"), Items: words("t0 t1 t2")})
		if n, err := store.Release(ctx, s, "", words("t0 t1")); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		for _, step := range [][2]string{{"a a", "a a-3"}, {"a-1 a-1 a-2 a", "a-1 a-1-1 a-2-1 a-4"}} {
			if got := assign(t, s, resolve.Batch{IDs: words(step[0])}); got != step[1] {
				t.Errorf("got %s, want %s", got, step[1])
			}
		}
	})
}

// TestVersions: each version knows items for itself, and no two have an id in common.
func TestVersions(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		for _, step := range []struct {
			version, model, ids, items, want string
			other                            bool
		}{
			{"", "m1", "3-9 3-9", "i1 i2", "3-9 3-9-1", false},
			{"v2", "m2", "v2:3-9 v2:3-9", "i2 i3", "v2:3-9 v2:3-9-1", false},
			{"", "m2", "0-0 0-0", "i1 i2", "3-9 3-9-1", false}, // known
			{"", "m2", "0-0 3-9", "i1 i3", "3-9 3-9-2", true},
			{"v3", "m3", "3-9", "i1", "3-9-3", false}, // of another version, but the same text
			{"", "", "3-9", "i4", "3-9-4", false},
		} {
			b := resolve.Batch{IDs: words(step.ids), Sep: "-", Items: words(step.items), Version: step.version, Model: step.model}
			b.Codes = core.NewCodes(len(b.IDs), 2)
			for i := range b.Codes.Data {
				b.Codes.Data[i] = int32(10 + i)
			}
			a, err := resolve.Assign(ctx, s, b)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(a.Texts(b), " "); got != step.want || a.OtherModel != step.other {
				t.Errorf("got %s, %t, want %s, %t", got, a.OtherModel, step.want, step.other)
			}
		}
		err := s.Update(ctx, func(tx store.Tx) error {
			items, err := tx.Scan("", store.Path([]int32{12}), store.Item{}, 9)
			want := []store.Item{{Key: "i2", ID: "3-9-1", Path: "12-13-"}, {Key: "i3", ID: "3-9-2", Path: "12-13-"}}
			if !reflect.DeepEqual(items, want) {
				t.Error(items)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestNothingTwice gives ids out in random batches of all kinds, from so few keys that everything collides with everything.
func TestNothingTwice(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		batches := 400
		if _, ok := s.(*store.Memory); !ok {
			batches = 40 // each is on the disk at its end
		}
		for seed := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, 7))
			given, items := map[string]string{}, map[string]string{} // the item of an id, "-" for none; the id of an item
			text := func(parts int) string {
				var b strings.Builder
				fmt.Fprint(&b, seed)
				for range 1 + rng.IntN(parts) {
					fmt.Fprint(&b, []string{"-", "-", "-", "_", "--"}[rng.IntN(5)], rng.IntN(3))
				}
				return b.String()
			}
			for range batches {
				b := resolve.Batch{Sep: []string{"-", "-", "_", "--"}[rng.IntN(4)]}
				kind := rng.IntN(3)
				used := map[string]bool{}
				for range 1 + rng.IntN(8) {
					item := store.IntItem(int64(100*seed) + rng.Int64N(60))
					if kind == 2 && used[item] {
						continue
					}
					used[item] = true
					b.IDs = append(b.IDs, text(3))
					switch kind {
					case 1:
						b.Names = append(b.Names, []string{"1", "2", "7", "x", "1-1"}[rng.IntN(5)])
					case 2:
						b.Items = append(b.Items, item)
					}
				}
				a, err := resolve.Assign(ctx, s, b)
				if err != nil {
					t.Fatal(err)
				}
				for i, id := range a.Texts(b) {
					owner := "-"
					if b.Items != nil {
						owner = b.Items[i]
						if old, ok := items[owner]; ok {
							if old != id {
								t.Fatalf("item %s had %s and has %s", owner, old, id)
							}
							continue
						}
						items[owner] = id
					}
					if other, ok := given[id]; ok {
						t.Fatalf("seed %d: %s is given to %s and was to %s, batch %+v", seed, id, owner, other, b)
					}
					given[id] = owner
				}
				if rng.IntN(10) == 0 && len(items) > 0 { // give back one
					for item, id := range items {
						if n, err := store.Release(ctx, s, "", []string{item}); n != 1 || err != nil {
							t.Fatal(n, err)
						}
						delete(items, item)
						delete(given, id)
						break
					}
				}
			}
		}
	})
}

// TestManyAtOnce has several writers give ids out in batches of all kinds at the same time.
func TestManyAtOnce(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		const writers, batches = 4, 40
		var wait sync.WaitGroup
		var mu sync.Mutex
		given, items := map[string]string{}, map[string]string{}
		for writer := range uint64(writers) {
			rng := rand.New(rand.NewPCG(writer, 3))
			wait.Go(func() {
				for range batches {
					b := resolve.Batch{Sep: []string{"-", "-", "_"}[rng.IntN(3)]}
					kind := rng.IntN(3)
					for i := range 1 + rng.IntN(8) {
						id := fmt.Sprint(rng.IntN(2), "-", rng.IntN(3))
						for rng.IntN(3) == 0 {
							id += fmt.Sprint([]string{"-", "_"}[rng.IntN(2)], 1+rng.IntN(9))
						}
						b.IDs = append(b.IDs, id)
						switch kind {
						case 1:
							b.Names = append(b.Names, fmt.Sprint(1+rng.IntN(30)))
						case 2:
							b.Items = append(b.Items, store.IntItem(int64(8*rng.IntN(9)+i)))
						}
					}
					a, err := resolve.Assign(ctx, s, b)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for i, id := range a.Texts(b) {
						owner := "-"
						if b.Items != nil {
							owner = b.Items[i]
							if old := items[owner]; old != "" && old != id {
								t.Errorf("item %s had %s and has %s", owner, old, id)
							}
							items[owner] = id
						}
						if other := given[id]; other != "" && (owner == "-" || other != owner) {
							t.Errorf("%s is given to %s and was to %s, batch %+v", id, owner, other, b)
						}
						given[id] = owner
					}
					mu.Unlock()
				}
			})
		}
		wait.Wait()
	})
}

// TestASuffixAndABareId: of two writers one makes of a key what the other has as a bare id, at the same time. They share no
// key, so only what they claim keeps them apart.
func TestASuffixAndABareId(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		for round := range 100 {
			key := fmt.Sprint("k", round)
			assign(t, s, resolve.Batch{IDs: words(key)})
			var got [2]string
			var wait sync.WaitGroup
			for i, ids := range []string{key, key + "-1"} {
				wait.Go(func() { got[i] = assign(t, s, resolve.Batch{IDs: words(ids)}) })
			}
			wait.Wait()
			if got[0] == got[1] {
				t.Fatalf("round %d: both got %s", round, got[0])
			}
		}
	})
}

func TestBadBatches(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		for _, c := range []struct {
			batch resolve.Batch
			want  error
			words string
		}{
			{resolve.Batch{IDs: words("a"), Sep: ""}, core.ErrParam, `sep=""`},
			{resolve.Batch{IDs: words("a"), Sep: "-1"}, core.ErrParam, `sep="-1"`},
			{resolve.Batch{IDs: words("a b"), Sep: "-", Names: words("x")}, core.ErrShape, "2 ids and 1 of item ids"},
			{resolve.Batch{IDs: words("a b"), Sep: "-", Items: words("tx")}, core.ErrShape, "2 ids and 1 of item keys"},
			{resolve.Batch{IDs: words("a"), Sep: "-", Items: words("tx"), Names: words("y")}, core.ErrParam, "together"},
			{resolve.Batch{IDs: words("a b c"), Sep: "-", Items: words("tx i1 tx")}, core.ErrParam, `item key "x" is at positions 0 and 2`},
			{resolve.Batch{IDs: words("a b"), Sep: "-", Items: words("i7 i7")}, core.ErrParam, `item key 7 is at positions 0 and 1`},
			{resolve.Batch{IDs: words("a b"), Sep: "-", Items: words("i7 i8"), Codes: core.NewCodes(1, 3)}, core.ErrShape, "2 ids and codes of 1 rows"},
			{resolve.Batch{IDs: []string{"a", ""}, Sep: "-"}, core.ErrParam, "position 1 is empty"},
		} {
			if _, err := resolve.Assign(ctx, s, c.batch); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%+v: %v", c.batch, err)
			}
		}
		if got := assign(t, s, resolve.Batch{IDs: words("a b c")}); got != "a b c" { // nothing was counted
			t.Error(got)
		}
		if got := assign(t, s, resolve.Batch{}); got != "" {
			t.Error(got)
		}
	})
}

func TestThePlainCaseIsCounting(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		rng := rand.New(rand.NewPCG(1, 2))
		counts := map[string]int{}
		for range 20 {
			var b resolve.Batch
			var want []string
			for range 500 {
				id := fmt.Sprintf("%d-%d-%d", rng.IntN(9), rng.IntN(9), rng.IntN(4))
				b.IDs = append(b.IDs, id)
				if n := counts[id]; n > 0 {
					want = append(want, fmt.Sprintf("%s-%d", id, n))
				} else {
					want = append(want, id)
				}
				counts[id]++
			}
			if got := words(assign(t, s, b)); !reflect.DeepEqual(got, want) {
				t.Fatal("ids are not those of counting")
			}
		}
	})
}

func BenchmarkAssign(b *testing.B) {
	for _, c := range []struct{ rows, k int }{{1_000_000, 256}, {1_000_000, 64}} {
		rng := rand.New(rand.NewPCG(1, 2))
		batch := resolve.Batch{Sep: "-"}
		for range c.rows {
			batch.IDs = append(batch.IDs, fmt.Sprintf("%d-%d-%d", rng.IntN(c.k), rng.IntN(c.k), rng.IntN(c.k)))
		}
		b.Run(fmt.Sprintf("store=memory/rows=%d/k=%d", c.rows, c.k), func(b *testing.B) {
			for b.Loop() {
				if _, err := resolve.Assign(ctx, store.NewMemory(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
