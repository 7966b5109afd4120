/* Reads private keys that sign, from PEM, JWK and JWKS. libcrypto makes the keys, and verifies the
 * signatures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bcda/error.h"
#include "codec/crypto.h"
#include "codec/signing_key.h"
#include "helper.h"
#include "sample.h"
#include "signature.h"
#include "suite.h"

static struct bcda_error err;
static EVP_PKEY *rsa, *ec;

/* Makes the keys of all tests, in the process of main(). */
static void make_keys(void)
{
    ck_assert_int_eq(bcda__crypto_init(0, NULL), 0);
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-384");
    ck_assert(rsa && ec);
}

static void free_keys(void)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

/* ---- reading ---- */

/* Reads a key from memory of exactly `len` bytes. */
static int read_bytes(struct bcda__signing_key **k, const char *text, size_t len,
                      const char *passphrase, const char *key_id)
{
    char *exact = malloc(len + !len);
    int rc;

    memcpy(exact, text, len);
    memset(&err, 0x55, sizeof err);
    *k = NULL;
    rc = bcda__signing_key_new(k, "my.key", exact, len, passphrase, key_id, &err);
    free(exact);
    ck_assert_int_eq(*k == NULL, rc != 0);
    if (rc) {
        ck_assert_int_eq(err.code, rc);
        ck_assert_msg(strncmp(err.text, "my.key", 6) == 0, "%s", err.text);
    }
    return rc;
}

/* The key signs as `pkey`. */
static void check_signs(const struct bcda__signing_key *k, EVP_PKEY *pkey)
{
    uint8_t sig[BCDA__SIGNATURE_MAX];
    size_t len = 0;

    ck_assert_str_eq(bcda__signing_key_algorithm(k), is_ec(pkey) ? "ES384" : "RS384");
    ck_assert_int_eq(bcda__signing_key_sign(k, "some data", 9, sig, &len), 0);
    ck_assert_uint_eq(len, is_ec(pkey) ? 96 : (size_t)EVP_PKEY_get_size(pkey));
    ck_assert_int_eq(verify(pkey, "some data", 9, sig, len), 1);
    ck_assert_int_eq(verify(pkey, "other data", 10, sig, len), 0);
}

static void check_good(const char *text, const char *key_id, EVP_PKEY *pkey, const char *id)
{
    struct bcda__signing_key *k;

    if (read_bytes(&k, text, strlen(text), NULL, key_id))
        ck_abort_msg("%s: %s", err.text, text);
    check_signs(k, pkey);
    if (id)
        ck_assert_str_eq(bcda__signing_key_id(k), id);
    else
        ck_assert_ptr_null(bcda__signing_key_id(k));
    bcda__signing_key_free(k);
}

/* The text of an error shows no part of a private value, of which `jwk` has the base64url. */
static void check_no_secret(const char *jwk)
{
    const char *d = strstr(jwk, "\"d\":\"");
    size_t i, len = d ? strcspn(d + 5, "\"") : 0;

    for (i = 0; i + 10 <= len; i++)
        ck_assert_msg(memmem(err.text, strlen(err.text), d + 5 + i, 10) == NULL, "%s", err.text);
}

static void check_bad(const char *text, const char *key_id, int code, const char *words)
{
    struct bcda__signing_key *k;
    int rc = read_bytes(&k, text, strlen(text), NULL, key_id);

    ck_assert_msg(rc == code, "%d, not %d: %s: %s", rc, code, rc ? err.text : "", text);
    ck_assert_msg(strstr(err.text, words) != NULL, "`%s` not in: %s", words, err.text);
    check_no_secret(text);
}

/* ---- every accepted form ---- */

/* Returns the key in PEM. `form`: 0 = PKCS#8, 1 = PKCS#1 or SEC 1, 2 and 3 = the same, encrypted.
 */
static char *pem_of(const EVP_PKEY *pkey, int form)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const EVP_CIPHER *cipher = form < 2 ? NULL : EVP_aes_256_cbc();
    unsigned char pass[] = "hunter22";
    int len = form < 2 ? 0 : 8;
    char *data, *copy;
    long size;

    ck_assert_int_eq(
        form % 2 ? PEM_write_bio_PrivateKey_traditional(bio, pkey, cipher, pass, len, NULL, NULL)
                 : PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, (char *)pass, len, NULL, NULL),
        1);
    size = BIO_get_mem_data(bio, &data);
    copy = calloc(1, (size_t)size + 1);
    memcpy(copy, data, (size_t)size);
    BIO_free(bio);
    return copy;
}

