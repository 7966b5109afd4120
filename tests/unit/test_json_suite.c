/* The document parser and the line readers accept the same JSON: that of RFC 8259, without a byte
 * order mark and without half surrogate pairs. The cases below always run. Those of JSONTestSuite
 * (https://github.com/nst/JSONTestSuite) run if BCDA_SHARED names a directory that has them in
 * data/json-suite. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bcda/error.h"
#include "codec/json.h"
#include "helper.h"
#include "line_pair.h"
#include "suite.h"

enum { DEPTH = 64 };

static int ignore_event(void *ctx, enum bcda__json_event event, int depth, const char *text,
                        size_t len)
{
    (void)ctx;
    (void)event;
    (void)depth;
    (void)text;
    (void)len;
    return 0;
}

static int accepts_document(const char *text, size_t len)
{
    int rc = bcda__json_parse(text, len, DEPTH, ignore_event, NULL);

    ck_assert(rc == 0 || rc == BCDA_ERR_NOT_JSON);
    return rc == 0;
}

static int accepts_pieces(const char *text, size_t len, size_t step)
{
    struct bcda__json *j;
    size_t at;
    int rc = 0;

    ck_assert_int_eq(bcda__json_new(&j, DEPTH, ignore_event, NULL), 0);
    for (at = 0; at < len && !rc; at += step)
        rc = bcda__json_write(j, text + at, step < len - at ? step : len - at);
    rc = bcda__json_finish(j);
    bcda__json_free(j);
    ck_assert(rc == 0 || rc == BCDA_ERR_NOT_JSON);
    return rc == 0;
}

/* True if both ways to read a line accept the text as JSON, whether or not it is a resource. */
static int accepts_line(const char *text, size_t len, int fields)
{
    struct bcda__field_set *set = NULL;
    struct line_pair lines;
    struct bcda__line_info info;
    int index;

    if (fields) {
        ck_assert_int_eq(bcda__field_set_new(&set), 0);
        ck_assert_int_eq(bcda__field_set_add(set, "a", &index), 0);
    }
    line_pair_open(&lines, DEPTH, set);
    line_pair_read(&lines, text, len, &info);
    line_pair_close(&lines);
    bcda__field_set_free(set);
    return info.code == 0 || info.code == BCDA_ERR_LINE_TYPE;
}

/* True if the text has no line feed. A text with a line feed can be a JSON document, but not a line
 * of an NDJSON file. */
static int is_one_line(const char *text, size_t len)
{
    return !memchr(text, '\n', len);
}

static void check_case(const char *name, const char *text, size_t len, int want)
{
    size_t step;
    int fields;

    ck_assert_msg(accepts_document(text, len) == want, "document %s", name);
    for (step = 1; step < 4; step++)
        ck_assert_msg(accepts_pieces(text, len, step) == want, "document %s by %zu", name, step);
    for (fields = 0; fields < 2 && is_one_line(text, len); fields++)
        ck_assert_msg(accepts_line(text, len, fields) == want, "line %s", name);
}

#define CASE(want, text)             \
    {                                \
        want, text, sizeof(text) - 1 \
    }
#define YES(text) CASE(1, text)
#define NO(text)  CASE(0, text)

