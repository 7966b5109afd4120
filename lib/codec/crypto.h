/* Everything that libgcrypt does for us; crypto.c is its only includer. */
#ifndef BCDA_CODEC_CRYPTO_H
#define BCDA_CODEC_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* Checks the version and, where nobody has, finishes libgcrypt's initialisation.
 * `leave_alone` = the host initialises it itself: then only checks. 0 or BCDA_ERR_LIBRARY. */
int bcda__crypto_init(int leave_alone, struct bcda_error *err);
int bcda__crypto_fips(void); /* 1 in FIPS mode */

int bcda__crypto_random(void *out, size_t len); /* 0 or BCDA_ERR_LIBRARY */

/* SHA-256, running. */
struct bcda__sha256;
int bcda__sha256_new(struct bcda__sha256 **out);
void bcda__sha256_add(struct bcda__sha256 *h, const void *data, size_t len);
/* May be followed by more adds, and so needs memory: 0, NOMEM or LIBRARY (`out` is then zeros). */
int bcda__sha256_read(struct bcda__sha256 *h, uint8_t out[32]);
void bcda__sha256_free(struct bcda__sha256 *h);

/* A fast keyed hash (GMAC with AES-256), for telling whether bytes that come again are the same
 * ones. The key is random and never leaves the process. Two with one key can be compared. */
struct bcda__mac;
int bcda__mac_new(struct bcda__mac **out, const uint8_t key[32]); /* NOMEM, LIBRARY */
void bcda__mac_add(struct bcda__mac *m, const void *data, size_t len);
int bcda__mac_finish(struct bcda__mac *m, uint8_t out[16]); /* no more adds; LIBRARY */
void bcda__mac_free(struct bcda__mac *m);

/* AES-256 in counter mode, for what this process writes for itself. One key, one text. */
struct bcda__ctr;
int bcda__ctr_new(struct bcda__ctr **out, const uint8_t key[32]);
int bcda__ctr_apply(struct bcda__ctr *c, const uint8_t *in, uint8_t *out, size_t len); /* LIBRARY */
void bcda__ctr_free(struct bcda__ctr *c);

/* AES-256-GCM over nonce(12) ‖ cipher text ‖ tag(16), as a stream (bcda-api 7.1). The last 16 bytes
 * met so far are always held back, since they may be the tag. */
struct bcda__gcm;
enum { BCDA__GCM_NONCE = 12, BCDA__GCM_TAG = 16, BCDA__GCM_KEY = 32 };
int bcda__gcm_new(struct bcda__gcm **out, const uint8_t key[BCDA__GCM_KEY]); /* NOMEM, LIBRARY */
/* Takes up to `len` bytes of `in` (how many: *used) and writes up to `cap` bytes of text to `out`
 * (how many: *made); `in` and `out` do not overlap. Goes on until one of the two is exhausted. 0,
 * BCDA_ERR_LIBRARY, or BCDA_ERR_TAG past the 2^36 - 32 bytes that GCM allows (no such file was ever
 * made whole). After an error every call gives the same error. */
int bcda__gcm_open(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                   size_t cap, size_t *made);
/* The input is over: 0, BCDA_ERR_CIPHER_SHORT (under 28 bytes came) or BCDA_ERR_TAG. */
int bcda__gcm_finish(struct bcda__gcm *g);
void bcda__gcm_free(struct bcda__gcm *g); /* wipes */

/* An RSA private key, as big-endian unsigned integers without sign octets. Points into the secret
 * that key.c keeps. */
struct bcda__rsa_parts {
    const uint8_t *n, *e, *d, *p, *q;
    size_t n_len, e_len, d_len, p_len, q_len;
};
/* Checks the parts against each other (gcry_pk_testkey): 0, BCDA_ERR_KEY_FORMAT, NOMEM, LIBRARY. */
int bcda__rsa_check(const struct bcda__rsa_parts *key);
/* RSA-OAEP with SHA-256 for the hash and MGF1, and a label (bcda-api 7.1). The opened key must be
 * `out_len` bytes. 0; BCDA_ERR_KEY_VALUE (wrapped_len is not the length of n);
 * BCDA_ERR_KEY_UNWRAP (not for this key, damaged, or another length inside);
 * BCDA_ERR_KEY_LABEL (for this key, but with another label: distinguished by opening the padding
 * once more by hand after libgcrypt has refused it); NOMEM; LIBRARY. */
int bcda__rsa_unwrap(const struct bcda__rsa_parts *key, const uint8_t *wrapped, size_t wrapped_len,
                     const void *label, size_t label_len, uint8_t *out, size_t out_len);

/* What encrypted PEM keys need (RFC 8018 PBES2, and OpenSSL's traditional form). */
enum bcda__cipher {
    BCDA__CIPHER_AES128_CBC = 1,
    BCDA__CIPHER_AES192_CBC,
    BCDA__CIPHER_AES256_CBC,
    BCDA__CIPHER_3DES_CBC,
};
enum bcda__prf {
    BCDA__PRF_HMAC_SHA1 = 1,
    BCDA__PRF_HMAC_SHA256,
    BCDA__PRF_HMAC_SHA384,
    BCDA__PRF_HMAC_SHA512
};
size_t bcda__cipher_key_len(enum bcda__cipher cipher);
size_t bcda__cipher_iv_len(enum bcda__cipher cipher);
int bcda__kdf_pbkdf2(enum bcda__prf prf, const char *passphrase, const uint8_t *salt,
                     size_t salt_len, uint32_t iterations, uint8_t *out, size_t out_len);
/* EVP_BytesToKey with MD5 and one iteration: BCDA_ERR_KEY_FIPS where MD5 is not to be had. */
int bcda__kdf_openssl_md5(const char *passphrase, const uint8_t salt[8], uint8_t *out,
                          size_t out_len);
/* Decrypts in place and takes the PKCS#7 padding off: 0, BCDA_ERR_KEY_PASSPHRASE where the padding
 * is wrong, LIBRARY, NOMEM. */
int bcda__cipher_cbc_open(enum bcda__cipher cipher, const uint8_t *key, const uint8_t *iv,
                          uint8_t *data, size_t len, size_t *out_len);

#endif
