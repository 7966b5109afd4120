/* The public functions of a batch, and the internal ones that fill it. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "bcda/batch.h"
#include "bcda/error.h"
#include "bcda/resource.h"
#include "codec/batch.h"
#include "codec/line.h"
#include "helper.h"
#include "suite.h"

static struct bcda__field_set *fields;
static struct bcda__line_reader *reader;

static void setup(void)
{
    static const char *const paths[] = {"n", "tags", "never", "id"};
    size_t i;
    int index;

    ck_assert_int_eq(bcda__field_set_new(&fields), 0);
    for (i = 0; i < COUNT(paths); i++)
        ck_assert_int_eq(bcda__field_set_add(fields, paths[i], &index), 0);
    ck_assert_int_eq(bcda__line_reader_new(&reader, 64, fields, 0), 0);
}

static void teardown(void)
{
    bcda__line_reader_free(reader);
    bcda__field_set_free(fields);
}

/* Puts a line in the batch as the decoder does, with this line number and with an offset of 1000
 * plus its position in the batch. */
static void put(struct bcda_batch *b, const char *line, int64_t number)
{
    struct bcda__line_info info;
    size_t len = strlen(line), at = b->fill;

    if (b->cap < at + len + 1)
        ck_assert_int_eq(bcda__batch_reserve(b, 2 * (at + len + 1)), 0);
    memcpy(b->bytes + at, line, len);
    b->bytes[at + len] = '\n';
    b->fill += len + 1;
    ck_assert_int_eq(bcda__line_read(reader, b->bytes + at, len, &info), 0);
    if (info.code) {
        struct bcda_bad_line bad = {0};

        bad.code = info.code;
        bad.line_number = number;
        bad.at = at;
        bad.length = (int64_t)len;
        bad.kept = 1;
        ck_assert_int_eq(bcda__batch_add_bad(b, &bad), 0);
    } else {
        ck_assert_int_eq(bcda__batch_add_row(b, &info, at, len, number, 1000 + (int64_t)at), 0);
    }
}

static const char *const lines[] = {
    "{\"resourceType\":\"Patient\",\"id\":\"p1\",\"n\":1,\"tags\":[\"a\",\"b\\u00e9\"]}",
    "{\"resourceType\":\"Patient\",\"id\":\"p2\",\"meta\":{\"lastUpdated\":\"2020\"}}",
    ("{\"fullUrl\":\"u\\/3\",\"resource\": {\"resourceType\":\"Coverage\",\"id\":\"c3\",\"tags\":["
     "\"\",true,-1.50]} }"),
    "{\"resourceType\":\"Coverage\",\"n\":2,\"n\":3}",
    "{\"resourceType\":\"Patient\",\"id\":\"\\u0070\\u0000x\",\"tags\":\"t\"}",
};

static struct bcda_batch *five(void)
{
    struct bcda_batch *b;
    size_t i;

    ck_assert_int_eq(bcda__batch_new(&b, 10, bcda__field_set_count(fields)), 0);
    for (i = 0; i < COUNT(lines); i++)
        put(b, lines[i], 10 + (int64_t)i);
    return b;
}

/* Checks that the values of a column, joined as "a|b|c", equal `want`. */
static void check_column(const bcda_batch *b, int column, const char *want)
{
    const char *base;
    const uint64_t *offsets, *lengths;
    char got[1000] = "";
    size_t i;

    ck_assert_int_eq(bcda_batch_column(b, column, &base, &offsets, &lengths), 0);
    for (i = 0; i < bcda_batch_count(b); i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i ? "|" : "",
                 (int)lengths[i], base + offsets[i]);
        if (column > BCDA_COLUMN_LINE)
            ck_assert_int_eq(base[offsets[i] + lengths[i]], '\0');
    }
    ck_assert_str_eq(got, want);
}

