/* Manifests without a data file of a requested type, or with deletions, a next page or error files,
 * and how the job reports this: by its getters, its verdict and a warning in the log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;
static struct buf lines; /* log lines so far */

#define EOB "ExplanationOfBenefit"

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    fixture_check_text(userdata, message);
    buf_printf(&lines, "%d %s: %s\n", level, component, message);
}

static int has_line(const char *text)
{
    return lines.p && strstr(lines.p, text) != NULL;
}

static void set_log(bcda_config *config, struct fixture *of)
{
    buf_free(&lines);
    memset(&lines, 0, sizeof lines);
    ck_assert_ok(bcda_config_set_log(config, BCDA_LOG_DEBUG, on_log, of, NULL));
}

/* ---- requested types ---- */

enum how { START, ATTACH, RESTORE, RESTORE_OLD };

enum { MOST = 4 };

struct row {
    enum how how;
    int level;
    const char *types[MOST]; /* types of the export that is passed to the call */
    const char *parameter;   /* value of `_type`, set by bcda_export_set_parameter() */
    const char *filter;      /* value of `_typeFilter`; NULL = none */
    const char *saved;       /* elements of "types" in the saved job state */
    const char *request;     /* path in the manifest's "request", below the FHIR URL; NULL = none */
    const char *members;     /* further members of the manifest; NULL = none */
    const char *files[MOST]; /* types of the manifest's data files */
    const char *missing[MOST]; /* types reported as missing, in this order */
};

#define PATIENT .level = BCDA_LEVEL_PATIENT

static const struct row rows[] = {
    /* a requested type without a data file is missing, at every level */
    {START, PATIENT, .types = {"Patient", EOB}, .files = {EOB, "Patient"}},
    {START, PATIENT, .types = {"Patient", EOB}, .files = {EOB, EOB}, .missing = {"Patient"}},
    {START, PATIENT, .types = {"Patient", EOB, "Coverage"}, .files = {"Coverage"},
     .missing = {"Patient", EOB}},
    {START, PATIENT, .types = {"Patient"}, .missing = {"Patient"}},
    {START, BCDA_LEVEL_GROUP, .types = {EOB}, .files = {"Patient"}, .missing = {EOB}},
    {START, BCDA_LEVEL_SYSTEM, .types = {EOB}, .files = {EOB}},
    {START, BCDA_LEVEL_RESOURCE, .types = {EOB}, .files = {"Patient"}, .missing = {EOB}},
    {START, BCDA_LEVEL_RESOURCE, .types = {"Patient"}, .files = {"Patient", EOB}},
    /* a file with an empty type, or with the type in another case, matches no requested type */
    {START, PATIENT, .types = {"Patient"}, .files = {""}, .missing = {"Patient"}},
    {START, PATIENT, .types = {"Patient"}, .files = {"patient"}, .missing = {"Patient"}},
    /* an export without types requests everything: nothing can be missing, whatever types the
     * manifest's "request" names */
    {START, PATIENT, .files = {"Patient"}, .request = "/Patient/$export?_type=Patient,Coverage"},
    {START, PATIENT, .files = {NULL}},
    /* a filter restricts a type, but does not request it */
    {START, PATIENT, .filter = "Coverage?status=active", .files = {"Patient"}},
    {START, PATIENT, .types = {"Patient"}, .filter = "Coverage?status=active",
     .files = {"Patient"}},
    {START, PATIENT, .types = {"Coverage"}, .filter = "Coverage?status=active", .files = {NULL},
     .missing = {"Coverage"}},
    /* the types in a `_type` set by bcda_export_set_parameter() are requested, too */
    {START, PATIENT, .parameter = "Patient,Coverage", .files = {"Patient"},
     .missing = {"Coverage"}},
    {START, PATIENT, .types = {"Patient"}, .parameter = "Coverage,Patient", .files = {NULL},
     .missing = {"Patient", "Coverage"}},
    /* the types that the export requests count, not those in the manifest's "request" */
    {START, PATIENT, .types = {"Patient", EOB}, .request = "/Patient/$export?_type=Patient",
     .files = {"Patient"}, .missing = {EOB}},
    /* with "outputOrganizedBy" in the manifest, a file can hold lines of any type: no type is
     * missing */
    {START, PATIENT, .types = {"Patient", EOB}, .members = "\"outputOrganizedBy\":\"Patient\",",
     .files = {""}},
    /* an attached job: the types of the given export count; without any, those of the manifest's
     * "request" */
    {ATTACH, PATIENT, .types = {"Patient", "Coverage"}, .request = "/Patient/$export?_type=Patient",
     .files = {"Patient"}, .missing = {"Coverage"}},
    {ATTACH, PATIENT, .request = "/Patient/$export?_type=Patient,Coverage", .files = {"Patient"},
     .missing = {"Coverage"}},
    {ATTACH, PATIENT, .request = "/Group/all/$export?_since=2020-01-01T00:00:00Z&_type=Coverage",
     .files = {"Coverage"}},
    {ATTACH, PATIENT, .request = "/Coverage/$export", .files = {NULL}, .missing = {"Coverage"}},
    {ATTACH, PATIENT, .request = "/Patient/$export", .files = {NULL}},
    {ATTACH, PATIENT, .files = {"Patient"}},
    {ATTACH, .level = 0, .request = "/$export?_type=Coverage", .files = {NULL},
     .missing = {"Coverage"}},
    /* a restored job: the types in the saved state take precedence, if the state has "types" */
    {RESTORE, PATIENT, .saved = "\"Patient\",\"Coverage\"", .request = "/$export?_type=Patient",
     .files = {"Patient"}, .missing = {"Coverage"}},
    {RESTORE, PATIENT, .saved = "\"Coverage\"", .types = {"Patient"}, .files = {NULL},
     .missing = {"Coverage"}},
    {RESTORE, PATIENT, .saved = "", .request = "/$export?_type=Patient", .files = {NULL}},
    {RESTORE_OLD, PATIENT, .request = "/$export?_type=Patient", .files = {NULL},
     .missing = {"Patient"}},
    {RESTORE_OLD, PATIENT, .types = {EOB}, .request = "/$export?_type=Patient", .files = {NULL},
     .missing = {EOB}},
};

