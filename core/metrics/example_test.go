package metrics_test

import (
	"context"
	"fmt"
	"log"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/metrics"
)

// Five items on a line, as in docs/metrics.md.
var (
	line  = core.Matrix{Rows: 5, Cols: 1, Data: []float32{0, 1, 2, 10, 11}}
	codes = core.Codes{Rows: 5, Levels: 2, Data: []int32{0, 0, 0, 0, 0, 1, 1, 0, 1, 2}}
)

func ExampleRank() {
	r, err := metrics.Rank(context.Background(), line, codes, []int64{0, 1, 2, 3, 4}, 2, metrics.Hierarchical, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("recall %.3f, NDCG %.3f, item recall %.3f, item NDCG %.3f\n", r.Recall, r.NDCG, r.ItemRecall, r.ItemNDCG)
	// Output: recall 0.800, NDCG 0.876, item recall 0.867, item NDCG 0.922
}

func ExampleUse() {
	u, err := metrics.Use(codes, []int{4, 4})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Unique, "ids, at most", u.LargestBucket, "items on one, dead codes", u.Levels[0].Dead, u.Levels[1].Dead)
	// Output: 4 ids, at most 2 items on one, dead codes 2 1
}

func ExampleNeighbors() {
	ids, dists, err := metrics.Neighbors(context.Background(), line, []int64{3}, 2, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids, dists)
	// Output: [4 2] [1 64]
}
