package facade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/store"
)

var kinds = []struct {
	err  error
	kind int64
}{
	{core.ErrParam, KindParam},
	{core.ErrShape, KindShape},
	{core.ErrNotFinite, KindNotFinite},
	{core.ErrZeroRow, KindZeroRow},
	{core.ErrCode, KindCode},
	{core.ErrVersion, KindVersion},
	{core.ErrType, KindType},
	{core.ErrFormat, KindFormat},
	{core.ErrHandle, KindHandle},
	{core.ErrDevice, KindDevice},
	{core.ErrUnreadable, KindIO},
	{store.ErrLocked, KindLocked},
	{store.ErrReadOnly, KindReadOnly},
	{store.ErrCorrupt, KindCorrupt},
	{store.ErrStore, KindStore},
	{core.ErrDiverged, KindDiverged},
	{context.Canceled, KindCanceled},
	{context.DeadlineExceeded, KindLocked}, // of ControlAtOnce
}

func kindOf(err error) int64 {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	var pathErr *fs.PathError
	var errno syscall.Errno
	if errors.As(err, &pathErr) || errors.As(err, &errno) {
		return KindIO
	}
	return KindInternal
}

// call runs f, writes the text of its error or panic to the caller's buffer, and returns the kind.
func call(errAddr uint64, errLen int64, f func() error) (kind int64) {
	defer func() {
		if r := recover(); r != nil {
			putText(errAddr, errLen, fmt.Sprintf("internal error: %v; please report it with this stack:\n%s", r, debug.Stack()))
			kind = KindInternal
		}
	}()
	err := cpu.Err() // a CPU level that does not exist was asked for
	if err == nil {
		err = f()
	}
	if err != nil {
		putText(errAddr, errLen, err.Error())
		return kindOf(err)
	}
	return KindOK
}

// callLong is call on a goroutine of its own, if there is a control block. The one that C calls is bound to its thread, so
// that whenever it waits for others, as parallel loops do, threads take turns: a fit of 50 ms took 20 more.
func callLong(controlAddr, errAddr uint64, errLen int64, f func() error) int64 {
	if controlAddr == 0 {
		return call(errAddr, errLen, f)
	}
	kind := make(chan int64, 1)
	go func() { kind <- call(errAddr, errLen, f) }()
	return <-kind
}

// ballast counts as memory in use but takes none, as it is never touched. The collector begins at 4 MiB of heap, of which
// small balanced fits leave three times as much: collecting it again and again took a fifth of their time.
var ballast = sync.OnceValue(func() []byte { return make([]byte, 8<<20) })

// putText copies s and a zero byte to the buffer, cut to fit.
func putText(addr uint64, size int64, s string) {
	if addr == 0 || size < 1 {
		return
	}
	buf := slice[byte](addr, size)
	buf[copy(buf[:size-1], s)] = 0
}

// slice is n values of memory that the caller owns, at addr.
func slice[T any](addr uint64, n int64) []T {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(pointer[T](addr), n)
}

// pointer turns an address of the caller's memory into a pointer. The memory is not Go's, so nothing moves it.
func pointer[T any](addr uint64) *T {
	p := uintptr(addr)
	return *(**T)(unsafe.Pointer(&p))
}

func put[T any](addr uint64, v T) {
	if addr != 0 {
		*pointer[T](addr) = v
	}
}

// matrix is rows × cols float32 at addr, after a check that such a size can exist.
func matrix(addr uint64, rows, cols int64) (core.Matrix, error) {
	if rows < 1 || cols < 1 || rows > maxElements/cols {
		return core.Matrix{}, fmt.Errorf("%w: %d rows of %d columns, want at least one sample and one feature", core.ErrShape, rows, cols)
	}
	if addr == 0 {
		return core.Matrix{}, fmt.Errorf("%w: the address of a matrix is null", core.ErrParam)
	}
	return core.Matrix{Rows: int(rows), Cols: int(cols), Data: slice[float32](addr, rows*cols)}, nil
}

func codes(addr uint64, rows, levels int64) (core.Codes, error) {
	if rows < 1 || levels < 1 || rows > maxElements/levels {
		return core.Codes{}, fmt.Errorf("%w: codes of %d rows and %d levels, want at least one of each", core.ErrShape, rows, levels)
	}
	if addr == 0 {
		return core.Codes{}, fmt.Errorf("%w: the address of codes is null", core.ErrParam)
	}
	return core.Codes{Rows: int(rows), Levels: int(levels), Data: slice[int32](addr, rows*levels)}, nil
}

const maxElements = 1 << 45 // more float32 values than any address space holds

// control is the caller's control block, or none.
type control struct{ words []int64 }

func controlAt(addr uint64) control {
	if addr == 0 {
		return control{}
	}
	return control{slice[int64](addr, ControlLen)}
}

func (c control) set(word int, v int) {
	if c.words != nil {
		atomic.StoreInt64(&c.words[word], int64(v))
	}
}

// context ends when the caller sets ControlCancel; stop must be called when the work is over.
func (c control) context() (ctx context.Context, stop func()) {
	if c.words == nil {
		return context.Background(), func() {}
	}
	if c.words[ControlAtOnce] != 0 {
		return context.WithTimeout(context.Background(), 10*time.Millisecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	const pause = 10 * time.Millisecond
	var mu sync.Mutex // held while the block is read
	var look *time.Timer
	stopped := false
	mu.Lock()
	defer mu.Unlock()
	look = time.AfterFunc(pause, func() { // not a goroutine that waits: short calls would start it for nothing
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		if atomic.LoadInt64(&c.words[ControlCancel]) != 0 {
			cancel()
			return
		}
		look.Reset(pause)
	})
	return ctx, func() { // the block is not read after this
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		look.Stop()
		cancel()
	}
}
