/* Pauses by the return value of a callback, by bcda_job_pause() in a callback, and from outside.
 * While a job is paused, nothing is delivered. Afterwards nothing is lost or delivered twice. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

/* ---- by the return value of a callback ---- */

struct pausing {
    int every; /* the callback pauses at each n-th resource */
    int calls, pauses;
    int64_t number; /* line with which delivery must go on after the pause; 0 = none */
    const char *id;
    char kept[80];
    int consumed; /* resources of each batch to report as consumed; -1 = do not report */
    size_t left;
    int resume_inside;
};

static int pause_resource(struct run *r, enum where where, void *object)
{
    struct pausing *p = r->arg;

    if (where != AT_RESOURCE)
        return BCDA_CONTINUE;
    if (p->number) { /* the refused resource must be delivered again */
        ck_assert_int_eq(bcda_resource_line_number(object), p->number);
        ck_assert_str_eq(bcda_resource_id(object), p->kept);
        p->number = 0;
        return BCDA_CONTINUE;
    }
    if (++p->calls % p->every)
        return BCDA_CONTINUE;
    p->number = bcda_resource_line_number(object);
    snprintf(p->kept, sizeof p->kept, "%s", bcda_resource_id(object));
    p->pauses++;
    return BCDA_PAUSE;
}

static void resume_until_done(struct run *r, struct pausing *p)
{
    int rounds = 0;

    while (!r->done) {
        size_t before;
        int seen;

        fixture_idle(&fx);
        if (r->done)
            break;
        ck_assert_int_ne(p->pauses, 0);
        before = r->count;
        seen = p->pauses;
        if (rounds % 8 == 0)
            fixture_advance(&fx, 10000);
        ck_assert_uint_eq(r->count, before); /* nothing is delivered while the job is paused */
        ck_assert_int_eq(p->pauses, seen);
        ck_assert_ok(bcda_job_resume(r->job));
        ck_assert_uint_eq(r->count, before);
        ck_assert_int_lt(rounds++, 1000);
    }
}

START_TEST(pause_and_again)
{
    struct pausing p = {0};
    struct run *r;

    fixture_setup_one_file(&fx);
    p.every = _i ? 7 : 1;
    r = fixture_start_hook(&fx, BY_RESOURCE, pause_resource, &p);
    resume_until_done(r, &p);
    fixture_check_export(r);
    ck_assert_uint_eq(r->count, 50);
    ck_assert_int_eq(p.pauses, _i ? 7 : 50);
    fixture_close(&fx);
}
END_TEST

static int pause_batch(struct run *r, enum where where, void *object)
{
    struct pausing *p = r->arg;
    size_t i;

    if (where != AT_BATCH)
        return BCDA_CONTINUE;
    if (p->number) {
        ck_assert_int_eq((int64_t)bcda_batch_line_numbers(object)[0], p->number);
        ck_assert_uint_eq(bcda_batch_count(object), p->left);
        p->number = 0;
        if (p->consumed < 0 || p->left <= 3)
            return BCDA_CONTINUE;
    }
    p->pauses++;
    ck_assert_int_eq(bcda_batch_set_consumed(object, bcda_batch_count(object) + 1),
                     BCDA_ERR_INVALID);
    i = p->consumed < 0 ? 0 : (size_t)p->consumed;
    if (i > bcda_batch_count(object))
        i = bcda_batch_count(object);
    p->left = bcda_batch_count(object) - i;
    p->number = (int64_t)bcda_batch_line_numbers(object)[0] + (int64_t)i;
    if (p->consumed >= 0) {
        ck_assert_int_eq(bcda_batch_set_consumed(object, i), 0);
        p->calls += (int)i;
    }
    return BCDA_PAUSE;
}

