/* Lines that were confirmed are not delivered again, and only if the file is the same up to them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "client/confirm.h"
#include "codec/decoder.h"
#include "suite.h"

enum { LINES_MAX = 200, LINE_LIMIT = 120 };

static char text[20000];
static size_t text_len;

/* Lines of all kinds: valid, blank, invalid, longer than the limit; the last one without LF. */
static void make_text(void)
{
    int i;

    text_len = 0;
    for (i = 1; i <= 60; i++) {
        char *at = text + text_len;

        if (i % 7 == 0)
            text_len += (size_t)sprintf(at, "  \r\n");
        else if (i % 11 == 0)
            text_len += (size_t)sprintf(at, "{\"no\":%d}\n", i);
        else if (i % 13 == 0)
            text_len += (size_t)sprintf(at, "{\"resourceType\":\"A\",\"id\":\"%0*d\"}\n", 400, i);
        else
            text_len += (size_t)sprintf(at, "{\"resourceType\":\"Patient\",\"id\":\"%d\"}%s", i,
                                        i < 60 ? "\n" : "");
    }
}

struct pass {
    size_t piece, batch_size;
    const struct bcda__mark *confirmed;
    int no_marks;
    int64_t rows[LINES_MAX], bad[LINES_MAX]; /* line numbers */
    size_t row_count, bad_count;
    struct bcda__mark ends[LINES_MAX];
    size_t end_count;
    int64_t confirmed_bad;
};

static void take_one(struct bcda__decoder *d, struct pass *p)
{
    struct bcda_batch *b;
    size_t i;

    ck_assert_int_eq(bcda__decoder_take(d, &b), 0);
    for (i = 0; i < b->rows; i++)
        p->rows[p->row_count++] = (int64_t)b->line_number[i];
    for (i = 0; i < b->bad_count; i++)
        p->bad[p->bad_count++] = b->bad[i].line_number;
    p->ends[p->end_count++] = b->end;
    bcda_batch_unref(b);
}

static int run_pass(struct pass *p)
{
    struct bcda__decoder_options o = {.name = "f",
                                      .line_max = LINE_LIMIT,
                                      .depth_max = 64,
                                      .batch_size = p->batch_size,
                                      .marks = !p->no_marks,
                                      .confirmed = p->confirmed};
    struct bcda__spent spent = {0};
    struct bcda__decoder *d;
    struct bcda_error err;
    size_t at = 0, used;
    int rc;

    bcda__err_clear(&err);
    ck_assert_int_eq(bcda__decoder_new(&d, &o, &err), 0);
    do {
        size_t len = text_len - at < p->piece ? text_len - at : p->piece;

        rc = bcda__decoder_write(d, text + at, len, &used, &err);
        at += used;
        if (!rc && bcda__decoder_is_full(d))
            take_one(d, p);
    } while (!rc && (at < text_len || bcda__decoder_is_full(d)));
    while (!rc && (rc = bcda__decoder_finish(d, &err)) == BCDA_ERR_AGAIN) {
        take_one(d, p);
        rc = 0;
    }
    if (bcda__decoder_has_batch(d))
        take_one(d, p);
    bcda__decoder_take_spent(d, &spent);
    p->confirmed_bad = spent.confirmed_bad;
    bcda__decoder_free(d);
    bcda__err_forget(&err);
    return rc;
}

static void check_after(const int64_t *all, size_t count, const int64_t *found, size_t found_count,
                        int64_t line)
{
    size_t i = 0, k;

    while (i < count && all[i] <= line)
        i++;
    ck_assert_msg(found_count == count - i, "%zu lines after line %d, not %zu", found_count,
                  (int)line, count - i);
    for (k = 0; k < found_count; k++)
        ck_assert_int_eq(found[k], all[i + k]);
}

