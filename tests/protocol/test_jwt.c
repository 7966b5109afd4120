/* When an access token expires that is a JSON Web Token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "helper.h"
#include "protocol/jwt.h"
#include "sample.h"
#include "suite.h"
#include "torture/refuse.h"

#define HEADER "{\"alg\":\"ES384\",\"typ\":\"JWT\"}"

static char token[5000];

/* Appends a part in base64url. */
static void add_part(const char *text, size_t len)
{
    char part[3000];
    size_t i;

    ck_assert_uint_le(bcda__text_base64_size(len), sizeof part);
    bcda__text_base64(text, len, part);
    part[strcspn(part, "=")] = '\0';
    for (i = 0; part[i]; i++)
        part[i] = (char)(part[i] == '+' ? '-' : part[i] == '/' ? '_' : part[i]);
    strcat(token, part);
}

static const char *make_token(const char *header, const char *payload)
{
    token[0] = '\0';
    add_part(header, strlen(header));
    strcat(token, ".");
    add_part(payload, strlen(payload));
    strcat(token, ".");
    add_part("signature \xFF\xFE", 12);
    return token;
}

/* Reads a copy that has its exact size, so that AddressSanitizer finds a byte read beyond it. */
static int64_t expiry_of(const char *text, size_t len)
{
    char *copy = malloc(len + !len);
    int64_t expiry;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);
    expiry = bcda__jwt_expiry(copy, len);
    free(copy);
    return expiry;
}

START_TEST(claims)
{
    static const struct {
        const char *payload;
        int64_t expiry;
    } rows[] = {
        {"{\"exp\":1700000000}", 1700000000},
        {"{\"iss\":\"a\",\"exp\":1700000000,\"iat\":1}", 1700000000},
        {" {\n \"exp\" : 1700000000 } ", 1700000000},
        {"{\"exp\":1700000000.999}", 1700000000},
        {"{\"exp\":1700000000.0}", 1700000000},
        {"{\"\\u0065xp\":1700000000}", 1700000000},
        {"{\"a\":{\"exp\":1},\"exp\":1700000000,\"b\":[{\"exp\":2}]}", 1700000000},
        {"{\"name\":\"\xC3\xA9\",\"exp\":1700000000}", 1700000000},
        {"{\"exp\":1}", 1},
        {"{\"exp\":253402300799}", INT64_C(253402300799)},
        /* no time that can be used */
        {"{\"exp\":253402300800}", -1},
        {"{\"exp\":1700000000000}", -1}, /* milliseconds */
        {"{\"exp\":99999999999999999999}", -1},
        {"{\"exp\":0}", -1},
        {"{\"exp\":0.9}", -1},
        {"{\"exp\":-1}", -1},
        {"{\"exp\":-1700000000}", -1},
        {"{\"exp\":1.7e9}", -1},
        {"{\"exp\":17E8}", -1},
        {"{\"exp\":\"1700000000\"}", -1},
        {"{\"exp\":null}", -1},
        {"{\"exp\":true}", -1},
        {"{\"exp\":[1700000000]}", -1},
        {"{\"exp\":{\"exp\":1700000000}}", -1},
        {"{\"exp\":1700000000,\"exp\":1700000000}", -1},
        {"{\"exp\":1700000000,\"exp\":null}", -1},
        {"{\"exp\":1700000000,\"\\u0065xp\":1800000000}", -1},
        /* none */
        {"{}", -1},
        {"{\"Exp\":1700000000}", -1},
        {"{\"a\":{\"exp\":1700000000}}", -1},
        /* no claims */
        {"", -1},
        {"1700000000", -1},
        {"\"exp\"", -1},
        {"[{\"exp\":1700000000}]", -1},
        {"{\"exp\":1700000000", -1},
        {"{\"exp\":1700000000}}", -1},
        {"{\"exp\":1700000000}{}", -1},
        {"{\"exp\":1700000000,\"a\":\"\xFF\"}", -1},
        {"exp=1700000000", -1},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        int64_t expiry;

        make_token(HEADER, rows[i].payload);
        expiry = expiry_of(token, strlen(token));
        ck_assert_msg(expiry == rows[i].expiry, "%s: %lld", rows[i].payload, (long long)expiry);
    }
}
END_TEST

