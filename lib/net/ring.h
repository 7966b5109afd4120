/* A buffer of limited size for body bytes that the consumer has not taken yet. These bytes are
 * always one contiguous run. A pool owns the memory: an empty ring has no memory, and the next ring
 * to be filled gets the piece of memory that was used last, because that piece is still in the
 * processor's cache. */
#ifndef BCDA_NET_RING_H
#define BCDA_NET_RING_H

#include <stddef.h>
#include <stdint.h>

struct bcda__piece {
    uint8_t *bytes; /* NULL = none */
    size_t cap;
    size_t high; /* the most bytes ever written, which must be wiped */
};

struct bcda__ring_pool {
    struct bcda__piece spare;
};

struct bcda__ring {
    struct bcda__piece piece;
    size_t cap;     /* the most bytes it may hold */
    size_t at, len; /* start and length of the stored bytes, which are contiguous; moved to the
                       start of the memory when space is needed */
};

size_t bcda__ring_room(const struct bcda__ring *r);
/* Appends `len` bytes, at most bcda__ring_room(). Returns 0 or BCDA_ERR_NOMEM. */
int bcda__ring_put(struct bcda__ring *r, struct bcda__ring_pool *pool, const void *data,
                   size_t len);
void bcda__ring_take(struct bcda__ring *r, struct bcda__ring_pool *pool, size_t len);
/* Drops all bytes. */
void bcda__ring_drop(struct bcda__ring *r, struct bcda__ring_pool *pool);
const uint8_t *bcda__ring_data(const struct bcda__ring *r);

/* Wipes and frees the spare piece. */
void bcda__ring_pool_trim(struct bcda__ring_pool *pool);

#endif
