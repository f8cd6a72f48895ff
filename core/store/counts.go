package store

import (
	"hash/maphash"
	"unsafe"
)

// counts is a map of many short keys to counts, by open addressing with eight bytes a slot. Keys are never removed; one
// that is not there has the count 0.
type counts struct {
	seed    maphash.Seed
	slots   []slot // a power of two, at most half of them used
	entries []entry
	text    []byte // of new keys: as parts of a caller's text they would keep all of it
}

type slot struct{ hash, entry uint32 } // entry: its index plus one, 0 for an empty slot

type entry struct {
	key string
	n   int64
}

func newCounts() counts { return counts{seed: maphash.MakeSeed(), slots: make([]slot, 16)} }

// find returns the hash of a key, the slot where it is or would be, and its entry, nil if it is not there.
func (c *counts) find(key string) (hash uint32, at int, e *entry) {
	hash = uint32(maphash.String(c.seed, key))
	mask := len(c.slots) - 1
	for at = int(hash) & mask; ; at = (at + 1) & mask {
		s := c.slots[at]
		if s.entry == 0 {
			return hash, at, nil
		}
		if s.hash == hash && c.entries[s.entry-1].key == key {
			return hash, at, &c.entries[s.entry-1]
		}
	}
}

// get returns the count of a key.
func (c *counts) get(key string) int64 {
	if _, _, e := c.find(key); e != nil {
		return e.n
	}
	return 0
}

// add adds to the count of a key and returns what it was.
func (c *counts) add(key string, by int64) int64 {
	hash, at, e := c.find(key)
	if e != nil {
		e.n += by
		return e.n - by
	}
	c.entries = append(c.entries, entry{c.keep(key), by})
	c.slots[at] = slot{hash, uint32(len(c.entries))}
	if 2*len(c.entries) > len(c.slots) {
		c.grow()
	}
	return 0
}

// keep copies a key.
func (c *counts) keep(key string) string {
	if len(c.text)+len(key) > cap(c.text) {
		c.text = make([]byte, 0, max(1<<16, len(key)))
	}
	low := len(c.text)
	c.text = append(c.text, key...)
	return unsafe.String(unsafe.SliceData(c.text[low:]), len(key))
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
