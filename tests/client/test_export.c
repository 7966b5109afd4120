/* Whole exports over TLS, with each era (a version of the server that the sandbox imitates) and in
 * each way of delivery. Also what a session does besides downloading: tokens, retries and waits. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tempdir.h"
#include "client/auth.h"
#include "has_scanner.h"

static struct fixture fx;

/* ---- each era, in each way of delivery ---- */

struct era_case {
    const char *era;
    int version, level;
    const char *types[6];
    const char *encrypt; /* value of the parameter "encrypt", or NULL to omit it */
    int encrypted, gzip;
    size_t data_files;
};

#define EOB "ExplanationOfBenefit"

static const struct era_case cases[] = {
    {"2018-12", 1, BCDA_LEVEL_RESOURCE, {EOB}, "true", 1, 0, 1},
    {"2018-12", 1, BCDA_LEVEL_RESOURCE, {EOB}, NULL, 0, 0, 1},
    {"2018-12", 1, BCDA_LEVEL_RESOURCE, {"Patient"}, "true", 1, 0, 1},
    {"2018-12", 1, BCDA_LEVEL_PATIENT, {NULL}, "true", 1, 0, 1},
    {"2019-04", 1, BCDA_LEVEL_RESOURCE, {EOB}, NULL, 1, 0, 1},
    {"2019-04", 1, BCDA_LEVEL_RESOURCE, {"Patient"}, NULL, 1, 0, 1},
    {"2019-04", 1, BCDA_LEVEL_RESOURCE, {"Coverage"}, "true", 1, 0, 1},
    {"2019-04", 1, BCDA_LEVEL_RESOURCE, {EOB}, "false", 0, 0, 1},
    {"2019-12", 1, BCDA_LEVEL_PATIENT, {NULL}, NULL, 0, 0, 3},
    {"2019-12", 1, BCDA_LEVEL_PATIENT, {"Coverage", "Patient"}, NULL, 0, 0, 2},
    {"2019-12", 1, BCDA_LEVEL_GROUP, {NULL}, NULL, 0, 0, 3},
    {"2021", 1, BCDA_LEVEL_PATIENT, {NULL}, NULL, 0, 1, 3},
    {"2021", 2, BCDA_LEVEL_GROUP, {EOB}, NULL, 0, 1, 1},
    {"current", 1, BCDA_LEVEL_PATIENT, {NULL}, NULL, 0, 1, 3},
    {"current", 1, BCDA_LEVEL_GROUP, {NULL}, NULL, 0, 1, 3},
    {"current", 2, BCDA_LEVEL_PATIENT, {NULL}, NULL, 0, 1, 5},
    {"current", 2, BCDA_LEVEL_GROUP, {"Claim", "ClaimResponse"}, NULL, 0, 1, 2},
    {"current", 3, BCDA_LEVEL_PATIENT, {"Patient"}, NULL, 0, 1, 1},
    {"current", 3, BCDA_LEVEL_GROUP, {NULL}, NULL, 0, 1, 3},
};

enum { CASES = sizeof cases / sizeof *cases };

static void ask_for(const struct era_case *c)
{
    const char *const *t = c->types;

    fixture_export(&fx, c->level, t[0], t[0] ? t[1] : NULL, NULL);
    if (c->encrypt)
        ck_assert_ok(bcda_export_set_parameter(fx.x, "encrypt", c->encrypt));
}

static void check_case(const struct era_case *c, struct run *r)
{
    size_t i, data = 0;

    fixture_check_export(r);
    ck_assert_uint_gt(r->count, 9);
    ck_assert_uint_eq(r->state_count, 4); /* each state once; the fixture checks their order */
    for (i = 0; i < bcda_job_file_count(r->job); i++) {
        const bcda_file *f = bcda_job_file(r->job, i);

        if (bcda_file_is_error(f))
            continue;
        data++;
        ck_assert_int_eq(bcda_file_is_encrypted(f), c->encrypted);
        ck_assert_int_gt(bcda_file_bytes_received(f), 0);
        if (c->gzip)
            ck_assert_int_lt(bcda_file_bytes_received(f), bcda_file_bytes(f));
        else
            ck_assert_int_eq(bcda_file_bytes_received(f),
                             bcda_file_bytes(f) + (c->encrypted ? 28 : 0));
    }
    ck_assert_uint_eq(data, c->data_files);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), bcda_job_file_count(r->job));
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "202"), 3); /* the kick-off and two polls */
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "401"), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "other"), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "elsewhere"), 0);
}

static void check_names(const struct era_case *c, struct run *r)
{
    const char *fhir = sandbox_fhir_url(fx.sandbox, c->version), *url = bcda_job_url(r->job);

    ck_assert_int_eq(strncmp(url, fhir, strlen(fhir)), 0);
    ck_assert_str_eq(strrchr(url, '/') + 1, bcda_job_id(r->job));
    ck_assert_uint_gt(strlen(bcda_job_id(r->job)), 0);
    ck_assert_uint_eq(strspn(bcda_job_id(r->job), "0123456789"), strlen(bcda_job_id(r->job)));
    ck_assert_uint_ge(strlen(bcda_job_transaction_time(r->job)), 20);
    ck_assert_int_eq(bcda_job_transaction_time(r->job)[10], 'T');
    ck_assert_ok(bcda_export_set_since(fx.x, bcda_job_transaction_time(r->job)));
}

static void check_stats(struct run *r)
{
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_REQUESTS), sandbox_count(fx.sandbox, "total"));
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TOKENS), 1);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_BYTES_DECODED), bcda_job_bytes(r->job));
    ck_assert_int_ge(fixture_stat(&fx, BCDA_STAT_BYTES_WIRE), bcda_job_bytes_received(r->job));
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RESOURCES), bcda_job_resources(r->job));
}

START_TEST(era)
{
    const struct era_case *c = &cases[_i / 3];
    struct run *r;

    fixture_setup(&fx, SANDBOX(.era = c->era), c->version);
    ask_for(c);
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    check_case(c, r);
    check_names(c, r);
    check_stats(r);
    fixture_close(&fx);
}
END_TEST

/* The same cases, with the session driven by bcda_session_run() in place of its descriptor and
 * bcda_session_step(). */
START_TEST(by_session_run)
{
    const struct era_case *c = &cases[_i];
    struct run *r;

    fixture_setup(&fx, SANDBOX(.era = c->era), c->version);
    fx.use_run = 1;
    ask_for(c);
    r = fixture_run(&fx, BY_RESOURCE);
    check_case(c, r);
    ck_assert_ok(bcda_session_run(fx.session, -1)); /* there is no job */
    fixture_close(&fx);
}
END_TEST

/* ---- with the scanner and without it ---- */

/* The fields of ExplanationOfBenefit, Patient and Coverage that are read in these tests. */
static const char *const scanned_fields[] = {"id",
                                             "identifier.value",
                                             "meta.lastUpdated",
                                             "patient.reference",
                                             "name.family",
                                             "item.adjudication.amount.value",
                                             "active"};

