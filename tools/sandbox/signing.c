/* The keys with which a client signs its assertions (--auth smart): a P-384 and an RSA pair that
 * the sandbox makes for the client, or the public keys of --client-jwks. */
#include "internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EC_BYTES = 48 }; /* of a coordinate of P-384, and of r and s */

static const char *const algorithm_names[ALGORITHMS] = {"ES384", "RS384"};

const char *signing_name(enum algorithm alg)
{
    return algorithm_names[alg];
}

int signing_find(const char *name)
{
    for (int i = 0; i < ALGORITHMS; i++)
        if (name && strcmp(algorithm_names[i], name) == 0)
            return i;
    return -1;
}

/* ---- JWK ---- */

/* Appends ,"name":"VALUE" with a number of the key: `width` bytes, or as few as it needs if that is
 * 0. */
static void add_jwk_number(struct buf *b, const char *name, EVP_PKEY *key, const char *param,
                           int width)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];

    if (EVP_PKEY_get_bn_param(key, param, &n) != 1)
        abort();
    width = width ? width : BN_num_bytes(n);
    if (BN_bn2binpad(n, bytes, width) != width)
        abort();
    json_fmt(b, ",'%s':'", name);
    crypt_base64url(b, bytes, (size_t)width);
    buf_str(b, "\"");
    BN_clear_free(n);
}

/* Returns the thumbprint of RFC 7638, which serves as the key id: the same key has the same id in
 * the next run. */
