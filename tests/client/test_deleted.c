/* Files of deletions (`deleted` in a manifest): what on_deleted gets, in which order, and what
 * happens when such a file is damaged. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

#define BUNDLE(entries) \
    "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[" entries "]}\n"
#define DELETE(url) "{\"request\":{\"method\":\"DELETE\",\"url\":\"" url "\"}}"
#define PATIENT(id) "{\"resourceType\":\"Patient\",\"id\":\"" id "\"}\n"

static void open_server(const struct scripted_entry *entries, size_t count)
{
    fixture_open_scripted(&fx, 0);
    scripted_export(fx.server, entries, count);
    fx.takes_deletions = 1;
    fixture_config(&fx);
}

static void reply(const char *path, const char *text)
{
    scripted_reply(fx.server, path, "200 OK", "", text, strlen(text));
}

static void check_deletions(const struct run *r, const char *want)
{
    const char *p;
    int64_t n = 0;

    for (p = want; *p; p++)
        n += *p == '\n';
    ck_assert_str_eq(r->deletions.p ? r->deletions.p : "", want);
    ck_assert_int_eq(bcda_job_deletions(r->job), n);
}

/* Against the sandbox, in each way to take data, verified or not. Without on_deleted the files are
 * not downloaded, and the verdict says so. */
START_TEST(sandbox)
{
    enum delivery_way way = (enum delivery_way)(_i % 3);
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .polls = 1));
    fixture_fault(&fx, "deleted");
    fx.takes_deletions = _i < 6;
    fixture_set(&fx, BCDA_OPT_DELIVERY, _i / 3 % 2);
    if (_i / 3 % 2)
        ck_assert_ok(bcda_config_set_spool_directory(fixture_config(&fx), "/tmp"));
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", NULL);
    r = fixture_run(&fx, way);
    fixture_check_export(r);
    ck_assert_uint_eq(bcda_job_deleted_file_count(r->job), 1);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 1 + (size_t)(_i < 6));
    check_deletions(r, _i < 6 ? "1:1 Patient/gone-0\n1:1 Coverage/gone-0\n"
                                "1:2 Patient/gone-1\n1:2 Coverage/gone-1\n"
                              : "");
    ck_assert_int_eq(bcda_job_verdict(r->job),
                     _i < 6 ? BCDA_VERDICT_COMPLETE : BCDA_VERDICT_COMPLETE_ERRORS);
    fixture_close(&fx);
}
END_TEST

/* One data file is complete only after the other has ended. Files of deletions are requested after
 * both, although there is room for more downloads, and one after the other. */
static int check_order(struct run *r, enum where where, void *object)
{
    size_t i;

    if (where == AT_END && bcda_file_index(object) == 0)
        scripted_open_gate(r->fixture->server, 1);
    if (where != AT_BEGIN || !bcda_file_has_deletions(object))
        return BCDA_CONTINUE;
    for (i = 0; i < bcda_job_file_count(r->job); i++) {
        const bcda_file *f = bcda_job_file(r->job, i);

        if (!bcda_file_is_error(f) && !bcda_file_has_deletions(f))
            ck_assert_int_ne(bcda_file_verdict(f), BCDA_VERDICT_NONE);
    }
    *(int *)r->arg += 1;
    return BCDA_CONTINUE;
}