START_TEST(test_pem)
{
    EVP_PKEY *pkey = _i < 4 ? rsa : ec;
    struct bcda__signing_key *k;
    char *pem = pem_of(pkey, _i % 4);

    ck_assert_int_eq(read_bytes(&k, pem, strlen(pem), "hunter22", NULL), 0);
    check_signs(k, pkey);
    ck_assert_ptr_null(bcda__signing_key_id(k));
    bcda__signing_key_free(k);
    ck_assert_int_eq(read_bytes(&k, pem, strlen(pem), "hunter22", "my id"), 0);
    ck_assert_str_eq(bcda__signing_key_id(k), "my id");
    bcda__signing_key_free(k);
    if (_i % 4 >= 2) {
        ck_assert_int_eq(read_bytes(&k, pem, strlen(pem), NULL, NULL), BCDA_ERR_KEY_PASSPHRASE);
        ck_assert_int_eq(read_bytes(&k, pem, strlen(pem), "hunter2", NULL),
                         BCDA_ERR_KEY_PASSPHRASE);
        ck_assert_ptr_null(strstr(err.text, "hunter2"));
    }
    free(pem);
    bcda__signing_key_free(NULL);
}
END_TEST

/* Formats a text, which stays until eight more are formatted. */
__attribute__((format(printf, 1, 2))) static const char *text_of(const char *format, ...)
{
    static char texts[8][40000];
    static unsigned next;
    char *text = texts[next++ % 8];
    va_list args;

    va_start(args, format);
    ck_assert_int_lt(vsnprintf(text, sizeof texts[0], format, args), (int)sizeof texts[0]);
    va_end(args);
    return text;
}

START_TEST(test_jwk)
{
    static const char *const firsts[] = {
        "",
        "\"use\":\"sig\"",
        "\"key_ops\":[\"sign\"]",
        "\"key_ops\":[\"verify\",\"sign\"],\"use\":\"sig\"",
        "\"x5c\":[\"MII\",{\"kty\":\"oct\",\"d\":1}],\"ext\":true,\"iat\":1.5,\"\":null,\"x5c\":0",
        "\"key_ops\":[[\"x\"],{\"y\":1},\"sign\"]",
    };
    EVP_PKEY *pkey = _i ? ec : rsa;
    size_t i;
    char *jwk;

    for (i = 0; i < COUNT(firsts); i++) {
        jwk = jwk_of(pkey, firsts[i], 1);
        check_good(jwk, NULL, pkey, NULL);
        check_good(jwk, "given", pkey, "given");
        check_good(text_of("\xEF\xBB\xBF \r\n\t%s\n", jwk), NULL, pkey, NULL);
        check_good(text_of("{\"keys\":[%s]}", jwk), NULL, pkey, NULL);
        free(jwk);
    }
    jwk = jwk_of(pkey,
                 _i ? "\"alg\":\"ES384\",\"kid\":\"a\\u00e9\\\"\""
                    : "\"kid\":\"a\\u00e9\\\"\",\"alg\":\"RS384\"",
                 1);
    check_good(jwk, NULL, pkey, "a\303\251\"");
    check_good(jwk, "a\303\251\"", pkey, "a\303\251\"");
    free(jwk);
}
END_TEST

/* Returns the JWK without the member `name`, or with another `value`, which has its quotes. */
static const char *edited(const char *jwk, const char *name, const char *value)
{
    char key[32];
    const char *at, *end;

    snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(jwk, key);
    ck_assert_msg(at != NULL, "no %s in %s", key, jwk);
    end = strchr(at + strlen(key) + 1, '"') + 1;
    if (!value) /* with the comma after it or before it */
        return *end == ',' ? text_of("%.*s%s", (int)(at - jwk), jwk, end + 1)
                           : text_of("%.*s%s", (int)(at - jwk) - 1, jwk, end);
    return text_of("%.*s%s%s%s", (int)(at - jwk), jwk, key, value, end);
}

/* Returns the value of a member, with its quotes. */
static const char *value_of(const char *jwk, const char *name)
{
    char key[32];
    const char *at;

    snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(jwk, key) + strlen(key);
    return text_of("%.*s", (int)(strchr(at + 1, '"') + 1 - at), at);
}

