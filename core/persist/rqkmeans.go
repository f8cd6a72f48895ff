package persist

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/semantic-id/semantic-id/core"
)

// RQKMeans is what the files of a residual k-means model hold. The settings of the fit are kept, but only Metric and
// Books matter to codes.
type RQKMeans struct {
	Clusters       []int // centroids of each level, the rows of Books
	Dim            int   // columns of each of Books
	Metric         string
	Implementation string // "kmeans" or "constrained"
	MaxIter        int
	Tol            float64
	RandomState    *int64 // nil: not a number that can be kept
	NInit          *int   // nil: chosen by the fit
	Books          []core.Matrix
}

// SaveRQKMeans writes m as the directory dir, or makes dir hold m instead of the model it holds, by ReplaceDir.
func SaveRQKMeans(dir string, m RQKMeans) error { return saveRQKMeans(osDisk{}, dir, m) }

func saveRQKMeans(d disk, dir string, m RQKMeans) error {
	meta := metadata{
		Type: "RQKMeans", NLevels: len(m.Books), NClusters: m.Clusters, Metric: m.Metric, Implementation: m.Implementation,
		MaxIter: m.MaxIter, Tol: m.Tol, RandomState: m.RandomState, NInit: m.NInit, D: m.Dim, FormatVersion: formatVersion,
	}
	if fault := meta.fault(); fault != "" {
		return fmt.Errorf("saving %s: %w: %s", dir, core.ErrParam, fault)
	}
	for l, book := range m.Books {
		err := book.Check()
		if err == nil && (book.Rows != m.Clusters[l] || book.Cols != m.Dim) {
			err = fmt.Errorf("%w: %d rows of %d columns, want %d of %d", core.ErrShape, book.Rows, book.Cols, m.Clusters[l], m.Dim)
		}
		if err == nil {
			err = book.CheckFinite()
		}
		if err != nil {
			return fmt.Errorf("saving %s: codebook %d: %w", dir, l, err)
		}
	}
	meta.SettingsSHA256 = meta.settingsSum()
	return replaceDir(d, dir, func(tmp string) error {
		sum := sha256.New()
		err := writeFile(d, filepath.Join(tmp, codebooksName), func(w io.Writer) error {
			return writeCodebooks(io.MultiWriter(w, sum), m.Books)
		})
		if err != nil {
			return err
		}
		meta.SHA256 = map[string]string{codebooksName: hex.EncodeToString(sum.Sum(nil))}
		text, err := json.MarshalIndent(meta, "", "  ")
		if err != nil {
			return err
		}
		return writeFile(d, filepath.Join(tmp, metadataName), func(w io.Writer) error {
			_, err := w.Write(append(text, '\n'))
			return err
		})
	})
}

// LoadRQKMeans reads the directory dir, written by SaveRQKMeans, by Python or by semantic-id 0.2.5. While others save
// there it returns one of the models they saved, never a mix.
func LoadRQKMeans(dir string) (RQKMeans, error) {
	for {
		before, err := lookAt(dir)
		if err != nil {
			return RQKMeans{}, fmt.Errorf("loading %s: %w", dir, err)
		}
		m, err := loadRQKMeans(dir, before.metadata)
		if after, e := lookAt(dir); e == nil && !after.same(before) {
			continue // replaced meanwhile
		}
		if err != nil {
			return RQKMeans{}, fmt.Errorf("loading %s: %w", dir, err)
		}
		return m, nil
	}
}

// look is what changes in a model directory whenever it is saved to.
type look struct {
	dir      os.FileInfo
	metadata []byte
}

func lookAt(dir string) (l look, err error) {
	l.dir, err = os.Stat(dir)
	if err != nil {
		return l, err
	}
	if !l.dir.IsDir() {
		return l, fmt.Errorf("%w; pass the directory that holds %s", &os.PathError{Op: "load", Path: dir, Err: syscall.ENOTDIR}, metadataName)
	}
	f, _, err := openFile(dir, metadataName)
	if errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("%w; this is not the directory of a saved model", err)
	}
	if err != nil {
		return l, err
	}
	defer f.Close()
	l.metadata, err = io.ReadAll(io.LimitReader(f, maxMetadata+1))
	return l, err
}

func (l look) same(o look) bool {
	return os.SameFile(l.dir, o.dir) && bytes.Equal(l.metadata, o.metadata)
}

func loadRQKMeans(dir string, raw []byte) (RQKMeans, error) {
	meta, err := parseMetadata(raw)
	if err != nil {
		return RQKMeans{}, fmt.Errorf("%s: %w", metadataName, err)
	}
	f, length, err := openFile(dir, codebooksName)
	if errors.Is(err, fs.ErrNotExist) {
		return RQKMeans{}, fmt.Errorf("%w; the model is incomplete, copy the whole directory again", err)
	}
	if err != nil {
		return RQKMeans{}, err
	}
	defer f.Close()
	if want, ok := meta.SHA256[codebooksName]; ok {
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return RQKMeans{}, err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != want {
			return RQKMeans{}, fmt.Errorf("%s: %w: damaged or of another model (SHA-256 %.12s.., in %s %.12s..); copy the whole directory again",
				codebooksName, core.ErrFormat, got, metadataName, want)
		}
	}
	books, err := readCodebooks(f, length, meta.NClusters, meta.D)
	if err != nil {
		return RQKMeans{}, fmt.Errorf("%s: %w; copy the whole directory again, or save the model again", codebooksName, err)
	}
	return RQKMeans{
		Clusters: meta.NClusters, Dim: meta.D, Metric: meta.Metric, Implementation: meta.Implementation, MaxIter: meta.MaxIter,
		Tol: meta.Tol, RandomState: meta.RandomState, NInit: meta.NInit, Books: books,
	}, nil
}

// openFile opens a regular file of the model in dir: the newer one that a save has committed but not yet moved, if any.
func openFile(dir, name string) (*os.File, int64, error) {
	f, length, err := openRegular(filepath.Join(dir, saved, name))
	if errors.Is(err, fs.ErrNotExist) {
		return openRegular(filepath.Join(dir, name))
	}
	return f, length, err
}

func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path) // before opening, which waits on a pipe
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is not a file", core.ErrFormat, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}
