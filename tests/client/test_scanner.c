/* bcda_decoder with the scanner and without it: the results are the same, and only unusual lines
 * are read by yajl. The calls of yajl's line reader are counted by a wrapper. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "fixture.h"
#include "has_scanner.h"

static struct fixture fx;

static size_t yajl_lines;

int __real_bcda__json_line_read(struct bcda__json_line *s, const char *line, size_t len,
                                struct bcda__line_info *info);
int __wrap_bcda__json_line_read(struct bcda__json_line *s, const char *line, size_t len,
                                struct bcda__line_info *info);
int __wrap_bcda__json_line_read(struct bcda__json_line *s, const char *line, size_t len,
                                struct bcda__line_info *info)
{
    yajl_lines++;
    return __real_bcda__json_line_read(s, line, len, info);
}

/* ---- everything that a decoder delivers, as text ---- */

static const char *const paths[] = {"identifier.value", "meta.lastUpdated", "patient.reference",
                                    "item.adjudication.amount.value", "v"};

enum { PATHS = sizeof paths / sizeof *paths };

static void add_text(struct buf *b, const char *text, size_t len)
{
    buf_printf(b, "%zu:", len);
    buf_add(b, text, len);
}

static int note_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    struct buf *b = userdata;
    const char *text;
    size_t len, k;
    int i;

    (void)job;
    text = bcda_resource_json(resource, &len);
    add_text(b, text, len);
    text = bcda_resource_line(resource, &len);
    add_text(b, text, len);
    buf_printf(b, "%lld at %lld %s %s %s %s", (long long)bcda_resource_line_number(resource),
               (long long)bcda_resource_offset(resource), bcda_resource_type(resource),
               bcda_resource_id(resource), bcda_resource_last_updated(resource),
               bcda_resource_full_url(resource));
    for (i = 0; i < PATHS; i++)
        for (k = 0; k < bcda_resource_field_count(resource, i); k++) {
            ck_assert_ok(bcda_resource_field(resource, i, k, &text, &len));
            buf_printf(b, " %d=", i);
            add_text(b, text, len);
        }
    return BCDA_CONTINUE;
}

static int note_bad_line(bcda_job *job, const bcda_bad_line *line, void *userdata)
{
    (void)job;
    buf_printf(userdata, "invalid: %d %lld at %lld\n", bcda_bad_line_code(line),
               (long long)bcda_bad_line_number(line), (long long)bcda_bad_line_offset(line));
    return BCDA_CONTINUE;
}

/* Decodes a file in pieces of `step` bytes. */
static void decode(const struct buf *file, int gzip, int scanner, size_t step, struct buf *found)
{
    bcda_handlers *handlers;
    bcda_config *config;
    bcda_decoder *d;
    size_t at;
    int i, index;

    ck_assert_ok(bcda_config_new(&config));
    ck_assert_ok(bcda_config_set_int(config, BCDA_OPT_SCANNER, scanner));
    ck_assert_ok(bcda_config_set_int(config, BCDA_OPT_BAD_LINES_MAX, -1));
    ck_assert_ok(bcda_config_set_int(config, BCDA_OPT_BATCH_SIZE, 4096));
    ck_assert_ok(bcda_handlers_new(&handlers));
    ck_assert_ok(bcda_handlers_on_resource(handlers, note_resource, found, NULL));
    ck_assert_ok(bcda_handlers_on_bad_line(handlers, note_bad_line, found, NULL));
    ck_assert_ok(bcda_decoder_new(&d, config, handlers));
    ck_assert_ok(bcda_decoder_set_gzip(d, gzip));
    for (i = 0; i < PATHS; i++)
        ck_assert_ok(bcda_decoder_add_field(d, paths[i], &index));
    yajl_lines = 0;
    for (at = 0; at < file->len; at += step)
        ck_assert_ok(
            bcda_decoder_write(d, file->p + at, step < file->len - at ? step : file->len - at));
    ck_assert_ok(bcda_decoder_finish(d));
    bcda_decoder_free(d);
    bcda_handlers_free(handlers);
    bcda_config_free(config);
}

/* Decodes a file both ways. `sure` lines of `lines` are usual. */
static void decode_both_ways(const struct buf *file, int gzip, size_t sure, size_t lines)
{
    static const size_t steps[] = {1, 999, 1000000};
    struct buf want = {0};
    size_t i;

    decode(file, gzip, 0, 1000000, &want);
    ck_assert_uint_eq(yajl_lines, lines);
    ck_assert_uint_gt(want.len, 0);
    for (i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct buf found = {0};

        decode(file, gzip, 1, steps[i], &found);
        ck_assert_uint_eq(yajl_lines, HAS_SCANNER ? lines - sure : lines);
        ck_assert_uint_eq(found.len, want.len);
        ck_assert_mem_eq(found.p, want.p, want.len);
        buf_free(&found);
    }
    buf_free(&want);
}

