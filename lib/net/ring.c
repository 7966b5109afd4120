#include "net/ring.h"

#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"

/* Wipes the memory, which contained patient data or a token. */
static void free_piece(struct bcda__piece *p)
{
    if (p->bytes)
        bcda__wipe(p->bytes, p->high);
    bcda__free(p->bytes);
    memset(p, 0, sizeof *p);
}

static int take_pooled_piece(struct bcda__ring *r, struct bcda__ring_pool *pool)
{
    if (pool->spare.cap >= r->cap) {
        r->piece = pool->spare;
        memset(&pool->spare, 0, sizeof pool->spare);
        return 0;
    }
    r->piece.bytes = bcda__alloc(r->cap);
    if (!r->piece.bytes)
        return BCDA_ERR_NOMEM;
    r->piece.cap = r->cap;
    r->piece.high = 0;
    return 0;
}

/* Returns the ring's piece of memory to the pool. The pool keeps one spare piece and frees the
 * other: it keeps the larger one, or, if both have the same size, that of the ring, which was used
 * last. */
static void give_back(struct bcda__ring *r, struct bcda__ring_pool *pool)
{
    struct bcda__piece *less = r->piece.cap >= pool->spare.cap ? &pool->spare : &r->piece;

    free_piece(less);
    if (less == &pool->spare)
        pool->spare = r->piece;
    memset(&r->piece, 0, sizeof r->piece);
    r->at = r->len = 0;
}

size_t bcda__ring_room(const struct bcda__ring *r)
{
    return r->cap - r->len;
}

int bcda__ring_put(struct bcda__ring *r, struct bcda__ring_pool *pool, const void *data, size_t len)
{
    struct bcda__piece *p = &r->piece;

    if (!p->bytes && take_pooled_piece(r, pool))
        return BCDA_ERR_NOMEM;
    if (len > r->cap - r->len - r->at) {
        memmove(p->bytes, p->bytes + r->at, r->len);
        r->at = 0;
    }
    memcpy(p->bytes + r->at + r->len, data, len);
    r->len += len;
    if (r->at + r->len > p->high)
        p->high = r->at + r->len;
    return 0;
}

void bcda__ring_take(struct bcda__ring *r, struct bcda__ring_pool *pool, size_t len)
{
    r->at += len;
    r->len -= len;
    if (r->len == 0 && r->piece.bytes)
        give_back(r, pool);
}

void bcda__ring_drop(struct bcda__ring *r, struct bcda__ring_pool *pool)
{
    bcda__ring_take(r, pool, r->len);
}

const uint8_t *bcda__ring_data(const struct bcda__ring *r)
{
    return r->piece.bytes ? r->piece.bytes + r->at : NULL;
}

void bcda__ring_pool_trim(struct bcda__ring_pool *pool)
{
    free_piece(&pool->spare);
}