START_TEST(test_rsa_members)
{
    static const char *const optional[] = {"dp", "dq", "qi"};
    static const char *const needed[] = {"n", "e", "p", "q"};
    char *jwk = jwk_of(rsa, "", 1);
    size_t i;

    for (i = 0; i < COUNT(optional); i++) {
        check_good(edited(jwk, optional[i], NULL), NULL, rsa, NULL);
        check_bad(edited(jwk, optional[i], "\"=\""), NULL, BCDA_ERR_KEY_FORMAT, "base64url");
        check_bad(edited(jwk, optional[i], "7"), NULL, BCDA_ERR_KEY_FORMAT, "is not a string");
    }
    for (i = 0; i < COUNT(needed); i++) {
        check_bad(edited(jwk, needed[i], NULL), NULL, BCDA_ERR_KEY_FORMAT, "is missing; export");
        if (i)
            check_bad(edited(jwk, needed[i], "\"AQ\""), NULL, BCDA_ERR_KEY_FORMAT, "do not fit");
        if (i)
            check_bad(edited(jwk, needed[i], "\"AA\""), NULL, BCDA_ERR_KEY_FORMAT, "do not fit");
        check_bad(edited(jwk, needed[i], "\"\""), NULL, BCDA_ERR_KEY_FORMAT, "base64url");
    }
    check_bad(edited(jwk, "d", "\"AQAB\""), NULL, BCDA_ERR_KEY_FORMAT, "do not fit");
    check_good(edited(edited(jwk, "p", value_of(jwk, "q")), "q", value_of(jwk, "p")), NULL, rsa,
               NULL); /* p < q */
    check_bad(text_of("{\"oth\":[],%s", jwk + 1), NULL, BCDA_ERR_KEY_UNSUPPORTED, "two primes");
    free(jwk);
}
END_TEST

