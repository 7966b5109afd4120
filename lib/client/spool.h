/* The spool of verified delivery: an unlinked temporary file in the application's spool
 * directory, in which a file waits until it is verified. It is encrypted with a random key that
 * stays in memory. One thread at a time uses it: the one that runs a slice of its pipe, or the
 * session's. */
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
/* Appends. BCDA_ERR_SPOOL_FULL, BCDA_ERR_SPOOL. */
int bcda__spool_add(struct bcda__spool *s, const uint8_t *data, size_t len, struct bcda_error *err);
/* Empty again, with a new key. BCDA_ERR_SPOOL, NOMEM, LIBRARY. */
int bcda__spool_reset(struct bcda__spool *s, struct bcda_error *err);
/* Removes all but the first `len` bytes. BCDA_ERR_SPOOL, BCDA_ERR_SPOOL_FULL. */
int bcda__spool_cut(struct bcda__spool *s, int64_t len, struct bcda_error *err);
/* Its contents from the start, once. Nothing can be added any more. The source fails with
 * BCDA_ERR_SPOOL, LIBRARY. */
struct bcda__source *bcda__spool_source(struct bcda__spool *s);
void bcda__spool_free(struct bcda__spool *s); /* the file disappears */

#endif
