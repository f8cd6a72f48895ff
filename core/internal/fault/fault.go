// Package fault makes an error of what ends a process otherwise: reading mapped memory whose file has become shorter, or
// whose disk fails.
package fault

import (
	"fmt"
	"runtime/debug"
	"unsafe"

	"github.com/semantic-id/semantic-id/core"
)

// Panic has such a read on this goroutine panic, until the function that it returns is called:
//
//	defer fault.Panic()()
func Panic() (restore func()) {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}

// Recover, when deferred, makes the panic of such a read among rows a core.ErrUnreadable in *err. Other panics go on.
func Recover(err *error, rows []float32) {
	switch r := recover().(type) {
	case nil:
		return
	case interface{ Addr() uintptr }: // of package runtime's errors, those of reads and writes have it
		begin := address(rows)
		if at := r.Addr(); begin <= at && at-begin < 4*uintptr(len(rows)) {
			*err = fmt.Errorf("%w: the file they are mapped from was shortened, or its disk failed", core.ErrUnreadable)
			return
		}
		panic(r)
	default:
		panic(r)
	}
}

func address(rows []float32) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(rows))) }
