/* A position in a decoded file. It proves which lines came before, because it has their hash. */
#ifndef BCDA_CODEC_MARK_H
#define BCDA_CODEC_MARK_H

#include <stdint.h>

struct bcda__mark {
    /* number of the last line before the position that is not blank; 0 = there is no mark */
    int64_t line;
    int64_t bytes;      /* offset in the decoded file */
    uint8_t sha256[32]; /* the hash of the bytes before the position */
};

#endif
