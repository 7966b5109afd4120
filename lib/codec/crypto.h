/* The functions that use libgcrypt. Only crypto.c includes it. In the comments, NOMEM and LIBRARY
 * stand for BCDA_ERR_NOMEM and BCDA_ERR_LIBRARY. A comment that only names such codes lists the
 * errors of the function, which returns 0 if it succeeds. */
#ifndef BCDA_CODEC_CRYPTO_H
#define BCDA_CODEC_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* Checks libgcrypt's version, and initialises libgcrypt if that has not been done. If `leave_alone`
 * is 1, this is left to the application, and the function only checks that it was done. Returns 0
 * or BCDA_ERR_LIBRARY. */
int bcda__crypto_init(int leave_alone, struct bcda_error *err);
int bcda__crypto_fips(void); /* 1 in FIPS mode */

int bcda__crypto_random(void *out, size_t len); /* 0 or BCDA_ERR_LIBRARY */

/* Incremental SHA-256. */
struct bcda__sha256;
int bcda__sha256_new(struct bcda__sha256 **out);
void bcda__sha256_add(struct bcda__sha256 *h, const void *data, size_t len);
/* Sets `out` to the hash of the bytes added so far. More bytes may be added afterwards. Returns 0,
 * or, because it allocates memory, NOMEM or LIBRARY; `out` is then zero. */
int bcda__sha256_read(struct bcda__sha256 *h, uint8_t out[32]);
void bcda__sha256_free(struct bcda__sha256 *h);

/* A fast keyed hash (GMAC with AES-256). It is used to check that bytes that are received again are
 * the same as before. The key is random and never leaves the process. Only hashes with the same key
 * can be compared. */
struct bcda__mac;
int bcda__mac_new(struct bcda__mac **out, const uint8_t key[32]); /* NOMEM, LIBRARY */
void bcda__mac_add(struct bcda__mac *m, const void *data, size_t len);
int bcda__mac_finish(struct bcda__mac *m, uint8_t out[16]); /* ends the hash; 0 or LIBRARY */
void bcda__mac_free(struct bcda__mac *m);

/* AES-256 in counter mode, for data that only this process reads. Each key encrypts only one
 * sequence of bytes. */
struct bcda__ctr;
int bcda__ctr_new(struct bcda__ctr **out, const uint8_t key[32]);
int bcda__ctr_apply(struct bcda__ctr *c, const uint8_t *in, uint8_t *out, size_t len); /* LIBRARY */
void bcda__ctr_free(struct bcda__ctr *c);

/* Incremental decryption of AES-256-GCM: nonce(12) ‖ cipher text ‖ tag(16) (bcda-api 7.1). The last
 * 16 bytes received are not decrypted before more bytes follow, because they may be the tag. */
struct bcda__gcm;
enum { BCDA__GCM_NONCE = 12, BCDA__GCM_TAG = 16, BCDA__GCM_KEY = 32 };
int bcda__gcm_new(struct bcda__gcm **out, const uint8_t key[BCDA__GCM_KEY]); /* NOMEM, LIBRARY */
/* Takes *used bytes, up to `len`, from `in`, and writes *made decrypted bytes, up to `cap`, to
 * `out`. Continues until the input is used up or `out` is full. `in` and `out` must not overlap.
 * Returns 0, BCDA_ERR_LIBRARY, or BCDA_ERR_TAG if the decrypted data is longer than the 2^36 - 32
 * bytes that GCM allows, because such a file cannot be valid. After an error every call returns
 * that error. */
int bcda__gcm_open(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                   size_t cap, size_t *made);
/* Ends the input and checks the tag. Returns 0, BCDA_ERR_CIPHER_SHORT (less than 28 bytes) or
 * BCDA_ERR_TAG. */
int bcda__gcm_finish(struct bcda__gcm *g);
void bcda__gcm_free(struct bcda__gcm *g); /* wipes all state */

/* An RSA private key, as big-endian unsigned integers without sign octets. The pointers point into
 * bcda__key.der. */
