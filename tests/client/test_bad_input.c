/* Faults in the data that the server sends. Each fault must cause its own error code, and the error
 * must name the file and the line. The valid lines before the fault are delivered and marked as
 * provisional. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../sample.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

/* Opens a sandbox that imitates the server version `era` and has the fault `spec` (NULL = none).
 * Makes a config, and an export that this version supports. The test may then set options of the
 * config before it starts the session. */
static void begin(const char *era, const char *spec)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = era));
    fixture_config(&fx);
    if (spec)
        fixture_fault(&fx, spec);
    fixture_export_eob(&fx, era);
}

/* Checks that the job failed because its only file did, and that both have the same error. */
static const bcda_error *check_file_failed(struct run *r, int code)
{
    const bcda_error *e = fixture_check_failed(r, code);
    const bcda_file *f = fixture_file(r, EOB, 0);
    size_t i;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(bcda_file_verdict(f), BCDA_VERDICT_FAILED);
    ck_assert_int_eq(bcda_error_code(bcda_file_error(f)), code);
    ck_assert_str_eq(bcda_error_file(bcda_file_error(f)), bcda_file_name(f));
    ck_assert_str_eq(bcda_error_file(e), bcda_file_name(f));
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), bcda_file_name(f)));
    for (i = 0; i < r->count; i++)
        ck_assert_int_eq(r->got[i].provisional, 1);
    return e;
}

/* Returns the offset at which the n-th line of the decoded file begins. */
static int64_t line_offset(struct run *r, int64_t n)
{
    size_t len, at = 0;
    char *plain = fixture_read(sandbox_plain_file(r->fixture->sandbox, EOB, 0), &len);

    while (--n)
        at = (size_t)((char *)memchr(plain + at, '\n', len - at) - plain) + 1;
    free(plain);
    return (int64_t)at;
}

/* ---- invalid answers ---- */

struct answer_case {
    const char *fault;
    int code;
};

static const struct answer_case answers[] = {
    {"manifest-not-json", BCDA_ERR_NOT_JSON}, {"manifest-not-manifest", BCDA_ERR_MANIFEST},
    {"status-html", BCDA_ERR_NOT_JSON},       {"token-html", BCDA_ERR_NOT_JSON},
    {"token-no-token", BCDA_ERR_TOKEN},       {"reset", BCDA_ERR_TRANSFER},
};

START_TEST(answer)
{
    const struct answer_case *c = &answers[_i / 3];
    struct run *r;

    begin(_i / 3 % 2 ? "2019-04" : "current", c->fault);
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    (void)fixture_check_failed(r, c->code);
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
}
END_TEST

START_TEST(wrong_secret)
{
    struct run *r;

    begin("2019-04", NULL);
    ck_assert_ok(
        bcda_config_set_client_credentials(fx.config, sandbox_client_id(fx.sandbox), "wrong"));
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, BCDA_ERR_AUTH);
    fixture_close(&fx);
}
END_TEST

/* A manifest with as many files as allowed is accepted (_i = 0). With one file more (1), or with
 * too many bytes (2), it is refused. */
START_TEST(answer_limits)
{
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = "2019-04", .files = 8));
    fixture_config(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    if (_i < 2)
        fixture_set(&fx, BCDA_OPT_MANIFEST_ENTRIES_MAX, 8 - _i);
    else if (_i == 2)
        fixture_set(&fx, BCDA_OPT_MANIFEST_MAX, 1024);
    r = fixture_run(&fx, BY_RESOURCE);
    if (_i == 0)
        fixture_check_export(r);
    else
        (void)fixture_check_failed(r, BCDA_ERR_BODY_TOO_LARGE);
    fixture_close(&fx);
}
END_TEST

/* ---- keys ---- */

struct key_case {
    const char *fault;
    int code;
};

static const struct key_case keys[] = {
    {"wrong-label", BCDA_ERR_KEY_LABEL},
    {"wrong-key", BCDA_ERR_KEY_UNWRAP},
    {"key-not-hex", BCDA_ERR_KEY_VALUE},
};

