/* A pipe decodes the bytes of a file: it takes them from a source in slices of limited size,
 * decodes them, and collects the lines in batches. A slice is run by a worker if the session has
 * workers, otherwise "inline" by the session's step; the code is the same. While a worker runs a
 * slice, it owns the pipe's decoder, source and spool. All functions below are for the session's
 * thread. */
#ifndef BCDA_CLIENT_PIPE_H
#define BCDA_CLIENT_PIPE_H

#include "client/source.h"
#include "codec/decoder.h"

struct bcda__pipe;
struct bcda__spool;
struct bcda__workers;

enum bcda__pipe_state {
    BCDA__PIPE_READY,  /* bcda__pipe_run() has something to do */
    BCDA__PIPE_BUSY,   /* a worker runs a slice, or will do so, and will notify */
    BCDA__PIPE_FULL,   /* a batch must be taken before the next slice */
    BCDA__PIPE_EMPTY,  /* the source has no bytes yet: see bcda__pipe_wake() */
    BCDA__PIPE_OVER,   /* the source has ended, and all its bytes are decoded */
    BCDA__PIPE_REPEAT, /* the source returned BCDA__SOURCE_REPEAT */
    BCDA__PIPE_FAILED, /* an error occurred: see bcda__pipe_error() */
    BCDA__PIPE_IDLE,   /* there is no source, and all bytes are decoded */
};

/* Creates a pipe. If `workers` is NULL, slices run inline. If `spool` is not NULL, the bytes taken
 * from a source are also added to it. A step calls `notify` after a worker has finished a batch, or
 * when the state is no longer BUSY. Returns 0, BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY. */
int bcda__pipe_new(struct bcda__pipe **out, struct bcda__workers *workers,
                   struct bcda__spool *spool, const struct bcda__decoder_options *o,
                   void (*notify)(void *ctx), void *ctx, struct bcda_error *err);
void bcda__pipe_free(struct bcda__pipe *p); /* waits for at most one slice */
int bcda__pipe_is_inline(const struct bcda__pipe *p);

/* From now on the pipe takes bytes from `source`, which the caller owns. */
void bcda__pipe_connect(struct bcda__pipe *p, struct bcda__source *source);
/* Waits for at most one slice; after that the pipe no longer uses the source. Returns 1 in a child
 * of fork() if a worker of the parent was using the source; the state of the source is then
 * unknown. Otherwise returns 0. */
int bcda__pipe_disconnect(struct bcda__pipe *p);

enum bcda__pipe_state bcda__pipe_state(struct bcda__pipe *p);
/* Without workers ("inline"): runs one slice, and returns how many bytes of the source it took.
 * With workers: makes them run as many slices as possible, and returns 0. */
size_t bcda__pipe_run(struct bcda__pipe *p);
/* To be called when an empty source may have bytes again, or may have ended. */
void bcda__pipe_wake(struct bcda__pipe *p);
/* Returns 1 if, since the last call, workers stopped reading for any reason other than an empty
 * source, or have not read yet. Then the server is not to blame for a slow transfer, because the
 * workers were slower. */
int bcda__pipe_was_busy(struct bcda__pipe *p);
/* Fills `err`, and returns its code. */
int bcda__pipe_error(const struct bcda__pipe *p, struct bcda_error *err);

/* Returns 1 if bcda__pipe_take() has a batch to give. With `partly` this includes a batch that is
 * not full, if no slice is running or queued. */
int bcda__pipe_has_batch(struct bcda__pipe *p, int partly);
/* Returns 0, BCDA_ERR_END (there is no batch) or BCDA_ERR_NOMEM. */
int bcda__pipe_take(struct bcda__pipe *p, struct bcda_batch **out);
void bcda__pipe_give_back(struct bcda__pipe *p, struct bcda_batch *b);

/* These call the decoder (codec/decoder.h), and are allowed in any state except BUSY. */
int bcda__pipe_finish(struct bcda__pipe *p, struct bcda_error *err);
int bcda__pipe_end_at(struct bcda__pipe *p, int64_t at);
/* Also calls the decoder: waits for at most one slice, and drops the finished batches. */
int bcda__pipe_refuse_line(struct bcda__pipe *p, const struct bcda_error *err);
int bcda__pipe_refused_line(struct bcda__pipe *p, struct bcda_error *err);

/* Sums since the pipe was created. Times are in nanoseconds, added up over all threads. */
struct bcda__pipe_sums {
    int64_t used;    /* bytes of sources that were decoded */
    int64_t skipped; /* bytes that sources skipped */
    int64_t decoded; /* bytes of decoded NDJSON */
    int64_t peek_ns, take_ns, spool_ns;
    struct bcda__spent decoder;
};
void bcda__pipe_get_sums(struct bcda__pipe *p, struct bcda__pipe_sums *out);

#endif
