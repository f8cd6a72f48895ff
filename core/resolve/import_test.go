package resolve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

func TestImport(t *testing.T) {
	everyStore(t, func(t *testing.T, s store.Store) {
		assign(t, s, resolve.Batch{IDs: words("a a a b b"), Items: words("i0 i1 i2 i3 i4")})
		assign(t, s, resolve.Batch{IDs: words("c c")})
		if _, err := store.Release(ctx, s, "", words("i1")); err != nil {
			t.Fatal(err)
		}
		items := func(text string) (items []store.Item) {
			for _, pair := range words(text) {
				key, id, _ := strings.Cut(pair, "=")
				items = append(items, store.Item{Key: key, ID: id, Path: "7-"})
			}
			return items
		}
		for _, bad := range [][2]string{
			{"i9=x i0=y", `item key 0 at position 1 has the id "a", and not "y"`},
			{"i9=x t1=b-1", `id "b-1" at position 1 is that of item 4, and not of "1"`},
			{"i9=x i8=y i9=z", "item key 9 is at positions 0 and 2"},
			{"i9=x i8=x", `id "x" is at positions 0 and 1`},
			{"i9=", "id at position 0 is empty"},
		} {
			if _, err := resolve.Import(ctx, s, "", items(bad[0])); !errors.Is(err, core.ErrParam) || !strings.Contains(err.Error(), bad[1]) {
				t.Errorf("%s: %v", bad[0], err)
			}
		}
		// Known; given back; given out to nobody; in place of the next number; beyond it; new; by name; twice suffixed.
		n, err := resolve.Import(ctx, s, "", items("i0=a i7=a-1 i8=c-1 i9=a-3 i10=a-5 i11=d i12=d-1 i13=a-x i14=b-1-1"))
		if n != 8 || err != nil {
			t.Fatal(n, err)
		}
		for _, step := range [][2]string{{"a a a", "a-4 a-6 a-7"}, {"c d d-1 b-1 a-x", "c-2 d-2 d-1-1 b-1-2 a-x-1"}, {"x y", "x y"}} {
			if got := assign(t, s, resolve.Batch{IDs: words(step[0])}); got != step[1] {
				t.Errorf("got %s, want %s", got, step[1])
			}
		}
	})
}

// TestImportOfAll: a store that was given the items of another gives out what that one would.
func TestImportOfAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	batch := func(first int) (b resolve.Batch) {
		for i := range 300 {
			b.IDs = append(b.IDs, fmt.Sprintf("%d-%d", rng.IntN(6), rng.IntN(9)))
			b.Items = append(b.Items, store.IntItem(int64(first+i)))
		}
		return b
	}
	one, other := store.NewMemory(), store.NewMemory()
	assign(t, one, batch(0))
	var items []store.Item
	if err := one.Update(ctx, func(tx store.Tx) (err error) { items, err = tx.Scan("", "", store.Item{}, 999); return err }); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it knows all
		if _, err := resolve.Import(ctx, other, "", items); err != nil {
			t.Fatal(err)
		}
	}
	b := batch(250)
	if got, want := assign(t, other, b), assign(t, one, b); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