enum { SCANNED_FIELDS = sizeof scanned_fields / sizeof *scanned_fields };

/* Appends the values of all fields of a resource. */
static int add_scanned_fields(struct run *r, enum where where, void *object)
{
    const char *text;
    size_t len, k;
    int field;

    for (field = 0; where == AT_RESOURCE && field < SCANNED_FIELDS; field++)
        for (k = 0; k < bcda_resource_field_count(object, field); k++) {
            ck_assert_ok(bcda_resource_field(object, field, k, &text, &len));
            buf_printf(r->arg, "%d ", field);
            buf_add(r->arg, text, len + 1);
        }
    return BCDA_CONTINUE;
}

/* Returns the number of lines in all files of the job, which have no invalid and no blank lines. */
static int64_t lines_of(struct run *r)
{
    int64_t lines = 0;
    size_t i;

    for (i = 0; i < bcda_job_file_count(r->job); i++)
        lines += bcda_file_resources(bcda_job_file(r->job, i));
    return lines;
}

/* Exports the files one after the other, so that the order of the resources is fixed. */
static struct run *run_scanned(const struct era_case *c, int scanner, struct buf *values)
{
    struct run *r;
    int i, index;

    fixture_config_version(&fx, c->version);
    fixture_set(&fx, BCDA_OPT_SCANNER, scanner);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_session(&fx);
    ask_for(c);
    for (i = 0; i < SCANNED_FIELDS; i++)
        ck_assert_ok(bcda_export_add_field(fx.x, scanned_fields[i], &index));
    r = fixture_run_hook(&fx, BY_RESOURCE, add_scanned_fields, values);
    fixture_check_export(r);
    ck_assert_uint_gt(values->len, 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_YAJL_LINES),
                     scanner && HAS_SCANNER ? 0 : lines_of(r));
    ck_assert_int_ge(lines_of(r), (int64_t)r->count);
    fixture_free_session(&fx);
    return r;
}

static void check_same_resource(const struct got *a, const struct got *b)
{
    ck_assert_uint_eq(a->file, b->file);
    ck_assert_uint_eq(a->json_len, b->json_len);
    ck_assert_mem_eq(a->json, b->json, a->json_len);
    ck_assert_uint_eq(a->line_len, b->line_len);
    ck_assert_mem_eq(a->line, b->line, a->line_len);
    ck_assert_str_eq(a->type, b->type);
    ck_assert_str_eq(a->id, b->id);
    ck_assert_str_eq(a->full_url, b->full_url);
    ck_assert_str_eq(a->updated, b->updated);
    ck_assert_int_eq(a->number, b->number);
    ck_assert_int_eq(a->offset, b->offset);
}

/* The resources and their fields are the same, whether the scanner or yajl reads the lines. */
START_TEST(without_scanner)
{
    const struct era_case *c = &cases[_i];
    struct buf values[2] = {{0}};
    struct run *r[2];
    size_t i;

    fixture_open_sandbox(&fx, SANDBOX(.era = c->era, .allow_duplicates = 1));
    r[0] = run_scanned(c, 1, &values[0]);
    r[1] = run_scanned(c, 0, &values[1]);
    ck_assert_uint_eq(r[0]->count, r[1]->count);
    for (i = 0; i < r[0]->count; i++)
        check_same_resource(&r[0]->got[i], &r[1]->got[i]);
    ck_assert_uint_eq(values[0].len, values[1].len);
    ck_assert_mem_eq(values[0].p, values[1].p, values[0].len);
    buf_free(&values[0]);
    buf_free(&values[1]);
    fixture_close(&fx);
}
END_TEST

/* Opens a sandbox, which by default imitates today's server, and makes a session. The export is one
 * of all types at the Patient level or, with the two oldest server versions, one of
 * ExplanationOfBenefit. */
static void current(const struct sandbox_options *o, int version)
{
    struct sandbox_options all = {0};

    if (o)
        all = *o;
    all.era = all.era ? all.era : "current";
    fixture_setup(&fx, &all, version);
    if (strcmp(all.era, "2019-04") == 0 || strcmp(all.era, "2018-12") == 0)
        fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    else
        fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
}

/* Runs one job with a sandbox that imitates the server version `name` and has the fault `spec`
 * (NULL = none). */
static struct run *spoiled(const char *name, const char *spec)
{
    current(SANDBOX(.era = name), 1);
    if (spec)
        fixture_fault(&fx, spec);
    return fixture_run(&fx, BY_RESOURCE);
}

/* ---- what a job delivers ---- */

static int field_index[3];

static int check_fields(struct run *r, enum where where, void *object)
{
    const char *text;
    size_t len, k, n;
    char needle[300];

    (void)r;
    if (where != AT_RESOURCE)
        return BCDA_CONTINUE;
    ck_assert_uint_eq(bcda_resource_field_count(object, field_index[0]), 1);
    ck_assert_ok(bcda_resource_field(object, field_index[0], 0, &text, &len));
    ck_assert_str_eq(text, bcda_resource_id(object));
    ck_assert_uint_eq(len, strlen(text));
    n = bcda_resource_field_count(object, field_index[1]);
    ck_assert_uint_gt(n, 0);
    for (k = 0; k < n; k++) {
        const char *json = bcda_resource_json(object, &len);
        size_t json_len = len;

        ck_assert_ok(bcda_resource_field(object, field_index[1], k, &text, &len));
        ck_assert_uint_lt(len, 200);
        snprintf(needle, sizeof needle, "\"value\":\"%s\"", text);
        ck_assert_ptr_nonnull(memmem(json, json_len, needle, strlen(needle)));
    }
    ck_assert_uint_eq(bcda_resource_field_count(object, field_index[2]), 0);
    ck_assert_uint_eq(bcda_resource_field_count(object, 99), 0);
    ck_assert_int_eq(bcda_resource_field(object, field_index[1], n, &text, &len), BCDA_ERR_INVALID);
    return BCDA_CONTINUE;
}

static int check_columns(struct run *r, enum where where, void *object)
{
    const uint64_t *first, *offsets, *lengths;
    const char *base, *text;
    size_t i, len;
    uint64_t k;

    (void)r;
    if (where != AT_BATCH)
        return BCDA_CONTINUE;
    ck_assert_ok(
        bcda_batch_field_column(object, field_index[1], &base, &first, &offsets, &lengths));
    for (i = 0; i < bcda_batch_count(object); i++) {
        const bcda_resource *one = bcda_batch_resource(object, i);

        ck_assert_uint_eq(first[i + 1] - first[i], bcda_resource_field_count(one, field_index[1]));
        for (k = first[i]; k < first[i + 1]; k++) {
            ck_assert_ok(
                bcda_resource_field(one, field_index[1], (size_t)(k - first[i]), &text, &len));
            ck_assert_uint_eq(lengths[k], len);
            ck_assert_int_eq(memcmp(base + offsets[k], text, len + 1), 0);
        }
    }
    ck_assert_ok(bcda_batch_column(object, BCDA_COLUMN_LAST_UPDATED, &base, &offsets, &lengths));
    ck_assert_str_eq(base + offsets[0], bcda_resource_last_updated(bcda_batch_resource(object, 0)));
    return BCDA_CONTINUE;
}

