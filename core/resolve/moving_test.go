package resolve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

func plain(c core.Codes) []string { return format.Plain(c, "-") }

func TestSinkhornMoves(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 30 {
		s, codes := randomSpace(rng, 60, 2, 16, 4)
		held := randomHeld(rng, 2, 16, 40, 1)
		before, after := map[string]int{}, map[string]int{}
		stored := map[string]bool{}
		for i := range held.Holders {
			code := fmt.Sprint(held.Codes.Row(i))
			before[code] += int(held.Holders[i])
			after[code] += int(held.Holders[i])
			stored[code] = held.Holders[i] > 0
		}
		m, err := resolve.DefaultSinkhorn().Move(ctx, s, codes, held)
		if err != nil {
			t.Fatal(err)
		}
		for i := range codes.Rows {
			before[fmt.Sprint(codes.Row(i))]++
			after[fmt.Sprint(m.Codes.Row(i))]++
		}
		for _, i := range m.Rows {
			was, is := codes.Row(i), fmt.Sprint(m.Codes.Row(i))
			if before[fmt.Sprint(was)] < 2 || after[is] != 1 || stored[is] || was[0] != m.Codes.Row(i)[0] {
				t.Errorf("row %d moved from %v, of %d holders, to %s, of %d", i, was, before[fmt.Sprint(was)], is, after[is])
			}
		}
		// A code that is still shared has no free ones beside it.
		for i := range codes.Rows {
			code := slices.Clone(m.Codes.Row(i))
			if after[fmt.Sprint(code)] == 1 {
				continue
			}
			for j := range 16 {
				code[1] = int32(j)
				if after[fmt.Sprint(code)] == 0 {
					t.Errorf("%v is shared, and %v is free", m.Codes.Row(i), code)
				}
			}
		}
	}
}

// Two rows at one place: the first keeps the code, the other goes to the nearest free one.
func TestSinkhornTakesTheNearestOfEqualShares(t *testing.T) {
	s := resolve.Space{Rows: core.Matrix{Rows: 2, Cols: 1, Data: []float32{1, 1}},
		Books: []core.Matrix{{Rows: 4, Cols: 1, Data: []float32{-9, 5, 1, 2}}}}
	m, err := resolve.DefaultSinkhorn().Move(ctx, s, core.Codes{Rows: 2, Levels: 1, Data: []int32{2, 2}}, resolve.Held{})
	if err != nil || !slices.Equal(m.Codes.Data, []int32{2, 3}) {
		t.Errorf("codes %v, error %v", m.Codes.Data, err)
	}
}

// Batches over one store: no id twice, nothing moves onto what an earlier batch has, and items that are known stay.
func TestAssignMoved(t *testing.T) {
	everyStore(t, func(t *testing.T, st store.Store) {
		rng := rand.New(rand.NewPCG(7, 7))
		s, codes := randomSpace(rng, 300, 2, 30, 4)
		given := map[string]string{} // items by id
		of := map[string]string{}
		for n, how := range []resolve.Mover{resolve.DefaultCapacity(), resolve.DefaultSinkhorn(), resolve.DefaultCapacity(), resolve.Capacity{Most: 2, Pairs: 1000}} {
			lo, hi := 60*n, 60*n+90 // thirty of the batch before again
			part := core.Codes{Rows: hi - lo, Levels: 2, Data: codes.Data[2*lo : 2*hi]}
			b := resolve.Batch{IDs: plain(part), Sep: "-"}
			for i := lo; i < hi; i++ {
				b.Items = append(b.Items, fmt.Sprintf("t%d", i))
			}
			ids, m, err := resolve.AssignMoved(ctx, st, b, resolve.Space{Rows: s.Rows.Slice(lo, hi), Books: s.Books}, part, plain, how)
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range ids {
				item := b.Items[i]
				if other, ok := given[id]; ok && other != item {
					t.Fatalf("%s is %s's and %s's", id, other, item)
				}
				if had, ok := of[item]; ok && had != id {
					t.Fatalf("%s had %s and got %s", item, had, id)
				} else if _, exact := how.(resolve.Sinkhorn); !ok && !exact && n < 3 && id != plain(core.Codes{Rows: 1, Levels: 2, Data: m.Codes.Row(i)})[0] {
					t.Fatalf("%s got %s, its code is %v", item, id, m.Codes.Row(i))
				}
				given[id], of[item] = item, id
			}
			if len(m.Rows) == 0 {
				t.Errorf("%T moved nothing", how)
			}
		}
	})
}

func TestAssignMovedByMany(t *testing.T) {
	everyStore(t, func(t *testing.T, st store.Store) {
		rng := rand.New(rand.NewPCG(8, 8))
		s, codes := randomSpace(rng, 40, 2, 24, 4)
		var wg sync.WaitGroup
		all := make([][]string, 6)
		for n := range all {
			wg.Go(func() {
				ids, _, err := resolve.AssignMoved(ctx, st, resolve.Batch{IDs: plain(codes), Sep: "-"}, s, codes, plain, resolve.DefaultCapacity())
				if err != nil {
					t.Error(err)
				}
				all[n] = ids
			})
		}
		wg.Wait()
		ids := slices.Sorted(slices.Values(slices.Concat(all...)))
		if len(slices.Compact(ids)) != 240 {
			t.Error("an id was given out twice")
		}
		for _, id := range ids {
			if strings.Count(id, "-") != 1 {
				t.Errorf("%s has a suffix", id)
			}
		}
	})
}

func TestFull(t *testing.T) {
	everyStore(t, func(t *testing.T, st store.Store) {
		assign(t, st, resolve.Batch{IDs: words("a b-1 b c c"), Items: words("t0 t1 t2 t3 t4")})
		if n, err := resolve.Holders(ctx, st, words("a b-1 b c c-1 d")); err != nil || !slices.Equal(n, []int64{1, 1, 1, 2, 1, 0}) {
			t.Error(n, err)
		}
		if known, err := resolve.Knows(ctx, st, "", words("t3 i3 t9")); err != nil || !slices.Equal(known, []bool{true, false, false}) {
			t.Error(known, err)
		}
		if n, err := store.Release(ctx, st, "", words("t3")); n != 1 || err != nil {
			t.Error(n, err)
		}
		if n, err := resolve.Holders(ctx, st, words("a c")); err != nil || !slices.Equal(n, []int64{1, 1}) {
			t.Error(n, err)
		}
		for _, c := range []struct {
			ids   string
			items string
			most  []int
			full  []int
		}{
			{"a d a", "", []int{1, 1, 0}, []int{0}},
			{"d d e", "", []int{1, 1, 1}, []int{1}},
			{"d b d d", "", []int{2, 2, 2, 2}, []int{3}},
			{"c b", "", []int{1, 1}, []int{0, 1}}, // c-1 is held
			{"c c", "", []int{2, 2}, []int{1}},
			{"z a", "t0 t5", []int{1, 1}, []int{1}},
		} {
			b := resolve.Batch{IDs: words(c.ids), Sep: "-", Items: words(c.items), Most: c.most}
			if c.items == "" {
				b.Items = nil
			}
			_, err := resolve.Assign(ctx, st, b)
			full, ok := err.(*resolve.Full)
			if !ok || !slices.Equal(full.Rows, c.full) {
				t.Errorf("%s: %v", c.ids, err)
			}
		}
		got := assign(t, st, resolve.Batch{IDs: words("c d a"), Most: []int{2, 1, 2}})
		if got != "c d a-1" { // nothing was counted before
			t.Error(got)
		}
	})
}
