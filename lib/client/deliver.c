#include "client/deliver.h"

#include <string.h>

#include "codec/decoder.h"

int bcda__callback_result(int answer, int may_pause, const char *name, struct bcda_error *err)
{
    if (answer == BCDA_CONTINUE)
        return 0;
    if (answer == BCDA_PAUSE && may_pause)
        return BCDA__HELD;
    if (answer == BCDA_STOP)
        return bcda__err_set(err, BCDA_ERR_STOPPED,
                             "%s returned 0, which stops the job (1 continues)", name);
    return bcda__err_set(err, BCDA_ERR_CALLBACK, "%s returned %d, which has no meaning there", name,
                         answer);
}

static void enter_data_callback(const struct bcda__delivery *d)
{
    if (d->enter)
        d->enter(d->ctx);
}

/* Ends every callback: interprets its result, and checks whether the job was cancelled
 * meanwhile. */
static int leave_data_callback(const struct bcda__delivery *d, int answer, int may_pause,
                               const char *name, struct bcda_error *err)
{
    int rc;

    if (d->leave)
        d->leave(d->ctx);
    rc = bcda__callback_result(answer, may_pause && d->job, name, err);
    if (rc < 0 || !d->interrupted)
        return rc;
    if (d->interrupted(d->ctx))
        return bcda__err_set(err, BCDA_ERR_CANCELLED, "the job was cancelled");
    return rc;
}

int bcda__fatal_line_error(const struct bcda_bad_line *bad, int64_t max, struct bcda_error *err)
{
    int rc = bcda__bad_line_error(bad, bad->batch->name, err);

    if (max > 0) {
        bcda__err_context(err, "more than %lld invalid line%s (option \"bad_lines_max\")",
                          (long long)max, max == 1 ? "" : "s");
        rc = err->code = BCDA_ERR_BAD_LINES;
    }
    return rc;
}

static int give_bad_line(const struct bcda__delivery *d, const struct bcda_bad_line *bad,
                         int *line_failed, struct bcda_error *err)
{
    const struct bcda__registration *r = d->handlers->at[BCDA__ON_BAD_LINE];
    int answer, rc = 0;

    d->count(d->ctx, BCDA__SUM_BAD_LINES, 1);
    if (r) {
        enter_data_callback(d);
        answer = ((bcda_bad_line_cb)r->cb)(d->job, bad, r->userdata);
        rc = leave_data_callback(d, answer, 0, "on_bad_line", err);
    }
    if (rc || d->bad_max < 0 || *d->bad_lines <= d->bad_max)
        return rc;
    *line_failed = 1;
    return bcda__fatal_line_error(bad, d->bad_max, err);
}

static int give_resource(const struct bcda__delivery *d, struct bcda_batch *b, size_t row,
                         struct bcda_error *err)
{
    const struct bcda__registration *r = d->handlers->at[BCDA__ON_RESOURCE];
    struct bcda_resource resource = {b, row};
    int answer;

    if (!r)
        return 0;
    enter_data_callback(d);
    answer = ((bcda_resource_cb)r->cb)(d->job, &resource, r->userdata);
    return leave_data_callback(d, answer, 1, "on_resource", err);
}

/* ---- error files ---- */

struct issue_walk {
    const struct bcda__delivery *d;
    const struct bcda_resource *resource;
    int index;
    int rc;
    struct bcda_error *err;
};

static int give_issue(void *ctx, const struct bcda__issue *issue)
{
    struct issue_walk *w = ctx;
    const struct bcda__registration *r = w->d->handlers->at[BCDA__ON_SERVER_ISSUE];
    struct bcda_issue shown;
    int answer;

    w->d->count(w->d->ctx, (enum bcda__sum)(BCDA__SUM_ISSUES + issue->severity), 1);
    if (!r)
        return 0;
    shown.issue = *issue;
    shown.resource = w->resource;
    shown.index = w->index++;
    enter_data_callback(w->d);
    answer = ((bcda_issue_cb)r->cb)(w->d->job, &shown, r->userdata);
    w->rc = leave_data_callback(w->d, answer, 0, "on_server_issue", w->err);
    return w->rc;
}

/* Delivers the issues of one OperationOutcome of an error file. Another kind of line is skipped: it
 * contains no report of the server. */
static int give_outcome(const struct bcda__delivery *d, struct bcda_batch *b, size_t row,
                        struct bcda_error *err)
{
    struct bcda_resource resource = {b, row};
    struct issue_walk w = {0};
    size_t len;
    const char *json = bcda_resource_json(&resource, &len);
    int rc;

    w.d = d;
    w.resource = &resource;
    w.err = err;
    rc = bcda__outcome_each(json, len, give_issue, &w);
    if (rc == BCDA_ERR_NOMEM && !w.rc)
        return bcda__err_nomem(err);
    return w.rc;
}

/* ---- files of deletions ---- */

struct deletion_walk {
    const struct bcda__delivery *d;
    const struct bcda_resource *resource;
    int rc;
    struct bcda_error *err;
};