/* An invalid key in the manifest fails its file before the client requests that file. */
START_TEST(key)
{
    struct run *r;

    begin("2019-04", keys[_i].fault);
    r = fixture_run(&fx, BY_RESOURCE);
    (void)check_file_failed(r, keys[_i].code);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 0);
    fixture_close(&fx);
}
END_TEST

START_TEST(key_missing)
{
    struct bcda__clock clock;
    struct run *r;

    begin("2019-04", NULL);
    clock = fx.config->clock;
    bcda_config_free(fx.config);
    ck_assert_ok(bcda_config_new(&fx.config));
    fx.config->clock = clock;
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, sandbox_fhir_url(fx.sandbox, 1)));
    ck_assert_ok(bcda_config_set_bearer_token(fx.config, sandbox_bearer_token(fx.sandbox)));
    ck_assert_ok(bcda_config_set_ca_file(fx.config, sandbox_ca_file(fx.sandbox)));
    r = fixture_run(&fx, BY_RESOURCE);
    (void)check_file_failed(r, BCDA_ERR_KEY_MISSING);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 0);
    fixture_close(&fx);
}
END_TEST

/* The file is encrypted, but the manifest names no key for it: the client reads the ciphertext as
 * NDJSON, and finds no valid line. The ciphertext is random: it can begin with line feeds, so the
 * invalid line need not be the first. */
START_TEST(key_not_named)
{
    struct run *r;
    int code;

    begin("2019-04", "no-key");
    r = fixture_run(&fx, BY_RESOURCE);
    code = r->result;
    ck_assert_msg(code <= BCDA_ERR_LINE_JSON && code >= BCDA_ERR_LINE_TYPE, "%s",
                  bcda_error_name(code));
    ck_assert_int_ge(bcda_error_line(check_file_failed(r, code)), 1);
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
}
END_TEST

/* ---- bytes ---- */

struct bytes_case {
    const char *era, *fault;
    int code;
};

static const struct bytes_case bytes[] = {
    {"2019-04", "data-empty", BCDA_ERR_CIPHER_SHORT},
    {"2019-04", "data-short:1", BCDA_ERR_CIPHER_SHORT},
    {"2019-04", "data-short:12", BCDA_ERR_CIPHER_SHORT},
    {"2019-04", "data-short:27", BCDA_ERR_CIPHER_SHORT},
    {"2019-04", "data-short:28", BCDA_ERR_TAG},
    {"2019-04", "data-short:100000", BCDA_ERR_TAG},
    {"2019-04", "data-extra:1", BCDA_ERR_TAG},
    {"2019-04", "data-extra:5000", BCDA_ERR_TAG},
    {"2019-04", "data-cut:0", BCDA_ERR_TRUNCATED},
    {"2019-04", "data-cut:1", BCDA_ERR_TRUNCATED},
    {"2019-04", "data-reset:1", BCDA_ERR_TRUNCATED},
    {"2019-04", "chunked-no-end", BCDA_ERR_TRUNCATED},
    {"2019-04", "data-html", BCDA_ERR_TAG},
    {"2019-12", "data-cut:1", BCDA_ERR_TRUNCATED},
    {"2019-12", "data-reset:1", BCDA_ERR_TRUNCATED},
    {"2019-12", "chunked-no-end", BCDA_ERR_TRUNCATED},
    {"2019-12", "data-html", BCDA_ERR_NOT_JSON},
    {"2021", "chunked-no-end", BCDA_ERR_TRUNCATED},
    {"2021", "data-cut:1000", BCDA_ERR_TRUNCATED},
    {"2021", "data-extra:7", BCDA_ERR_LINE_UTF8}, /* 7 bytes added to the NDJSON, before gzip */
    {"current", "data-empty", BCDA_ERR_GZIP_CUT},
    {"current", "data-short:1", BCDA_ERR_GZIP_CUT},
    {"current", "data-short:9", BCDA_ERR_GZIP_CUT},
    {"current", "data-short:2000", BCDA_ERR_GZIP_CUT},
    {"current", "data-extra:1", BCDA_ERR_GZIP},
    {"current", "data-extra:5000", BCDA_ERR_GZIP},
    {"current", "data-cut:1", BCDA_ERR_TRUNCATED},
    {"current", "chunked-no-end", BCDA_ERR_TRUNCATED},
    {"current", "data-html", BCDA_ERR_NOT_JSON},
};

