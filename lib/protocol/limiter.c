#include "protocol/limiter.h"

enum { ONE = 1000 };

void bcda__limiter_init(struct bcda__limiter *l, int64_t size, int64_t per_second, int64_t now_ms)
{
    l->size = size;
    l->per_second = per_second;
    l->level = size * ONE;
    l->at_ms = now_ms;
}

void bcda__limiter_resume(struct bcda__limiter *l, int64_t size, int64_t per_second, int64_t level,
                          int64_t at_ms, int64_t now_ms)
{
    int64_t ahead = size * ONE / per_second;

    if (ahead > 1000)
        ahead = 1000;
    bcda__limiter_init(l, size, per_second, now_ms);
    if (level < l->level)
        l->level = level < 0 ? 0 : level;
    if (at_ms <= now_ms + ahead)
        l->at_ms = at_ms;
}

/* Adds the tokens for the time since the last call. One request per second is one thousandth of a
 * request per millisecond. So milliseconds times `per_second` gives thousandths of requests, the
 * unit of `level`. */
static void refill_tokens(struct bcda__limiter *l, int64_t now_ms)
{
    int64_t room = l->size * ONE - l->level;
    int64_t passed = now_ms - l->at_ms;

    if (passed <= 0)
        return;
    l->at_ms = now_ms;
    if (passed > room / l->per_second)
        l->level = l->size * ONE;
    else
        l->level += passed * l->per_second;
}

int64_t bcda__limiter_take(struct bcda__limiter *l, int64_t now_ms)
{
    int64_t missing;

    refill_tokens(l, now_ms);
    if (l->level >= ONE) {
        l->level -= ONE;
        return 0;
    }
    missing = ONE - l->level;
    return (missing + l->per_second - 1) / l->per_second;
}
