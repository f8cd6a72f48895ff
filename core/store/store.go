// Package store remembers which ids were given out, so that none is given out twice.
//
// A store counts the holders of each id: the first holder of "a" is number 0, the next one number 1. What text number 1
// then gets is not its business; package resolve makes "a-1" of it. Of ids that counts alone do not explain it keeps a
// Mark, and of items that are known by a key of their own it keeps the id they have.
//
// All work is done in transactions, which happen as a whole or not at all, one at a time. Stores may be used from many
// goroutines at once.
package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/semantic-id/semantic-id/core"
)

// The sentinel errors of stores.
var (
	ErrStore    = errors.New("the store of ids failed")
	ErrLocked   = errors.New("the database is locked")
	ErrReadOnly = errors.New("the database cannot be written")
	ErrCorrupt  = errors.New("the database is damaged")
)

// Store is a place where counts, marks and items are kept.
type Store interface {
	// NextSuffixes counts one more holder of each key, in order and in one transaction, and returns how many there were
	// before: 0 for the first holder.
	NextSuffixes(ctx context.Context, keys []string) ([]int64, error)

	// Update runs f in a transaction. An error of f undoes all that f did. A store on a server may run f again.
	Update(ctx context.Context, f func(Tx) error) error

	// Close lets go of the store. What was given out before stays.
	Close() error
}

// Tx is a transaction. Reads see what the transaction has written. Its slices may be long, and one call for a thousand
// keys is better than a thousand calls.
type Tx interface {
	// Add counts one more holder of each key, in order, and returns how many there were before.
	Add(keys []string) ([]int64, error)

	// Shift adds by[i] to the count of keys[i], which was added before. Keys differ.
	Shift(keys []string, by []int64) error

	// Counts returns the counts of keys, 0 for one never added.
	Counts(keys []string) ([]int64, error)

	// Marks returns the marks of ids.
	Marks(ids []string) ([]Mark, error)

	// SetMarks sets the marks of ids, which differ.
	SetMarks(ids []string, marks []Mark) error

	// Items returns the ids of items, "" for an item that is not known.
	Items(items []string) ([]string, error)

	// Holders returns the items that have these ids, "" where there is none.
	Holders(ids []string) ([]string, error)

	// AddItems gives ids to items that are not known yet.
	AddItems(items, ids []string) error

	// RemoveItems forgets items. Their ids stay counted and marked as they are.
	RemoveItems(items []string) error

	// Depths has bit d set if a key with d hyphens may have been counted more than once, bit 63 for 63 and more; and
	// marks is whether there may be marks at all. Both only save work.
	Depths() (depths uint64, marks bool)
}

// Mark says of an id what the counts do not.
type Mark uint8

const (
	Unmarked Mark = iota // the counts say it: see package resolve
	Held                 // given out in a way that no count shows
	Free                 // counted, but not given out, or given back
)

// IntItem and TextItem are the keys of items as stores know them: 1 and "1" are two items.
func IntItem(n int64) string { return "i" + strconv.FormatInt(n, 10) }

// TextItem is the key of an item that is known by a text.
func TextItem(s string) string { return "t" + s }

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

// Release forgets items and gives their ids back, which may then be given out again. It returns how many of the items
// were known.
func Release(ctx context.Context, s Store, items []string) (known int, err error) {
	if err := CheckTexts("item", items); err != nil {
		return 0, err
	}
	err = s.Update(ctx, func(tx Tx) error {
		ids, err := tx.Items(items)
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
		marks := make([]Mark, known)
		for i := range marks {
			marks[i] = Free
		}
		if err := tx.SetMarks(free, marks); err != nil {
			return err
		}
		return tx.RemoveItems(gone)
	})
	return known, err
}

// CheckTexts returns an error if one of texts is empty, holds a zero byte or is not UTF-8.
func CheckTexts(what string, texts []string) error {
	for i, s := range texts {
		switch {
		case s == "":
			return fmt.Errorf("%w: %s at position %d is empty", core.ErrParam, what, i)
		case strings.IndexByte(s, 0) >= 0:
			return fmt.Errorf("%w: %s %q at position %d holds a zero byte", core.ErrParam, what, s, i)
		case !utf8.ValidString(s):
			return fmt.Errorf("%w: %s %q at position %d is not UTF-8", core.ErrParam, what, s, i)
		}
	}
	return nil
}

// next is NextSuffixes by Update.
func next(ctx context.Context, s Store, keys []string) (suffixes []int64, err error) {
	if err := CheckTexts("key", keys); err != nil {
		return nil, err
	}
	err = s.Update(ctx, func(tx Tx) error {
		suffixes, err = tx.Add(keys)
		return err
	})
	return suffixes, err
}

// depth is the bit of Depths for a key.
func depth(key string) uint64 { return 1 << min(strings.Count(key, "-"), 63) }
