/* A token bucket that limits the rate of requests. The bucket is full at the start. BCDA's gateway
 * allows 3,000 requests in 5 minutes for each address (bcda-api 4.6). */
#ifndef BCDA_PROTOCOL_LIMITER_H
#define BCDA_PROTOCOL_LIMITER_H

#include <stdint.h>

struct bcda__limiter {
    int64_t size;       /* the size of the bucket, in requests */
    int64_t per_second; /* requests that are added per second */
    int64_t level;      /* requests in the bucket at `at_ms`, in thousandths of a request */
    int64_t at_ms;
};

void bcda__limiter_init(struct bcda__limiter *l, int64_t size, int64_t per_second, int64_t now_ms);
/* Continues a bucket whose level and time were stored by a process that uses the same clock. A
 * level beyond the size counts as full, and one below zero as empty. If `at_ms` is in the future,
 * the clock went back, and the bucket is refilled from now on. But if it is only a little in the
 * future (at most a second, and at most the time in which the bucket is filled), it is kept: the
 * other process has read the clock later, and its time must not be counted twice. */
void bcda__limiter_resume(struct bcda__limiter *l, int64_t size, int64_t per_second, int64_t level,
                          int64_t at_ms, int64_t now_ms);
/* Takes one request from the bucket and returns 0. If the bucket does not have one, takes nothing
 * and returns how many milliseconds to wait. */
int64_t bcda__limiter_take(struct bcda__limiter *l, int64_t now_ms);

#endif
