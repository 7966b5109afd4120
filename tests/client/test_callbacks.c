/* What callbacks may return and call: each result of each callback, each entry point from each
 * callback, and how long the userdata of a handler is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/auth.h"
#include "client/entry.h"
#include "fixture.h"

static struct fixture fx;

/* ---- results of callbacks ---- */

static const char *const names[AT_COUNT] = {
    "on_state",    "on_file",         "on_file",    "on_resource", "on_batch",
    "on_bad_line", "on_server_issue", "on_deleted", "on_progress", "on_done"};

struct saying {
    enum where where;
    int answer, after; /* from call `after` + 1 on, the callback returns `answer` */
    int calls;
};

static int say(struct run *r, enum where where, void *object)
{
    struct saying *s = r->arg;

    (void)object;
    if (where != s->where || s->calls++ < s->after)
        return BCDA_CONTINUE;
    if (where != AT_STATE && where != AT_END) /* on_state and on_file run again at the end */
        ck_assert_int_eq(s->calls, s->after + 1);
    return s->answer;
}

static enum delivery_way way_for(enum where where)
{
    return where == AT_BATCH ? BY_BATCH : BY_RESOURCE;
}

static int may_pause(enum where where)
{
    return where == AT_RESOURCE || where == AT_BATCH;
}

/* Checks that the job has paused: the callback was called only once, and the job has not ended. */
static void check_paused(struct run *r, const struct saying *s)
{
    fixture_idle(&fx);
    fixture_advance(&fx, 10000);
    ck_assert_int_eq(s->calls, 1);
    ck_assert_int_eq(r->done, 0);
    ck_assert_int_eq(bcda_job_result(r->job), BCDA_ERR_AGAIN);
    ck_assert_ok(bcda_job_cancel(r->job));
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(s->calls, 1);
}

START_TEST(answers)
{
    static const int given[] = {BCDA_STOP, 7, -1, BCDA_PAUSE};
    struct saying s = {0};
    const bcda_error *e;
    struct run *r;

    s.where = (enum where)(_i / 4);
    s.answer = given[_i % 4];
    fixture_setup_everything(&fx);
    if (s.answer == BCDA_PAUSE && may_pause(s.where)) {
        check_paused(fixture_start_hook(&fx, way_for(s.where), say, &s), &s);
        fixture_close(&fx);
        return;
    }
    r = fixture_run_hook(&fx, way_for(s.where), say, &s);
    ck_assert_int_ge(s.calls, 1);
    e = fixture_check_failed(r, s.answer == BCDA_STOP ? BCDA_ERR_STOPPED : BCDA_ERR_CALLBACK);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), names[s.where]));
    ck_assert_int_eq(r->states[r->state_count - 1], BCDA_JOB_FAILED);
    fixture_close(&fx);
}
END_TEST

/* BCDA_STOP has no effect when on_state reports the last state: the job has already ended. */
START_TEST(stop_at_the_end)
{
    struct saying s = {0};
    struct run *r;

    s.where = AT_STATE;
    s.after = 3;
    fixture_setup_one_file(&fx);
    r = fixture_run_hook(&fx, BY_RESOURCE, say, &s);
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

/* ---- cancel and free, from any callback ---- */

enum act { CANCEL, FREE, UNREF, CANCEL_AND_FREE, ACTS };

struct acting {
    enum act act;
    enum where where;
    int acted;
};

static int act(struct run *r, enum where where, void *object)
{
    struct acting *a = r->arg;
    bcda_batch *batch;
    bcda_job *job;

    (void)object;
    if (where != a->where || a->acted)
        return BCDA_CONTINUE;
    a->acted = 1;
    /* The first three calls are not allowed in a callback; the others are. */
    ck_assert_int_eq(bcda_session_run(fx.session, 0), BCDA_ERR_REENTRANT);
    ck_assert_int_eq(bcda_session_step(fx.session), BCDA_ERR_REENTRANT);
    ck_assert_int_eq(bcda_job_next(r->job, &batch), BCDA_ERR_REENTRANT);
    if (bcda_session_fd(fx.session) != BCDA_ERR_UNSUPPORTED)
        ck_assert_int_ge(bcda_session_fd(fx.session), 0);
    ck_assert_ok(bcda_session_wakeup(fx.session));
    if (a->act == CANCEL || a->act == CANCEL_AND_FREE)
        ck_assert_ok(bcda_job_cancel(r->job));
    if (a->act == FREE || a->act == CANCEL_AND_FREE) {
        bcda_session_free(fx.session);
        ck_assert_int_eq(bcda_job_start(fx.session, fx.x, NULL, &job), BCDA_ERR_STATE);
        ck_assert_int_eq(bcda_session_step(fx.session), BCDA_ERR_STATE);
        bcda_session_free(fx.session);
    }
    if (a->act == UNREF) {
        bcda_job_unref(r->job);
        r->job = NULL;
    }
    return BCDA_CONTINUE;
}

static void step_until_done(struct run *r, const struct acting *a)
{
    bcda_session *s = fx.session;
    int rc = 1;

    while (!r->done) {
        if (a->act == FREE || a->act == CANCEL_AND_FREE) {
            /* Any step may free the session, so nothing but the step may use it. */
            fx.inside = 1;
            fx.now += a->acted ? 0 : 200;
            rc = bcda_session_step(s);
            fx.inside = 0;
            ck_assert_int_ge(rc, 0);
            if (!rc)
                usleep(500);
        } else {
            (void)fixture_step(&fx);
        }
    }
    if (a->act == FREE || a->act == CANCEL_AND_FREE)
        fx.session = NULL;
}

START_TEST(acts)
{
    struct acting a = {0};
    struct run *r;

    a.act = (enum act)(_i % ACTS);
    a.where = (enum where)(_i / ACTS);
    fixture_setup_everything(&fx);
    if (a.where == AT_PROGRESS)
        fixture_fault(&fx, "progress:half");
    r = fixture_start_hook(&fx, way_for(a.where), act, &a);
    step_until_done(r, &a);
    ck_assert_int_eq(a.acted, 1);
    if (a.act == UNREF || a.where == AT_DONE)
        ck_assert_int_eq(r->result, 0);
    else
        ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    if (r->job) {
        ck_assert_int_eq(bcda_job_result(r->job), r->result);
        if (bcda_job_error(r->job))
            fixture_check_error(&fx, bcda_job_error(r->job));
    }
    fixture_close(&fx);
}
END_TEST

static struct run *second;

static int start_next(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == *(enum where *)r->arg && !second)
        second = fixture_start(&fx, BY_BATCH);
    return BCDA_CONTINUE;
}