START_TEST(spoilt_bytes)
{
    const struct bytes_case *c = &bytes[_i];
    const bcda_error *e;
    struct run *r;

    begin(c->era, c->fault);
    r = fixture_run(&fx, BY_RESOURCE);
    e = check_file_failed(r, c->code);
    if (strcmp(c->era, "2019-12") == 0 && c->code == BCDA_ERR_TRUNCATED &&
        strcmp(c->fault, "chunked-no-end") != 0)
        ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "1 of "));
    if (strcmp(c->fault, "data-html") != 0)
        (void)fixture_check_file(r, fixture_file(r, EOB, 0), 0); /* what was delivered is valid */
    if (strstr(c->fault, "00000"))
        ck_assert_uint_gt(r->count, 0);
    fixture_close(&fx);
}
END_TEST

/* The response is cut after some of the file was delivered. If the server supports Range, the
 * client requests the rest. If not (_i is odd), the client requests the whole file again and
 * compares it with the bytes received before; every response is cut at the same offset. */
START_TEST(cut_bytes)
{
    const char *era = _i / 2 ? "2019-12" : "2019-04";
    struct run *r;

    begin(era, "data-cut:300000");
    if (_i % 2)
        fixture_fault(&fx, "no-range");
    r = fixture_run(&fx, BY_RESOURCE);
    if (_i % 2) {
        (void)check_file_failed(r, BCDA_ERR_TRUNCATED);
        (void)fixture_check_file(r, fixture_file(r, EOB, 0), 0);
        ck_assert_uint_gt(r->count, 0);
        ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 9); /* the last 8 add no byte */
        ck_assert_int_eq(bcda_file_bytes_received(fixture_file(r, EOB, 0)), 300000);
    } else {
        fixture_check_export(r);
        ck_assert_uint_eq(sandbox_count(fx.sandbox, "range"),
                          sandbox_count(fx.sandbox, "data") - 1);
    }
    fixture_close(&fx);
}
END_TEST

/* The file is cut before a batch is full, and each attempt must start from offset 0. The valid
 * resources are delivered when the last attempt has failed, and only once. */
START_TEST(cut_small_whole)
{
    struct run *r;

    begin(_i ? "2019-04" : "2019-12", "data-cut:20000");
    fixture_fault(&fx, "no-range");
    r = fixture_run(&fx, BY_RESOURCE);
    (void)check_file_failed(r, BCDA_ERR_TRUNCATED);
    (void)fixture_check_file(r, fixture_file(r, EOB, 0), 0);
    ck_assert_uint_gt(r->count, 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 9);
    ck_assert_int_eq(bcda_file_bytes_received(fixture_file(r, EOB, 0)), 20000);
    fixture_close(&fx);
}
END_TEST

/* The Content-Length of the first response names more bytes than the file has. According to the
 * answer to the range request there are no more bytes, but nothing in the received data proves
 * this. The client then requests the whole file again, which comes with its true length: the file
 * counts as changed. */
START_TEST(length_told_once)
{
    const char *era = _i % 2 ? "2019-12" : "2019-04";
    const bcda_error *e;
    struct run *r;

    begin(era, "length-more:10*1");
    if (_i / 2)
        fixture_fault(&fx, "no-range");
    r = fixture_run(&fx, BY_RESOURCE);
    e = check_file_failed(r, BCDA_ERR_CHANGED);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "its length is another"));
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), _i / 2 ? 2 : 3);
    fixture_close(&fx);
}
END_TEST

