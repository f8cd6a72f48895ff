package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Memory is a Store in this process. Its contents are lost with it unless Snapshot is kept.
type Memory struct {
	mu     sync.Mutex
	counts counts
	marks  map[string]Mark
	items  map[place]Item
	places map[string]place    // of ids
	order  map[string]*ordered // of versions
	models map[string]string   // of versions
	depths Depths
	undo   []func() // what a failed transaction runs, last first
}

type place struct{ version, key string }

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{counts: newCounts(), marks: map[string]Mark{}, items: map[place]Item{}, places: map[string]place{},
		order: map[string]*ordered{}, models: map[string]string{}}
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
			m.counts.add(key, -1)
		}
	})
	prior := make([]int64, len(keys))
	m.counts.each(keys, func(i int, n int64) {
		prior[i] = n - 1
		m.depths.note(keys[i], n)
	})
	return prior, nil
}

func (m *memoryTx) Shift(keys []string, by []int64) error {
	m.undo = append(m.undo, func() {
		for i, key := range keys {
			m.counts.add(key, -by[i])
		}
	})
	for i, key := range keys {
		m.depths.note(key, m.counts.add(key, by[i])+by[i])
	}
	return nil
}

func (m *memoryTx) Claim(ids []string) ([]int64, error) { return m.Counts(ids) }

func (m *memoryTx) Counts(keys []string) ([]int64, error) {
	counts := make([]int64, len(keys))
	for i, key := range keys {
		counts[i] = m.counts.get(key)
	}
	return counts, nil
}

func (m *memoryTx) Marks(ids []string) ([]Mark, error) { return read(m.marks, ids), nil }

func (m *memoryTx) Items(version string, items []string) ([]string, error) {
	ids := make([]string, len(items))
	if len(m.items) == 0 {
		return ids, nil
	}
	for i, item := range items {
		ids[i] = m.items[place{version, item}].ID
	}
	return ids, nil
}

func (m *memoryTx) Holders(ids []string) ([]string, error) {
	items := make([]string, len(ids))
	for i, at := range read(m.places, ids) {
		items[i] = at.key
	}
	return items, nil
}

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

func (m *memoryTx) AddItems(version string, items []Item) error {
	for _, item := range items {
		at := place{version, item.Key}
		if _, taken := m.places[item.ID]; taken || m.items[at].ID != "" {
			return fmt.Errorf("%w: item %q or id %q is there already", ErrStore, item.Key, item.ID)
		}
		m.put(at, item)
		m.undo = append(m.undo, func() { m.drop(at) })
	}
	return nil
}

func (m *memoryTx) RemoveItems(version string, items []string) error {
	for _, key := range items {
		at := place{version, key}
		if item, ok := m.items[at]; ok {
			m.drop(at)
			m.undo = append(m.undo, func() { m.put(at, item) })
		}
	}
	return nil
}

func (m *memoryTx) put(at place, item Item) {
	m.items[at], m.places[item.ID] = item, at
	o := m.order[at.version]
	if o == nil {
		o = &ordered{}
		m.order[at.version] = o
	}
	o.fresh = append(o.fresh, item)
}

func (m *memoryTx) drop(at place) {
	delete(m.places, m.items[at].ID)
	delete(m.items, at)
	m.order[at.version].gone = true
}

// ordered is the items of a version: sorted as Scan gives them, and those that came since. Some may be gone.
type ordered struct {
	sorted, fresh []Item
	gone          bool
}

func (m *memoryTx) Scan(version, prefix string, after Item, limit int) ([]Item, error) {
	o := m.order[version]
	if o == nil {
		return nil, nil
	}
	if len(o.fresh) > 0 {
		slices.SortFunc(o.fresh, inOrder)
		o.sorted, o.fresh = merged(o.sorted, o.fresh), nil
	}
	if o.gone {
		o.sorted = slices.DeleteFunc(o.sorted, func(item Item) bool { return m.items[place{version, item.Key}] != item })
		o.gone = false
	}
	if after.Path < prefix {
		after = Item{Path: prefix}
	}
	low, found := slices.BinarySearchFunc(o.sorted, after, inOrder)
	if found {
		low++
	}
	high := low
	for high < len(o.sorted) && high-low < limit && strings.HasPrefix(o.sorted[high].Path, prefix) {
		high++
	}
	return slices.Clone(o.sorted[low:high]), nil
}

func inOrder(a, b Item) int {
	if c := strings.Compare(a.Path, b.Path); c != 0 {
		return c
	}
	return strings.Compare(a.Key, b.Key)
}

// merged is the items of two sorted lists, equal ones once: some came back after they were gone.
func merged(a, b []Item) []Item {
	out := make([]Item, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && inOrder(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return slices.Compact(out)
}

func (m *memoryTx) Model(version string) (string, error) { return m.models[version], nil }

func (m *memoryTx) SetModel(version, model string) error {
	old := m.models[version]
	m.undo = append(m.undo, func() { m.models[version] = old })
	m.models[version] = model
	return nil
}

func (m *memoryTx) Depths() (Depths, error) {
	m.depths.Marks = len(m.marks) != 0
	return m.depths, nil
}

// snapshot is what Snapshot writes, as JSON.
type snapshot struct {
	Version int                             `json:"version"`
	Counts  map[string]int64                `json:"counts"`
	Held    map[string]bool                 `json:"marks"`  // true: Held, false: Free
	Items   map[string]map[string][2]string `json:"items"`  // of versions: of keys: id and path
	Models  map[string]string               `json:"models"` // of versions
}

// Snapshot returns the contents as JSON, for RestoreMemory.
func (m *Memory) Snapshot() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := make(map[string]bool, len(m.marks))
	for id, mark := range m.marks {
		held[id] = mark == Held
	}
	counts := make(map[string]int64, len(m.counts.entries))
	for i, e := range m.counts.entries {
		if e.n != 0 {
			counts[string(m.counts.key(i))] = e.n
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	items := map[string]map[string][2]string{}
	for at, item := range m.items {
		if items[at.version] == nil {
			items[at.version] = map[string][2]string{}
		}
		items[at.version][at.key] = [2]string{item.ID, item.Path}
	}
	err := e.Encode(snapshot{Version: 1, Counts: counts, Held: held, Items: items, Models: m.models})
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
		m.counts.add(key, n)
		m.depths.note(key, n)
	}
	for id, held := range s.Held {
		m.marks[id] = Free
		if held {
			m.marks[id] = Held
		}
	}
	for version, items := range s.Items {
		for key, of := range items {
			item := Item{Key: key, ID: of[0], Path: of[1]}
			if other, taken := m.places[item.ID]; taken || item.ID == "" || key == "" {
				return nil, fmt.Errorf("%w: items %q and %q have one id, %q, in the contents of an in-memory store", ErrCorrupt, key, other.key, item.ID)
			}
			(*memoryTx)(m).put(place{version, key}, item)
		}
	}
	for version, model := range s.Models {
		m.models[version] = model
	}
	return m, nil
}
