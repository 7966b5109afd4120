/* Saved texts: what is written is read again, and a text that was changed is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "client/state.h"
#include "suite.h"

static struct bcda__saved_file files[] = {
    {(char *)"/data/a.ndjson", (char *)"Patient", BCDA__FILE_DATA, BCDA__SAVED_COMPLETE, {0}},
    {(char *)"/data/b.ndjson",
     (char *)"Patient",
     BCDA__FILE_DATA,
     BCDA__SAVED_NONE,
     {7, 5000, {1, 2, 0xFE}}},
    {(char *)"/data/c.ndjson", NULL, BCDA__FILE_DELETED, BCDA__SAVED_FAILED, {0}},
    {(char *)"/data/d.ndjson",
     (char *)"OperationOutcome",
     BCDA__FILE_ERRORS,
     BCDA__SAVED_NONE,
     {0}},
};
enum { FILES = sizeof files / sizeof files[0] };

static int saved_file_at(void *ctx, size_t i, struct bcda__saved_file *out)
{
    (void)ctx;
    *out = files[i];
    return 0;
}

/* Writes a text of three lines: the job, and two changes. */
static void write_text(struct bcda__buf *out, const char *time)
{
    char *types[] = {(char *)"Patient", (char *)"Coverage"};
    struct bcda__texts list = {types, 2};
    struct bcda__state_head head = {.url = "https://x.test/api/v2/jobs/1",
                                    .types = &list,
                                    .transaction_time = time,
                                    .file_count = FILES,
                                    .file_at = saved_file_at};
    struct bcda__saved_file change = {
        (char *)"/data/b.ndjson", NULL, BCDA__FILE_DATA, BCDA__SAVED_NONE, {9, 6000, {3}}};
    struct bcda__saved_file end = {
        (char *)"/data/c.ndjson", NULL, BCDA__FILE_DATA, BCDA__SAVED_COMPLETE, {0}};
    char check[BCDA__STATE_CHECK] = "";

    bcda__buf_init(out, 1 << 20);
    ck_assert_int_eq(bcda__state_write(out, check, &head), 0);
    ck_assert_int_eq(bcda__buf_adds(out, "\n"), 0);
    ck_assert_int_eq(bcda__state_write_change(out, check, &change), 0);
    ck_assert_int_eq(bcda__buf_adds(out, "\n"), 0);
    ck_assert_int_eq(bcda__state_write_change(out, check, &end), 0);
}

static size_t line_end(const struct bcda__buf *text, int lines)
{
    const char *at = text->data;

    while (lines-- > 1)
        at = strchr(at, '\n') + 1;
    return strchr(at, '\n') ? (size_t)(strchr(at, '\n') - text->data) : text->len;
}

START_TEST(all_members_come_back)
{
    struct bcda__buf text;
    struct bcda__state s = {0};

    write_text(&text, "2024-01-31T00:00:00.5Z");
    ck_assert_int_eq(bcda__state_read(text.data, text.len, &s), 0);
    ck_assert_str_eq(s.url, "https://x.test/api/v2/jobs/1");
    ck_assert_str_eq(s.transaction_time, "2024-01-31T00:00:00.5Z");
    ck_assert_int_eq(s.types_known, 1);
    ck_assert_uint_eq(s.types.count, 2);
    ck_assert_str_eq(s.types.at[1], "Coverage");
    ck_assert_uint_eq(s.file_count, FILES);
    ck_assert_int_eq(bcda__state_find(&s, "/data/a.ndjson")->verdict, BCDA__SAVED_COMPLETE);
    ck_assert_int_eq(s.files[1].confirmed.line, 9);
    ck_assert_int_eq(s.files[1].confirmed.bytes, 6000);
    ck_assert_uint_eq(s.files[1].confirmed.sha256[0], 3);
    ck_assert_uint_eq(s.files[1].confirmed.sha256[1], 0);
    ck_assert_int_eq(s.files[2].verdict, BCDA__SAVED_COMPLETE);
    ck_assert_int_eq(s.files[2].kind, BCDA__FILE_DELETED);
    ck_assert_ptr_null(s.files[2].type);
    ck_assert_int_eq(s.files[3].kind, BCDA__FILE_ERRORS);
    ck_assert_ptr_null(bcda__state_find(&s, "/data/e.ndjson"));
    bcda__state_free(&s);
    bcda__buf_free(&text);
}
END_TEST

