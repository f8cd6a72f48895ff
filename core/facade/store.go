package facade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

// stores are the stores callers hold, texts what calls have to say that the caller could not make room for.
var (
	stores = handles[store.Store]{of: " of a store"}
	texts  = handles[string]{of: " of a text"}
)

// giveText keeps a text for TextTake and writes its number and length, 0 and 0 for an empty one.
func giveText(s string, handleOut, lenOut uint64) {
	if s == "" {
		put(handleOut, int64(0))
		put(lenOut, int64(0))
		return
	}
	put(handleOut, texts.add(s))
	put(lenOut, int64(len(s)))
}

// TextTake copies a text that a call has kept to the buffer, of its length, and forgets it.
func TextTake(handle int64, bufAddr uint64, bufLen int64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := texts.take(handle)
		if err != nil {
			return err
		}
		copy(slice[byte](bufAddr, bufLen), s)
		return nil
	})
}

// textsAt are count texts with a zero byte between them.
func textsAt(addr uint64, size, count int64) ([]string, error) {
	if count == 0 {
		return []string{}, nil
	}
	texts := strings.Split(string(slice[byte](addr, size)), "\x00")
	if int64(len(texts)) != count {
		return nil, fmt.Errorf("%w: %d texts in a buffer of %d", core.ErrShape, len(texts), count)
	}
	return texts, nil
}

// StoreMemory makes a store in memory, with the contents that StoreSnapshot has written, or none.
func StoreMemory(contentsAddr uint64, contentsLen int64, handleOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s := store.NewMemory()
		if contentsLen != 0 {
			var err error
			if s, err = store.RestoreMemory(slice[byte](contentsAddr, contentsLen)); err != nil {
				return err
			}
		}
		put(handleOut, stores.add(s))
		return nil
	})
}

// StoreSQLite opens a SQLite database; a transaction waits for other processes up to timeout seconds.
func StoreSQLite(pathAddr uint64, pathLen int64, timeout float64, handleOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return openStore(handleOut, controlAddr, errAddr, errLen, func(ctx context.Context) (store.Store, error) {
		return store.OpenSQLite(ctx, string(slice[byte](pathAddr, pathLen)), seconds(timeout))
	})
}

// StorePostgres connects to a PostgreSQL database; a transaction waits for others up to timeout seconds.
func StorePostgres(dsnAddr uint64, dsnLen int64, timeout float64, handleOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return openStore(handleOut, controlAddr, errAddr, errLen, func(ctx context.Context) (store.Store, error) {
		return store.OpenPostgres(ctx, string(slice[byte](dsnAddr, dsnLen)), seconds(timeout))
	})
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func openStore(handleOut, controlAddr, errAddr uint64, errLen int64, open func(context.Context) (store.Store, error)) int64 {
	return call(errAddr, errLen, func() error {
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		s, err := open(ctx)
		if err == nil {
			put(handleOut, stores.add(s))
		}
		return err
	})
}

// StoreFree closes a store. An unknown handle is ignored.
func StoreFree(handle int64) {
	if s, err := stores.take(handle); err == nil {
		_ = s.Close()
	}
}

// StoreNextSuffixes counts one more holder of each of count keys and writes how many there were before, int64.
func StoreNextSuffixes(handle int64, keysAddr uint64, keysLen, count int64, suffixesOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		keys, err := textsAt(keysAddr, keysLen, count)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		n, err := s.NextSuffixes(ctx, keys)
		copy(slice[int64](suffixesOut, count), n)
		return err
	})
}

// What the texts beside the ids of StoreAssign are.
const (
	AssignPlain = iota // there are none
	AssignNames        // what to append instead of a number
	AssignItems        // items, by store.IntItem and store.TextItem
)

// AssignFull is said of an id that would have too many holders.
const AssignFull = 2

