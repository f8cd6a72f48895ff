package facade

import (
	"fmt"
	"sync"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// handles are the models callers hold by number. Numbers are never used twice.
var handles = struct {
	sync.RWMutex
	last   int64
	models map[int64]*rqkmeans.Model
}{models: map[int64]*rqkmeans.Model{}}

func addHandle(m *rqkmeans.Model) int64 {
	handles.Lock()
	defer handles.Unlock()
	handles.last++
	handles.models[handles.last] = m
	return handles.last
}

func model(handle int64) (*rqkmeans.Model, error) {
	handles.RLock()
	defer handles.RUnlock()
	m, ok := handles.models[handle]
	if !ok {
		return nil, fmt.Errorf("%w: %d", core.ErrHandle, handle)
	}
	return m, nil
}

// QuantizerFree lets go of a model. Calls that use it at this moment still end well; an unknown handle is ignored.
func QuantizerFree(handle int64) {
	handles.Lock()
	defer handles.Unlock()
	delete(handles.models, handle)
}
