/* The input of a measured stage: a file in memory, from which pieces are taken. */
#ifndef BCDA_BENCH_INPUT_H
#define BCDA_BENCH_INPUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    RUN = 64 * 1024,   /* bytes per read from the network */
    TEXT = 256 * 1024, /* bytes of a batch */
};

struct input {
    const uint8_t *at;
    size_t len;
};

/* Maps a file that is not empty. If that fails, the program ends. */
struct input input_map(const char *path);

/* Returns the length of the next piece, which begins at `at`: at most RUN bytes of a stored file,
 * or whole lines of at most TEXT bytes of a decoded file. */
size_t input_piece(const struct input *f, size_t at, int stored);

#endif
