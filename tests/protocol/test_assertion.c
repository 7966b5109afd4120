/* The assertions and token requests of SMART Backend Services. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "bcda/error.h"
#include "codec/crypto.h"
#include "helper.h"
#include "protocol/assertion.h"
#include "signature.h"
#include "suite.h"

static EVP_PKEY *pkeys[2];

static void make_keys(void)
{
    ck_assert_int_eq(bcda__crypto_init(0, NULL), 0);
    pkeys[0] = EVP_RSA_gen(2048);
    pkeys[1] = EVP_EC_gen("P-384");
    ck_assert(pkeys[0] && pkeys[1]);
}

static void free_keys(void)
{
    EVP_PKEY_free(pkeys[0]);
    EVP_PKEY_free(pkeys[1]);
}

static struct bcda__signing_key *key_of(EVP_PKEY *pkey, const char *id)
{
    struct bcda__signing_key *k = NULL;
    char *jwk = jwk_of(pkey, "", 1);

    ck_assert_int_eq(bcda__signing_key_new(&k, "key", jwk, strlen(jwk), NULL, id, NULL), 0);
    free(jwk);
    return k;
}

/* Decodes one part of a JWS. */
static size_t decode(const char *text, size_t len, char *out, size_t size)
{
    size_t n;

    ck_assert_int_eq(bcda__text_base64url_decode(text, len, (uint8_t *)out, size - 1, &n), 0);
    out[n] = '\0';
    return n;
}

/* Checks the signature of `jws`, and compares header and claims. */
static void check_jws(const struct bcda__secret *jws, EVP_PKEY *pkey, const char *header,
                      const char *claims)
{
    const char *dot = strchr(jws->data, '.');
    const char *last = strrchr(jws->data, '.');
    char text[4000];
    size_t len;

    ck_assert(dot && last > dot);
    ck_assert_uint_eq(strlen(jws->data), jws->len);
    decode(jws->data, (size_t)(dot - jws->data), text, sizeof text);
    ck_assert_str_eq(text, header);
    decode(dot + 1, (size_t)(last - dot - 1), text, sizeof text);
    ck_assert_str_eq(text, claims);
    len = decode(last + 1, strlen(last + 1), text, sizeof text);
    ck_assert_int_eq(verify(pkey, jws->data, (size_t)(last - jws->data), (uint8_t *)text, len), 1);
}

static const struct bcda__assertion example = {
    .client_id = "my-client",
    .audience = "https://server.example/auth/token?a=b",
    .now_s = 1790000000,
    .random = {0xFB, 0xFF, 0xBF, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255},
};

START_TEST(plain)
{
    struct bcda__secret jws = {0};
    struct bcda__assertion a = example;
    struct bcda__signing_key *k = key_of(pkeys[_i], NULL);
    char header[100];

    a.key = k;
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", _i ? "ES384" : "RS384");
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), 0);
    check_jws(&jws, pkeys[_i], header,
              "{\"iss\":\"my-client\",\"sub\":\"my-client\",\"aud\":\"https://server.example/auth/"
              "token?a=b\",\"jti\":\"-_-_AAECAwQFBgcICQoL_w\",\"iat\":1790000000,\"exp\":"
              "1790000240}");
    bcda__secret_free(&jws);
    bcda__signing_key_free(k);
}
END_TEST

/* Quotes, backslashes, control characters and UTF-8 in all texts. */
START_TEST(escapes)
{
    struct bcda__secret jws = {0};
    struct bcda__assertion a = example;
    struct bcda__signing_key *k = key_of(pkeys[_i], "k\"\\\n\303\251");
    char header[100];

    a.key = k;
    a.client_id = "\"},\\\t\001/\303\251\360\237\230\200\177";
    a.audience = "";
    a.now_s = 0;
    memset(a.random, 0, sizeof a.random);
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
             _i ? "ES384" : "RS384", "k\\\"\\\\\\u000a\303\251");
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), 0);
    check_jws(&jws, pkeys[_i], header,
              "{\"iss\":\"\\\"},\\\\\\u0009\\u0001/\303\251\360\237\230\200\177\","
              "\"sub\":\"\\\"},\\\\\\u0009\\u0001/\303\251\360\237\230\200\177\",\"aud\":\"\","
              "\"jti\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"iat\":0,\"exp\":240}");
    bcda__secret_free(&jws);
    bcda__signing_key_free(k);
}
END_TEST

START_TEST(refused)
{
    struct bcda__secret jws = {0};
    struct bcda__assertion a = example;
    struct bcda__signing_key *k = key_of(pkeys[1], NULL);

    a.key = k;
    ck_assert_int_eq(bcda__secret_set(&jws, "kept", 4), 0);
    a.client_id = "caf\351";
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), BCDA_ERR_INVALID);
    a = example, a.key = k;
    a.audience = "\300\200";
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), BCDA_ERR_INVALID);
    a = example, a.key = k;
    a.now_s = -1;
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), BCDA_ERR_INVALID);
    a.now_s = INT64_MAX;
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), BCDA_ERR_INVALID);
    ck_assert_str_eq(jws.data, "kept");
    a.now_s = INT64_C(253402300799); /* the end of the year 9999 */
    ck_assert_int_eq(bcda__assertion_make(&jws, &a), 0);
    ck_assert_str_ne(jws.data, "kept");
    bcda__secret_free(&jws);
    bcda__signing_key_free(k);
}
END_TEST

#define TYPE                                                                                  \
    "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&" \
    "client_assertion=a-_.b.c"

START_TEST(form)
{
    static const char *const rows[][2] = {
        {NULL, "grant_type=client_credentials&" TYPE},
        {"", "grant_type=client_credentials&scope=&" TYPE},
        {"system/*.read system/Patient.rs?a=b&c=+%\303\251",
         "grant_type=client_credentials&scope=system%2F%2A.read%20system%2FPatient.rs%3Fa%3Db%26c%"
         "3D%2B%25%C3%A9&" TYPE},
    };
    struct bcda__secret jws = {0}, body = {0};
    size_t i;

    ck_assert_int_eq(bcda__secret_set(&jws, "a-_.b.c", 7), 0);
    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_int_eq(bcda__assertion_form(&body, &jws, rows[i][0]), 0);
        ck_assert_str_eq(body.data, rows[i][1]);
        ck_assert_uint_eq(body.len, strlen(rows[i][1]));
    }
    bcda__secret_free(&jws);
    bcda__secret_free(&body);
}
END_TEST

SUITE("assertion")
{
    suite_case("assertion");
    suite_unchecked(make_keys, free_keys);
    suite_loop(plain, 0, 2);
    suite_loop(escapes, 0, 2);
    suite_test(refused, form);
}