START_TEST(fields)
{
    struct run *r;

    current(SANDBOX(.era = _i / 2 ? "2019-04" : "current"), 1);
    if (_i / 2 == 0)
        fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    ck_assert_ok(bcda_export_add_field(fx.x, "id", &field_index[0]));
    ck_assert_ok(bcda_export_add_field(fx.x, "identifier.value", &field_index[1]));
    ck_assert_ok(bcda_export_add_field(fx.x, "nothing.here", &field_index[2]));
    r = fixture_run_hook(&fx, _i % 2 ? BY_BATCH : BY_RESOURCE,
                         _i % 2 ? check_columns : check_fields, NULL);
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

static int open_files, open_most;

static int count_open(struct run *r, enum where where, void *object)
{
    (void)r;
    (void)object;
    open_files += where == AT_BEGIN;
    open_files -= where == AT_END;
    if (open_files > open_most)
        open_most = open_files;
    return BCDA_CONTINUE;
}

START_TEST(parallel)
{
    static const int most[] = {1, 2, 5};
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = "2019-04", .files = 7, .patients = 14));
    fixture_set(&fx, BCDA_OPT_PARALLEL, most[_i / 3]);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    open_files = open_most = 0;
    r = fixture_run_hook(&fx, (enum delivery_way)(_i % 3), count_open, NULL);
    fixture_check_export(r);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 7);
    ck_assert_int_eq(open_most, most[_i / 3]);
    ck_assert_uint_eq(r->count, 14 * 5);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 1);
    fixture_close(&fx);
}
END_TEST

/* Several jobs that run at once share the token and the limit on parallel downloads. */
START_TEST(several_jobs)
{
    static const char *const types[] = {"Patient", "Coverage", EOB};
    struct run *r[3];
    int i;

    fixture_setup(&fx, SANDBOX(.allow_duplicates = 1), 1);
    for (i = 0; i < 3; i++) {
        fixture_export(&fx, BCDA_LEVEL_RESOURCE, types[i], NULL);
        r[i] = fixture_start(&fx, (enum delivery_way)i);
    }
    fixture_finish(&fx);
    for (i = 0; i < 3; i++)
        fixture_check_export(r[i]);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 3);
    fixture_close(&fx);
}
END_TEST

START_TEST(zero_resources)
{
    char dir[256], path[300];
    struct run *r;
    FILE *f;

    snprintf(dir, sizeof dir, "%s/bcda-empty-XXXXXX", tempdir());
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/Patient.ndjson", dir);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    fixture_setup(&fx, SANDBOX(.data_dir = dir, .era = _i ? "current" : "2019-04"), 1);
    fixture_export(&fx, _i ? BCDA_LEVEL_PATIENT : BCDA_LEVEL_RESOURCE, "Patient", NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 1);
    ck_assert_int_eq(bcda_file_bytes(bcda_job_file(r->job, 0)), 0);
    fixture_close(&fx);
    unlink(path);
    rmdir(dir);
}
END_TEST

/* The server may report a job that has just started as complete and without files (bcda-api 5.1).
 * The library then polls again. */
START_TEST(empty_manifest_race)
{
    struct run *r = spoiled(_i ? "2019-04" : "2019-12", "manifest-null-output-once");

    fixture_check_export(r);
    ck_assert_uint_gt(r->count, 9);
    fixture_close(&fx);
}
END_TEST

/* If the manifest is still empty after the repeated polls, the library accepts it. */
START_TEST(empty_manifest)
{
    struct run *r = spoiled("2019-04", "manifest-null-output-once*100");

    fixture_check_came(r, 0);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 0);
    ck_assert_uint_ge(sandbox_count(fx.sandbox, "status"), 2);
    ck_assert_uint_le(sandbox_count(fx.sandbox, "status"), 5);
    fixture_close(&fx);
}
END_TEST

START_TEST(error_file)
{
    static const char *const eras[] = {"2018-12", "2019-04", "2019-12", "2021", "current"};
    struct run *r;
    size_t i;

    current(SANDBOX(.era = eras[_i]), 1);
    if (_i == 0)
        ck_assert_ok(bcda_export_set_parameter(fx.x, "encrypt", "true"));
    fixture_fault(&fx, "error-file");
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_uint_eq(r->issue_count, 3);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(r->issues[i].severity, BCDA_SEVERITY_ERROR);
        ck_assert_int_eq(r->issues[i].index, 0);
        ck_assert_int_eq(strncmp(r->issues[i].text, "Error retrieving ", 17), 0);
        ck_assert_str_ne(r->issues[i].code, "");
    }
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_ERROR), 3);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_WARNING), 0);
    ck_assert_int_eq(bcda_job_issue_count(r->job, 99), 0);
    i = bcda_job_file_count(r->job) - 1; /* error files follow the data files */
    ck_assert_int_eq(bcda_file_is_error(bcda_job_file(r->job, i)), 1);
    ck_assert_int_eq(bcda_file_is_encrypted(bcda_job_file(r->job, i)), _i == 0);
    ck_assert_int_eq(r->files[i].ends, 1);
    fixture_close(&fx);
}
END_TEST

START_TEST(warnings_file)
{
    struct run *r;

    current(NULL, 3); /* at API version 3, the sandbox adds a file of warnings */
    r = fixture_run(&fx, BY_BATCH);
    fixture_check_export(r);
    ck_assert_uint_eq(r->issue_count, 1);
    ck_assert_int_eq(r->issues[0].severity, BCDA_SEVERITY_WARNING);
    ck_assert_str_eq(r->issues[0].code, "processing");
    ck_assert_ptr_nonnull(strstr(r->issues[0].text, "System-Type"));
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_WARNING), 1);
    fixture_close(&fx);
}
END_TEST

/* Issues go to their handler even if bcda_job_next() takes the batches of the job. */
START_TEST(error_file_pulled)
{
    struct run *r;
    size_t i;

    current(NULL, 1);
    fixture_fault(&fx, "error-file");
    r = fixture_run(&fx, BY_PULL);
    fixture_check_export(r);
    ck_assert_uint_eq(r->issue_count, 3);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(strncmp(r->issues[i].text, "Error retrieving ", 17), 0);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_ERROR), 3);
    fixture_close(&fx);
}
END_TEST

/* Without a handler for issues, bcda_job_next() returns the lines of error files in batches, too.
 */
