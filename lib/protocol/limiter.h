/* How many requests may go out: a bucket that is full at the start and refilled steadily. BCDA's
 * gateway allows 3,000 in 5 minutes for an address (bcda-api 4.6). */
#ifndef BCDA_PROTOCOL_LIMITER_H
#define BCDA_PROTOCOL_LIMITER_H

#include <stdint.h>

struct bcda__limiter {
    int64_t size;       /* of the bucket, in requests */
    int64_t per_second; /* that come back */
    int64_t level;      /* in thousandths of a request */
    int64_t at_ms;      /* when `level` was true */
};

void bcda__limiter_init(struct bcda__limiter *l, int64_t size, int64_t per_second, int64_t now_ms);
/* Takes one request: 0. Else nothing is taken, and the answer is how many milliseconds to wait. */
int64_t bcda__limiter_take(struct bcda__limiter *l, int64_t now_ms);

#endif
