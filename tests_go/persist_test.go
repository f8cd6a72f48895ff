package tests_go

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

func model(seed int64) persist.RQKMeans {
	m := persist.RQKMeans{
		Clusters: []int{4, 3}, Dim: 3, Metric: "l2", Implementation: "kmeans", MaxIter: 100, Tol: 1e-4, RandomState: &seed,
		Books: []core.Matrix{core.NewMatrix(4, 3), core.NewMatrix(3, 3)},
	}
	for _, b := range m.Books {
		for i := range b.Data {
			b.Data[i] = float32(seed) + float32(i)/8
		}
	}
	return m
}

func TestSaveLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "model")
	for seed := range int64(3) {
		if err := persist.SaveRQKMeans(dir, model(seed)); err != nil {
			t.Fatal(err)
		}
		got, err := persist.LoadRQKMeans(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := model(seed); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	entries, _ := os.ReadDir(filepath.Dir(dir))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