/* A callback starts another job. No callback of the new job runs inside that callback. */
START_TEST(start_inside)
{
    enum where where = _i == 0 ? AT_DONE : _i == 1 ? AT_STATE : AT_RESOURCE;
    struct run *r;

    second = NULL;
    fixture_setup_one_file(&fx);
    r = fixture_run_hook(&fx, BY_RESOURCE, start_next, &where);
    fixture_check_came(r, 50);
    ck_assert_ptr_nonnull(second);
    ck_assert_int_eq(second->done, 1);
    fixture_check_came(second, 50);
    fixture_close(&fx);
}
END_TEST

/* ---- every entry point from everywhere ---- */

enum { OUTSIDE = AT_COUNT, FREED, IN_REQUEST, IN_PROVIDER, PLACES };

struct knock {
    enum bcda__entry_point door;
    int place;
    int knocked;
};

/* Returns 1 if the call was allowed in this place. It may still have failed for another reason: the
 * session is driven in another way, the job has data callbacks, or the job has no URL yet. */
static int is_allowed(int rc)
{
    return rc != BCDA_ERR_REENTRANT && rc != BCDA_ERR_FORKED;
}

static int knock(struct run *r, enum where where, void *object)
{
    struct knock *k = r->arg;
    const struct bcda__entry_row *row = &bcda__entry_rows[k->door];
    int want = k->place == FREED ? row->while_freed : row->in_callback, rc;

    (void)object;
    if (k->knocked || (int)where != (k->place == FREED ? AT_END : k->place))
        return BCDA_CONTINUE;
    k->knocked = 1;
    if (k->place == FREED)
        bcda_session_free(fx.session);
    rc = fixture_call(&fx, k->door, r->job);
    ck_assert_msg(want ? rc == want : is_allowed(rc), "%s: %s", row->function, bcda_error_name(rc));
    if (want)
        ck_assert_msg(bcda_error_code(bcda_session_error(fx.session)) == want, "%s: %s",
                      row->function, bcda_error_text(bcda_session_error(fx.session)));
    return BCDA_CONTINUE;
}

static struct run *knocking; /* the run to use in callbacks that belong to no job */

static void knock_in_request(bcda_request *request, int result, void *userdata)
{
    (void)request;
    (void)result;
    (void)userdata;
    (void)knock(knocking, (enum where)IN_REQUEST, NULL);
}

static void knock_in_provider(bcda_token_request *request, void *userdata)
{
    (void)userdata;
    ck_assert_ok(bcda_token_request_answer(request, sandbox_bearer_token(fx.sandbox), -1));
    (void)knock(knocking, (enum where)IN_PROVIDER, NULL);
}

/* Replaces the session by one that asks the application for tokens. */
static void with_provider(struct knock *k)
{
    bcda_session_free(fx.session);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    ck_assert_ok(bcda_config_set_token_provider(fx.config, knock_in_provider, k, NULL));
    fixture_session(&fx);
}

static void start_knocking_request(struct knock *k)
{
    ck_assert_ok(
        bcda_request_start(fx.session, BCDA_REQUEST_VERSION, knock_in_request, k, NULL, NULL));
    while (!k->knocked)
        ck_assert_int_eq(fixture_step(&fx), 1);
}