START_TEST(pause_batches)
{
    struct pausing p = {0};
    struct run *r;

    fixture_setup_one_file(&fx);
    p.consumed = _i == 0 ? -1 : _i == 1 ? 0 : 3;
    if (_i == 1)
        p.consumed = -1; /* reporting 0 consumed is the same as not reporting */
    r = fixture_start_hook(&fx, BY_BATCH, pause_batch, &p);
    resume_until_done(r, &p);
    ck_assert_int_eq(r->result, 0);
    ck_assert_int_eq(bcda_job_resources(r->job), 50);
    ck_assert_uint_eq(r->count + (size_t)p.calls, 50);
    if (_i < 2)
        fixture_check_export(r);
    ck_assert_int_gt(p.pauses, _i == 2 ? 9 : 1);
    fixture_close(&fx);
}
END_TEST

/* Reports the whole batch as consumed, and pauses. */
static int consume_all(struct run *r, enum where where, void *object)
{
    struct pausing *p = r->arg;

    if (where != AT_BATCH)
        return BCDA_CONTINUE;
    p->calls += (int)bcda_batch_count(object);
    p->pauses++;
    ck_assert_int_eq(bcda_batch_set_consumed(object, bcda_batch_count(object)), 0);
    return BCDA_PAUSE;
}

START_TEST(consumed_whole)
{
    struct pausing p = {0};
    struct run *r;

    fixture_setup_one_file(&fx);
    r = fixture_start_hook(&fx, BY_BATCH, consume_all, &p);
    resume_until_done(r, &p);
    ck_assert_int_eq(r->result, 0);
    ck_assert_int_eq(p.calls, 50);
    ck_assert_int_eq(bcda_job_resources(r->job), 50);
    fixture_close(&fx);
}
END_TEST

/* ---- from outside ---- */

/* Pauses a job right after its start, or in the state _i / 3. */
START_TEST(pause_outside)
{
    enum delivery_way way = (enum delivery_way)(_i % 3);
    size_t before;
    struct run *r;

    fixture_setup_one_file(&fx);
    r = fixture_start(&fx, way);
    if (_i / 3 > 0)
        fixture_until_state(&fx, r, _i / 3);
    ck_assert_ok(bcda_job_pause(r->job));
    before = r->count;
    fixture_idle(&fx);
    fixture_advance(&fx, 60000);
    ck_assert_uint_eq(r->count, before);
    ck_assert_int_eq(r->done, 0);
    ck_assert_int_eq(bcda_job_state(r->job), BCDA_JOB_DOWNLOADING);
    fx.inside = 1;
    ck_assert_ok(bcda_session_run(fx.session, -1)); /* returns: the only job is paused */
    fx.inside = 0;
    ck_assert_ok(bcda_job_resume(r->job));
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_ok(bcda_job_pause(r->job)); /* has no effect: the job has ended */
    ck_assert_ok(bcda_job_resume(r->job));
    fixture_close(&fx);
}
END_TEST

static int pause_first(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_RESOURCE && r->count == 1 && !*(int *)r->arg) {
        *(int *)r->arg = 1;
        return BCDA_PAUSE;
    }
    return BCDA_CONTINUE;
}

/* A long pause in a file that is larger than all buffers together: the server is not treated as too
 * slow, and once the buffers are full no further bytes are received. */
START_TEST(pause_long)
{
    int64_t received;
    int paused = 0;
    struct run *r;

    fixture_setup(&fx, SANDBOX(.era = "2019-04", .file_bytes = 24 * 1024 * 1024), 1);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    r = fixture_start_hook(&fx, BY_RESOURCE, pause_first, &paused);
    while (!paused)
        ck_assert_int_eq(fixture_step(&fx), 1);
    fixture_drain(&fx);
    received = bcda_job_bytes_received(r->job);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 1);
    ck_assert_int_lt(received, 1024 * 1024);
    fixture_advance(&fx, 30 * 60000);
    ck_assert_int_eq(bcda_job_bytes_received(r->job), received);
    ck_assert_uint_eq(r->count, 1);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TRANSFERS), 1);
    ck_assert_ok(bcda_job_resume(r->job));
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_int_gt(bcda_job_bytes(r->job), 24 * 1024 * 1024);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 1);
    fixture_close(&fx);
}
END_TEST

