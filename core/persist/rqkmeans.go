package persist

import (
	"fmt"
	"io"

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
	return saveModel(d, dir, codebooksName, func(w io.Writer) error { return writeCodebooks(w, m.Books) }, func(sums map[string]string) any {
		meta.SHA256 = sums
		return meta
	})
}

// LoadRQKMeans reads the directory dir, written by SaveRQKMeans, by Python or by semantic-id 0.2.5. While others save
// there it returns one of the models they saved, never a mix.
func LoadRQKMeans(dir string) (RQKMeans, error) { return loadModel(dir, loadRQKMeans) }

func loadRQKMeans(dir string, raw []byte) (RQKMeans, error) {
	meta, err := parseMetadata(raw)
	if err != nil {
		return RQKMeans{}, fmt.Errorf("%s: %w", metadataName, err)
	}
	f, length, err := openChecked(dir, codebooksName, meta.SHA256)
	if err != nil {
		return RQKMeans{}, err
	}
	defer f.Close()
	books, err := readCodebooks(f, length, meta.NClusters, meta.D)
	if err != nil {
		return RQKMeans{}, fmt.Errorf("%s: %w; copy the whole directory again, or save the model again", codebooksName, err)
	}
	return RQKMeans{
		Clusters: meta.NClusters, Dim: meta.D, Metric: meta.Metric, Implementation: meta.Implementation, MaxIter: meta.MaxIter,
		Tol: meta.Tol, RandomState: meta.RandomState, NInit: meta.NInit, Books: books,
	}, nil
}
