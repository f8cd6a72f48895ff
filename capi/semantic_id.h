/* semantic_id.h - learn semantic ids (residual k-means codes) for embeddings, and turn embeddings into ids.
 *
 * C11 and C++. Link with libsemanticid (`make libsemanticid`), or take the same functions from the Python extension.
 *
 *     rows of float32  ->  sid_rqkmeans_fit  ->  codebooks  ->  sid_quantizer_new  ->  handle
 *     handle, rows     ->  sid_quantizer_encode  ->  codes, int32  ->  sid_format_codes  ->  "3-9-1"
 *
 * Models of RQ-VAE, which Python and Go train, are loaded by sid_rqvae_load.
 *
 * Arrays are C-ordered without gaps: (rows, dim) means rows times dim values, row after row. Sizes count values, not
 * bytes, except those of text, which count bytes; text is UTF-8. A code says which centroid of its level is nearest,
 * 0 <= code < clusters[level]; codes have shape (rows, levels), coarse level first.
 *
 * Errors. A function that can fail returns SID_OK (0) or another sid_kind, and then writes what was wrong, with the
 * numbers, to err: at most err_len bytes, the closing zero among them. err may be NULL with err_len 0. What a failed call
 * was to write is unspecified, but nothing beyond its arrays is touched.
 *
 * Ownership. The caller owns all memory it passes in and keeps it alive and unmoved for the call; the library keeps
 * nothing of it after the call. A handle is a number; the model behind it lives until sid_quantizer_free or
 * sid_rqvae_free.
 *
 * Threads. All functions may be called from any thread at any time, also on one handle. A call uses up to
 * sid_num_threads() threads of the library's own. Codes do not depend on their number.
 *
 * Fork. The library runs Go, which does not survive fork(): a child may call none of these functions, except after exec().
 * Signals. The library installs handlers with SA_ONSTACK and passes on what is not Go's; it handles none itself.
 *
 * Doubles and sizes: pointers must be aligned as their types ask for. 64-bit platforms only.
 */
#ifndef SEMANTIC_ID_H
#define SEMANTIC_ID_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong. */
enum sid_kind {
    SID_OK = 0,
    SID_PARAM = 1,       /* an argument out of its range */
    SID_SHAPE = 2,       /* no rows, or sizes that do not fit each other or the model */
    SID_NOT_FINITE = 3,  /* a row holds NaN or infinity; the text names the first */
    SID_ZERO_ROW = 4,    /* a row of zeros under SID_COSINE; the text names the first */
    SID_CODE = 5,        /* a code that is not 0 <= code < clusters[level] */
    SID_FORMAT = 6,      /* files that are not a model: truncated, altered, foreign */
    SID_TYPE = 7,        /* a model of another type */
    SID_VERSION = 8,     /* a model written by a newer version */
    SID_HANDLE = 9,      /* a handle that was freed or never given */
    SID_DEVICE = 10,     /* a device that is not there */
    SID_CANCELED = 11,   /* the caller set control[SID_CONTROL_CANCEL] */
    SID_IO = 12,         /* the operating system refused to read or write a file */
    SID_INTERNAL = 13    /* an error in the library; the text asks to report it */
};

/* How rows are compared. */
enum sid_metric {
    SID_L2 = 0,    /* squared Euclidean distance */
    SID_COSINE = 1 /* the same after dividing each row by its norm */
};

/* How sid_format_codes writes a row. */
enum sid_style {
    SID_PLAIN = 0, /* 3-9-1, with any separator */
    SID_TOKEN = 1  /* <a_3><b_9><c_1> */
};

/* Bits sid_rqkmeans_fit sets for a level. */
enum sid_flag {
    SID_NOT_CONVERGED = 1, /* max_iter iterations did not reach tol */
    SID_NOT_DISTINCT = 2   /* fewer distinct rows than centroids, or equal centroids of balanced clusters */
};

/* A control block: SID_CONTROL_LEN int64_t words, zero at first, for watching and stopping a long call from another
 * thread. NULL does without. Use atomic loads and stores: the call runs meanwhile. */
enum sid_control {
    SID_CONTROL_CANCEL = 0, /* set to 1: the call ends within a moment with SID_CANCELED */
    SID_CONTROL_LEVEL = 1,  /* the level being worked on, from 0 */
    SID_CONTROL_LEVELS = 2, /* how many levels there are */
    SID_CONTROL_DONE = 3,   /* steps done: iterations of this level (fit), rows (encode), levels (encode balanced) */
    SID_CONTROL_TOTAL = 4,  /* the most steps there can be */
    SID_CONTROL_LEN = 8
};

