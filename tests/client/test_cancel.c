/* Cancelling a job: at the server, which may not answer as it should (the application waits for the
 * end, so it comes soon), and from inside callbacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

enum { ATTEMPTS = 3 };

/* A job that runs for ever, behind what was said of the DELETE. */
static void begin_running(struct scene *c)
{
    struct scripted_answer *a = scripted_on(c->s, "GET /api/v1/jobs/1", 0);

    scripted_text(a, "HTTP/1.1 202 Accepted\r\nX-Progress: 10%\r\nContent-Length: 0\r\n\r\n");
    scripted_export(c->s, NULL, 0);
    scene_config(c);
    scene_set(c, BCDA_OPT_CANCEL_AT_SERVER, 1);
    scene_session(c);
}

static struct run *cancel_running(struct scene *c)
{
    struct run *r = harness_start(&c->h, DOOR_RESOURCE);

    scene_until(c, scripted_count(c->s, "GET /api/v1/jobs/1") >= 2);
    harness_drain(&c->h);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    return r;
}

/* A server that does not take the DELETE is asked three times, within seconds. */
START_TEST(server_is_busy)
{
    struct scripted_answer *a;
    struct scene c;
    int64_t began;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 0);
    if (_i)
        scripted_finish(a, SCRIPTED_RESET);
    else
        scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    begin_running(&c);
    r = cancel_running(&c);
    began = c.h.now;
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), ATTEMPTS);
    ck_assert_int_le(c.h.now - began, 3000);
    scene_close(&c);
}
END_TEST

/* One that takes it at the second attempt is not asked again. */
START_TEST(second_attempt)
{
    struct scripted_answer *a;
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 1);
    scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    scripted_reply(c.s, "DELETE", "202 Accepted", "", "", 0);
    begin_running(&c);
    r = cancel_running(&c);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), 2);
    scene_close(&c);
}
END_TEST

/* No status is asked for once the DELETE is under way. */
START_TEST(no_polling_meanwhile)
{
    struct scripted_answer *a;
    struct scene c;
    unsigned polls;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 1);
    scripted_gate(a, 1);
    scripted_text(a, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    begin_running(&c);
    r = cancel_running(&c);
    polls = scripted_count(c.s, "GET /api/v1/jobs/1");
    scene_until(&c, scripted_count(c.s, "DELETE") == 1);
    harness_advance(&c.h, 20000);
    ck_assert_int_eq(r->done, 0);
    ck_assert_uint_eq(scripted_count(c.s, "GET /api/v1/jobs/1"), polls);
    scripted_open_gate(c.s, 1);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), 1);
    scene_close(&c);
}
END_TEST

/* Cancelled once more while the DELETE is under way: it is not sent again. */
START_TEST(twice)
{
    struct scripted_answer *a;
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 0);
    scripted_gate(a, 1);
    scripted_text(a, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    begin_running(&c);
    r = cancel_running(&c);
    scene_until(&c, scripted_count(c.s, "DELETE") == 1);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    harness_drain(&c.h);
    ck_assert_int_eq(r->done, 0);
    scripted_open_gate(c.s, 1);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), 1);
    scene_close(&c);
}
END_TEST

/* ---- from inside ---- */

static int cancel_at(struct run *r, enum where where, void *object)
{
    int *calls = r->arg;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH && where != AT_BAD_LINE)
        return BCDA_CONTINUE;
    if (++*calls == 2)
        ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    ck_assert_int_le(*calls, 2);
    return BCDA_CONTINUE;
}

/* Cancelled in a data callback: no data comes after it, of this file or another. _i: resources;
 * invalid lines; batches. */
START_TEST(in_a_callback)
{
    static const struct scripted_entry e[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                              {"Patient", "/data/b.ndjson", NULL, 0}};
    struct buf body = {0};
    struct scene c;
    int i, calls = 0;
    struct run *r;

    scene_open(&c, 0);
    for (i = 0; i < 300; i++) {
        if (_i == 1)
            buf_str(&body, "no JSON\n");
        else
            scene_add_patients(&body, (size_t)i, 1);
    }
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(c.s, e, 2);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BAD_LINES_MAX, -1);
    scene_set(&c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_session(&c);
    r = harness_start_hook(&c.h, _i == 2 ? DOOR_BATCH : DOOR_RESOURCE, cancel_at, &calls);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(calls, 2);
    scene_close(&c);
    buf_free(&body);
}
END_TEST

/* ---- from outside, and what the server is told ---- */

static struct harness h;

#define EOB "ExplanationOfBenefit"

/* From outside: before the first step, in each state, and in the middle of the data. */
START_TEST(cancel_outside)
{
    int when = _i / 3;
    struct run *r;

    harness_setup_one_file(&h);
    harness_fault(&h, "stall");
    h.jump_open = 1;
    r = harness_start(&h, (enum door)(_i % 3));
    if (when == 4)
        harness_until_count(&h, r, 1);
    else if (when > 0)
        harness_until_state(&h, r, when);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    ck_assert_int_eq(r->done, 0);
    harness_run(&h);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(harness_stat(&h, BCDA_STAT_TRANSFERS), 0);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    harness_run(&h);
    if (when == 0)
        ck_assert_uint_eq(sandbox_count(h.sb, "total"), 0);
    harness_close(&h);
}
END_TEST

/* With BCDA_OPT_CANCEL_AT_SERVER: the server is told of a job that it works on, and of no other.
 * From outside while it runs, from on_state when it begins to run, and when its files are ready. */
static int cancel_in_state(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_STATE && bcda_job_state(r->job) == *(int *)r->arg)
        ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    return BCDA_CONTINUE;
}

START_TEST(cancel_there)
{
    struct sandbox_options o = {0};
    int state = _i == 2 ? BCDA_JOB_DOWNLOADING : BCDA_JOB_RUNNING;
    struct run *r, *again;
    char *url;

    o.era = "current";
    o.polls = 5;
    harness_open(&h, &o);
    harness_config(&h, 1);
    harness_set(&h, BCDA_OPT_CANCEL_AT_SERVER, _i != 3);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, EOB, NULL);
    if (_i == 0 || _i == 3) {
        r = harness_start(&h, DOOR_RESOURCE);
        harness_until_state(&h, r, BCDA_JOB_RUNNING);
        harness_drain(&h);
        ck_assert_int_eq(bcda_job_cancel(r->job), 0);
        ck_assert_int_eq(bcda_job_cancel(r->job), 0); /* twice is once */
    } else {
        r = harness_start_hook(&h, DOOR_RESOURCE, cancel_in_state, &state);
    }
    harness_run(&h);
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(sandbox_count(h.sb, "delete"), _i < 2);
    url = strdup(bcda_job_url(r->job));
    again = harness_attach(&h, DOOR_RESOURCE, url);
    harness_run(&h);
    if (_i < 2)
        (void)harness_check_failed(again, BCDA_ERR_JOB_CANCELLED);
    else
        harness_check_export(again);
    free(url);
    harness_close(&h);
}
END_TEST

/* The server cannot be told: done comes all the same, and soon. */
START_TEST(cancel_there_fails)
{
    struct sandbox_options o = {0};
    struct run *r;

    o.era = "current";
    o.polls = 5;
    harness_open(&h, &o);
    harness_config(&h, 1);
    harness_set(&h, BCDA_OPT_CANCEL_AT_SERVER, 1);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = harness_start(&h, DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_RUNNING);
    harness_drain(&h);
    harness_fault(&h, "reset");
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    if (_i) { /* freed while the server is being told */
        harness_drain(&h);
        harness_close(&h);
        return;
    }
    harness_run(&h);
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    harness_close(&h);
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
