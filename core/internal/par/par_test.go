package par

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Loops of many lengths, with pauses shorter and longer than linger, run each chunk once.
func TestChunks(t *testing.T) {
	for threads := range 6 {
		SetThreads(threads)
		defer SetThreads(0)
		for n := range 200 {
			if n%50 == 0 {
				time.Sleep(2 * linger)
			}
			times := make([]atomic.Int32, n)
			err := Chunks(context.Background(), n, 3, func(worker, lo, hi int) {
				if worker < 0 || worker >= Threads() || lo%3 != 0 || hi != min(n, lo+3) {
					t.Errorf("%d threads, %d rows: worker %d has rows %d to %d", threads, n, worker, lo, hi)
				}
				for i := lo; i < hi; i++ {
					times[i].Add(1)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range times {
				if got := times[i].Load(); got != 1 {
					t.Fatalf("%d threads, %d rows: row %d was taken %d times", threads, n, i, got)
				}
			}
		}
	}
}

// Loops at once, in one another, do not mix, and each has its scratch memory to itself.
func TestChunksAtOnce(t *testing.T) {
	SetThreads(3)
	defer SetThreads(0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				sums := make([]int, Threads())
				_ = Chunks(context.Background(), 8, 1, func(outer, _, _ int) {
					own := make([]int, Threads())
					_ = Chunks(context.Background(), 10, 1, func(worker, lo, _ int) { own[worker] += lo })
					for _, s := range own {
						sums[outer] += s
					}
				})
				if got := sums[0] + sums[1] + sums[2]; got != 8*45 {
					t.Errorf("the sum is %d, want %d", got, 8*45)
				}
			}
		})
	}
	wg.Wait()
}

// A panic of any worker is one of the loop, and the end of ctx its error; nothing runs on afterwards.
func TestChunksEnds(t *testing.T) {
	SetThreads(4)
	defer SetThreads(0)
	for at := range 40 {
		var running atomic.Int32
		got := func() (got any) {
			defer func() { got = recover() }()
			_ = Chunks(context.Background(), 40, 1, func(_, lo, _ int) {
				running.Add(1)
				defer running.Add(-1)
				if lo == at {
					panic(lo)
				}
			})
			return nil
		}()
		if got != at || running.Load() != 0 {
			t.Errorf("chunk %d panics: the loop panics with %v, %d are running", at, got, running.Load())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var taken []int
	var mu sync.Mutex
	err := Chunks(ctx, 1000, 1, func(_, lo, _ int) {
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, lo)
		cancel()
	})
	if !errors.Is(err, context.Canceled) || len(taken) > 4 || !slices.Contains(taken, 0) {
		t.Errorf("a loop that ends in its first chunk: error %v after chunks %v", err, taken)
	}
}

// Goroutines that look out for work leave soon.
func TestHelpersLeave(t *testing.T) {
	before := runtime.NumGoroutine()
	SetThreads(8)
	defer SetThreads(0)
	for range 20 {
		_ = Chunks(context.Background(), 64, 1, func(_, _, _ int) { time.Sleep(10 * time.Microsecond) })
	}
	for range 1000 {
		if runtime.NumGoroutine() <= before && idle.Load() == 0 && len(tasks) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before; %d idle, %d tasks", runtime.NumGoroutine(), before, idle.Load(), len(tasks))
}

func BenchmarkChunks(b *testing.B) {
	work := func(d time.Duration) {
		for begin := time.Now(); time.Since(begin) < d; {
		}
	}
	for _, pause := range []time.Duration{5 * time.Microsecond, 2 * linger} {
		b.Run("of=100µs/pause="+pause.String(), func(b *testing.B) {
			for b.Loop() {
				work(pause)
				_ = Chunks(context.Background(), 8, 1, func(_, _, _ int) { work(100 * time.Microsecond / 8) })
			}
		})
	}
}
