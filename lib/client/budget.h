/* A request budget that several processes share through a file: all processes that send from one
 * address, because BCDA's gateway counts the requests of an address (bcda-api 4.6).
 *
 * The file contains the level and the time of one token bucket (protocol/limiter.h). It belongs to
 * one user, as client/shared_file.h says: another user who can write it could stop all requests.
 * Users who share an address each have a file, and divide the budget by their options.
 *
 * An empty file counts as a full bucket: a session without a file begins with a full bucket, too. A
 * file that begins as a record but is none also counts as full, because a record that was lost
 * and one that was damaged cannot be distinguished reliably. The next request replaces it, so at
 * most one bucket too much is sent, and the gateway answers 429, which is retried. A record that
 * was changed but has the right form is limited to what a bucket can hold. */
#ifndef BCDA_CLIENT_BUDGET_H
#define BCDA_CLIENT_BUDGET_H

#include <stdint.h>

#include "base/err.h"

struct bcda__budget;

/* Copies the path, and opens nothing. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__budget_new(struct bcda__budget **out, const char *path);
/* Checks that the file can be created and used. Returns 0, or BCDA_ERR_IO with `err` filled; the
 * text names the file and the cause. */
int bcda__budget_check(struct bcda__budget *b, struct bcda_error *err);
/* Takes one request out of the bucket of `size` requests, which is refilled with `per_second`
 * requests per second. `wall_ms` is the wall clock, which all processes have in common. Returns 0
 * if the request may be sent now, else the milliseconds to wait before asking again, or -1 with
 * `err` filled if the file cannot be used. If another process holds the lock, that is 1 to 5 ms,
 * chosen by `random`, and `err` is unchanged. The file stays open. */
int64_t bcda__budget_take(struct bcda__budget *b, int64_t wall_ms, int64_t size, int64_t per_second,
                          uint32_t random, struct bcda_error *err);
/* In a child of fork(), before any other function: the descriptor is closed, and the lock stays
 * with the parent. */
void bcda__budget_set_forked(struct bcda__budget *b);
void bcda__budget_free(struct bcda__budget *b);

#endif