START_TEST(error_file_as_batches)
{
    bcda_batch *batch;
    bcda_job *job;
    size_t lines = 0, steps = 0;
    int rc;

    current(NULL, 1);
    fixture_fault(&fx, "error-file");
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    while ((rc = bcda_job_next(job, &batch)) != BCDA_ERR_END) {
        ck_assert_uint_lt(steps++, 100000);
        if (rc == BCDA_ERR_AGAIN) {
            (void)fixture_step(&fx);
            continue;
        }
        ck_assert_int_eq(rc, 0);
        if (bcda_file_is_error(bcda_batch_file(batch)))
            lines += bcda_batch_count(batch);
        bcda_batch_unref(batch);
    }
    ck_assert_int_eq(bcda_job_result(job), 0);
    ck_assert_uint_eq(lines, 3);
    ck_assert_int_eq(bcda_job_issue_count(job, BCDA_SEVERITY_ERROR), 3);
    bcda_job_unref(job);
    fixture_close(&fx);
}
END_TEST

/* A job whose batches are taken by bcda_job_next() needs no handlers at all. */
START_TEST(pull_without_handlers)
{
    bcda_batch *batch, *held = NULL;
    bcda_job *job;
    size_t count = 0, steps = 0;
    int rc;

    current(NULL, 1);
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    while ((rc = bcda_job_next(job, &batch)) != BCDA_ERR_END) {
        ck_assert_uint_lt(steps++, 100000);
        if (rc == BCDA_ERR_AGAIN) {
            (void)fixture_step(&fx);
            continue;
        }
        ck_assert_int_eq(rc, 0);
        count += bcda_batch_count(batch);
        bcda_batch_unref(held);
        held = batch;
    }
    ck_assert_int_eq(bcda_job_result(job), 0);
    ck_assert_int_eq(bcda_job_next(job, &batch), BCDA_ERR_END);
    ck_assert_uint_eq(count, 10 + 50 + 30 + (count > 90 ? count - 90 : 0));
    ck_assert_int_eq((int64_t)count, bcda_job_resources(job));
    bcda_job_unref(job);
    fixture_end(&fx);
    ck_assert_str_ne(bcda_file_name(bcda_batch_file(held)), ""); /* the batch is still valid */
    bcda_batch_unref(held);
    fixture_close(&fx);
}
END_TEST

/* ---- resuming later ---- */

static char *saved;

static int save_and_cancel(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_END && !saved) {
        ck_assert_ok(bcda_job_save(r->job, &saved));
        ck_assert_ok(bcda_job_cancel(r->job));
    }
    return BCDA_CONTINUE;
}

static void files_one_by_one(void)
{
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
}

START_TEST(save_and_restore)
{
    struct run *r;
    size_t first, i, skipped = 0;
    char *again;

    fixture_open_sandbox(&fx, SANDBOX(.era = "2019-04", .files = 4));
    files_one_by_one();
    saved = NULL;
    r = fixture_start_hook(&fx, (enum delivery_way)_i, save_and_cancel, NULL);
    ck_assert_int_eq(bcda_job_save(r->job, &saved), BCDA_ERR_STATE);
    ck_assert_ptr_null(saved);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    first = fixture_check_file(r, bcda_job_file(r->job, 0), 1);
    ck_assert_uint_gt(first, 0);
    ck_assert_ptr_nonnull(saved);
    fixture_check_text(&fx, saved);
    fixture_end(&fx);

    files_one_by_one();
    sandbox_reset_counts(fx.sandbox);
    r = fixture_restore(&fx, (enum delivery_way)_i, saved);
    fixture_finish(&fx);
    fixture_check_export(r);
    for (i = 0; i < bcda_job_file_count(r->job); i++)
        skipped += bcda_file_verdict(bcda_job_file(r->job, i)) == BCDA_VERDICT_SKIPPED;
    ck_assert_uint_eq(skipped, 1);
    ck_assert_uint_eq(bcda_job_files_ended(r->job), 4);
    ck_assert_uint_eq(r->count + first, 50);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 3);
    ck_assert_int_eq(r->states[0], BCDA_JOB_RUNNING);
    ck_assert_ok(bcda_job_save(r->job, &again)); /* this state lists all files as done */
    fixture_end(&fx);
    bcda_free(saved);

    files_one_by_one();
    r = fixture_restore(&fx, (enum delivery_way)_i, again);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_uint_eq(r->count, 0);
    bcda_free(again);
    fixture_close(&fx);
}
END_TEST

START_TEST(attach)
{
    struct run *r;
    char *url;

    current(NULL, 2);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
    url = strdup(bcda_job_url(r->job));
    fixture_end(&fx); /* cancels the job in the library, but not at the server */
    fixture_config_version(&fx, 2);
    fixture_session(&fx);
    r = fixture_attach(&fx, BY_RESOURCE, url, NULL, NULL);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_uint_gt(r->count, 9);
    ck_assert_str_eq(bcda_job_url(r->job), url);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "delete"), 0);
    free(url);
    fixture_close(&fx);
}
END_TEST

START_TEST(attach_refused)
{
    bcda_job *job = NULL;
    char url[200];

    current(NULL, 1);
    ck_assert_int_eq(bcda_job_attach(fx.session, "https://example.com/jobs/1", NULL, NULL, &job),
                     BCDA_ERR_ORIGIN);
    fixture_check_error(&fx, bcda_session_error(fx.session));
    snprintf(url, sizeof url, "https://127.0.0.1%s/api/v1/jobs/1",
             strrchr(sandbox_origin(fx.sandbox), ':'));
    ck_assert_int_eq(bcda_job_attach(fx.session, url, NULL, NULL, &job), BCDA_ERR_ORIGIN);
    ck_assert_int_eq(bcda_job_attach(fx.session, "/api/v1/jobs/1", NULL, NULL, &job), BCDA_ERR_URL);
    ck_assert_int_eq(bcda_job_attach(fx.session, NULL, NULL, NULL, &job), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_restore(fx.session, "{}", 2, NULL, NULL, &job), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_restore(fx.session, "x", 1, NULL, NULL, &job), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_restore(fx.session, "", 0, NULL, NULL, &job), BCDA_ERR_INVALID);
    ck_assert_ptr_null(job);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "total"), 0);
    fixture_close(&fx);
}
END_TEST

/* ---- one-off requests ---- */

struct answer {
    int ends, destroyed, result;
};

static void on_request(bcda_request *request, int result, void *userdata)
{
    struct answer *a = userdata;

    ck_assert_msg(fx.inside, "a callback outside of run, step and free");
    ck_assert_int_eq(bcda_request_result(request), result);
    a->ends++;
    a->result = result;
}

static void destroy_answer(void *userdata)
{
    ((struct answer *)userdata)->destroyed++;
}

