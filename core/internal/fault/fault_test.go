package fault

import (
	"errors"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// at is a panic of a read at an address.
type at uintptr

func (a at) Addr() uintptr { return uintptr(a) }
func (a at) Error() string { return "fault" }

var rows = make([]float32, 10) // not on a stack, which may move

func TestRecover(t *testing.T) {
	begin := at(address(rows))
	try := func(with any) (passed any, err error) {
		defer func() { passed = recover() }()
		defer Recover(&err, rows)
		if with != nil {
			panic(with)
		}
		return nil, nil
	}
	for _, inside := range []at{begin, begin + 39} {
		if passed, err := try(inside); !errors.Is(err, core.ErrUnreadable) || passed != nil {
			t.Errorf("a read at byte %d of the rows: error %v, panic %v; want ErrUnreadable", inside-begin, err, passed)
		}
	}
	for _, other := range []any{begin - 1, begin + 40, "a bug", errors.New("another")} {
		if passed, err := try(other); err != nil || passed != other {
			t.Errorf("panic %v: error %v and panic %v, want the panic to go on", other, err, passed)
		}
	}
	if passed, err := try(nil); err != nil || passed != nil {
		t.Errorf("without a panic: error %v, panic %v", err, passed)
	}
}
