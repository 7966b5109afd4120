/* How files and jobs end: files that differ from what the manifest says of them (Bulk Data `count`;
 * the checksums and lengths of AB2D and DPC), servers that answer each range request with less than
 * it asks for, and the job's budget of retries. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tempdir.h"
#include "fixture.h"

static struct fixture fx;
static char folder[256];

enum { LINES = 400, UNSAID = 9 };

static void remove_folder(void)
{
    if (folder[0])
        remove(folder);
    folder[0] = '\0';
}

static void verified(void)
{
    snprintf(folder, sizeof folder, "%s/bcda-verdict-XXXXXX", tempdir());
    ck_assert_ptr_nonnull(mkdtemp(folder));
    atexit(remove_folder);
    fixture_set_verified(&fx, folder);
}

static void add_hex_sum(struct buf *to, const struct buf *data, int wrong)
{
    unsigned char sum[32];
    int i;

    EVP_Digest(data->p, data->len, sum, NULL, EVP_sha256(), NULL);
    sum[7] ^= (unsigned char)wrong;
    for (i = 0; i < 32; i++)
        buf_printf(to, "%02x", sum[i]);
}

/* The values for the file in the manifest, as differences from the true values. UNSAID = the
 * manifest does not have the value. */
struct said {
    int length, count, sum, code;
    const char *server;
};

static void reply_manifest(const struct said *w, const struct buf *data, const char *key)
{
    struct buf m = {0};

    buf_printf(&m,
               "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"requiresAccessToken\":true,"
               "\"output\":[{\"type\":\"Patient\",\"url\":\"%s/data/a.ndjson\"",
               scripted_origin(fx.server));
    if (key)
        buf_printf(&m, ",\"encryptedKey\":\"%s\"", key);
    if (w->count != UNSAID)
        buf_printf(&m, ",\"count\":%d", LINES + w->count);
    buf_str(&m, ",\"extension\":[{\"url\":\"https://example.org/x\",\"valueString\":\"y\"}");
    if (w->length != UNSAID)
        buf_printf(&m, ",{\"url\":\"https://%s.cms.gov/file_length\",\"valueDecimal\":%zu}",
                   w->server, data->len + (size_t)w->length);
    if (w->sum != UNSAID) {
        buf_printf(
            &m, ",{\"url\":\"https://%s.cms.gov/checksum\",\"valueString\":\"sha256:", w->server);
        add_hex_sum(&m, data, w->sum);
        buf_str(&m, "\"}");
    }
    buf_str(&m, "]}],\"error\":[]}");
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", m.p, m.len);
    buf_free(&m);
}

static const struct said saids[] = {
    {0, 0, 0, 0, "ab2d"},
    {UNSAID, UNSAID, UNSAID, 0, "ab2d"},
    {0, 0, 0, 0, "dpc"},
    {1, 0, 0, BCDA_ERR_LENGTH, "ab2d"},
    {-1, UNSAID, UNSAID, BCDA_ERR_LENGTH, "dpc"},
    {UNSAID, 1, UNSAID, BCDA_ERR_COUNT, "dpc"},
    {0, -1, 0, BCDA_ERR_COUNT, "dpc"},
    {0, 0, 1, BCDA_ERR_CHECKSUM, "dpc"},
    {UNSAID, UNSAID, 1, BCDA_ERR_CHECKSUM, "ab2d"},
};

enum { SAIDS = sizeof saids / sizeof *saids, FORMS = 3 };

/* Each form of a file, in streaming and verified delivery. The resources of a file that fails are
 * marked as provisional, or are never delivered. */
START_TEST(manifest_says)
{
    const struct said *w = &saids[_i % SAIDS];
    int form = _i / SAIDS % FORMS, spool = _i / SAIDS / FORMS;
    struct buf plain = {0};
    const bcda_error *e;
    struct run *r;
    char *key;
    size_t i;

    fixture_open_scripted(&fx, 1);
    fixture_add_patients(&plain, 0, LINES);
    key = scripted_reply_file(fx.server, "/data/a.ndjson", (enum scripted_form)form, &plain);
    reply_manifest(w, &plain, key);
    scripted_export(fx.server, NULL, 0);
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    if (spool)
        verified();
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    if (w->code) {
        e = fixture_check_failed(r, w->code);
        ck_assert_str_eq(bcda_error_file(e), "a.ndjson");
        ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "the manifest"));
        ck_assert_uint_eq(r->count, spool ? 0 : LINES);
    } else {
        fixture_check_result(r, 0);
        ck_assert_uint_eq(r->count, LINES);
    }
    ck_assert_int_eq(bcda_file_resources_expected(bcda_job_file(r->job, 0)),
                     w->count == UNSAID ? -1 : LINES + w->count);
    if (w->code && !spool)
        for (i = 0; i < r->count; i++)
            ck_assert_int_eq(r->got[i].provisional, 1);
    fixture_close(&fx);
    remove_folder();
    buf_free(&plain);
    free(key);
}
END_TEST

