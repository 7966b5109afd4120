/* How much work a call does, counted instead of timed. In this test each basic block of
 * lib/codec/batch.c calls __sanitizer_cov_trace_pc(), and the linker sends each call of
 * yajl_parse() and memmove() through a wrapper. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/buf.h"
#include "bcda/batch.h"
#include "bcda/error.h"
#include "bcda/resource.h"
#include "codec/batch.h"
#include "codec/json.h"
#include "codec/line.h"
#include "helper.h"
#include "suite.h"

static size_t blocks; /* number of basic blocks of batch.c that were run */

void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

/* ---- values of a field ---- */

/* Returns a new batch in which each of `rows` rows is this line. */
static struct bcda_batch *batch_of(const struct bcda__field_set *fields,
                                   const struct bcda__buf *line, size_t rows)
{
    struct bcda__line_reader *s;
    struct bcda__line_info info;
    struct bcda_batch *b;
    size_t i;

    ck_assert_int_eq(bcda__line_reader_new(&s, 64, fields, 0), 0);
    ck_assert_int_eq(bcda__batch_new(&b, line->len, bcda__field_set_count(fields)), 0);
    memcpy(b->bytes, line->data, line->len);
    b->bytes[line->len] = '\n';
    b->fill = line->len;
    for (i = 0; i < rows; i++)
        if (bcda__line_read(s, b->bytes, line->len, &info) || info.code ||
            bcda__batch_add_row(b, &info, 0, line->len, 1, 0))
            ck_abort_msg("row %zu", i);
    bcda__line_reader_free(s);
    return b;
}

/* Reading one value may run at most this many basic blocks. A binary search runs about 100. */
enum { EACH_MAX = 250 };

/* Reads every value of every field of a row, one by one, and checks how many basic blocks that ran.
 * The k-th value of field f is "f.k". */
static void check_work(struct bcda_batch *b, size_t row, size_t fields, size_t each)
{
    const bcda_resource *r = bcda_batch_resource(b, row);
    size_t f, k, len;
    const char *text;
    char want[42];

    for (f = 0; f < fields; f++) {
        blocks = 0;
        ck_assert_uint_eq(bcda_resource_field_count(r, (int)f), each);
        ck_assert_uint_le(blocks, EACH_MAX);
        blocks = 0;
        for (k = 0; k < each; k++) { /* no ck_assert() here: it would take most of the time */
            snprintf(want, sizeof want, "%zu.%zu", f, k);
            if (bcda_resource_field(r, (int)f, k, &text, &len) || strcmp(text, want) != 0)
                ck_abort_msg("value %s", want);
        }
        ck_assert_int_eq(bcda_resource_field(r, (int)f, each, &text, &len), BCDA_ERR_INVALID);
        ck_assert_uint_gt(blocks, 0); /* the compiler inserted the calls that count blocks */
        ck_assert_uint_le(blocks, EACH_MAX * (each + 1));
    }
}

/* Checks a line with `count` values: first value 0 of each field, then value 1 of each field, and
 * so on. */
static void check_line(size_t fields, size_t count, size_t rows)
{
    struct bcda__field_set *set;
    struct bcda__buf line;
    struct bcda_batch *b;
    char path[24];
    size_t i;
    int index;

    ck_assert_int_eq(bcda__field_set_new(&set), 0);
    bcda__buf_init(&line, 10000000);
    bcda__buf_adds(&line, "{\"resourceType\":\"Patient\",\"a\":[");
    for (i = 0; i < fields; i++) {
        snprintf(path, sizeof path, "a.f%zu", i);
        ck_assert_int_eq(bcda__field_set_add(set, path, &index), 0);
    }
    for (i = 0; i < count; i++)
        bcda__buf_addf(&line, "%s{\"f%zu\":\"%zu.%zu\"}", i ? "," : "", i % fields, i % fields,
                       i / fields);
    bcda__buf_adds(&line, "]}");
    b = batch_of(set, &line, rows);
    for (i = 0; i < rows; i += 1 + rows / 7)
        check_work(b, i, fields, count / fields);
    bcda_batch_unref(b);
    bcda__buf_free(&line);
    bcda__field_set_free(set);
}

START_TEST(field_values_of_one_line)
{
    check_line(1, BCDA__VALUES_MAX - 1, 1);
}
END_TEST

START_TEST(field_values_of_all_fields)
{
    check_line(BCDA__FIELDS_MAX, BCDA__VALUES_MAX, 1);
}
END_TEST

START_TEST(field_values_of_many_rows)
{
    check_line(4, 40, 5000);
}
END_TEST