START_TEST(test_columns)
{
    struct bcda_batch *b = five();
    const char *base;
    const uint64_t *offsets, *lengths;
    char want[1000];
    int column;

    ck_assert_uint_eq(bcda_batch_count(b), 5);
    check_column(b, BCDA_COLUMN_TYPE, "Patient|Patient|Coverage|Coverage|Patient");
    check_column(b, BCDA_COLUMN_LAST_UPDATED, "|2020|||");
    check_column(b, BCDA_COLUMN_FULL_URL, "||u/3||");
    check_column(b, BCDA_COLUMN_ID,
                 "p1|p2|c3||p"); /* the last value is "p\0x": %s prints only its "p" */
    ck_assert_int_eq(bcda_batch_column(b, BCDA_COLUMN_ID, &base, &offsets, &lengths), 0);
    ck_assert_uint_eq(lengths[4], 3);
    ck_assert_int_eq(memcmp(base + offsets[4], "p\0x", 4), 0);
    snprintf(want, sizeof want, "%s|%s|%s|%s|%s", lines[0], lines[1], lines[2], lines[3], lines[4]);
    check_column(b, BCDA_COLUMN_LINE, want);
    snprintf(want, sizeof want, "%s|%s|%.*s|%s|%s", lines[0], lines[1],
             (int)strlen(lines[2]) - 2 - 30, lines[2] + 30, lines[3], lines[4]);
    check_column(b, BCDA_COLUMN_JSON, want);
    for (column = -1; column <= 7; column++)
        ck_assert_int_eq(bcda_batch_column(b, column, &base, &offsets, &lengths),
                         column >= 1 && column <= 6 ? 0 : BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_column(NULL, 1, &base, &offsets, &lengths), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_column(b, 1, NULL, &offsets, &lengths), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_column(b, 1, &base, NULL, &lengths), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_column(b, 1, &base, &offsets, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq((int)bcda_batch_line_numbers(b)[4], 14);
    ck_assert_uint_eq(bcda_batch_file_offsets(b)[0], 1000);
    ck_assert_uint_eq(bcda_batch_file_offsets(b)[1], 1000 + strlen(lines[0]) + 1);
    bcda_batch_unref(b);
}
END_TEST

START_TEST(test_rows)
{
    struct bcda_batch *b = five();
    const bcda_resource *r = bcda_batch_resource(b, 2);
    const char *text;
    size_t len;

    ck_assert_str_eq(bcda_resource_type(r), "Coverage");
    ck_assert_str_eq(bcda_resource_id(r), "c3");
    ck_assert_str_eq(bcda_resource_last_updated(r), "");
    ck_assert_str_eq(bcda_resource_full_url(r), "u/3");
    ck_assert_int_eq(bcda_resource_line_number(r), 12);
    ck_assert_int_eq(bcda_resource_offset(r), (int64_t)bcda_batch_file_offsets(b)[2]);
    ck_assert_int_eq(bcda_resource_is_provisional(r), 0);
    ck_assert_ptr_null(bcda_resource_file(r));
    ck_assert_ptr_null(bcda_batch_file(b));
    text = bcda_resource_json(r, &len);
    ck_assert_uint_eq(len, strlen(lines[2]) - 32);
    ck_assert_int_eq(memcmp(text, lines[2] + 30, len), 0);
    text = bcda_resource_line(r, &len);
    ck_assert_uint_eq(len, strlen(lines[2]));
    ck_assert_int_eq(memcmp(text, lines[2], len), 0);
    b->provisional = 1;
    ck_assert_int_eq(bcda_resource_is_provisional(r), 1);
    ck_assert_int_eq(bcda_batch_is_provisional(b), 1);
    ck_assert_ptr_null(bcda_batch_resource(b, 5));
    ck_assert_ptr_null(bcda_batch_resource(b, SIZE_MAX));
    bcda_batch_unref(b);

    ck_assert_ptr_null(bcda_batch_resource(NULL, 0));
    ck_assert_uint_eq(bcda_batch_count(NULL), 0);
    ck_assert_ptr_null(bcda_batch_file(NULL));
    ck_assert_int_eq(bcda_batch_is_provisional(NULL), 0);
    ck_assert_ptr_null(bcda_batch_line_numbers(NULL));
    ck_assert_ptr_null(bcda_batch_file_offsets(NULL));
    ck_assert_uint_eq(bcda_batch_bad_line_count(NULL), 0);
    ck_assert_ptr_null(bcda_batch_bad_line(NULL, 0));
    ck_assert_int_eq(bcda_batch_set_consumed(NULL, 0), BCDA_ERR_INVALID);
    ck_assert_str_eq(bcda_resource_type(NULL), "");
    ck_assert_str_eq(bcda_resource_id(NULL), "");
    ck_assert_str_eq(bcda_resource_last_updated(NULL), "");
    ck_assert_str_eq(bcda_resource_full_url(NULL), "");
    ck_assert_int_eq(bcda_resource_line_number(NULL), 0);
    ck_assert_int_eq(bcda_resource_offset(NULL), -1);
    ck_assert_int_eq(bcda_resource_is_provisional(NULL), 0);
    ck_assert_ptr_null(bcda_resource_file(NULL));
    ck_assert_uint_eq(bcda_resource_field_count(NULL, 0), 0);
    ck_assert_int_eq(bcda_resource_field(NULL, 0, 0, &text, &len), BCDA_ERR_INVALID);
    bcda_resource_json(NULL, &len);
    ck_assert_uint_eq(len, 0);
    bcda_resource_line(NULL, &len);
    ck_assert_uint_eq(len, 0);
}
END_TEST

/* The text of a value has the same address in bcda_batch_column() and in the resource of its row:
 * neither function copies it. */
START_TEST(test_same_memory)
{
    struct bcda_batch *b = five();
    const bcda_resource *r;
    const char *base;
    const uint64_t *offsets, *lengths;
    size_t i, len;
    int column;

    for (column = BCDA_COLUMN_JSON; column <= BCDA_COLUMN_FULL_URL; column++) {
        ck_assert_int_eq(bcda_batch_column(b, column, &base, &offsets, &lengths), 0);
        for (i = 0; i < bcda_batch_count(b); i++) {
            const char *shown[] = {NULL, NULL, NULL, NULL, NULL, NULL, NULL};

            r = bcda_batch_resource(b, i);
            shown[BCDA_COLUMN_JSON] = bcda_resource_json(r, &len);
            shown[BCDA_COLUMN_LINE] = bcda_resource_line(r, &len);
            shown[BCDA_COLUMN_TYPE] = bcda_resource_type(r);
            shown[BCDA_COLUMN_ID] = bcda_resource_id(r);
            shown[BCDA_COLUMN_LAST_UPDATED] = bcda_resource_last_updated(r);
            shown[BCDA_COLUMN_FULL_URL] = bcda_resource_full_url(r);
            if (lengths[i])
                ck_assert_ptr_eq(base + offsets[i], shown[column]);
        }
    }
    bcda_batch_unref(b);
}
END_TEST

/* Checks that each field has the same values in its column and in the rows. */
static void compare_fields(struct bcda_batch *b)
{
    const char *base, *text;
    const uint64_t *first, *offsets, *lengths;
    size_t i, k, len;
    int field;

    for (field = 0; field < b->field_count; field++) {
        ck_assert_int_eq(bcda_batch_field_column(b, field, &base, &first, &offsets, &lengths), 0);
        for (i = 0; i < bcda_batch_count(b); i++) {
            const bcda_resource *r = bcda_batch_resource(b, i);

            ck_assert_uint_eq(first[i + 1] - first[i], bcda_resource_field_count(r, field));
            for (k = 0; k < first[i + 1] - first[i]; k++) {
                ck_assert_int_eq(bcda_resource_field(r, field, k, &text, &len), 0);
                ck_assert_uint_eq(lengths[first[i] + k], len);
                ck_assert_int_eq(memcmp(base + offsets[first[i] + k], text, len + 1), 0);
                ck_assert_int_eq(text[len], '\0');
            }
            text = "untouched";
            ck_assert_int_eq(bcda_resource_field(r, field, k, &text, &len), BCDA_ERR_INVALID);
            ck_assert_str_eq(text, "untouched");
        }
    }
}

START_TEST(test_fields)
{
    struct bcda_batch *b = five();
    const bcda_resource *r = bcda_batch_resource(b, 0);
    const char *base, *text;
    const uint64_t *first, *offsets, *lengths;
    size_t len;

    ck_assert_uint_eq(bcda_resource_field_count(r, 0), 1);
    ck_assert_uint_eq(bcda_resource_field_count(r, 1), 2);
    ck_assert_uint_eq(bcda_resource_field_count(r, 2), 0);
    ck_assert_uint_eq(bcda_resource_field_count(r, 4), 0);
    ck_assert_uint_eq(bcda_resource_field_count(r, -1), 0);
    ck_assert_int_eq(bcda_resource_field(r, 0, 0, &text, &len), 0);
    ck_assert_str_eq(text, "1");
    ck_assert_int_eq(bcda_resource_field(r, 1, 1, &text, &len), 0);
    ck_assert_str_eq(text, "bé");
    ck_assert_int_eq(bcda_resource_field(r, 9, 0, &text, &len), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_resource_field(r, 0, 0, NULL, &len), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_resource_field(r, 0, 0, &text, NULL), BCDA_ERR_INVALID);
    r = bcda_batch_resource(b, 2);
    ck_assert_int_eq(bcda_resource_field(r, 1, 0, &text, &len), 0);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(bcda_resource_field(r, 1, 2, &text, &len), 0);
    ck_assert_str_eq(text, "-1.50");
    compare_fields(b);
    ck_assert_int_eq(bcda_batch_field_column(b, 1, &base, &first, &offsets, &lengths), 0);
    ck_assert_uint_eq(first[0], 0);
    ck_assert_uint_eq(first[5], 6);
    ck_assert_int_eq(bcda_batch_field_column(b, 4, &base, &first, &offsets, &lengths),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_field_column(b, -1, &base, &first, &offsets, &lengths),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_field_column(NULL, 0, &base, &first, &offsets, &lengths),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_field_column(b, 0, &base, NULL, &offsets, &lengths),
                     BCDA_ERR_INVALID);
    bcda_batch_unref(b);
}
END_TEST

START_TEST(test_consumed)
{
    struct bcda_batch *b = five();
    const bcda_resource *r;
    size_t len;

    compare_fields(b); /* this makes the index before rows are consumed */
    ck_assert_int_eq(bcda_batch_set_consumed(b, 6), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_set_consumed(b, 0), 0);
    ck_assert_uint_eq(bcda_batch_count(b), 5);
    ck_assert_int_eq(bcda_batch_set_consumed(b, 2), 0);
    ck_assert_uint_eq(bcda_batch_count(b), 3);
    check_column(b, BCDA_COLUMN_TYPE, "Coverage|Coverage|Patient");
    check_column(b, BCDA_COLUMN_FULL_URL, "u/3||");
    ck_assert_int_eq((int)bcda_batch_line_numbers(b)[0], 12);
    ck_assert_uint_eq(bcda_batch_file_offsets(b)[0],
                      1000 + strlen(lines[0]) + strlen(lines[1]) + 2);
    r = bcda_batch_resource(b, 0);
    ck_assert_str_eq(bcda_resource_id(r), "c3");
    bcda_resource_line(r, &len);
    ck_assert_uint_eq(len, strlen(lines[2]));
    compare_fields(b);
    ck_assert_int_eq(bcda_batch_set_consumed(b, 4), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_batch_set_consumed(b, 1), 0); /* one more, after those consumed before */
    check_column(b, BCDA_COLUMN_TYPE, "Coverage|Patient");
    compare_fields(b);
    ck_assert_ptr_null(bcda_batch_resource(b, 2));
    ck_assert_int_eq(bcda_batch_set_consumed(b, 2), 0);
    ck_assert_uint_eq(bcda_batch_count(b), 0);
    check_column(b, BCDA_COLUMN_TYPE, "");
    compare_fields(b);
    ck_assert_int_eq(bcda_batch_set_consumed(b, 1), BCDA_ERR_INVALID);
    bcda_batch_unref(b);
}
END_TEST

/* If an invalid line makes the file fail, the rows after it are removed before the application gets
 * the batch. */
START_TEST(test_cut)
{
    const char *base;
    const uint64_t *first, *offsets, *lengths;
    struct bcda_batch *b = five();

    bcda__batch_cut(b, 6);
    ck_assert_uint_eq(bcda_batch_count(b), 5);
    bcda__batch_cut(b, 1);
    ck_assert_uint_eq(bcda_batch_count(b), 1);
    ck_assert_int_eq(bcda_batch_field_column(b, 1, &base, &first, &offsets, &lengths), 0);
    ck_assert_uint_eq(first[0], 0);
    ck_assert_uint_eq(first[1], 2);
    compare_fields(b);
    check_column(b, BCDA_COLUMN_TYPE, "Patient");
    put(b, lines[2], 1); /* lines can still be added */
    check_column(b, BCDA_COLUMN_TYPE, "Patient|Coverage");
    bcda__batch_cut(b, 0);
    ck_assert_uint_eq(b->value_count, 0);
    ck_assert_int_eq(bcda_batch_field_column(b, 0, &base, &first, &offsets, &lengths), 0);
    ck_assert_uint_eq(first[0], 0);
    bcda_batch_unref(b);
}
END_TEST

START_TEST(test_empty)
{
    struct bcda_batch *b;
    const char *base;
    const uint64_t *first, *offsets, *lengths;
    int column;

    ck_assert_int_eq(bcda__batch_new(&b, 100, _i), 0);
    ck_assert_int_eq(bcda__batch_is_empty(b), 1);
    ck_assert_uint_eq(bcda_batch_count(b), 0);
    for (column = 1; column <= 6; column++) {
        ck_assert_int_eq(bcda_batch_column(b, column, &base, &offsets, &lengths), 0);
        ck_assert(base && offsets && lengths);
    }
    ck_assert_int_eq(bcda_batch_field_column(b, 0, &base, &first, &offsets, &lengths),
                     _i ? 0 : BCDA_ERR_INVALID);
    if (_i)
        ck_assert_uint_eq(first[0], 0);
    put(b, "{", 3); /* now the batch has an invalid line and no rows */
    ck_assert_int_eq(bcda__batch_is_empty(b), 0);
    ck_assert_uint_eq(bcda_batch_count(b), 0);
    ck_assert_uint_eq(bcda_batch_bad_line_count(b), 1);
    ck_assert_ptr_null(bcda_batch_resource(b, 0));
    bcda_batch_unref(b);
}
END_TEST

START_TEST(test_invalid_lines)
{
    struct bcda_batch *b;
    int i;

    ck_assert_int_eq(bcda__batch_new(&b, 10, bcda__field_set_count(fields)), 0);
    for (i = 0; i < 100; i++)
        put(b, i % 3 ? "{}" : lines[i % 5], i);
    ck_assert_uint_eq(bcda_batch_bad_line_count(b), 66);
    for (i = 0; i < 66; i++) {
        const struct bcda_bad_line *bad = bcda_batch_bad_line(b, (size_t)i);

        ck_assert_int_eq(bad->code, BCDA_ERR_LINE_TYPE);
        ck_assert_int_eq(bad->line_number, i / 2 * 3 + 1 + i % 2);
        ck_assert_uint_eq(bad->before, (size_t)i / 2 + 1); /* index of the row after the line */
        ck_assert_ptr_eq(bad->batch, b);
        ck_assert_int_eq(memcmp(b->bytes + bad->at, "{}\n", 3), 0);
    }
    ck_assert_ptr_null(bcda_batch_bad_line(b, 66));
    bcda_batch_set_consumed(b, 10); /* invalid lines are not affected */
    ck_assert_uint_eq(bcda_batch_bad_line_count(b), 66);
    bcda_batch_unref(b);
}
END_TEST

/* Checks that each column's offsets ascend, so that no value ends after the last one. */
static void check_ascending(struct bcda_batch *b)
{
    const char *base;
    const uint64_t *first, *offsets, *lengths;
    size_t i, count = bcda_batch_count(b);
    int column;

    for (column = BCDA_COLUMN_JSON; column <= BCDA_COLUMN_FULL_URL; column++) {
        ck_assert_int_eq(bcda_batch_column(b, column, &base, &offsets, &lengths), 0);
        for (i = 1; i < count; i++) {
            ck_assert_uint_ge(offsets[i], offsets[i - 1]);
            ck_assert_uint_ge(offsets[i] + lengths[i], offsets[i - 1] + lengths[i - 1]);
        }
    }
    ck_assert_int_eq(bcda_batch_field_column(b, 1, &base, &first, &offsets, &lengths), 0);
    for (i = 1; i < first[count]; i++)
        ck_assert_uint_ge(offsets[i], offsets[i - 1] + lengths[i - 1]);
}

/* Adds more rows and values than a new batch has room for. The type changes from row to row. */
START_TEST(test_many)
{
    struct bcda_batch *b;
    char line[300], want[50];
    size_t i;

    ck_assert_int_eq(bcda__batch_new(&b, 1, bcda__field_set_count(fields)), 0);
    for (i = 0; i < 2000; i++) {
        snprintf(
            line, sizeof line,
            "{\"resourceType\":\"T%zu\",\"id\":\"i%zu\",\"tags\":[%zu,\"\\u0041%zu\",%s],\"n\":"
            "%zu}",
            i / 100, i, i, i, i % 2 ? "\"x\"" : "null", i % 7);
        put(b, line, (int64_t)i);
    }
    ck_assert_uint_eq(bcda_batch_count(b), 2000);
    for (i = 0; i < 2000; i++) {
        const bcda_resource *r = bcda_batch_resource(b, i);
        const char *text;
        size_t len;

        snprintf(want, sizeof want, "T%zu", i / 100);
        ck_assert_str_eq(bcda_resource_type(r), want);
        snprintf(want, sizeof want, "i%zu", i);
        ck_assert_str_eq(bcda_resource_id(r), want);
        ck_assert_uint_eq(bcda_resource_field_count(r, 1), 2 + i % 2);
        ck_assert_int_eq(bcda_resource_field(r, 1, 1, &text, &len), 0);
        snprintf(want, sizeof want, "A%zu", i);
        ck_assert_str_eq(text, want);
        ck_assert_int_eq(bcda_resource_line_number(r), (int64_t)i);
    }
    check_ascending(b);
    compare_fields(b);
    bcda__batch_clear(b);
    ck_assert_int_eq(bcda__batch_is_empty(b), 1);
    put(b, lines[2], 1); /* a cleared batch works like a new one */
    put(b, lines[0], 2);
    put(b, "{\"resourceType\":\"Pat\"}", 3); /* types that begin alike */
    put(b, "{\"resourceType\":\"Patients\"}", 4);
    put(b, "{\"resourceType\":\"Patients\"}", 5);
    check_column(b, BCDA_COLUMN_TYPE, "Coverage|Patient|Pat|Patients|Patients");
    compare_fields(b);
    bcda_batch_unref(b);
}
END_TEST

static int dropped;

static void drop_owner(void *owner)
{
    ck_assert_ptr_eq(owner, &dropped);
    dropped++;
}

START_TEST(test_refs)
{
    struct bcda_batch *b = five();

    b->owner = &dropped;
    b->owner_unref = drop_owner;
    ck_assert_int_eq(bcda__batch_is_shared(b), 0);
    ck_assert_ptr_eq(bcda_batch_ref(b), b);
    ck_assert_int_eq(bcda__batch_is_shared(b), 1);
    bcda_batch_unref(b);
    ck_assert_int_eq(bcda__batch_is_shared(b), 0);
    ck_assert_int_eq(dropped, 0);
    bcda__batch_clear(b); /* calls owner_unref, which is drop_owner() */
    ck_assert_int_eq(dropped, 1);
    ck_assert_ptr_null(b->owner);
    b->owner = &dropped;
    b->owner_unref = drop_owner;
    bcda_batch_unref(b);
    ck_assert_int_eq(dropped, 2);
    ck_assert_ptr_null(bcda_batch_ref(NULL));
    bcda_batch_unref(NULL);
}
END_TEST

/* A batch that the application releases is emptied and goes to the pool, which keeps only one
 * batch. A batch that bcda__batch_reserve() has enlarged is freed instead. */
START_TEST(test_recycling)
{
    struct bcda__batch_pool *pool;
    struct bcda_batch *a, *b;

    ck_assert_int_eq(bcda__batch_pool_new(&pool, 1000), 0);
    ck_assert_ptr_null(bcda__batch_pool_take(pool));
    ck_assert_int_eq(bcda__batch_new(&a, 1000, bcda__field_set_count(fields)), 0);
    ck_assert_int_eq(bcda__batch_new(&b, 1000, bcda__field_set_count(fields)), 0);
    bcda__batch_set_pool(a, pool);
    bcda__batch_set_pool(b, pool);
    a->owner = &dropped;
    a->owner_unref = drop_owner;
    dropped = 0;
    put(a, lines[0], 1);
    bcda_batch_ref(a);
    bcda_batch_unref(a);
    ck_assert_ptr_null(bcda__batch_pool_take(pool)); /* `a` still has one reference */
    bcda_batch_unref(a);
    ck_assert_int_eq(dropped, 1);
    ck_assert_ptr_eq(bcda__batch_pool_take(pool), a);
    ck_assert_ptr_null(bcda__batch_pool_take(pool));
    ck_assert_int_eq(bcda__batch_is_empty(a), 1);
    ck_assert_int_eq(bcda__batch_is_shared(a), 0);
    put(a, lines[1], 1);
    check_column(a, BCDA_COLUMN_ID, "p2");
    bcda_batch_unref(a);
    bcda_batch_unref(b);
    ck_assert_ptr_eq(bcda__batch_pool_take(pool), b); /* the pool keeps the batch released last */
    ck_assert_int_eq(bcda__batch_reserve(b, 1001), 0);
    bcda_batch_unref(b);
    ck_assert_ptr_null(bcda__batch_pool_take(pool));
    ck_assert_int_eq(bcda__batch_new(&a, 1000, 0), 0);
    ck_assert_int_eq(bcda__batch_new(&b, 1000, 0), 0);
    bcda__batch_set_pool(a, pool);
    bcda__batch_set_pool(b, pool);
    bcda_batch_unref(a);
    bcda__batch_pool_close(pool); /* `a` is in the pool, `b` still in use */
    bcda_batch_unref(b);
    bcda__batch_pool_close(NULL);
}
END_TEST

static void *let_go(void *batch)
{
    bcda_batch_unref(batch);
    return NULL;
}

/* The pool is closed while other threads release batches. */
START_TEST(test_recycling_threads)
{
    int round, i;

    for (round = 0; round < 200; round++) {
        struct bcda__batch_pool *pool;
        pthread_t thread[3];

        ck_assert_int_eq(bcda__batch_pool_new(&pool, 1000), 0);
        for (i = 0; i < 3; i++) {
            struct bcda_batch *b;

            ck_assert_int_eq(bcda__batch_new(&b, 1000, 0), 0);
            bcda__batch_set_pool(b, pool);
            ck_assert_int_eq(pthread_create(&thread[i], NULL, let_go, b), 0);
        }
        if (round % 2)
            bcda_batch_unref(bcda__batch_pool_take(pool));
        bcda__batch_pool_close(pool);
        for (i = 0; i < 3; i++)
            ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    }
}
END_TEST

START_TEST(test_reserve)
{
    struct bcda_batch *b = five();
    size_t cap = b->cap;

    ck_assert_int_eq(bcda__batch_reserve(b, cap), 0);
    ck_assert_uint_eq(b->cap, cap);
    ck_assert_int_eq(bcda__batch_reserve(b, 1), 0);
    ck_assert_uint_eq(b->cap, cap);
    ck_assert_int_eq(bcda__batch_reserve(b, cap + 1), 0);
    ck_assert_uint_eq(b->cap, cap + 1);
    check_column(b, BCDA_COLUMN_TYPE, "Patient|Patient|Coverage|Coverage|Patient");
    ck_assert_int_eq(strncmp(b->bytes, lines[0], strlen(lines[0])), 0);
    bcda_batch_unref(b);
}
END_TEST

SUITE("batch")
{
    suite_case("batch");
    suite_checked(setup, teardown);
    suite_test(test_columns, test_rows, test_same_memory, test_fields, test_consumed, test_cut);
    suite_loop(test_empty, 0, 2);
    suite_test(test_invalid_lines, test_many, test_refs, test_recycling, test_recycling_threads,
               test_reserve);
}
