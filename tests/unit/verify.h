/* Checks signatures with libcrypto. */
#ifndef BCDA_TESTS_VERIFY_H
#define BCDA_TESTS_VERIFY_H

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdlib.h>

#include "suite.h"

/* Reads the private key in a PEM text, which is not encrypted. */
static inline EVP_PKEY *pkey_of_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    ck_assert_ptr_nonnull(pkey);
    BIO_free(bio);
    return pkey;
}

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

    ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static inline int is_ec(const EVP_PKEY *pkey)
{
    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC;
}

/* Converts r and s of 48 bytes each to the DER form that libcrypto expects. Returns its length. */
static inline size_t ecdsa_to_der(const uint8_t *raw, uint8_t **der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int len;

    ck_assert_int_eq(ECDSA_SIG_set0(sig, BN_bin2bn(raw, 48, NULL), BN_bin2bn(raw + 48, 48, NULL)),
                     1);
    *der = NULL;
    len = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    ck_assert_int_gt(len, 0);
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
        ck_assert_int_eq(EVP_DigestVerifyInit(md, NULL, EVP_sha384(), NULL, pkey), 1);
        good = EVP_DigestVerify(md, sig, sig_len, data, len) == 1;
    }
    OPENSSL_free(der);
    EVP_MD_CTX_free(md);
    return good;
}

#endif
