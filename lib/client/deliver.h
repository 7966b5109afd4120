/* Delivers batches. Data callbacks are called only here. */
#ifndef BCDA_CLIENT_DELIVER_H
#define BCDA_CLIENT_DELIVER_H

#include "base/err.h"
#include "client/file.h"
#include "client/handlers.h"
#include "codec/batch.h"

/* Where to deliver a batch, and how to count it. */
struct bcda__delivery {
    bcda_job *job; /* NULL for a bcda_decoder, which cannot pause */
    const struct bcda_handlers *handlers;
    enum bcda__file_kind kind;
    int64_t bad_max;          /* BCDA_OPT_BAD_LINES_MAX */
    const int64_t *bad_lines; /* invalid lines of the job or decoder so far */
    void (*count)(void *ctx, enum bcda__sum sum, int64_t n);
    /* Called after every callback; 1 ends the delivery. May be NULL. */
    int (*interrupted)(void *ctx);
    /* Called before the first callback and after each one; 1 suspends the delivery. May be NULL. */
    int (*is_paused)(void *ctx);
    /* Called before and after every callback. May be NULL. */
    void (*enter)(void *ctx);
    void (*leave)(void *ctx);
    void *ctx;
};

/* The position of a delivery, so that it can resume after a pause. */
struct bcda__cursor {
    size_t row, bad;
};

enum { BCDA__DELIVERED = 0, BCDA__HELD = 1 };

/* Delivers a batch from `c` on. Returns BCDA__DELIVERED if the whole batch was delivered, or
 * BCDA__HELD if the job is paused; `c` then says where to resume. Negative results, with `err`
 * filled: BCDA_ERR_STOPPED or BCDA_ERR_CALLBACK if the application ends the job; BCDA_ERR_CANCELLED
 * if `interrupted` returned 1; the code of an invalid line that is not tolerated, which ends the
 * file and sets *line_failed. */
int bcda__deliver(const struct bcda__delivery *d, struct bcda_batch *b, struct bcda__cursor *c,
                  int *line_failed, struct bcda_error *err);

/* Shortens a batch to the lines before the first invalid line that is not tolerated. Returns the
 * index of that line, or the number of invalid lines if all are tolerated. `before` is the number
 * of the job's earlier invalid lines, `max` is BCDA_OPT_BAD_LINES_MAX. */
size_t bcda__cut_at_fatal(struct bcda_batch *b, int64_t before, int64_t max);
/* Fills `err` for a file that fails because of this line. Returns the error code. */
int bcda__fatal_line_error(const struct bcda_bad_line *bad, int64_t max, struct bcda_error *err);

/* Counts the issues in a batch of an error file, by severity. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__count_issues(const struct bcda_batch *b,
                       void (*count)(void *ctx, enum bcda__sum sum, int64_t n), void *ctx);

/* Interprets the result of a callback. Returns 0 to continue, BCDA__HELD to pause, or an error code
 * with `err` filled. */
int bcda__callback_result(int answer, int may_pause, const char *name, struct bcda_error *err);

#endif
