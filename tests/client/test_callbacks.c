/* What callbacks may answer and call: each answer of each callback, each entry point from each
 * callback, and how long the userdata of a registration is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/auth.h"
#include "client/door.h"
#include "harness.h"

static struct harness h;

/* ---- answers ---- */

static const char *const names[AT_COUNT] = {"on_state",        "on_file",     "on_file",
                                            "on_resource",     "on_batch",    "on_bad_line",
                                            "on_server_issue", "on_progress", "on_done"};

struct saying {
    enum where where;
    int answer, after; /* from the after-th call on */
    int calls;
};

static int say(struct run *r, enum where where, void *object)
{
    struct saying *s = r->arg;

    (void)object;
    if (where != s->where || s->calls++ < s->after)
        return BCDA_CONTINUE;
    if (where != AT_STATE && where != AT_END) /* which go on to be told how it ended */
        ck_assert_int_eq(s->calls, s->after + 1);
    return s->answer;
}

static enum door door_for(enum where where)
{
    return where == AT_BATCH ? DOOR_BATCH : DOOR_RESOURCE;
}

static int may_pause(enum where where)
{
    return where == AT_RESOURCE || where == AT_BATCH;
}

/* The pause is an answer here: it is called once, and nothing ends. */
static void check_paused(struct run *r, const struct saying *s)
{
    harness_idle(&h);
    harness_advance(&h, 10000);
    ck_assert_int_eq(s->calls, 1);
    ck_assert_int_eq(r->done, 0);
    ck_assert_int_eq(bcda_job_result(r->job), BCDA_ERR_AGAIN);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    harness_run(&h);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
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
    harness_setup_everything(&h);
    if (s.answer == BCDA_PAUSE && may_pause(s.where)) {
        check_paused(harness_start_hook(&h, door_for(s.where), say, &s), &s);
        harness_close(&h);
        return;
    }
    r = harness_start_hook(&h, door_for(s.where), say, &s);
    harness_run(&h);
    ck_assert_int_ge(s.calls, 1);
    e = harness_check_failed(r, s.answer == BCDA_STOP ? BCDA_ERR_STOPPED : BCDA_ERR_CALLBACK);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), names[s.where]));
    ck_assert_int_eq(r->states[r->state_count - 1], BCDA_JOB_FAILED);
    harness_close(&h);
}
END_TEST

/* The last state is told too late to stop anything. */
START_TEST(stop_at_the_end)
{
    struct saying s = {0};
    struct run *r;

    s.where = AT_STATE;
    s.after = 3;
    harness_setup_one_file(&h);
    r = harness_start_hook(&h, DOOR_RESOURCE, say, &s);
    harness_run(&h);
    harness_check_export(r);
    harness_close(&h);
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
    /* What may not be called in here, and what may. */
    ck_assert_int_eq(bcda_session_run(h.session, 0), BCDA_ERR_REENTRANT);
    ck_assert_int_eq(bcda_session_step(h.session), BCDA_ERR_REENTRANT);
    ck_assert_int_eq(bcda_job_next(r->job, &batch), BCDA_ERR_REENTRANT);
    if (bcda_session_fd(h.session) != BCDA_ERR_UNSUPPORTED)
        ck_assert_int_ge(bcda_session_fd(h.session), 0);
    ck_assert_int_eq(bcda_session_wakeup(h.session), 0);
    if (a->act == CANCEL || a->act == CANCEL_AND_FREE)
        ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    if (a->act == FREE || a->act == CANCEL_AND_FREE) {
        bcda_session_free(h.session);
        ck_assert_int_eq(bcda_job_start(h.session, h.x, NULL, &job), BCDA_ERR_STATE);
        ck_assert_int_eq(bcda_session_step(h.session), BCDA_ERR_STATE);
        bcda_session_free(h.session);
    }
    if (a->act == UNREF) {
        bcda_job_unref(r->job);
        r->job = NULL;
    }
    return BCDA_CONTINUE;
}

static void turn_until_done(struct run *r, const struct acting *a)
{
    bcda_session *s = h.session;
    int rc = 1;

    while (!r->done) {
        if (a->act == FREE || a->act == CANCEL_AND_FREE) {
            /* The session may go within any step: nothing else of it is touched. */
            h.inside = 1;
            h.now += a->acted ? 0 : 200;
            rc = bcda_session_step(s);
            h.inside = 0;
            ck_assert_int_ge(rc, 0);
            if (!rc)
                usleep(500);
        } else {
            (void)harness_turn(&h);
        }
    }
    if (a->act == FREE || a->act == CANCEL_AND_FREE)
        h.session = NULL;
}

