// Package store remembers which ids were given out, so that none is given out twice.
//
// A store counts the holders of each id: the first holder of "a" is number 0, the next one number 1. What text number 1
// then gets is not its business; package resolve makes "a-1" of it. Of ids that counts alone do not explain it keeps a
// Mark, and of items that are known by a key of their own it keeps the id they have, and the codes it was made of.
// A version is a name that sets the items of one model apart from those of the next; the ids of all versions differ.
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

	// Claim returns the counts of ids as Counts does, and makes other transactions that claim or add one of them wait for
	// the end of this one: from then on its marks and counts say whether it is held, until this transaction ends.
	Claim(ids []string) ([]int64, error)

	// Shift adds by[i] to the count of keys[i], which was added before. Keys differ.
	Shift(keys []string, by []int64) error

	// Counts returns the counts of keys, 0 for one never added.
	Counts(keys []string) ([]int64, error)

	// Marks returns the marks of ids.
	Marks(ids []string) ([]Mark, error)

	// SetMarks sets the marks of ids, which differ.
	SetMarks(ids []string, marks []Mark) error

	// Items returns the ids that a version gave to items, "" for an item that it does not know.
	Items(version string, items []string) ([]string, error)

	// Holders returns the items that have these ids, of any version, "" where there is none.
	Holders(ids []string) ([]string, error)

	// AddItems gives items of a version ids. It does not know the items yet, and no item of any version has the ids.
	AddItems(version string, items []Item) error

	// RemoveItems makes a version forget items. Their ids stay counted and marked as they are.
	RemoveItems(version string, items []string) error

	// Scan returns items of a version whose paths begin with prefix, at most limit, in the order of (Path, Key), byte by
	// byte, beginning with the first one behind (after.Path, after.Key).
	Scan(version, prefix string, after Item, limit int) ([]Item, error)

	// Model returns what SetModel has kept for a version, "" if nothing.
	Model(version string) (string, error)

	// SetModel keeps a text that tells the model of a version from others.
	SetModel(version, model string) error

	// Depths says what there may be beside what one looks for. It only saves work.
	Depths() (Depths, error)
}

// Depths are bits for keys with so many hyphens, the last one for 63 and more: whether such keys may have been counted,
// and counted more than once; and whether there may be marks.
type Depths struct {
	Counted, Many uint64
	Marks         bool
}

// note takes in a key with a count.
func (d *Depths) note(key string, n int64) {
	bit := uint64(1) << min(strings.Count(key, "-"), 63)
	d.Counted |= bit
	if n > 1 {
		d.Many |= bit
	}
}

// Item is an item that is known by a key of its own, and the id that a version gave it.
type Item struct {
	Key  string // by IntItem or TextItem
	ID   string
	Path string // by Path; "" if the codes are not known
}

// Path writes codes so that those which begin with the same codes begin with the same text: (3, 9) as "3-9-".
func Path(codes []int32) string {
	var b []byte
	for _, code := range codes {
		b = append(strconv.AppendInt(b, int64(code), 10), '-')
	}
	return string(b)
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

// CheckTexts returns an error if one of texts is empty, holds a zero byte or is not UTF-8.
func CheckTexts(what string, texts []string) error {
	for i, s := range texts {
		switch {
		case isPlain(s): // as almost all are
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

// isPlain is whether s is not empty and of ASCII without zero bytes.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i]-1 >= 0x7f {
			return false
		}
	}
	return s != ""
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

// behind is a path after all that begin with prefix: of digits and hyphens, which end in a hyphen.
func behind(prefix string) string {
	if prefix == "" {
		return ":" // behind the digits
	}
	return prefix[:len(prefix)-1] + "." // behind the hyphen
}