START_TEST(one_off_requests)
{
    struct answer a = {0}, b = {0};
    bcda_request *metadata, *version;
    size_t len;

    current(NULL, _i + 1);
    ck_assert_ok(bcda_request_start(fx.session, BCDA_REQUEST_METADATA, on_request, &a,
                                    destroy_answer, &metadata));
    ck_assert_ok(bcda_request_start(fx.session, BCDA_REQUEST_VERSION, on_request, &b,
                                    destroy_answer, &version));
    ck_assert_ok(bcda_request_start(fx.session, BCDA_REQUEST_VERSION, NULL, NULL, NULL, NULL));
    ck_assert_int_eq(bcda_request_start(fx.session, 99, NULL, NULL, NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_request_result(metadata), BCDA_ERR_AGAIN);
    fixture_finish(&fx);
    ck_assert_int_eq(a.ends, 1);
    ck_assert_int_eq(a.destroyed, 1);
    ck_assert_msg(a.result == 0, "%s", bcda_error_text(bcda_request_error(metadata)));
    ck_assert_int_eq(b.result, 0);
    ck_assert_ptr_nonnull(strstr(bcda_request_body(metadata, &len), "CapabilityStatement"));
    ck_assert_uint_eq(len, strlen(bcda_request_body(metadata, NULL)));
    ck_assert_str_eq(bcda_request_fhir_version(metadata), _i ? "4.0.1" : "3.0.1");
    ck_assert_str_eq(bcda_request_token_url(metadata), sandbox_token_url(fx.sandbox));
    ck_assert_str_ne(bcda_request_software_version(version), "");
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "version"), 2);
    bcda_request_unref(metadata);
    bcda_request_unref(version);
    fixture_close(&fx);
}
END_TEST

START_TEST(request_cancelled)
{
    struct answer a = {0};
    bcda_request *r;

    current(NULL, 1);
    ck_assert_ok(
        bcda_request_start(fx.session, BCDA_REQUEST_METADATA, on_request, &a, destroy_answer, &r));
    if (_i)
        (void)fixture_step(&fx);
    fixture_end(&fx);
    ck_assert_int_eq(a.ends, 1);
    ck_assert_int_eq(a.destroyed, 1);
    ck_assert_int_eq(a.result, BCDA_ERR_CANCELLED);
    fixture_check_error(&fx, bcda_request_error(r));
    bcda_request_unref(r);
    fixture_close(&fx);
}
END_TEST

START_TEST(request_fails)
{
    bcda_request *r;

    current(NULL, 1);
    fixture_fault(&fx, "reset");
    ck_assert_ok(bcda_request_start(fx.session, BCDA_REQUEST_VERSION, NULL, NULL, NULL, &r));
    fixture_finish(&fx);
    ck_assert_int_eq(bcda_request_result(r), BCDA_ERR_TRANSFER);
    fixture_check_error(&fx, bcda_request_error(r));
    ck_assert_int_eq(bcda_error_is_retryable(bcda_request_error(r)), 1);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_REQUESTS), 8); /* default BCDA_OPT_ATTEMPTS */
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 7);
    bcda_request_unref(r);
    fixture_close(&fx);
}
END_TEST

/* ---- tokens ---- */

/* A token without expires_in is used until it is refused. */
START_TEST(token_without_end)
{
    struct run *r;
    int64_t start;

    current(SANDBOX(.polls = 150, .era = "2019-04"), 1);
    start = fx.now;
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_int_gt(fx.now - start, 3600000);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "202"), 151);
    fixture_close(&fx);
}
END_TEST

/* A token with expires_in, a string or a number, is renewed before it expires. */
START_TEST(token_renewed)
{
    struct run *r;
    int64_t start, fetched, renewals;

    current(SANDBOX(.polls = 60, .token_seconds = 100), 1);
    if (_i)
        fixture_fault(&fx, "token-number-expires");
    start = fetched = fx.now;
    r = fixture_start(&fx, BY_RESOURCE);
    while (!r->done) {
        unsigned asked = sandbox_count(fx.sandbox, "status");
        int64_t tokens = fixture_stat(&fx, BCDA_STAT_TOKENS);

        ck_assert_int_eq(fixture_step(&fx), 1);
        if (fixture_stat(&fx, BCDA_STAT_TOKENS) > tokens)
            fetched = fx.now;
        if (sandbox_count(fx.sandbox, "status") > asked) /* no request carries an expired token */
            ck_assert_int_lt(fx.now - fetched, 100000);
    }
    fixture_check_export(r);
    renewals = (int64_t)sandbox_count(fx.sandbox, "token") - 1;
    /* A token is renewed at the first request after 90 s. Requests are at most 30 s apart. */
    ck_assert_int_ge(renewals, (fx.now - start) / 120000);
    ck_assert_int_le(renewals, (fx.now - start) / 90000);
    ck_assert_int_gt(renewals, 9);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "401"), 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TOKENS), renewals + 1);
    fixture_close(&fx);
}
END_TEST

static const char *const places[] = {"kickoff-401-once", "status-401-once", "data-401-once"};

START_TEST(refused_once)
{
    struct run *r = spoiled(_i / 3 ? "2019-04" : "current", places[_i % 3]);

    fixture_check_export(r);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 2);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "401"), 1);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 1);
    fixture_close(&fx);
}
END_TEST

START_TEST(refused_twice)
{
    const bcda_error *e;
    struct run *r;
    char spec[40];

    current(SANDBOX(.era = "2019-04"), 1);
    snprintf(spec, sizeof spec, "%s*2", places[_i]);
    fixture_fault(&fx, spec);
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, BCDA_ERR_AUTH);
    ck_assert_int_eq(bcda_error_http_status(e), 401);
    ck_assert_int_eq(bcda_error_is_retryable(e), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 2);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "401"), 2);
    if (_i == 2)
        ck_assert_str_eq(bcda_error_file(e), bcda_file_name(bcda_job_file(r->job, 0)));
    fixture_close(&fx);
}
END_TEST

static int expire_at_downloading(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_STATE && r->states[r->state_count - 1] == BCDA_JOB_DOWNLOADING)
        sandbox_expire_tokens(r->fixture->sandbox);
    return BCDA_CONTINUE;
}

/* The client requests five files at once with an expired token, and the server refuses all five
 * requests. One new token serves them all. If threads decrypt the keys of the files, the requests
 * start one after the other, and some of them may only be made with the new token. */
START_TEST(one_renewal_for_all)
{
    int encrypted = _i, staggered = encrypted && getenv("BCDA_TEST_DECODE_THREADS");
    struct sandbox_options o = {0};
    struct run *r;
    size_t refused;

    o.files = 5;
    if (encrypted)
        o.era = "2019-04";
    current(&o, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, expire_at_downloading, NULL);
    fixture_check_export(r);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 2);
    refused = (size_t)sandbox_count(fx.sandbox, "401");
    ck_assert_uint_ge(refused, staggered ? 1 : 5);
    ck_assert_uint_le(refused, 5);
    fixture_close(&fx);
}
END_TEST

START_TEST(bearer_token)
{
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = _i ? "current" : "2019-04"));
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_bearer_token(fx.config, sandbox_bearer_token(fx.sandbox)));
    fixture_session(&fx);
    if (_i)
        fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    else
        fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 0);
    sandbox_expire_tokens(fx.sandbox);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_error_http_status(fixture_check_failed(r, BCDA_ERR_AUTH)), 401);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "401"), 1);
    fixture_close(&fx);
}
END_TEST

/* How the application answers when it is asked for a token. */
enum how { AT_ONCE, LATER, FAILS, EMPTY, SPACE, NEVER, SHORT };

