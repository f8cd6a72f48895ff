/* Loads an RQ-VAE and prints the codes of some rows: one line each. Usage: neural DIRECTORY (of the model).
 * Ends with 1 and a message on any error. */
#include "check.h"

enum { ROWS = 50, DIM = 12, LATENT = 4, LEVELS = 2 };

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: neural DIRECTORY\n");
        return 2;
    }
    float x[ROWS][DIM], latents[ROWS][LATENT], near[ROWS][DIM];
    uint64_t state = 1;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < DIM; j++)
            x[i][j] = uniform(&state);

    const int64_t length = (int64_t)strlen(argv[1]);
    int64_t model = 0, levels = 0, dim = 0, latent = 0, clusters[LEVELS] = {0}, control[SID_CONTROL_LEN] = {0};
    check(sid_rqvae_load(argv[1], length, &model, err, sizeof err), "load");
    check(sid_rqvae_shape(model, &levels, &dim, &latent, NULL, err, sizeof err), "shape");
    want(levels == LEVELS && dim == DIM && latent == LATENT, "the shape is that of the model");
    check(sid_rqvae_shape(model, &levels, &dim, &latent, clusters, err, sizeof err), "shape with clusters");
    want(clusters[0] == 8 && clusters[1] == 4, "the codebooks are those of the model");

    int32_t codes[ROWS][LEVELS], again[ROWS][LEVELS];
    check(sid_rqvae_encode(model, *x, ROWS, DIM, 0, *codes, control, err, sizeof err), "encode");
    want(control[SID_CONTROL_DONE] == ROWS, "the control block says when all rows are done");
    check(sid_rqvae_encode(model, *x, ROWS, DIM, 7, *again, NULL, err, sizeof err), "encode in batches of 7");
    want(memcmp(codes, again, sizeof codes) == 0, "batches change no code");
    check(sid_rqvae_latents(model, *x, ROWS, DIM, *latents, NULL, err, sizeof err), "latents");
    check(sid_rqvae_decode(model, *codes, ROWS, LEVELS, *near, err, sizeof err), "decode");
    for (int i = 0; i < ROWS; i++)
        printf("%d-%d %.9g %.9g\n", (int)codes[i][0], (int)codes[i][1], (double)latents[i][LATENT - 1], (double)near[i][DIM - 1]);

    want(sid_rqvae_encode(model, *x, ROWS, DIM - 1, 0, *codes, NULL, err, sizeof err) == SID_SHAPE, "another dim is refused");
    x[3][0] = (float)strtod("nan", NULL);
    want(sid_rqvae_encode(model, *x, ROWS, DIM, 0, *codes, NULL, err, sizeof err) == SID_NOT_FINITE, "NaN is refused");
    codes[0][1] = 4;
    want(sid_rqvae_decode(model, *codes, 1, LEVELS, *near, err, sizeof err) == SID_CODE, "a wrong code is refused");
    int64_t other = 0;
    want(sid_quantizer_load(argv[1], length, &other, err, sizeof err) == SID_TYPE, "it is no residual k-means");
    sid_rqvae_free(model);
    want(sid_rqvae_shape(model, &levels, &dim, &latent, NULL, err, sizeof err) == SID_HANDLE, "a freed handle is refused");
    const char *nowhere = "/nonexistent/model";
    want(sid_rqvae_load(nowhere, (int64_t)strlen(nowhere), &other, err, sizeof err) != SID_OK, "no model, no handle");
    return 0;
}
