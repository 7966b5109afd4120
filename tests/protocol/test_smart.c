/* What a server announces about signing in: the SMART configuration and the CapabilityStatement. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "helper.h"
#include "protocol/smart.h"
#include "sample.h"
#include "suite.h"
#include "torture/refuse.h"

#define URL        "https://auth.example.org/token"
#define ENDPOINT   "\"token_endpoint\":\"" URL "\""
#define OAUTH_URIS "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"

typedef int (*parse_fn)(struct bcda__smart *out, const char *body, size_t len,
                        struct bcda_error *err);

static struct bcda_error err;

/* Parses a copy that has its exact size, so that AddressSanitizer finds a byte read beyond it. */
static int parse_exact(parse_fn parse, struct bcda__smart *s, const char *body, size_t len)
{
    char *copy = malloc(len + !len);
    int rc;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, body, len);
    memset(s, 0, sizeof *s);
    rc = parse(s, copy, len, &err);
    free(copy);
    return rc;
}

/* Checks that a body is refused, that the text shows no value of it, which is the word SECRET, and
 * that an earlier result is unchanged. */
static void check_refused(parse_fn parse, const char *body, int code)
{
    struct bcda__smart s = {0};
    int rc = parse_exact(parse, &s, body, strlen(body));

    ck_assert_msg(rc == code && err.code == code, "%s: %d %s", body, rc, err.text);
    ck_assert_ptr_null(s.token_url);
    ck_assert_ptr_null(s.scopes.at);
    ck_assert_msg(!strstr(err.text, "SECRET") && !strstr(err.text, "null"), "%s", err.text);
    ck_assert_msg(err.text[0] && err.text[strlen(err.text) - 1] != '.', "%s", err.text);
    ck_assert(!err.retryable);
    ck_assert_int_eq(
        bcda__smart_parse_configuration(&s, "{" ENDPOINT "}", strlen("{" ENDPOINT "}"), NULL), 0);
    ck_assert_int_eq(parse(&s, body, strlen(body), NULL), code);
    ck_assert_str_eq(s.token_url, URL);
    bcda__smart_free(&s);
}

static void join_texts(char *to, size_t size, const struct bcda__texts *t)
{
    size_t i, n = 0;

    to[0] = '\0';
    for (i = 0; i < t->count; i++)
        n += (size_t)snprintf(to + n, size - n, "%s%s", i ? " " : "", t->at[i]);
}

/* ---- the SMART configuration ---- */

static const struct {
    const char *body, *methods, *algorithms, *scopes;
    int v2;
} configurations[] = {
    {"{" ENDPOINT "}", "", "", "", 0},
    {"\n{ \"issuer\" : null , " ENDPOINT " }\n", "", "", "", 0},
    {"{\"token_endpoint\":\"https:\\/\\/auth.example.org\\u002ftoken\"}", "", "", "", 0},
    {"{\"x\":{\"token_endpoint\":1},\"y\":[{\"token_endpoint\":2}]," ENDPOINT "}", "", "", "", 0},
    {"{" ENDPOINT ",\"token_endpoint_auth_methods_supported\":[\"client_secret_basic\","
     "\"private_key_jwt\"],\"token_endpoint_auth_signing_alg_values_supported\":[\"RS384\","
     "\"ES384\"],\"scopes_supported\":[\"system/*.read\",\"openid\"],\"capabilities\":["
     "\"client-confidential-asymmetric\",\"permission-v1\"]}",
     "client_secret_basic private_key_jwt", "RS384 ES384", "system/*.read openid", 0},
    {"{" ENDPOINT ",\"capabilities\":[\"a\",\"permission-v2\"]}", "", "", "", 1},
    {"{\"capabilities\":[\"permission-v2\"]," ENDPOINT "}", "", "", "", 1},
    {"{" ENDPOINT ",\"capabilities\":[\"permission-v2x\",\"permission-v\",[\"permission-v2\"],"
     "{\"permission-v2\":\"permission-v2\"}]}",
     "", "", "", 0},
    {"{" ENDPOINT ",\"capabilities\":\"permission-v2\"}", "", "", "", 0},
    {"{" ENDPOINT ",\"scopes_supported\":[\"system/*.rs\"]}", "", "", "system/*.rs", 1},
    {"{" ENDPOINT ",\"scopes_supported\":[\"openid\",\"user/Patient.cud\"]}", "", "",
     "openid user/Patient.cud", 1},
    {"{" ENDPOINT ",\"scopes_supported\":[\"system/*.sr\",\"system/*.*\",\"rs\"]}", "", "",
     "system/*.sr system/*.* rs", 0},
    /* wrong members are ignored, and so are wrong texts */
    {"{" ENDPOINT ",\"scopes_supported\":\"system/*.rs\",\"token_endpoint_auth_methods_supported\":"
     "{\"a\":\"b\"},\"token_endpoint_auth_signing_alg_values_supported\":null,\"capabilities\":1}",
     "", "", "", 0},
    {"{" ENDPOINT ",\"scopes_supported\":[1,null,true,{\"a\":\"b\"},[\"c\"],\"\",\"d\\u0000\","
     "\"e\"]}",
     "", "", "e", 0},
};