START_TEST(after_data)
{
    static const struct scripted_entry entries[] = {
        {.type = "Bundle", .path = "/d/gone", .list = SCRIPTED_DELETED},
        {.type = "Patient", .path = "/d/1"},
        {.type = "Patient", .path = "/d/2"},
        {.type = "Bundle", .path = "/d/more", .list = SCRIPTED_DELETED}};
    struct scripted_answer *a;
    struct run *r;
    int begun = 0;

    open_server(entries, sizeof entries / sizeof *entries);
    reply("/d/gone", BUNDLE(DELETE("Patient/1")));
    reply("/d/more", BUNDLE(DELETE("Patient/2")));
    reply("/d/1", PATIENT("1"));
    a = scripted_on(fx.server, "/d/2", 1);
    scripted_text(a, "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
    scripted_gate(a, 1);
    scripted_text(a, "{\"resourceType\":\"Patient\",\"id\":\"2\"}     \n");
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_run_hook(&fx, BY_RESOURCE, check_order, &begun);
    ck_assert_int_eq(r->result, 0);
    ck_assert_int_eq(begun, 2);
    ck_assert_int_eq(bcda_job_resources(r->job), 2);
    check_deletions(r, "2:1 Patient/1\n3:1 Patient/2\n");
    fixture_close(&fx);
}
END_TEST

/* Damaged files. Whatever was reported before the file failed is void. */
static const struct damage {
    const char *file;
    const char *headers;
    int64_t bad_max;
    int verdict, code;
    const char *deletions;
} damages[] = {
    {BUNDLE(DELETE("Patient/1")) PATIENT("2"), "", 0, BCDA_VERDICT_FAILED, BCDA_ERR_LINE_TYPE,
     "0:1 Patient/1\n"},
    {BUNDLE(DELETE("Patient/1") ",{}") BUNDLE(DELETE("Patient/2")), "", 1,
     BCDA_VERDICT_COMPLETE_BAD_LINES, 0, "0:2 Patient/2\n"},
    {BUNDLE(DELETE("Patient/1")) "{\"resourceType\":\"Bun", "", 0, BCDA_VERDICT_FAILED,
     BCDA_ERR_LINE_CUT, "0:1 Patient/1\n"},
    {BUNDLE(DELETE("Patient/1")), "Content-Encoding: gzip\r\n", 0, BCDA_VERDICT_FAILED,
     BCDA_ERR_GZIP, ""},
    {"", "", 0, BCDA_VERDICT_COMPLETE, 0, ""},
};

START_TEST(damaged)
{
    static const struct scripted_entry entry = {
        .type = "Bundle", .path = "/d/gone", .list = SCRIPTED_DELETED};
    const struct damage *d = &damages[_i];
    const bcda_file *file;
    struct run *r;

    open_server(&entry, 1);
    scripted_reply(fx.server, "/d/gone", "200 OK", d->headers, d->file, strlen(d->file));
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, d->bad_max);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_run(&fx, BY_BATCH);
    file = bcda_job_file(r->job, 0);
    ck_assert_int_eq(bcda_file_verdict(file), d->verdict);
    ck_assert_int_eq(bcda_error_code(bcda_file_error(file)), d->code);
    ck_assert_int_eq(r->result, d->code);
    check_deletions(r, d->deletions);
    ck_assert_int_eq(bcda_job_resources(r->job), 0);
    fixture_close(&fx);
}
END_TEST

/* A file that is listed twice, or also as data, is delivered once, as deletions; and gzip works. */
START_TEST(listed_twice)
{
    static const struct scripted_entry entries[] = {
        {.type = "Bundle", .path = "/d/gone"},
        {.type = "Bundle", .path = "/d/gone", .list = SCRIPTED_DELETED},
        {.type = "Bundle", .path = "/d/gone", .list = SCRIPTED_DELETED}};
    static const char text[] = BUNDLE(DELETE("Patient/1"));
    struct buf plain = {0};
    struct run *r;

    open_server(entries, sizeof entries / sizeof *entries);
    buf_str(&plain, text);
    ck_assert_ptr_null(scripted_reply_file(fx.server, "/d/gone", SCRIPTED_GZIP, &plain));
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /d/gone "), 1);
    check_deletions(r, "0:1 Patient/1\n");
    buf_free(&plain);
    fixture_close(&fx);
}
END_TEST

/* on_deleted can end the job. */
static int stop_at_deletion(struct run *r, enum where where, void *object)
{
    (void)r;
    (void)object;
    return where == AT_DELETED ? BCDA_STOP : BCDA_CONTINUE;
}