/* Sign octets, and numbers that are too long or too short. */
START_TEST(test_number_lengths)
{
    char *jwk = jwk_of(rsa, "", 1);
    unsigned char bytes[1024] = {0};
    BIGNUM *n = NULL;
    char text[2000] = "\"";
    size_t len;

    ck_assert_int_eq(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    len = (size_t)BN_bn2bin(n, bytes + 1) + 1;
    bcda__text_base64url(bytes, len, text + 1);
    check_good(edited(jwk, "n", strcat(text, "\"")), NULL, rsa, NULL);
    BN_free(n);
    bcda__text_base64url(bytes + 1, 255, text + 1);
    check_bad(edited(jwk, "n", strcat(text, "\"")), NULL, BCDA_ERR_KEY_UNSUPPORTED, "of 2040 bits");
    free(jwk);
    jwk = jwk_of(ec, "", 1);
    memset(bytes, 0, sizeof bytes);
    bcda__text_base64url(bytes, 47, text + 1);
    strcat(text, "\"");
    check_bad(edited(jwk, "d", text), NULL, BCDA_ERR_KEY_FORMAT,
              "has 47 bytes; on P-384 it has 48");
    check_bad(edited(jwk, "x", text), NULL, BCDA_ERR_KEY_FORMAT, "has 47 bytes");
    check_bad(edited(jwk, "y", text), NULL, BCDA_ERR_KEY_FORMAT, "has 47 bytes");
    bcda__text_base64url(bytes, 49, text + 1);
    check_bad(edited(jwk, "d", strcat(text, "\"")), NULL, BCDA_ERR_KEY_FORMAT, "has 49 bytes");
    bcda__text_base64url(bytes, 48, text + 1);
    check_bad(edited(jwk, "d", strcat(text, "\"")), NULL, BCDA_ERR_KEY_FORMAT, "do not fit");
    check_bad(edited(jwk, "y", text), NULL, BCDA_ERR_KEY_FORMAT, "do not fit");
    free(jwk);
}
END_TEST

/* A base64url text is refused if an encoder would not write it. */
START_TEST(test_base64url)
{
    char *jwk = jwk_of(ec, "", 1);
    char text[200], d[100];

    snprintf(d, sizeof d, "%s", value_of(jwk, "d"));
    d[65] = '\0'; /* 64 characters */
    snprintf(text, sizeof text, "%s=\"", d);
    check_bad(edited(jwk, "d", text), NULL, BCDA_ERR_KEY_FORMAT, "the member d is not base64url");
    snprintf(text, sizeof text, "%s \"", d);
    check_bad(edited(jwk, "d", text), NULL, BCDA_ERR_KEY_FORMAT, "the member d is not base64url");
    snprintf(text, sizeof text, "%s\\n\"", d);
    check_bad(edited(jwk, "d", text), NULL, BCDA_ERR_KEY_FORMAT, "the member d is not base64url");
    snprintf(text, sizeof text, "%.64s+\"", d);
    check_bad(edited(jwk, "d", text), NULL, BCDA_ERR_KEY_FORMAT, "the member d is not base64url");
    snprintf(text, sizeof text, "%sA\"", d);
    check_bad(edited(jwk, "d", text), NULL, BCDA_ERR_KEY_FORMAT, "the member d is not base64url");
    snprintf(text, sizeof text, "%.64s\\u%04x\"", d, (unsigned)d[64]); /* the same text as `d` */
    check_good(edited(jwk, "d", text), NULL, ec, NULL);
    free(jwk);
}
END_TEST

/* ---- keys that are refused ---- */

#define WANTED "RS384 needs an RSA key of 2048 to 8192 bits, ES384 an EC key on P-384"

START_TEST(test_purpose)
{
    static const struct {
        int of_ec;
        const char *first, *words;
    } rows[] = {
        {0, "\"use\":\"enc\"", "my.key, key \"k1\": its use is enc; a key that signs has sig"},
        {1, "\"use\":\"\"", "its use is (not a name)"},
        {1, "\"use\":\"a\\u0007b\"", "its use is (not a name)"},
        {1, "\"key_ops\":[\"verify\"]", "my.key, key \"k1\": its key_ops do not have sign"},
        {0, "\"key_ops\":[]", "its key_ops do not have sign"},
        {0, "\"key_ops\":[[\"sign\"]]", "its key_ops do not have sign"},
        {0, "\"alg\":\"RS256\"", "its alg is RS256, not RS384; " WANTED},
        {0, "\"alg\":\"PS384\"", "its alg is PS384, not RS384; " WANTED},
        {0, "\"alg\":\"ES384\"", "its alg is ES384, not RS384; " WANTED},
        {1, "\"alg\":\"ES256\"", "its alg is ES256, not ES384; " WANTED},
        {1, "\"alg\":\"RS384\"", "its alg is RS384, not ES384; " WANTED},
        {0, "\"alg\":\"RSA-OAEP-256\"", "its alg is RSA-OAEP-256, not RS384; " WANTED},
        {0, "\"alg\":\"RS3840000000000000000000000000000\"", "its alg is RS38400"},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        char *jwk =
            jwk_of(rows[i].of_ec ? ec : rsa, text_of("\"kid\":\"k1\",%s", rows[i].first), 1);

        check_bad(jwk, NULL, BCDA_ERR_KEY_UNSUPPORTED, rows[i].words);
        check_bad(text_of("{\"keys\":[%s]}", jwk), NULL, BCDA_ERR_KEY_UNSUPPORTED, rows[i].words);
        free(jwk);
    }
}
END_TEST

START_TEST(test_kinds)
{
    static const char *const curves[] = {"P-256", "P-521", "secp256k1"};
    char *jwk = jwk_of(ec, "\"kid\":\"k1\"", 1);
    size_t i;
    EVP_PKEY *small;

    for (i = 0; i < COUNT(curves); i++)
        check_bad(edited(jwk, "crv", text_of("\"%s\"", curves[i])), NULL, BCDA_ERR_KEY_UNSUPPORTED,
                  text_of("my.key, key \"k1\": an EC key on %s; " WANTED, curves[i]));
    check_bad(edited(jwk, "crv", NULL), NULL, BCDA_ERR_KEY_FORMAT, "member crv is missing");
    check_bad(edited(jwk, "kty", NULL), NULL, BCDA_ERR_KEY_FORMAT, "no member kty; " WANTED);
    check_bad(edited(jwk, "kty", "\"ec\""), NULL, BCDA_ERR_KEY_UNSUPPORTED, "the kty ec; " WANTED);
    check_bad(edited(jwk, "kty", "\"RSA\""), NULL, BCDA_ERR_KEY_FORMAT, "member n is missing");
    check_bad("{\"kty\":\"oct\",\"kid\":\"k2\",\"k\":\"SECRETSECRET\"}", NULL,
              BCDA_ERR_KEY_UNSUPPORTED, "my.key, key \"k2\": a key with the kty oct; " WANTED);
    check_bad("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"d\":\"AAAA\"}", NULL,
              BCDA_ERR_KEY_UNSUPPORTED, "my.key: a key with the kty OKP; " WANTED);
    free(jwk);
    jwk = jwk_of(rsa, "\"kid\":\"k3\"", 0);
    check_bad(jwk, NULL, BCDA_ERR_KEY_FORMAT, "my.key, key \"k3\": this is only the public key");
    free(jwk);
    jwk = jwk_of(ec, "", 0);
    check_bad(jwk, NULL, BCDA_ERR_KEY_FORMAT, "my.key: this is only the public key");
    free(jwk);
    small = EVP_RSA_gen(1024);
    jwk = jwk_of(small, "\"kid\":\"k4\"", 1);
    check_bad(jwk, NULL, BCDA_ERR_KEY_UNSUPPORTED, "key \"k4\": an RSA key of 1024 bits; " WANTED);
    free(jwk);
    EVP_PKEY_free(small);
}
END_TEST

START_TEST(test_duplicates)
{
    static const char *const names[] = {"kty", "use", "alg", "crv", "kid", "key_ops",
                                        "oth", "n",   "e",   "d",   "p",   "q",
                                        "dp",  "dq",  "qi",  "x",   "y"};
    char words[64];
    size_t i;

    for (i = 0; i < COUNT(names); i++) {
        const char *value = strcmp(names[i], "key_ops") ? "\"sig\"" : "[\"sign\"]";

        snprintf(words, sizeof words, "the member %s is there twice", names[i]);
        check_bad(text_of("{\"%s\":%s,\"%s\":%s}", names[i], value, names[i], value), NULL,
                  BCDA_ERR_KEY_FORMAT, words);
        check_bad(
            text_of("{\"keys\":[{},{\"%s\":%s,\"%s\":%s}]}", names[i], value, names[i], value),
            NULL, BCDA_ERR_KEY_FORMAT, words);
    }
    check_bad("{\"keys\":[{}],\"keys\":[]}", NULL, BCDA_ERR_KEY_FORMAT, "keys is there twice");
    check_bad("{\"keys\":[{},{\"d\":\"AA\",\"\\u0064\":\"AA\"}]}", NULL, BCDA_ERR_KEY_FORMAT,
              "my.key, key number 2: the member d is there twice");
}
END_TEST

START_TEST(test_shapes)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"{}", "no member kty"},
        {"[]", "not a JSON object"},
        {"[{\"kty\":\"EC\"}]", "not a JSON object"},
        {"{", "not one JSON document"},
        {"{} {}", "not one JSON document"},
        {"{\"kty\":\"EC\",}", "not one JSON document"},
        {"{\"kid\":\"\xC3\"}", "not one JSON document"},
        {"{\"keys\":{}}", "keys is not an array"},
        {"{\"keys\":null}", "keys is not an array"},
        {"{\"keys\":[]}", "has no keys"},
        {"{\"keys\":[[]]}", "an element of keys is not an object"},
        {"{\"keys\":[\"x\"]}", "an element of keys is not an object"},
        {"{\"keys\":[],\"kty\":\"EC\"}", "it has kty and keys"},
        {"{\"kty\":7}", "the member kty is not a string"},
        {"{\"kid\":[\"a\"]}", "the member kid is not a string"},
        {"{\"kid\":\"a\\u0000b\"}", "a character of value 0"},
        {"{\"d\":{\"x\":1}}", "the member d is not a string"},
        {"{\"key_ops\":\"sign\"}", "the member key_ops is not an array"},
        {"{\"keys\":[{\"kid\":\"a\",\"use\":1}]}", "my.key, key \"a\": the member use is not"},
        {"", "is empty"},
        {"hello", "or a JWK with the member d is needed"},
        {"-----BEGIN PUBLIC KEY-----\n", "holds a public key"},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        check_bad(rows[i].text, NULL, BCDA_ERR_KEY_FORMAT, rows[i].words);
    check_bad("{}", "\xFF", BCDA_ERR_INVALID, "the key id is not UTF-8");
}
END_TEST