START_TEST(acts)
{
    struct acting a = {0};
    struct run *r;

    a.act = (enum act)(_i % ACTS);
    a.where = (enum where)(_i / ACTS);
    harness_setup_everything(&h);
    if (a.where == AT_PROGRESS)
        harness_fault(&h, "progress:half");
    r = harness_start_hook(&h, door_for(a.where), act, &a);
    turn_until_done(r, &a);
    ck_assert_int_eq(a.acted, 1);
    if (a.act == UNREF || a.where == AT_DONE)
        ck_assert_int_eq(r->result, 0);
    else
        ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    if (r->job) {
        ck_assert_int_eq(bcda_job_result(r->job), r->result);
        if (bcda_job_error(r->job))
            harness_check_error(&h, bcda_job_error(r->job));
    }
    harness_close(&h);
}
END_TEST

static struct run *second;

static int start_next(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == *(enum where *)r->arg && !second)
        second = harness_start(&h, DOOR_BATCH);
    return BCDA_CONTINUE;
}

/* A new job out of a callback: nothing of it runs in there. */
START_TEST(start_inside)
{
    enum where where = _i == 0 ? AT_DONE : _i == 1 ? AT_STATE : AT_RESOURCE;
    struct run *r;

    second = NULL;
    harness_setup_one_file(&h);
    r = harness_start_hook(&h, DOOR_RESOURCE, start_next, &where);
    harness_run(&h);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(r->count, 50);
    ck_assert_ptr_nonnull(second);
    ck_assert_int_eq(second->done, 1);
    ck_assert_int_eq(second->result, 0);
    ck_assert_uint_eq(second->count, 50);
    harness_close(&h);
}
END_TEST

/* ---- every entry point from everywhere ---- */

enum { OUTSIDE = AT_COUNT, FREED, IN_REQUEST, IN_PROVIDER, PLACES };

struct knock {
    enum bcda__door door;
    int place;
    int knocked;
};

/* What is allowed there may still be wrong for another reason: another door was chosen, the job has
 * data callbacks, or no URL yet. */
static int is_allowed(int rc)
{
    return rc != BCDA_ERR_REENTRANT && rc != BCDA_ERR_FORKED;
}

static int knock(struct run *r, enum where where, void *object)
{
    struct knock *k = r->arg;
    const struct bcda__door_row *row = &bcda__door_rows[k->door];
    int want = k->place == FREED ? row->while_freed : row->in_callback, rc;

    (void)object;
    if (k->knocked || (int)where != (k->place == FREED ? AT_END : k->place))
        return BCDA_CONTINUE;
    k->knocked = 1;
    if (k->place == FREED)
        bcda_session_free(h.session);
    rc = harness_call(&h, k->door, r->job);
    ck_assert_msg(want ? rc == want : is_allowed(rc), "%s: %s", row->function, bcda_error_name(rc));
    if (want)
        ck_assert_msg(bcda_error_code(bcda_session_error(h.session)) == want, "%s: %s",
                      row->function, bcda_error_text(bcda_session_error(h.session)));
    return BCDA_CONTINUE;
}

static struct run *knocking; /* for the callbacks that belong to no job */

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
    ck_assert_int_eq(bcda_token_request_answer(request, sandbox_bearer_token(h.sb), -1), 0);
    (void)knock(knocking, (enum where)IN_PROVIDER, NULL);
}

/* A session that asks the host for its tokens, in place of the one that is there. */
static void with_provider(struct knock *k)
{
    bcda_session_free(h.session);
    harness_config(&h, 1);
    harness_set(&h, BCDA_OPT_BAD_LINES_MAX, -1);
    ck_assert_int_eq(bcda_config_set_token_provider(h.config, knock_in_provider, k, NULL), 0);
    harness_session(&h);
}

static void start_knocking_request(struct knock *k)
{
    ck_assert_int_eq(
        bcda_request_start(h.session, BCDA_REQUEST_VERSION, knock_in_request, k, NULL, NULL), 0);
    while (!k->knocked)
        ck_assert_int_eq(harness_turn(&h), 1);
}