/* Every response is cut long before a batch is full, but each adds a few bytes to those received
 * before, until the file is complete. */
START_TEST(cut_small)
{
    struct run *r;

    begin(_i ? "2019-04" : "current", _i ? "data-cut:20000" : "data-cut:2000");
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "range"), sandbox_count(fx.sandbox, "data") - 1);
    fixture_close(&fx);
}
END_TEST

/* An encrypted file with an empty plain text (28 bytes: only nonce and tag) is complete, with no
 * resources. */
START_TEST(encrypted_empty)
{
    const bcda_file *f;
    struct run *r;

    begin("2019-04", "data-28");
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    f = fixture_file(r, EOB, 0);
    ck_assert_int_eq(bcda_file_verdict(f), BCDA_VERDICT_COMPLETE);
    ck_assert_int_eq(bcda_file_bytes(f), 0);
    ck_assert_int_eq(bcda_file_bytes_received(f), 28);
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
}
END_TEST

/* ---- one flipped bit or a cut, at any offset ---- */

static long file_size(void)
{
    struct stat st;

    ck_assert_int_eq(stat(sandbox_stored_file(fx.sandbox, EOB, 0), &st), 0);
    return (long)st.st_size;
}

/* Completes a job without a fault and returns its status URL. With this URL, a test requests the
 * file of the job many times, each time with a fault. */
static char *whole_first(const char *era, int tls)
{
    struct sandbox_options o = {0};
    struct run *r;
    char *url;

    o.era = era;
    o.patients = 3;
    o.claims = 12;
    if (tls)
        fixture_open_sandbox(&fx, &o);
    else
        fixture_open_sandbox_http(&fx, &o);
    fx.no_log = 1;
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 1);
    fixture_session(&fx);
    fixture_export_eob(&fx, era);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_int_gt(bcda_file_bytes(fixture_file(r, EOB, 0)), 262144); /* more than one batch */
    url = strdup(bcda_job_url(r->job));
    fixture_end(&fx);
    return url;
}

static void session_again(void)
{
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 1);
    fixture_session(&fx);
}

static struct run *fetch_again(const char *url, const char *kind, long at)
{
    struct run *r;
    char spec[64];

    sandbox_clear_faults(fx.sandbox);
    snprintf(spec, sizeof spec, "%s:%ld", kind, at);
    fixture_fault(&fx, spec);
    r = fixture_attach(&fx, BY_RESOURCE, url, NULL, NULL);
    fixture_finish(&fx);
    return r;
}

static uint32_t seed;

static long roll(long below)
{
    if (!seed)
        seed = (uint32_t)sample_seed();
    seed = seed * 1664525u + 1013904223u;
    return (long)((uint64_t)seed * (uint64_t)below >> 32);
}

/* Returns the i-th of `count` offsets: 40 at each end of the file, and random ones in between. */
static long place(int i, int count, long size)
{
    if (i < 40)
        return i;
    return i < count - 40 ? roll(size) : size - count + i;
}

enum { PER_SESSION = 20, FLIPS = 280, CUTS = 100, SAMPLE = 40 };

/* Returns 1 for bytes of a gzip header whose lowest bit does not affect decoding: MTIME, XFL and OS
 * (bytes 4 to 9), and FLG (byte 3), whose lowest bit only states that the data is text. */
static int is_gzip_header_note(long at)
{
    return at >= 3 && at <= 9;
}

static void check_flip(struct run *r, int encrypted, long at, long size)
{
    if (!encrypted && is_gzip_header_note(at)) {
        fixture_check_export(r);
        return;
    }
    ck_assert_msg(encrypted ? r->result == BCDA_ERR_TAG
                            : r->result == BCDA_ERR_GZIP || r->result == BCDA_ERR_GZIP_CUT,
                  "byte %ld of %ld: %s", at, size, bcda_error_name(r->result));
    (void)check_file_failed(r, r->result);
}

