package persist

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody runs f with the file permissions of a user who owns nothing; when this process is not root, with its own.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, and its user with it
		unix.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0)
		unix.RawSyscall(unix.SYS_SETFSGID, 65534, 0, 0)
		f()
	}()
	<-done
}

// mountSmall mounts a file system of 128 KiB on dir.
func mountSmall(dir string) (unmount func(), err error) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		return nil, os.NewSyscallError("mount", err)
	}
	return func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }, nil
}