struct provider {
    enum how how;
    bcda_token_request *asked;
    int calls, destroyed;
};

static void provide(bcda_token_request *request, void *userdata)
{
    struct provider *p = userdata;

    ck_assert_msg(fx.inside, "the provider was asked outside of run and step");
    p->calls++;
    if (p->how == LATER || p->how == NEVER)
        p->asked = request;
    else if (p->how == FAILS)
        bcda_token_request_fail(request);
    else if (p->how == EMPTY)
        ck_assert_int_eq(bcda_token_request_answer(request, "", -1), BCDA_ERR_INVALID);
    else if (p->how == SPACE)
        ck_assert_int_eq(bcda_token_request_answer(request, "a b", -1), BCDA_ERR_INVALID);
    else
        ck_assert_ok(bcda_token_request_answer(request, sandbox_bearer_token(fx.sandbox),
                                               p->how == SHORT ? 100 : -1));
}

static void destroy_provider(void *userdata)
{
    ((struct provider *)userdata)->destroyed++;
}

static struct run *with_provider(struct provider *p, unsigned polls)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .polls = polls));
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_token_provider(fx.config, provide, p, destroy_provider));
    fixture_session(&fx);
    return fixture_start(&fx, BY_RESOURCE);
}

START_TEST(provider_at_once)
{
    struct provider p = {.how = _i ? SHORT : AT_ONCE};
    struct run *r = with_provider(&p, 40);

    fixture_finish(&fx);
    fixture_check_export(r);
    if (_i)
        ck_assert_int_gt(p.calls, 3);
    else
        ck_assert_int_eq(p.calls, 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 0);
    ck_assert_int_eq(p.destroyed, 0);
    fixture_close(&fx);
    ck_assert_int_eq(p.destroyed, 1);
}
END_TEST

START_TEST(provider_later)
{
    struct provider p = {.how = LATER};
    struct run *r = with_provider(&p, 2);

    fixture_idle(&fx);
    ck_assert_int_eq(p.calls, 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "total"), 0);
    ck_assert_ok(bcda_token_request_answer(p.asked, sandbox_bearer_token(fx.sandbox), -1));
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "total"), 0);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_int_eq(p.calls, 1);
    sandbox_expire_tokens(fx.sandbox); /* after a 401 the provider is called once more */
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_idle(&fx);
    ck_assert_int_eq(p.calls, 2);
    bcda_token_request_fail(p.asked);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_AUTH);
    fixture_close(&fx);
}
END_TEST

START_TEST(provider_fails)
{
    static const enum how how[] = {FAILS, EMPTY, SPACE};
    static const int codes[] = {BCDA_ERR_AUTH, BCDA_ERR_TOKEN, BCDA_ERR_TOKEN};
    struct provider p = {.how = how[_i]};
    struct run *r = with_provider(&p, 2);

    fixture_finish(&fx);
    (void)fixture_check_failed(r, codes[_i]);
    ck_assert_int_eq(p.calls, 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "total"), 0);
    fixture_close(&fx);
}
END_TEST

/* The session, or only the job, is freed before the application answers. */
START_TEST(provider_outlives)
{
    struct provider p = {.how = NEVER};
    struct run *r = with_provider(&p, 2);

    fixture_idle(&fx);
    ck_assert_ptr_nonnull(p.asked);
    if (_i >= 2) {
        ck_assert_ok(bcda_job_cancel(r->job));
        fixture_finish(&fx);
        (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    } else {
        fixture_end(&fx);
    }
    if (_i % 2)
        bcda_token_request_fail(p.asked);
    else
        ck_assert_ok(bcda_token_request_answer(p.asked, "token", 5));
    if (_i >= 2)
        fixture_idle(&fx);
    fixture_close(&fx);
    ck_assert_int_eq(p.destroyed, 1);
}
END_TEST

/* ---- where requests may go ---- */

static void refused_url(const char *fhir, const char *token, int allow, int code, const char *names)
{
    bcda_session *s = NULL;
    bcda_config *c;

    ck_assert_ok(bcda_config_new(&c));
    ck_assert_ok(bcda_config_set_fhir_url(c, fhir));
    ck_assert_ok(bcda_config_set_token_url(c, token));
    ck_assert_ok(bcda_config_set_client_credentials(c, "id", "secret"));
    ck_assert_ok(bcda_config_set_int(c, BCDA_OPT_ALLOW_HTTP_LOOPBACK, allow));
    ck_assert_int_eq(bcda_session_new(&s, c), code);
    ck_assert_ptr_null(s);
    ck_assert_int_eq(bcda_error_code(bcda_config_error(c)), code);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(bcda_config_error(c)), names));
    bcda_config_free(c);
}

START_TEST(http_refused)
{
    char url[100];

    refused_url("http://sandbox.bcda.cms.gov/api/v1", NULL, 0, BCDA_ERR_INSECURE_URL,
                "https://sandbox.bcda.cms.gov/api/v1");
    refused_url("http://sandbox.bcda.cms.gov/api/v1", NULL, 1, BCDA_ERR_INSECURE_URL,
                "https://sandbox.bcda.cms.gov/api/v1");
    refused_url("http://127.0.0.1.example.com/", NULL, 1, BCDA_ERR_INSECURE_URL, "https://127");
    refused_url("http://localhost:3000/api/v1", NULL, 0, BCDA_ERR_INSECURE_URL,
                "https://localhost:3000/api/v1");
    refused_url("https://localhost/", "http://sandbox.bcda.cms.gov/auth/token", 1,
                BCDA_ERR_INSECURE_URL, "https://sandbox.bcda.cms.gov/auth/token");
    fixture_open_sandbox(&fx, NULL);
    snprintf(url, sizeof url, "http%s/api/v1", sandbox_origin(fx.sandbox) + 5);
    refused_url(url, NULL, 0, BCDA_ERR_INSECURE_URL, sandbox_origin(fx.sandbox));
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "total"), 0);
    fixture_close(&fx);
}
END_TEST

START_TEST(http_loopback)
{
    struct run *r;

    fixture_open_sandbox_http(&fx, SANDBOX(.era = _i ? "current" : "2019-04"));
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    fixture_session(&fx);
    if (_i)
        fixture_export(&fx, BCDA_LEVEL_GROUP, NULL);
    else
        fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

START_TEST(location_http)
{
    struct run *r = spoiled(_i ? "current" : "2019-04", "location-http");

    fixture_check_export(r);
    ck_assert_int_eq(strncmp(bcda_job_url(r->job), "https://", 8), 0);
    fixture_close(&fx);
}
END_TEST

START_TEST(other_origin_gets_no_token)
{
    struct run *r = spoiled(_i ? "current" : "2019-04", "output-other-origin");
    const bcda_error *e = fixture_check_failed(r, BCDA_ERR_AUTH);

    ck_assert_uint_eq(sandbox_count(fx.sandbox, "elsewhere"), 0);
    ck_assert_uint_gt(sandbox_count(fx.sandbox, "data"), 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "401"), sandbox_count(fx.sandbox, "data"));
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 1);
    ck_assert_str_ne(bcda_error_file(e), "");
    fixture_close(&fx);
}
END_TEST

