/* Where a file waits on disk until it is verified: an unlinked temporary file in the directory that
 * the application named, and never in clear: it is encrypted with a random key that stays in
 * memory. One thread at a time uses it: the one that runs a slice of its pipe, or the session's. */
#ifndef BCDA_CLIENT_SPOOL_H
#define BCDA_CLIENT_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "client/source.h"

struct bcda__spool;
/* BCDA_ERR_SPOOL (the directory cannot be written to), SYSTEM (no descriptors left), NOMEM,
 * LIBRARY.
 */
int bcda__spool_new(struct bcda__spool **out, const char *directory, struct bcda_error *err);
/* At the end of what is there. BCDA_ERR_SPOOL_FULL, BCDA_ERR_SPOOL. */
int bcda__spool_add(struct bcda__spool *s, const uint8_t *data, size_t len, struct bcda_error *err);
/* Empty again, with a new key. BCDA_ERR_SPOOL, NOMEM, LIBRARY. */
int bcda__spool_reset(struct bcda__spool *s, struct bcda_error *err);
/* What follows its first `len` bytes is not part of the file. BCDA_ERR_SPOOL, BCDA_ERR_SPOOL_FULL.
 */
int bcda__spool_cut(struct bcda__spool *s, int64_t len, struct bcda_error *err);
/* What it holds, from the start on, once. Nothing can be added any more. It fails with
 * BCDA_ERR_SPOOL, LIBRARY. */
struct bcda__source *bcda__spool_source(struct bcda__spool *s);
void bcda__spool_free(struct bcda__spool *s); /* and the file is gone */

#endif
