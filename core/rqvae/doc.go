// Package rqvae is the residual-quantized autoencoder: an encoder makes a latent of a row, codebooks quantize it level by
// level, a decoder makes the row of what the chosen vectors add up to, and all are trained together (Lee, Kim, Kim, Cho,
// Han, CVPR 2022; for ids of items: Rajput et al., NeurIPS 2023). Equal rows and Params give equal models and codes on any
// number of threads and every CPU.
//
// A model is plain arrays, and Encode and Decode are plain Go over the kernels of f32. Training is a graph of a few
// operations (op.go, ops.go, quantize.go) that gorgonia composes and differentiates, and that program.go runs. Both leave
// out products with what a ReLU set to 0, which is half of them and more and changes no value (f32.Then).
package rqvae
