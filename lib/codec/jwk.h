/* Private keys that sign, as a JWK or a JWKS (RFC 7517; their numbers: RFC 7518 6). */
#ifndef BCDA_CODEC_JWK_H
#define BCDA_CODEC_JWK_H

#include "base/err.h"
#include "codec/key.h"

/* Reads an RSA key of 2048 to 8192 bits or an EC key on P-384. `key_id` and `name`: see
 * bcda__signing_key_new(). *id becomes the "kid", which the caller frees, or NULL. Returns 0;
 * BCDA_ERR_KEY_FORMAT: the text is no JWK or JWKS, is damaged, or has no private key;
 * BCDA_ERR_KEY_UNSUPPORTED: the key is not for RS384 or ES384; BCDA_ERR_CONFIG: `key_id` does not
 * select a key, or is needed; NOMEM; LIBRARY. `err` is filled. */
int bcda__jwk_read(struct bcda__key **out, char **id, const char *name, const void *text,
                   size_t len, const char *key_id, struct bcda_error *err);

#endif
