/* A private key that signs: RS384 with an RSA key, ES384 with an EC key (RFC 7518 3.3, 3.4). */
#ifndef BCDA_CODEC_SIGNING_KEY_H
#define BCDA_CODEC_SIGNING_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bcda__signing_key;
/* Reads a private key from PEM, a JWK or a JWKS (RFC 7517); the content decides which of them it
 * is. The key is RSA of 2048 to 8192 bits, or EC on P-384, and is checked completely: a key that
 * cannot sign is refused here.
 *
 * `key_id` is the "kid", in UTF-8. In a JWKS it selects the key; of a single JWK it must not
 * contradict the kid. NULL: the kid of the JWK, or none for PEM. From a JWKS, NULL selects the only
 * key that can sign. `passphrase` is only for PEM, and may be NULL. Error texts call the key
 * `name`, such as its path.
 *
 * Returns 0; BCDA_ERR_KEY_FORMAT: damaged, or no private key; BCDA_ERR_KEY_UNSUPPORTED: a key for
 * something else; BCDA_ERR_KEY_PASSPHRASE; BCDA_ERR_KEY_FIPS; BCDA_ERR_CONFIG: `key_id` selects no
 * key, contradicts the JWK, or is needed; BCDA_ERR_INVALID: `key_id` is not UTF-8; NOMEM; LIBRARY.
 * `err` is filled. */
int bcda__signing_key_new(struct bcda__signing_key **out, const char *name, const void *text,
                          size_t len, const char *passphrase, const char *key_id,
                          struct bcda_error *err);
const char *bcda__signing_key_algorithm(const struct bcda__signing_key *k); /* "RS384" or "ES384" */
const char *bcda__signing_key_id(const struct bcda__signing_key *k);        /* NULL = none */
/* Signs `data`. `out` has BCDA__SIGNATURE_MAX bytes. Returns 0, BCDA_ERR_NOMEM or
 * BCDA_ERR_LIBRARY. */
enum { BCDA__SIGNATURE_MAX = 1024 };
int bcda__signing_key_sign(const struct bcda__signing_key *k, const void *data, size_t len,
                           uint8_t *out, size_t *out_len);
void bcda__signing_key_free(struct bcda__signing_key *k); /* wipes the key; NULL is allowed */

#endif