// StoreAssign makes count ids unique as resolve.Assign does and writes for each, as a byte, whether it has changed; those
// that have are a text to take, with zero bytes between them. Of items there may be codes, int32 (count, levels), with
// levels 0 none; the version they belong to; and what tells their model from others: otherOut is then 1 if the version is
// another model's. mostAddr has for each id, int64, how many holders it may have (0: any number), or is 0; if one would have
// more, nothing is given out, and the bytes of such ids are AssignFull.
func StoreAssign(handle int64, idsAddr uint64, idsLen, count int64, sepAddr uint64, sepLen int64, besideAddr uint64, besideLen, beside int64,
	codesAddr uint64, levels int64, versionAddr uint64, versionLen int64, modelAddr uint64, modelLen int64,
	mostAddr, changedOut, otherOut, textOut, textLenOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		b := resolve.Batch{Sep: string(slice[byte](sepAddr, sepLen)), Version: string(slice[byte](versionAddr, versionLen)),
			Model: string(slice[byte](modelAddr, modelLen))}
		if levels > 0 {
			b.Codes = core.Codes{Rows: int(count), Levels: int(levels), Data: slice[int32](codesAddr, count*levels)}
		}
		if b.IDs, err = textsAt(idsAddr, idsLen, count); err != nil {
			return err
		}
		if beside != AssignPlain {
			texts, err := textsAt(besideAddr, besideLen, count)
			if err != nil {
				return err
			}
			if beside == AssignNames {
				b.Names = texts
			} else {
				b.Items = texts
			}
		}
		if mostAddr != 0 {
			b.Most = ints(mostAddr, count)
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		changed := slice[byte](changedOut, count)
		a, err := resolve.Assign(ctx, s, b)
		if full := (*resolve.Full)(nil); errors.As(err, &full) {
			clear(changed)
			for _, i := range full.Rows {
				changed[i] = AssignFull
			}
			giveText("", textOut, textLenOut)
			return nil
		}
		if err != nil {
			return err
		}
		other := int64(0)
		if a.OtherModel {
			other = 1
		}
		put(otherOut, other)
		var text []byte
		for i, n := range a.Suffix {
			changed[i] = 0
			if n != resolve.Bare {
				changed[i] = 1
				text = append(a.AppendText(text, b, i), 0)
			}
		}
		giveText(string(bytes.TrimSuffix(text, []byte{0})), textOut, textLenOut)
		return nil
	})
}

// StoreHolders writes how many holders each of count ids has, int64, as resolve.Holders tells.
func StoreHolders(handle int64, idsAddr uint64, idsLen, count int64, holdersOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		ids, err := textsAt(idsAddr, idsLen, count)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		holders, err := resolve.Holders(ctx, s, ids)
		copy(slice[int64](holdersOut, count), holders)
		return err
	})
}

// StoreKnows writes for each of count items 1 if the version knows it, else 0, int64.
func StoreKnows(handle int64, versionAddr uint64, versionLen int64, itemsAddr uint64, itemsLen, count int64, knownOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		items, err := textsAt(itemsAddr, itemsLen, count)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		known, err := resolve.Knows(ctx, s, string(slice[byte](versionAddr, versionLen)), items)
		for i, k := range known {
			slice[int64](knownOut, count)[i] = 0
			if k {
				slice[int64](knownOut, count)[i] = 1
			}
		}
		return err
	})
}

// StoreLookup gives, as a text to take, the items that have these ids, with zero bytes between them.
func StoreLookup(handle int64, idsAddr uint64, idsLen, count int64, textOut, textLenOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		ids, err := textsAt(idsAddr, idsLen, count)
		if err != nil {
			return err
		}
		items, err := store.Lookup(context.Background(), s, ids)
		if err == nil {
			giveText(strings.Join(items, "\x00"), textOut, textLenOut)
		}
		return err
	})
}

