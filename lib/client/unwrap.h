/* A file's key, opened by a worker. RSA keeps a processor busy for 7 ms a key of 2048 bits and for
 * 37 of 4096 (measured with libgcrypt 1.10): an event loop is not to stand still so long, and two
 * files need not wait for each other. Without workers the session's thread does it at once, by
 * bcda__config_unwrap(). */
#ifndef BCDA_CLIENT_UNWRAP_H
#define BCDA_CLIENT_UNWRAP_H

#include "client/config.h"

struct bcda__workers;
struct bcda__unwrap;

/* `wrapped`, `name` and `out`, 32 bytes, live as long as this. `done` comes once, in a step: 0, or
 * an error of bcda__config_unwrap(), with `err` filled. NOMEM: it never comes. */
int bcda__unwrap_new(struct bcda__unwrap **out_unwrap, struct bcda__workers *workers,
                     const bcda_config *config, const char *wrapped, const char *name, uint8_t *out,
                     void (*done)(void *ctx, int code, const struct bcda_error *err), void *ctx);
void bcda__unwrap_free(struct bcda__unwrap *u); /* at any time: waits where a worker is at it */
int64_t bcda__unwrap_spent(const struct bcda__unwrap *u); /* nanoseconds; once it is done */

#endif
