package store

import (
	"context"
	"slices"
)

// Lookup returns for each id the item that has it, "" where there is none.
func Lookup(ctx context.Context, s Store, ids []string) (items []string, err error) {
	if err := CheckTexts("id", ids); err != nil {
		return nil, err
	}
	err = s.Update(ctx, func(tx Tx) error {
		items, err = tx.Holders(ids)
		return err
	})
	return items, err
}

// Release makes a version forget items and gives their ids back, which may then be given out again. It returns how many
// of the items were known.
func Release(ctx context.Context, s Store, version string, items []string) (known int, err error) {
	return forget(ctx, s, version, items, true)
}

// Forget makes a version forget items, whose ids stay given out. It returns how many of the items were known.
func Forget(ctx context.Context, s Store, version string, items []string) (known int, err error) {
	return forget(ctx, s, version, items, false)
}

func forget(ctx context.Context, s Store, version string, items []string, release bool) (known int, err error) {
	if err := CheckTexts("item key", items); err != nil {
		return 0, err
	}
	err = s.Update(ctx, func(tx Tx) error {
		ids, err := claimed(tx, version, items)
		if err != nil {
			return err
		}
		var gone, free []string
		seen := map[string]bool{}
		for i, id := range ids {
			if id != "" && !seen[id] {
				seen[id] = true
				gone, free = append(gone, items[i]), append(free, id)
			}
		}
		known = len(gone)
		if release {
			marks := make([]Mark, known)
			for i := range marks {
				marks[i] = Free
			}
			if err := tx.SetMarks(free, marks); err != nil {
				return err
			}
		}
		return tx.RemoveItems(version, gone)
	})
	return known, err
}

// claimed returns the ids of items, "" for one that is not known, and claims them.
func claimed(tx Tx, version string, items []string) ([]string, error) {
	ids, err := tx.Items(version, items)
	for err == nil {
		var known []string
		for _, id := range ids {
			if id != "" {
				known = append(known, id)
			}
		}
		if _, err = tx.Claim(known); err != nil {
			break
		}
		before := ids
		if ids, err = tx.Items(version, items); slices.Equal(ids, before) { // no other transaction changed them meanwhile
			break
		}
	}
	return ids, err
}

// Page returns items of a version whose codes begin with prefix, in the order of Tx.Scan, at most limit of them. The next
// page comes after the last item of this one, the first after Item{}.
func Page(ctx context.Context, s Store, version string, prefix []int32, after Item, limit int) (items []Item, err error) {
	err = s.Update(ctx, func(tx Tx) error {
		items, err = tx.Scan(version, Path(prefix), after, limit)
		return err
	})
	return items, err
}
