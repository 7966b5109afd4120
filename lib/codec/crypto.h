/* The functions that use libgcrypt. Only crypto.c includes it. */
#ifndef BCDA_CODEC_CRYPTO_H
#define BCDA_CODEC_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* Checks libgcrypt's version, and finishes its initialisation if that has not been done.
 * `leave_alone` = the application initialises libgcrypt; this function then only checks that it
 * has. 0 or BCDA_ERR_LIBRARY. */
int bcda__crypto_init(int leave_alone, struct bcda_error *err);
int bcda__crypto_fips(void); /* 1 in FIPS mode */

int bcda__crypto_random(void *out, size_t len); /* 0 or BCDA_ERR_LIBRARY */

/* Incremental SHA-256. */
struct bcda__sha256;
int bcda__sha256_new(struct bcda__sha256 **out);
void bcda__sha256_add(struct bcda__sha256 *h, const void *data, size_t len);
/* The hash of the bytes added so far. More may be added after it. It allocates a copy, so it can
 * fail: 0, NOMEM or LIBRARY, and `out` is then zero. */
int bcda__sha256_read(struct bcda__sha256 *h, uint8_t out[32]);
void bcda__sha256_free(struct bcda__sha256 *h);

/* A fast keyed hash (GMAC with AES-256), used to check that bytes that are received again are the
 * same as before. The key is random and never leaves the process. Results with the same key can be
 * compared. */
struct bcda__mac;
int bcda__mac_new(struct bcda__mac **out, const uint8_t key[32]); /* NOMEM, LIBRARY */
void bcda__mac_add(struct bcda__mac *m, const void *data, size_t len);
int bcda__mac_finish(struct bcda__mac *m, uint8_t out[16]); /* LIBRARY; no adds after it */
void bcda__mac_free(struct bcda__mac *m);

/* AES-256 in counter mode, for data that only this process reads. A key is used for one text. */
struct bcda__ctr;
int bcda__ctr_new(struct bcda__ctr **out, const uint8_t key[32]);
int bcda__ctr_apply(struct bcda__ctr *c, const uint8_t *in, uint8_t *out, size_t len); /* LIBRARY */
void bcda__ctr_free(struct bcda__ctr *c);

/* Incremental decryption of AES-256-GCM: nonce(12) ‖ cipher text ‖ tag(16) (bcda-api 7.1). The last
 * 16 bytes received are held back at any time, because they may be the tag. */
struct bcda__gcm;
enum { BCDA__GCM_NONCE = 12, BCDA__GCM_TAG = 16, BCDA__GCM_KEY = 32 };
int bcda__gcm_new(struct bcda__gcm **out, const uint8_t key[BCDA__GCM_KEY]); /* NOMEM, LIBRARY */
/* Takes *used bytes, up to `len`, from `in`, and writes *made bytes of text, up to `cap`, to `out`.
 * Continues until the input is used up or `out` is full. `in` and `out` do not overlap. 0,
 * BCDA_ERR_LIBRARY, or BCDA_ERR_TAG beyond the 2^36 - 32 bytes that GCM allows, because a valid
 * file is never longer. After an error every call returns that error. */
int bcda__gcm_open(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                   size_t cap, size_t *made);
/* Ends the input: 0, BCDA_ERR_CIPHER_SHORT (less than 28 bytes) or BCDA_ERR_TAG. */
int bcda__gcm_finish(struct bcda__gcm *g);
void bcda__gcm_free(struct bcda__gcm *g); /* wipes all state */

/* An RSA private key, as big-endian unsigned integers without sign octets. The pointers point into
 * bcda__key.der. */
struct bcda__rsa_parts {
    const uint8_t *n, *e, *d, *p, *q;
    size_t n_len, e_len, d_len, p_len, q_len;
};
/* Checks that the parts match each other: 0, BCDA_ERR_KEY_FORMAT, NOMEM, LIBRARY. */
int bcda__rsa_check(const struct bcda__rsa_parts *key);
/* RSA-OAEP with SHA-256 for the hash and MGF1, and a label (bcda-api 7.1). The unwrapped key must
 * have `out_len` bytes. 0;
 * BCDA_ERR_KEY_VALUE: `wrapped_len` is not the length of n;
 * BCDA_ERR_KEY_UNWRAP: wrapped for another key, damaged, or the unwrapped key has another length;
 * BCDA_ERR_KEY_LABEL: wrapped for this key with another label. libgcrypt does not distinguish this
 * case, so the padding is decoded a second time, without the label;
 * NOMEM; LIBRARY. */
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
/* OpenSSL's EVP_BytesToKey() with MD5 and one iteration. BCDA_ERR_KEY_FIPS: MD5 is not available.
 */
int bcda__kdf_openssl_md5(const char *passphrase, const uint8_t salt[8], uint8_t *out,
                          size_t out_len);
/* Decrypts in place and removes the PKCS#7 padding: 0, BCDA_ERR_KEY_PASSPHRASE if the padding is
 * wrong, LIBRARY, NOMEM. */
int bcda__cipher_cbc_open(enum bcda__cipher cipher, const uint8_t *key, const uint8_t *iv,
                          uint8_t *data, size_t len, size_t *out_len);

#endif