static int port_of(const char *origin)
{
    return atoi(strrchr(origin, ':') + 1);
}

START_TEST(transport)
{
    static const int codes[] = {BCDA_ERR_TLS_VERIFY, BCDA_ERR_CONNECT, BCDA_ERR_TLS};
    struct sandbox *other = NULL;
    struct sandbox_options o = {0};
    char url[100];
    struct run *r;

    fixture_open_sandbox(&fx, NULL);
    fixture_config(&fx);
    if (_i == 0) { /* the system's CAs, which did not issue the server's certificate */
        ck_assert_ok(bcda_config_set_ca_file(fx.config, NULL));
    } else if (_i == 1) { /* a port on which nothing listens */
        ck_assert_ok(bcda_config_set_fhir_url(fx.config, "https://localhost:1/api/v1"));
    } else { /* a server without TLS */
        ck_assert_int_eq(sandbox_start(&o, &other), 0);
        snprintf(url, sizeof url, "https://localhost:%d/api/v1", port_of(sandbox_origin(other)));
        ck_assert_ok(bcda_config_set_fhir_url(fx.config, url));
    }
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, codes[_i]);
    fixture_close(&fx);
    sandbox_stop(other);
}
END_TEST

/* ---- waits and retries ---- */

static int64_t running_at;

static int note_running(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_STATE && r->states[r->state_count - 1] == BCDA_JOB_RUNNING)
        running_at = r->fixture->now;
    return BCDA_CONTINUE;
}

struct wait_case {
    const char *fault;
    int64_t at_least, at_most; /* limits of the time that the job waits, in ms */
    const char *counted;
    unsigned count;
};

static const struct wait_case waits[] = {
    {"kickoff-429:120", 120000, 120000, "kickoff", 2},
    {"kickoff-429:0", 500, 1000, "kickoff", 2},
    {"kickoff-429:100000", 600000, 600000, "kickoff", 2}, /* 600 s: BCDA_OPT_RETRY_AFTER_MAX_MS */
    {"token-429:45", 45000, 45000, "token", 2},
    {"token-500-once", 500, 1000, "token", 2},
    {"kickoff-500-once", 500, 1000, "kickoff", 2},
    {"kickoff-429:30*3", 90000, 90000, "kickoff", 4},
};

START_TEST(waits_before_running)
{
    const struct wait_case *w = &waits[_i];
    int64_t start;
    struct run *r;

    current(NULL, 1);
    fixture_fault(&fx, w->fault);
    start = fx.now;
    r = fixture_run_hook(&fx, BY_RESOURCE, note_running, NULL);
    fixture_check_export(r);
    ck_assert_int_ge(running_at - start, w->at_least);
    ck_assert_int_le(running_at - start, w->at_most);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, w->counted), w->count);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), w->count - 1);
    fixture_close(&fx);
}
END_TEST

static const struct wait_case polls[] = {
    {NULL, 1000, 10000, "status", 3},
    {"status-429:77", 77000, 99000, "status", 4}, /* 1 + 77 s, then twice 1/8 of the time passed */
    {"status-503:33", 33000, 45000, "status", 4},
    {"status-500-once", 1500, 11000, "status", 4},
};

START_TEST(waits_while_running)
{
    const struct wait_case *w = &polls[_i];
    struct run *r;

    current(NULL, 1);
    if (w->fault)
        fixture_fault(&fx, w->fault);
    r = fixture_run_hook(&fx, BY_RESOURCE, note_running, NULL);
    fixture_check_export(r);
    ck_assert_int_ge(fx.now - running_at, w->at_least);
    ck_assert_int_le(fx.now - running_at, w->at_most);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, w->counted), w->count);
    fixture_close(&fx);
}
END_TEST

/* Faults that end a job, and the error with which it ends. */
struct end_case {
    const char *era, *fault;
    int code, status;
    int retryable;
};

static const struct end_case ends[] = {
    {"current", "kickoff-no-location", BCDA_ERR_NO_LOCATION, 202, 0},
    {"2019-04", "kickoff-no-location", BCDA_ERR_NO_LOCATION, 202, 0},
    {"current", "kickoff-html", BCDA_ERR_STATUS, 200, 0},
    {"current", "kickoff-429:1", 0, 0, 0},
    {"current", "token-429:1*100", BCDA_ERR_TOO_MANY, 429, 1},
    {"2019-04", "status-500", BCDA_ERR_JOB_FAILED, 500, -1},
    {"current", "status-500", BCDA_ERR_JOB_FAILED, 500, -1},
    {"2018-12", "job-failed", BCDA_ERR_JOB_FAILED, 500, 0},
    {"2019-04", "job-failed", BCDA_ERR_JOB_FAILED, 500, 0},
    {"2021", "job-failed", BCDA_ERR_JOB_FAILED, 500, 0},
    {"current", "job-failed", BCDA_ERR_JOB_FAILED, 500, 0},
    {"2019-04", "job-expired", BCDA_ERR_GONE, 410, 0},
    {"2021", "job-expired", BCDA_ERR_GONE, 410, 0},
    {"current", "job-expired", BCDA_ERR_NOT_FOUND, 404, 0},
    {"2021", "job-cancelled", BCDA_ERR_JOB_CANCELLED, 404, 0},
    {"current", "job-cancelled", BCDA_ERR_JOB_CANCELLED, 404, 0},
    {"current", "token-html", BCDA_ERR_NOT_JSON, 0, 0},
    {"current", "token-no-token", BCDA_ERR_TOKEN, 0, 0},
    {"current", "token-500-once*100", BCDA_ERR_SERVER, 500, 1},
    {"current", "reset", BCDA_ERR_TRANSFER, 0, 1},
    {"current", "reset*3", 0, 0, 0},
    {"2019-04", "reset*3", 0, 0, 0},
    {"current", "data-404", BCDA_ERR_NOT_FOUND, 404, -1},
    {"current", "data-404-once", 0, 0, 0},
    {"2019-04", "data-404-once", 0, 0, 0},
    {"current", "data-503-once", 0, 0, 0},
    {"current", "data-html", BCDA_ERR_NOT_JSON, 0, 0},
    {"current", "redirect:http://127.0.0.1:9/", BCDA_ERR_INSECURE_URL, 302, 0},
    {"current", "redirect:elsewhere", BCDA_ERR_REDIRECT, 302, 0},
    {"current", "redirect://127.0.0.1:9/", BCDA_ERR_REDIRECT, 302, 0},
    {"current", "expires-not-date", 0, 0, 0},
    {"current", "upper-names", 0, 0, 0},
    {"2019-04", "upper-names", 0, 0, 0},
    {"2019-04", "no-range", 0, 0, 0},
};

