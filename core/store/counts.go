package store

import (
	"hash/maphash"
	"slices"
)

// counts is a map of many short keys to counts, by open addressing with eight bytes a slot, and without pointers that the
// garbage collector would have to follow. Keys are never removed; one that is not there has the count 0.
type counts struct {
	seed    maphash.Seed
	slots   []slot // a power of two, at most half of them used
	entries []entry
	text    []byte // the keys of all entries
	fetched byte   // what each fetches ahead, so that the compiler does not leave it out
}

type slot struct{ hash, entry uint32 } // entry: its index plus one, 0 for an empty slot

type entry struct {
	end int // of its key in text, which begins where the one before ends
	n   int64
}

func newCounts() counts { return counts{seed: maphash.MakeSeed(), slots: make([]slot, 16)} }

func (c *counts) hash(key string) uint32 { return uint32(maphash.String(c.seed, key)) }

// key is that of an entry.
func (c *counts) key(i int) []byte {
	if i == 0 {
		return c.text[:c.entries[0].end]
	}
	return c.text[c.entries[i-1].end:c.entries[i].end]
}

// find returns the slot where a key is or would be, and its entry, nil if it is not there.
func (c *counts) find(key string, hash uint32) (at int, e *entry) {
	mask := len(c.slots) - 1
	for at = int(hash) & mask; ; at = (at + 1) & mask {
		s := c.slots[at]
		if s.entry == 0 {
			return at, nil
		}
		if s.hash == hash && string(c.key(int(s.entry-1))) == key {
			return at, &c.entries[s.entry-1]
		}
	}
}

// get returns the count of a key.
func (c *counts) get(key string) int64 {
	if _, e := c.find(key, c.hash(key)); e != nil {
		return e.n
	}
	return 0
}

// add adds to the count of a key and returns what it was.
func (c *counts) add(key string, by int64) int64 { return c.addHashed(key, c.hash(key), by) }

func (c *counts) addHashed(key string, hash uint32, by int64) int64 {
	at, e := c.find(key, hash)
	if e != nil {
		e.n += by
		return e.n - by
	}
	c.text = append(c.text, key...)
	c.entries = append(c.entries, entry{len(c.text), by})
	c.slots[at] = slot{hash, uint32(len(c.entries))}
	if 2*len(c.entries) > len(c.slots) {
		c.grow()
	}
	return 0
}

// each adds 1 to the counts of keys, in order, and gives f what each is now.
func (c *counts) each(keys []string, f func(i int, n int64)) {
	const ahead = 32 // keys for which memory is read at the same time, and not for one after the other
	var hashes, found [ahead]uint32
	c.entries = slices.Grow(c.entries, len(keys))
	for low := 0; low < len(keys); low += ahead {
		some := keys[low:min(low+ahead, len(keys))]
		for i, key := range some {
			hashes[i] = c.hash(key)
			found[i] = c.slots[int(hashes[i])&(len(c.slots)-1)].entry
		}
		for i := range some {
			if found[i] != 0 {
				c.fetched += c.text[c.entries[found[i]-1].end-1]
			}
		}
		for i, key := range some {
			f(low+i, c.addHashed(key, hashes[i], 1)+1)
		}
	}
}

func (c *counts) grow() {
	old := c.slots
	c.slots = make([]slot, 2*len(old))
	mask := len(c.slots) - 1
	for _, s := range old {
		if s.entry == 0 {
			continue
		}
		at := int(s.hash) & mask
		for c.slots[at].entry != 0 {
			at = (at + 1) & mask
		}
		c.slots[at] = s
	}
}
