/* The path of a file's bytes: taken from a source in slices of bounded size, decoded, and gathered
 * in batches. A slice is run by the session's step or, where the session has workers, by one of
 * them, through the same function. While a worker runs a slice it owns the pipe's decoder, its
 * source and its spool. All functions are for the session's thread. */
#ifndef BCDA_CLIENT_PIPE_H
#define BCDA_CLIENT_PIPE_H

#include "client/source.h"
#include "codec/decoder.h"

struct bcda__pipe;
struct bcda__spool;
struct bcda__workers;

enum bcda__pipe_state {
    BCDA__PIPE_READY,  /* bcda__pipe_run() has something to do */
    BCDA__PIPE_BUSY,   /* a worker runs a slice, or will: a notification follows */
    BCDA__PIPE_FULL,   /* a batch must be taken first */
    BCDA__PIPE_EMPTY,  /* the source has no bytes for now: bcda__pipe_wake() */
    BCDA__PIPE_OVER,   /* the source is over, and its bytes are decoded */
    BCDA__PIPE_REPEAT, /* the source says BCDA__SOURCE_REPEAT */
    BCDA__PIPE_FAILED, /* bcda__pipe_error() says why */
    BCDA__PIPE_IDLE,   /* there is no source, and all bytes are decoded */
};

/* `workers` NULL: slices are run inline. What is used of a source is also added to `spool`; NULL:
 * to none. `notify` is called from a step after a worker has finished a batch, or has come to
 * another state than READY. BCDA_ERR_NOMEM, LIBRARY. */
int bcda__pipe_new(struct bcda__pipe **out, struct bcda__workers *workers,
                   struct bcda__spool *spool, const struct bcda__decoder_options *o,
                   void (*notify)(void *ctx), void *ctx, struct bcda_error *err);
void bcda__pipe_free(struct bcda__pipe *p); /* waits for one slice at most */
int bcda__pipe_is_inline(const struct bcda__pipe *p);

/* From now on bytes come from `source`, which the caller owns. */
void bcda__pipe_connect(struct bcda__pipe *p, struct bcda__source *source);
/* Waits for one slice at most; then the source is the caller's alone. 1: this is a child of fork(),
 * and a worker of the parent's used the source, which is in no known state. */
int bcda__pipe_disconnect(struct bcda__pipe *p);

enum bcda__pipe_state bcda__pipe_state(struct bcda__pipe *p);
/* Runs one slice inline, and gives how many bytes of the source it moved; or has workers run as
 * many slices as can be run. */
size_t bcda__pipe_run(struct bcda__pipe *p);
/* An empty source may have bytes again, or be over. */
void bcda__pipe_wake(struct bcda__pipe *p);
/* Whether workers, now or since the last call, stopped reading for another reason than an empty
 * source, or have not read yet: the server is not to be blamed for a slow transfer. */
int bcda__pipe_was_busy(struct bcda__pipe *p);
int bcda__pipe_error(const struct bcda__pipe *p, struct bcda_error *err); /* its code */

/* 1: bcda__pipe_take() gives a finished batch or, with `partly`, one that has some lines; the
 * latter only where no slice is to come. */
int bcda__pipe_has_batch(struct bcda__pipe *p, int partly);
int bcda__pipe_take(struct bcda__pipe *p, struct bcda_batch **out); /* BCDA_ERR_END, NOMEM */
void bcda__pipe_give_back(struct bcda__pipe *p, struct bcda_batch *b);

/* The decoder's functions, in any state but BUSY: see codec/decoder.h. */
int bcda__pipe_finish(struct bcda__pipe *p, struct bcda_error *err);
int bcda__pipe_end_at(struct bcda__pipe *p, int64_t at);
/* Waits for one slice at most, and drops the batches that wait. */
int bcda__pipe_refuse_line(struct bcda__pipe *p, const struct bcda_error *err);
int bcda__pipe_refused_line(struct bcda__pipe *p, struct bcda_error *err);

/* Sums since the pipe was made; nanoseconds by what they went for, whoever ran the slices. */
struct bcda__pipe_sums {
    int64_t used;    /* bytes of sources that were decoded */
    int64_t skipped; /* bytes that sources skipped */
    int64_t decoded; /* bytes of NDJSON */
    int64_t peek_ns, take_ns, spool_ns;
    struct bcda__spent decoder;
};
void bcda__pipe_get_sums(struct bcda__pipe *p, struct bcda__pipe_sums *out);

#endif