/* The parts, with the payload {"exp":1}. */
START_TEST(parts)
{
    static const struct {
        const char *text;
        int64_t expiry;
    } rows[] = {
        {"e30.eyJleHAiOjF9.c2ln", 1},
        {"e30.eyJleHAiOjF9.", 1}, /* without a signature */
        {"e30.eyJleHAiOjF9", -1}, /* two parts */
        {"eyJleHAiOjF9", -1},     /* one part */
        {"e30.eyJleHAiOjF9.c2ln.", -1},
        {"e30.eyJleHAiOjF9.c2ln.c2ln", -1},
        {"e30.eyJleHAiOjF9.c2ln.c2ln.c2ln", -1}, /* JWE */
        {".eyJleHAiOjF9.c2ln", -1},
        {"e30..c2ln", -1},
        {"e30.eyJleHAiOjF9.c2l=", -1},
        {"e30.eyJleHAiOjF9.c2l+", -1},
        {"e30.eyJleHAiOjF9.c2ln\n", -1},
        {"e30.eyJleHAiOjF9.c2lnA", -1},
        {"e30.eyJleHAiOjF9.c2lnAB", -1}, /* unused bits */
        {"e30=.eyJleHAiOjF9.c2ln", -1},
        {"e3 0.eyJleHAiOjF9.c2ln", -1},
        {" e30.eyJleHAiOjF9.c2ln", -1},
        {"W10.eyJleHAiOjF9.c2ln", -1}, /* the header is [] */
        {"MQ.eyJleHAiOjF9.c2ln", -1},  /* the header is 1 */
        {"e30.eyJleHAiOjF9==.c2ln", -1},
        {"eyJleHAiOjF9.e30.c2ln", -1}, /* exp is in the header */
        {"..", -1},
        {".", -1},
        {"", -1},
        {"opaque-token", -1},
        {"a.b.c", -1},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        int64_t expiry = expiry_of(rows[i].text, strlen(rows[i].text));

        ck_assert_msg(expiry == rows[i].expiry, "%s: %lld", rows[i].text, (long long)expiry);
    }
    ck_assert_int_eq(expiry_of("e30.eyJleHAiOjF9.\0", 18), -1);
    ck_assert_int_eq(expiry_of("e30.eyJleHAiOjF9.c2ln.", 21), 1); /* only `len` bytes */
}
END_TEST

/* Each character of a token is changed, removed, and made the last. A change of the signature does
 * not matter while it is base64url. A change of the header and of the other claims must give the
 * same time or none. */
START_TEST(damaged)
{
    static const char before[] = "{\"iss\":\"https://a.example\",\"exp\":";
    static const char payload[] =
        "{\"iss\":\"https://a.example\",\"exp\":1700000000,\"aud\":\"b\"}";
    size_t len, payload_at, signature_at, first, last, at;
    char copy[sizeof token];
    int64_t expiry;
    int c;

    make_token(HEADER, payload);
    len = strlen(token);
    payload_at = strcspn(token, ".") + 1;
    signature_at = payload_at + strcspn(token + payload_at, ".") + 1;
    /* the characters that contain bits of the number */
    first = payload_at + (sizeof before - 1) * 8 / 6;
    last = payload_at + ((sizeof before - 1 + 10) * 8 - 1) / 6;
    ck_assert_int_eq(expiry_of(token, len), 1700000000);
    for (at = 0; at < len; at++) {
        for (c = 0; c < 256; c++) {
            if (!sample_takes(at * 256 + (size_t)c, len * 256, 20000))
                continue;
            memcpy(copy, token, len);
            copy[at] = (char)c;
            expiry = expiry_of(copy, len);
            ck_assert_msg(expiry == -1 || (expiry > 0 && expiry <= INT64_C(253402300799)), "%zu %d",
                          at, c);
            if (at < first || at > last)
                ck_assert_msg(expiry == -1 || expiry == 1700000000, "%zu %d", at, c);
            if (at < len - 1 && at >= signature_at)
                ck_assert_msg((expiry > 0) == (c == '-' || c == '_' || (c >= '0' && c <= '9') ||
                                               (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')),
                              "%zu %d", at, c);
        }
        memcpy(copy, token, at);
        memcpy(copy + at, token + at + 1, len - at - 1);
        expiry = expiry_of(copy, len - 1);
        ck_assert_msg(expiry == -1 || expiry == 1700000000, "%zu", at);
        expiry = expiry_of(token, at);
        ck_assert_msg(expiry == -1 || (expiry == 1700000000 && at >= signature_at), "%zu", at);
    }
}
END_TEST

/* The claims are a part of the token, so they are wiped: refuse.h looks for MARK in each block that
 * is freed and in all pages that are unmapped. */
START_TEST(no_memory)
{
    int64_t expiry;
    long total, at;
    int all;

    make_token("{\"kid\":\"" MARK "\"}",
               "{\"sub\":\"" MARK "\\n" MARK "\",\"exp\":1700000000,\"" MARK "\":\"" MARK "\"}");
    refuse_from(0, 0);
    ck_assert_int_eq(bcda__jwt_expiry(token, strlen(token)), 1700000000);
    ck_assert_int_eq(live, 0);
    total = calls;
    ck_assert_int_gt(total, 1);
    for (all = 0; all < 2; all++)
        for (at = 1; at <= total; at++) {
            refuse_from(at, all);
            expiry = bcda__jwt_expiry(token, strlen(token));
            refuse_at = 0;
            ck_assert_msg(expiry == -1, "%s", refusal());
            ck_assert_msg(live == 0, "%ld blocks are left, %s", live, refusal());
        }
}
END_TEST

SUITE("jwt")
{
    suite_case("all");
    suite_timeout(600);
    suite_test(claims, parts, damaged, no_memory);
}
