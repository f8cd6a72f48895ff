// Package rowfile has matrices that lie in files instead of memory: the system reads the parts that are used and forgets
// them when memory is short. Fit them with rqkmeans.Params.Recompute.
//
// If a mapped file is shortened meanwhile, or its disk fails, rqkmeans returns a core.ErrUnreadable; other reads of its
// rows end the process. Files that Spool makes have no name, so nobody can shorten them.
package rowfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

// File is a mapped file of rows. The matrix must not be written to, nor used after Close.
type File struct {
	core.Matrix
	mapped []byte
}

// Close lets go of the file. The matrix is then empty.
func (f *File) Close() error {
	mapped := f.mapped
	f.Matrix, f.mapped = core.Matrix{}, nil
	if mapped == nil {
		return nil
	}
	return unmap(mapped)
}

// Open maps a .npy file of two dimensions, float32 and C order, as numpy.save writes it; other contents are a
// core.ErrFormat. The caller closes it.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the mapping stays
	rows, cols, header, err := persist.ReadNPYShape(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, fmt.Errorf("%s: %w on a machine of this byte order", path, errors.ErrUnsupported)
	}
	f, err := mapRows(file, rows, cols, header)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// blockBytes is how much Spool reads at once.
const blockBytes = 4 << 20

// Spool copies the rows of src, float32, to a temporary file in dir (empty: os.TempDir) and maps it. The file has no
// name, so it is gone after Close, or when the process ends in whatever way. An error of src, of the disk or of ctx is
// returned with the rows it happened at, and leaves nothing behind. The caller closes the file.
func Spool(ctx context.Context, dir string, src core.Source) (*File, error) {
	if !supported {
		return nil, fmt.Errorf("rowfile: mapping files: %w on this system", errors.ErrUnsupported)
	}
	file, err := os.CreateTemp(dir, "semantic-id-*")
	if err != nil {
		return nil, fmt.Errorf("rowfile: %w", err)
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("rowfile: %w", err)
	}
	rows := 0
	err = core.Blocks(ctx, src, max(1, blockBytes/4/max(1, src.Dim())), func(first int, block core.Matrix) error {
		rows = first + block.Rows
		if _, err := file.Write(unsafe.Slice((*byte)(unsafe.Pointer(&block.Data[0])), 4*len(block.Data))); err != nil {
			return fmt.Errorf("rows %d to %d: %w", first, rows-1, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rowfile: %w", err)
	}
	f, err := mapRows(file, rows, src.Dim(), 0)
	if err != nil {
		return nil, fmt.Errorf("rowfile: %w", err)
	}
	return f, nil
}

// mapRows maps a file that holds rows × cols float32 from byte header on.
func mapRows(file *os.File, rows, cols, header int) (*File, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	size := header + 4*rows*cols
	if info.Size() < int64(size) {
		return nil, fmt.Errorf("%w: %d bytes, want %d for %d rows of %d columns", core.ErrFormat, info.Size(), size, rows, cols)
	}
	if header%4 != 0 {
		return nil, fmt.Errorf("%w: the values begin at byte %d, want a multiple of 4", core.ErrFormat, header)
	}
	m := core.Matrix{Rows: rows, Cols: cols}
	if rows < 1 || cols < 1 {
		return nil, m.Check()
	}
	mapped, err := mmap(file, size)
	if err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", size, err)
	}
	m.Data = unsafe.Slice((*float32)(unsafe.Pointer(&mapped[header])), rows*cols)
	return &File{m, mapped}, nil
}
