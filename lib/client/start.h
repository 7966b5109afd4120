/* The start of a job at the server: the kick-off, and what is done where an identical export is
 * already running. */
#ifndef BCDA_CLIENT_START_H
#define BCDA_CLIENT_START_H

#include "client/call.h"

/* The job has been accepted at the status URL `url`, to be asked for after `delay_ms`; or, with
 * `url` NULL, it failed with `err`. */
struct bcda__start_result {
    const char *url;
    int64_t delay_ms;
    int is_taken_over; /* the job at `url` is the identical one that was running */
    const struct bcda_error *err;
};

/* Part of its owner, who sets the first six; the rest is zero. */
struct bcda__start {
    struct bcda__context *cx;
    const char *url;   /* of the kick-off */
    const char *label; /* for log lines */
    int64_t *retries;  /* as in a call's spec */
    /* The end, once. The owner may be freed in it. */
    void (*done)(void *ctx, const struct bcda__start_result *result);
    void *ctx;

    struct bcda__call *call; /* kick-off, or the list of jobs */
    struct bcda__timer timer;
    int refusals;        /* number of answers 429 */
    int64_t retry_after; /* of the last 429 */
};

void bcda__start_begin(struct bcda__start *st);
void bcda__start_stop(struct bcda__start *st); /* at any time; `done` does not follow */

#endif