// StoreForget makes a version forget items and writes how many were known, int64; with release their ids are given back.
func StoreForget(handle int64, versionAddr uint64, versionLen int64, itemsAddr uint64, itemsLen, count, release int64, knownOut, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		items, err := textsAt(itemsAddr, itemsLen, count)
		if err != nil {
			return err
		}
		forget := store.Forget
		if release != 0 {
			forget = store.Release
		}
		n, err := forget(context.Background(), s, string(slice[byte](versionAddr, versionLen)), items)
		put(knownOut, int64(n))
		return err
	})
}

// StorePage gives, as a text to take, at most limit items of a version whose codes begin with prefix, int32 (levels,), in
// the order of store.Page and after the item with this path and key; and writes how many there are. Of each there are
// key, id and path, with zero bytes between them.
func StorePage(handle int64, versionAddr uint64, versionLen int64, prefixAddr uint64, levels int64, pathAddr uint64, pathLen int64,
	keyAddr uint64, keyLen, limit int64, countOut, textOut, textLenOut, controlAddr, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		after := store.Item{Path: string(slice[byte](pathAddr, pathLen)), Key: string(slice[byte](keyAddr, keyLen))}
		items, err := store.Page(ctx, s, string(slice[byte](versionAddr, versionLen)), slice[int32](prefixAddr, levels), after, int(limit))
		if err != nil {
			return err
		}
		var text strings.Builder
		for i, item := range items {
			if i > 0 {
				text.WriteByte(0)
			}
			for j, part := range []string{item.Key, item.ID, item.Path} {
				if j > 0 {
					text.WriteByte(0)
				}
				text.WriteString(part)
			}
		}
		put(countOut, int64(len(items)))
		giveText(text.String(), textOut, textLenOut)
		return nil
	})
}

// StoreImport makes a version know count items as resolve.Import does, by their keys, ids and paths, and writes how many
// were new, int64.
func StoreImport(handle int64, versionAddr uint64, versionLen int64, keysAddr uint64, keysLen int64, idsAddr uint64, idsLen int64,
	pathsAddr uint64, pathsLen, count int64, addedOut, controlAddr, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		keys, err := textsAt(keysAddr, keysLen, count)
		if err != nil {
			return err
		}
		ids, err := textsAt(idsAddr, idsLen, count)
		if err != nil {
			return err
		}
		paths, err := textsAt(pathsAddr, pathsLen, count)
		if err != nil {
			return err
		}
		items := make([]store.Item, count)
		for i := range items {
			items[i] = store.Item{Key: keys[i], ID: ids[i], Path: paths[i]}
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		n, err := resolve.Import(ctx, s, string(slice[byte](versionAddr, versionLen)), items)
		put(addedOut, int64(n))
		return err
	})
}

// StoreModel gives, as a text to take, what tells the model of a version from others, empty if nothing does.
func StoreModel(handle int64, versionAddr uint64, versionLen int64, textOut, textLenOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		return s.Update(context.Background(), func(tx store.Tx) error {
			model, err := tx.Model(string(slice[byte](versionAddr, versionLen)))
			if err == nil {
				giveText(model, textOut, textLenOut)
			}
			return err
		})
	})
}

// StoreSnapshot gives the contents of a store in memory as a text to take.
func StoreSnapshot(handle int64, textOut, textLenOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		m, ok := s.(*store.Memory)
		if !ok {
			return fmt.Errorf("%w: the store is not one in memory", core.ErrParam)
		}
		data, err := m.Snapshot()
		giveText(string(data), textOut, textLenOut)
		return err
	})
}

// StoreBackup copies the database of a SQLite store to a file.
func StoreBackup(handle int64, pathAddr uint64, pathLen int64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		s, err := stores.get(handle)
		if err != nil {
			return err
		}
		q, ok := s.(*store.SQLite)
		if !ok {
			return fmt.Errorf("%w: the store is not a SQLite database", core.ErrParam)
		}
		return q.Backup(context.Background(), string(slice[byte](pathAddr, pathLen)))
	})
}
