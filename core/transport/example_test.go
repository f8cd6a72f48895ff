package transport_test

import (
	"context"
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/transport"
)

// Four of five points are nearest to the first centroid, which may take three.
func ExampleSolve() {
	x := core.Matrix{Rows: 5, Cols: 1, Data: []float32{0, 1, 2, 4, 10}}
	centroids := core.Matrix{Rows: 2, Cols: 1, Data: []float32{1, 9}}
	costs, err := transport.Distances(transport.Stored(x), centroids)
	if err != nil {
		panic(err)
	}
	s, err := transport.Solve(context.Background(), costs, transport.Balanced(x.Rows, centroids.Rows), nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Columns, s.Counts)
	fmt.Println("cost", s.Primal, "and no assignment costs less than", s.Dual)
	// Output:
	// [0 0 0 1 1] [3 2]
	// cost 28 and no assignment costs less than 28
}
