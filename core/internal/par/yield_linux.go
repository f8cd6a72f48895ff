package par

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// yield lets others run on this processor, of this process and of any.
func yield() {
	runtime.Gosched()
	giveWay()
}

// giveWay lets other threads run on this processor.
func giveWay() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// processor is the number of the one that this runs on, or -1.
func processor() int {
	var n uint32
	if _, _, err := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&n)), 0, 0); err != 0 {
		return -1
	}
	return int(n)
}

// leave moves this thread to another processor if it is on the given one and may use others. Linux puts a thread that wakes
// after a while on the processor of the one that wakes it, and on virtual machines leaves them there for 30 ms, taking turns.
func leave(n int) {
	if n < 0 || processor() != n {
		return
	}
	runtime.LockOSThread() // so that no thread is made in its likeness meanwhile
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		return
	}
	others := all
	if others.Clear(n); others.Count() > 0 && unix.SchedSetaffinity(0, &others) == nil {
		_ = unix.SchedSetaffinity(0, &all)
	}
}