static const struct {
    size_t first[2], second[2]; /* size of a piece, size of a batch */
} sizes[] = {
    {{20000, 512}, {20000, 512}}, {{1, 512}, {7, 512}},    {{64, 300}, {1, 4000}},
    {{20000, 4000}, {50, 300}},   {{333, 300}, {90, 200}}, {{97, 20000}, {3, 200}},
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Every line is confirmed once, with the mark of its batch. */
START_TEST(every_line)
{
    struct pass one = {.piece = sizes[_i].first[0], .batch_size = sizes[_i].first[1]};
    int64_t line = 1;
    size_t i;

    make_text();
    ck_assert_int_eq(run_pass(&one), 0);
    ck_assert_uint_eq(one.row_count, 43);
    ck_assert_uint_eq(one.bad_count, 9);
    for (i = 0; i < one.end_count; i++) {
        ck_assert_int_ge(one.ends[i].bytes, 1);
        for (; line <= one.ends[i].line; line++) {
            struct bcda__mark mark = one.ends[i];
            struct pass two = {.piece = sizes[_i].second[0],
                               .batch_size = sizes[_i].second[1],
                               .confirmed = &mark};

            mark.line = line;
            ck_assert_int_eq(run_pass(&two), 0);
            check_after(one.rows, one.row_count, two.rows, two.row_count, line);
            check_after(one.bad, one.bad_count, two.bad, two.bad_count, line);
            ck_assert_int_eq(two.confirmed_bad + (int64_t)two.bad_count, (int64_t)one.bad_count);
        }
    }
    ck_assert_int_eq(line, 61);
}
END_TEST

/* A byte before the mark that differs, or a file that ends before it: nothing is delivered. */
START_TEST(file_that_differs)
{
    struct pass one = {.piece = sizes[_i].first[0], .batch_size = 512};
    struct bcda__mark mark;
    size_t at, i, bytes;

    make_text();
    ck_assert_int_eq(run_pass(&one), 0);
    ck_assert_uint_gt(one.end_count, 2);
    mark = one.ends[1];
    mark.line -= 4; /* the lines behind it wait for the comparison */
    bytes = (size_t)mark.bytes;
    for (at = 0; at < bytes; at++) {
        struct pass two = {.piece = sizes[_i].second[0], .batch_size = 512, .confirmed = &mark};

        text[at] ^= 1;
        ck_assert_int_eq(run_pass(&two), BCDA_ERR_CHANGED);
        ck_assert_uint_eq(two.end_count, 0);
        text[at] ^= 1;
    }
    for (i = 0; i < bytes; i += 10) {
        struct pass two = {.piece = sizes[_i].second[0], .batch_size = 512, .confirmed = &mark};

        text_len = i;
        ck_assert_int_eq(run_pass(&two), BCDA_ERR_CHANGED);
        ck_assert_uint_eq(two.end_count, 0);
    }
}
END_TEST

/* Returns the number of lines that end before this offset of the text. */
static int64_t lines_before(int64_t bytes)
{
    int64_t at, lines = 0;

    for (at = 0; at < bytes; at++)
        lines += text[at] == '\n' || at + 1 == (int64_t)text_len;
    return lines;
}

/* The restored file has smaller batches. All of them can be confirmed again, and each mark leads to
 * the same rest. */
START_TEST(confirmed_again)
{
    static const size_t pieces[] = {1, 333, 20000};
    struct pass one = {.piece = 20000, .batch_size = 2000};
    struct bcda__mark mark;
    size_t i;

    make_text();
    ck_assert_int_eq(run_pass(&one), 0);
    mark = one.ends[0];
    mark.line = 2;
    {
        struct pass two = {.piece = pieces[_i], .batch_size = 200, .confirmed = &mark};

        ck_assert_int_eq(run_pass(&two), 0);
        ck_assert_uint_gt(two.end_count, 4);
        for (i = 0; i < two.end_count; i++) {
            struct pass three = {.piece = 100, .batch_size = 512, .confirmed = &two.ends[i]};

            ck_assert_int_ge(lines_before(two.ends[i].bytes), two.ends[i].line);
            ck_assert_int_eq(run_pass(&three), 0);
            check_after(one.rows, one.row_count, three.rows, three.row_count, two.ends[i].line);
        }
    }
}
END_TEST

/* The application does not confirm any more after the job was restored: no marks are made. A line
 * that is too long is removed from a batch behind the first one. */
START_TEST(confirmed_no_more)
{
    struct pass one = {.piece = 20000, .batch_size = 512};
    struct bcda__mark mark;
    size_t i;

    make_text();
    ck_assert_int_eq(run_pass(&one), 0);
    mark = one.ends[0];
    for (i = 1; i < 600; i += 7) {
        struct pass two = {.piece = i, .batch_size = 200, .confirmed = &mark, .no_marks = 1};

        ck_assert_int_eq(run_pass(&two), 0);
        check_after(one.rows, one.row_count, two.rows, two.row_count, mark.line);
        check_after(one.bad, one.bad_count, two.bad, two.bad_count, mark.line);
    }
}
END_TEST

/* Blank lines after the last line that was delivered are not waited for. */
START_TEST(blank_lines_at_the_end)
{
    struct pass one = {.piece = 20000, .batch_size = 20000};

    text_len = (size_t)sprintf(text, "{\"resourceType\":\"Patient\"}\n\n \n");
    ck_assert_int_eq(run_pass(&one), 0);
    ck_assert_uint_eq(one.end_count, 1);
    ck_assert_int_eq(one.ends[0].line, 1);
    ck_assert_int_eq(one.ends[0].bytes, (int64_t)text_len);
}
END_TEST

/* The restored file has many short lines, or long ones, where the confirmed ones were. It is
 * refused before more of it is held than a batch has. */
START_TEST(other_lines_to_compare)
{
    struct bcda__mark mark = {.line = 1, .bytes = INT64_MAX};
    struct bcda__decoder_options o = {.name = "f",
                                      .line_max = 1 << 20,
                                      .depth_max = 64,
                                      .batch_size = 4096,
                                      .marks = 1,
                                      .confirmed = &mark};
    struct bcda__decoder *d;
    struct bcda_error err;
    size_t used, len = 0, most = (size_t)200 << 20;
    int rc = 0;

    while (len + 1100 < sizeof text)
        len += (size_t)sprintf(text + len, "{\"resourceType\":\"A\",\"id\":\"%0*d\"}\n",
                               _i ? 1000 : 1, 1);
    bcda__err_clear(&err);
    ck_assert_int_eq(bcda__decoder_new(&d, &o, &err), 0);
    while (!rc && (size_t)bcda__decoder_bytes(d) < most) {
        rc = bcda__decoder_write(d, text, len, &used, &err);
        ck_assert_int_eq(bcda__decoder_has_batch(d), 0);
    }
    ck_assert_int_eq(rc, BCDA_ERR_CHANGED);
    ck_assert_int_gt(bcda__decoder_bytes(d), 8 << 20);
    ck_assert_int_lt(bcda__decoder_bytes(d), 100 << 20);
    bcda__decoder_free(d);
    bcda__err_forget(&err);
}
END_TEST

/* ---- marks ---- */

static void add_marks(struct bcda__marks *m, int count)
{
    int i;

    for (i = 1; i <= count; i++) {
        struct bcda__mark end = {10 * i, 1000 * i, {(uint8_t)i}};

        ck_assert_int_eq(bcda__marks_add(m, &end), 0);
        ck_assert_int_eq(bcda__marks_add(m, &end), 0);
    }
}

START_TEST(marks_of_lines)
{
    struct bcda__marks m = {0};
    struct bcda__mark confirmed = {0};

    add_marks(&m, 5);
    ck_assert_int_eq(bcda__marks_confirm(&m, 0, &confirmed), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda__marks_confirm(&m, 51, &confirmed), BCDA_ERR_INVALID);
    ck_assert_int_eq(confirmed.line, 0);
    ck_assert_int_eq(bcda__marks_confirm(&m, 11, &confirmed), 0);
    ck_assert_int_eq(confirmed.line, 11);
    ck_assert_int_eq(confirmed.bytes, 2000);
    ck_assert_int_eq(bcda__marks_confirm(&m, 11, &confirmed), 0);
    ck_assert_int_eq(bcda__marks_confirm(&m, 10, &confirmed), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda__marks_confirm(&m, 20, &confirmed), 0);
    ck_assert_int_eq(confirmed.bytes, 2000);
    ck_assert_int_eq(bcda__marks_confirm(&m, 50, &confirmed), 0);
    ck_assert_int_eq(confirmed.bytes, 5000);
    ck_assert_uint_eq(m.count, 1);
    bcda__marks_free(&m);
}
END_TEST

/* Of more batches than are remembered, the oldest can only be confirmed together with later ones.
 */
START_TEST(marks_forgotten)
{
    struct bcda__marks m = {0};
    struct bcda__mark confirmed = {0};

    add_marks(&m, BCDA__MARKS_MAX + 1);
    ck_assert_uint_le(m.count, BCDA__MARKS_MAX);
    ck_assert_int_eq(bcda__marks_confirm(&m, 10, &confirmed), BCDA_ERR_AGAIN);
    ck_assert_int_eq(bcda__marks_confirm(&m, 10 * BCDA__MARKS_MAX, &confirmed), 0);
    ck_assert_int_eq(confirmed.bytes, 1000 * BCDA__MARKS_MAX);
    bcda__marks_free(&m);
    ck_assert_int_eq(bcda__marks_confirm(&m, 10 * BCDA__MARKS_MAX + 1, &confirmed), BCDA_ERR_AGAIN);
}
END_TEST

SUITE("confirm")
{
    suite_case("lines");
    suite_loop(every_line, 0, SIZES);
    suite_loop(file_that_differs, 0, 2);
    suite_loop(confirmed_again, 0, 3);
    suite_test(confirmed_no_more);
    suite_loop(other_lines_to_compare, 0, 2);
    suite_test(blank_lines_at_the_end);
    suite_case("marks");
    suite_test(marks_of_lines);
    suite_test(marks_forgotten);
}