/* ---- key ids, and the keys of a JWKS ---- */

START_TEST(test_key_id)
{
    char *jwk = jwk_of(ec, "\"kid\":\"mine\"", 1);

    check_good(jwk, NULL, ec, "mine");
    check_good(jwk, "mine", ec, "mine");
    check_bad(jwk, "yours", BCDA_ERR_CONFIG,
              "the kid of the key is \"mine\", not the key id \"yours\"");
    check_bad(jwk, "min", BCDA_ERR_CONFIG, "not the key id \"min\"");
    free(jwk);
}
END_TEST

START_TEST(test_set)
{
    char *a = jwk_of(ec, "\"kid\":\"a\"", 1), *a_public = jwk_of(ec, "\"kid\":\"a\"", 0);
    char *b = jwk_of(rsa, "\"kid\":\"b\"", 1), *bare = jwk_of(ec, "", 1);
    char *enc = jwk_of(rsa, "\"kid\":\"e\",\"use\":\"enc\"", 1);
    char *x_public = jwk_of(rsa, "\"kid\":\"x\"", 0);
    const char *oct = "{\"kty\":\"oct\",\"kid\":\"o\",\"k\":\"AAAA\"}";

    /* with a key id */
    check_good(text_of("{\"keys\":[%s,%s,%s]}", a, b, bare), "a", ec, "a");
    check_good(text_of("{\"keys\":[%s,%s,%s]}", a, b, bare), "b", rsa, "b");
    check_good(text_of("{\"x\":[1,{}],\"keys\":[%s,%s,%s],\"y\":{\"d\":1}}", a_public, a, b), "a",
               ec, "a");
    check_bad(text_of("{\"keys\":[%s,%s]}", a, b), "c", BCDA_ERR_CONFIG,
              "my.key: no private key has the key id \"c\"; the key ids are: a, b");
    check_bad(text_of("{\"keys\":[%s,%s]}", bare, x_public), "c", BCDA_ERR_CONFIG,
              "no private key has the key id \"c\"");
    check_bad(text_of("{\"keys\":[%s,%s]}", x_public, a), "x", BCDA_ERR_KEY_FORMAT,
              "of the key \"x\" there is only the public key");
    check_bad(text_of("{\"keys\":[%s,%s,%s]}", a, b, a), "a", BCDA_ERR_KEY_FORMAT,
              "my.key, key \"a\": two private keys have this kid");
    check_bad(text_of("{\"keys\":[%s,%s]}", a, enc), "e", BCDA_ERR_KEY_UNSUPPORTED,
              "my.key, key \"e\": its use is enc");
    check_bad(text_of("{\"keys\":[%s]}", a), "b", BCDA_ERR_CONFIG, "the key ids are: a");
    /* without: the only one that can sign */
    check_good(text_of("{\"keys\":[%s,%s,%s,%s]}", oct, x_public, a, enc), NULL, ec, "a");
    check_good(text_of("{\"keys\":[%s,%s]}", bare, enc), NULL, ec, NULL);
    /* a member of the JWKS itself means nothing, and leaves no error */
    check_good(text_of("{\"kid\":1,\"keys\":[%s]}", a), NULL, ec, "a");
    ck_assert_int_eq(err.code, 0);
    check_bad(text_of("{\"keys\":[%s,%s,%s,%s]}", a, enc, b, bare), NULL, BCDA_ERR_CONFIG,
              "my.key: 3 of its keys can sign; choose one by its key id: a, b, (one without kid)");
    check_bad(text_of("{\"keys\":[%s,%s]}", oct, x_public), NULL, BCDA_ERR_KEY_UNSUPPORTED,
              "none of its 2 keys can sign; " WANTED);
    check_bad(text_of("{\"keys\":[%s]}", x_public), NULL, BCDA_ERR_KEY_FORMAT,
              "my.key, key \"x\": this is only the public key");
    check_bad(text_of("{\"keys\":[{},%s,{\"kid\":1}]}", a), NULL, BCDA_ERR_KEY_FORMAT,
              "my.key, key number 3: the member kid is not a string");
    free(a), free(a_public), free(b), free(bare), free(enc), free(x_public);
}
END_TEST