static void check_cut(struct run *r, int encrypted, long at, long size)
{
    int code = !encrypted ? BCDA_ERR_GZIP_CUT : at < 28 ? BCDA_ERR_CIPHER_SHORT : BCDA_ERR_TAG;

    ck_assert_msg(r->result == code, "cut at %ld of %ld: %s", at, size, bcda_error_name(r->result));
    (void)check_file_failed(r, code);
    (void)fixture_check_file(r, fixture_file(r, EOB, 0), 0);
}

/* Requests the file once for each offset in a sample of `count` offsets. Each time, the sandbox
 * applies `fault` at that offset. */
static void spoil_offsets(int encrypted, const char *fault, int count,
                          void (*check)(struct run *r, int encrypted, long at, long size))
{
    char *url = whole_first(encrypted ? "2019-04" : "current", 0);
    long size = file_size(), at;
    int i, runs = 0;

    for (i = 0; i < count; i++) {
        at = place(i, count, size);
        if (!sample_takes((uint64_t)i, (uint64_t)count, SAMPLE))
            continue;
        if (runs++ % PER_SESSION == 0) {
            if (runs > 1)
                fixture_end(&fx);
            session_again();
        }
        check(fetch_again(url, fault, at), encrypted, at, size);
    }
    free(url);
    fixture_close(&fx);
}

START_TEST(flip_encrypted)
{
    spoil_offsets(1, "data-flip", FLIPS, check_flip);
}
END_TEST

START_TEST(flip_gzip)
{
    spoil_offsets(0, "data-flip", FLIPS, check_flip);
}
END_TEST

START_TEST(cut_gzip)
{
    spoil_offsets(0, "data-short", CUTS, check_cut);
}
END_TEST

START_TEST(cut_encrypted)
{
    spoil_offsets(1, "data-short", CUTS, check_cut);
}
END_TEST

/* ---- lines ---- */

static const char *const eras[] = {"2019-04", "2019-12", "current"};

struct line_case {
    const char *fault;
    int code;
};

static const struct line_case lines[] = {
    {"bad-utf8", BCDA_ERR_LINE_UTF8},
    {"bad-json", BCDA_ERR_LINE_JSON},
    {"long-line:100001", BCDA_ERR_LINE_TOO_LONG},
    {"deep-line:65", BCDA_ERR_LINE_DEPTH},
};

enum { LINES = sizeof lines / sizeof *lines };

static struct run *with_bad_line(int i, int64_t max, enum delivery_way way)
{
    begin(eras[i / LINES % 3], lines[i % LINES].fault);
    fixture_set(&fx, BCDA_OPT_LINE_MAX, 100000);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, max);
    return fixture_run(&fx, way);
}

/* The first invalid line fails the file, after the lines before it were delivered. */
START_TEST(bad_line)
{
    int i = _i % (LINES * 3);
    struct run *r = with_bad_line(i, 0, (enum delivery_way)(_i / (LINES * 3)));
    const bcda_error *e = check_file_failed(r, lines[i % LINES].code);

    ck_assert_int_eq(bcda_error_line(e), 2);
    ck_assert_int_eq(bcda_error_offset(e), line_offset(r, 2));
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "line 2"));
    ck_assert_uint_eq(r->count, 1);
    ck_assert_uint_eq(fixture_check_file(r, fixture_file(r, EOB, 0), 0), 1);
    ck_assert_int_eq(bcda_file_resources(fixture_file(r, EOB, 0)), 1);
    ck_assert_uint_eq(r->bad_count, 1);
    ck_assert_int_eq(r->bad[0].code, lines[i % LINES].code);
    ck_assert_int_eq(r->bad[0].number, 2);
    ck_assert_int_eq(r->bad[0].offset, line_offset(r, 2));
    ck_assert_uint_eq(r->bad[0].resources, r->way == BY_PULL ? 0 : 1);
    fixture_close(&fx);
}
END_TEST

