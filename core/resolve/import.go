package resolve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/store"
)

// Import makes a version know items by the ids they have, as another store or a table says, in one transaction, and
// returns how many it did not know. An id that was given out to nobody known becomes that of its item; one that was not
// given out is from now on. An item that has another id, or an id that another item has, is an error, and nothing changes.
func Import(ctx context.Context, s store.Store, version string, items []store.Item) (added int, err error) {
	keys, ids := make([]string, len(items)), make([]string, len(items))
	for i, item := range items {
		keys[i], ids[i] = item.Key, item.ID
	}
	for _, list := range []struct {
		what  string
		texts []string
	}{{"item key", keys}, {"id", ids}} {
		if err := store.CheckTexts(list.what, list.texts); err != nil {
			return 0, err
		}
	}
	if err := distinct(keys, func(key string) string { return "item key " + show(key) }); err != nil {
		return 0, err
	}
	if err := distinct(ids, func(id string) string { return fmt.Sprintf("id %q", id) }); err != nil {
		return 0, err
	}
	all := slices.Clone(ids) // and the keys of which they may be key-n, which may be counted
	for _, id := range ids {
		if key, _, ok := split(id); ok {
			all = append(all, key)
		}
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Claim(all); err != nil {
			return err
		}
		known, err := tx.Items(version, keys)
		if err != nil {
			return err
		}
		holders, err := tx.Holders(ids)
		if err != nil {
			return err
		}
		var fresh []store.Item
		var texts []string
		for i, item := range items {
			switch {
			case known[i] == item.ID:
			case known[i] != "":
				return fmt.Errorf("%w: item key %s at position %d has the id %q, and not %q", core.ErrParam, show(item.Key), i, known[i], item.ID)
			case holders[i] != "":
				return fmt.Errorf("%w: id %q at position %d is that of item %s, and not of %s", core.ErrParam, item.ID, i, show(holders[i]), show(item.Key))
			default:
				fresh, texts = append(fresh, item), append(texts, item.ID)
			}
		}
		added = len(fresh)
		if err := hold(ctx, tx, texts); err != nil {
			return err
		}
		return tx.AddItems(version, fresh)
	})
	return added, err
}

// hold has ids, which differ, given out. Those that counting would have given out are counted as it does.
func hold(ctx context.Context, tx store.Tx, ids []string) error {
	w := work{ctx: ctx, tx: tx, marks: map[string]store.Mark{}}
	held, err := w.states(ids, nil, nil)
	if err != nil {
		return err
	}
	var free []string
	for i, id := range ids {
		if !held[i] {
			if w.marks[id] == store.Free {
				w.mark(id, store.Unmarked)
			}
			free = append(free, id)
		}
	}
	if err := w.write(); err != nil {
		return err
	}
	w.marks = map[string]store.Mark{}
	if held, err = w.states(free, nil, nil); err != nil { // by counts
		return err
	}
	type numbered struct {
		id, key string
		n       int64
	}
	var todo []numbered
	var keys []string
	for i, id := range free {
		if !held[i] {
			key, n, _ := split(id)
			todo, keys = append(todo, numbered{id, key, n}), append(keys, key)
		}
	}
	// A key comes before key-1, and that before key-2.
	slices.SortFunc(todo, func(a, b numbered) int {
		return cmp.Or(cmp.Compare(strings.Count(a.id, "-"), strings.Count(b.id, "-")), strings.Compare(a.key, b.key), cmp.Compare(a.n, b.n))
	})
	slices.Sort(keys)
	keys = slices.Compact(keys)
	of, err := tx.Counts(keys)
	if err != nil {
		return err
	}
	counts := make(map[string]int64, len(keys))
	for i, key := range keys {
		counts[key] = of[i]
	}
	add := make([]string, len(todo))
	for i, t := range todo {
		add[i] = t.id
		if t.n > 0 && counts[t.key] == t.n {
			add[i] = t.key
		}
		counts[add[i]]++
	}
	_, err = tx.Add(add)
	return err
}