START_TEST(configuration)
{
    struct bcda__smart s;
    char list[400];
    size_t i;

    for (i = 0; i < COUNT(configurations); i++) {
        const char *body = configurations[i].body;

        ck_assert_msg(parse_exact(bcda__smart_parse_configuration, &s, body, strlen(body)) == 0,
                      "%s: %s", body, err.text);
        ck_assert_str_eq(s.token_url, URL);
        join_texts(list, sizeof list, &s.methods);
        ck_assert_str_eq(list, configurations[i].methods);
        join_texts(list, sizeof list, &s.algorithms);
        ck_assert_str_eq(list, configurations[i].algorithms);
        join_texts(list, sizeof list, &s.scopes);
        ck_assert_str_eq(list, configurations[i].scopes);
        ck_assert_msg(s.has_v2_scopes == configurations[i].v2, "%s", body);
        ck_assert_str_eq(bcda__smart_default_scope(&s),
                         configurations[i].v2 ? "system/*.rs" : "system/*.read");
        bcda__smart_free(&s);
        ck_assert(!s.token_url && !s.methods.at && !s.algorithms.at && !s.scopes.at);
    }
}
END_TEST

START_TEST(configuration_refused)
{
    static const char *const discovery[] = {
        "{}",
        "[]",
        "null",
        "\"SECRET\"",
        "1",
        "[{" ENDPOINT "}]",
        "{\"a\":{" ENDPOINT "}}",
        "{\"Token_endpoint\":\"https://SECRET/\"}",
        "{\"token_endpoint\":null}",
        "{\"token_endpoint\":12}",
        "{\"token_endpoint\":true}",
        "{\"token_endpoint\":[\"" URL "\"]}",
        "{\"token_endpoint\":{\"token_endpoint\":\"" URL "\"}}",
        "{\"token_endpoint\":\"\"}",
        "{\"token_endpoint\":\"SECRET\"}",
        "{\"token_endpoint\":\"/SECRET\"}",
        "{\"token_endpoint\":\"//auth.example.org/SECRET\"}",
        "{\"token_endpoint\":\"ftp://auth.example.org/SECRET\"}",
        "{\"token_endpoint\":\"https://\"}",
        "{\"token_endpoint\":\"https://u:SECRET@auth.example.org/\"}",
        "{\"token_endpoint\":\" " URL "\"}",
        "{\"token_endpoint\":\"" URL "\\r\\nSECRET: 1\"}",
        "{\"token_endpoint\":\"" URL "\\u0000SECRET\"}",
        "{\"token_endpoint\":\"" URL "#SECRET\"}",
        "{" ENDPOINT "," ENDPOINT "}",
        "{" ENDPOINT ",\"token\\u005fendpoint\":\"https://SECRET/\"}",
        "{" ENDPOINT ",\"token_endpoint\":null}",
    };
    static const char *const not_json[] = {
        "",
        "  ",
        "<!DOCTYPE html><html>SECRET</html>",
        "SECRET",
        "{" ENDPOINT,
        "{" ENDPOINT "}}",
        "{" ENDPOINT "}{" ENDPOINT "}",
        "{" ENDPOINT ",}",
        "{\"token_endpoint\":\"https://auth.example.org/\xFF\"}",
    };
    size_t i;

    for (i = 0; i < COUNT(discovery); i++)
        check_refused(bcda__smart_parse_configuration, discovery[i], BCDA_ERR_DISCOVERY);
    for (i = 0; i < COUNT(not_json); i++)
        check_refused(bcda__smart_parse_configuration, not_json[i], BCDA_ERR_NOT_JSON);
}
END_TEST