static int give_deletion(void *ctx, const struct bcda__deletion *deletion)
{
    struct deletion_walk *w = ctx;
    const struct bcda__registration *r = w->d->handlers->at[BCDA__ON_DELETED];
    struct bcda_deletion shown = {*deletion, w->resource};
    int answer;

    w->d->count(w->d->ctx, BCDA__SUM_DELETIONS, 1);
    enter_data_callback(w->d);
    answer = ((bcda_deletion_cb)r->cb)(w->d->job, &shown, r->userdata);
    w->rc = leave_data_callback(w->d, answer, 0, "on_deleted", w->err);
    return w->rc;
}

/* Delivers the deletions of one line, which the decoder has checked. */
static int give_deletions(const struct bcda__delivery *d, struct bcda_batch *b, size_t row,
                          struct bcda_error *err)
{
    struct bcda_resource resource = {b, row};
    struct deletion_walk w = {.d = d, .resource = &resource, .err = err};
    size_t len;
    const char *json = bcda_resource_json(&resource, &len);
    int rc = bcda__deletion_each(json, len, give_deletion, &w);

    return rc && !w.rc ? bcda__err_set(err, rc, "%s", bcda_error_string(rc)) : w.rc;
}

/* ---- error files: counting ---- */

struct issue_count {
    void (*count)(void *ctx, enum bcda__sum sum, int64_t n);
    void *ctx;
};

static int count_issue(void *ctx, const struct bcda__issue *issue)
{
    const struct issue_count *to = ctx;

    to->count(to->ctx, (enum bcda__sum)(BCDA__SUM_ISSUES + issue->severity), 1);
    return 0;
}

int bcda__count_issues(const struct bcda_batch *b,
                       void (*count)(void *ctx, enum bcda__sum sum, int64_t n), void *ctx)
{
    struct issue_count to = {count, ctx};
    size_t row, len;

    for (row = 0; row < b->rows; row++) {
        struct bcda_resource resource = {b, row};
        const char *json = bcda_resource_json(&resource, &len);

        if (bcda__outcome_each(json, len, count_issue, &to) == BCDA_ERR_NOMEM)
            return BCDA_ERR_NOMEM;
    }
    return 0;
}

/* ---- the loop over a batch ---- */

static int give_row(const struct bcda__delivery *d, struct bcda_batch *b, size_t row,
                    struct bcda_error *err)
{
    switch (d->kind) {
    case BCDA__FILE_DELETED:
        return give_deletions(d, b, row, err);
    case BCDA__FILE_ERRORS:
        return give_outcome(d, b, row, err);
    default:
        return give_resource(d, b, row, err);
    }
}

/* Delivers one line: an invalid line that precedes the row, or the row. */
static int give_next(const struct bcda__delivery *d, struct bcda_batch *b, struct bcda__cursor *c,
                     int *line_failed, struct bcda_error *err)
{
    int rc;

    if (c->bad < b->bad_count && b->bad[c->bad].before <= c->row)
        return give_bad_line(d, &b->bad[c->bad++], line_failed, err);
    rc = give_row(d, b, c->row, err);
    if (rc != BCDA__HELD) { /* the row whose callback paused the job is delivered again */
        c->row++;
        if (rc == 0)
            d->count(d->ctx, BCDA__SUM_RESOURCES, 1);
    }
    return rc;
}

size_t bcda__cut_at_fatal(struct bcda_batch *b, int64_t before, int64_t max)
{
    size_t i;

    for (i = 0; max >= 0 && i < b->bad_count; i++) {
        if (before + (int64_t)i + 1 > max) {
            bcda__batch_cut(b, b->bad[i].before);
            return i;
        }
    }
    return b->bad_count;
}

static int give_batch(const struct bcda__delivery *d, struct bcda_batch *b, struct bcda__cursor *c,
                      struct bcda_error *err)
{
    const struct bcda__registration *r = d->handlers->at[BCDA__ON_BATCH];
    size_t before = b->consumed, now;
    int answer, rc;

    (void)bcda__cut_at_fatal(b, *d->bad_lines, d->bad_max);
    if (!bcda_batch_count(b)) {
        c->row = b->rows;
        return 0;
    }
    enter_data_callback(d);
    answer = ((bcda_batch_cb)r->cb)(d->job, b, r->userdata);
    rc = leave_data_callback(d, answer, 1, "on_batch", err);
    /* If on_batch succeeded, all rows count as delivered, and the batch is not read any more,
     * because the application may keep it. Otherwise only the rows consumed in the callback
     * count. */
    now = rc == 0 ? b->rows : b->consumed;
    d->count(d->ctx, BCDA__SUM_RESOURCES, (int64_t)(now - before));
    c->row = now;
    return rc;
}

static int is_delivery_paused(const struct bcda__delivery *d)
{
    return d->is_paused && d->is_paused(d->ctx);
}

int bcda__deliver(const struct bcda__delivery *d, struct bcda_batch *b, struct bcda__cursor *c,
                  int *line_failed, struct bcda_error *err)
{
    int rc = 0;

    *line_failed = 0;
    if (is_delivery_paused(d))
        return BCDA__HELD;
    if (d->kind == BCDA__FILE_DATA && d->handlers->at[BCDA__ON_BATCH] && c->row < b->rows)
        rc = give_batch(d, b, c, err);
    while (!rc && (c->row < b->rows || c->bad < b->bad_count)) {
        if (is_delivery_paused(d)) /* the last callback may have paused the job */
            return BCDA__HELD;
        rc = give_next(d, b, c, line_failed, err);
    }
    return rc;
}
