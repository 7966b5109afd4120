/* Body bytes that wait between the network and their consumer, as one run with a bound. A pool
 * owns the memory: an empty ring has none, and the next ring to be filled gets the piece that
 * was emptied last, which is still in the processor's cache. */
#ifndef BCDA_NET_RING_H
#define BCDA_NET_RING_H

#include <stddef.h>
#include <stdint.h>

struct bcda__piece {
    uint8_t *bytes; /* NULL = none */
    size_t cap;
    size_t high; /* how much was ever written, and is to be wiped */
};

struct bcda__ring_pool {
    struct bcda__piece spare;
};

struct bcda__ring {
    struct bcda__piece piece;
    size_t cap;     /* what it may hold */
    size_t at, len; /* the run; moved to the front when it helps */
};

size_t bcda__ring_room(const struct bcda__ring *r);
/* At most bcda__ring_room() bytes. 0 or BCDA_ERR_NOMEM. */
int bcda__ring_put(struct bcda__ring *r, struct bcda__ring_pool *pool, const void *data,
                   size_t len);
void bcda__ring_take(struct bcda__ring *r, struct bcda__ring_pool *pool, size_t len);
/* Drops all bytes. */
void bcda__ring_drop(struct bcda__ring *r, struct bcda__ring_pool *pool);
const uint8_t *bcda__ring_data(const struct bcda__ring *r);

/* Gives the spare piece back to the system, wiped. */
void bcda__ring_pool_trim(struct bcda__ring_pool *pool);

#endif