/* Before the last change, the file has the line of the change before, and so on. */
START_TEST(lines_take_effect_in_order)
{
    static const int64_t confirmed[] = {7, 9, 9};
    static const int verdict[] = {BCDA__SAVED_FAILED, BCDA__SAVED_FAILED, BCDA__SAVED_COMPLETE};
    struct bcda__buf text;
    int lines;

    write_text(&text, "");
    for (lines = 1; lines <= 3; lines++) {
        struct bcda__state s = {0};

        ck_assert_int_eq(bcda__state_read(text.data, line_end(&text, lines), &s), 0);
        ck_assert_int_eq(s.files[1].confirmed.line, confirmed[lines - 1]);
        ck_assert_int_eq(s.files[2].verdict, verdict[lines - 1]);
        bcda__state_free(&s);
    }
    bcda__buf_free(&text);
}
END_TEST

/* A text that was cut is refused, unless it was cut between lines. As the content of a file, it is
 * one that the system did not write completely, and its whole lines are used. */
START_TEST(cut_at_every_length)
{
    struct bcda__buf text;
    size_t len;

    write_text(&text, "2024-01-31T00:00:00Z");
    for (len = 0; len < text.len; len++) {
        struct bcda__state s = {0};
        size_t usable = bcda__state_usable(text.data, len);
        int is_whole = len == line_end(&text, 1) || len == line_end(&text, 1) + 1 ||
                       len == line_end(&text, 2) || len == line_end(&text, 2) + 1;
        int rc = bcda__state_read(text.data, len, &s);

        ck_assert_msg(rc == (is_whole ? 0 : BCDA_ERR_INVALID), "%zu: %d", len, rc);
        bcda__state_free(&s);
        ck_assert_uint_le(usable, len);
        rc = bcda__state_read(text.data, usable, &s);
        /* A cut behind the end of a file's object leaves a brace at the end. */
        if (len < line_end(&text, 1) || (usable == len && !is_whole))
            ck_assert_msg(rc == BCDA_ERR_INVALID, "%zu: %d", len, rc);
        else
            ck_assert_msg(rc == 0, "%zu: %d", len, rc);
        bcda__state_free(&s);
    }
    bcda__buf_free(&text);
}
END_TEST

/* A text with one changed bit is refused. Only a line feed may become a blank: white space between
 * two lines, which are then one, is refused as well. */
START_TEST(every_bit_flipped)
{
    struct bcda__buf text;
    size_t at;
    int bit;

    write_text(&text, "2024-01-31T00:00:00Z");
    for (at = 0; at < text.len; at++) {
        for (bit = 0; bit < 8; bit++) {
            struct bcda__state s = {0};
            int rc;

            text.data[at] = (char)(text.data[at] ^ 1 << bit);
            rc = bcda__state_read(text.data, text.len, &s);
            ck_assert_msg(rc == BCDA_ERR_INVALID || rc == BCDA_ERR_UNSUPPORTED,
                          "byte %zu, bit %d: %d", at, bit, rc);
            text.data[at] = (char)(text.data[at] ^ 1 << bit);
            bcda__state_free(&s);
        }
    }
    bcda__buf_free(&text);
}
END_TEST

/* A line that is lost, or stands before another, is noticed by the check of the line after. */
START_TEST(lines_lost_and_moved)
{
    struct bcda__buf text, other;
    struct bcda__state s = {0};
    size_t one, two;

    write_text(&text, "2024-01-31T00:00:00Z");
    one = line_end(&text, 1) + 1;
    two = line_end(&text, 2) + 1;
    bcda__buf_init(&other, 1 << 20);
    ck_assert_int_eq(bcda__buf_add(&other, text.data, one), 0);
    ck_assert_int_eq(bcda__buf_adds(&other, text.data + two), 0);
    ck_assert_int_eq(bcda__state_read(other.data, other.len, &s), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda__buf_adds(&other, "\n"), 0);
    ck_assert_int_eq(bcda__buf_add(&other, text.data + one, two - one), 0);
    ck_assert_int_eq(bcda__state_read(other.data, other.len, &s), BCDA_ERR_INVALID);
    /* A line that is there twice is refused too. */
    bcda__buf_clear(&other);
    ck_assert_int_eq(bcda__buf_add(&other, text.data, two), 0);
    ck_assert_int_eq(bcda__buf_add(&other, text.data + one, two - one), 0);
    ck_assert_int_eq(bcda__state_read(other.data, other.len, &s), BCDA_ERR_INVALID);
    bcda__buf_free(&other);
    bcda__buf_free(&text);
}
END_TEST

