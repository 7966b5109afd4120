/* JSON documents, which are parsed into events, and NDJSON lines. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bcda/error.h"
#include "codec/json.h"
#include "helper.h"
#include "line_pair.h"
#include "sample.h"
#include "suite.h"

/* ---- documents ---- */

struct events {
    struct bcda__buf log;
    int stop_at; /* number of the event to stop at, from 1; 0 = none */
    int count;
};

static struct events seen; /* events of the last document */

static void start_log(void)
{
    bcda__buf_free(&seen.log);
    bcda__buf_init(&seen.log, 10000000);
    seen.count = 0;
}

static int note(void *ctx, enum bcda__json_event event, int depth, const char *text, size_t len)
{
    static const char *names[] = {"?", "{", "}", "[", "]", "k", "s", "n", "true", "false", "null"};
    struct events *e = ctx;
    int has_text =
        event == BCDA__JSON_KEY || event == BCDA__JSON_STRING || event == BCDA__JSON_NUMBER;

    bcda__buf_addf(&e->log, "%s%s%d", e->log.len ? " " : "", names[event], depth);
    if (has_text) {
        bcda__buf_adds(&e->log, ":");
        bcda__buf_add(&e->log, text, len);
    }
    return ++e->count == e->stop_at ? BCDA_ERR_STOPPED : 0;
}

/* Parses the document in pieces of `step` bytes (0 = random sizes). Each piece is copied to a block
 * of its exact size, so that a sanitizer detects a read beyond it. */
static int parse_pieces(const char *text, size_t len, int depth, size_t step)
{
    struct bcda__json *j;
    size_t at, n;
    int rc = 0;

    start_log();
    ck_assert_int_eq(bcda__json_new(&j, depth, note, &seen), 0);
    for (at = 0; at < len && !rc; at += n) {
        char *piece;

        n = step ? step : 1 + roll(9);
        n = n < len - at ? n : len - at;
        piece = malloc(n);
        memcpy(piece, text + at, n);
        rc = bcda__json_write(j, piece, n);
        free(piece);
        if (rc) /* later calls return the same error */
            ck_assert_int_eq(bcda__json_write(j, "1", 1), rc);
    }
    if (!rc)
        rc = bcda__json_finish(j);
    ck_assert_int_eq(bcda__json_finish(j), rc);
    bcda__json_free(j);
    if (!seen.log.data)
        bcda__buf_adds(&seen.log, "");
    return rc;
}

/* Parses the document in pieces of many sizes. Each run must return `want_rc` and report the events
 * `want` (NULL = not compared). */
static void check_document(const char *text, size_t len, int depth, int want_rc, const char *want)
{
    size_t step;
    int round, rc;

    for (step = 0; step <= len + 1; step = step < 4 ? step + 1 : step * 2)
        for (round = 0; round < (step ? 1 : 10); round++) {
            rc = parse_pieces(text, len, depth, step);
            ck_assert_msg(rc == want_rc, "%s: %d by %zu: %s", text, rc, step, seen.log.data);
            if (want)
                ck_assert_str_eq(seen.log.data, want);
        }
    start_log();
    rc = bcda__json_parse(text, len, depth, note, &seen);
    ck_assert_msg(rc == want_rc, "%s: %d at once", text, rc);
    if (want && want[0])
        ck_assert_str_eq(seen.log.data, want);
}

struct document {
    const char *text;
    const char *want;
};