/* The number of texts and their length at, below and above the limits. */
START_TEST(limits)
{
    static char body[400000];
    static const size_t counts[] = {63, 64, 65, 300};
    struct bcda__smart s;
    size_t i, k;
    char *p;

    for (k = 0; k < COUNT(counts); k++) {
        p = body + sprintf(body, "{" ENDPOINT ",\"scopes_supported\":[\"0\"");
        for (i = 1; i < counts[k]; i++)
            p += sprintf(p, ",\"%zu\"", i);
        p += sprintf(p, "]}");
        ck_assert_int_eq(parse_exact(bcda__smart_parse_configuration, &s, body, (size_t)(p - body)),
                         0);
        ck_assert_uint_eq(s.scopes.count, counts[k] < 64 ? counts[k] : 64);
        ck_assert_str_eq(s.scopes.at[s.scopes.count - 1], counts[k] == 63 ? "62" : "63");
        ck_assert_int_eq(s.has_v2_scopes, 0);
        bcda__smart_free(&s);
        sprintf(p - 2, ",\"system/*.rs\"]}"); /* beyond the limit, but read */
        ck_assert_int_eq(parse_exact(bcda__smart_parse_configuration, &s, body, strlen(body)), 0);
        ck_assert_uint_eq(s.scopes.count, 64);
        ck_assert_int_eq(s.has_v2_scopes, 1);
        bcda__smart_free(&s);
    }
    for (i = 255; i < 258; i++) {
        sprintf(body, "{" ENDPOINT ",\"scopes_supported\":[\"%0*d\",\"b\"]}", (int)i, 1);
        ck_assert_int_eq(parse_exact(bcda__smart_parse_configuration, &s, body, strlen(body)), 0);
        ck_assert_uint_eq(s.scopes.count, i < 257 ? 2 : 1);
        ck_assert_uint_eq(strlen(s.scopes.at[0]), i < 257 ? i : 1);
        bcda__smart_free(&s);
    }
}
END_TEST

START_TEST(too_large)
{
    static const char *const members[] = {"token_endpoint", "other"};
    const size_t len = 1100000;
    char *body = malloc(len + 1);
    struct bcda__smart s;
    size_t i;

    ck_assert_ptr_nonnull(body);
    for (i = 0; i < COUNT(members); i++) {
        int n = sprintf(body, "{\"%s\":\"https://", members[i]);

        memset(body + n, 'x', len - (size_t)n);
        strcpy(body + len - 2, "\"}");
        ck_assert_int_eq(parse_exact(bcda__smart_parse_configuration, &s, body, len),
                         BCDA_ERR_BODY_TOO_LARGE);
        ck_assert_int_eq(err.code, BCDA_ERR_BODY_TOO_LARGE);
        ck_assert_int_eq(parse_exact(bcda__smart_parse_capabilities, &s, body, len),
                         BCDA_ERR_BODY_TOO_LARGE);
    }
    free(body);
}
END_TEST

/* ---- the CapabilityStatement ---- */

#define TYPE        "\"resourceType\":\"CapabilityStatement\""
#define TOKEN       "{\"url\":\"token\",\"valueUri\":\"" URL "\"}"
#define AUTHORIZE   "{\"url\":\"authorize\",\"valueUri\":\"https://auth.example.org/authorize\"}"
#define OAUTH(list) "{\"url\":\"" OAUTH_URIS "\",\"extension\":[" list "]}"
#define REST(list)  "\"rest\":[{\"mode\":\"server\",\"security\":{\"extension\":[" list "]}}]"