static char *thumbprint(EVP_PKEY *key, enum algorithm alg)
{
    struct buf b = {0}, id = {0};
    uint8_t hash[32];

    if (alg == ES384) {
        json_fmt(&b, "{'crv':'P-384','kty':'EC'");
        add_jwk_number(&b, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, EC_BYTES);
        add_jwk_number(&b, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, EC_BYTES);
        buf_str(&b, "}");
    } else {
        struct buf e = {0};

        add_jwk_number(&e, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
        json_fmt(&b, "{%r,'kty':'RSA'", e.p + 1);
        add_jwk_number(&b, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        buf_str(&b, "}");
        buf_free(&e);
    }
    if (EVP_Digest(b.p, b.len, hash, NULL, EVP_sha256(), NULL) != 1)
        abort();
    crypt_base64url(&id, hash, sizeof hash);
    buf_free(&b);
    return id.p;
}

static void write_private_jwk(struct buf *b, EVP_PKEY *key, enum algorithm alg, const char *kid)
{
    static const struct {
        const char *name, *param;
    } rsa[] = {{"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
               {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
               {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
               {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};

    json_fmt(b, "{'kty':'%s','kid':'%s','use':'sig','key_ops':['sign'],'alg':'%s'",
             alg == ES384 ? "EC" : "RSA", kid, algorithm_names[alg]);
    if (alg == ES384) {
        json_fmt(b, ",'crv':'P-384'");
        add_jwk_number(b, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, EC_BYTES);
        add_jwk_number(b, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, EC_BYTES);
        add_jwk_number(b, "d", key, OSSL_PKEY_PARAM_PRIV_KEY, EC_BYTES);
    } else {
        for (size_t i = 0; i < sizeof rsa / sizeof *rsa; i++)
            add_jwk_number(b, rsa[i].name, key, rsa[i].param, 0);
    }
    buf_str(b, "}");
}

/* ---- making keys ---- */

static void register_key(struct sandbox *sb, EVP_PKEY *key, enum algorithm alg, const char *kid)
{
    struct client_key *k = xcalloc(1, sizeof *k);

    k->key = key;
    k->alg = alg;
    k->kid = kid ? xstrdup(kid) : NULL;
    k->next = sb->client_keys;
    sb->client_keys = k;
}

static int write_and_name(struct sandbox *sb, char **path, const char *name, const char *text)
{
    *path = xasprintf("%s/%s", sb->state_dir, name);
    return write_state_file(sb, name, text);
}

/* Makes the key of one algorithm, or reads that of an earlier run. Appends its private JWK to
 * `set`. */
static int make_signing_key(struct sandbox *sb, enum algorithm alg, struct buf *set)
{
    static const char *const names[ALGORITHMS] = {"signing-es384.pem", "signing-rs384.pem"};
    char *text = keep_read(sb, names[alg]);
    EVP_PKEY *key = text           ? pki_read_private(text)
                    : alg == ES384 ? EVP_EC_gen("P-384")
                                   : pki_signing_key();
    struct buf jwk = {0};
    int result = -1;

    free(text);
    text = key ? pki_private_pem(key) : NULL;
    if (!text) {
        EVP_PKEY_free(key);
        return -1;
    }
    sb->signing_id[alg] = thumbprint(key, alg);
    register_key(sb, key, alg, sb->signing_id[alg]);
    write_private_jwk(&jwk, key, alg, sb->signing_id[alg]);
    buf_printf(set, "%s%s", set->len ? "," : "", jwk.p);
    result = write_and_name(sb, &sb->signing_file[alg], names[alg], text);
    if (!result && alg == RS384)
        result = write_and_name(sb, &sb->signing_jwk_file, "signing-rs384.jwk", jwk.p);
    buf_free(&jwk);
    free(text);
    return result;
}

static int make_signing_keys(struct sandbox *sb)
{
    struct buf set = {0};
    char *text = NULL;
    int result = 0;

    for (int alg = 0; alg < ALGORITHMS && !result; alg++)
        result = make_signing_key(sb, (enum algorithm)alg, &set);
    if (!result) {
        text = xasprintf("{\"keys\":[%s]}", set.p);
        result = write_and_name(sb, &sb->signing_jwks_file, "signing-jwks.json", text);
    }
    free(text);
    buf_free(&set);
    return result;
}

/* ---- registering the public keys of a client ---- */

/* Reads a number of a JWK: exactly `width` bytes, or 1 to 1024 bytes if that is 0. */
static bool read_jwk_bytes(const struct json *jwk, const char *name, size_t width, struct buf *out)
{
    const char *text = json_string(jwk, name);

    return text && crypt_unbase64url(out, text, strlen(text)) && out->len && out->len <= 1024 &&
           (width == 0 || out->len == width);
}

static EVP_PKEY *build_key(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL), *check = NULL;
    EVP_PKEY *key = NULL;

    if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
        check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!check || EVP_PKEY_public_check(check) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *read_ec_jwk(const struct json *jwk)
{
    const char *curve = json_string(jwk, "crv");
    struct buf x = {0}, y = {0}, point = {0};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (build && curve && strcmp(curve, "P-384") == 0 && read_jwk_bytes(jwk, "x", EC_BYTES, &x) &&
        read_jwk_bytes(jwk, "y", EC_BYTES, &y)) {
        buf_add(&point, "\x04", 1);
        buf_add(&point, x.p, x.len);
        buf_add(&point, y.p, y.len);
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-384", 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.len) ==
                1)
            key = build_key("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    buf_free(&x);
    buf_free(&y);
    buf_free(&point);
    return key;
}

static EVP_PKEY *read_rsa_jwk(const struct json *jwk)
{
    struct buf n = {0}, e = {0};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = NULL, *exponent = NULL;
    EVP_PKEY *key = NULL;

    if (build && read_jwk_bytes(jwk, "n", 0, &n) && read_jwk_bytes(jwk, "e", 0, &e)) {
        modulus = BN_bin2bn((const uint8_t *)n.p, (int)n.len, NULL);
        exponent = BN_bin2bn((const uint8_t *)e.p, (int)e.len, NULL);
        if (modulus && exponent && BN_num_bits(modulus) >= 2048 &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
            key = build_key("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    buf_free(&n);
    buf_free(&e);
    return key;
}

/* Registers one key of a set. Keys of other kinds are left out. Returns -1 for a key of a kind that
 * is used here if the key is not valid. */
static int read_jwk(struct sandbox *sb, const struct json *jwk)
{
    const char *type = json_string(jwk, "kty"), *name = json_string(jwk, "alg");
    bool ec = type && strcmp(type, "EC") == 0, rsa = type && strcmp(type, "RSA") == 0;
    enum algorithm alg = ec ? ES384 : RS384;
    EVP_PKEY *key;

    if ((!ec && !rsa) || (name && signing_find(name) != (int)alg))
        return 0;
    key = ec ? read_ec_jwk(jwk) : read_rsa_jwk(jwk);
    if (!key)
        return -1;
    register_key(sb, key, alg, json_string(jwk, "kid"));
    return 0;
}

static int read_jwks(struct sandbox *sb, const char *path)
{
    struct buf text = {0};
    struct json *set = NULL;
    const struct json *keys;
    int result = file_read(path, &text);

    if (!result)
        set = json_parse(text.p, text.len);
    keys = json_member(set, "keys");
    if (!keys || keys->kind != JSON_ARRAY)
        result = -1;
    for (const struct json *jwk = result ? NULL : keys->child; jwk && !result; jwk = jwk->next)
        result = read_jwk(sb, jwk);
    if (!result && !sb->client_keys)
        result = -1;
    json_free(set);
    buf_free(&text);
    if (result)
        sandbox_set_error("%s: no JWK Set with public keys for ES384 or RS384", path);
    return result;
}

int signing_start(struct sandbox *sb)
{
    if (sb->auth != AUTH_SMART)
        return 0;
    return sb->options.client_jwks_file ? read_jwks(sb, sb->options.client_jwks_file)
                                        : make_signing_keys(sb);
}

void signing_stop(struct sandbox *sb)
{
    char *files[] = {sb->signing_file[ES384], sb->signing_file[RS384], sb->signing_jwk_file,
                     sb->signing_jwks_file};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i] && !sb->options.keep_state)
            remove(files[i]);
        free(files[i]);
    }
    for (int alg = 0; alg < ALGORITHMS; alg++)
        free(sb->signing_id[alg]);
    while (sb->client_keys) {
        struct client_key *k = sb->client_keys;

        sb->client_keys = k->next;
        EVP_PKEY_free(k->key);
        free(k->kid);
        free(k);
    }
}

/* ---- signatures ---- */

/* Returns the DER form of r || s, which libcrypto verifies. */
static int signature_der(const struct buf *raw, uint8_t **der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const uint8_t *)raw->p, EC_BYTES, NULL);
    BIGNUM *s = BN_bin2bn((const uint8_t *)raw->p + EC_BYTES, EC_BYTES, NULL);
    int n;

    *der = NULL;
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1)
        abort();
    n = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    return n;
}

bool signing_size_valid(const struct client_key *k, const struct buf *signature)
{
    return signature->len ==
           (k->alg == ES384 ? 2 * (size_t)EC_BYTES : (size_t)EVP_PKEY_get_size(k->key));
}

bool signing_verify(const struct client_key *k, const char *text, size_t n,
                    const struct buf *signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t *der = NULL;
    int len = k->alg == ES384 ? signature_der(signature, &der) : 0;
    bool good = ctx && len >= 0 &&
                EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, k->key) == 1 &&
                EVP_DigestVerify(ctx, der ? der : (const uint8_t *)signature->p,
                                 der ? (size_t)len : signature->len, (const uint8_t *)text, n) == 1;

    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return good;
}

/* ---- getters ---- */

const char *sandbox_signing_key_file(const struct sandbox *sb, const char *algorithm)
{
    int alg = signing_find(algorithm);

    return alg < 0 ? NULL : sb->signing_file[alg];
}

const char *sandbox_signing_key_id(const struct sandbox *sb, const char *algorithm)
{
    int alg = signing_find(algorithm);

    return alg < 0 ? NULL : sb->signing_id[alg];
}

const char *sandbox_signing_jwk_file(const struct sandbox *sb)
{
    return sb->signing_jwk_file;
}

const char *sandbox_signing_jwks_file(const struct sandbox *sb)
{
    return sb->signing_jwks_file;
}
