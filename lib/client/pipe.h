/* The path of a file's bytes: takes them from a source in slices of bounded size, decodes them,
 * and gathers lines in batches. The session's step runs a slice or, if the session has workers,
 * one of them, by the same function. While a worker runs a slice it owns the pipe's decoder, its
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

/* `workers` NULL: slices run inline. `spool` NULL: none; else the bytes that are taken from a
 * source are also added to it. `notify` is called from a step after a worker has finished a
 * batch, or when the state is no longer BUSY. BCDA_ERR_NOMEM, LIBRARY. */
int bcda__pipe_new(struct bcda__pipe **out, struct bcda__workers *workers,
                   struct bcda__spool *spool, const struct bcda__decoder_options *o,
                   void (*notify)(void *ctx), void *ctx, struct bcda_error *err);
void bcda__pipe_free(struct bcda__pipe *p); /* waits for one slice at most */
int bcda__pipe_is_inline(const struct bcda__pipe *p);

/* From now on the pipe takes bytes from `source`, which the caller owns. */
void bcda__pipe_connect(struct bcda__pipe *p, struct bcda__source *source);
/* Waits for one slice at most; then the pipe no longer uses the source. 1: this is a child of
 * fork(), and a worker of the parent used the source, which is in no known state. */
int bcda__pipe_disconnect(struct bcda__pipe *p);

enum bcda__pipe_state bcda__pipe_state(struct bcda__pipe *p);
/* Runs one slice inline, and returns how many bytes of the source it took; or has workers run as
 * many slices as possible. */
size_t bcda__pipe_run(struct bcda__pipe *p);
/* An empty source may have bytes again, or be over. */
void bcda__pipe_wake(struct bcda__pipe *p);
/* True if, since the last call, workers stopped reading for any reason other than an empty
 * source, or have not read yet: then the server is not to blame for a slow transfer. */
int bcda__pipe_was_busy(struct bcda__pipe *p);
int bcda__pipe_error(const struct bcda__pipe *p, struct bcda_error *err); /* its code */

/* 1: bcda__pipe_take() returns a finished batch or, with `partly`, one that has some lines if no
 * slice follows. */
int bcda__pipe_has_batch(struct bcda__pipe *p, int partly);
int bcda__pipe_take(struct bcda__pipe *p, struct bcda_batch **out); /* BCDA_ERR_END, NOMEM */
void bcda__pipe_give_back(struct bcda__pipe *p, struct bcda_batch *b);

/* The decoder's functions, in any state but BUSY: see codec/decoder.h. */
int bcda__pipe_finish(struct bcda__pipe *p, struct bcda_error *err);
int bcda__pipe_end_at(struct bcda__pipe *p, int64_t at);
/* Waits for one slice at most, and drops the finished batches. */
int bcda__pipe_refuse_line(struct bcda__pipe *p, const struct bcda_error *err);
int bcda__pipe_refused_line(struct bcda__pipe *p, struct bcda_error *err);

/* Sums since the pipe was made. Times are in nanoseconds, of all threads. */
struct bcda__pipe_sums {
    int64_t used;    /* bytes of sources that were decoded */
    int64_t skipped; /* bytes that sources skipped */
    int64_t decoded; /* bytes of NDJSON */
    int64_t peek_ns, take_ns, spool_ns;
    struct bcda__spent decoder;
};
void bcda__pipe_get_sums(struct bcda__pipe *p, struct bcda__pipe_sums *out);

#endif