/* A line with the whole job replaces what precedes it. */
START_TEST(whole_job_again)
{
    struct bcda__buf text, first;
    struct bcda__state s = {0};

    write_text(&first, "1");
    write_text(&text, "2");
    ck_assert_int_eq(bcda__buf_adds(&first, "\n\n"), 0);
    ck_assert_int_eq(bcda__buf_adds(&first, text.data), 0);
    ck_assert_int_eq(bcda__state_read(first.data, first.len, &s), 0);
    ck_assert_str_eq(s.transaction_time, "2");
    ck_assert_uint_eq(s.file_count, FILES);
    bcda__state_free(&s);
    bcda__buf_free(&first);
    bcda__buf_free(&text);
}
END_TEST

static const struct {
    const char *text;
    int code;
} texts[] = {
    {"{\"bcda\":1,\"url\":\"https://x.test/1\",\"types\":[\"Patient\"],\"done\":[\"/a\",\"/b\"]}",
     0},
    {"{\"bcda\":1,\"url\":\"https://x.test/1\",\"done\":[]}\n", 0},
    {"{\"bcda\":3,\"url\":\"https://x.test/1\",\"anything\":[]}", BCDA_ERR_UNSUPPORTED},
    {"{\"bcda\":2000000,\"url\":\"https://x.test/1\"}", BCDA_ERR_UNSUPPORTED},
    {"{\"bcda\":2,\"url\":\"https://x.test/1\",\"files\":[]}", BCDA_ERR_INVALID},
    {"{\"bcda\":0,\"url\":\"https://x.test/1\",\"done\":[]}", BCDA_ERR_INVALID},
    {"{\"bcda\":1,\"url\":\"https://x.test/1\",\"url\":\"https://x.test/2\"}", BCDA_ERR_INVALID},
    {"{\"bcda\":1,\"url\":\"https://x.test/1\",\"files\":[{\"path\":\"/a\"}]}", BCDA_ERR_INVALID},
    {"{\"bcda\":1,\"url\":\"https://x.test/1\\u0000\"}", BCDA_ERR_INVALID},
    {"{\"path\":\"/a\",\"verdict\":\"complete\"}", BCDA_ERR_INVALID},
    {"", BCDA_ERR_INVALID},
    {"\n\n", BCDA_ERR_INVALID},
};
enum { TEXTS = sizeof texts / sizeof texts[0] };

START_TEST(other_texts)
{
    struct bcda__state s = {0};

    ck_assert_int_eq(bcda__state_read(texts[_i].text, strlen(texts[_i].text), &s), texts[_i].code);
    if (texts[_i].code)
        ck_assert_ptr_null(s.url);
    if (_i == 0) {
        ck_assert_int_eq(s.types_known, 1);
        ck_assert_uint_eq(s.file_count, 2);
        ck_assert_int_eq(bcda__state_find(&s, "/b")->verdict, BCDA__SAVED_COMPLETE);
    }
    bcda__state_free(&s);
}
END_TEST

/* The files as a manifest, for a job that the server no longer has. */
START_TEST(manifest_of_files)
{
    struct bcda__buf text;
    struct bcda__state s = {0};
    struct bcda__manifest *m;

    write_text(&text, "2024-01-31T00:00:00Z");
    ck_assert_int_eq(bcda__state_read(text.data, text.len, &s), 0);
    ck_assert_int_eq(bcda__state_manifest(&s, &m), 0);
    ck_assert_str_eq(m->transaction_time, "2024-01-31T00:00:00Z");
    ck_assert_uint_eq(m->count, FILES);
    ck_assert_str_eq(m->entries[1].url, "https://x.test/data/b.ndjson");
    ck_assert_str_eq(m->entries[1].type, "Patient");
    ck_assert_str_eq(m->entries[2].type, "");
    ck_assert_int_eq(m->entries[2].kind, BCDA__FILE_DELETED);
    ck_assert_int_eq(m->entries[3].kind, BCDA__FILE_ERRORS);
    bcda__manifest_unref(m);
    bcda__state_free(&s);
    bcda__buf_free(&text);
}
END_TEST

SUITE("state")
{
    suite_case("text");
    suite_test(all_members_come_back);
    suite_test(lines_take_effect_in_order);
    suite_test(whole_job_again);
    suite_loop(other_texts, 0, TEXTS);
    suite_test(manifest_of_files);
    suite_case("damage");
    suite_test(cut_at_every_length);
    suite_test(every_bit_flipped);
    suite_test(lines_lost_and_moved);
}
