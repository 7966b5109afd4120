/* The running hash of a decoded file: it makes marks, and checks that a file that is read again is
 * the same up to a mark. */
#ifndef BCDA_CODEC_POSITION_H
#define BCDA_CODEC_POSITION_H

#include <stddef.h>
#include <stdint.h>

#include "codec/mark.h"

struct bcda__position;

/* If `until` is not NULL, the file is compared with this mark, which is copied. Returns 0,
 * BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY. */
int bcda__position_new(struct bcda__position **out, const struct bcda__mark *until);
void bcda__position_free(struct bcda__position *p);
int64_t bcda__position_bytes(const struct bcda__position *p); /* number of bytes added so far */
/* Adds the next bytes of the file. Returns 0, BCDA_ERR_CHANGED if the file differs from the one
 * that the mark was made of, or NOMEM or LIBRARY. */
int bcda__position_add(struct bcda__position *p, const void *data, size_t len);
/* Returns the mark that the file is or was compared with. */
const struct bcda__mark *bcda__position_until(const struct bcda__position *p);
/* Returns 1 until the bytes before the mark were added and found to be the same. */
int bcda__position_is_comparing(const struct bcda__position *p);
/* Makes a mark of the bytes added so far. Returns 0, NOMEM or LIBRARY. */
int bcda__position_mark(struct bcda__position *p, int64_t line, struct bcda__mark *out);

#endif
