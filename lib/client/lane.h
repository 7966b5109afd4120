/* The decoder of one file, whoever runs it. Without workers each call goes straight to the decoder,
 * with no copy and no lock. With workers, bytes come from a source that is lent to the lane, or
 * wait in a bounded buffer; workers decode them slice by slice, and finished batches wait, a few of
 * them, for the session's thread. The calls are the decoder's (codec/decoder.h), all of the
 * session's thread; what differs is said here. */
#ifndef BCDA_CLIENT_LANE_H
#define BCDA_CLIENT_LANE_H

#include "codec/decoder.h"

struct bcda__lane;
struct bcda__workers;

/* `workers` NULL = inline. `news` comes in a step once workers have done something that this lane's
 * owner may wait for: a batch, room for more bytes, a failure, the last of the bytes. */
int bcda__lane_new(struct bcda__lane **out, struct bcda__workers *workers,
                   const struct bcda__decoder_options *o, void (*news)(void *ctx), void *ctx,
                   struct bcda_error *err);
/* At any time: waits for one slice at most. */
void bcda__lane_free(struct bcda__lane *l);
int bcda__lane_is_inline(const struct bcda__lane *l);

/* With workers: bytes that they get for themselves, in slices, in place of bcda__lane_write(). */
struct bcda__source {
    /* What waits; 0 = nothing for now: then news come, and it is not asked before
     * bcda__lane_go_on(). */
    size_t (*read)(void *ctx, const uint8_t **data);
    void (*took)(void *ctx, const uint8_t *data, size_t len);
    void *ctx;
};
void bcda__lane_lend(struct bcda__lane *l, const struct bcda__source *source);
/* 1: nobody is at the source, and nothing waits there. */
int bcda__lane_is_dry(struct bcda__lane *l);
void bcda__lane_go_on(struct bcda__lane *l);
int64_t bcda__lane_taken(struct bcda__lane *l); /* bytes, from any source so far */
/* 1: now, or since this was last asked, more was not taken for another reason than that there was
 * nothing. */
int bcda__lane_was_held(struct bcda__lane *l);
/* At any time: waits for one slice at most, and the source is not asked any more. 1: this is a
 * child, and somebody was at it: it is in no known state. */
int bcda__lane_reclaim(struct bcda__lane *l);

/* *used < len: a batch must be taken first, or news will come. A failure shows only after the
 * batches before it were taken. */
int bcda__lane_write(struct bcda__lane *l, const void *data, size_t len, size_t *used,
                     struct bcda_error *err);
/* 1 where bcda__lane_write() would take some; 0, with workers only: news will come. */
int bcda__lane_has_room(struct bcda__lane *l);
/* The failure of a decoder that nobody has written to since. 0 where there is none. */
int bcda__lane_check(struct bcda__lane *l, struct bcda_error *err);
/* 1: everything written is decoded, as far as it could be, and its whole batches are taken. 0: not
 * yet; take batches, or news will come. Inline always 1. */
int bcda__lane_is_drained(struct bcda__lane *l);

/* These two only where it is drained. */
int bcda__lane_finish(struct bcda__lane *l, struct bcda_error *err);
int bcda__lane_end_at(struct bcda__lane *l, int64_t at);

int bcda__lane_is_full(struct bcda__lane *l);
/* 0 also while a worker is on it; then news will come. */
int bcda__lane_has_batch(struct bcda__lane *l);
int bcda__lane_take(struct bcda__lane *l, struct bcda_batch **out);
void bcda__lane_give_back(struct bcda__lane *l, struct bcda_batch *b);

void bcda__lane_condemn(struct bcda__lane *l); /* what waits to be taken is gone as well */
int bcda__lane_verifies(const struct bcda__lane *l);
int64_t bcda__lane_bytes(struct bcda__lane *l);
/* On whatever threads; of the source, ns in `read` and `took`. */
struct bcda__lane_spent {
    struct bcda__spent decoder;
    int64_t read, took;
};
void bcda__lane_take_spent(struct bcda__lane *l, struct bcda__lane_spent *sum);

#endif