static size_t count_feeds(const struct buf *file)
{
    size_t i, n = 0;

    for (i = 0; i < file->len; i++)
        n += file->p[i] == '\n';
    return n;
}

/* ---- the files of the sandbox ---- */

/* _i: bare resources or envelopes; from 2 on, compressed. */
START_TEST(generated_file)
{
    struct buf plain = {0}, gzip = {0};
    struct run *r;
    size_t i, lines;

    fixture_setup(&fx, SANDBOX(.era = _i % 2 ? "2019-04" : "current", .patients = 20), 1);
    fixture_export_eob(&fx, _i % 2 ? "2019-04" : "current");
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    for (i = 0; i < r->count; i++) {
        buf_add(&plain, r->got[i].line, r->got[i].line_len);
        buf_str(&plain, "\n");
    }
    lines = count_feeds(&plain);
    ck_assert_uint_eq(lines, r->count);
    if (_i >= 2)
        scripted_gzip(&gzip, plain.p, plain.len);
    decode_both_ways(_i >= 2 ? &gzip : &plain, _i >= 2, lines, lines);
    buf_free(&plain);
    buf_free(&gzip);
    fixture_close(&fx);
}
END_TEST

/* ---- usual, unusual and invalid lines ---- */

#define P "\"resourceType\":\"Patient\""

static const struct {
    const char *line;
    int sure;
} lines[] = {
    {"{" P ",\"id\":\"1\",\"v\":[1,true,null,\"\\u00e9\",[\"x\"]]}", 1},
    {"{ \"id\" : \"2\", " P ", \"meta\" : { \"lastUpdated\" : \"2020\" } } \t\r", 1},
    {"{\"fullUrl\":\"u\",\"resource\":{" P ",\"id\":\"3\",\"v\":-1.5e3}}", 1},
    {"{" P ",\"v\":\"\xF0\x9F\x98\x80 \xC3\xA9 \\\" \\\\\"}", 1},
    {"\t{" P "}", 0},                            /* begins with white space */
    {"{\t" P "}", 0},                            /* contains a tab */
    {"{\"resource\\u0054ype\":\"Patient\"}", 0}, /* an escape in a name */
    {"{" P ",\"id\":\"a\\u0062\"}", 0},          /* an escape in a value that is always read */
    {"{" P ",\"id\":\"1\",\"id\":\"2\"}", 0},    /* a member stands twice */
    {"{\"id\":\"1\"}", 0},                       /* no resource */
    {"[]", 0},                                   /* not an object */
    {"{" P ",\"v\":01}", 0},                     /* not JSON */
    {"{" P ",\"v\":\"\\uD800\"}", 0},            /* half a surrogate pair */
    {"{" P ",\"v\":\"\xC0\xAF\"}", 0},           /* not UTF-8 */
    {"{" P ",\"v\":\"", 0},                      /* cut */
};

enum { LINES = sizeof lines / sizeof *lines };

/* Repeats the lines until they fill several batches, with blank lines, which no reader gets. */
START_TEST(mixed_lines)
{
    enum { ROUNDS = 12 };
    struct buf plain = {0}, gzip = {0};
    size_t i, round, sure = 0;

    for (round = 0; round < ROUNDS; round++)
        for (i = 0; i < LINES; i++) {
            buf_printf(&plain, "%s%s\n", lines[i].line, i % 4 ? "" : "\n \r");
            sure += (size_t)lines[i].sure;
        }
    if (_i)
        scripted_gzip(&gzip, plain.p, plain.len);
    decode_both_ways(_i ? &gzip : &plain, _i, sure, (size_t)ROUNDS * LINES);
    buf_free(&plain);
    buf_free(&gzip);
}
END_TEST

/* A last line without a line feed. */
START_TEST(last_line)
{
    struct buf plain = {0};

    buf_printf(&plain, "%s\n%s", lines[0].line, lines[_i].line);
    decode_both_ways(&plain, 0, 1 + (size_t)lines[_i].sure, 2);
    buf_free(&plain);
}
END_TEST

SUITE("scanner")
{
    suite_case("files");
    suite_loop(generated_file, 0, 4);
    suite_case("lines");
    suite_loop(mixed_lines, 0, 2);
    suite_loop(last_line, 0,
               LINES - 1); /* without the line that is cut, which makes the file fail */
}
