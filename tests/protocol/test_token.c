/* The token request's header, and all shapes of its answer (bcda-api 3). */
#include <stdio.h>
#include <string.h>

#include "helper.h"
#include "protocol/token.h"
#include "suite.h"

static struct bcda_error err;

static int parse(struct bcda__token *t, const char *body)
{
    memset(t, 0, sizeof *t);
    return bcda__token_parse(t, body, strlen(body), &err);
}

static void check_good(const char *body, const char *bearer, int64_t lifetime_ms)
{
    struct bcda__token t;

    ck_assert_msg(parse(&t, body) == 0, "%s: %s", body, err.text);
    ck_assert_str_eq(t.bearer.data, bearer);
    ck_assert_uint_eq(t.bearer.len, strlen(bearer));
    ck_assert_msg(t.lifetime_ms == lifetime_ms, "%s: %lld", body, (long long)t.lifetime_ms);
    bcda__token_free(&t);
    ck_assert_ptr_null(t.bearer.data);
}

/* Checks that a bad body is refused and that the error shows no value of the body. To detect this,
 * every value in these bodies is the word SECRET. */
static void check_bad(const char *body, int code)
{
    struct bcda__token t;
    int rc = parse(&t, body);

    ck_assert_msg(rc == code, "%s: %d %s", body, rc, err.text);
    ck_assert_int_eq(err.code, code);
    ck_assert_ptr_null(t.bearer.data);
    ck_assert_msg(!strstr(err.text, "SECRET"), "%s", err.text);
    ck_assert_msg(err.text[0] && err.text[strlen(err.text) - 1] != '.', "%s", err.text);
}

START_TEST(basic)
{
    static const struct {
        const char *id, *secret, *header;
    } rows[] = {
        {"Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, /* as in RFC 7617 */
        {"test", "123\xC2\xA3", "Basic dGVzdDoxMjPCow=="},
        {"a", "b", "Basic YTpi"},
        {"", "", "Basic Og=="},
    };
    struct bcda__secret s = {0};
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_int_eq(bcda__token_basic(&s, rows[i].id, rows[i].secret), 0);
        ck_assert_str_eq(s.data, rows[i].header);
        ck_assert_uint_eq(s.len, strlen(rows[i].header));
    }
    bcda__secret_free(&s);
}
END_TEST

START_TEST(bodies_of_the_eras)
{
    check_good("{\"access_token\": \"eyJ.a-b_c.d\",\"token_type\":\"bearer\"}", "eyJ.a-b_c.d", -1);
    check_good("{\"access_token\": \"eyJ\", \"expires_in\": \"1200\", \"token_type\":\"bearer\"}",
               "eyJ", 1200000);
    check_good("{\"access_token\":\"t\",\"expires_in\":1200}", "t", 1200000);
    check_good("{\"access_token\":\"t\",\"expires_in\":null,\"token_type\":null}", "t", -1);
    check_good("{\"expires_in\":3600,\"token_type\":\"BEARER\",\"access_token\":\"t\"}", "t",
               3600000);
    check_good("\n { \"access_token\" : \"t\" } \n", "t", -1);
    check_good("{\"access_token\":\"a\\/b\\u002Dc\"}", "a/b-c", -1);
}
END_TEST

START_TEST(lifetimes)
{
    static const struct {
        const char *value;
        int64_t ms;
    } rows[] = {
        {"1", 1000},
        {"1199.999", 1199000},
        {"\"1199.5\"", 1199000},
        {"\"0001200\"", 1200000},
        {"3153600000", INT64_C(3153600000000)},
    };
    static const char *const unusable_values[] = {
        /* less than one second */
        "0", "0.5", "-1200",
        /* not a decimal number */
        "1e3", "1.5e3", "\"\"", "\".5\"", "\" 1200\"", "\"1200s\"", "\"soon\"", "\"12\\u00000\"",
        "true", "[1200]", "{\"access_token\":\"not this one\"}",
        /* too large */
        "999999999999999999", "99999999999999999999999999", "31536000000"};
    char body[200];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        snprintf(body, sizeof body, "{\"access_token\":\"t\",\"expires_in\":%s}", rows[i].value);
        check_good(body, "t", rows[i].ms);
    }
    for (i = 0; i < COUNT(unusable_values); i++) {
        snprintf(body, sizeof body, "{\"access_token\":\"t\",\"expires_in\":%s}",
                 unusable_values[i]);
        check_good(body, "t", -1);
    }
}
END_TEST