/* A JWKS with very many keys and very long key ids: the list in the error is cut. */
START_TEST(test_long_list)
{
    char *text = malloc(1000000), *p = text, kid[300];
    char *jwk = jwk_of(ec, "", 1);
    int i;

    memset(kid, 'k', sizeof kid - 1);
    kid[sizeof kid - 1] = '\0';
    p += sprintf(p, "{\"keys\":[");
    for (i = 0; i < 500; i++)
        p += sprintf(p, "%s{\"kid\":\"%s%d\",%s", i ? "," : "", i % 2 ? kid : "\303\251", i,
                     jwk + 1);
    sprintf(p, "]}");
    check_bad(text, NULL, BCDA_ERR_CONFIG, "500 of its keys can sign");
    ck_assert_ptr_nonnull(strstr(err.text, "\303\2510, kkk"));
    check_good(text, "\303\251498", ec, "\303\251498");
    check_bad(text, kid, BCDA_ERR_CONFIG, "kkk...\"; the key ids are: \303\2510");
    free(jwk);
    free(text);
}
END_TEST

/* ---- signatures ---- */

/* A signature RS384 has one value, which libcrypto computes too. One in 256 begins with a zero
 * byte.
 */
START_TEST(test_rsa_signatures)
{
    struct bcda__signing_key *k;
    char *pem = pem_of(rsa, 0), message[32];
    uint8_t sig[BCDA__SIGNATURE_MAX], want[256];
    size_t len, want_len;
    int i, zeros = 0;

    ck_assert_int_eq(read_bytes(&k, pem, strlen(pem), NULL, NULL), 0);
    for (i = 0; zeros == 0; i++) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();

        ck_assert_int_lt(i, 10000);
        snprintf(message, sizeof message, "message %d", i);
        want_len = sizeof want;
        ck_assert_int_eq(EVP_DigestSignInit(md, NULL, EVP_sha384(), NULL, rsa), 1);
        ck_assert_int_eq(EVP_DigestSign(md, want, &want_len, (uint8_t *)message, strlen(message)),
                         1);
        EVP_MD_CTX_free(md);
        zeros += want[0] == 0;
        if (i >= 5 && want[0])
            continue;
        ck_assert_int_eq(bcda__signing_key_sign(k, message, strlen(message), sig, &len), 0);
        ck_assert_uint_eq(len, 256);
        ck_assert_int_eq(memcmp(sig, want, 256), 0);
    }
    ck_assert_int_eq(bcda__signing_key_sign(k, NULL, 0, sig, &len), 0);
    ck_assert_int_eq(verify(rsa, "", 0, sig, len), 1);
    bcda__signing_key_free(k);
    free(pem);
}
END_TEST

