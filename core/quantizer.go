package core

import "context"

// Quantizer turns rows into codes and codes back into approximate rows. One value may be used by many goroutines.
type Quantizer interface {
	// Dim is the number of columns of a row.
	Dim() int
	// Clusters gives the codebook size of each level; its length is the number of levels.
	Clusters() []int
	// Encode writes the codes of each row of x into dst.
	Encode(ctx context.Context, x Matrix, dst Codes) error
	// Decode writes the approximate rows of codes into dst.
	Decode(codes Codes, dst Matrix) error
}