/* With an invalid line that is tolerated, all other lines are delivered, in order. */
START_TEST(bad_line_tolerated)
{
    int i = _i % (LINES * 3);
    struct run *r = with_bad_line(i, _i % 2 ? -1 : 1, (enum delivery_way)(_i / (LINES * 3)));
    const bcda_file *f = fixture_file(r, EOB, 0);
    size_t k;

    fixture_check_result(r, 0);
    ck_assert_int_eq(bcda_file_verdict(f), BCDA_VERDICT_COMPLETE_BAD_LINES);
    ck_assert_int_eq(bcda_file_bad_lines(f), 1);
    ck_assert_int_eq(bcda_job_bad_lines(r->job), 1);
    ck_assert_uint_eq(r->count, 49);
    for (k = 0; k < r->count; k++) {
        int64_t number = (int64_t)k + (k ? 2 : 1);

        ck_assert_int_eq(r->got[k].number, number);
        ck_assert_int_eq(r->got[k].offset, line_offset(r, number));
    }
    ck_assert_uint_eq(r->bad_count, 1);
    ck_assert_int_eq(r->bad[0].number, 2);
    ck_assert_int_eq(r->bad[0].length, line_offset(r, 3) - line_offset(r, 2) - 1);
    ck_assert_int_eq(r->bad[0].bytes == NULL, lines[i % LINES].code == BCDA_ERR_LINE_TOO_LONG);
    fixture_close(&fx);
}
END_TEST

/* A line of exactly the allowed length or nesting depth is valid. */
START_TEST(line_at_limit)
{
    struct run *r;

    begin(eras[_i % 3], _i / 3 ? "long-line:100000" : "deep-line:64");
    fixture_set(&fx, BCDA_OPT_LINE_MAX, 100000);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_uint_eq(r->count, 50);
    ck_assert_str_eq(r->got[1].id, _i / 3 ? "long-line" : "deep-line");
    fixture_close(&fx);
}
END_TEST

/* Three files have an invalid line each. The number of tolerated lines (BCDA_OPT_BAD_LINES_MAX)
 * applies to the whole job. */
START_TEST(bad_lines_counted)
{
    struct run *r;
    int i, complete = 0;

    fixture_open_sandbox(&fx, SANDBOX(.era = "2019-04", .files = 3));
    fixture_config(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    fixture_fault(&fx, "bad-json");
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, _i / 3 ? 3 : 2);
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    for (i = 0; i < 3; i++)
        complete +=
            bcda_file_verdict(fixture_file(r, EOB, (unsigned)i)) == BCDA_VERDICT_COMPLETE_BAD_LINES;
    if (_i / 3) {
        ck_assert_int_eq(r->result, 0);
        ck_assert_int_eq(complete, 3);
        ck_assert_uint_eq(r->bad_count, 3);
    } else {
        const bcda_error *e = fixture_check_failed(r, BCDA_ERR_BAD_LINES);

        ck_assert_int_eq(complete, 2);
        ck_assert_int_eq(bcda_error_line(e), 2);
        ck_assert_str_eq(bcda_error_file(e), bcda_file_name(fixture_file(r, EOB, 2)));
    }
    fixture_close(&fx);
}
END_TEST

static int stop_at_bad_line(struct run *r, enum where where, void *object)
{
    (void)r;
    (void)object;
    return where == AT_BAD_LINE ? *(int *)r->arg : BCDA_CONTINUE;
}

START_TEST(bad_line_stops)
{
    static const int given[] = {BCDA_STOP, BCDA_PAUSE, 7};
    int answer_given = given[_i];
    struct run *r;

    begin("2019-04", "bad-json");
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    r = fixture_run_hook(&fx, BY_RESOURCE, stop_at_bad_line, &answer_given);
    ck_assert_ptr_nonnull(
        strstr(bcda_error_text(fixture_check_failed(r, _i ? BCDA_ERR_CALLBACK : BCDA_ERR_STOPPED)),
               "on_bad_line"));
    ck_assert_uint_eq(r->count, 1);
    fixture_close(&fx);
}
END_TEST

