package engine

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

// Engine is a fitted quantizer and a store of ids. It may be used from many goroutines at once.
type Engine struct {
	Quantizer core.Quantizer
	Store     store.Store

	// Version is a name for the ids of this quantizer: letters, digits, points and underscores, or nothing. Each id begins
	// with it, as in "2:3-9-1", and each version knows items for itself: a new model gives items new ids beside those they
	// have.
	Version string
}

// Format says how ids are written. Start from DefaultFormat.
type Format struct {
	Sep   string                     // between codes, and before a suffix: not empty, without digits
	Token bool                       // "<a_3><b_9>" and not "3-9"
	Write func(codes []int32) string // nil, or what writes an id in place of both
}

// DefaultFormat writes "3-9-1".
func DefaultFormat() Format { return Format{Sep: "-"} }

var versionName = regexp.MustCompile(`^[A-Za-z0-9._]*$`)

// UniqueIDs returns an id for each row of x, given out once, in one transaction. items are those the rows are of, by
// store.IntItem and store.TextItem, each once: one that the store knows keeps its id. Without items (nil) each row gets a
// new one. other says that new items got ids in a version that had ids by another
// model before.
func (e *Engine) UniqueIDs(ctx context.Context, x core.Matrix, items []string, f Format) (ids []string, other bool, err error) {
	b, err := e.batch(ctx, x, f)
	if err != nil {
		return nil, false, err
	}
	b.Items = items
	a, err := resolve.Assign(ctx, e.Store, b)
	if err != nil {
		return nil, false, err
	}
	return a.Texts(b), a.OtherModel, nil
}

// NamedIDs returns an id for each row of x, given out once; names are appended where others have the id, in place of
// numbers.
func (e *Engine) NamedIDs(ctx context.Context, x core.Matrix, names []string, f Format) ([]string, error) {
	b, err := e.batch(ctx, x, f)
	if err != nil {
		return nil, err
	}
	b.Names = names
	a, err := resolve.Assign(ctx, e.Store, b)
	if err != nil {
		return nil, err
	}
	return a.Texts(b), nil
}

// Append is UniqueIDs for a map that is frozen: that another model made it is a core.ErrParam, and nothing is given out.
func (e *Engine) Append(ctx context.Context, x core.Matrix, items []string, f Format) ([]string, error) {
	if items == nil {
		return nil, fmt.Errorf("engine: %w: no items: want one for each row", core.ErrParam)
	}
	if ours := e.model(); ours != "" {
		var made string
		err := e.Store.Update(ctx, func(tx store.Tx) (err error) {
			made, err = tx.Model(e.Version)
			return err
		})
		if err != nil {
			return nil, err
		}
		if made != "" && made != ours {
			return nil, fmt.Errorf("engine: %w: the ids of version %q were made by another model: append with that one, or give the ids of this one a version of their own", core.ErrParam, e.Version)
		}
	}
	ids, _, err := e.UniqueIDs(ctx, x, items, f)
	return ids, err
}

// model tells the quantizer from others, if it can.
func (e *Engine) model() string {
	if m, ok := e.Quantizer.(interface{ Fingerprint() string }); ok {
		return m.Fingerprint()
	}
	return ""
}

// batch is the rows encoded and written.
func (e *Engine) batch(ctx context.Context, x core.Matrix, f Format) (resolve.Batch, error) {
	if !versionName.MatchString(e.Version) {
		return resolve.Batch{}, fmt.Errorf("engine: %w: version is %q, want letters, digits, points and underscores, or nothing", core.ErrParam, e.Version)
	}
	if err := resolve.CheckSep(f.Sep); err != nil {
		return resolve.Batch{}, err
	}
	if e.Version != "" && strings.Contains(f.Sep, ":") {
		return resolve.Batch{}, fmt.Errorf("engine: %w: sep=%q: want one without a colon, which stands behind the version", core.ErrParam, f.Sep)
	}
	if err := x.Check(); err != nil {
		return resolve.Batch{}, err
	}
	codes := core.NewCodes(x.Rows, len(e.Quantizer.Clusters()))
	if err := e.Quantizer.Encode(ctx, x, codes); err != nil {
		return resolve.Batch{}, err
	}
	return resolve.Batch{IDs: e.texts(codes, f), Sep: f.Sep, Codes: codes, Version: e.Version, Model: e.model()}, nil
}

func (e *Engine) texts(codes core.Codes, f Format) []string {
	var ids []string
	before := e.Version + ":"
	switch {
	case f.Write != nil:
		ids = make([]string, codes.Rows)
		for i := range ids {
			ids[i] = f.Write(codes.Row(i))
		}
	case f.Token:
		ids, before = format.Token(codes), "<"+e.Version+">"
	default:
		ids = format.Plain(codes, f.Sep)
	}
	if e.Version != "" {
		for i := range ids {
			ids[i] = before + ids[i]
		}
	}
	return ids
}

// Lookup returns for each id, of whichever version, the item that has it, "" where there is none.
func (e *Engine) Lookup(ctx context.Context, ids []string) ([]string, error) {
	return store.Lookup(ctx, e.Store, ids)
}

// Items returns the items of the version whose codes begin with prefix, in the order of store.Page.
func (e *Engine) Items(ctx context.Context, prefix []int32) (items []store.Item, err error) {
	err = e.pages(ctx, prefix, func(page []store.Item) error {
		items = append(items, page...)
		return nil
	})
	return items, err
}

// pages calls f with all items of the version below prefix, some at a time.
func (e *Engine) pages(ctx context.Context, prefix []int32, f func([]store.Item) error) error {
	const size = 1 << 14
	var after store.Item
	for {
		page, err := store.Page(ctx, e.Store, e.Version, prefix, after, size)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			if err := f(page); err != nil {
				return err
			}
			after = page[len(page)-1]
		}
		if len(page) < size {
			return nil
		}
	}
}

// Release makes the version forget items and gives their ids back, which may then be given out to others. It returns how
// many of the items were known.
func (e *Engine) Release(ctx context.Context, items []string) (known int, err error) {
	return store.Release(ctx, e.Store, e.Version, items)
}

// Forget makes the version forget items, whose ids are never given out again. It returns how many were known.
func (e *Engine) Forget(ctx context.Context, items []string) (known int, err error) {
	return store.Forget(ctx, e.Store, e.Version, items)
}
