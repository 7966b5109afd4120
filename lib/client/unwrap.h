/* Decrypts a file's key on a worker. RSA takes 7 ms for a key of 2048 bits, 37 for 4096
 * (libgcrypt 1.10): too long for a step, and several files can use several cores. Without
 * workers the session's thread does it by bcda__config_unwrap(). */
#ifndef BCDA_CLIENT_UNWRAP_H
#define BCDA_CLIENT_UNWRAP_H

#include "client/config.h"

struct bcda__workers;
struct bcda__unwrap;

/* `wrapped`, `name` and `out` (32 bytes) live as long as this. `done` is called once, in a step,
 * with 0 or an error of bcda__config_unwrap(), and `err` filled. NOMEM: it is never called. */
int bcda__unwrap_new(struct bcda__unwrap **out_unwrap, struct bcda__workers *workers,
                     const bcda_config *config, const char *wrapped, const char *name, uint8_t *out,
                     void (*done)(void *ctx, int code, const struct bcda_error *err), void *ctx);
void bcda__unwrap_free(struct bcda__unwrap *u); /* at any time; waits for a worker that runs it */
int64_t bcda__unwrap_spent(const struct bcda__unwrap *u); /* nanoseconds; once it is done */

#endif
