/* Fits a model, encodes with it, saves it, loads it again, and prints the ids of the first rows: one line each.
 * Usage: ids DIRECTORY (where the model is saved). Ends with 1 and a message on any error. */
#include "check.h"

enum { ROWS = 600, DIM = 12, LEVELS = 3, SHOWN = 20 };

static void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    want(p != NULL, "there is memory");
    return p;
}

/* Errors are kinds with a text that is cut to fit, and bad handles and arguments do no harm. */
static void errors(int64_t handle, const float *x, int32_t *codes)
{
    char small[8];
    memset(small, 'x', sizeof small);
    want(sid_quantizer_encode(-1, x, ROWS, DIM, 1, 0, codes, NULL, small, 5) == SID_HANDLE, "an unknown handle is refused");
    want(sid_quantizer_encode(handle, x, ROWS, DIM, 0, 0, codes, NULL, NULL, 0) == SID_PARAM, "a beam of 0 is refused");
    want(strlen(small) == 4 && small[5] == 'x', "the text keeps to its room");
    want(sid_quantizer_encode(handle, x, ROWS, DIM - 1, 1, 0, codes, NULL, NULL, 0) == SID_SHAPE, "another dim is refused");
    want(sid_quantizer_encode(handle, x, 0, DIM, 1, 0, codes, NULL, err, sizeof err) == SID_SHAPE, "no rows are refused");
    codes[0] = 99;
    float row[DIM];
    want(sid_quantizer_decode(handle, codes, 1, LEVELS, row, err, sizeof err) == SID_CODE, "a wrong code is refused");
    const char *nowhere = "/nonexistent/model";
    int64_t none = 0;
    want(sid_quantizer_load(nowhere, (int64_t)strlen(nowhere), &none, err, sizeof err) != SID_OK, "no model, no handle");
}

/* 600 rows are spread evenly over 16 and over 8 centroids. */
static void balanced(int64_t handle, const float *x, int32_t *codes)
{
    double proof[LEVELS][3];
    int64_t counts[LEVELS][16] = {{0}};
    check(sid_quantizer_encode_balanced(handle, x, ROWS, DIM, 0, codes, *proof, NULL, err, sizeof err), "encode balanced");
    for (size_t i = 0; i < (size_t)ROWS * LEVELS; i++)
        counts[i % LEVELS][codes[i]]++;
    for (int j = 0; j < 16; j++)
        want(counts[0][j] == 37 || counts[0][j] == 38, "level 0 is balanced");
    for (int j = 0; j < 8; j++)
        want(counts[1][j] == 75 && counts[2][j] == 75, "levels 1 and 2 are balanced");
    for (int l = 0; l < LEVELS; l++)
        want(proof[l][0] > 0 && proof[l][0] - proof[l][1] <= 1e-9 * proof[l][0] && proof[l][2] <= 1e-9, "the proof holds");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: ids DIRECTORY\n");
        return 2;
    }
    char version[16];
    want(sid_version(version, sizeof version) == (int64_t)strlen(version), "the version's length");
    want(sid_num_threads() >= 1, "at least one thread");

    float *x = room((size_t)ROWS * DIM, sizeof *x);
    uint64_t state = 1;
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++)
        x[i] = uniform(&state);

    const int64_t clusters[LEVELS] = {16, 8, 8};
    float *books[LEVELS];
    for (int l = 0; l < LEVELS; l++)
        books[l] = room((size_t)clusters[l] * DIM, sizeof **books);
    int32_t *codes = room((size_t)ROWS * LEVELS, sizeof *codes);
    double inertia[LEVELS];
    int64_t iterations[LEVELS], flags[LEVELS], control[SID_CONTROL_LEN] = {0};
    check(sid_rqkmeans_fit(x, ROWS, DIM, NULL, LEVELS, clusters, SID_L2, 50, 1e-4, 1, 7, 0, 0, books, codes, inertia,
                           iterations, flags, NULL, control, err, sizeof err),
          "fit");
    want(inertia[0] > inertia[1] && inertia[1] > inertia[2], "each level leaves less over");

    int64_t made = 0, loaded = 0;
    check(sid_quantizer_new(LEVELS, DIM, clusters, (const float *const *)books, SID_L2, &made, err, sizeof err), "new");
    check(sid_quantizer_save(made, argv[1], (int64_t)strlen(argv[1]), err, sizeof err), "save");
    sid_quantizer_free(made);
    check(sid_quantizer_load(argv[1], (int64_t)strlen(argv[1]), &loaded, err, sizeof err), "load");

    int64_t levels = 0, dim = 0, metric = -1, sizes[LEVELS] = {0};
    check(sid_quantizer_shape(loaded, &levels, &dim, sizes, &metric, err, sizeof err), "shape");
    want(levels == LEVELS && dim == DIM && metric == SID_L2 && memcmp(sizes, clusters, sizeof sizes) == 0, "shape is kept");
    float *book = room((size_t)clusters[1] * DIM, sizeof *book);
    check(sid_quantizer_codebook(loaded, 1, book, err, sizeof err), "codebook");
    want(memcmp(book, books[1], (size_t)clusters[1] * DIM * sizeof *book) == 0, "a codebook survives the file bit by bit");

    int32_t *again = room((size_t)ROWS * LEVELS, sizeof *again);
    check(sid_quantizer_encode(loaded, x, ROWS, DIM, 1, 100, again, control, err, sizeof err), "encode");
    want(memcmp(codes, again, (size_t)ROWS * LEVELS * sizeof *codes) == 0, "encode gives the codes of fit");
    want(control[SID_CONTROL_DONE] == ROWS, "the control block says when all rows are done");
    check(sid_quantizer_encode(loaded, x, ROWS, DIM, 8, 0, again, NULL, err, sizeof err), "encode with a beam");
    want(memcmp(codes, again, (size_t)ROWS * LEVELS * sizeof *codes) != 0, "a beam of 8 finds other codes");
    balanced(loaded, x, again);
    double left[LEVELS], errors_of[22];
    int64_t kept = 0;
    check(sid_rqkmeans_refine(loaded, x, ROWS, DIM, NULL, 8, 20, 1e-4, 7, books, left, errors_of, &kept, flags, NULL, err,
                              sizeof err),
          "refine");
    want(kept >= 2 && errors_of[kept - 1] < errors_of[0] && left[LEVELS - 1] == errors_of[kept - 1], "refining lowers the error");

    float *near = room((size_t)ROWS * DIM, sizeof *near);
    check(sid_quantizer_decode(loaded, codes, ROWS, LEVELS, near, err, sizeof err), "decode");

    int64_t needed = 0;
    want(sid_format_codes(codes, SHOWN, LEVELS, SID_PLAIN, "-", 1, '\n', NULL, 0, &needed, err, sizeof err) == SID_PARAM,
         "no room for ids is an error");
    char *ids = room((size_t)needed, 1);
    check(sid_format_codes(codes, SHOWN, LEVELS, SID_PLAIN, "-", 1, '\n', ids, needed, &needed, err, sizeof err), "format");
    fwrite(ids, 1, (size_t)needed, stdout);

    errors(loaded, x, again);
    sid_quantizer_free(loaded);
    want(sid_quantizer_codebook(loaded, 1, book, err, sizeof err) == SID_HANDLE, "a freed handle is refused");

    for (int l = 0; l < LEVELS; l++)
        free(books[l]);
    free(x);
    free(codes);
    free(again);
    free(book);
    free(near);
    free(ids);
    return 0;
}