/* With BCDA_OPT_CHECK_COUNT off, a server that sends wrong counts can be used. */
START_TEST(count_is_passed_over)
{
    static const struct said w = {UNSAID, 5, UNSAID, 0, ""};
    struct buf plain = {0};
    struct run *r;

    fixture_open_scripted(&fx, 1);
    fixture_add_patients(&plain, 0, LINES);
    (void)scripted_reply_file(fx.server, "/data/a.ndjson", SCRIPTED_PLAIN, &plain);
    reply_manifest(&w, &plain, NULL);
    scripted_export(fx.server, NULL, 0);
    fixture_set(&fx, BCDA_OPT_CHECK_COUNT, 0);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, LINES);
    fixture_close(&fx);
    buf_free(&plain);
}
END_TEST

/* ---- DPC: 206 responses that are shorter than requested, and wrong totals ---- */

static void reply_part(const struct buf *data, size_t from, size_t len, const char *modified)
{
    struct scripted_answer *a = scripted_on(fx.server, "/data/a", 1);
    char head[256];

    snprintf(head, sizeof head,
             "HTTP/1.1 206 Partial Content\r\nContent-Length: %zu\r\n"
             "Content-Range: bytes %zu-%zu/%zu\r\nLast-Modified: %s\r\n\r\n",
             len, from, from + len - 1, data->len + 17, modified);
    scripted_text(a, head);
    scripted_send(a, data->p + from, len);
}

/* The first response is cut in the middle. The rest comes in 206 responses whose Content-Range has
 * a wrong total. If their Last-Modified differs as well (_i = 1), the file may have changed: the
 * client requests the whole file and compares it with the bytes received before. */
START_TEST(wrong_totals)
{
    const char *date = "1700000000000"; /* milliseconds since 1970, as DPC sends it */
    struct buf plain = {0}, cut = {0};
    struct scripted_answer *a;
    struct run *r;
    size_t at, part = 8192;

    fixture_open_scripted(&fx, 1);
    fixture_add_patients(&plain, 0, LINES);
    at = plain.len / 2;
    a = scripted_on(fx.server, "/data/a", 1);
    buf_printf(&cut,
               "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nAccept-Ranges: bytes\r\n"
               "Last-Modified: %s\r\n\r\n",
               plain.len, date);
    scripted_text(a, cut.p);
    scripted_send(a, plain.p, at);
    scripted_finish(a, SCRIPTED_CUT);
    for (; !_i && at < plain.len; at += part - 64)
        reply_part(&plain, at - 64, at - 64 + part < plain.len ? part : plain.len - at + 64, date);
    if (_i)
        reply_part(&plain, at - 64, 200, "1700000000001");
    scripted_reply(fx.server, "/data/a", "200 OK", "Last-Modified: 1700000000001\r\n", plain.p,
                   plain.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, LINES);
    ck_assert_int_eq(scripted_count(fx.server, "Range: bytes=") > 2, !_i);
    fixture_close(&fx);
    buf_free(&plain);
    buf_free(&cut);
}
END_TEST

/* ---- a file that never comes whole ---- */

START_TEST(always_cut)
{
    struct buf plain = {0};
    struct scripted_answer *a;
    const bcda_error *error;
    struct run *r;
    char head[64];

    fixture_open_scripted(&fx, 1);
    fixture_add_patients(&plain, 0, LINES);
    a = scripted_on(fx.server, "/data/a", 0);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", plain.len);
    scripted_text(a, head);
    scripted_send(a, plain.p, plain.len / 2);
    scripted_finish(a, _i ? SCRIPTED_RESET : SCRIPTED_CUT);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run(&fx, BY_RESOURCE);
    if (_i) /* a reset may discard what was sent before it, even the head */
        ck_assert(r->result == BCDA_ERR_TRUNCATED || r->result == BCDA_ERR_TRANSFER);
    error = fixture_check_failed(r, _i ? r->result : BCDA_ERR_TRUNCATED);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(error), "breaks this file off each time"));
    ck_assert_ptr_nonnull(strstr(bcda_error_text(error), "option \"parallel\""));
    fixture_close(&fx);
    buf_free(&plain);
}
END_TEST

/* ---- a job's budget of retries ---- */