START_TEST(stopped)
{
    static const struct scripted_entry entry = {
        .type = "Bundle", .path = "/d/gone", .list = SCRIPTED_DELETED};
    struct run *r;

    open_server(&entry, 1);
    reply("/d/gone", BUNDLE(DELETE("Patient/1") "," DELETE("Patient/2")));
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_run_hook(&fx, BY_RESOURCE, stop_at_deletion, NULL);
    ck_assert_int_eq(r->result, BCDA_ERR_STOPPED);
    check_deletions(r, "0:1 Patient/1\n");
    fixture_close(&fx);
}
END_TEST

/* ---- batches ---- */

static void add_deletions_of(const bcda_batch *b, size_t count, struct buf *out)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const bcda_deletion *d = bcda_batch_deletion(b, i);

        buf_printf(out, "%zu:%lld %s/%s\n", bcda_file_index(bcda_batch_file(b)),
                   (long long)bcda_resource_line_number(bcda_deletion_resource(d)),
                   bcda_deletion_type(d), bcda_deletion_id(d));
    }
    ck_assert_ptr_null(bcda_batch_deletion(b, count));
}

/* Takes all batches of a job. Returns how many resources the data files have. */
static size_t pull_batches(bcda_job *job, struct buf *deletions)
{
    size_t rows = 0, count;
    bcda_batch *b;
    int rc;

    while ((rc = bcda_job_next(job, &b)) != BCDA_ERR_END) {
        if (rc == BCDA_ERR_AGAIN) {
            (void)fixture_step(&fx);
            continue;
        }
        ck_assert_ok(rc);
        ck_assert_ptr_null(bcda_batch_deletion(b, 0));
        if (bcda_file_has_deletions(bcda_batch_file(b))) {
            ck_assert_ok(bcda_batch_deletion_count(b, &count));
            add_deletions_of(b, count, deletions);
        } else {
            ck_assert_int_eq(bcda_batch_deletion_count(b, &count), BCDA_ERR_INVALID);
            rows += bcda_batch_count(b);
        }
        bcda_batch_unref(b);
    }
    return rows;
}

/* With BCDA_OPT_PULL_DELETIONS the batches of files of deletions are pulled too, after those of the
 * data files. Without it the files are not downloaded. */
START_TEST(pulled)
{
    static const struct scripted_entry entries[] = {
        {.type = "Bundle", .path = "/d/gone", .list = SCRIPTED_DELETED},
        {.type = "Patient", .path = "/d/1"}};
    struct buf deletions = {0};
    bcda_job *job;

    fixture_open_scripted(&fx, 0);
    scripted_export(fx.server, entries, 2);
    reply("/d/gone", BUNDLE(DELETE("Patient/1"))
                         BUNDLE("") "\n" BUNDLE(DELETE("Coverage/2") "," DELETE("Patient/3")));
    reply("/d/1", PATIENT("1") PATIENT("2"));
    fixture_set(&fx, BCDA_OPT_PULL_DELETIONS, _i);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    ck_assert_uint_eq(pull_batches(job, &deletions), 2);
    ck_assert_ok(bcda_job_result(job));
    ck_assert_int_eq(bcda_job_verdict(job),
                     _i ? BCDA_VERDICT_COMPLETE : BCDA_VERDICT_COMPLETE_ERRORS);
    ck_assert_int_eq(bcda_job_deletions(job), _i ? 3 : 0);
    ck_assert_int_eq(bcda_job_resources(job), 2);
    ck_assert_str_eq(deletions.p ? deletions.p : "",
                     _i ? "1:1 Patient/1\n1:4 Coverage/2\n1:4 Patient/3\n" : "");
    ck_assert_int_eq(bcda_batch_deletion_count(NULL, NULL), BCDA_ERR_INVALID);
    bcda_job_unref(job);
    buf_free(&deletions);
    fixture_close(&fx);
}
END_TEST

SUITE("client deleted")
{
    suite_case("deleted");
    suite_loop(sandbox, 0, 9);
    suite_test(after_data);
    suite_loop(damaged, 0, sizeof damages / sizeof *damages);
    suite_test(listed_twice);
    suite_test(stopped);
    suite_case("pulled");
    suite_loop(pulled, 0, 2);
}
