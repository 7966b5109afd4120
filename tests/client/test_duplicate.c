/* An identical export is already running, and the server answers the kick-off with 429 (bcda-api
 * 4.6). Depending on BCDA_OPT_DUPLICATE_JOB, the new job waits for the running one, fails, or takes
 * the running one over. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

static void begin(const char *era, int64_t what)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = era, .polls = 4));
    fixture_set(&fx, BCDA_OPT_DUPLICATE_JOB, what);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
}

/* Checks an older job by counting its resources. They cannot be compared with the generated files,
 * because the sandbox keeps only the files of its newest job. */
static void check_ended_well(const struct run *r)
{
    ck_assert_int_eq(r->done, 1);
    fixture_check_came(r, 50);
}

static struct run *start_first(void)
{
    struct run *r = fixture_start(&fx, BY_RESOURCE);

    fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
    return r;
}

/* The server of 2019-12 has no list of jobs, so the job waits even with BCDA_DUPLICATE_TAKE_OVER.
 */
static const struct {
    const char *era;
    int64_t what;
} waits[] = {
    {"current", BCDA_DUPLICATE_WAIT},
    {"2021", BCDA_DUPLICATE_WAIT},
    {"2019-12", BCDA_DUPLICATE_WAIT},
    {"2019-12", BCDA_DUPLICATE_TAKE_OVER},
};

START_TEST(waited_out)
{
    struct run *first, *second;

    begin(waits[_i].era, waits[_i].what);
    first = start_first();
    second = fixture_run(&fx, BY_RESOURCE);
    check_ended_well(first);
    fixture_check_export(second);
    ck_assert_str_ne(bcda_job_url(first->job), bcda_job_url(second->job));
    ck_assert_int_eq(bcda_job_is_taken_over(second->job), 0);
    ck_assert_uint_ge(sandbox_count(fx.sandbox, "kickoff"), 3);
    ck_assert_int_ge(fixture_stat(&fx, BCDA_STAT_RETRIES),
                     (int64_t)sandbox_count(fx.sandbox, "kickoff") - 2);
    fixture_close(&fx);
}
END_TEST

START_TEST(refused)
{
    struct run *first, *second;
    const bcda_error *e;

    begin("current", BCDA_DUPLICATE_REFUSE);
    first = start_first();
    second = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(first);
    e = fixture_check_failed(second, BCDA_ERR_TOO_MANY);
    ck_assert_int_eq(bcda_error_http_status(e), 429);
    ck_assert_int_eq(bcda_error_is_retryable(e), 1);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "option \"duplicate_job\""));
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 2);
    fixture_close(&fx);
}
END_TEST

START_TEST(taken_over)
{
    struct run *first, *second;

    begin(_i ? "2021" : "current", BCDA_DUPLICATE_TAKE_OVER);
    first = start_first();
    second = fixture_run(&fx, BY_BATCH);
    fixture_check_export(first);
    fixture_check_export(second);
    ck_assert_str_eq(bcda_job_url(first->job), bcda_job_url(second->job));
    ck_assert_int_eq(bcda_job_is_taken_over(first->job), 0);
    ck_assert_int_eq(bcda_job_is_taken_over(second->job), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "kickoff"), 2);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "jobs"), 1);
    ck_assert_uint_eq(second->state_count, first->state_count);
    fixture_close(&fx);
}
END_TEST

/* The running export overlaps with the new one, so the server refuses the new one. The running one
 * exports other types, so the new job does not take it over. */
START_TEST(no_twin)
{
    struct run *first, *second;

    begin("2021", BCDA_DUPLICATE_TAKE_OVER);
    first = start_first();
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, "Patient", NULL);
    second = fixture_run(&fx, BY_RESOURCE);
    check_ended_well(first);
    fixture_check_export(second);
    ck_assert_str_ne(bcda_job_url(first->job), bcda_job_url(second->job));
    ck_assert_int_eq(bcda_job_is_taken_over(second->job), 0);
    ck_assert_uint_ge(sandbox_count(fx.sandbox, "jobs"), 1);
    fixture_close(&fx);
}
END_TEST

/* BCDA_OPT_JOB_TIMEOUT_MS limits how long a job waits for an identical one. BCDA_OPT_ATTEMPTS does
 * not. */
START_TEST(waits_for_ever)
{
    const bcda_error *e;
    struct run *r;

    fixture_open_sandbox(&fx, NULL);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    fixture_set(&fx, BCDA_OPT_JOB_RETRIES_MAX, 0);
    fixture_set(&fx, BCDA_OPT_JOB_TIMEOUT_MS, 3600000);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    ck_assert_int_eq(sandbox_set_fault(fx.sandbox, "kickoff-429:0*10000"), 0);
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, BCDA_ERR_JOB_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "429"));
    ck_assert_uint_gt(sandbox_count(fx.sandbox, "kickoff"), 60); /* kick-offs at most 60 s apart */
    ck_assert_uint_lt(sandbox_count(fx.sandbox, "kickoff"), 140);
    fixture_close(&fx);
}
END_TEST

/* The job is cancelled while it waits (_i = 0) or looks for an identical export (_i = 1). */
START_TEST(cancelled)
{
    struct run *first, *second;
    unsigned asked;

    begin("current", _i ? BCDA_DUPLICATE_TAKE_OVER : BCDA_DUPLICATE_WAIT);
    first = start_first();
    second = fixture_start(&fx, BY_RESOURCE);
    asked = sandbox_count(fx.sandbox, "429") + sandbox_count(fx.sandbox, "jobs");
    while (sandbox_count(fx.sandbox, "429") + sandbox_count(fx.sandbox, "jobs") < asked + 1)
        (void)fixture_step(&fx);
    ck_assert_ok(bcda_job_cancel(second->job));
    fixture_finish(&fx);
    ck_assert_int_eq(second->result, BCDA_ERR_CANCELLED);
    fixture_check_export(first);
    fixture_close(&fx);
}
END_TEST

/* A job that was taken over belongs to someone else: cancelling it does not delete it at the
 * server. */
START_TEST(taken_over_and_cancelled)
{
    struct run *first, *second;

    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .polls = 4));
    fixture_set(&fx, BCDA_OPT_DUPLICATE_JOB, BCDA_DUPLICATE_TAKE_OVER);
    fixture_set(&fx, BCDA_OPT_CANCEL_AT_SERVER, 1);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    first = start_first();
    second = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, second, BCDA_JOB_RUNNING);
    ck_assert_int_eq(bcda_job_is_taken_over(second->job), 1);
    ck_assert_ok(bcda_job_cancel(second->job));
    fixture_finish(&fx);
    (void)fixture_check_failed(second, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "delete"), 0);
    fixture_check_export(first);
    fixture_close(&fx);
}
END_TEST

SUITE("duplicate")
{
    suite_case("duplicate");
    suite_loop(waited_out, 0, 4);
    suite_test(refused);
    suite_loop(taken_over, 0, 2);
    suite_test(no_twin);
    suite_test(waits_for_ever);
    suite_loop(cancelled, 0, 2);
    suite_test(taken_over_and_cancelled);
}