START_TEST(capabilities)
{
    static const char *const good[] = {
        "{" TYPE "," REST(OAUTH(TOKEN)) "}",
        "{" REST(OAUTH(TOKEN)) "," TYPE "}",
        "{" TYPE "," REST(OAUTH(AUTHORIZE "," TOKEN)) "}",
        "{" TYPE "," REST(OAUTH(TOKEN "," AUTHORIZE)) "}",
        /* members in another order */
        "{" TYPE ",\"rest\":[{\"security\":{\"extension\":[{\"extension\":[{\"valueUri\":\"" URL
        "\",\"url\":\"token\"}," AUTHORIZE "],\"url\":\"" OAUTH_URIS "\"}]}}]}",
        /* other extensions, and others of the same name elsewhere */
        "{" TYPE "," REST("{\"url\":\"http://example.org/\",\"extension\":[{\"url\":\"token\","
                          "\"valueUri\":\"https://wrong.example.org/\"}]}," OAUTH(TOKEN)) "}",
        "{" TYPE "," REST(OAUTH(TOKEN) ",{\"url\":\"x\",\"valueUri\":\"https://wrong/\"}") "}",
        "{" TYPE ",\"extension\":[{\"url\":\"" OAUTH_URIS "\",\"extension\":[{\"url\":\"token\","
        "\"valueUri\":\"https://wrong/\"}]}]," REST(OAUTH(TOKEN)) "}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"token\",\"extension\":[{\"url\":\"token\","
                                "\"valueUri\":\"https://wrong/\"}]}," TOKEN)) "}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"tokens\",\"valueUri\":\"https://wrong/\"}," TOKEN)) "}",
        "{" TYPE
        "," REST(OAUTH("{\"url\":\"token\",\"valueString\":\"https://wrong/\"}," TOKEN)) "}",
        "{" TYPE "," REST(OAUTH("{\"url\":{\"url\":\"token\"},\"valueUri\":\"https://wrong/\"}"
                                "," TOKEN)) "}",
        /* several elements, and the same URL again */
        "{" TYPE
        ",\"rest\":[{\"mode\":\"client\"},{\"security\":{\"cors\":true,\"extension\":[" OAUTH(
            TOKEN) "]}}]}",
        "{" TYPE "," REST(OAUTH(TOKEN "," TOKEN)) "}",
        "{" TYPE "," REST(OAUTH(TOKEN) "," OAUTH(TOKEN)) "}",
        "{" TYPE "," REST("null,1,\"x\",[" TOKEN "]," OAUTH("null,[" TOKEN "]," TOKEN)) "}",
    };
    struct bcda__smart s;
    size_t i;

    for (i = 0; i < COUNT(good); i++) {
        ck_assert_msg(parse_exact(bcda__smart_parse_capabilities, &s, good[i], strlen(good[i])) ==
                          0,
                      "%s: %s", good[i], err.text);
        ck_assert_str_eq(s.token_url, URL);
        ck_assert(!s.methods.count && !s.algorithms.count && !s.scopes.count && !s.has_v2_scopes);
        bcda__smart_free(&s);
    }
}
END_TEST

START_TEST(capabilities_refused)
{
    static const char *const discovery[] = {
        "{}",
        "[]",
        "{" TYPE "}",
        "{" TYPE "," REST("") "}",
        "{" TYPE "," REST(OAUTH("")) "}",
        "{" TYPE "," REST(OAUTH(AUTHORIZE)) "}",
        "{" TYPE "," REST(TOKEN) "}",
        "{" TYPE "," REST("{\"url\":\"SECRET\",\"extension\":[" TOKEN "]}") "}",
        "{" TYPE "," REST("{\"extension\":[" TOKEN "]}") "}",
        "{" TYPE "," REST("{\"url\":\"" OAUTH_URIS "\"},"
                          "{\"extension\":[" TOKEN "]}") "}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"token\"},{\"valueUri\":\"" URL "\"}")) "}",
        "{" TYPE "," REST(OAUTH("{\"valueUri\":\"" URL "\"},{\"url\":\"token\"}")) "}",
        "{" TYPE ",\"rest\":{\"security\":{\"extension\":[" OAUTH(TOKEN) "]}}}",
        "{" TYPE ",\"rest\":[{\"security\":[{\"extension\":[" OAUTH(TOKEN) "]}]}]}",
        "{" TYPE ",\"rest\":[{\"extension\":[" OAUTH(TOKEN) "]}]}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"token\",\"valueUri\":1}")) "}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"token\",\"valueUri\":\"SECRET\"}")) "}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"token\",\"valueUri\":\"\"}")) "}",
        "{" TYPE "," REST(OAUTH("{\"url\":\"token\",\"valueUri\":\"" URL "\\u0000\"}")) "}",
        /* other documents */
        "{" REST(OAUTH(TOKEN)) "}",
        "{\"resourceType\":\"SECRET\"," REST(OAUTH(TOKEN)) "}",
        "{\"resourceType\":null," REST(OAUTH(TOKEN)) "}",
        "{\"resourceType\":[\"CapabilityStatement\"]," REST(OAUTH(TOKEN)) "}",
        "{" TYPE "," TYPE "," REST(OAUTH(TOKEN)) "}",
        "[{" TYPE "," REST(OAUTH(TOKEN)) "}]",
        /* not clear which one is meant */
        "{" TYPE "," REST(OAUTH(TOKEN ",{\"url\":\"token\",\"valueUri\":\"https://SECRET/\"}")) "}",
        "{" TYPE "," REST(OAUTH(TOKEN) "," OAUTH("{\"url\":\"token\",\"valueUri\":"
                                                 "\"https://SECRET/\"}")) "}",
        "{" TYPE "," REST(
            OAUTH("{\"url\":\"token\",\"valueUri\":\"" URL "\",\"valueUri\":\"" URL "\"}")) "}",
        "{" TYPE
        "," REST(OAUTH("{\"url\":\"authorize\",\"url\":\"token\",\"valueUri\":\"" URL "\"}")) "}",
        "{" TYPE
        "," REST("{\"url\":\"x\",\"url\":\"" OAUTH_URIS "\",\"extension\":[" TOKEN "]}") "}",
    };
    static const char *const not_json[] = {
        "",
        "<html>SECRET",
        "{" TYPE "," REST(OAUTH(TOKEN)),
        "{" TYPE "," REST(OAUTH(TOKEN)) "} SECRET",
        "{" TYPE "," REST(OAUTH(TOKEN)) "}{}",
    };
    size_t i;

    for (i = 0; i < COUNT(discovery); i++)
        check_refused(bcda__smart_parse_capabilities, discovery[i], BCDA_ERR_DISCOVERY);
    for (i = 0; i < COUNT(not_json); i++)
        check_refused(bcda__smart_parse_capabilities, not_json[i], BCDA_ERR_NOT_JSON);
}
END_TEST