START_TEST(test_rsa_sizes)
{
    static const unsigned bits[] = {2049, 3072, 4096};
    size_t i;

    for (i = 0; i < COUNT(bits); i++) {
        EVP_PKEY *pkey = EVP_RSA_gen(bits[i]);
        char *jwk = jwk_of(pkey, "", 1);

        check_good(jwk, NULL, pkey, NULL);
        free(jwk);
        EVP_PKEY_free(pkey);
    }
}
END_TEST

/* 1 if the key signs. This runs outside of check. */
static int works(EVP_PKEY *pkey)
{
    struct bcda__signing_key *k = NULL;
    char *jwk = jwk_of(pkey, "", 1);
    uint8_t sig[BCDA__SIGNATURE_MAX];
    size_t len;
    int good = bcda__signing_key_new(&k, "key", jwk, strlen(jwk), NULL, NULL, &err) == 0 &&
               bcda__signing_key_sign(k, "data", 4, sig, &len) == 0 &&
               verify(pkey, "data", 4, sig, len);

    bcda__signing_key_free(k);
    free(jwk);
    return good;
}

/* Signs in FIPS mode. libgcrypt chooses that mode when it is initialised, so this runs in a second
 * process of this program. */
int suite_run_alone(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--fips") != 0)
        return 9;
    if (bcda__crypto_init(0, &err) || !bcda__crypto_fips())
        return 10;
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-384");
    if (!works(rsa))
        return 11;
    if (!works(ec))
        return 12;
    free_keys();
    return 0;
}

