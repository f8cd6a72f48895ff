package tests_go

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rqvae"
)

// TestNormalizedRQVAE: a model that Python saved, with means and scales of its columns, encodes and decodes rows as they are, to
// the bits that Python had of it.
func TestNormalizedRQVAE(t *testing.T) {
	var want struct {
		X       [][]float32 `json:"x"`
		Codes   [][]int32   `json:"codes"`
		Decoded [][]float32 `json:"decoded"`
	}
	text, err := os.ReadFile("testdata/rqvae/version-1-normalized.json")
	if err == nil {
		err = json.Unmarshal(text, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := rqvae.Load("testdata/rqvae/version-1-normalized")
	if err != nil {
		t.Fatal(err)
	}
	x := matrix(want.X)
	codes, decoded := core.NewCodes(x.Rows, 2), core.NewMatrix(x.Rows, x.Cols)
	if err := m.Encode(context.Background(), x, codes); err != nil {
		t.Fatal(err)
	}
	if err := m.Decode(codes, decoded); err != nil {
		t.Fatal(err)
	}
	for i, row := range want.Codes {
		if !reflect.DeepEqual(codes.Row(i), row) {
			t.Errorf("row %d: codes %v, want %v", i, codes.Row(i), row)
		}
	}
	if !reflect.DeepEqual(decoded.Data, matrix(want.Decoded).Data) {
		t.Error("decoded rows differ")
	}
	if dir := t.TempDir() + "/again"; m.Save(dir) != nil {
		t.Error("cannot save it")
	} else if again, err := rqvae.Load(dir); err != nil || !reflect.DeepEqual(again.Tensors(), m.Tensors()) {
		t.Errorf("saved again it differs: %v", err)
	}
}
