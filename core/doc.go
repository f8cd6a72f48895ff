// Package core holds the types every other package speaks: Matrix (float32 rows), Codes (one int32 per row and
// level), the Quantizer interface, and the sentinel errors. It imports nothing of ours.
//
// Embeddings flow one way: Matrix → quantizer (rqkmeans) → Codes → format → ids.
package core
