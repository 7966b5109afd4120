/* How long to wait before the same again. */
#ifndef BCDA_PROTOCOL_RETRY_H
#define BCDA_PROTOCOL_RETRY_H

#include <stddef.h>
#include <stdint.h>

/* Retry-After (RFC 9110 10.2.3): seconds, or an HTTP date of any of the three forms, in
 * milliseconds from `wall_ms` (Unix time). -1 where absent or not to be understood. Never negative
 * otherwise: a date in the past is 0. No clamp here: see below. */
int64_t bcda__retry_after(const char *value, int64_t wall_ms);

/* The one table of what is tried again: how many tries in a row that bring nothing new `code` is
 * worth, at most `attempts` (BCDA_OPT_ATTEMPTS); 1 = it is believed at once. A failed transfer may
 * say of itself that it will fail again (`retryable` 0), as a proxy does that wants a password. Of
 * answers only those count that were judged BCDA__RETRY: a 404 to a kick-off, say, never is. A 401
 * has its own rule: once, with a new token. */
int bcda__retry_tries(int code, int attempts);

/* Full jitter: attempt 1 waits between 0.5 and 1 s, doubling up to `max_ms`. `random` is any 32
 * bits. What the server asked for (>= 0) is kept as the least, clamped to `clamp_ms` (absurd values
 * such as milliseconds since 1970 included); 0 from the server counts as "use your own back-off".
 */
int64_t bcda__retry_delay(int attempt, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms,
                          uint32_t random);

/* Between two polls of a job: what the server asked for (> 0), clamped to `clamp_ms`; else 1 s
 * after poll 1, growing by half up to `max_ms` (BCDA_OPT_POLL_MAX_MS). */
int64_t bcda__poll_delay(int poll, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms);

#endif