START_TEST(scopes)
{
    static const struct {
        const char *value, *scope; /* NULL = unknown */
    } rows[] = {
        {"\"system/*.rs\"", "system/*.rs"},
        {"\"system\\/*.rs openid\"", "system/*.rs openid"},
        {"\"\"", ""},
        {"\" \"", " "},
        {"\"a~\"", "a~"},
        {"null", NULL},
        {"1", NULL},
        {"true", NULL},
        {"[\"system/*.rs\"]", NULL},
        {"{\"scope\":\"system/*.rs\"}", NULL},
        {"\"a\\nb\"", NULL},
        {"\"a\\u0000\"", NULL},
        {"\"a\\u001f\"", NULL},
        {"\"a\\u007f\"", NULL},
        {"\"a\xC3\xA9\"", NULL},
    };
    struct bcda__token t;
    char body[800];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        snprintf(body, sizeof body, "{\"scope\":%s,\"access_token\":\"t\"}", rows[i].value);
        ck_assert_msg(parse(&t, body) == 0, "%s: %s", body, err.text);
        ck_assert_msg(t.has_scope == (rows[i].scope != NULL), "%s", body);
        ck_assert_str_eq(t.scope, rows[i].scope ? rows[i].scope : "");
        bcda__token_free(&t);
        ck_assert(!t.has_scope && !t.scope[0]);
    }
    for (i = 510; i < 514; i++) { /* the longest scope that is kept has 511 characters */
        snprintf(body, sizeof body, "{\"access_token\":\"t\",\"scope\":\"%0*d\"}", (int)i, 1);
        ck_assert_int_eq(parse(&t, body), 0);
        ck_assert_int_eq(t.has_scope, i < 512);
        ck_assert_uint_eq(strlen(t.scope), i < 512 ? i : 0);
        bcda__token_free(&t);
    }
    ck_assert_int_eq(parse(&t, "{\"access_token\":\"t\",\"token_type\":null}"), 0);
    ck_assert(!t.has_scope && !t.scope[0]);
    bcda__token_free(&t);
    check_bad("{\"access_token\":\"t\",\"scope\":\"SECRET\",\"scope\":null}", BCDA_ERR_TOKEN);
    ck_assert(strstr(err.text, "scope"));
}
END_TEST

