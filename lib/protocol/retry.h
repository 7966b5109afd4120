/* Decides how often a request is repeated, and how long to wait before the next attempt. */
#ifndef BCDA_PROTOCOL_RETRY_H
#define BCDA_PROTOCOL_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Parses a Retry-After header (RFC 9110 10.2.3): a number of seconds, or an HTTP date in any of the
 * three forms. Returns the wait in milliseconds from `wall_ms` (Unix time), 0 for a time in the
 * past, or -1 if the value is absent or cannot be parsed. Some servers send a point in time
 * instead, as seconds or milliseconds since 1970. A number is taken for a point in time if that is
 * later than 2001-09-09 (1,000,000,000 seconds, which as a wait would be 31 years), at most a day
 * before `wall_ms`, and at most 366 days after it. The result has no maximum; the functions below
 * limit it. */
int64_t bcda__retry_after(const char *value, int64_t wall_ms);

/* Parses an HTTP date, such as the value of the Date header. Returns milliseconds since 1970, or -1
 * if the value is absent or cannot be parsed. `wall_ms` completes a year of two digits. */
int64_t bcda__http_date(const char *value, int64_t wall_ms);

/* Returns how many consecutive attempts without progress may be made if they fail with this error.
 * The number comes from the table of codes (base/err.h), and is at most `most` (BCDA_OPT_ATTEMPTS).
 * It is 1 if `e->retryable` is 0 although the code is retryable by default: the request is then
 * known to fail again, for example because a proxy requires a password. If the server answered, the
 * function is called only after the verdict BCDA__RETRY, so never for a 404 to a kick-off, for
 * example. It is not called for a 401, after which the request is repeated once, with a new
 * token. */
int bcda__retry_attempts(const struct bcda_error *e, int most);

/* Returns the milliseconds to wait after failed attempt number `attempt`. The wait is 0.5 to 1 s
 * after attempt 1, and doubles with each attempt up to `max_ms`. Half of it is fixed, and half is
 * random; `random` is 32 random bits. If the server requested a wait, `asked_ms`, the result is at
 * least that wait, limited to `clamp_ms`. `asked_ms` 0 or less = none requested. */
int64_t bcda__retry_delay(int attempt, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms,
                          uint32_t random);

/* Returns the milliseconds to wait before the next poll of a job that was started `elapsed_ms` ago.
 * If the server requested a wait (`asked_ms` > 0), the result is that wait, limited to `clamp_ms`.
 * Otherwise it is an eighth of `elapsed_ms`, but at least 1 s and at most `max_ms`
 * (BCDA_OPT_POLL_MAX_MS). So the end of a job is detected after at most an eighth of its
 * duration. */
int64_t bcda__poll_delay(int64_t elapsed_ms, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms);

#endif
