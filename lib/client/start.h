/* The start of a job at the server: the kick-off, and what is done if an identical export is
 * already running. */
#ifndef BCDA_CLIENT_START_H
#define BCDA_CLIENT_START_H

#include "client/call.h"

/* The result of a start. If `url` is set, the server has accepted the job; its status URL is `url`,
 * to be requested after `delay_ms`. If `url` is NULL, the start failed with `err`. */
struct bcda__start_result {
    const char *url;
    int64_t delay_ms;
    int is_taken_over; /* the job at `url` is the identical export that was already running */
    const struct bcda_error *err;
};

/* The owner (a job) has this structure as a member, sets the first six fields, and sets all others
 * to zero. */
struct bcda__start {
    struct bcda__context *cx;
    const char *url;   /* URL of the kick-off */
    const char *label; /* label of the job in log lines */
    int64_t *retries;  /* counter of retries (struct bcda__call_spec) */
    /* Called once, at the end of the start. The owner may be freed in this callback. */
    void (*done)(void *ctx, const struct bcda__start_result *result);
    void *ctx;

    struct bcda__call *call; /* the kick-off, or the request of the job list */
    struct bcda__timer timer;
    int refusals;        /* number of responses with status 429 */
    int64_t retry_after; /* Retry-After of the last 429 */
};

void bcda__start_begin(struct bcda__start *st);
void bcda__start_stop(struct bcda__start *st); /* may be called at any time; `done` is not called */

#endif