/* ---- the text about a mismatch ---- */

static void add_words(struct bcda__texts *list, const char *words)
{
    for (; *words; words += strspn(words, " ")) {
        size_t len = strcspn(words, " ");

        ck_assert_int_eq(bcda__texts_add(list, words, len), 0);
        words += len;
    }
}

START_TEST(mismatch)
{
    static const struct {
        const char *methods, *algorithms, *method, *algorithm, *text;
    } rows[] = {
        {"", "", "private_key_jwt", "ES384", ""},
        {"private_key_jwt", "ES384", "private_key_jwt", "ES384", ""},
        {"private_key_jwt", "RS384 ES384", "private_key_jwt", "ES384", ""},
        {"client_secret_basic private_key_jwt", "", "private_key_jwt", "ES384", ""},
        {"private_key_jwt", "ES384", "private_key_jwt", "RS384",
         "the server announces private_key_jwt with ES384"},
        {"client_secret_basic private_key_jwt", "ES384 ES256", "private_key_jwt", "RS384",
         "the server announces private_key_jwt with ES384, ES256"},
        {"", "ES384", "private_key_jwt", "RS384", "the server announces ES384"},
        {"client_secret_basic", "ES384", "private_key_jwt", "ES384",
         "the server announces client_secret_basic"},
        {"client_secret_basic client_secret_post", "", "private_key_jwt", "ES384",
         "the server announces client_secret_basic, client_secret_post"},
        {"private_key_jwt", "ES384", "client_secret_basic", NULL,
         "the server announces private_key_jwt"},
        {"client_secret_basic", "ES384", "client_secret_basic", NULL, ""},
        {"PRIVATE_KEY_JWT", "", "private_key_jwt", NULL, "the server announces PRIVATE_KEY_JWT"},
        {"a b c d e f g h", "", "x", NULL, "the server announces a, b, c, d, e, f, g, h"},
        {"a b c d e f g h i", "", "x", NULL, "the server announces a, b, c, d, e, f, g, h, ..."},
        {"a\nb\x1B[1m\x7F\x80\xC3\xA9z", "", "x", NULL, "the server announces a b [1m ???z"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789 b", "", "x", NULL,
         "the server announces 01234567890123456789012345678901234567890123..., b"},
    };
    struct bcda__smart s;
    char out[400];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        memset(&s, 0, sizeof s);
        add_words(&s.methods, rows[i].methods);
        add_words(&s.algorithms, rows[i].algorithms);
        bcda__smart_describe_mismatch(&s, rows[i].method, rows[i].algorithm, out, sizeof out);
        ck_assert_msg(strcmp(out, rows[i].text) == 0, "row %zu: %s", i, out);
        bcda__smart_free(&s);
    }
}
END_TEST

