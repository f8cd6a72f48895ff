// Package capi exports the library as a C ABI. semantic_id.h describes it; each function here is one call of facade.
//
// The C compiler checks every function below against its declaration in the header, which the preamble includes.
package capi

/*
#include "semantic_id.h"

// Go cannot write const; these names stand for the header's types in the functions below.
typedef const char *sid_text;
typedef const float *sid_floats;
typedef const double *sid_doubles;
typedef const int32_t *sid_codes;
typedef const int64_t *sid_sizes;
typedef const float *const *sid_arrays;
typedef float *const *sid_arrays_out;
*/
import "C"

import (
	"unsafe"

	"github.com/semantic-id/semantic-id/core/facade"
)

// addr is the address a pointer of C holds.
func addr[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

//export sid_version
func sid_version(buf *C.char, bufLen C.int64_t) C.int64_t {
	return C.int64_t(facade.Version(addr(buf), int64(bufLen)))
}

//export sid_cpu_level
func sid_cpu_level(buf *C.char, bufLen C.int64_t) C.int64_t {
	return C.int64_t(facade.CPULevel(addr(buf), int64(bufLen)))
}

//export sid_set_num_threads
func sid_set_num_threads(n C.int64_t) { facade.SetNumThreads(int64(n)) }

//export sid_num_threads
func sid_num_threads() C.int64_t { return C.int64_t(facade.NumThreads()) }

//export sid_rqkmeans_fit
func sid_rqkmeans_fit(x C.sid_floats, rows, dim C.int64_t, weights C.sid_doubles, levels C.int64_t, clusters C.sid_sizes,
	metric, maxIter C.int64_t, tol C.double, restarts C.int64_t, seed C.uint64_t, recompute, balanced C.int64_t, codebooks C.sid_arrays_out,
	codes *C.int32_t, inertia *C.double, iterations, flags *C.int64_t, certificates *C.double, control *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQKMeansFit(addr(x), int64(rows), int64(dim), addr(weights), int64(levels), addr(clusters),
		int64(metric), int64(maxIter), float64(tol), int64(restarts), uint64(seed), int64(recompute), int64(balanced), addr(codebooks),
		addr(codes), addr(inertia), addr(iterations), addr(flags), addr(certificates), addr(control), addr(err), int64(errLen)))
}

//export sid_rqkmeans_refine
func sid_rqkmeans_refine(handle C.int64_t, x C.sid_floats, rows, dim C.int64_t, weights C.sid_doubles, beam, maxIter C.int64_t,
	tol C.double, seed C.uint64_t, codebooks C.sid_arrays_out, inertia, errors *C.double, errorsLen, flags, control *C.int64_t,
	err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQKMeansRefine(int64(handle), addr(x), int64(rows), int64(dim), addr(weights), int64(beam),
		int64(maxIter), float64(tol), uint64(seed), addr(codebooks), addr(inertia), addr(errors), addr(errorsLen),
		addr(flags), addr(control), addr(err), int64(errLen)))
}

//export sid_quantizer_new
func sid_quantizer_new(levels, dim C.int64_t, clusters C.sid_sizes, codebooks C.sid_arrays, metric C.int64_t, handle *C.int64_t,
	err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerNew(int64(levels), int64(dim), addr(clusters), addr(codebooks), int64(metric), addr(handle),
		addr(err), int64(errLen)))
}

//export sid_quantizer_free
func sid_quantizer_free(handle C.int64_t) { facade.QuantizerFree(int64(handle)) }

//export sid_quantizer_shape
func sid_quantizer_shape(handle C.int64_t, levels, dim, clusters, metric *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerShape(int64(handle), addr(levels), addr(dim), addr(clusters), addr(metric),
		addr(err), int64(errLen)))
}

//export sid_quantizer_codebook
func sid_quantizer_codebook(handle, level C.int64_t, out *C.float, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerCodebook(int64(handle), int64(level), addr(out), addr(err), int64(errLen)))
}

//export sid_quantizer_encode
func sid_quantizer_encode(handle C.int64_t, x C.sid_floats, rows, dim, beam, batch C.int64_t, codes *C.int32_t, control *C.int64_t,
	err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerEncode(int64(handle), addr(x), int64(rows), int64(dim), int64(beam), int64(batch), addr(codes),
		addr(control), addr(err), int64(errLen)))
}

//export sid_quantizer_encode_balanced
func sid_quantizer_encode_balanced(handle C.int64_t, x C.sid_floats, rows, dim, recompute C.int64_t, codes *C.int32_t,
	certificates *C.double, control *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerEncodeBalanced(int64(handle), addr(x), int64(rows), int64(dim), int64(recompute), addr(codes),
		addr(certificates), addr(control), addr(err), int64(errLen)))
}

//export sid_quantizer_decode
func sid_quantizer_decode(handle C.int64_t, codes C.sid_codes, rows, levels C.int64_t, out *C.float, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerDecode(int64(handle), addr(codes), int64(rows), int64(levels), addr(out), addr(err), int64(errLen)))
}

//export sid_quantizer_save
func sid_quantizer_save(handle C.int64_t, path C.sid_text, pathLen C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerSave(int64(handle), addr(path), int64(pathLen), addr(err), int64(errLen)))
}

//export sid_quantizer_load
func sid_quantizer_load(path C.sid_text, pathLen C.int64_t, handle *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.QuantizerLoad(addr(path), int64(pathLen), addr(handle), addr(err), int64(errLen)))
}

//export sid_rqvae_load
func sid_rqvae_load(path C.sid_text, pathLen C.int64_t, handle *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQVAELoad(addr(path), int64(pathLen), addr(handle), addr(err), int64(errLen)))
}

//export sid_rqvae_free
func sid_rqvae_free(handle C.int64_t) { facade.RQVAEFree(int64(handle)) }

//export sid_rqvae_shape
func sid_rqvae_shape(handle C.int64_t, levels, dim, latentDim, clusters *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQVAEShape(int64(handle), addr(levels), addr(dim), addr(latentDim), addr(clusters), addr(err), int64(errLen)))
}

//export sid_rqvae_encode
func sid_rqvae_encode(handle C.int64_t, x C.sid_floats, rows, dim, batch C.int64_t, codes *C.int32_t, control *C.int64_t,
	err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQVAEEncode(int64(handle), addr(x), int64(rows), int64(dim), int64(batch), addr(codes),
		addr(control), addr(err), int64(errLen)))
}

//export sid_rqvae_latents
func sid_rqvae_latents(handle C.int64_t, x C.sid_floats, rows, dim C.int64_t, out *C.float, control *C.int64_t,
	err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQVAELatents(int64(handle), addr(x), int64(rows), int64(dim), addr(out), addr(control), addr(err), int64(errLen)))
}

//export sid_rqvae_decode
func sid_rqvae_decode(handle C.int64_t, codes C.sid_codes, rows, levels C.int64_t, out *C.float, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.RQVAEDecode(int64(handle), addr(codes), int64(rows), int64(levels), addr(out), addr(err), int64(errLen)))
}

//export sid_format_codes
func sid_format_codes(codes C.sid_codes, rows, levels, style C.int64_t, sep C.sid_text, sepLen C.int64_t, end C.char,
	out *C.char, outLen C.int64_t, needed *C.int64_t, err *C.char, errLen C.int64_t) C.int64_t {
	return C.int64_t(facade.FormatCodes(addr(codes), int64(rows), int64(levels), int64(style), addr(sep), int64(sepLen), int64(end),
		addr(out), int64(outLen), addr(needed), addr(err), int64(errLen)))
}