START_TEST(flush_during_pause)
{
    struct scripted_answer *a;
    struct buf body = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_add_patients(&body, 0, 2);
    a = scripted_on(fx.server, "/data/", 0);
    scripted_text(a, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    scripted_send(a, body.p, body.len);
    scripted_finish(a, SCRIPTED_STAY);
    scripted_export(fx.server, fixture_files, 1);
    fixture_session(&fx);
    r = fixture_start(&fx, _i ? BY_BATCH : BY_RESOURCE);
    fixture_until(&fx, bcda_job_bytes_received(r->job) == (int64_t)body.len);
    ck_assert_uint_eq(r->count, 0); /* the two lines do not fill a batch yet */
    ck_assert_ok(bcda_job_pause(r->job));
    fixture_advance(&fx, 5000);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_ok(bcda_job_resume(r->job));
    fixture_advance(&fx, 5000);
    fixture_check_patients(r, 0, 0, 2);
    ck_assert_ok(bcda_job_cancel(r->job));
    fixture_finish(&fx);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    buf_free(&body);
    fixture_close(&fx);
}
END_TEST

/* ---- by bcda_job_pause() in a callback ---- */

struct inner_pause {
    enum where at;
    unsigned calls, every;
    int paused;
};

static int pause_inside(struct run *r, enum where where, void *object)
{
    struct inner_pause *p = r->arg;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH && where != AT_BAD_LINE)
        return BCDA_CONTINUE;
    ck_assert_msg(!p->paused, "data right behind bcda_job_pause()");
    if (where == p->at && ++p->calls % p->every == 0) {
        ck_assert_ok(bcda_job_pause(r->job));
        p->paused = 1;
    }
    return BCDA_CONTINUE;
}

static void check_inner_pause(enum delivery_way way, enum where at, unsigned every, size_t least)
{
    struct inner_pause p = {at, 0, every, 0};
    struct buf body = {0};
    struct run *r;
    size_t i, pauses = 0;

    fixture_open_scripted(&fx, 0);
    for (i = 0; i < 300; i++) {
        fixture_add_patients(&body, i, 1);
        if (i % 5 == 2)
            buf_str(&body, "no json\n");
    }
    scripted_reply(fx.server, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_session(&fx);
    r = fixture_start_hook(&fx, way, pause_inside, &p);
    while (!r->done) {
        if (p.paused) {
            size_t count = r->count, bad = r->bad_count;

            for (i = 0; i < 20; i++) {
                fixture_bare_step(&fx);
            }
            ck_assert_uint_eq(r->count, count);
            ck_assert_uint_eq(r->bad_count, bad);
            p.paused = 0;
            pauses++;
            ck_assert_ok(bcda_job_resume(r->job));
        }
        /* A job that pauses at its last line still ends. */
        ck_assert(r->done || fixture_step(&fx));
    }
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 300);
    ck_assert_uint_eq(r->bad_count, 60);
    for (i = 0; i < 60; i++)
        ck_assert_int_eq(r->bad[i].number, (int64_t)(6 * i + 4));
    ck_assert_uint_ge(pauses, least);
    buf_free(&body);
    fixture_close(&fx);
}

START_TEST(pause_in_resource)
{
    check_inner_pause(BY_RESOURCE, AT_RESOURCE, 7, 42);
}
END_TEST

START_TEST(pause_in_batch)
{
    check_inner_pause(BY_BATCH, AT_BATCH, 1, 4);
}
END_TEST

START_TEST(pause_in_bad_line)
{
    check_inner_pause(BY_RESOURCE, AT_BAD_LINE, 3, 20);
    check_inner_pause(BY_BATCH, AT_BAD_LINE, 3, 19); /* nothing follows the last bad line */
}
END_TEST

SUITE("pause")
{
    suite_case("answer");
    suite_loop(pause_and_again, 0, 2);
    suite_loop(pause_batches, 0, 3);
    suite_test(consumed_whole);
    suite_case("outside");
    suite_loop(pause_outside, 0, 12);
    suite_test(pause_long);
    suite_case("waiting");
    suite_loop(flush_during_pause, 0, 2);
    suite_case("inside");
    suite_test(pause_in_resource);
    suite_test(pause_in_batch);
    suite_test(pause_in_bad_line);
}
