package resolve_test

import (
	"context"
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

// Three points are nearest to centroid 1. The one at 4.2 loses least by a move to the free centroid 2; of the other two the
// one at 3.1 does, and goes to 0.
func ExampleAssignMoved() {
	space := resolve.Space{
		Rows:  core.Matrix{Rows: 3, Cols: 1, Data: []float32{3.1, 3.5, 4.2}},
		Books: []core.Matrix{{Rows: 4, Cols: 1, Data: []float32{1, 3.5, 6, 9}}},
	}
	codes := core.Codes{Rows: 3, Levels: 1, Data: []int32{1, 1, 1}}
	write := func(c core.Codes) []string { return format.Plain(c, "-") }
	batch := resolve.Batch{IDs: write(codes), Sep: "-"}
	ids, moved, err := resolve.AssignMoved(context.Background(), store.NewMemory(), batch, space, codes, write, resolve.DefaultCapacity())
	if err != nil {
		panic(err)
	}
	fmt.Println(ids, moved.Rows)
	fmt.Printf("%.2f\n", moved.Added)
	// Output:
	// [0 1 2] [0 2]
	// [4.25 2.75]
}
