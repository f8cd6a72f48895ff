package facade

import (
	"fmt"
	"sync"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// handles are what callers hold by number. Numbers are never used twice.
type handles[T any] struct {
	of string // what they are, as errors say it

	mu   sync.RWMutex
	last int64
	held map[int64]T
}

func (h *handles[T]) add(v T) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[int64]T{}
	}
	h.last++
	h.held[h.last] = v
	return h.last
}

func (h *handles[T]) get(handle int64) (T, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.find(handle)
}

// take is get, and lets go of it: one of several calls at a time gets it.
func (h *handles[T]) take(handle int64) (T, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, err := h.find(handle)
	delete(h.held, handle)
	return v, err
}

func (h *handles[T]) find(handle int64) (T, error) {
	v, ok := h.held[handle]
	if !ok {
		return v, fmt.Errorf("%w%s: %d", core.ErrHandle, h.of, handle)
	}
	return v, nil
}

var quantizers handles[*rqkmeans.Model]

func model(handle int64) (*rqkmeans.Model, error) { return quantizers.get(handle) }

// QuantizerFree lets go of a model. Calls that use it at this moment still end well; an unknown handle is ignored.
func QuantizerFree(handle int64) { _, _ = quantizers.take(handle) }

// putClusters writes the sizes of codebooks (int64), unless addr is 0.
func putClusters(addr uint64, clusters []int) {
	if addr == 0 {
		return
	}
	for l, k := range clusters {
		slice[int64](addr, int64(len(clusters)))[l] = int64(k)
	}
}
