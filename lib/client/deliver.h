/* Delivers a batch: the only place where data callbacks are called. */
#ifndef BCDA_CLIENT_DELIVER_H
#define BCDA_CLIENT_DELIVER_H

#include "base/err.h"
#include "client/file.h"
#include "client/handlers.h"
#include "codec/batch.h"

/* Where a batch is delivered, and how it is counted. */
struct bcda__delivery {
    bcda_job *job; /* NULL for a bcda_decoder, which cannot pause */
    const struct bcda_handlers *handlers;
    int is_error;             /* the lines are OperationOutcomes, for on_server_issue */
    int64_t bad_max;          /* BCDA_OPT_BAD_LINES_MAX */
    const int64_t *bad_lines; /* of the job or decoder so far, compared with bad_max */
    void (*count)(void *ctx, enum bcda__sum sum, int64_t n);
    int (*interrupted)(
        void *ctx); /* called after every callback: 1 ends the delivery; may be NULL */
    int (*is_paused)(
        void *ctx); /* called after every callback: 1 suspends the delivery; may be NULL */
    void (*enter)(void *ctx); /* called around every callback; may be NULL */
    void (*leave)(void *ctx);
    void *ctx;
};

/* How far the delivery is, so that it can resume after a pause. */
struct bcda__cursor {
    size_t row, bad;
};

enum { BCDA__DELIVERED = 0, BCDA__HELD = 1 };

/* DELIVERED: all of it. HELD: a callback said PAUSE; `c` says where to resume. Negative:
 * BCDA_ERR_STOPPED or _CALLBACK (the application ends everything), what `interrupted` gave, or the
 * code of an invalid line that is not tolerated, with *line_failed set: the file is over. `err` is
 * filled. */
int bcda__deliver(const struct bcda__delivery *d, struct bcda_batch *b, struct bcda__cursor *c,
                  int *line_failed, struct bcda_error *err);

/* Cuts a batch before the first invalid line that is not tolerated. Returns the index of that
 * line, or the number of invalid lines. `before` counts the job's earlier ones, `max` is
 * BCDA_OPT_BAD_LINES_MAX. */
size_t bcda__cut_at_fatal(struct bcda_batch *b, int64_t before, int64_t max);
/* Fills the error of a file that fails on this line. Returns its code. */
int bcda__fatal_line_error(const struct bcda_bad_line *bad, int64_t max, struct bcda_error *err);

/* Counts what an error file's batch reports, by severity: 0 or NOMEM. */
int bcda__count_issues(const struct bcda_batch *b,
                       void (*count)(void *ctx, enum bcda__sum sum, int64_t n), void *ctx);

/* The meaning of a callback's result: 0 to continue, BCDA__HELD, or a code with `err` filled. */
int bcda__callback_result(int answer, int may_pause, const char *name, struct bcda_error *err);

#endif
