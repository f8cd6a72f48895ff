// Package par runs loops over fixed chunks on several goroutines. Which goroutine takes a chunk varies, which rows a
// chunk holds does not: what is written per chunk and merged in chunk order is the same on any number of threads.
package par

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/semantic-id/semantic-id/core/internal/fault"
)

var threads atomic.Int64

// Threads returns how many goroutines a loop uses: what SetThreads set, else GOMAXPROCS.
func Threads() int {
	if n := int(threads.Load()); n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// SetThreads sets the number of goroutines; 0 goes back to GOMAXPROCS.
func SetThreads(n int) { threads.Store(int64(n)) }

// Chunks calls fn once for each chunk [lo, hi) of size rows (the last may be shorter) of n rows, on up to Threads
// goroutines. worker, from 0 to Threads()-1, numbers the goroutine, for scratch memory. It stops early when ctx ends,
// and returns its error. A panic in fn, or a read of mapped memory that fails, is a panic here, after the other goroutines
// have ended.
func Chunks(ctx context.Context, n, size int, fn func(worker, lo, hi int)) error {
	chunks := (n + size - 1) / size
	workers := min(Threads(), chunks)
	if workers <= 1 {
		defer fault.Panic()()
		for c := range chunks {
			if err := ctx.Err(); err != nil {
				return err
			}
			fn(0, c*size, min(n, (c+1)*size))
		}
		return ctx.Err()
	}
	var (
		next   atomic.Int64
		others atomic.Int64 // goroutines at work, but for this one
		over   atomic.Bool  // no more are to join in
		left   = make(chan struct{}, 1)
		failed atomic.Pointer[any]
	)
	work := func(w int) {
		defer fault.Panic()()
		defer func() {
			if r := recover(); r != nil {
				failed.CompareAndSwap(nil, &r)
			}
		}()
		for ctx.Err() == nil && failed.Load() == nil {
			c := int(next.Add(1)) - 1
			if c >= chunks {
				return
			}
			fn(w, c*size, min(n, (c+1)*size))
		}
	}
	join := func(w int) {
		others.Add(1)
		if !over.Load() {
			work(w)
		}
		others.Add(-1)
		select {
		case left <- struct{}{}:
		default:
		}
	}
	for w := 1; w < workers; w++ {
		start(func() { join(w) })
	}
	work(0)
	over.Store(true) // one that begins only now is not waited for
	soon(func() bool { return others.Load() == 0 })
	for others.Load() > 0 {
		<-left
	}
	if r := failed.Load(); r != nil {
		panic(*r)
	}
	return ctx.Err()
}