START_TEST(unusable)
{
    check_bad("{}", BCDA_ERR_TOKEN);
    check_bad("[]", BCDA_ERR_TOKEN);
    check_bad("\"SECRET\"", BCDA_ERR_TOKEN);
    check_bad("null", BCDA_ERR_TOKEN);
    check_bad("{\"error\":\"SECRET\"}", BCDA_ERR_TOKEN);
    check_bad("{\"Access_Token\":\"SECRET\"}", BCDA_ERR_TOKEN);
    check_bad("{\"data\":{\"access_token\":\"SECRET\"}}", BCDA_ERR_TOKEN);
    check_bad("[{\"access_token\":\"SECRET\"}]", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":null}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":12345}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":true}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":[\"SECRET\"]}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":{\"access_token\":\"SECRET\"}}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\",\"token_type\":\"SECRET\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\",\"token_type\":\"bearer \"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\",\"token_type\":1}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\",\"token_type\":[\"bearer\"]}", BCDA_ERR_TOKEN);
}
END_TEST

START_TEST(hostile)
{
    check_bad("{\"access_token\":\"SECRET\",\"access_token\":\"SECRET\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\",\"access\\u005ftoken\":\"SECRET\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\\r\\nX-Evil: 1\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\\n\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SEC RET\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\\u0000\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\\u007f\"}", BCDA_ERR_TOKEN);
    check_bad("{\"access_token\":\"SECRET\xC3\xA9\"}", BCDA_ERR_TOKEN);
    ck_assert(strstr(err.text, "access_token"));
    check_bad("{\"access_token\":\"SECRET\",\"token_type\":\"mac\"}", BCDA_ERR_TOKEN);
    ck_assert(strstr(err.text, "token_type"));
}
END_TEST

START_TEST(not_json)
{
    char deep[4001];

    check_bad("", BCDA_ERR_NOT_JSON);
    check_bad("   ", BCDA_ERR_NOT_JSON);
    check_bad("<!DOCTYPE html><html>SECRET</html>", BCDA_ERR_NOT_JSON);
    check_bad("Unauthorized SECRET\n", BCDA_ERR_NOT_JSON);
    check_bad("{\"access_token\":\"SECRET\"", BCDA_ERR_NOT_JSON);
    check_bad("{\"access_token\":\"SECRET", BCDA_ERR_NOT_JSON);
    check_bad("{\"access_token\":\"SECRET\xFF\"}", BCDA_ERR_NOT_JSON);
    check_bad("{access_token:\"SECRET\"}", BCDA_ERR_NOT_JSON);
    /* two documents: it is not clear which one is meant */
    check_bad("{\"access_token\":\"SECRET\"}{\"access_token\":\"SECRET\"}", BCDA_ERR_NOT_JSON);
    check_bad("{\"access_token\":\"SECRET\"}\n{\"access_token\":", BCDA_ERR_NOT_JSON);
    check_bad("{\"access_token\":\"SECRET\"} SECRET", BCDA_ERR_NOT_JSON);
    memset(deep, '[', 4000);
    memcpy(deep, "{\"x\":", 5);
    deep[4000] = '\0';
    check_bad(deep, BCDA_ERR_NOT_JSON);
}
END_TEST

START_TEST(earlier_token)
{
    struct bcda__token t;

    ck_assert_int_eq(parse(&t, "{\"access_token\":\"one\",\"expires_in\":1}"), 0);
    ck_assert_int_eq(bcda__token_parse(&t, "{}", 2, &err), BCDA_ERR_TOKEN);
    ck_assert_str_eq(t.bearer.data, "one");
    ck_assert_int_eq(bcda__token_parse(&t, "{}", 2, NULL), BCDA_ERR_TOKEN);
    ck_assert_int_eq(bcda__token_parse(&t, "{\"access_token\":\"two\"}", 22, &err), 0);
    ck_assert_str_eq(t.bearer.data, "two");
    ck_assert_int_eq((int)t.lifetime_ms, -1);
    bcda__token_free(&t);
}
END_TEST

/* Returns how many KiB of this process are locked in memory (VmLck). If pages stay locked, they
 * hold a token that was not wiped. Sanitizers disable mlock(), so with them the count is always 0.
 */
static long locked_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmLck: %ld", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

START_TEST(nothing_is_kept)
{
    static const char *const bodies[] = {
        "{\"access_token\":\"SECRET\",\"token_type\":\"mac\"}",
        "{\"access_token\":\"SECRET\",\"access_token\":\"SECRET\"}",
        "{\"access_token\":\"SECRET\"",
    };
    struct bcda__token t;
    long before = locked_kb();
    size_t i;

    for (i = 0; i < 3; i++)
        ck_assert_int_ne(parse(&t, bodies[i]), 0);
    ck_assert_int_eq(parse(&t, "{\"access_token\":\"SECRET\"}"), 0);
    bcda__token_free(&t);
    ck_assert_int_eq(locked_kb(), before);
}
END_TEST

START_TEST(renewal)
{
    static const struct {
        int64_t now, lifetime, at;
    } rows[] = {
        {5000, 1200000, 5000 + 1200000 - 60000}, /* renewed at most 60 s before the token expires */
        {0, 600000, 540000},                     /* renewed a tenth of the lifetime earlier */
        {0, 300000, 270000},
        {0, 10000, 9000},
        {0, 5000, 4000}, /* renewed at least 1 s before the token expires */
        {0, 2000, 1000},
        {0, 1500, 750}, /* renewed at most half of the lifetime before the token expires */
        {0, 1000, 500},
        {0, 1, 1},
        {0, -1, INT64_MAX},
        {0, 0, INT64_MAX},
        {INT64_MAX - 10, 1200000, INT64_MAX},
        {0, INT64_MAX, INT64_MAX - 60000},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        ck_assert_msg(bcda__token_renew_at(rows[i].now, rows[i].lifetime) == rows[i].at, "row %zu",
                      i);
}
END_TEST

/* Each byte of a body is changed in turn. The parser must not crash, and must not return a token
 * with a character that could split an HTTP header. */
START_TEST(mutated)
{
    static const char body[] =
        "{\"access_token\": \"eyJ\\u0041.b\", \"expires_in\": \"1200\", \"token_type\":\"bearer\"}";
    char copy[sizeof body];
    struct bcda__token t;
    size_t i;
    int c, n;

    for (i = 0; i < sizeof body - 1; i++)
        for (c = 0; c < 256; c += 3) {
            memcpy(copy, body, sizeof body);
            copy[i] = (char)c;
            memset(&t, 0, sizeof t);
            if (bcda__token_parse(&t, copy, sizeof body - 1, &err) != 0)
                continue;
            for (n = 0; t.bearer.data[n]; n++)
                ck_assert(t.bearer.data[n] > 0x20 && t.bearer.data[n] < 0x7F);
            bcda__token_free(&t);
        }
}
END_TEST

/* ---- tokens that another program has written ---- */

/* The claims {"exp":1000}, and a signature that is none. */
#define JWT_1000 "eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDB9.c2ln"

START_TEST(written)
{
    static const struct {
        const char *text, *bearer;
        int64_t wall_ms, lifetime_ms;
    } rows[] = {
        {"abc", "abc", 0, -1},
        {" \t\r\nabc\n\n", "abc", 0, -1},
        {"{\"access_token\":\"abc\",\"expires_in\":300}", "abc", 5000, 300000},
        {"\n{\"access_token\":\"abc\"} ", "abc", 0, -1},
        {JWT_1000 "\n", JWT_1000, 0, 1000000},
        {JWT_1000, JWT_1000, 999 * 1000 + 1, 999},
        {JWT_1000, JWT_1000, 1000 * 1000, -1}, /* has expired: the server decides */
        {"{\"access_token\":\"" JWT_1000 "\"}", JWT_1000, 400 * 1000, 600000},
        {"{\"access_token\":\"" JWT_1000 "\",\"expires_in\":60}", JWT_1000, 0, 60000},
    };
    struct bcda__token t = {0};
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_msg(
            bcda__token_read(&t, rows[i].text, strlen(rows[i].text), rows[i].wall_ms, &err) == 0,
            "%s: %s", rows[i].text, err.text);
        ck_assert_str_eq(t.bearer.data, rows[i].bearer);
        ck_assert_msg(t.lifetime_ms == rows[i].lifetime_ms, "%s: %lld", rows[i].text,
                      (long long)t.lifetime_ms);
    }
    bcda__token_free(&t);
}
END_TEST

/* The earlier token is kept, and no text shows what the file contains. */
START_TEST(badly_written)
{
    static const char *const texts[] = {"",
                                        "   \n",
                                        "SECRET SECRET",
                                        "SECRET\nSECRET",
                                        "SECRET\x01",
                                        "SECR\xC3\xA9T",
                                        "{",
                                        "{\"access_token\":\"SECRET\"",
                                        "{\"access_token\":\"SECRET\"}}",
                                        "{\"token\":\"SECRET\"}",
                                        "{\"access_token\":7}",
                                        "{\"access_token\":\"SECRET\",\"token_type\":\"mac\"}"};
    struct bcda__token t = {0};
    size_t i;

    ck_assert_int_eq(bcda__token_read(&t, "earlier", 7, 0, &err), 0);
    for (i = 0; i < COUNT(texts); i++) {
        ck_assert_msg(bcda__token_read(&t, texts[i], strlen(texts[i]), 0, &err) == BCDA_ERR_TOKEN,
                      "%s: %s", texts[i], err.text);
        ck_assert_str_eq(t.bearer.data, "earlier");
        ck_assert_msg(!strstr(err.text, "SECRET"), "%s", err.text);
    }
    ck_assert_int_eq(bcda__token_read(&t, "a\0b", 3, 0, &err), BCDA_ERR_TOKEN);
    bcda__token_free(&t);
}
END_TEST

START_TEST(valid)
{
    int c;

    for (c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};

        ck_assert_int_eq(bcda__token_is_valid(text, 3), c > 0x20 && c < 0x7F);
        ck_assert_int_eq(bcda__token_is_valid(text + 1, 1), c > 0x20 && c < 0x7F);
    }
    ck_assert_int_eq(bcda__token_is_valid("", 0), 0);
}
END_TEST

SUITE("token")
{
    suite_case("all");
    suite_timeout(120);
    suite_test(basic, bodies_of_the_eras, lifetimes, scopes, unusable, hostile, not_json,
               earlier_token, nothing_is_kept, renewal, mutated, written, badly_written, valid);
}