/* Writes the version, such as "1.0.0", to buf (at most len bytes, the closing zero among them); returns its length. */
int64_t sid_version(char *buf, int64_t len);

/* Writes which kernels this process uses, "generic", "avx2" or "avx512", likewise. All give the same codes. */
int64_t sid_cpu_level(char *buf, int64_t len);

/* How many threads later calls use; 0: the default, the processors this process may use. */
void sid_set_num_threads(int64_t n);
int64_t sid_num_threads(void);

/* Fits residual k-means: level 0 on the rows, every later level on what the levels before it leave over.
 *
 *   x          (rows, dim), finite
 *   weights    (rows), what each row counts, >= 0; NULL: 1 each
 *   clusters   (levels), the number of centroids of each level, 1 <= clusters[l] <= rows
 *   max_iter   most iterations over all rows of a level, >= 1
 *   tol        a level stops when the squared shifts of its centroids sum to at most tol times the mean variance of the
 *              columns, or an iteration takes at most tol/5 of its inertia away, >= 0; 1e-4 is usual
 *   restarts   fits of a level of which the best is kept, >= 1; 1 is usual
 *   seed       the same seed gives the same codebooks, on any number of threads and any processor
 *   recompute  1: keep no copy of x, for one that is mapped from a file; slower, the same codebooks. Else 0
 *   balanced   1: the sizes of a level's clusters differ by at most one row, at the least error; weights must be NULL. Else 0
 *
 * Writes, unless it fails:
 *   codebooks  levels pointers, level l to float (clusters[l], dim)
 *   codes      (rows, levels), those of x; NULL: not wanted. With balanced the balanced ones, which only
 *              sid_quantizer_encode_balanced finds again
 *   inertia    (levels), weighted sum of squared distances to the centroids
 *   iterations (levels)
 *   flags      (levels), bits of sid_flag
 *   certificates  with balanced: (levels, 3), the inertia, what no other balanced codes of this level and codebook go below,
 *              and the difference as a share of the inertia, at most 1e-9; NULL: not wanted */
int64_t sid_rqkmeans_fit(const float *x, int64_t rows, int64_t dim, const double *weights, int64_t levels,
                         const int64_t *clusters, int64_t metric, int64_t max_iter, double tol, int64_t restarts,
                         uint64_t seed, int64_t recompute, int64_t balanced, float *const *codebooks, int32_t *codes,
                         double *inertia, int64_t *iterations, int64_t *flags, double *certificates, int64_t *control,
                         char *err, int64_t err_len);

/* Makes a model of copies of codebooks, level l being float (clusters[l], dim), and writes its handle. */
int64_t sid_quantizer_new(int64_t levels, int64_t dim, const int64_t *clusters, const float *const *codebooks,
                          int64_t metric, int64_t *handle, char *err, int64_t err_len);

/* Lets go of a model. Calls that use it at this moment still end well; a handle unknown or freed is ignored. */
void sid_quantizer_free(int64_t handle);

/* Writes the sizes of a model; each pointer may be NULL. clusters has room for all levels: ask for those first. */
int64_t sid_quantizer_shape(int64_t handle, int64_t *levels, int64_t *dim, int64_t *clusters, int64_t *metric, char *err,
                            int64_t err_len);

/* Copies the codebook of a level, (clusters[level], dim). Under SID_COSINE it belongs to rows divided by their norm. */
int64_t sid_quantizer_codebook(int64_t handle, int64_t level, float *out, char *err, int64_t err_len);

/* Writes the codes (rows, levels) of x (rows, dim). beam, 1 to 4096, is how many prefixes of a code are kept at each level:
 * 1 takes the nearest centroid at each, more find codes of lower error in more time. batch bounds how many rows a thread
 * works on at once, and so memory (0: a good number); it changes no code. */
int64_t sid_quantizer_encode(int64_t handle, const float *x, int64_t rows, int64_t dim, int64_t beam, int64_t batch,
                             int32_t *codes, int64_t *control, char *err, int64_t err_len);

/* Writes balanced codes (rows, levels) of x (rows, dim): at each level all centroids are used equally often, to within one,
 * and no such codes of the level leave less. A code depends on the other rows. recompute is as in sid_rqkmeans_fit;
 * certificates (levels, 3) too, NULL: not wanted. */
int64_t sid_quantizer_encode_balanced(int64_t handle, const float *x, int64_t rows, int64_t dim, int64_t recompute,
                                      int32_t *codes, double *certificates, int64_t *control, char *err,
                                      int64_t err_len);

