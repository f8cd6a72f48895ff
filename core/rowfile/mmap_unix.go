//go:build unix

package rowfile

import (
	"os"
	"syscall"
)

const supported = true

func mmap(file *os.File, size int) ([]byte, error) {
	return syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
}

func unmap(mapped []byte) error { return syscall.Munmap(mapped) }
