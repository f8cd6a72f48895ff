// Package fault makes an error of what ends a process otherwise: reading mapped memory whose file has become shorter, or
// whose disk fails.
package fault

import (
	"fmt"
	"runtime/debug"

	"github.com/semantic-id/semantic-id/core"
)

// Panic has such a read on this goroutine panic, until the function that it returns is called:
//
//	defer fault.Panic()()
func Panic() (restore func()) {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}

// Recover, when deferred, makes the panic of such a read a core.ErrUnreadable in *err. Other panics go on.
func Recover(err *error) {
	switch r := recover(); r.(type) {
	case nil:
	case interface {
		error
		Addr() uintptr // of package runtime's errors, only those of reads and writes have it
	}:
		*err = fmt.Errorf("%w: the file they are mapped from was shortened, or its disk failed", core.ErrUnreadable)
	default:
		panic(r)
	}
}