/* Fits the codebooks of a model to each other, on rows x (rows, dim), for encoding with a beam, and writes codebooks with
 * which sid_quantizer_new makes a model whose codes for x have lower error, or the same; the model of the handle stays.
 *
 *   weights    (rows), as in sid_rqkmeans_fit; NULL: 1 each
 *   beam       that of sid_quantizer_encode, 1 to 4096
 *   max_iter   most encodings of all rows, >= 1; 30 is usual
 *   tol        stop when an update lowers the error by this share or less, >= 0; 1e-4 is usual
 *   seed       the same seed gives the same codebooks, on any number of threads and any processor
 *
 * Writes, unless it fails:
 *   codebooks  levels pointers, level l to float (clusters[l], dim)
 *   inertia    (levels), weighted sum of the squared distances that each level leaves
 *   errors     room for max_iter + 2: that of the last level before, after the first phase, and after each update kept
 *   errors_len how many errors there are
 *   flags      one, bits of sid_flag */
int64_t sid_rqkmeans_refine(int64_t handle, const float *x, int64_t rows, int64_t dim, const double *weights, int64_t beam,
                            int64_t max_iter, double tol, uint64_t seed, float *const *codebooks, double *inertia,
                            double *errors, int64_t *errors_len, int64_t *flags, int64_t *control, char *err,
                            int64_t err_len);

/* Writes to out (rows, dim) the rows that codes (rows, levels) stand for: the sum of their centroids. */
int64_t sid_quantizer_decode(int64_t handle, const int32_t *codes, int64_t rows, int64_t levels, float *out, char *err,
                             int64_t err_len);

/* Saves a model as the directory at path (path_len bytes, no closing zero needed), replacing a model that is there as a
 * whole: whatever happens, the old one or the new one can be loaded. Python and Go read the same files. */
int64_t sid_quantizer_save(int64_t handle, const char *path, int64_t path_len, char *err, int64_t err_len);

/* Loads such a directory and writes the handle of the model. */
int64_t sid_quantizer_load(const char *path, int64_t path_len, int64_t *handle, char *err, int64_t err_len);

/* A trained RQ-VAE: a neural network that turns rows into latents, codebooks for these, and a network back. Python and Go
 * train and save it; here it is used. Handles are those of sid_rqvae_load, and none of sid_quantizer_. */

/* Loads the directory at path (path_len bytes) and writes the handle of the model. */
int64_t sid_rqvae_load(const char *path, int64_t path_len, int64_t *handle, char *err, int64_t err_len);

/* Lets go of a model, as sid_quantizer_free does. */
void sid_rqvae_free(int64_t handle);

/* Writes the sizes of a model: levels, columns of rows and of latents, centroids of each level. clusters may be NULL, and
 * has room for all levels: ask for those first. */
int64_t sid_rqvae_shape(int64_t handle, int64_t *levels, int64_t *dim, int64_t *latent_dim, int64_t *clusters, char *err,
                        int64_t err_len);

/* Writes the codes (rows, levels) of x (rows, dim), the same on any processor. batch is as in sid_quantizer_encode. */
int64_t sid_rqvae_encode(int64_t handle, const float *x, int64_t rows, int64_t dim, int64_t batch, int32_t *codes,
                         int64_t *control, char *err, int64_t err_len);

/* Writes the latents (rows, latent_dim) of x (rows, dim), which the codebooks quantize. */
int64_t sid_rqvae_latents(int64_t handle, const float *x, int64_t rows, int64_t dim, float *out, int64_t *control,
                          char *err, int64_t err_len);

/* Writes to out (rows, dim) the rows that the network makes of codes (rows, levels). */
int64_t sid_rqvae_decode(int64_t handle, const int32_t *codes, int64_t rows, int64_t levels, float *out, char *err,
                         int64_t err_len);

/* Writes the rows of codes (rows, levels) as ids, one after the other, each followed by the byte end (0 makes C strings,
 * '\n' lines). sep (sep_len bytes) stands between the numbers of SID_PLAIN. *needed becomes the number of bytes of all
 * ids; if out_len is less, SID_PARAM comes back: ask with out_len 0, then call again. */
int64_t sid_format_codes(const int32_t *codes, int64_t rows, int64_t levels, int64_t style, const char *sep,
                         int64_t sep_len, char end, char *out, int64_t out_len, int64_t *needed, char *err,
                         int64_t err_len);

#ifdef __cplusplus
}
#endif

#endif