static const struct {
    int want;
    const char *text;
    size_t len;
} cases[] = {
    YES("{}"), YES(" \t\r[] \t\r"), YES("\n[\n]\n"),
    /* equal names */ YES("{\"a\":1,\"a\":2}"), YES("{\"\":[\"\\u0000\"]}"), YES("[\"\x7F\"]"),
    YES("[\"\\uD83D\\uDE00\\uDBFF\\uDFFF\"]"), YES("[\"\\\\uD800\",\"\\ud7ff\\ue000\"]"),
    YES("[1e400,-0,123456789012345678901234567890]"), YES("null"), YES("-1.5E+3"),
    YES("\"\xF0\x9F\x98\x80\""),
    /* characters that are not white space in JSON */
    NO("[\v]"), NO("[\f]"), NO("\f{}"), NO("{}\v"), NO("{}\f"), NO("[1,\v\f2]"), NO("{\"a\"\f:1}"),
    NO("[\"\v\"]"), NO("[\xC2\xA0]"), NO("[\xE2\x81\xA0]"), NO("[\x1C]"),
    /* half surrogate pairs */
    NO("[\"\\uD800\"]"), NO("[\"\\uDFFF\"]"), NO("[\"\\uDE00\\uD83D\"]"),
    NO("[\"\\uD83D\\u0041\"]"), NO("[\"\\uD83D\\n\"]"), NO("[\"\\uD83D\\\\uDE00\"]"),
    NO("[\"\\uD83D\",\"\\uDE00\"]"), NO("[\"\\uD83D\\uDE00\\uDE00\"]"),
    NO("[\"\\uD83D\\uD83D\\uDE00\"]"), NO("{\"\\uDBFF\":1}"), NO("\"\\ud800\""),
    /* not UTF-8 */
    NO("\xEF\xBB\xBF{}"), NO("[\"\xED\xA0\x80\"]"), NO("[\"\xC0\xAF\"]"),
    NO("[\"\xF4\x90\x80\x80\"]"), NO("[\"\xE2\x82\"]"), NO("[\xFF]"), NO("{}\x80"),
    NO("\xFF\xFE[\0]\0"), NO("[\0]\0"),
    /* NUL */
    NO("{}\0"), NO("\0{}"), NO("[\"a\0b\"]"), NO("[1\0]"),
    /* more text after the end */
    NO("{}{}"), NO("[]]"), NO("{} \""), NO("{} tru"), NO("1 2"), NO("\"a\"\"b"), NO("{},"),
    /* other */
    NO(""), NO(" "), NO("[1,]"), NO("{\"a\":1,}"), NO("[\"\t\"]"), NO("[\"\\\"]"),
    NO("[\"\\u00\"]"), NO("[\"\\x41\"]"), NO("[01]"), NO("[1.]"), NO("[/**/1]"),
    NO("{\"a\":\"b\"")};

START_TEST(known_cases)
{
    check_case(cases[_i].text, cases[_i].text, cases[_i].len, cases[_i].want);
}
END_TEST

START_TEST(depth)
{
    char text[2 * (DEPTH + 1)];
    int n;

    for (n = DEPTH - 1; n <= DEPTH + 1; n++) {
        memset(text, '[', (size_t)n);
        memset(text + n, ']', (size_t)n);
        check_case("depth", text, 2 * (size_t)n, n <= DEPTH);
    }
}
END_TEST

/* True if the library must accept the test file of this name. JSONTestSuite names valid texts y_...
 * and invalid texts n_... For i_... a parser may decide: the library accepts numbers of any size,
 * and refuses texts that are not UTF-8 or are nested too deep. */
static int is_wanted(const char *name)
{
    return name[0] == 'y' || strncmp(name, "i_number", 8) == 0;
}

enum { DIR_SIZE = 4000 };

static size_t check_file(const char *dir, const char *name)
{
    char path[DIR_SIZE + 256], *text = malloc(1024 * 1024);
    FILE *file;
    size_t len;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    len = fread(text, 1, 1024 * 1024, file);
    ck_assert(len < 1024 * 1024);
    fclose(file);
    check_case(name, text, len, is_wanted(name));
    len = (size_t)is_one_line(text, len);
    free(text);
    return len;
}

START_TEST(json_test_suite)
{
    const char *shared = getenv("BCDA_SHARED");
    char dir[DIR_SIZE];
    size_t files = 0, in_one_line = 0;
    struct dirent *entry;
    DIR *d = NULL;

    if (shared) {
        snprintf(dir, sizeof dir, "%s/data/json-suite", shared);
        d = opendir(dir);
    }
    if (!d)
        return; /* without the suite, only the cases above are tested */
    while ((entry = readdir(d)))
        if (strlen(entry->d_name) > 2 && entry->d_name[1] == '_') {
            in_one_line += check_file(dir, entry->d_name);
            files++;
        }
    closedir(d);
    ck_assert_uint_ge(files, 318);
    ck_assert_uint_ge(in_one_line, 300);
}
END_TEST

SUITE("json suite")
{
    suite_case("lines");
    suite_loop(known_cases, 0, (int)COUNT(cases));
    suite_test(depth, json_test_suite);
}
