package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/engine"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
	"github.com/semantic-id/semantic-id/core/store"
)

func Example() {
	ctx := context.Background()
	book := core.Matrix{Rows: 2, Cols: 1, Data: []float32{0, 10}} // one level of two codes: near 0 and near 10
	model, err := rqkmeans.New([]core.Matrix{book}, core.L2)
	if err != nil {
		log.Fatal(err)
	}
	e := &engine.Engine{Quantizer: model, Store: store.NewMemory()} // or store.OpenSQLite, or store.OpenPostgres
	x := core.Matrix{Rows: 3, Cols: 1, Data: []float32{1, 9, 2}}
	items := []string{store.TextItem("mug"), store.TextItem("bolt"), store.TextItem("cup")}
	ids, err := e.Append(ctx, x, items, engine.DefaultFormat())
	if err != nil {
		log.Fatal(err)
	}
	below, err := e.Items(ctx, []int32{0})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids, below)
	// Output: [0 1 0-1] [{tcup 0-1 0-} {tmug 0 0-}]
}
