package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Memory is a Store in this process. Its contents are lost with it unless Snapshot is kept.
type Memory struct {
	mu     sync.Mutex
	counts map[string]int64
	marks  map[string]Mark
	ids    map[string]string // of items
	items  map[string]string // of ids
	depths uint64
	undo   []func() // what a failed transaction runs, last first
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{counts: map[string]int64{}, marks: map[string]Mark{}, ids: map[string]string{}, items: map[string]string{}}
}

// NextSuffixes implements Store.
func (m *Memory) NextSuffixes(ctx context.Context, keys []string) ([]int64, error) {
	return next(ctx, m, keys)
}

// Update implements Store.
func (m *Memory) Update(ctx context.Context, f func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	done := false
	defer func() { // also if f panics
		if !done {
			for i := len(m.undo) - 1; i >= 0; i-- {
				m.undo[i]()
			}
		}
		m.undo = nil
	}()
	err := f((*memoryTx)(m))
	done = err == nil
	return err
}

// Close implements Store: there is nothing to let go of.
func (m *Memory) Close() error { return nil }

// memoryTx is a Memory whose lock is held.
type memoryTx Memory

func (m *memoryTx) Add(keys []string) ([]int64, error) {
	m.undo = append(m.undo, func() {
		for _, key := range keys {
			m.add(key, -1)
		}
	})
	prior := make([]int64, len(keys))
	for i, key := range keys {
		n := m.counts[key]
		m.counts[key] = n + 1
		prior[i] = n
		if n != 0 {
			m.depths |= depth(key)
		}
	}
	return prior, nil
}

func (m *memoryTx) add(key string, by int64) {
	if n := m.counts[key] + by; n == 0 {
		delete(m.counts, key)
	} else {
		m.counts[key] = n
		if n > 1 {
			m.depths |= depth(key)
		}
	}
}

func (m *memoryTx) Shift(keys []string, by []int64) error {
	m.undo = append(m.undo, func() {
		for i, key := range keys {
			m.add(key, -by[i])
		}
	})
	for i, key := range keys {
		m.add(key, by[i])
	}
	return nil
}

func (m *memoryTx) Counts(keys []string) ([]int64, error) { return read(m.counts, keys), nil }

func (m *memoryTx) Marks(ids []string) ([]Mark, error) { return read(m.marks, ids), nil }

func (m *memoryTx) Items(items []string) ([]string, error) { return read(m.ids, items), nil }

func (m *memoryTx) Holders(ids []string) ([]string, error) { return read(m.items, ids), nil }

func read[V any](m map[string]V, keys []string) []V {
	values := make([]V, len(keys))
	if len(m) == 0 {
		return values
	}
	for i, key := range keys {
		values[i] = m[key]
	}
	return values
}

func (m *memoryTx) SetMarks(ids []string, marks []Mark) error {
	old := read(m.marks, ids)
	m.undo = append(m.undo, func() { m.setMarks(ids, old) })
	m.setMarks(ids, marks)
	return nil
}

func (m *memoryTx) setMarks(ids []string, marks []Mark) {
	for i, id := range ids {
		if marks[i] == Unmarked {
			delete(m.marks, id)
		} else {
			m.marks[id] = marks[i]
		}
	}
}

func (m *memoryTx) AddItems(items, ids []string) error {
	for i, id := range ids {
		if m.ids[items[i]] != "" || m.items[id] != "" {
			return fmt.Errorf("%w: item %q or id %q is there already", ErrStore, items[i], id)
		}
		m.ids[items[i]], m.items[id] = id, items[i]
		m.undo = append(m.undo, func() {
			delete(m.ids, items[i])
			delete(m.items, id)
		})
	}
	return nil
}

func (m *memoryTx) RemoveItems(items []string) error {
	for _, item := range items {
		id, ok := m.ids[item]
		if !ok {
			continue
		}
		delete(m.ids, item)
		delete(m.items, id)
		m.undo = append(m.undo, func() { m.ids[item], m.items[id] = id, item })
	}
	return nil
}

func (m *memoryTx) Depths() (uint64, bool) { return m.depths, len(m.marks) != 0 }

// snapshot is what Snapshot writes, as JSON.
type snapshot struct {
	Version int               `json:"version"`
	Counts  map[string]int64  `json:"counts"`
	Held    map[string]bool   `json:"marks"` // true: Held, false: Free
	IDs     map[string]string `json:"items"`
}

// Snapshot returns the contents as JSON, for RestoreMemory.
func (m *Memory) Snapshot() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := make(map[string]bool, len(m.marks))
	for id, mark := range m.marks {
		held[id] = mark == Held
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(snapshot{Version: 1, Counts: m.counts, Held: held, IDs: m.ids})
	return out.Bytes(), err
}

// RestoreMemory returns a store with the contents of a snapshot.
func RestoreMemory(data []byte) (*Memory, error) {
	var s snapshot
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: not the contents of an in-memory store: %w", ErrCorrupt, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: not the contents of an in-memory store: there is more after its end", ErrCorrupt)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("%w: contents of an in-memory store of version %d, this library knows version 1", ErrCorrupt, s.Version)
	}
	m := NewMemory()
	for key, n := range s.Counts {
		if n < 1 || key == "" {
			return nil, fmt.Errorf("%w: the count of %q is %d in the contents of an in-memory store", ErrCorrupt, key, n)
		}
		m.counts[key] = n
		if n > 1 {
			m.depths |= depth(key)
		}
	}
	for id, held := range s.Held {
		m.marks[id] = Free
		if held {
			m.marks[id] = Held
		}
	}
	for item, id := range s.IDs {
		if other := m.items[id]; other != "" || id == "" || item == "" {
			return nil, fmt.Errorf("%w: items %q and %q have one id, %q, in the contents of an in-memory store", ErrCorrupt, item, other, id)
		}
		m.ids[item], m.items[id] = id, item
	}
	return m, nil
}