enum { ROWS = sizeof rows / sizeof *rows };

static void reply(const struct row *row)
{
    struct buf m = {0}, data = {0};
    size_t i;

    buf_printf(&m, "{\"transactionTime\":\"2020-01-01T00:00:00Z\",%s",
               row->members ? row->members : "");
    if (row->request)
        buf_printf(&m, "\"request\":\"%s/api/v1%s\",", scripted_origin(fx.server), row->request);
    buf_str(&m, "\"output\":[");
    for (i = 0; i < MOST && row->files[i]; i++)
        buf_printf(&m, "%s{\"type\":\"%s\",\"url\":\"%s/data/%zu.ndjson\"}", i ? "," : "",
                   row->files[i], scripted_origin(fx.server), i);
    /* an error file does not count as a data file, even if it has the type that is missing */
    buf_printf(&m, "],\"error\":[{\"type\":\"%s\",\"url\":\"%s/data/e.ndjson\"}]}",
               row->missing[0] ? row->missing[0] : "OperationOutcome", scripted_origin(fx.server));
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", m.p, m.len);
    buf_str(&data, "{\"resourceType\":\"Patient\",\"id\":\"a\"}\n");
    scripted_reply(fx.server, "/data/", "200 OK", "", data.p, data.len);
    scripted_export(fx.server, NULL, 0);
    buf_free(&m);
    buf_free(&data);
}

static void set_export(const struct row *row)
{
    size_t i;

    if (!row->level) {
        bcda_export_free(fx.x);
        fx.x = NULL;
        return;
    }
    fixture_export(&fx, row->level, NULL);
    for (i = 0; i < MOST && row->types[i]; i++)
        ck_assert_ok(bcda_export_add_type(fx.x, row->types[i]));
    if (row->parameter)
        ck_assert_ok(bcda_export_set_parameter(fx.x, "_type", row->parameter));
    if (row->filter)
        ck_assert_ok(bcda_export_add_type_filter(fx.x, row->filter));
}

static struct run *restore(const char *types)
{
    char saved[300];

    snprintf(saved, sizeof saved, "{\"bcda\":1,\"url\":\"%s/api/v1/jobs/1\"%s%s%s,\"done\":[]}",
             scripted_origin(fx.server), types ? ",\"types\":[" : "", types ? types : "",
             types ? "]" : "");
    return fixture_restore(&fx, BY_RESOURCE, saved);
}

static struct run *begin(const struct row *row)
{
    if (row->how == START)
        return fixture_start(&fx, BY_RESOURCE);
    if (row->how == ATTACH)
        return fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/1", NULL, NULL);
    return restore(row->how == RESTORE ? row->saved : NULL);
}