/* libgcrypt does not free its random generator of FIPS mode, so leaks are not looked for. */
START_TEST(test_fips)
{
    char self[500], command[700];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    snprintf(command, sizeof command,
             "LIBGCRYPT_FORCE_FIPS_MODE=1 ASAN_OPTIONS=detect_leaks=0 '%s' --fips", self);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- damage ---- */

/* An error, or a key that signs as `pkey`. */
static void check_mutant(const char *text, size_t len, EVP_PKEY *pkey, const char *original)
{
    struct bcda__signing_key *k;
    int rc = read_bytes(&k, text, len, NULL, NULL);

    if (rc == 0) {
        check_signs(k, pkey);
        bcda__signing_key_free(k);
        return;
    }
    ck_assert_msg(rc == BCDA_ERR_KEY_FORMAT || rc == BCDA_ERR_KEY_UNSUPPORTED ||
                      rc == BCDA_ERR_KEY_PASSPHRASE || rc == BCDA_ERR_CONFIG,
                  "%d %s", rc, err.text);
    check_no_secret(original);
}

typedef void (*check_fn)(const uint8_t *data, size_t len);

/* Calls `check` with `data` cut at each length, and with each byte removed, changed and doubled. */
static void for_each_damage(const uint8_t *data, size_t len, uint64_t wanted, check_fn check)
{
    uint8_t *copy = malloc(len + 1);
    size_t i;

    seed = (uint32_t)sample_seed();
    for (i = 0; i < len; i++) {
        if (!sample_takes(i, len, wanted))
            continue;
        check(data, i);
        memcpy(copy, data, i);
        memcpy(copy + i, data + i + 1, len - i - 1);
        check(copy, len - 1);
        memcpy(copy, data, len);
        copy[i] ^= (uint8_t)(1 << roll(8));
        check(copy, len);
        copy[i] = (uint8_t)roll(256);
        check(copy, len);
        copy[i] = data[i];
        memcpy(copy + i + 1, data + i, len - i);
        check(copy, len + 1);
    }
    free(copy);
}

static EVP_PKEY *damaged;   /* the key, */
static const char *text_ok; /* its text, or for DER, */
static const char *label;   /* its label in PEM */

static void check_damaged_text(const uint8_t *data, size_t len)
{
    check_mutant((const char *)data, len, damaged, text_ok);
}

START_TEST(test_damaged_jwk)
{
    char *jwk;

    damaged = _i % 2 ? ec : rsa;
    jwk = jwk_of(damaged, "\"kid\":\"k\",\"use\":\"sig\",\"key_ops\":[\"sign\"]", 1);
    if (_i >= 2) {
        char *other = jwk_of(_i % 2 ? rsa : ec, "\"kid\":\"other\",\"use\":\"enc\"", 0);

        jwk = realloc(jwk, 30000);
        strcpy(jwk, text_of("{\"keys\": [%s,\n%s]}", jwk, other));
        free(other);
    }
    text_ok = jwk;
    check_damaged_text((uint8_t *)jwk, strlen(jwk));
    for_each_damage((uint8_t *)jwk, strlen(jwk), 40, check_damaged_text);
    free(jwk);
}
END_TEST

static void check_damaged_der(const uint8_t *der, size_t len)
{
    static char pem[12000];
    char *p = pem + sprintf(pem, "-----BEGIN %s-----\n", label);
    size_t i;

    for (i = 0; i < len; i += 48) {
        bcda__text_base64(der + i, len - i < 48 ? len - i : 48, p);
        p = strcat(p, "\n") + strlen(p);
    }
    sprintf(p, "-----END %s-----\n", label);
    check_mutant(pem, strlen(pem), damaged, "");
}

/* Each byte of PKCS#8, and of PKCS#1 or SEC 1. */
START_TEST(test_damaged_der)
{
    uint8_t *der = NULL;
    int len;

    damaged = _i % 2 ? ec : rsa;
    label = _i < 2 ? "PRIVATE KEY" : _i % 2 ? "EC PRIVATE KEY" : "RSA PRIVATE KEY";
    if (_i < 2) {
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(damaged);

        len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        PKCS8_PRIV_KEY_INFO_free(info);
    } else {
        len = i2d_PrivateKey(damaged, &der);
    }
    ck_assert_int_gt(len, 100);
    check_damaged_der(der, (size_t)len);
    for_each_damage(der, (size_t)len, 40, check_damaged_der);
    OPENSSL_free(der);
}
END_TEST

SUITE("signing_key")
{
    suite_case("forms");
    suite_timeout(120);
    suite_unchecked(make_keys, free_keys);
    suite_loop(test_pem, 0, 8);
    suite_loop(test_jwk, 0, 2);
    suite_test(test_rsa_members, test_number_lengths, test_base64url, test_purpose, test_kinds,
               test_duplicates, test_shapes);
    suite_case("set");
    suite_timeout(120);
    suite_unchecked(make_keys, free_keys);
    suite_test(test_key_id, test_set, test_long_list);
    suite_case("signatures");
    suite_timeout(120);
    suite_unchecked(make_keys, free_keys);
    suite_test(test_rsa_signatures, test_rsa_sizes, test_fips);
    suite_case("damage");
    suite_timeout(600);
    suite_unchecked(make_keys, free_keys);
    suite_loop(test_damaged_jwk, 0, 4);
    suite_loop(test_damaged_der, 0, 4);
}