/* The longest texts, in a buffer of each size; and a full list, which proves nothing. */
START_TEST(mismatch_sizes)
{
    struct bcda__smart s = {0};
    char name[257], whole[1200];
    size_t size;
    int i;

    memset(name, 'n', 256);
    name[256] = '\0';
    for (i = 0; i < 63; i++) {
        add_words(&s.methods, name);
        add_words(&s.algorithms, name);
    }
    bcda__smart_describe_mismatch(&s, name, "ES384", whole, sizeof whole);
    ck_assert_uint_lt(strlen(whole), 600);
    ck_assert_str_eq(whole + strlen(whole) - 12, "nnnn..., ...");
    for (size = 1; size <= strlen(whole) + 1; size++) {
        char *out = malloc(size);

        ck_assert_ptr_nonnull(out);
        bcda__smart_describe_mismatch(&s, name, "ES384", out, size);
        ck_assert_uint_lt(strlen(out), size);
        if (size > 4)
            ck_assert_str_eq(out + strlen(out) - 3, "...");
        free(out);
    }
    bcda__smart_describe_mismatch(&s, "private_key_jwt", "ES384", whole, sizeof whole);
    ck_assert(whole[0]);
    add_words(&s.methods, name);
    add_words(&s.algorithms, name);
    bcda__smart_describe_mismatch(&s, "private_key_jwt", "ES384", whole, sizeof whole);
    ck_assert_str_eq(whole, "");
    bcda__smart_free(&s);
}
END_TEST

/* ---- damaged documents ---- */

enum { READS_URL = 1, READS_METHODS = 2, READS_ALGORITHMS = 4, READS_SCOPES = 8, READS_V2 = 16 };

/* A part of a document, and which results depend on it. */
struct piece {
    const char *text;
    int reads;
};

static const struct piece configuration_pieces[] = {
    {"{\"issuer\":\"https://auth.example.org/\\u00e9\",\"nested\":{\"a\":[1.5e3,true,null]},", 0},
    {"\"token_endpoint\":\"" URL "\",", READS_URL},
    {"\"token_endpoint_auth_methods_supported\":[\"private_key_jwt\",\"client_secret_basic\"],",
     READS_METHODS},
    {"\"token_endpoint_auth_signing_alg_values_supported\":[\"RS384\",\"ES384\"],",
     READS_ALGORITHMS},
    {"\"scopes_supported\":[\"system/*.read\",\"system/*.rs\"],", READS_SCOPES | READS_V2},
    {"\"capabilities\":[\"permission-v1\"],", READS_V2},
    {"\"introspection_endpoint\":\"https://auth.example.org/introspect\"}\n", 0},
};

static const struct piece capabilities_pieces[] = {
    {"{\"resourceType\":\"CapabilityStatement\",\"status\":\"active\",\"rest\":[{\"mode\":"
     "\"server\",\"security\":{\"extension\":[{\"url\":\"" OAUTH_URIS "\",\"extension\":["
     "{\"url\":\"authorize\",\"valueUri\":\"https://auth.example.org/auth\"},{\"url\":\"token\",",
     0},
    {"\"valueUri\":\"" URL "\"", READS_URL},
    {"}]},{\"url\":\"http://example.org/other\",\"valueCode\":\"x\"}],\"cors\":false}}]}", 0},
};

static void check_texts_equal(const struct bcda__texts *a, const struct bcda__texts *b,
                              const char *body)
{
    size_t i;

    ck_assert_msg(a->count == b->count, "%s", body);
    for (i = 0; i < a->count; i++)
        ck_assert_msg(strcmp(a->at[i], b->at[i]) == 0, "%s", body);
}

/* Parses a damaged document. Results that do not depend on the damaged part must be those of the
 * undamaged document `right`. */
