/* Cancelling a job at the server and inside callbacks. Even if the server does not answer as it
 * should, the job must end soon, since the application waits for on_done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

enum { ATTEMPTS = 3 };

/* Adds a job that never ends and makes the session. The test adds the answers to the DELETE before
 * it calls this. */
static void begin_running(void)
{
    scripted_text(scripted_on(fx.server, "GET /api/v1/jobs/1", 0),
                  "HTTP/1.1 202 Accepted\r\nX-Progress: 10%\r\nContent-Length: 0\r\n\r\n");
    scripted_export(fx.server, NULL, 0);
    fixture_set(&fx, BCDA_OPT_CANCEL_AT_SERVER, 1);
    fixture_session(&fx);
}

static struct run *cancel_running(void)
{
    struct run *r = fixture_start(&fx, BY_RESOURCE);

    fixture_until(&fx, scripted_count(fx.server, "GET /api/v1/jobs/1") >= 2);
    fixture_drain(&fx);
    ck_assert_ok(bcda_job_cancel(r->job));
    return r;
}

/* If the server does not accept the DELETE, it is sent three times, within seconds. */
START_TEST(server_is_busy)
{
    struct scripted_answer *a;
    int64_t began;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    a = scripted_on(fx.server, "DELETE", 0);
    if (_i)
        scripted_finish(a, SCRIPTED_RESET);
    else
        scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    begin_running();
    r = cancel_running();
    began = fx.now;
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(fx.server, "DELETE"), ATTEMPTS);
    ck_assert_int_le(fx.now - began, 3000);
    fixture_close(&fx);
}
END_TEST

/* If the server accepts the second DELETE, no third one is sent. */
START_TEST(second_attempt)
{
    struct run *r;

    fixture_open_scripted(&fx, 0);
    scripted_text(scripted_on(fx.server, "DELETE", 1),
                  "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    scripted_reply(fx.server, "DELETE", "202 Accepted", "", "", 0);
    begin_running();
    r = cancel_running();
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(fx.server, "DELETE"), 2);
    fixture_close(&fx);
}
END_TEST

/* Cancels a running job. The server answers the DELETE only when the test opens a gate of the
 * scripted server. */
static struct run *cancel_slowly(unsigned times)
{
    struct scripted_answer *a;

    fixture_open_scripted(&fx, 0);
    a = scripted_on(fx.server, "DELETE", times);
    scripted_gate(a, 1);
    scripted_text(a, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    begin_running();
    return cancel_running();
}

static void end_slowly(struct run *r)
{
    ck_assert_int_eq(r->done, 0);
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(fx.server, "DELETE"), 1);
    fixture_close(&fx);
}

/* The job's status is not requested once the DELETE is in progress. */
START_TEST(no_polling_meanwhile)
{
    unsigned polls;
    struct run *r = cancel_slowly(1);

    polls = scripted_count(fx.server, "GET /api/v1/jobs/1");
    fixture_until(&fx, scripted_count(fx.server, "DELETE") == 1);
    fixture_advance(&fx, 20000);
    ck_assert_int_eq(r->done, 0);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /api/v1/jobs/1"), polls);
    end_slowly(r);
}
END_TEST

/* The application cancels the job again while the DELETE is in progress: the client sends no second
 * DELETE. */
START_TEST(twice)
{
    struct run *r = cancel_slowly(0);

    fixture_until(&fx, scripted_count(fx.server, "DELETE") == 1);
    ck_assert_ok(bcda_job_cancel(r->job));
    fixture_drain(&fx);
    end_slowly(r);
}
END_TEST

/* ---- inside callbacks ---- */

static int cancel_at(struct run *r, enum where where, void *object)
{
    int *calls = r->arg;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH && where != AT_BAD_LINE)
        return BCDA_CONTINUE;
    if (++*calls == 2)
        ck_assert_ok(bcda_job_cancel(r->job));
    ck_assert_int_le(*calls, 2);
    return BCDA_CONTINUE;
}

/* After a job is cancelled in a data callback, no more data is delivered, neither of this file nor
 * of another. The callback is on_resource (_i = 0), on_bad_line (1) or on_batch (2). */