START_TEST(budget)
{
    static const char line[] = "{\"resourceType\":\"Patient\",\"id\":\"p0\"}\n";
    const bcda_error *error;
    struct scripted_answer *a;
    struct run *r;
    int i;

    fixture_open_scripted(&fx, 1);
    for (i = 0; i < 2; i++) { /* three errors for each file: six retries */
        a = scripted_on(fx.server, i ? "/data/b" : "/data/a", 3);
        scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    }
    scripted_reply(fx.server, "/data/", "200 OK", "", line, sizeof line - 1);
    scripted_export(fx.server, fixture_files, 2);
    fixture_set(&fx, BCDA_OPT_JOB_RETRIES_MAX, _i ? 5 : 6);
    r = fixture_run(&fx, BY_RESOURCE);
    if (_i) {
        error = fixture_check_failed(r, BCDA_ERR_SERVER);
        ck_assert_ptr_nonnull(strstr(bcda_error_text(error), "option \"job_retries_max\""));
        ck_assert_int_eq(bcda_error_http_status(error), 503);
    } else {
        ck_assert_int_eq(r->result, 0);
        ck_assert_uint_eq(r->count, 2);
    }
    fixture_close(&fx);
}
END_TEST

/* ---- several failures ---- */

/* The job reports the first file that failed; a file that fails later does not replace it, and the
 * others are still downloaded. */
START_TEST(first_failed_file)
{
    static const char *const statuses[] = {"403 Forbidden", "410 Gone"};
    static const int codes[] = {BCDA_ERR_FORBIDDEN, BCDA_ERR_GONE};
    const bcda_error *error;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/data/a", statuses[_i], "", "", 0);
    scripted_reply(fx.server, "/data/b", statuses[!_i], "", "", 0);
    fixture_reply_patients(&fx, "/data/c", 0, 3);
    scripted_export(fx.server, fixture_files, 3);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    error = fixture_check_failed(r, codes[_i]);
    ck_assert_str_eq(bcda_error_file(error), "a.ndjson");
    ck_assert_int_eq(bcda_error_http_status(error), _i ? 410 : 403);
    ck_assert_int_eq(bcda_error_code(bcda_file_error(bcda_job_file(r->job, 1))), codes[!_i]);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 2)), BCDA_VERDICT_COMPLETE);
    ck_assert_uint_eq(r->count, 3);
    fixture_close(&fx);
}
END_TEST

/* Records the order in which files begin. Error files must be downloaded last, wherever they are in
 * the manifest. */
static int note_order(struct run *r, enum where where, void *object)
{
    if (where == AT_BEGIN)
        strcat(r->arg, bcda_file_is_error(object) ? "e" : "d");
    return BCDA_CONTINUE;
}

START_TEST(error_files_last)
{
    static const struct scripted_entry e[] = {{"Patient", "/data/1-error.ndjson", NULL, 0},
                                              {"Patient", "/data/2.ndjson", NULL, 0},
                                              {"OperationOutcome", "/data/3.ndjson", NULL, 1},
                                              {"Patient", "/data/4.ndjson", NULL, 0}};
    char order[8] = "";
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, e, 4);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, note_order, order);
    ck_assert_int_eq(r->result, 0);
    ck_assert_str_eq(order, "ddee");
    fixture_close(&fx);
}
END_TEST

/* ---- the job's verdict ---- */

struct judged {
    const char *line, *severity; /* extra line of the data, severity of an issue; NULL = none */
    int verdict;
};

START_TEST(job_verdict)
{
    static const struct judged cases[] = {
        {NULL, NULL, BCDA_VERDICT_COMPLETE},
        {NULL, "information", BCDA_VERDICT_COMPLETE},
        {NULL, "warning", BCDA_VERDICT_COMPLETE},
        {NULL, "error", BCDA_VERDICT_COMPLETE_ERRORS},
        {NULL, "fatal", BCDA_VERDICT_COMPLETE_ERRORS},
        {"no JSON\n", NULL, BCDA_VERDICT_COMPLETE_ERRORS},
    };
    static const struct scripted_entry e[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                              {"OperationOutcome", "/data/e.ndjson", NULL, 1}};
    const struct judged *j = &cases[_i];
    struct buf data = {0}, issue = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_add_patients(&data, 0, 3);
    buf_str(&data, j->line ? j->line : "");
    buf_printf(&issue,
               "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"%s\"}]}\n",
               j->severity ? j->severity : "");
    scripted_reply(fx.server, "/data/a", "200 OK", "", data.p, data.len);
    scripted_reply(fx.server, "/data/e", "200 OK", "", issue.p, issue.len);
    scripted_export(fx.server, e, j->severity ? 2 : 1);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_job_verdict(r->job), BCDA_VERDICT_NONE);
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, 0);
    ck_assert_int_eq(bcda_job_verdict(r->job), j->verdict);
    fixture_close(&fx);
    buf_free(&data);
    buf_free(&issue);
}
END_TEST

/* ---- an invalid line, and a wrong tag or trailer ---- */