static void check_missing(const bcda_job *job, const char *const missing[MOST])
{
    char line[200];
    size_t i;

    for (i = 0; i < MOST && missing[i]; i++) {
        ck_assert_ptr_nonnull(bcda_job_missing_type(job, i));
        ck_assert_str_eq(bcda_job_missing_type(job, i), missing[i]);
        snprintf(line, sizeof line,
                 "%d client: job 1: the manifest lists no data file of the requested type %s\n",
                 BCDA_LOG_WARNING, missing[i]);
        ck_assert_msg(has_line(line), "no line `%s` in:\n%s", line, lines.p);
    }
    ck_assert_uint_eq(bcda_job_missing_type_count(job), i);
    ck_assert_ptr_null(bcda_job_missing_type(job, i));
    if (!i)
        ck_assert_msg(!has_line("the manifest lists no"), "%s", lines.p);
}

START_TEST(types)
{
    const struct row *row = &rows[_i];
    struct run *r;
    char *saved;

    fixture_open_scripted(&fx, 0);
    reply(row);
    fixture_config(&fx);
    set_log(fx.config, &fx);
    fixture_session(&fx);
    set_export(row);
    r = begin(row);
    ck_assert_uint_eq(bcda_job_missing_type_count(r->job), 0);
    ck_assert_ptr_null(bcda_job_missing_type(r->job, 0));
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    check_missing(r->job, row->missing);
    ck_assert_int_eq(bcda_job_verdict(r->job),
                     row->missing[0] ? BCDA_VERDICT_COMPLETE_ERRORS : BCDA_VERDICT_COMPLETE);
    ck_assert_int_eq(has_line("organized by Patient"), row->members != NULL);
    /* Saves the state of the job. The job restored from this state reports the same missing types.
     */
    ck_assert_ok(bcda_job_save(r->job, &saved));
    r = fixture_restore(&fx, BY_RESOURCE, saved);
    bcda_free(saved);
    fixture_finish(&fx);
    check_missing(r->job, row->missing);
    fixture_close(&fx);
}
END_TEST

/* State that is saved before the manifest arrives lists the requested types of a job that was
 * started here. For a job that was attached to, whose types are unknown, it lists none. */
START_TEST(saved_early)
{
    static const struct row row = {START, PATIENT, .types = {"Patient", EOB}};
    struct run *r;
    char *saved;

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/jobs/1", "202 Accepted", "", "", 0);
    scripted_export(fx.server, NULL, 0);
    fixture_session(&fx);
    set_export(&row);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, bcda_job_state(r->job) == BCDA_JOB_RUNNING);
    ck_assert_ok(bcda_job_save(r->job, &saved));
    ck_assert_msg(strstr(saved, ",\"types\":[\"Patient\",\"" EOB "\"],\"files\":[],") != NULL, "%s",
                  saved);
    bcda_free(saved);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/1", NULL, NULL);
    ck_assert_ok(bcda_job_save(r->job, &saved));
    ck_assert_msg(!strstr(saved, "types"), "%s", saved);
    bcda_free(saved);
    fixture_close(&fx);
}
END_TEST

static void open_sandbox(const char *era, const char *fault, int duplicate)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = era, .polls = 4));
    if (fault)
        fixture_fault(&fx, fault);
    fixture_config(&fx);
    set_log(fx.config, &fx);
    fixture_set(&fx, BCDA_OPT_DUPLICATE_JOB, duplicate);
    fixture_session(&fx);
}

/* The server silently leaves out of the second job the types that a running job covers. It refuses
 * the third job, whose types are all running already; that job waits. */
START_TEST(narrowed)
{
    static const char *const eras[] = {"2019-12", "2021-01"};
    struct run *first, *second, *third;

    open_sandbox(eras[_i], NULL, BCDA_DUPLICATE_WAIT);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    first = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, first, BCDA_JOB_RUNNING);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", EOB, NULL);
    second = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, second, BCDA_JOB_RUNNING);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    third = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(first->result, 0);
    ck_assert_int_eq(second->result, 0);
    ck_assert_int_eq(third->result, 0);
    ck_assert_uint_gt(sandbox_count(fx.sandbox, "429"), 0);
    ck_assert_uint_eq(bcda_job_file_count(second->job), 1);
    ck_assert_uint_eq(bcda_job_missing_type_count(second->job), 1);
    ck_assert_str_eq(bcda_job_missing_type(second->job, 0), EOB);
    ck_assert_int_eq(bcda_job_verdict(second->job), BCDA_VERDICT_COMPLETE_ERRORS);
    ck_assert_int_eq(bcda_job_verdict(first->job), BCDA_VERDICT_COMPLETE);
    ck_assert_int_eq(bcda_job_verdict(third->job), BCDA_VERDICT_COMPLETE);
    fixture_close(&fx);
}
END_TEST

