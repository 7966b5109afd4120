/* Decrypts a file's key on a worker. RSA takes 7 ms for a key of 2048 bits, and 37 ms for 4096
 * (libgcrypt 1.10). That is too long for a step, and the keys of several files can be decrypted on
 * several cores. Without workers the session's thread calls bcda__config_unwrap() itself. */
#ifndef BCDA_CLIENT_UNWRAP_H
#define BCDA_CLIENT_UNWRAP_H

#include "client/config.h"

struct bcda__workers;
struct bcda__unwrap;

/* `wrapped`, `name` and `out` (32 bytes) must live as long as the bcda__unwrap. `done` is called
 * once, in a step, with 0 or an error of bcda__config_unwrap(), and with `err` filled. Returns 0,
 * or BCDA_ERR_NOMEM; then `done` is never called. */
int bcda__unwrap_new(struct bcda__unwrap **out_unwrap, struct bcda__workers *workers,
                     const bcda_config *config, const char *wrapped, const char *name, uint8_t *out,
                     void (*done)(void *ctx, int code, const struct bcda_error *err), void *ctx);
/* May be called at any time. Waits for the worker if one is running this decryption. */
void bcda__unwrap_free(struct bcda__unwrap *u);
/* Nanoseconds that the decryption took; valid after `done` was called. */
int64_t bcda__unwrap_spent(const struct bcda__unwrap *u);

#endif
