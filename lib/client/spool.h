/* Where a file waits on disk until it is verified (DESIGN 4.3): an unlinked temporary file in the
 * directory that the host named, and never in clear: it is encrypted with a random key that stays
 * in memory. */
#ifndef BCDA_CLIENT_SPOOL_H
#define BCDA_CLIENT_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bcda__spool;
/* BCDA_ERR_SPOOL (the directory cannot be written to), SYSTEM (no descriptors left), NOMEM,
 * LIBRARY.
 */
int bcda__spool_new(struct bcda__spool **out, const char *directory, struct bcda_error *err);
/* Behind what is there; BCDA_ERR_SPOOL_FULL, BCDA_ERR_SPOOL. */
int bcda__spool_add(struct bcda__spool *s, const uint8_t *data, size_t len, struct bcda_error *err);
int bcda__spool_reset(struct bcda__spool *s,
                      struct bcda_error *err); /* empty again, with a new key */
/* What is behind its first `len` bytes is no part of the file. BCDA_ERR_SPOOL, BCDA_ERR_SPOOL_FULL.
 */
int bcda__spool_cut(struct bcda__spool *s, int64_t len, struct bcda_error *err);
/* From the beginning on: what comes next, and how much of it is done with. *len 0 = all was read.
 * BCDA_ERR_SPOOL. Nothing can be added any more. */
int bcda__spool_peek(struct bcda__spool *s, const uint8_t **data, size_t *len,
                     struct bcda_error *err);
void bcda__spool_take(struct bcda__spool *s, size_t len);
void bcda__spool_free(struct bcda__spool *s); /* and the file is gone */

#endif