/* Altered bytes may make a line invalid before the tag or the trailer shows the alteration. The
 * error then reports the wrong tag or trailer, since that is the real cause. _i % 2: encrypted or
 * gzip; _i / 2: verified delivery. */
START_TEST(bad_line_of_altered_bytes)
{
    struct scripted_entry e = {"Patient", "/data/a.ndjson", NULL, 0};
    struct buf plain = {0}, packed = {0};
    int encrypted = _i % 2;
    char *key = NULL;
    struct run *r;

    fixture_open_scripted(&fx, 1);
    buf_str(&plain, "no json\n");
    fixture_add_patients(&plain, 0, LINES);
    if (encrypted)
        key = scripted_encrypt(&packed, plain.p, plain.len, "a.ndjson");
    else
        scripted_gzip(&packed, plain.p, plain.len);
    packed.p[packed.len - 6] ^= 1; /* in the tag, or in the gzip checksum */
    scripted_reply(fx.server, "/data/a", "200 OK", encrypted ? "" : "Content-Encoding: gzip\r\n",
                   packed.p, packed.len);
    e.key_hex = key;
    scripted_export(fx.server, &e, 1);
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    if (_i / 2)
        verified();
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, encrypted ? BCDA_ERR_TAG : BCDA_ERR_GZIP);
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
    remove_folder();
    buf_free(&plain);
    buf_free(&packed);
    free(key);
}
END_TEST

static void reply_first_half(int form, const struct buf *plain, char **key)
{
    struct scripted_answer *a = scripted_on(fx.server, "/data/a", 0);
    struct buf packed = {0};
    char head[128];

    *key = NULL;
    if (form)
        *key = scripted_encrypt(&packed, plain->p, plain->len, "a.ndjson");
    else
        scripted_gzip(&packed, plain->p, plain->len);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n", packed.len,
             form ? "" : "Content-Encoding: gzip\r\n");
    scripted_text(a, head);
    scripted_send(a, packed.p, packed.len / 2);
    scripted_finish(a, SCRIPTED_CUT);
    buf_free(&packed);
}

/* An invalid line fails the file, but the rest is read to check the tag or the trailer. If the
 * transfer then fails for good, the file is incomplete and cannot be checked. The error reports the
 * invalid line, not a wrong tag or trailer of the incomplete file. */
START_TEST(bad_line_of_a_cut_file)
{
    struct scripted_entry e = {"Patient", "/data/a.ndjson", NULL, 0};
    struct buf plain = {0};
    const bcda_error *error;
    struct run *r;
    char *key;

    fixture_open_scripted(&fx, 1);
    buf_str(&plain, "no json\n");
    fixture_add_patients(&plain, 0, LINES);
    reply_first_half(_i, &plain, &key);
    e.key_hex = key;
    scripted_export(fx.server, &e, 1);
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run(&fx, BY_RESOURCE);
    error = fixture_check_failed(r, BCDA_ERR_LINE_JSON);
    ck_assert_str_eq(bcda_error_file(error), "a.ndjson");
    ck_assert_uint_gt(scripted_count(fx.server, "/data/a"), 1); /* the rest was requested */
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
    buf_free(&plain);
    free(key);
}
END_TEST

/* `count` of an error file is not checked: it may mean files, issues or lines. */
START_TEST(count_of_an_error_file)
{
    static const char issue[] = "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":"
                                "\"warning\",\"code\":\"x\"}]}\n";
    struct buf m = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    buf_printf(&m,
               "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"requiresAccessToken\":true,"
               "\"output\":[],\"error\":[{\"type\":\"OperationOutcome\",\"count\":%d,"
               "\"url\":\"%s/data/e.ndjson\"}]}",
               _i * 5, scripted_origin(fx.server));
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", m.p, m.len);
    scripted_reply(fx.server, "/data/e", "200 OK", "", issue, sizeof issue - 1);
    scripted_export(fx.server, NULL, 0);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, 0);
    ck_assert_uint_eq(r->issue_count, 1);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_COMPLETE);
    ck_assert_int_eq(bcda_file_resources_expected(bcda_job_file(r->job, 0)), _i * 5);
    fixture_close(&fx);
    buf_free(&m);
}
END_TEST

SUITE("verdict")
{
    suite_case("verdict");
    suite_loop(manifest_says, 0, SAIDS * FORMS * 2);
    suite_test(count_is_passed_over);
    suite_loop(wrong_totals, 0, 2);
    suite_loop(always_cut, 0, 2);
    suite_loop(budget, 0, 2);
    suite_loop(first_failed_file, 0, 2);
    suite_test(error_files_last);
    suite_loop(job_verdict, 0, 6);
    suite_loop(bad_line_of_altered_bytes, 0, 4);
    suite_loop(bad_line_of_a_cut_file, 0, 2);
    suite_loop(count_of_an_error_file, 0, 2);
}
