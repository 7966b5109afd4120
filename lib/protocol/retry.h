/* How long to wait before the same again. */
#ifndef BCDA_PROTOCOL_RETRY_H
#define BCDA_PROTOCOL_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Retry-After (RFC 9110 10.2.3) in milliseconds from `wall_ms` (Unix time): seconds, or an HTTP
 * date of any of the three forms; or, as some servers send it, a number of seconds or milliseconds
 * since 1970. A number is taken for such a time where that is later than 2001-09-09 (1,000,000,000
 * seconds: as a delay, 31 years), at most a day before `wall_ms`, and at most 366 days after it. -1
 * where absent or not to be understood. Never negative otherwise: a time in the past is 0. No clamp
 * here: see below. */
int64_t bcda__retry_after(const char *value, int64_t wall_ms);

/* How many attempts in a row that bring nothing new this error is worth, at most `most`
 * (BCDA_OPT_ATTEMPTS), by the table of codes (base/err.h). A failed transfer may know of itself
 * that it will fail again (`retryable` 0, though not by default), as a proxy does that wants a
 * password: 1. Of answers only those are asked for that were judged BCDA__RETRY: a 404 to a
 * kick-off, say, never is. A 401 has its own rule: once, with a new token. */
int bcda__retry_attempts(const struct bcda_error *e, int most);

/* Equal jitter: half of the delay is fixed, the other half is by chance. Attempt 1 waits between
 * 0.5 and 1 s, doubling up to `max_ms`. `random` is any 32 bits. What the server asked for (>= 0)
 * is kept as the least, clamped to `clamp_ms`; 0 from the server counts as "use your own back-off".
 */
int64_t bcda__retry_delay(int attempt, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms,
                          uint32_t random);

/* Between two polls of a job that began `elapsed_ms` ago: what the server asked for (> 0), clamped
 * to `clamp_ms`; else an eighth of the time elapsed, at least 1 s, at most `max_ms`
 * (BCDA_OPT_POLL_MAX_MS). So the end of a job is noticed late by an eighth of its time at most. */
int64_t bcda__poll_delay(int64_t elapsed_ms, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms);

#endif
