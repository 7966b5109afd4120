/* Delivers a batch: the only place where data callbacks are called. */
#ifndef BCDA_CLIENT_DELIVER_H
#define BCDA_CLIENT_DELIVER_H

#include "base/err.h"
#include "client/file.h"
#include "client/handlers.h"
#include "codec/batch.h"

/* Where data goes, and what is counted on the way. */
struct bcda__delivery {
    bcda_job *job; /* NULL for a decoder by itself: then there is no pause */
    const struct bcda_handlers *handlers;
    int is_error;             /* lines are OperationOutcomes: on_server_issue */
    int64_t bad_max;          /* BCDA_OPT_BAD_LINES_MAX */
    const int64_t *bad_lines; /* of the job or decoder so far, held against bad_max */
    void (*count)(void *ctx, enum bcda__sum sum, int64_t n);
    int (*interrupted)(void *ctx); /* after every callback: a code ends the walk; may be NULL */
    int (*is_paused)(void *ctx);   /* after every callback: 1 puts the rest off; may be NULL */
    void (*enter)(void *ctx);      /* around every callback; may be NULL */
    void (*leave)(void *ctx);
    void *ctx;
};

/* How far the walk has come, so that it can go on after a pause. */
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

/* A whole batch ends before the first invalid line that is not tolerated: the index of that line,
 * or how many there are. `before` counts the job's earlier ones, `max` is BCDA_OPT_BAD_LINES_MAX.
 */
size_t bcda__cut_at_fatal(struct bcda_batch *b, int64_t before, int64_t max);
/* What a file fails with for it. */
int bcda__fatal_line_error(const struct bcda_bad_line *bad, int64_t max, struct bcda_error *err);

/* Counts what an error file's batch reports, by severity: 0 or NOMEM. */
int bcda__count_issues(const struct bcda_batch *b,
                       void (*count)(void *ctx, enum bcda__sum sum, int64_t n), void *ctx);

/* What a callback's answer means: 0 to go on, BCDA__HELD, or a code with `err` filled. */
int bcda__callback_result(int answer, int may_pause, const char *name, struct bcda_error *err);

#endif
