/* A signing key whose private value contains MARK (refuse.h). */
#ifndef BCDA_TESTS_MARKED_KEY_H
#define BCDA_TESTS_MARKED_KEY_H

#include <openssl/param_build.h>
#include <string.h>

#include "base/text.h"
#include "codec/crypto.h"
#include "refuse.h"
#include "signature.h"

/* Makes an EC key. Its private value contains MARK, and so does the base64url of that value. */
static EVP_PKEY *marked_pkey(void)
{
    struct bcda__p384 p384;
    uint8_t d[48] = {0}, point[97] = {4};
    char group[] = "P-384";
    size_t len;
    BIGNUM *number;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params;

    ck_assert_int_eq(bcda__text_base64url_decode(MARK, sizeof MARK - 1, d, sizeof d, &len), 0);
    memcpy(d + 12, MARK, sizeof MARK - 1);
    ck_assert_int_eq(bcda__p384_new(&p384, d, NULL, 0), 0);
    memcpy(point + 1, p384.x, 48);
    memcpy(point + 49, p384.y, 48);
    number = BN_bin2bn(d, sizeof d, NULL);
    ck_assert(OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
              OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 97) &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number));
    params = OSSL_PARAM_BLD_to_param(build);
    ck_assert(EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(number);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

#endif