START_TEST(everything_from_everywhere)
{
    struct knock k = {(enum bcda__entry_point)(_i % BCDA__ENTRY_POINTS), _i / BCDA__ENTRY_POINTS,
                      0};
    struct acting freed = {FREE, AT_END, 0};
    struct run *r;

    fixture_setup_everything(&fx);
    if (k.place == IN_PROVIDER)
        with_provider(&k);
    if (k.place == AT_PROGRESS)
        fixture_fault(&fx, "progress:half");
    r = knocking = fixture_start_hook(
        &fx, k.place < OUTSIDE ? way_for((enum where)k.place) : BY_RESOURCE, knock, &k);
    if (k.place == IN_REQUEST)
        start_knocking_request(&k);
    if (k.place == OUTSIDE) {
        fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
        k.knocked = 1;
        fx.inside = 1;
        ck_assert(is_allowed(fixture_call(&fx, k.door, r->job)));
        fx.inside = 0;
    }
    if (k.place == FREED) {
        step_until_done(r, &freed);
    } else {
        while (!r->done && fixture_step(&fx))
            ;
        if (!r->done) /* paused */
            ck_assert_ok(bcda_job_resume(r->job));
        fixture_finish(&fx);
    }
    ck_assert_int_eq(k.knocked, 1);
    ck_assert_int_eq(r->done, 1);
    fixture_close(&fx);
}
END_TEST

/* ---- userdata ---- */

static int destroyed;

static void count_destroy(void *userdata)
{
    ck_assert_ptr_eq(userdata, &destroyed);
    destroyed++;
}

static void never(void)
{
    ck_abort_msg("a callback that is never called");
}

START_TEST(registrations)
{
    bcda_handlers *handlers;
    bcda_config *c;

    destroyed = 0;
    ck_assert_int_eq(bcda_handlers_on_done(NULL, (bcda_done_cb)never, &destroyed, count_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(destroyed, 0);
    ck_assert_ok(bcda_handlers_new(&handlers));
    ck_assert_ok(bcda_handlers_on_done(handlers, (bcda_done_cb)never, &destroyed, count_destroy));
    ck_assert_int_eq(destroyed, 0);
    ck_assert_int_eq(/* replaces the first on_done */
                     bcda_handlers_on_done(handlers, (bcda_done_cb)never, &destroyed,
                                           count_destroy),
                     0);
    ck_assert_int_eq(destroyed, 1);
    ck_assert_ok(bcda_handlers_on_done(handlers, NULL, NULL, NULL)); /* removes on_done */
    ck_assert_int_eq(destroyed, 2);
    ck_assert_ok(bcda_handlers_on_state(handlers, (bcda_state_cb)never, &destroyed, count_destroy));
    bcda_handlers_free(handlers);
    ck_assert_int_eq(destroyed, 3);

    ck_assert_ok(bcda_config_new(&c));
    ck_assert_int_eq(bcda_config_set_log(c, 99, (bcda_log_cb)never, &destroyed, count_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_config_set_token_provider(c, NULL, &destroyed, count_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(destroyed, 3);
    ck_assert_ok(bcda_config_set_token_provider(c, (bcda_token_provider_cb)never, &destroyed,
                                                count_destroy));
    ck_assert_ok(bcda_config_set_bearer_token(c, "x")); /* replaces the token provider */
    ck_assert_int_eq(destroyed, 4);
    bcda_config_free(c);
    ck_assert_int_eq(destroyed, 4);
}
END_TEST

/* Two jobs share their handlers. The destroy function is called once, when no job uses the handlers
 * any more. */
static void count_done(bcda_job *job, int result, void *userdata)
{
    (void)job;
    (void)result;
    (void)userdata;
    ck_assert_int_eq(destroyed, 0);
}

START_TEST(registrations_shared)
{
    bcda_handlers *handlers;

    fixture_setup_one_file(&fx);
    destroyed = 0;
    ck_assert_ok(bcda_handlers_new(&handlers));
    ck_assert_ok(bcda_handlers_on_done(handlers, count_done, &destroyed, count_destroy));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, handlers, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, handlers, NULL));
    ck_assert_int_eq(bcda_job_start(fx.session, NULL, handlers, NULL), BCDA_ERR_INVALID);
    bcda_handlers_free(handlers);
    ck_assert_int_eq(destroyed, 0);
    fixture_free_session(&fx);
    ck_assert_int_eq(destroyed, 1);
    fixture_close(&fx);
}
END_TEST

SUITE("callbacks")
{
    suite_case("answers");
    suite_loop(answers, 0, AT_DONE * 4);
    suite_test(stop_at_the_end);
    suite_case("calls");
    suite_loop(acts, 0, AT_COUNT * ACTS);
    suite_loop(start_inside, 0, 3);
    suite_sample(everything_from_everywhere, 0, PLACES * BCDA__ENTRY_POINTS, 70);
    suite_case("userdata");
    suite_test(registrations);
    suite_test(registrations_shared);
}