/* bcda_batch_bad_line() finds any of many invalid lines without a search. */
START_TEST(invalid_lines)
{
    struct bcda_bad_line bad = {0};
    struct bcda_batch *b;
    int i;

    ck_assert_int_eq(bcda__batch_new(&b, 1, 0), 0);
    for (i = 0; i < 20000; i++) {
        bad.line_number = i;
        if (bcda__batch_add_bad(b, &bad))
            ck_abort_msg("line %d", i);
    }
    blocks = 0;
    for (i = 0; i < 20000; i++)
        if (bcda_batch_bad_line(b, (size_t)i)->line_number != i)
            ck_abort_msg("line %d", i);
    ck_assert_uint_le(blocks, 20000 * 20);
    bcda_batch_unref(b);
}
END_TEST

/* ---- a document in pieces ---- */

static size_t calls, given, lexed, moved;
static size_t open_token; /* bytes given to yajl since its last event */

yajl_status __real_yajl_parse(yajl_handle h, const unsigned char *text, size_t len);
yajl_status __wrap_yajl_parse(yajl_handle h, const unsigned char *text, size_t len);

/* `given` counts the bytes passed to yajl, `lexed` the bytes that yajl's lexer reads. When a token
 * spans several calls, each call reads the token again from its start, so `lexed` is greater. */
yajl_status __wrap_yajl_parse(yajl_handle h, const unsigned char *text, size_t len)
{
    calls++;
    given += len;
    open_token += len;
    lexed += open_token;
    return __real_yajl_parse(h, text, len);
}

void *__real_memmove(void *to, const void *from, size_t len);
void *__wrap_memmove(void *to, const void *from, size_t len);

void *__wrap_memmove(void *to, const void *from, size_t len)
{
    moved += len;
    return __real_memmove(to, from, len);
}

static int on_event(void *ctx, enum bcda__json_event event, int depth, const char *text, size_t len)
{
    size_t *strings = ctx;

    (void)depth;
    (void)text;
    open_token = 0;
    if (event == BCDA__JSON_STRING)
        *strings += len;
    return 0;
}

static void check_pieces(const char *text, size_t len, size_t step, size_t want)
{
    struct bcda__json *j;
    size_t at, strings = 0;
    int rc = 0;

    calls = given = lexed = moved = open_token = 0;
    ck_assert_int_eq(bcda__json_new(&j, 64, on_event, &strings), 0);
    for (at = 0; at < len && !rc; at += step)
        rc = bcda__json_write(j, text + at, step < len - at ? step : len - at);
    ck_assert_int_eq(rc ? rc : bcda__json_finish(j), 0);
    bcda__json_free(j);
    ck_assert_uint_eq(strings, want);
    ck_assert_uint_eq(given, len);
    ck_assert_uint_le(lexed, 2 * len + 8192);
    ck_assert_uint_le(moved, 2 * len);
    ck_assert_uint_le(calls, len / 2048 + 2);
}

enum { MEGA = 1024 * 1024 };

static const size_t steps[] = {1, 7, 1000, 4095, 4096, 4097, 100000, 2 * MEGA};

START_TEST(long_string_in_pieces)
{
    char *text = malloc(MEGA + 4);

    memset(text, 'x', MEGA + 4);
    memcpy(text, "[\"", 2);
    memcpy(text + MEGA + 2, "\"]", 2);
    check_pieces(text, MEGA + 4, steps[_i], MEGA);
    memcpy(text + 2, "\\n", 2);
    check_pieces(text, MEGA + 4, steps[_i], MEGA - 1);
    free(text);
}
END_TEST

/* Parses strings of many lengths, so that a piece can end at any offset of a string. */
START_TEST(strings_in_pieces)
{
    struct bcda__buf text;
    size_t n, sum = 0;

    bcda__buf_init(&text, 10 * MEGA);
    bcda__buf_adds(&text, "[");
    for (n = 1; n < 1200; n = n + 1 + n / 40 * 3) {
        bcda__buf_addf(&text, "%s\"%0*d\", [12345, true, {\"k\":\"\\\\\\\"\"}]", n > 1 ? "," : "",
                       (int)(n * 37), 7);
        sum += n * 37 + 2;
    }
    bcda__buf_adds(&text, "]");
    check_pieces(text.data, text.len, steps[_i], sum);
    bcda__buf_free(&text);
}
END_TEST

SUITE("work")
{
    int count = (int)COUNT(steps);

    suite_case("work");
    suite_test(field_values_of_one_line, field_values_of_all_fields, field_values_of_many_rows,
               invalid_lines);
    suite_loop(long_string_in_pieces, 0, count);
    suite_loop(strings_in_pieces, 0, count);
}
