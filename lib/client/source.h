/* Where a pipe takes the bytes of a stored file from: the body of a response (client/intake.h), or
 * the spool of verified delivery (client/spool.h). */
#ifndef BCDA_CLIENT_SOURCE_H
#define BCDA_CLIENT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum bcda__source_state {
    BCDA__SOURCE_BYTES,  /* *len bytes, or 0 if all that was read is skipped */
    BCDA__SOURCE_EMPTY,  /* none for now */
    BCDA__SOURCE_OVER,   /* no more will come */
    BCDA__SOURCE_REPEAT, /* this response is of no use: the request must be repeated */
    BCDA__SOURCE_FAILED, /* `err` is filled */
};

/* The first member of every source. Both functions run on the thread that runs a slice of the pipe,
 * which owns the source meanwhile. */
struct bcda__source {
    /* The next bytes, as one run of bounded length. */
    enum bcda__source_state (*peek)(struct bcda__source *s, const uint8_t **data, size_t *len,
                                    struct bcda_error *err);
    /* The first `len` bytes of that run have been used. */
    void (*take)(struct bcda__source *s, const uint8_t *data, size_t len);
    int64_t skipped; /* bytes that peek() has read and skipped so far */
};

#endif
