/* Private keys in PEM. Only key.c includes libtasn1. */
#ifndef BCDA_CODEC_KEY_H
#define BCDA_CODEC_KEY_H

#include "base/err.h"
#include "base/secret.h"
#include "codec/crypto.h"

enum { BCDA__RSA_BITS_MIN = 2048, BCDA__RSA_BITS_MAX = 8192 };

struct bcda__key {
    struct bcda__secret der; /* the RSAPrivateKey (PKCS#1), or whatever `parts` point into */
    struct bcda__rsa_parts parts;
    unsigned bits;
    struct bcda__secret p384; /* a struct bcda__p384; unset = an RSA key */
};

/* Reads the first private key in `pem`, an RSA key of 2048 to 8192 bits, in one of these forms:
 * - PKCS#1: `RSA PRIVATE KEY`;
 * - PKCS#8: `PRIVATE KEY`;
 * - PKCS#8, encrypted with PBES2: `ENCRYPTED PRIVATE KEY` (PBKDF2 with HMAC-SHA-1/256/384/512;
 *   AES-CBC or 3DES-CBC);
 * - PKCS#1, encrypted in OpenSSL's traditional form: `Proc-Type: 4,ENCRYPTED` and `DEK-Info:`
 *   AES-128/192/256-CBC or DES-EDE3-CBC.
 * Text around the PEM block, CRLF, and other blocks before it (certificates, parameters) are
 * accepted. Error texts call the key `name`, such as its path. `passphrase` may be NULL. 0;
 * BCDA_ERR_KEY_FORMAT, KEY_PASSPHRASE, KEY_UNSUPPORTED, KEY_FIPS, NOMEM, LIBRARY; `err` is filled.
 */
int bcda__key_new(struct bcda__key **out, const char *name, const void *pem, size_t len,
                  const char *passphrase, struct bcda_error *err);
/* The keys that can sign, as error texts describe them. */
#define BCDA__SIGNING_KEYS "RS384 needs an RSA key of 2048 to 8192 bits, ES384 an EC key on P-384"
/* As bcda__key_new(), for a key that signs. This also reads EC keys on the curve P-384, in SEC 1
 * (`EC PRIVATE KEY`), OpenSSL's traditional encrypted form of it, and PKCS#8, encrypted or not. */
int bcda__key_new_signing(struct bcda__key **out, const char *name, const void *pem, size_t len,
                          const char *passphrase, struct bcda_error *err);
void bcda__key_free(struct bcda__key *key); /* wipes the key; NULL is allowed */

#endif
