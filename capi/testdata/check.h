/* What the programs here share: they end with 1 and a message where something is not as it should be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "semantic_id.h"

static char err[512];

static void check(int64_t kind, const char *what)
{
    if (kind != SID_OK) {
        fprintf(stderr, "%s: error %d: %s\n", what, (int)kind, err);
        exit(1);
    }
}

static void want(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

/* Numbers in [0, 1) that any program can make again: the high bits of a linear congruential generator. */
static float uniform(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(*state >> 40) * 0x1p-24f;
}
