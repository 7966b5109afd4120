/* How often a request is repeated, and how long to wait before the next attempt. */
#ifndef BCDA_PROTOCOL_RETRY_H
#define BCDA_PROTOCOL_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Parses Retry-After (RFC 9110 10.2.3). Returns a wait in milliseconds from `wall_ms` (Unix time),
 * 0 for a time in the past, or -1 if the value is absent or cannot be parsed. The value is a number
 * of seconds, or an HTTP date in any of the three forms. Some servers send a number of seconds or
 * milliseconds since 1970. A number has this meaning if the time is later than 2001-09-09
 * (1,000,000,000 seconds; as a delay, 31 years), at most a day before `wall_ms`, and at most 366
 * days after it. The result has no maximum: the functions below clamp it. */
int64_t bcda__retry_after(const char *value, int64_t wall_ms);

/* The number of consecutive attempts without progress for this error, at most `most`
 * (BCDA_OPT_ATTEMPTS), from the table of codes (base/err.h). It is 1 if `retryable` is 0 although
 * the code is retryable by default: the transfer is known to fail again, for example because a
 * proxy requires a password. For an answer, the function is called only after the verdict
 * BCDA__RETRY, so never for a 404 to a kick-off. A 401 has another rule: it is repeated once, with
 * a new token. */
int bcda__retry_attempts(const struct bcda_error *e, int most);

/* The wait after a failed attempt: exponential back-off with equal jitter, which means that half of
 * the wait is fixed and half is random. It is 0.5 to 1 s after attempt 1, and doubles up to
 * `max_ms`. `random` is any 32 bits. The wait is at least `asked_ms`, which the server requested,
 * clamped to `clamp_ms`. `asked_ms` 0 or less = none requested. */
int64_t bcda__retry_delay(int attempt, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms,
                          uint32_t random);

/* The wait between two polls of a job that was started `elapsed_ms` ago. It is `asked_ms`, if the
 * server requested a wait (> 0), clamped to `clamp_ms`. Otherwise it is an eighth of `elapsed_ms`,
 * at least 1 s and at most `max_ms` (BCDA_OPT_POLL_MAX_MS), so that the end of a job is detected
 * after at most an eighth of its duration. */
int64_t bcda__poll_delay(int64_t elapsed_ms, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms);

#endif