static const struct document documents[] = {
    {"{}", "{0 }0"},
    {"[]", "[0 ]0"},
    {" \t\r\n[ ] ", "[0 ]0"},
    {"{\"a\":1,\"b\":[true,false,null,\"s\",{\"c\":{}}]}",
     "{0 k1:a n1:1 k1:b [1 true2 false2 null2 s2:s {2 k3:c {3 }3 }2 ]1 }0"},
    {"[[],[[]]]", "[0 [1 ]1 [1 [2 ]2 ]1 ]0"},
    {"{\"\":\"\"}", "{0 k1: s1: }0"},
    {"{\"a\":1,\"a\":2}", "{0 k1:a n1:1 k1:a n1:2 }0"},
    /* numbers keep their text */
    {"[0,-0,12.50,1e5,1E+05,-1.5e-300,100000000000000000000000000001,0.10]",
     "[0 n1:0 n1:-0 n1:12.50 n1:1e5 n1:1E+05 n1:-1.5e-300 n1:100000000000000000000000000001 "
     "n1:0.10 ]0"},
    /* escapes */
    {"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "[0 s1:\"\\/\b\f\n\r\t ]0"},
    {"[\"\\u0041\\u00e9\\u2019\\uD83D\\uDE00\"]", "[0 s1:Aé’\xF0\x9F\x98\x80 ]0"},
    {"{\"\\u0061b\":\"x\\u0026y\"}", "{0 k1:ab s1:x&y }0"},
    {"[\"é’\xF0\x9F\x98\x80\x7F\"]", "[0 s1:é’\xF0\x9F\x98\x80\x7F ]0"},
    /* scalars at the top */
    {"12", "n0:12"},
    {"-1.5e3 ", "n0:-1.5e3"},
    {"\"abc\"", "s0:abc"},
    {"\"\"", "s0:"},
    {"true", "true0"},
    {"false", "false0"},
    {"null", "null0"},
    /* only white space may follow the top value */
    {"{}\r\n \t\n", "{0 }0"},
};

static const char *const not_documents[] = {
    "{\"a\":1}{\"b\":2}", "{\"a\":1}\n{\"b\":", "[1]]", "{}<html>", "{} \xFF\xFE", "{} t", "{}\v",
    "{} 1", "\"a\"\"b\"", "1 2", "null,",
    /* not JSON */
    "", " ", "\r\n\t ", "{", "[", "}", "]", "[1", "[1}", "{]", "[1,]", "[,1]", "[1 2]", "{\"a\"}",
    "{\"a\":}", "{\"a\":1,}", "{,}", "{a:1}", "{1:1}", "{'a':1}", "{\"a\" 1}", "[01]", "[-]",
    "[+1]", "[1.]", "[.5]", "[1e]", "[0x10]", "[NaN]", "[Infinity]", "tru", "nul", "True", "\"abc",
    "[\"a\nb\"]", "[\"a\tb\"]", "[\"\x01\"]", "[\"\\x41\"]", "[\"\\u12\"]", "[\"\\u12g4\"]",
    "[\"\\uDC00\"]", "[\"\\uD800\"]", "[\"\\uD83D\\u0041\"]", "{\"\\uDBFF\":1}", "[1,\v2]", "\f{}",
    "/* c */ {}", "// c", "<html>", "\xEF\xBB\xBF{}",
    /* bytes that are not UTF-8: overlong, surrogates, too high, cut */
    "[\"\xC0\xAF\"]", "[\"\xE0\x80\xAF\"]", "[\"\xED\xA0\x80\"]", "[\"\xF4\x90\x80\x80\"]",
    "[\"\xE2\x82\"]", "[\"\xFF\"]", "[\"\x80\"]", "{\"\xC0\x80\":1}", "{\"a\\n\xC0\x80\":1}"};

START_TEST(test_documents)
{
    size_t i = (size_t)_i, good = COUNT(documents);

    if (i < good)
        check_document(documents[i].text, strlen(documents[i].text), 64, 0, documents[i].want);
    else
        check_document(not_documents[i - good], strlen(not_documents[i - good]), 64,
                       BCDA_ERR_NOT_JSON, NULL);
}
END_TEST

/* bcda__json_parse_first(), which reads the body of an error answer: it parses the first document
 * and ignores all bytes after it. */
START_TEST(test_document_first)
{
    static const char *const behind[] = {
        "",   " \n", "{\"b\":2}", "\n{\"b\":", "]", "<html>", "\xFF\xFE", "404 page not found\n",
        "\v", "\f",  "\"\\uD800"};
    static const char *const wrong[] = {"{\"a\":", "[\f] \v", "[\v] \f", "[\"\\uD800\"]\f"};
    char text[64];
    size_t i;

    for (i = 0; i < COUNT(behind); i++) {
        snprintf(text, sizeof text, "{\"a\":1}%s", behind[i]);
        start_log();
        ck_assert_int_eq(bcda__json_parse_first(text, strlen(text), 64, note, &seen), 0);
        ck_assert_str_eq(seen.log.data, "{0 k1:a n1:1 }0");
        start_log();
        ck_assert_int_eq(bcda__json_parse(text, strlen(text), 64, note, &seen),
                         i < 2 ? 0 : BCDA_ERR_NOT_JSON);
    }
    for (i = 0; i < COUNT(wrong); i++) {
        start_log();
        ck_assert_int_eq(bcda__json_parse_first(wrong[i], strlen(wrong[i]), 64, note, &seen),
                         BCDA_ERR_NOT_JSON);
    }
}
END_TEST

START_TEST(test_document_nul)
{
    static const char nul_behind[] = "{}\0x", nul_in_text[] = "[\"a\0b\"]", nul_before[] = "\0{}";
    check_document(nul_behind, 4, 64, BCDA_ERR_NOT_JSON, NULL);
    check_document(nul_in_text, 7, 64, BCDA_ERR_NOT_JSON, NULL);
    check_document(nul_before, 3, 64, BCDA_ERR_NOT_JSON, NULL);
    ck_assert_int_eq(parse_pieces("[\"a\\u0000b\"]", 12, 64, 1), 0);
    ck_assert_uint_eq(seen.log.len, 12);
    ck_assert_int_eq(memcmp(seen.log.data, "[0 s1:a\0b ]0", 12), 0);
}
END_TEST

/* A body that is cut at any byte is refused. A complete body is accepted, even if other bytes
 * follow it. */
START_TEST(test_document_cut)
{
    static const char *bodies[] = {
        "{\"transactionTime\":\"2021-03-04T05:06:07.089Z\",\"requiresAccessToken\":true,\"output\":"
        "[{\"type\":\"Patient\",\"url\":\"https://h/data/1/"
        "a.ndjson\",\"n\":1.5e-3}],\"error\":[],\"x\":null,\"y\":\"\\u00e9é’\"}",
        "[[[1,2,{\"a\":false}],\"\xF0\x9F\x98\x80\"]]",
        "\"top\\nlevel\"",
    };
    size_t i, len, step;

    for (i = 0; i < COUNT(bodies); i++)
        for (len = 0; len <= strlen(bodies[i]); len++)
            for (step = 0; step < 3; step++) {
                int rc = parse_pieces(bodies[i], len, 64, step == 2 ? 1000 : step);

                ck_assert_msg(rc == (len < strlen(bodies[i]) ? BCDA_ERR_NOT_JSON : 0), "%zu %zu", i,
                              len);
            }
}
END_TEST

START_TEST(test_document_depth)
{
    char text[400];
    int limit = _i, depth, i, kind;

    for (kind = 0; kind < 3; kind++)
        for (depth = limit ? limit - 1 : 0; depth <= limit + 2; depth++) {
            size_t at = 0;

            for (i = 0; i < depth; i++)
                at += (size_t)sprintf(text + at, "%s",
                                      kind == 0 || (kind == 2 && i % 2) ? "[" : "{\"a\":");
            at += (size_t)sprintf(text + at, "1");
            for (i = depth - 1; i >= 0; i--)
                text[at++] = kind == 0 || (kind == 2 && i % 2) ? ']' : '}';
            check_document(text, at, limit, depth <= limit ? 0 : BCDA_ERR_NOT_JSON, NULL);
        }
}
END_TEST

START_TEST(test_document_stop)
{
    static const char text[] = "{\"a\":1,\"b\":[true,false,null,\"s\",{\"c\":2}]} ";
    int total, stop;
    size_t step;

    ck_assert_int_eq(parse_pieces(text, strlen(text), 64, 1000), 0);
    total = seen.count;
    ck_assert_int_eq(total, 15);
    for (stop = 1; stop <= total; stop++)
        for (step = 0; step < 4; step++) {
            seen.stop_at = stop;
            ck_assert_int_eq(parse_pieces(text, strlen(text), 64, step == 3 ? 1000 : step),
                             BCDA_ERR_STOPPED);
            ck_assert_int_eq(seen.count, stop); /* no event follows */
        }
}
END_TEST

/* A string over the limit is refused, whether the parser gets the string in one piece or in
 * several, and whether or not it has escapes. */
START_TEST(test_document_budget)
{
    size_t len = 9 * 1024 * 1024;
    char *text = malloc(len);

    memset(text, 'x', len);
    memcpy(text, "[\"", 2);
    ck_assert_int_eq(parse_pieces(text, len, 64, 64 * 1024), BCDA_ERR_BODY_TOO_LARGE);
    text[2] = '\\'; /* an escape makes yajl copy the string */
    text[3] = 'n';
    memcpy(text + len - 2, "\"]", 2);
    ck_assert_int_eq(parse_pieces(text, len, 64, len), BCDA_ERR_BODY_TOO_LARGE);
    len = 1000 * 1024;
    memcpy(text + len - 2, "\"]", 2);
    ck_assert_int_eq(parse_pieces(text, len, 64, 16 * 1024), 0);
    ck_assert_uint_eq(seen.log.len, 3 + 3 + (len - 4) - 1 + 3);
    /* When a buffer of yajl grows, the old buffer no longer counts towards the memory limit. */
    len = 1500 * 1024;
    memset(text + 2, 'x', len);
    memcpy(text + 1020 * 1024, "\",\"\\n", 5);
    memcpy(text + len - 2, "\"]", 2);
    ck_assert_int_eq(parse_pieces(text, len, 64, 16 * 1024), 0);
    len = 0;
    text[len++] = '[';
    while (len < 8 * 1024 * 1024) {
        len += (size_t)sprintf(text + len, "%s\"\\n", len > 1 ? "," : "");
        memset(text + len, 'y', 100000);
        len += 100000;
        text[len++] = '"';
    }
    text[len++] = ']';
    ck_assert_int_eq(parse_pieces(text, len, 64, 10000), 0);
    free(text);
}
END_TEST

/* Makes a text of `before`, a string or number of `size` bytes that repeat `unit`, and `after`. */
static char *long_token(const char *before, const char *unit, size_t size, const char *after,
                        size_t *len)
{
    char *text = malloc(size + 100);
    size_t at = strlen(before), end = at + size;

    memcpy(text, before, at);
    for (; at < end; at++)
        text[at] = unit[(end - at) % strlen(unit)];
    memcpy(text + at, after, strlen(after));
    *len = at + strlen(after);
    return text;
}

/* The limits of single tokens are the same for pieces of any size, with or without escapes. */
START_TEST(test_document_limits)
{
    static const struct {
        const char *before, *unit, *after;
        size_t max;
        int code;
    } rows[] = {
        {"[\"", "x", "\"]", BCDA__JSON_STRING_MAX, BCDA_ERR_BODY_TOO_LARGE},
        {"\"", "x", "\"", BCDA__JSON_STRING_MAX, BCDA_ERR_BODY_TOO_LARGE},
        {"[1,\"", "\\n", "\"]", BCDA__JSON_STRING_MAX, BCDA_ERR_BODY_TOO_LARGE},
        {"[\"\\n", "x", "\"]", BCDA__JSON_STRING_MAX - 2, BCDA_ERR_BODY_TOO_LARGE},
        {"{ \"", "k", "\" :1}", BCDA__JSON_STRING_MAX, BCDA_ERR_BODY_TOO_LARGE},
        {"{\"a\":\"\",\"", "\\\"", "\":\"\"}", BCDA__JSON_STRING_MAX, BCDA_ERR_BODY_TOO_LARGE},
        {"[", "7", "]", BCDA__JSON_NUMBER_MAX, BCDA_ERR_NOT_JSON},
        {"[ 1.", "7", " ]", BCDA__JSON_NUMBER_MAX - 2, BCDA_ERR_NOT_JSON},
        {"-", "7", "", BCDA__JSON_NUMBER_MAX - 1, BCDA_ERR_NOT_JSON},
    };
    static const size_t steps[] = {1000, 4096, 100000, SIZE_MAX / 2};
    size_t size, len, i;

    for (size = rows[_i].max - 2; size <= rows[_i].max + 2; size += strlen(rows[_i].unit)) {
        char *text = long_token(rows[_i].before, rows[_i].unit, size, rows[_i].after, &len);

        for (i = 0; i < COUNT(steps); i++) {
            ck_assert_int_eq(parse_pieces(text, len, 64, steps[i]),
                             size <= rows[_i].max ? 0 : rows[_i].code);
        }
        free(text);
    }
}
END_TEST

/* No limit applies to bytes after the first document. */
START_TEST(test_document_first_limits)
{
    static const char *const units[] = {"x", "\"", "\\", "7"};
    size_t i, len;

    for (i = 0; i < COUNT(units); i++) {
        char *text = long_token("{\"a\":1}\"", units[i], BCDA__JSON_STRING_MAX + 20000, "", &len);

        start_log();
        ck_assert_int_eq(bcda__json_parse_first(text, len, 64, note, &seen), 0);
        text[8] = '7'; /* now a digit in place of the quote follows the document */
        start_log();
        ck_assert_int_eq(bcda__json_parse_first(text, len, 64, note, &seen), 0);
        free(text);
    }
}
END_TEST

START_TEST(test_add_string)
{
    static const char *rows[][2] = {
        {"", "\"\""},
        {"abc", "\"abc\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\x01\n\t\x1F", "\"\\u0001\\u000a\\u0009\\u001f\""},
        {"é’\x7F", "\"é’\x7F\""},
    };
    struct bcda__buf b;
    size_t i;
    char all[256], *want;
    int c;

    bcda__buf_init(&b, 10000);
    for (i = 0; i < COUNT(rows); i++) {
        bcda__buf_clear(&b);
        ck_assert_int_eq(bcda__json_add_string(&b, rows[i][0]), 0);
        ck_assert_str_eq(b.data, rows[i][1]);
    }
    for (c = 1; c < 128; c++) /* all of ASCII is written as a JSON string, then parsed again */
        all[c - 1] = (char)c;
    all[127] = '\0';
    bcda__buf_clear(&b);
    ck_assert_int_eq(bcda__json_add_string(&b, all), 0);
    ck_assert_int_eq(parse_pieces(b.data, b.len, 1, 1), 0);
    want = malloc(300);
    snprintf(want, 300, "s0:%s", all);
    ck_assert_str_eq(seen.log.data, want);
    free(want);
    bcda__buf_free(&b);
    bcda__buf_init(&b, 4);
    ck_assert_int_eq(bcda__json_add_string(&b, "abc"), BCDA_ERR_BODY_TOO_LARGE);
    bcda__buf_free(&b);
}
END_TEST

/* ---- lines ---- */

static struct line_pair lines;
static struct bcda__field_set *fields; /* fields that are read of each line; NULL = none */
static struct bcda__line_info info;

static void open_lines(int depth, struct bcda__field_set *set)
{
    fields = set;
    line_pair_open(&lines, depth, fields);
}

static void close_lines(void)
{
    line_pair_close(&lines);
    bcda__field_set_free(fields);
    fields = NULL;
}

/* Runs after each test. */
static void clean_up(void)
{
    close_lines();
    bcda__buf_free(&seen.log);
}

static int scan(const char *line, size_t len)
{
    line_pair_read(&lines, line, len, &info);
    ck_assert_uint_le(info.side_len, len * BCDA__FIELDS_MAX); /* no texts of earlier lines remain */
    return info.code;
}

static void check_span(const struct bcda__span *span, const char *want, const char *what,
                       const char *line)
{
    const char *text = span->copy ? info.side + span->at : lines.copy + span->at;

    ck_assert_msg(span->len == strlen(want) && memcmp(text, want, span->len) == 0,
                  "%s is '%.*s', not '%s': %s", what, (int)span->len, span->len ? text : "", want,
                  line);
}

struct line_row {
    const char *line;
    const char *type, *id, *updated, *full_url; /* NULL stands for "" */
    const char *resource;                       /* NULL = the whole line */
};

#define P "\"resourceType\":\"Patient\""

static const struct line_row good[] = {
    {"{" P "}", "Patient", NULL, NULL, NULL, NULL},
    {"{" P ",\"id\":\"1\"}", "Patient", "1", NULL, NULL, NULL},
    {"{\"id\":\"1\",\"meta\":{\"lastUpdated\":\"2020-01-02\"}," P "}", "Patient", "1", "2020-01-02",
     NULL, NULL},
    {"{\"meta\":{\"x\":[{\"lastUpdated\":\"no\"}],\"lastUpdated\":\"T\",\"y\":{\"lastUpdated\":"
     "\"no\"}}," P ",\"id\":\"a\"}",
     "Patient", "a", "T", NULL, NULL},
    /* white space, CR */
    {" \t{ " P " , \"id\" : \"1\" } \t\r", "Patient", "1", NULL, NULL, NULL},
    {"{" P "}\r", "Patient", NULL, NULL, NULL, NULL},
    /* escapes in keys and values */
    {"{\"resource\\u0054ype\":\"P\\u0061t\",\"i\\u0064\":\"x\\/"
     "\\u00e9\",\"meta\":{\"last\\u0055pdated\":\"\\u0032\"}}",
     "Pat", "x/é", "2", NULL, NULL},
    {"{\"resourceType\":\"É\",\"id\":\"\xF0\x9F\x98\x80\"}", "É", "\xF0\x9F\x98\x80", NULL, NULL,
     NULL},
    /* values of a wrong kind are ignored */
    {"{" P ",\"id\":5}", "Patient", NULL, NULL, NULL, NULL},
    {"{" P ",\"id\":null,\"x\":\"no\"}", "Patient", NULL, NULL, NULL, NULL},
    {"{" P ",\"id\":true,\"meta\":\"no\"}", "Patient", NULL, NULL, NULL, NULL},
    {"{" P ",\"id\":[\"no\"],\"meta\":[{\"lastUpdated\":\"no\"}]}", "Patient", NULL, NULL, NULL,
     NULL},
    {"{" P ",\"id\":{\"id\":\"no\"},\"meta\":{\"lastUpdated\":5}}", "Patient", NULL, NULL, NULL,
     NULL},
    {"{" P ",\"meta\":{\"lastUpdated\":1},\"x\":\"no\",\"id\":2,\"y\":[\"no\"]}", "Patient", NULL,
     NULL, NULL, NULL},
    {"{" P ",\"meta\":{\"lastUpdated\":null},\"x\":[\"no\",{\"id\":\"no\"}]}", "Patient", NULL,
     NULL, NULL, NULL},
    {"{" P ",\"id\":\"\"}", "Patient", "", NULL, NULL, NULL},
    /* a member `id`, `meta` or `resourceType` of a nested object is ignored */
    {"{\"contained\":[{\"resourceType\":\"Organization\",\"id\":\"no\",\"meta\":{\"lastUpdated\":"
     "\"no\"}}],\"id\":\"yes\"," P
     ",\"entry\":[{\"id\":\"no2\"},[{\"id\":\"no3\"}]],\"x\":{\"resourceType\":\"no\",\"id\":"
     "\"no\",\"meta\":{\"lastUpdated\":\"no\"}}}",
     "Patient", "yes", NULL, NULL, NULL},
    {"{" P ",\"x\":{\"fullUrl\":\"no\",\"resource\":{\"resourceType\":\"No\",\"id\":\"no\"}}}",
     "Patient", NULL, NULL, NULL, NULL},
    /* the last of equal keys counts */
    {"{\"resourceType\":\"A\",\"id\":\"1\",\"id\":\"2\",\"resourceType\":\"B\",\"meta\":{"
     "\"lastUpdated\":\"a\",\"lastUpdated\":\"b\"}}",
     "B", "2", "b", NULL, NULL},
    /* a bare resource with a member `resource`: this is not an envelope */
    {"{" P
     ",\"resource\":{\"resourceType\":\"No\",\"id\":\"no\",\"meta\":{\"lastUpdated\":\"no\"}}}",
     "Patient", NULL, NULL, NULL, NULL},
    {"{\"resource\":{\"resourceType\":\"No\",\"id\":\"no\"},\"fullUrl\":\"no\",\"id\":\"1\"," P "}",
     "Patient", "1", NULL, NULL, NULL},
    {"{" P ",\"resource\":\"text\",\"fullUrl\":\"no\"}", "Patient", NULL, NULL, NULL, NULL},
    /* envelopes */
    {"{\"fullUrl\":\"https:///v1/fhir/Patient/-1\",\"resource\":{\"id\":\"-1\"," P "}}", "Patient",
     "-1", NULL, "https:///v1/fhir/Patient/-1", "{\"id\":\"-1\"," P "}"},
    {"{ \"fullUrl\" : \"x\" , \"resource\" : { " P " , \"a\" : { } } }", "Patient", NULL, NULL, "x",
     "{ " P " , \"a\" : { } }"},
    {"{\"resource\":\t{" P "}\t,\"fullUrl\":\"x\"}\r", "Patient", NULL, NULL, "x", "{" P "}"},
    {"{\"resource\":{" P "}}", "Patient", NULL, NULL, NULL, "{" P "}"},
    {"{\"id\":\"no\",\"meta\":{\"lastUpdated\":\"no\"},\"search\":{\"mode\":\"match\"},"
     "\"resource\":{" P
     ",\"meta\":{\"lastUpdated\":\"yes\"}},\"response\":{\"id\":\"no\"},\"fullUrl\":\"\\u0078\"}",
     "Patient", NULL, "yes", "x", "{" P ",\"meta\":{\"lastUpdated\":\"yes\"}}"},
    {"{\"resource\":{\"contained\":[{\"resourceType\":\"No\",\"id\":\"no\"}],\"resource\":{\"id\":"
     "\"no\",\"resourceType\":\"No\"},\"fullUrl\":\"no\"," P ",\"id\":\"1\"}}",
     "Patient", "1", NULL, NULL,
     "{\"contained\":[{\"resourceType\":\"No\",\"id\":\"no\"}],\"resource\":{\"id\":\"no\","
     "\"resourceType\":\"No\"},\"fullUrl\":\"no\"," P ",\"id\":\"1\"}"},
    {"{\"resource\":{\"resource\\u0054ype\":\"\\u0041\"}}", "A", NULL, NULL, NULL,
     "{\"resource\\u0054ype\":\"\\u0041\"}"},
    {"{\"r\\u0065source\":{" P "}}", "Patient", NULL, NULL, NULL, "{" P "}"},
    {"{\"fullUrl\":5,\"resource\":{" P ",\"x\":\"}{\"}}", "Patient", NULL, NULL, NULL,
     "{" P ",\"x\":\"}{\"}"},
    {"{\"resourceType\":null,\"resource\":{" P "}}", "Patient", NULL, NULL, NULL, "{" P "}"},
    {"{\"resourceType\":\"\",\"resource\":{" P "}}", "Patient", NULL, NULL, NULL, "{" P "}"},
    /* two members `resource`: the second replaces the first completely */
    {"{\"resource\":{\"resourceType\":\"A\",\"id\":\"1\",\"meta\":{\"lastUpdated\":\"x\"}},"
     "\"resource\":{\"resourceType\":\"B\"}}",
     "B", NULL, NULL, NULL, "{\"resourceType\":\"B\"}"},
    /* surrogate pairs, and texts that only look like halves of a pair */
    {"{" P ",\"id\":\"\\uD83D\\uDE00\\uDBFF\\uDFFF\",\"x\":\"\\\\uD800\\\\\",\"y\":\"\\ue000\"}",
     "Patient", "\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF", NULL, NULL, NULL},
};

static void check_good(const struct line_row *r)
{
    size_t len = strlen(r->line);

    ck_assert_msg(scan(r->line, len) == 0, "%d at %zu: %s", info.code, info.bad_at, r->line);
    check_span(&info.type, r->type, "type", r->line);
    check_span(&info.id, r->id ? r->id : "", "id", r->line);
    check_span(&info.last_updated, r->updated ? r->updated : "", "lastUpdated", r->line);
    check_span(&info.full_url, r->full_url ? r->full_url : "", "fullUrl", r->line);
    check_span(&info.resource, r->resource ? r->resource : r->line, "resource", r->line);
    ck_assert_int_eq(info.resource.copy, 0);
}

static struct bcda__field_set *new_fields(const char *const *paths, size_t count)
{
    struct bcda__field_set *set;
    size_t i;
    int index;

    ck_assert_int_eq(bcda__field_set_new(&set), 0);
    for (i = 0; i < count; i++) {
        ck_assert_int_eq(bcda__field_set_add(set, paths[i], &index), 0);
        ck_assert_int_eq(index, (int)i);
    }
    return set;
}

/* Each line is read without fields and with some. With fields, json.c makes yajl report
 * more events. */
START_TEST(test_lines)
{
    static const char *const paths[] = {"id", "meta.lastUpdated", "x", "resource.id",
                                        "contained.id"};
    size_t i, k;

    open_lines(64, _i ? new_fields(paths, COUNT(paths)) : NULL);
    for (i = 0; i < COUNT(good); i++)
        check_good(&good[i]);
    for (i = 0; i < 3000; i++) { /* nothing of one line appears in the result of the next */
        k = roll(COUNT(good) + 2);
        if (k < COUNT(good))
            check_good(&good[k]);
        else
            ck_assert_int_ne(scan("{\"resource\":{\"id\":\"\\u0041", k == COUNT(good) ? 12 : 25),
                             0);
    }
}
END_TEST

#define INVALID(line, code, at) \
    {                           \
        line, code, at          \
    }
#define NOT_JSON(line, at) INVALID(line, BCDA_ERR_LINE_JSON, at)
#define NOT_UTF8(line, at) INVALID(line, BCDA_ERR_LINE_UTF8, at)
#define NO_TYPE(line)      INVALID(line, BCDA_ERR_LINE_TYPE, 0)

/* `at` is the expected offset of the error. -1: the length of the line, as its end is missing. -2:
 * the offset is not checked. */
static const struct {
    const char *line;
    int code;
    long at;
} bad[] = {
    NOT_JSON("", -1), NOT_JSON(" ", -1), NOT_JSON("{", -1), NOT_JSON("{" P, -1),
    NOT_JSON("{\"resourceType\":\"Pat", -1), NOT_JSON("{\"resourceType\":\"Pat\\", -1),
    NOT_JSON("{\"resourceType\":\"Pat\\u00", -1), NOT_JSON("{" P ",\"x\":tru", -1),
    NOT_JSON("{" P ",\"x\":1", -1), NOT_JSON("{" P ",\"x\":-", -1), NOT_JSON("{" P "}}", -2),
    NOT_JSON("{" P "}]", -2), NOT_JSON("{" P "]", -2), NOT_JSON("{" P "},", -2),
    /* two values */
    NOT_JSON("{" P "}{" P "}", -2), NOT_JSON("{" P "} {" P "}", -2), NOT_JSON("{" P "} x", -2),
    /* tokens without an end */
    NOT_JSON("{" P "}\"", 26), NOT_JSON("{" P "} \"{}", 27), NOT_JSON("{" P "}tru", 26),
    NOT_JSON("{" P "}\r-", -2), NOT_JSON("{" P "}\r\"", 27), NOT_JSON("[]\"", 2),
    NOT_JSON("{" P ",}", -2), NOT_JSON("{" P ",\"x\":01}", -2), NOT_JSON("{" P ",\"x\":NaN}", -2),
    NOT_JSON("{" P ",\"x\":\"a\tb\"}", -2), NOT_JSON("{" P ",\"x\":\"a\x01\"}", -2),
    NOT_JSON("{" P ",\"x\":\"\\q\"}", -2), NOT_JSON("{" P ",\"x\":\"\\u00g0\"}", -2),
    /* white space for yajl, but not in JSON */
    NOT_JSON("{" P "\v}", 25), NOT_JSON("{" P "\f}", 25), NOT_JSON("{" P "}\f", 26),
    NOT_JSON("\x1E{" P "}", -2), NOT_JSON("\xEF\xBB\xBF{" P "}", -2), NOT_JSON("<html>", -2),
    NOT_JSON("data: {" P "}", -2),
    /* invalid UTF-8 anywhere in the line */
    NOT_UTF8("{" P ",\"x\":\"\xC0\xAF\"}", 31), NOT_UTF8("{" P ",\"x\":\"\xED\xA0\x80\"}", 31),
    NOT_UTF8("{" P ",\"x\":\"\xF4\x90\x80\x80\"}", 31), NOT_UTF8("{" P ",\"\xFF\":1}", 27),
    NOT_UTF8("{" P "}\x80", 26), NOT_UTF8("not JSON \xFF", 9),
    NOT_UTF8("{" P ",\"x\":\"\xE2\x82", 31),
    /* halves of surrogate pairs, written as escapes, are invalid UTF-8, too */
    NOT_UTF8("{" P ",\"x\":\"\\uD800\"}", 31), NOT_UTF8("{" P ",\"x\":\"\\udc00\"}", 31),
    NOT_UTF8("{" P ",\"x\":\"\\uD83Dx\\uDE00\"}", 31),
    NOT_UTF8("{" P ",\"x\":\"\\uD83D\\u0041\"}", 31),
    NOT_UTF8("{" P ",\"x\":\"\\uDE00\\uD83D\"}", 31),
    NOT_UTF8("{" P ",\"x\":\"\\n\\uD83D\\uDE00\\uDE00\"}", 45),
    NOT_UTF8("{" P ",\"x\":\"\\uD83D\\\\uDE00\"}", 31), NOT_UTF8("{\"\\uDBFF\":1," P "}", 2),
    /* JSON, but no resource */
    NO_TYPE("{}"), NO_TYPE("[]"), NO_TYPE("[{" P "}]"), NO_TYPE("[{\"resource\":{" P "}}]"),
    NO_TYPE("12"), NO_TYPE("-1.5 "), NO_TYPE("\"Patient\""), NO_TYPE("true"), NO_TYPE("null\r"),
    NO_TYPE("{\"id\":\"1\"}"), NO_TYPE("{\"resourceType\":5}"), NO_TYPE("{\"resourceType\":\"\"}"),
    NO_TYPE("{\"resourceType\":null,\"x\":\"no\"}"), NO_TYPE("{\"resourceType\":[\"Patient\"]}"),
    NO_TYPE("{\"resourceType\":{\"resourceType\":\"Patient\"}}"),
    NO_TYPE("{\"ResourceType\":\"Patient\"}"), NO_TYPE("{\"resourceType\\u0000\":\"Patient\"}"),
    NO_TYPE("{\"resource\":{}}"), NO_TYPE("{\"resource\":{\"id\":\"1\"},\"x\":{" P "}}"),
    NO_TYPE("{\"resource\":[{" P "}]}"), NO_TYPE("{\"resource\":\"Patient\"}"),
    NO_TYPE("{\"x\":{\"resource\":{" P "}}}"), NO_TYPE("{\"resource\":{" P "},\"resource\":null}"),
    NO_TYPE("{\"resource\":{" P "},\"resource\":{}}"),
    NO_TYPE("{\"resource\":{" P "},\"resource\":[]}")};

START_TEST(test_invalid_lines)
{
    static const char *const paths[] = {"x", "resource.id"};
    size_t i;

    open_lines(64, _i ? new_fields(paths, COUNT(paths)) : NULL);
    for (i = 0; i < COUNT(bad); i++) {
        size_t len = strlen(bad[i].line);

        ck_assert_msg(scan(bad[i].line, len) == bad[i].code, "%d: %s", info.code, bad[i].line);
        if (bad[i].at >= 0)
            ck_assert_msg(info.bad_at == (size_t)bad[i].at, "at %zu: %s", info.bad_at, bad[i].line);
        else if (bad[i].at == -1)
            ck_assert_msg(info.bad_at == len, "at %zu: %s", info.bad_at, bad[i].line);
        else
            ck_assert_msg(info.bad_at < len, "at %zu: %s", info.bad_at, bad[i].line);
        ck_assert_uint_eq(info.value_count, 0);
    }
    /* NUL bytes */
    ck_assert_int_eq(scan("{" P "}\0", 27), BCDA_ERR_LINE_JSON);
    ck_assert_int_eq(scan("\0{" P "}", 27), BCDA_ERR_LINE_JSON);
    ck_assert_int_eq(scan("{" P ",\"x\":\"a\0b\"}", 36), BCDA_ERR_LINE_JSON);
}
END_TEST

/* A line is cut at any byte. The error is BCDA_ERR_LINE_JSON at the end of the line. If the cut is
 * inside a UTF-8 character, it may also be BCDA_ERR_LINE_UTF8 at that character. */
START_TEST(test_cut_lines)
{
    size_t i, len;

    open_lines(64, NULL);
    for (i = 0; i < COUNT(good); i++)
        for (len = strspn(good[i].line, " \t") + 1;
             len <= strlen(good[i].line) - (size_t)(strrchr(good[i].line, '}')[1] ? 3 : 1) &&
             good[i].line + len <= strrchr(good[i].line, '}');
             len++) {
            int code = scan(good[i].line, len);

            if (code == BCDA_ERR_LINE_JSON)
                ck_assert_msg(info.bad_at == len, "%zu of %s", len, good[i].line);
            else
                ck_assert_msg(code == BCDA_ERR_LINE_UTF8 && len - info.bad_at <= 3, "%zu of %s",
                              len, good[i].line);
        }
}
END_TEST

START_TEST(test_line_depth)
{
    static const char *const paths[] = {"a.a.a", "a"};
    int limit = _i / 2 + 1, depth, i, kind;
    char line[1000];

    open_lines(limit, _i % 2 ? new_fields(paths, COUNT(paths)) : NULL);
    for (kind = 0; kind < 3; kind++)
        for (depth = 1; depth <= limit + 3; depth++) {
            size_t at = (size_t)sprintf(line, "{" P);

            for (i = 1; i < depth; i++) {
                int array = kind == 1 || (kind == 2 && i % 2);

                if (i == 1)
                    at += (size_t)sprintf(line + at, ",\"a\":");
                else if (!(kind == 1 || (kind == 2 && !(i % 2))))
                    at += (size_t)sprintf(line + at, "\"a\":");
                line[at++] = array ? '[' : '{';
            }
            for (i = depth - 1; i >= 1; i--)
                line[at++] = kind == 1 || (kind == 2 && i % 2) ? ']' : '}';
            line[at++] = '}';
            ck_assert_msg(scan(line, at) == (depth <= limit ? 0 : BCDA_ERR_LINE_DEPTH),
                          "%d, limit %d: %.*s", info.code, limit, (int)at, line);
        }
}
END_TEST

/* Lines that are far deeper than any limit and far longer than any buffer. */
START_TEST(test_line_large)
{
    static const char *const paths[] = {"x"};
    size_t len = 3 * 1000 * 1000, at, i;
    char *line = malloc(len + 100);

    ck_assert_ptr_nonnull(line);
    open_lines(64, new_fields(paths, 1));
    memset(line, '[', len);
    ck_assert_int_eq(scan(line, len), BCDA_ERR_LINE_DEPTH);
    for (i = 0; i < 3; i++) { /* a string without escapes, with one escape, with only escapes */
        at = (size_t)sprintf(line, "{" P ",\"x\":\"");
        while (at < len) {
            memcpy(line + at, i == 2 || (i == 1 && at < 100) ? "\\u0041" : "aaaaaa", 6);
            at += 6;
        }
        at += (size_t)sprintf(line + at, "\"}");
        ck_assert_int_eq(scan(line, at), 0);
        ck_assert_uint_eq(info.value_count, 1);
        ck_assert_int_eq(info.values[0].span.copy, i > 0);
        ck_assert_uint_ge(info.values[0].span.len, i == 2 ? len / 6 - 10 : len - 200);
        if (i % 2)
            bcda__line_reader_trim(lines.fast); /* frees the memory that the long line needed */
        check_good(&good[1]);
    }
    close_lines();
    open_lines(100000, NULL); /* a deep limit works too */
    at = (size_t)sprintf(line, "{" P ",\"a\":");
    memset(line + at, '[', 99999);
    memset(line + at + 99999, ']', 99999);
    line[at + 2 * 99999] = '}';
    ck_assert_int_eq(scan(line, at + 2 * 99999 + 1), 0);
    free(line);
}
END_TEST

/* Writes `before`, `unit` `count` times, and `after`. Returns the length. */
static size_t make_long(char *line, const char *before, const char *unit, size_t count,
                        const char *after)
{
    size_t at = (size_t)sprintf(line, "%s", before), n = strlen(unit);

    for (; count; count--, at += n)
        memcpy(line + at, unit, n);
    return at + (size_t)sprintf(line + at, "%s", after);
}

/* The values that are read from every line (type, id, lastUpdated, fullUrl) and the names of
 * the members beside them have at most BCDA__MEMBER_MAX bytes. An escape counts as the bytes that
 * it stands for. */
static const struct {
    const char *before, *unit;
    size_t bytes; /* decoded length of a unit */
    const char *after;
    size_t rest; /* bytes of the member besides the units */
} limited[] = {
    {"{\"resourceType\":\"", "x", 1, "\"}", 0},
    {"{\"resourceType\":\"", "\\u0041", 1, "\"}", 0},
    {"{" P ",\"id\":\"", "x", 1, "\"}", 0},
    {"{" P ",\"id\":\"\\n", "x", 1, "\"}", 1},
    {"{" P ",\"id\":\"", "\\n", 1, "\"}", 0},
    {"{" P ",\"id\":\"", "\\u00e9", 2, "\"}", 0},
    {"{" P ",\"id\":\"", "\xC3\xA9", 2, "\"}", 0},
    {"{" P ",\"meta\":{\"lastUpdated\":\"", "x", 1, "\"}}", 0},
    {"{" P ",\"meta\":{\"lastUpdated\":\"", "\\\"", 1, "\"}}", 0},
    {"{\"fullUrl\":\"", "x", 1, "\",\"resource\":{" P "}}", 0},
    {"{\"fullUrl\":\"", "\\/", 1, "\",\"resource\":{" P "}}", 0},
    {"{\"resource\":{\"resourceType\":\"", "x", 1, "\"}}", 0},
    {"{\"resource\":{" P ",\"id\":\"", "\\u0041", 1, "\"}}", 0},
    {"{\"resource\":{" P ",\"meta\":{\"lastUpdated\":\"", "\\n", 1, "\"}}}", 0},
    {"{" P ",\"", "x", 1, "\":[{}]}", 0},
    {"{" P ",\"", "\\n", 1, "\":[{}]}", 0},
    {"{" P ",\"meta\":{\"", "\\n", 1, "\":1}}", 0},
    {"{\"resource\":{" P ",\"", "x", 1, "\":\"\"}}", 0},
};

START_TEST(test_member_limit)
{
    static const char *const paths[] = {"id", "x", "meta.lastUpdated"};
    size_t row = (size_t)_i / 2, count, len;
    char line[200 * 1024];

    open_lines(64, _i % 2 ? new_fields(paths, COUNT(paths)) : NULL);
    for (count = (BCDA__MEMBER_MAX - limited[row].rest) / limited[row].bytes - 1; count < 30000;
         count = count < BCDA__MEMBER_MAX + 2 ? count + 1 : count * 3 / 2) {
        int fits = count * limited[row].bytes + limited[row].rest <= BCDA__MEMBER_MAX;

        len = make_long(line, limited[row].before, limited[row].unit, count, limited[row].after);
        ck_assert_msg(scan(line, len) == (fits ? 0 : BCDA_ERR_LINE_TOO_LONG), "%d: %zu of %s",
                      info.code, count, limited[row].before);
        ck_assert_uint_le(info.bad_at, len);
        ck_assert(fits || info.bad_at >= count);
        check_good(&good[1]); /* the next line is not affected */
    }
}
END_TEST

/* The limit BCDA__MEMBER_MAX does not apply to these members: they may be as long as the line. */
START_TEST(test_members_without_limit)
{
    static const char *const paths[] = {"x"};
    static const char *const rows[][3] = {
        {"{" P ",\"x\":\"", "\\n", "\"}"},
        {"{" P ",\"meta\":\"", "\\n", "\"}"},
        {"{" P ",\"resource\":\"", "\\n", "\"}"},
        {"{" P ",\"resource\":\"", "x", "\",\"id\":\"1\"}"},
        {"{" P ",\"x\":{\"", "\\n", "\":1}}"},
        {"{" P ",\"x\":[{\"id\":\"", "\\n", "\"}]}"},
        {"{" P ",\"contained\":[{\"resourceType\":\"", "x", "\"}]}"},
        {"{" P ",\"id\":", "7", "}"},
        {"{" P ",\"meta\":{\"versionId\":\"", "x", "\"}}"},
        {"{", " ", P "}"},
    };
    size_t i, count, len;
    char *line = malloc(1024 * 1024);

    open_lines(64, _i ? new_fields(paths, 1) : NULL);
    for (i = 0; i < COUNT(rows); i++)
        for (count = 4000; count < 300 * 1024; count = count * 3 / 2 + 1) {
            len = make_long(line, rows[i][0], rows[i][1], count, rows[i][2]);
            ck_assert_msg(scan(line, len) == 0, "%d: %s", info.code, rows[i][0]);
            check_span(&info.type, "Patient", "type", rows[i][0]);
        }
    free(line);
}
END_TEST

/* If a line is cut inside a long token of any kind, the error is that the line's end is missing. */
START_TEST(test_long_cut_lines)
{
    static const char *const paths[] = {"x"};
    static const char *const rows[][2] = {
        {"{" P ",\"x\":\"", "x"},
        {"{" P ",\"x\":\"", "\\n"},
        {"{" P ",\"", "x"},
        {"{" P ",\"", "\\n"},
        {"{" P ",\"id\":\"", "x"},
        {"{" P ",\"id\":\"", "\\n"},
        {"{" P ",\"x\":", "7"},
        {"\"", "x"},
        {"{" P ",\"x\":[[{\"", "\\n"},
        {"{\"resourceType\":\"", "\\n"},
    };
    size_t i, power, count, len;
    char *line = malloc(1024 * 1024);

    open_lines(64, _i ? new_fields(paths, 1) : NULL);
    for (i = 0; i < COUNT(rows); i++) /* sizes around those at which yajl's buffer grows */
        for (power = 1024; power <= 256 * 1024; power *= 2)
            for (count = power / strlen(rows[i][1]) - 3; count % 16 != 4; count++) {
                len = make_long(line, rows[i][0], rows[i][1], count, "");
                ck_assert_msg(scan(line, len) == BCDA_ERR_LINE_JSON && info.bad_at == len,
                              "%d at %zu of %zu: %s", info.code, info.bad_at, len, rows[i][0]);
            }
    free(line);
}
END_TEST

/* ---- fields ---- */

/* Adding a path again returns the index that the path already has. */
START_TEST(test_field_twice)
{
    struct bcda__field_set *set;
    char path[26];
    int i, index;

    ck_assert_int_eq(bcda__field_set_new(&set), 0);
    for (i = 0; i < BCDA__FIELDS_MAX; i++) {
        snprintf(path, sizeof path, "a%d.b%d", i / 8, i);
        ck_assert_int_eq(bcda__field_set_add(set, path, &index), 0);
        ck_assert_int_eq(index, i);
        ck_assert_int_eq(bcda__field_set_add(set, path, &index), 0);
        ck_assert_int_eq(index, i);
        ck_assert_int_eq(bcda__field_set_count(set), i + 1);
    }
    ck_assert_int_eq(bcda__field_set_add(set, "a0.b3", &index),
                     0); /* works even if the set is full */
    ck_assert_int_eq(index, 3);
    ck_assert_int_eq(bcda__field_set_add(set, "a0", &index), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda__field_set_add(set, "a0.b3.c", &index), BCDA_ERR_INVALID);
    ck_assert_int_eq(index, 3);
    bcda__field_set_free(set);
}
END_TEST

START_TEST(test_field_set)
{
    static const char *wrong[] = {
        "", ".", "a.", ".a", "a..b", "a.b.", "..", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"};
    struct bcda__field_set *set, *copy;
    char path[20];
    size_t i;
    int index = -5, k;

    ck_assert_int_eq(bcda__field_set_new(&set), 0);
    ck_assert_int_eq(bcda__field_set_count(set), 0);
    ck_assert_int_eq(bcda__field_set_count(NULL), 0);
    for (i = 0; i < COUNT(wrong); i++) {
        ck_assert_msg(bcda__field_set_add(set, wrong[i], &index) == BCDA_ERR_INVALID, "%s",
                      wrong[i]);
        ck_assert_int_eq(index, -5);
    }
    ck_assert_int_eq(bcda__field_set_add(set, "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16", &index), 0);
    for (k = 1; k < BCDA__FIELDS_MAX; k++) {
        sprintf(path, "a.f%d", k);
        ck_assert_int_eq(bcda__field_set_add(set, path, &index), 0);
        ck_assert_int_eq(index, k);
    }
    ck_assert_int_eq(bcda__field_set_add(set, "one.more", &index), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda__field_set_count(set), BCDA__FIELDS_MAX);
    ck_assert_int_eq(bcda__field_set_copy(&copy, set), 0);
    bcda__field_set_free(set);
    ck_assert_int_eq(bcda__field_set_count(copy), BCDA__FIELDS_MAX);
    bcda__field_set_free(copy);
    ck_assert_int_eq(bcda__field_set_copy(&copy, NULL), 0);
    ck_assert_int_eq(bcda__field_set_count(copy), 0);
    bcda__field_set_free(copy);
    bcda__field_set_free(NULL);
}
END_TEST

/* Scans a line and compares the values found with `want`, such as "0:a 3:b": index of the field,
 * then value, in the order of the line. */
static void check_values(const char *line, const char *want)
{
    struct bcda__buf b;
    size_t i;

    ck_assert_msg(scan(line, strlen(line)) == 0, "%d: %s", info.code, line);
    bcda__buf_init(&b, 100000);
    bcda__buf_adds(&b, "");
    for (i = 0; i < info.value_count; i++) {
        const struct bcda__span *v = &info.values[i].span;

        bcda__buf_addf(&b, "%s%d:", i ? " " : "", info.values[i].field);
        bcda__buf_add(&b, v->copy ? info.side + v->at : lines.copy + v->at, v->len);
    }
    ck_assert_msg(strcmp(b.data, want) == 0, "'%s', not '%s': %s", b.data, want, line);
    bcda__buf_free(&b);
}

START_TEST(test_fields)
{
    static const char *const paths[] = {
        "id",               /* 0 */
        "a.b",              /* 1 */
        "a.b.c",            /* 2 */
        "a",                /* 3 */
        "z",                /* 4 */
        "resourceType",     /* 5 */
        "meta.lastUpdated", /* 6 */
        "é",                /* 7 */
        "a.c",              /* 8 */
        "b.c",              /* 9 */
    };
    static const char *rows[][2] = {
        {"{" P "}", "5:Patient"},
        {"{" P ",\"id\":\"1\"}", "5:Patient 0:1"},
        {"{\"id\":7," P "}", "0:7 5:Patient"},
        {"{\"a\":\"x\"," P "}", "3:x 5:Patient"},
        {"{\"a\":true," P ",\"id\":false}", "3:true 5:Patient 0:false"},
        {"{\"a\":null," P ",\"id\":null}", "5:Patient"},
        {"{\"a\":\"\"," P "}", "3: 5:Patient"},
        {"{\"a\":-1.50e+3," P "}", "3:-1.50e+3 5:Patient"},
        {"{\"a\":{\"b\":\"x\"}," P "}", "1:x 5:Patient"},
        {"{\"a\":{\"b\":{\"c\":\"x\"}}," P "}", "2:x 5:Patient"},
        {"{\"a\":{\"b\":{\"c\":\"x\",\"d\":\"no\"},\"c\":\"y\",\"d\":\"no\"}," P "}",
         "2:x 8:y 5:Patient"},
        {"{\"a\":[{\"b\":1},{\"b\":2,\"c\":3},4,[5,[{\"b\":[6,{\"c\":7}]}]]]," P "}",
         "1:1 1:2 8:3 3:4 3:5 1:6 2:7 5:Patient"},
        {"{\"a\":[]," P ",\"b\":{}}", "5:Patient"},
        {"{\"a\":[true,false,null]," P "}", "3:true 3:false 5:Patient"},
        {"{\"x\":{\"id\":\"no\",\"a\":{\"b\":\"no\"}}," P "}", "5:Patient"},
        {"{\"x\":[{\"id\":\"no\",\"a\":\"no\"}],\"b\":{\"c\":1,\"b\":{\"c\":\"no\"}}," P "}",
         "9:1 5:Patient"},
        {"{\"a\":{\"a\":{\"b\":\"no\"},\"id\":\"no\"}," P "}", "5:Patient"},
        {"{\"a\":{\"b\":{\"c\":{\"d\":\"no\"}}}," P "}", "5:Patient"},
        {"{\"\\u0061\":{\"\\u0062\":\"x\\ty\\u00e9\"}," P "}", "1:x\tyé 5:Patient"},
        {"{\"é\":\"1\",\"\\u00e9\":\"2\"," P "}", "7:1 7:2 5:Patient"},
        {"{\"meta\":{\"lastUpdated\":\"T\"}," P "}", "6:T 5:Patient"},
        {"{\"a\":1,\"a\":2," P "}", "3:1 3:2 5:Patient"},
        {"{\"a\":{\"b\":1},\"id\":\"2\",\"a\":{\"c\":3}," P "}", "1:1 0:2 8:3 5:Patient"},
        /* after the path "a" has matched, later members outside `a` must not match that path: "no"
         * is not reported, and "z" only for the path "b.c" */
        {"{\"a\":[\"x\"],\"y\":[\"no\"],\"b\":[{\"c\":\"z\"}]," P "}", "3:x 9:z 5:Patient"},
        /* in an envelope line, a path starts at the member `resource` */
        {"{\"fullUrl\":\"x\",\"id\":\"no\",\"a\":{\"b\":\"no\"},\"resource\":{\"id\":\"1\",\"a\":{"
         "\"b\":\"x\"}," P "},\"b\":{\"c\":\"no\"}}",
         "0:1 1:x 5:Patient"},
        {"{\"resource\":{\"resource\":{\"id\":\"no\"}," P "}}", "5:Patient"},
        {"{\"resource\":{" P "},\"a\":\"no\"}", "5:Patient"},
        {"{\"resource\":{\"id\":\"no\",\"resourceType\":\"No\"},\"resource\":{" P "}}",
         "5:Patient"},
        /* a bare resource with a member `resource`, which is not an envelope */
        {"{\"resource\":{\"id\":\"no\",\"resourceType\":\"No\"},\"id\":\"1\"," P "}",
         "0:1 5:Patient"},
        {"{" P ",\"a\":1,\"resource\":{\"a\":\"no\"}}", "5:Patient 3:1"},
    };
    struct bcda__field_set *set = new_fields(paths, COUNT(paths)), *copy;
    size_t i;

    if (_i) { /* the second run uses a copy of the set */
        ck_assert_int_eq(bcda__field_set_copy(&copy, set), 0);
        bcda__field_set_free(set);
        set = copy;
    }
    open_lines(64, set);
    for (i = 0; i < COUNT(rows); i++)
        check_values(rows[i][0], rows[i][1]);
}
END_TEST

static void put(char *line, size_t *at, const char *text)
{
    memcpy(line + *at, text, strlen(text) + 1);
    *at += strlen(text);
}

/* Writes a member whose name has `len` bytes. They are the same for all names, except for the byte
 * at offset `other`, if the name has so many. */
static void put_similar(char *line, size_t *at, size_t len, size_t other, const char *value)
{
    char name[200];

    memset(name, 'n', len);
    name[len] = '\0';
    if (other < len)
        name[other] = 'o';
    put(line, at, "\"");
    put(line, at, name);
    put(line, at, len % 2 ? "\":" : "\" :  ");
    put(line, at, value);
    put(line, at, ",");
}

static const size_t name_lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 63, 64, 65, 66, 72, 129};

/* Names of members that differ from the name of a field only in their length, or in one byte. */
START_TEST(test_fields_similar)
{
    static char line[100000];
    char path[200] = "";
    size_t n = name_lengths[_i], at = 0, k;
    int index;

    memset(path, 'n', n);
    ck_assert_int_eq(bcda__field_set_new(&fields), 0);
    ck_assert_int_eq(bcda__field_set_add(fields, "resourceType", &index), 0);
    ck_assert_int_eq(bcda__field_set_add(fields, path, &index), 0);
    memset(path, 'n', n + 8); /* this name is in the same list of the tree */
    ck_assert_int_eq(bcda__field_set_add(fields, path, &index), 0);
    open_lines(64, fields);
    put(line, &at, "{");
    for (k = 0; k < n; k++)
        put_similar(line, &at, n, k, "\"no\"");
    for (k = 0; k < 199; k++)
        put_similar(line, &at, k, SIZE_MAX,
                    k == n       ? "[{\"n\":1},\"yes\"]"
                    : k == n + 8 ? "[true]"
                                 : "{\"n\":[0]}");
    put_similar(line, &at, n, SIZE_MAX, "7");
    put(line, &at, P "}");
    check_values(line, "1:yes 2:true 1:7 0:Patient");
}
END_TEST

/* Paths of the greatest depth, and values below that depth, which no path reaches. */
START_TEST(test_fields_deep)
{
    char path[100] = "", line[1000], want[100] = "";
    int n, index, depth, array;

    ck_assert_int_eq(bcda__field_set_new(&fields), 0);
    for (n = 1; n <= BCDA__FIELD_DEPTH_MAX; n++) {
        strcat(path, n > 1 ? ".k" : "k");
        ck_assert_int_eq(bcda__field_set_add(fields, path, &index), 0);
    }
    open_lines(64, fields);
    for (array = 0; array < 2; array++)
        for (depth = 1; depth <= BCDA__FIELD_DEPTH_MAX + 4; depth++) {
            size_t at = 0;

            put(line, &at, "{" P ",");
            for (n = 1; n < depth; n++)
                put(line, &at, array ? "\"k\":[{" : "\"k\":{");
            put(line, &at, "\"k\":\"v\"");
            for (n = 1; n < depth; n++)
                put(line, &at, array ? "}]" : "}");
            sprintf(line + at, "}");
            want[0] = '\0';
            if (depth <= BCDA__FIELD_DEPTH_MAX)
                sprintf(want, "%d:v", depth - 1);
            check_values(line, want);
        }
}
END_TEST

/* 64 fields, the most that a set can have. There are more values than a new reader has room for,
 * and each value has an escape. */
START_TEST(test_fields_many)
{
    struct bcda__buf line, want;
    char path[30];
    int i, k, index;

    ck_assert_int_eq(bcda__field_set_new(&fields), 0);
    for (i = 0; i < BCDA__FIELDS_MAX; i++) {
        sprintf(path, "group%d.f%d", i / 8, i);
        ck_assert_int_eq(bcda__field_set_add(fields, path, &index), 0);
    }
    open_lines(64, fields);
    bcda__buf_init(&line, 10000000);
    bcda__buf_init(&want, 10000000);
    bcda__buf_adds(&line, "{" P);
    for (k = 0; k < 20; k++)
        for (i = BCDA__FIELDS_MAX - 1; i >= 0; i--) {
            bcda__buf_addf(&line, ",\"group%d\":[{\"f%d\":\"%d%s%d\",\"f%d\":\"no\"}]", i / 8, i, k,
                           (k + i) % 3 ? "\\n" : "-", i, (i + 8) % 64);
            bcda__buf_addf(&want, "%s%d:%d%s%d", want.len ? " " : "", i, k,
                           (k + i) % 3 ? "\n" : "-", i);
        }
    bcda__buf_adds(&line, "}");
    check_values(line.data, want.data);
    check_values(line.data, want.data);
    check_values("{" P ",\"group7\":{\"f63\":1}}", "63:1");
    bcda__buf_free(&line);
    bcda__buf_free(&want);
}
END_TEST

/* The greatest number of values in a line, and one more. */
START_TEST(test_fields_limit)
{
    static const char *const paths[] = {"a", "b"};
    struct bcda__buf line;
    int count, k, over;

    open_lines(64, new_fields(paths, (size_t)_i + 1));
    for (over = 0; over < 2; over++) {
        count = BCDA__VALUES_MAX + over;
        bcda__buf_init(&line, 10000000);
        bcda__buf_adds(&line, "{" P ",\"a\":[0");
        for (k = 1; k < count; k++)
            bcda__buf_adds(&line, _i && k == 1000 ? "],\"b\":[1" : ",1");
        bcda__buf_adds(&line, "]}");
        ck_assert_int_eq(scan(line.data, line.len), over ? BCDA_ERR_LINE_TOO_LONG : 0);
        ck_assert_uint_eq(info.value_count, over ? 0 : BCDA__VALUES_MAX);
        bcda__buf_free(&line);
        check_values("{" P ",\"a\":5}", "0:5"); /* the next line is not affected */
    }
}
END_TEST

/* Random lines, made together with the values to find in them. */

struct maker {
    struct bcda__buf line;
    struct bcda__buf want; /* values of the fields maker_paths, as check_values() shows them */
    char path[400];        /* member names that lead to the current value, such as "a.b" */
    int counting;          /* 1 inside the resource, where values count for `want` */
};

static const char *const maker_paths[] = {"id",    "a",       "b",    "a.a",
                                          "a.b",   "b.a",     "c.a",  "a.b.c",
                                          "a.a.a", "c.c.c",   "id.a", "meta.lastUpdated",
                                          "c",     "c.a.id.b"};

static void make_space(struct maker *m)
{
    static const char *spaces[] = {"", "", "", "", " ", "\t", " \r", "  "};

    bcda__buf_adds(&m->line, spaces[roll(COUNT(spaces))]);
}

static void make_found(struct maker *m, const char *text)
{
    size_t i;

    for (i = 0; m->counting && i < COUNT(maker_paths); i++)
        if (strcmp(m->path, maker_paths[i]) == 0)
            bcda__buf_addf(&m->want, "%s%zu:%s", m->want.len ? " " : "", i, text);
}

static void make_value(struct maker *m, int depth);

static void make_object(struct maker *m, int depth)
{
    static const char *keys[][2] = {{"a", "a"},   {"b", "b"},         {"c", "c"},
                                    {"id", "id"}, {"\\u0061", "a"},   {"x", "x"},
                                    {"é", "é"},   {"i\\u0064", "id"}, {"", ""}};
    size_t len = strlen(m->path);
    uint32_t count = roll(5), i;

    bcda__buf_adds(&m->line, "{");
    for (i = 0; i < count; i++) {
        const char **key = keys[roll(COUNT(keys))];

        make_space(m);
        bcda__buf_addf(&m->line, "%s\"%s\"", i ? "," : "", key[0]);
        make_space(m);
        bcda__buf_adds(&m->line, ":");
        make_space(m);
        snprintf(m->path + len, sizeof m->path - len, "%s%s", len ? "." : "", key[1]);
        make_value(m, depth + 1);
        m->path[len] = '\0';
    }
    make_space(m);
    bcda__buf_adds(&m->line, "}");
}

static void make_value(struct maker *m, int depth)
{
    static const char *scalars[][2] = {
        {"\"\"", ""},         {"\"text\"", "text"}, {"\"te\\nxt\"", "te\nxt"},
        {"\"\\u00e9\"", "é"}, {"12.50", "12.50"},   {"-1e9", "-1e9"},
        {"true", "true"},     {"false", "false"},   {"\"{\\\"id\\\":1}\"", "{\"id\":1}"},
        {"\"’]}\"", "’]}"},
    };
    uint32_t kind = roll(depth > 6 ? 5 : 10), n, i;

    if (kind < 4) {
        i = roll(COUNT(scalars));
        bcda__buf_adds(&m->line, scalars[i][0]);
        make_found(m, scalars[i][1]);
    } else if (kind == 4) {
        bcda__buf_adds(&m->line, "null");
    } else if (kind < 8) {
        make_object(m, depth);
    } else {
        bcda__buf_adds(&m->line, "[");
        n = roll(4);
        for (i = 0; i < n; i++) {
            make_space(m);
            if (i)
                bcda__buf_adds(&m->line, ",");
            make_space(m);
            make_value(m, depth + 1);
        }
        bcda__buf_adds(&m->line, "]");
    }
}

/* Writes a resource with members in random order, one of them resourceType. */
static void make_resource(struct maker *m)
{
    uint32_t members = 1 + roll(6), at = roll(members), i;

    bcda__buf_adds(&m->line, "{");
    for (i = 0; i < members; i++) {
        char key = "abc"[roll(3)];

        if (i)
            bcda__buf_adds(&m->line, ",");
        make_space(m);
        if (i == at) {
            bcda__buf_adds(&m->line, "\"resourceType\":\"Patient\"");
            continue;
        }
        sprintf(m->path, "%c", key);
        bcda__buf_addf(&m->line, "\"%c\":", key);
        make_space(m);
        make_value(m, 1);
        m->path[0] = '\0';
    }
    make_space(m);
    bcda__buf_adds(&m->line, "}");
}

START_TEST(test_random_lines)
{
    struct maker m = {0};
    uint64_t round;

    seed = (uint32_t)_i + 1;
    open_lines(32, new_fields(maker_paths, COUNT(maker_paths)));
    bcda__buf_init(&m.line, 10000000);
    bcda__buf_init(&m.want, 10000000);
    for (round = 0; round < sample_rounds(4000, 4000); round++) {
        int envelope = (int)roll(2);
        size_t from, to;

        bcda__buf_clear(&m.line);
        bcda__buf_clear(&m.want);
        bcda__buf_adds(&m.want, "");
        make_space(&m);
        if (envelope) {
            bcda__buf_adds(&m.line, "{\"a\":");
            make_value(&m, 1);
            bcda__buf_adds(&m.line, ", \"resource\":");
            make_space(&m);
        }
        from = envelope ? m.line.len : 0;
        m.counting = 1;
        make_resource(&m);
        m.counting = 0;
        to = m.line.len;
        if (envelope) {
            make_space(&m);
            bcda__buf_adds(&m.line, ",\"c\":");
            make_value(&m, 1);
            bcda__buf_adds(&m.line, "}");
        }
        make_space(&m);
        check_values(m.line.data, m.want.data);
        check_span(&info.type, "Patient", "type", m.line.data);
        to = envelope ? to : m.line.len;
        ck_assert_msg(info.resource.at == from && info.resource.len == to - from, "%s",
                      m.line.data);
    }
    bcda__buf_free(&m.line);
    bcda__buf_free(&m.want);
}
END_TEST

/* A valid line with some bytes changed: the line readers do not crash, and agree with the document
 * parser on whether the line is JSON. */
START_TEST(test_random_damage)
{
    char line[1000];
    uint64_t round;

    seed = (uint32_t)_i + 77;
    open_lines(64, NULL);
    for (round = 0; round < sample_rounds(20000, 20000); round++) {
        const char *from = good[roll(COUNT(good))].line;
        size_t len = strlen(from), i;
        int rc, code;

        memcpy(line, from, len);
        for (i = roll(3) + 1; i > 0; i--)
            line[roll((uint32_t)len)] = "{}[]\",:\\ua0e- \xC3\x80\x00\v\fd8"[roll(21)];
        code = scan(line, len);
        start_log();
        rc = bcda__json_parse(line, len, 64, note, &seen);
        if (rc == 0)
            ck_assert_msg(code == 0 || code == BCDA_ERR_LINE_TYPE, "%.*s", (int)len, line);
        else
            ck_assert_msg(code == BCDA_ERR_LINE_JSON || code == BCDA_ERR_LINE_UTF8, "%.*s",
                          (int)len, line);
        ck_assert_uint_le(info.bad_at, len);
    }
}
END_TEST

SUITE("json")
{
    suite_case("documents");
    suite_timeout(300);
    suite_checked(NULL, clean_up);
    suite_loop(test_documents, 0, (int)(COUNT(documents) + COUNT(not_documents)));
    suite_test(test_document_first, test_document_nul, test_document_cut);
    suite_loop(test_document_depth, 0, 18);
    suite_test(test_document_stop, test_document_budget);
    suite_loop(test_document_limits, 0, 9);
    suite_test(test_document_first_limits, test_add_string);
    suite_case("lines");
    suite_timeout(300);
    suite_checked(NULL, clean_up);
    suite_loop(test_lines, 0, 2);
    suite_loop(test_invalid_lines, 0, 2);
    suite_test(test_cut_lines);
    suite_loop(test_line_depth, 0, 40);
    suite_test(test_field_twice, test_field_set);
    suite_loop(test_fields, 0, 2);
    suite_test(test_fields_deep, test_fields_many);
    suite_loop(test_fields_similar, 0, (int)COUNT(name_lengths));
    suite_loop(test_random_lines, 0, 4);
    suite_loop(test_random_damage, 0, 4);
    suite_case("limits");
    suite_timeout(300);
    suite_checked(NULL, clean_up);
    suite_test(test_line_large);
    suite_loop(test_member_limit, 0, 2 * (int)COUNT(limited));
    suite_loop(test_members_without_limit, 0, 2);
    suite_loop(test_long_cut_lines, 0, 2);
    suite_loop(test_fields_limit, 0, 2);
}