START_TEST(in_a_callback)
{
    struct buf body = {0};
    int i, calls = 0;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    for (i = 0; i < 300; i++) {
        if (_i == 1)
            buf_str(&body, "no JSON\n");
        else
            fixture_add_patients(&body, (size_t)i, 1);
    }
    scripted_reply(fx.server, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(fx.server, fixture_files, 2);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run_hook(&fx, _i == 2 ? BY_BATCH : BY_RESOURCE, cancel_at, &calls);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(calls, 2);
    fixture_close(&fx);
    buf_free(&body);
}
END_TEST

/* ---- outside of callbacks, and what is sent to the server ---- */

#define EOB "ExplanationOfBenefit"

/* The job is cancelled outside of callbacks: before the first step, in each state, and in the
 * middle of the data. */
START_TEST(cancel_outside)
{
    int when = _i / 3;
    struct run *r;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "stall");
    fx.jump_open = 1;
    r = fixture_start(&fx, (enum delivery_way)(_i % 3));
    if (when == 4)
        fixture_until_count(&fx, r, 1);
    else if (when > 0)
        fixture_until_state(&fx, r, when);
    ck_assert_ok(bcda_job_cancel(r->job));
    ck_assert_ok(bcda_job_cancel(r->job));
    ck_assert_int_eq(r->done, 0);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 0);
    ck_assert_ok(bcda_job_cancel(r->job));
    fixture_finish(&fx);
    if (when == 0)
        ck_assert_uint_eq(sandbox_count(fx.sandbox, "total"), 0);
    fixture_close(&fx);
}
END_TEST

static int cancel_in_state(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_STATE && bcda_job_state(r->job) == *(int *)r->arg)
        ck_assert_ok(bcda_job_cancel(r->job));
    return BCDA_CONTINUE;
}

/* With BCDA_OPT_CANCEL_AT_SERVER, a cancelled job is deleted at the server only if the server still
 * works on it. _i: the job is cancelled outside of callbacks while it runs (0), in on_state when it
 * begins to run (1), or in on_state when its files are ready (2). With 3, the option is not set. */
START_TEST(cancel_there)
{
    int state = _i == 2 ? BCDA_JOB_DOWNLOADING : BCDA_JOB_RUNNING;
    struct run *r, *again;
    char *url;

    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .polls = 5));
    fixture_set(&fx, BCDA_OPT_CANCEL_AT_SERVER, _i != 3);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    if (_i == 0 || _i == 3) {
        r = fixture_start(&fx, BY_RESOURCE);
        fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
        fixture_drain(&fx);
        ck_assert_ok(bcda_job_cancel(r->job));
        ck_assert_ok(bcda_job_cancel(r->job)); /* the second call has no effect */
    } else {
        r = fixture_start_hook(&fx, BY_RESOURCE, cancel_in_state, &state);
    }
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "delete"), _i < 2);
    url = strdup(bcda_job_url(r->job));
    again = fixture_attach(&fx, BY_RESOURCE, url, NULL, NULL);
    fixture_finish(&fx);
    if (_i < 2)
        (void)fixture_check_failed(again, BCDA_ERR_JOB_CANCELLED);
    else
        fixture_check_export(again);
    free(url);
    fixture_close(&fx);
}
END_TEST

/* If the server does not accept the DELETE, on_done is still called, and soon. */
START_TEST(cancel_there_fails)
{
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .polls = 5));
    fixture_set(&fx, BCDA_OPT_CANCEL_AT_SERVER, 1);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
    fixture_drain(&fx);
    fixture_fault(&fx, "reset");
    ck_assert_ok(bcda_job_cancel(r->job));
    if (_i) { /* the session is freed while the DELETE is in progress */
        fixture_drain(&fx);
        fixture_close(&fx);
        return;
    }
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    fixture_close(&fx);
}
END_TEST

SUITE("cancel")
{
    suite_case("at the server");
    suite_loop(server_is_busy, 0, 2);
    suite_test(second_attempt);
    suite_test(no_polling_meanwhile);
    suite_test(twice);
    suite_case("inside");
    suite_loop(in_a_callback, 0, 3);
    suite_case("outside");
    suite_loop(cancel_outside, 0, 15);
    suite_loop(cancel_there, 0, 4);
    suite_loop(cancel_there_fails, 0, 2);
}