START_TEST(ending)
{
    const struct end_case *c = &ends[_i];
    struct run *r = spoiled(c->era, c->fault);
    const bcda_error *e;

    if (!c->code) {
        fixture_check_export(r);
    } else {
        e = fixture_check_failed(r, c->code);
        ck_assert_int_eq(bcda_error_http_status(e), c->status);
        if (c->retryable >= 0)
            ck_assert_int_eq(bcda_error_is_retryable(e), c->retryable);
    }
    fixture_close(&fx);
}
END_TEST

/* The number of attempts is limited. When it is used up, the error reports the Retry-After of the
 * last response. */
START_TEST(too_many)
{
    const bcda_error *e;
    struct run *r;

    fixture_open_sandbox(&fx, NULL);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    fixture_fault(&fx, "token-429:7*100");
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, BCDA_ERR_TOO_MANY);
    ck_assert_int_eq(bcda_error_retry_after_ms(e), 7000);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 3);
    fixture_close(&fx);
}
END_TEST

START_TEST(wrong_credentials)
{
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = _i ? "current" : "2019-04"));
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_client_credentials(fx.config, sandbox_client_id(fx.sandbox),
                                                    "not the secret"));
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_error_http_status(fixture_check_failed(r, BCDA_ERR_AUTH)), 401);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "token"), 1); /* no retry */
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 0);
    fixture_close(&fx);
}
END_TEST

/* ---- what is requested ---- */

START_TEST(server_refuses)
{
    const bcda_error *e;
    struct run *r;

    current(NULL, 2);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Observation", NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, BCDA_ERR_BAD_REQUEST);
    ck_assert_int_eq(bcda_error_http_status(e), 400);
    ck_assert_ptr_nonnull(strstr(bcda_error_server_text(e), "Observation"));
    fixture_export(&fx, BCDA_LEVEL_SYSTEM, NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, BCDA_ERR_NOT_FOUND);
    fixture_close(&fx);
}
END_TEST

START_TEST(since_and_filter)
{
    struct run *r;

    current(NULL, 3);
    fixture_export(&fx, BCDA_LEVEL_GROUP, EOB, NULL);
    ck_assert_ok(bcda_export_set_group(fx.x, "runout"));
    ck_assert_ok(bcda_export_set_since(fx.x, "2020-02-13T08:00:00.000-05:00"));
    ck_assert_ok(
        bcda_export_add_type_filter(fx.x, "ExplanationOfBenefit?service-date=ge2024-01-01"));
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

START_TEST(not_started)
{
    bcda_handlers *handlers;
    bcda_job *job = NULL;
    struct run *r;

    current(NULL, 1);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, NULL);
    ck_assert_int_eq(bcda_job_start(fx.session, fx.x, NULL, &job), BCDA_ERR_CONFIG);
    fixture_check_error(&fx, bcda_session_error(fx.session));
    ck_assert_int_eq(bcda_job_start(fx.session, NULL, NULL, &job), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_start(NULL, fx.x, NULL, &job), BCDA_ERR_INVALID);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    ck_assert_ok(bcda_handlers_new(&handlers));
    r = NULL;
    ck_assert_ok(
        bcda_handlers_on_resource(handlers, (bcda_resource_cb)(void (*)(void))abort, r, NULL));
    ck_assert_ok(bcda_handlers_on_batch(handlers, (bcda_batch_cb)(void (*)(void))abort, r, NULL));
    ck_assert_int_eq(bcda_job_start(fx.session, fx.x, handlers, &job), BCDA_ERR_INVALID);
    bcda_handlers_free(handlers);
    ck_assert_ptr_null(job);
    ck_assert_int_eq(fixture_step(&fx), 0);
    fixture_close(&fx);
}
END_TEST

/* The progress that on_progress last saw: the text that the server sent, and the percentage in it.
 */
static char progress_seen[128];
static int percent_seen;

static int see_progress(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_PROGRESS && bcda_job_state(r->job) == BCDA_JOB_RUNNING) {
        snprintf(progress_seen, sizeof progress_seen, "%s", bcda_job_progress_text(r->job));
        percent_seen = bcda_job_progress_percent(r->job);
    }
    return BCDA_CONTINUE;
}

START_TEST(progress)
{
    static const char *const texts[] = {"In Progress (37%)", "Pending", "In Progress", "70%",
                                        "In Progress, 101% or so"};
    static const int percents[] = {37, -1, -1, 70, 100};
    char spec[80];
    struct run *r;

    current(NULL, 1);
    snprintf(spec, sizeof spec, "progress:%s", texts[_i]);
    fixture_fault(&fx, spec);
    progress_seen[0] = '\0';
    r = fixture_run_hook(&fx, BY_RESOURCE, see_progress, NULL);
    fixture_check_export(r);
    ck_assert_str_eq(progress_seen, texts[_i]);
    ck_assert_int_eq(percent_seen, percents[_i]);
    ck_assert_int_gt(r->progress, 0);
    fixture_close(&fx);
}
END_TEST

SUITE("export")
{
    suite_case("eras");
    suite_loop(era, 0, CASES * 3);
    suite_sample(by_session_run, 0, CASES, 6);
    suite_sample(without_scanner, 0, CASES, 6);
    suite_case("data");
    suite_loop(fields, 0, 4);
    suite_loop(parallel, 0, 9);
    suite_test(several_jobs);
    suite_loop(zero_resources, 0, 2);
    suite_loop(empty_manifest_race, 0, 2);
    suite_test(empty_manifest);
    suite_loop(error_file, 0, 5);
    suite_test(warnings_file);
    suite_test(error_file_pulled);
    suite_test(error_file_as_batches);
    suite_test(pull_without_handlers);
    suite_loop(progress, 0, 5);
    suite_case("later");
    suite_loop(save_and_restore, 0, 3);
    suite_test(attach);
    suite_test(attach_refused);
    suite_case("requests");
    suite_loop(one_off_requests, 0, 3);
    suite_loop(request_cancelled, 0, 2);
    suite_test(request_fails);
    suite_case("tokens");
    suite_test(token_without_end);
    suite_loop(token_renewed, 0, 2);
    suite_loop(refused_once, 0, 6);
    suite_loop(refused_twice, 0, 3);
    suite_loop(one_renewal_for_all, 0, 2);
    suite_loop(bearer_token, 0, 2);
    suite_loop(provider_at_once, 0, 2);
    suite_test(provider_later);
    suite_loop(provider_fails, 0, 3);
    suite_loop(provider_outlives, 0, 4);
    suite_loop(wrong_credentials, 0, 2);
    suite_case("origins");
    suite_test(http_refused);
    suite_loop(http_loopback, 0, 2);
    suite_loop(location_http, 0, 2);
    suite_loop(other_origin_gets_no_token, 0, 2);
    suite_loop(transport, 0, 3);
    suite_case("waiting");
    suite_loop(waits_before_running, 0, sizeof waits / sizeof *waits);
    suite_loop(waits_while_running, 0, sizeof polls / sizeof *polls);
    suite_loop(ending, 0, sizeof ends / sizeof *ends);
    suite_test(too_many);
    suite_test(server_refuses);
    suite_test(since_and_filter);
    suite_test(not_started);
}