struct bcda__rsa_parts {
    const uint8_t *n, *e, *d, *p, *q;
    size_t n_len, e_len, d_len, p_len, q_len;
};
/* Checks that the numbers of a key match each other. Returns 0, BCDA_ERR_KEY_FORMAT, NOMEM or
 * LIBRARY. */
int bcda__rsa_check(const struct bcda__rsa_parts *key);
/* Decrypts a wrapped key by RSA-OAEP with a label, and SHA-256 for the hash and MGF1 (bcda-api
 * 7.1). The unwrapped key must have `out_len` bytes. Returns 0; BCDA_ERR_KEY_VALUE: `wrapped_len`
 * is not the length of n; BCDA_ERR_KEY_UNWRAP: `wrapped` was made for another RSA key, is damaged,
 * or contains a key of another length; BCDA_ERR_KEY_LABEL: `wrapped` was made for this RSA key, but
 * with another label. libgcrypt does not distinguish this case, so the padding is decoded a second
 * time, without the label; NOMEM; LIBRARY. */
int bcda__rsa_unwrap(const struct bcda__rsa_parts *key, const uint8_t *wrapped, size_t wrapped_len,
                     const void *label, size_t label_len, uint8_t *out, size_t out_len);

/* An EC private key on the curve P-384. Each member is a big-endian number of full length. */
enum { BCDA__P384_LEN = 48, BCDA__P384_POINT_MAX = 1 + 2 * BCDA__P384_LEN };
struct bcda__p384 {
    uint8_t d[BCDA__P384_LEN];
    uint8_t x[BCDA__P384_LEN], y[BCDA__P384_LEN]; /* the public point */
};
/* Computes the public point from `d`. If `point` is not NULL, checks that it is the same point, in
 * the compressed or uncompressed form of SEC 1 (2.3.3). Returns 0; BCDA_ERR_KEY_FORMAT: `d` is 0 or
 * not below the order of the curve, or the points differ; NOMEM; LIBRARY. After an error *out is
 * zero. `d` may be a part of *out. */
int bcda__p384_new(struct bcda__p384 *out, const uint8_t d[BCDA__P384_LEN], const uint8_t *point,
                   size_t point_len);

/* RSASSA-PKCS1-v1_5 with SHA-384: RS384 (RFC 7518 3.3). The signature has key->n_len bytes. Returns
 * 0, BCDA_ERR_KEY_FORMAT, NOMEM or LIBRARY. */
int bcda__rsa_sign(const struct bcda__rsa_parts *key, const void *data, size_t len, uint8_t *out);
/* ECDSA with SHA-384: ES384 (RFC 7518 3.4). The signature is r and s, each with its full length.
 * The nonce is derived from key and message (RFC 6979): a random nonce that repeats, for example
 * after a virtual machine was copied, would reveal the key. NOMEM, LIBRARY. */
enum { BCDA__P384_SIGNATURE = 2 * BCDA__P384_LEN };
int bcda__p384_sign(const struct bcda__p384 *key, const void *data, size_t len,
                    uint8_t out[BCDA__P384_SIGNATURE]);

/* The algorithms of encrypted PEM keys (PBES2 of RFC 8018, and OpenSSL's traditional form). */
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
/* Derives a key as OpenSSL's EVP_BytesToKey() does with MD5 and one iteration. BCDA_ERR_KEY_FIPS:
 * MD5 is not available. */
int bcda__kdf_openssl_md5(const char *passphrase, const uint8_t salt[8], uint8_t *out,
                          size_t out_len);
/* Decrypts `data` in place and removes the PKCS#7 padding. Returns 0, BCDA_ERR_KEY_PASSPHRASE if
 * the padding is wrong, LIBRARY or NOMEM. */
int bcda__cipher_cbc_open(enum bcda__cipher cipher, const uint8_t *key, const uint8_t *iv,
                          uint8_t *data, size_t len, size_t *out_len);

#endif
