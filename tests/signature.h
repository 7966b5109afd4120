/* Keys and signatures of libcrypto. */
#ifndef BCDA_TESTS_SIGNATURE_H
#define BCDA_TESTS_SIGNATURE_H

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Makes a public key of an uncompressed point of P-384. */
static inline EVP_PKEY *pkey_of_point(const uint8_t point[97])
{
    char group[] = "P-384";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, 97),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;

    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        abort();
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static inline int is_ec(const EVP_PKEY *pkey)
{
    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC;
}

/* Adds `"name":"number"` to `jwk`, with a comma. `len` is the number of bytes of an EC number; 0 =
 * an RSA number. */
static inline void add_jwk_number(char *jwk, const EVP_PKEY *pkey, const char *name,
                                  const char *param, int len)
{
    unsigned char bytes[1024];
    BIGNUM *n = NULL;
    char *to = jwk + strlen(jwk);

    if (!EVP_PKEY_get_bn_param(pkey, param, &n))
        abort();
    len = len ? BN_bn2binpad(n, bytes, len) : BN_bn2bin(n, bytes);
    to += sprintf(to, ",\"%s\":\"", name);
    bcda__text_base64url(bytes, (size_t)len, to);
    strcat(to, "\"");
    BN_clear_free(n);
}

/* Returns a JWK with the members `first`, such as "\"kid\":\"a\"", and then those of the key. The
 * caller frees it. */
static inline char *jwk_of(const EVP_PKEY *pkey, const char *first, int is_private)
{
    static const char *const rsa[][2] = {
        {"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
        {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
        {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
        {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};
    static const char *const ec[][2] = {{"x", OSSL_PKEY_PARAM_EC_PUB_X},
                                        {"y", OSSL_PKEY_PARAM_EC_PUB_Y},
                                        {"d", OSSL_PKEY_PARAM_PRIV_KEY}};
    char *jwk = malloc(12000);
    size_t i;

    sprintf(jwk, "{%s%s\"kty\":%s", first, *first ? "," : "",
            is_ec(pkey) ? "\"EC\",\"crv\":\"P-384\"" : "\"RSA\"");
    for (i = 0; i < (is_private ? 8 : 2) && !is_ec(pkey); i++)
        add_jwk_number(jwk, pkey, rsa[i][0], rsa[i][1], 0);
    for (i = 0; i < (is_private ? 3 : 2) && is_ec(pkey); i++)
        add_jwk_number(jwk, pkey, ec[i][0], ec[i][1], 48);
    return strcat(jwk, "}");
}

/* Converts r and s of 48 bytes each to the DER form that libcrypto expects. Returns its length. */
static inline size_t ecdsa_to_der(const uint8_t *raw, uint8_t **der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int len;

    if (!ECDSA_SIG_set0(sig, BN_bin2bn(raw, 48, NULL), BN_bin2bn(raw + 48, 48, NULL)))
        abort();
    *der = NULL;
    len = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    if (len <= 0)
        abort();
    return (size_t)len;
}

/* 1 if the signature is RS384 or ES384, depending on the key, and valid. */
static inline int verify(EVP_PKEY *pkey, const void *data, size_t len, const uint8_t *sig,
                         size_t sig_len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t *der = NULL;
    int good;

    if (is_ec(pkey) && sig_len != 96)
        good = 0;
    else {
        if (is_ec(pkey)) {
            sig_len = ecdsa_to_der(sig, &der);
            sig = der;
        }
        if (EVP_DigestVerifyInit(md, NULL, EVP_sha384(), NULL, pkey) != 1)
            abort();
        good = EVP_DigestVerify(md, sig, sig_len, data, len) == 1;
    }
    OPENSSL_free(der);
    EVP_MD_CTX_free(md);
    return good;
}

#endif
