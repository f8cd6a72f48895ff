package persist

import (
	"archive/zip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"syscall"
	"time"

	"github.com/semantic-id/semantic-id/core"
)

// maxRatio is how many bytes one byte of a deflate stream can stand for, at most 258 bytes for 2 bits, rounded up.
// It bounds the memory a file can ask for by the length of that file.
const maxRatio = 1032

func codebookName(level int) string { return fmt.Sprintf("codebook_%d.npy", level) }

// writeCodebooks writes the compressed .npz of NumPy's savez_compressed with members codebook_0.npy and so on. Equal
// books give equal bytes: members carry the date 1980-01-01.
func writeCodebooks(w io.Writer, books []core.Matrix) error {
	zw := zip.NewWriter(w)
	for l, book := range books {
		f, err := zw.CreateHeader(&zip.FileHeader{
			Name: codebookName(l), Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return err
		}
		if err := writeNPY(f, book); err != nil {
			return err
		}
	}
	return zw.Close()
}

// readCodebooks reads what writeCodebooks and NumPy write: exactly one member for each of clusters, each of as many rows
// as that says and dim columns. Nothing is allocated before the declared length fits these and the length of the file.
func readCodebooks(r io.ReaderAt, length int64, clusters []int, dim int) ([]core.Matrix, error) {
	zr, err := zip.NewReader(r, length)
	if err != nil {
		return nil, zipError(err)
	}
	if len(zr.File) != len(clusters) {
		return nil, fmt.Errorf("%w: %d arrays, want %d, one a level", core.ErrFormat, len(zr.File), len(clusters))
	}
	members := make(map[string]*zip.File, len(zr.File))
	left := uint64(length)
	for _, f := range zr.File {
		if f.CompressedSize64 > left {
			return nil, fmt.Errorf("%w: the arrays declare more bytes than the file has", core.ErrFormat)
		}
		left -= f.CompressedSize64
		members[f.Name] = f
	}
	books := make([]core.Matrix, len(clusters))
	for l, k := range clusters {
		f := members[codebookName(l)]
		if f == nil {
			return nil, fmt.Errorf("%w: no array %s", core.ErrFormat, codebookName(l))
		}
		if books[l], err = readMember(f, uint64(k), uint64(dim)); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, zipError(err))
		}
	}
	return books, nil
}

func readMember(f *zip.File, rows, cols uint64) (core.Matrix, error) {
	var none core.Matrix
	most := f.CompressedSize64 // the length it can have
	if f.Method == zip.Deflate {
		most *= maxRatio // no overflow: it is within the file
	}
	if f.UncompressedSize64 > most || f.UncompressedSize64 > math.MaxInt {
		return none, fmt.Errorf("%w: declares %d bytes in %d compressed ones", core.ErrFormat, f.UncompressedSize64, f.CompressedSize64)
	}
	rc, err := f.Open()
	if err != nil {
		return none, err
	}
	defer rc.Close()
	sum := crc32.NewIEEE() // archive/zip takes a stored sum of 0 for none
	in := io.TeeReader(rc, sum)
	a, err := readNPYHeader(in)
	if err != nil {
		return none, err
	}
	if a.rows != rows || a.cols != cols {
		return none, fmt.Errorf("%w: shape (%d, %d), want (%d, %d) as in metadata.json", core.ErrFormat, a.rows, a.cols, rows, cols)
	}
	if rows > f.UncompressedSize64/cols || a.bytes() != f.UncompressedSize64 {
		return none, fmt.Errorf("%w: %d bytes, too few or too many for shape (%d, %d)", core.ErrFormat, f.UncompressedSize64, rows, cols)
	}
	m, err := readNPYValues(in, a)
	if err != nil {
		return none, err
	}
	if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF { // at the end archive/zip compares checksums
		return none, fmt.Errorf("%w: wrong length or checksum", core.ErrFormat)
	}
	if sum.Sum32() != f.CRC32 {
		return none, zip.ErrChecksum
	}
	if err := m.CheckFinite(); err != nil {
		return none, fmt.Errorf("%w: %v", core.ErrFormat, err)
	}
	return m, nil
}

// zipError makes whatever a file's contents can cause an ErrFormat. What the disk answered stays what it is.
func zipError(err error) error {
	var disk syscall.Errno
	if errors.Is(err, core.ErrFormat) || errors.As(err, &disk) && disk != syscall.EINVAL { // EINVAL: an offset from the file
		return err
	}
	return fmt.Errorf("%w: %v", core.ErrFormat, err)
}