static void check_damaged(parse_fn parse, const char *body, size_t len, int reads,
                          const struct bcda__smart *right)
{
    struct bcda__smart s;
    struct bcda__url url;
    int rc = parse_exact(parse, &s, body, len);

    if (rc) {
        ck_assert_msg(rc == BCDA_ERR_NOT_JSON || rc == BCDA_ERR_DISCOVERY, "%d: %s", rc, body);
        ck_assert_ptr_null(s.token_url);
        return;
    }
    ck_assert_msg(bcda__url_parse(s.token_url, &url) == 0, "%s", body);
    if (!(reads & READS_URL))
        ck_assert_msg(strcmp(s.token_url, right->token_url) == 0, "%s", body);
    if (!(reads & READS_METHODS))
        check_texts_equal(&s.methods, &right->methods, body);
    if (!(reads & READS_ALGORITHMS))
        check_texts_equal(&s.algorithms, &right->algorithms, body);
    if (!(reads & READS_SCOPES))
        check_texts_equal(&s.scopes, &right->scopes, body);
    if (!(reads & READS_V2))
        ck_assert_msg(s.has_v2_scopes == right->has_v2_scopes, "%s", body);
    bcda__smart_free(&s);
}

/* Damages the document at byte `at`: each other value, removed, and cut there. */
static void damage_at(parse_fn parse, const char *body, size_t len, size_t at, int reads,
                      const struct bcda__smart *right)
{
    char copy[2000];
    int c;

    for (c = 0; c < 256; c++) {
        if (!sample_takes(at * 256 + (size_t)c, len * 256, 12000))
            continue;
        memcpy(copy, body, len + 1);
        copy[at] = (char)c;
        check_damaged(parse, copy, len, reads, right);
    }
    memcpy(copy, body, at);
    memcpy(copy + at, body + at + 1, len - at);
    check_damaged(parse, copy, len - 1, reads, right);
    copy[at] = '\0';
    check_damaged(parse, copy, at, reads, right);
}

static void damage(parse_fn parse, const struct piece *pieces, size_t count)
{
    char body[2000] = "";
    struct bcda__smart right;
    size_t i, k, at = 0;

    for (i = 0; i < count; i++)
        strcat(body, pieces[i].text);
    ck_assert_msg(parse_exact(parse, &right, body, strlen(body)) == 0, "%s", err.text);
    ck_assert_str_eq(right.token_url, URL);
    for (i = 0; i < count; i++)
        for (k = 0; pieces[i].text[k]; k++, at++)
            damage_at(parse, body, strlen(body), at, pieces[i].reads, &right);
    bcda__smart_free(&right);
}

START_TEST(damaged_configuration)
{
    damage(bcda__smart_parse_configuration, configuration_pieces, COUNT(configuration_pieces));
}
END_TEST

START_TEST(damaged_capabilities)
{
    damage(bcda__smart_parse_capabilities, capabilities_pieces, COUNT(capabilities_pieces));
}
END_TEST

/* ---- no memory ---- */

static int attempt(parse_fn parse, const char *body, long at, int all)
{
    struct bcda__smart s = {0};
    int rc;

    refuse_from(at, all);
    rc = parse(&s, body, strlen(body), &err);
    refuse_at = 0;
    ck_assert_msg(rc == 0 || rc == BCDA_ERR_NOMEM, "%d, %s", rc, refusal());
    ck_assert_msg(rc ? err.code == rc && !s.token_url && !s.methods.at : !!s.token_url, "%s",
                  refusal());
    bcda__smart_free(&s);
    ck_assert_msg(live == 0, "%ld blocks are left, %s", live, refusal());
    return rc;
}

/* Each allocation is refused, alone and with all that follow. */
static void refuse_each(parse_fn parse, const char *body)
{
    long total, at;
    int all;

    ck_assert_int_eq(attempt(parse, body, 0, 0), 0);
    total = calls;
    ck_assert_int_gt(total, 2);
    for (all = 0; all < 2; all++)
        for (at = 1; at <= total; at++) {
            ck_assert_msg(attempt(parse, body, at, all) == BCDA_ERR_NOMEM, "%s", refusal());
            ck_assert_int_ge(refused, 1);
        }
    ck_assert_int_eq(attempt(parse, body, 0, 0), 0);
}

START_TEST(no_memory)
{
    refuse_each(bcda__smart_parse_configuration, configurations[4].body);
    refuse_each(bcda__smart_parse_capabilities,
                "{" TYPE "," REST(OAUTH(TOKEN "," TOKEN "," AUTHORIZE)) "}");
}
END_TEST

SUITE("smart")
{
    suite_case("documents");
    suite_test(configuration, configuration_refused, limits, too_large, capabilities,
               capabilities_refused);
    suite_case("mismatch");
    suite_test(mismatch, mismatch_sizes);
    suite_case("damaged");
    suite_timeout(600);
    suite_test(damaged_configuration, damaged_capabilities);
    suite_case("memory");
    suite_test(no_memory);
}
