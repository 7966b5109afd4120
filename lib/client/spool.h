/* The spool of verified delivery: an unlinked temporary file in the application's spool directory,
 * where the bytes of a file wait until the file is verified. It is encrypted with a random key that
 * is only in memory. Only one thread at a time uses a spool: the one that runs a slice of the pipe,
 * or the session's. */
#ifndef BCDA_CLIENT_SPOOL_H
#define BCDA_CLIENT_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "client/source.h"

struct bcda__spool;
/* Returns 0, BCDA_ERR_SPOOL (the directory cannot be written to), BCDA_ERR_SYSTEM (no descriptors
 * left), BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY. */
int bcda__spool_new(struct bcda__spool **out, const char *directory, struct bcda_error *err);
/* Appends bytes. Returns 0, BCDA_ERR_SPOOL_FULL, BCDA_ERR_SPOOL or BCDA_ERR_LIBRARY. */
int bcda__spool_add(struct bcda__spool *s, const uint8_t *data, size_t len, struct bcda_error *err);
/* Empties the spool, and gives it a new key. Returns 0, BCDA_ERR_SPOOL, BCDA_ERR_NOMEM or
 * BCDA_ERR_LIBRARY. */
int bcda__spool_reset(struct bcda__spool *s, struct bcda_error *err);
/* Removes all but the first `len` bytes. Returns 0, BCDA_ERR_SPOOL or BCDA_ERR_SPOOL_FULL. */
int bcda__spool_cut(struct bcda__spool *s, int64_t len, struct bcda_error *err);
/* Returns a source of the contents, from the start, which can be read once. After that nothing can
 * be added. The source fails with BCDA_ERR_SPOOL or BCDA_ERR_LIBRARY. */
struct bcda__source *bcda__spool_source(struct bcda__spool *s);
void bcda__spool_free(struct bcda__spool *s); /* this also removes the file */

#endif