/* When a job takes over a running job, it compares the files with the types that its own export
 * requested. It does not matter who started the running job. */
START_TEST(taken_over)
{
    struct run *first, *second;

    open_sandbox("current", NULL, BCDA_DUPLICATE_TAKE_OVER);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, "Coverage", NULL);
    first = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, first, BCDA_JOB_RUNNING);
    second = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_job_is_taken_over(second->job), 1);
    ck_assert_int_eq(bcda_job_result(second->job), 0);
    ck_assert_uint_eq(bcda_job_missing_type_count(second->job), 0);
    ck_assert_int_eq(bcda_job_verdict(second->job), BCDA_VERDICT_COMPLETE);
    fixture_close(&fx);
}
END_TEST

/* ---- deletions ---- */

START_TEST(deleted)
{
    char line[160];
    struct run *r;

    open_sandbox("current", _i ? NULL : "deleted", BCDA_DUPLICATE_WAIT);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = fixture_start(&fx, BY_RESOURCE);
    ck_assert_uint_eq(bcda_job_deleted_file_count(r->job), 0);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 1);
    ck_assert_uint_eq(bcda_job_deleted_file_count(r->job), !_i);
    ck_assert_int_eq(bcda_job_verdict(r->job),
                     _i ? BCDA_VERDICT_COMPLETE : BCDA_VERDICT_COMPLETE_ERRORS);
    snprintf(line, sizeof line,
             "%d client: job %s: the manifest lists 1 file of deleted resources, which are "
             "not delivered, because the application has no callback for deletions\n",
             BCDA_LOG_WARNING, bcda_job_id(r->job));
    ck_assert_msg(has_line(line) == !_i, "%s", lines.p);
    ck_assert_uint_eq(bcda_job_deleted_file_count(NULL), 0);
    fixture_close(&fx);
}
END_TEST

/* A manifest that lists only deletions is accepted at once. Only an empty manifest is requested
 * again, since its job may have just begun. */
START_TEST(deleted_alone)
{
    static const char body[] = "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"output\":[],"
                               "\"deleted\":[{\"type\":\"Bundle\",\"url\":\"https://h/d/1\"},"
                               "{\"type\":\"Bundle\",\"url\":\"https://h/d/2\"}],\"error\":[]}";
    struct run *r;

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", body, sizeof body - 1);
    scripted_export(fx.server, NULL, 0);
    fixture_config(&fx);
    set_log(fx.config, &fx);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(bcda_job_deleted_file_count(r->job), 2);
    ck_assert_int_eq(bcda_job_verdict(r->job), BCDA_VERDICT_COMPLETE_ERRORS);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /api/v1/jobs/1 "), 1);
    ck_assert_msg(has_line("lists 2 files of deleted resources"), "%s", lines.p);
    fixture_close(&fx);
}
END_TEST

START_TEST(next_page)
{
    const bcda_error *e;
    struct run *r;

    open_sandbox("current", "manifest-next-page", BCDA_DUPLICATE_WAIT);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, BCDA_ERR_MANIFEST);
    ck_assert_msg(strstr(bcda_error_text(e), "next page") != NULL, "%s", bcda_error_text(e));
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
}
END_TEST

/* ---- resource counts and error files ---- */

/* The lines of an error file are reports, not data: they do not count as resources of the job. This
 * holds for bcda_job_next(), too, which returns their batches among the others. */
START_TEST(sums)
{
    const bcda_file *error;
    struct run *r;

    open_sandbox("current", "error-file", BCDA_DUPLICATE_WAIT);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, "Patient", NULL);
    r = fixture_run(&fx, (enum delivery_way)_i);
    ck_assert_int_eq(r->result, 0);
    error = fixture_file(r, "OperationOutcome", 0);
    ck_assert_int_eq(bcda_file_resources(error), 3);
    ck_assert_int_eq(bcda_job_resources(r->job), 50 + 10);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RESOURCES), 50 + 10);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_ERROR), 3);
    ck_assert_int_eq(bcda_job_verdict(r->job), BCDA_VERDICT_COMPLETE_ERRORS);
    fixture_close(&fx);
}
END_TEST

SUITE("client missing")
{
    suite_case("missing");
    suite_loop(types, 0, ROWS);
    suite_test(saved_early);
    suite_loop(narrowed, 0, 2);
    suite_test(taken_over);
    suite_loop(deleted, 0, 2);
    suite_test(deleted_alone);
    suite_test(next_page);
    suite_loop(sums, 0, 3);
}
