package par

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A thread that leaves a processor is on another one, and may use those it might use before.
func TestLeave(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after, here unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Skip(err)
	}
	if before.Count() < 2 {
		t.Skip("one processor")
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	for n := range before.Count() {
		if !before.IsSet(n) {
			continue
		}
		here.Zero()
		here.Set(n)
		if err := unix.SchedSetaffinity(0, &here); err != nil {
			t.Fatal(err)
		}
		leave(n) // it may use no other
		if got := processor(); got != n {
			t.Errorf("bound to %d, but on %d", n, got)
		}
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Fatal(err)
		}
		moved := false
		for range 100 { // the system may move it back at any time
			on := processor()
			leave(on)
			moved = moved || processor() != on
		}
		if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
			t.Fatalf("error %v, may use %v, might use %v before", err, after, before)
		}
		if !moved {
			t.Errorf("stayed on a processor 100 times")
		}
	}
}