START_TEST(everything_from_everywhere)
{
    struct knock k = {(enum bcda__door)(_i % BCDA__DOORS), _i / BCDA__DOORS, 0};
    struct acting freed = {FREE, AT_END, 0};
    struct run *r;

    harness_setup_everything(&h);
    if (k.place == IN_PROVIDER)
        with_provider(&k);
    if (k.place == AT_PROGRESS)
        harness_fault(&h, "progress:half");
    r = knocking = harness_start_hook(
        &h, k.place < OUTSIDE ? door_for((enum where)k.place) : DOOR_RESOURCE, knock, &k);
    if (k.place == IN_REQUEST)
        start_knocking_request(&k);
    if (k.place == OUTSIDE) {
        harness_until_state(&h, r, BCDA_JOB_RUNNING);
        k.knocked = 1;
        h.inside = 1;
        ck_assert(is_allowed(harness_call(&h, k.door, r->job)));
        h.inside = 0;
    }
    if (k.place == FREED) {
        turn_until_done(r, &freed);
    } else {
        while (!r->done && harness_turn(&h))
            ;
        if (!r->done) /* paused */
            ck_assert_int_eq(bcda_job_resume(r->job), 0);
        harness_run(&h);
    }
    ck_assert_int_eq(k.knocked, 1);
    ck_assert_int_eq(r->done, 1);
    harness_close(&h);
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
    ck_abort_msg("a callback that nobody calls");
}

START_TEST(registrations)
{
    bcda_handlers *handlers;
    bcda_config *c;

    destroyed = 0;
    ck_assert_int_eq(bcda_handlers_on_done(NULL, (bcda_done_cb)never, &destroyed, count_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(destroyed, 0);
    ck_assert_int_eq(bcda_handlers_new(&handlers), 0);
    ck_assert_int_eq(
        bcda_handlers_on_done(handlers, (bcda_done_cb)never, &destroyed, count_destroy), 0);
    ck_assert_int_eq(destroyed, 0);
    ck_assert_int_eq(/* replaced */
                     bcda_handlers_on_done(handlers, (bcda_done_cb)never, &destroyed,
                                           count_destroy),
                     0);
    ck_assert_int_eq(destroyed, 1);
    ck_assert_int_eq(bcda_handlers_on_done(handlers, NULL, NULL, NULL), 0); /* taken back */
    ck_assert_int_eq(destroyed, 2);
    ck_assert_int_eq(
        bcda_handlers_on_state(handlers, (bcda_state_cb)never, &destroyed, count_destroy), 0);
    bcda_handlers_free(handlers);
    ck_assert_int_eq(destroyed, 3);

    ck_assert_int_eq(bcda_config_new(&c), 0);
    ck_assert_int_eq(bcda_config_set_log(c, 99, (bcda_log_cb)never, &destroyed, count_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_config_set_token_provider(c, NULL, &destroyed, count_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(destroyed, 3);
    ck_assert_int_eq(
        bcda_config_set_token_provider(c, (bcda_token_provider_cb)never, &destroyed, count_destroy),
        0);
    ck_assert_int_eq(bcda_config_set_bearer_token(c, "x"), 0); /* in its place */
    ck_assert_int_eq(destroyed, 4);
    bcda_config_free(c);
    ck_assert_int_eq(destroyed, 4);
}
END_TEST

/* Handlers that serve two jobs: once, when the last of all goes. */
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

    harness_setup_one_file(&h);
    destroyed = 0;
    ck_assert_int_eq(bcda_handlers_new(&handlers), 0);
    ck_assert_int_eq(bcda_handlers_on_done(handlers, count_done, &destroyed, count_destroy), 0);
    ck_assert_int_eq(bcda_job_start(h.session, h.x, handlers, NULL), 0);
    ck_assert_int_eq(bcda_job_start(h.session, h.x, handlers, NULL), 0);
    ck_assert_int_eq(bcda_job_start(h.session, NULL, handlers, NULL), BCDA_ERR_INVALID);
    bcda_handlers_free(handlers);
    ck_assert_int_eq(destroyed, 0);
    h.inside = 1;
    bcda_session_free(h.session);
    h.inside = 0;
    h.session = NULL;
    ck_assert_int_eq(destroyed, 1);
    harness_close(&h);
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
    suite_loop(everything_from_everywhere, 0, PLACES * BCDA__DOORS);
    suite_case("userdata");
    suite_test(registrations);
    suite_test(registrations_shared);
}
