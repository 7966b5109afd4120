/* RSA private keys in PEM. Only key.c includes libtasn1. */
#ifndef BCDA_CODEC_KEY_H
#define BCDA_CODEC_KEY_H

#include "base/err.h"
#include "base/secret.h"
#include "codec/crypto.h"

struct bcda__key {
    struct bcda__secret der; /* the RSAPrivateKey (PKCS#1) */
    struct bcda__rsa_parts parts;
    unsigned bits;
};

/* Reads the first private key in `pem`, of 2048 to 8192 bits, in one of these forms:
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
void bcda__key_free(struct bcda__key *key); /* wipes the key; NULL is allowed */

#endif