START_TEST(line_cut)
{
    const bcda_error *e;
    struct run *r;

    begin(eras[_i % 3], "cut-line");
    r = fixture_run(&fx, (enum delivery_way)(_i / 3));
    e = check_file_failed(r, BCDA_ERR_LINE_CUT);
    ck_assert_int_eq(bcda_error_line(e), 50);
    ck_assert_int_eq(bcda_error_offset(e), line_offset(r, 50));
    ck_assert_uint_eq(r->count, 49);
    ck_assert_uint_eq(fixture_check_file(r, fixture_file(r, EOB, 0), 0), 49);
    fixture_close(&fx);
}
END_TEST

/* The file has an invalid line, and was also altered or cut. The error is about the alteration
 * (wrong tag) or the cut (incomplete gzip stream), not about the invalid line. */
START_TEST(altered_and_bad)
{
    struct run *r;

    begin(_i ? "current" : "2019-04", "bad-json");
    fixture_fault(&fx, _i ? "data-short:3000" : "data-flip:-1");
    r = fixture_run(&fx, BY_RESOURCE);
    (void)check_file_failed(r, _i ? BCDA_ERR_GZIP_CUT : BCDA_ERR_TAG);
    ck_assert_uint_le(r->count, 1);
    fixture_close(&fx);
}
END_TEST

/* When one file fails, the other files are still complete, and the job's error names the failed
 * file. */
START_TEST(others_come)
{
    const bcda_error *e;
    const bcda_file *f;
    struct run *r;
    size_t i;

    begin("current", _i ? "data-404@Coverage" : "bad-json@Coverage");
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_run(&fx, BY_BATCH);
    e = fixture_check_failed(r, _i ? BCDA_ERR_NOT_FOUND : BCDA_ERR_LINE_JSON);
    f = fixture_file(r, "Coverage", 0);
    ck_assert_str_eq(bcda_error_file(e), bcda_file_name(f));
    ck_assert_int_eq(bcda_file_verdict(f), BCDA_VERDICT_FAILED);
    for (i = 0; i < bcda_job_file_count(r->job); i++) {
        if (bcda_job_file(r->job, i) == f)
            continue;
        ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, i)), BCDA_VERDICT_COMPLETE);
        ck_assert_uint_gt(fixture_check_file(r, bcda_job_file(r->job, i), 1), 0);
    }
    fixture_close(&fx);
}
END_TEST

SUITE("bad_input")
{
    suite_case("answers");
    suite_loop(answer, 0, 3 * (int)(sizeof answers / sizeof *answers));
    suite_test(wrong_secret);
    suite_loop(answer_limits, 0, 3);
    suite_case("keys");
    suite_loop(key, 0, sizeof keys / sizeof *keys);
    suite_test(key_missing);
    suite_test(key_not_named);
    suite_case("bytes");
    suite_loop(spoilt_bytes, 0, sizeof bytes / sizeof *bytes);
    suite_loop(cut_bytes, 0, 4);
    suite_loop(cut_small_whole, 0, 2);
    suite_loop(length_told_once, 0, 4);
    suite_loop(cut_small, 0, 2);
    suite_test(encrypted_empty);
    suite_test(flip_encrypted);
    suite_test(flip_gzip);
    suite_test(cut_gzip);
    suite_test(cut_encrypted);
    suite_case("lines");
    suite_sample(bad_line, 0, LINES * 3 * 3, 18);
    suite_sample(bad_line_tolerated, 0, LINES * 3 * 3, 18);
    suite_loop(line_at_limit, 0, 6);
    suite_loop(bad_lines_counted, 0, 6);
    suite_loop(bad_line_stops, 0, 3);
    suite_loop(line_cut, 0, 9);
    suite_loop(altered_and_bad, 0, 2);
    suite_loop(others_come, 0, 2);
}
