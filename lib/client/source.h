/* A source: the object that a pipe takes the bytes of a stored file from. It is the body of a
 * response (client/intake.h), or the spool of verified delivery (client/spool.h). */
#ifndef BCDA_CLIENT_SOURCE_H
#define BCDA_CLIENT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum bcda__source_state {
    BCDA__SOURCE_BYTES,  /* there are *len bytes; 0 if all that was read was skipped */
    BCDA__SOURCE_EMPTY,  /* no bytes yet */
    BCDA__SOURCE_OVER,   /* no more will come */
    BCDA__SOURCE_REPEAT, /* this response is useless: the request must be repeated */
    BCDA__SOURCE_FAILED, /* `err` is filled */
};

/* The first member of every kind of source. Both functions run on the thread that runs a slice of
 * the pipe, and that owns the source meanwhile. */
struct bcda__source {
    /* Gives the next bytes, as one run of limited length. */
    enum bcda__source_state (*peek)(struct bcda__source *s, const uint8_t **data, size_t *len,
                                    struct bcda_error *err);
    /* Removes the first `len` bytes of that run, which have been used. */
    void (*take)(struct bcda__source *s, const uint8_t *data, size_t len);
    int64_t skipped; /* number of bytes that peek() has read and skipped */
};

#endif
