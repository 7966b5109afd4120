/* What callbacks may say and do, and what holds for a session in a process that is not its own:
 * pauses, cancelling, freeing from anywhere, threads, signals, and doing nothing while idle.
 */
#include "client/door.h"
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/auth.h"

static struct harness h;

#define EOB "ExplanationOfBenefit"

static void fault(const char *spec)
{
    ck_assert_msg(sandbox_set_fault(h.sb, spec) == 0, "%s", sandbox_last_error());
}

static struct sandbox_options options;

/* Era A, one encrypted file of 50 lines and some 400 kB, in two batches. */
static void begin(void)
{
    memset(&options, 0, sizeof options);
    options.era = "2019-04";
    harness_setup(&h, &options, 1);
    harness_export(&h, BCDA_LEVEL_RESOURCE, EOB, NULL);
}

/* Error files, warnings, a bad line: something for every callback. */
static void begin_rich(void)
{
    memset(&options, 0, sizeof options);
    options.era = "current";
    harness_open(&h, &options);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_BAD_LINES_MAX, -1), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", "Coverage", NULL);
    fault("error-file");
    fault("bad-json@Patient");
}

static const char *const names[AT_COUNT] = {"on_state",        "on_file",     "on_file",
                                            "on_resource",     "on_batch",    "on_bad_line",
                                            "on_server_issue", "on_progress", "on_done"};

/* ---- what a callback says ---- */

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
    begin_rich();
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
    begin();
    r = harness_start_hook(&h, DOOR_RESOURCE, say, &s);
    harness_run(&h);
    harness_check_export(r);
    harness_close(&h);
}
END_TEST

/* ---- pauses ---- */

struct pausing {
    int every; /* pauses before each n-th resource or batch */
    int calls, pauses;
    int64_t number; /* the line that was refused */
    const char *id;
    char kept[80];
    int consumed; /* of a batch: how many are said to be done with before; -1 = not said */
    size_t left;
    int resume_inside;
};

static int pause_resource(struct run *r, enum where where, void *object)
{
    struct pausing *p = r->arg;

    if (where != AT_RESOURCE)
        return BCDA_CONTINUE;
    if (p->number) { /* this one again */
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

        harness_idle(&h);
        if (r->done)
            break;
        ck_assert_int_ne(p->pauses, 0);
        before = r->count;
        seen = p->pauses;
        if (rounds % 8 == 0)
            harness_advance(&h, 10000);
        ck_assert_uint_eq(r->count, before); /* nothing while it is paused */
        ck_assert_int_eq(p->pauses, seen);
        ck_assert_int_eq(bcda_job_resume(r->job), 0);
        ck_assert_uint_eq(r->count, before);
        ck_assert_int_lt(rounds++, 1000);
    }
}

START_TEST(pause_and_again)
{
    struct pausing p = {0};
    struct run *r;

    begin();
    p.every = _i ? 7 : 1;
    r = harness_start_hook(&h, DOOR_RESOURCE, pause_resource, &p);
    resume_until_done(r, &p);
    harness_check_export(r);
    ck_assert_uint_eq(r->count, 50);
    ck_assert_int_eq(p.pauses, _i ? 7 : 50);
    harness_close(&h);
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

    begin();
    p.consumed = _i == 0 ? -1 : _i == 1 ? 0 : 3;
    if (_i == 1)
        p.consumed = -1; /* said, as 0 of them, is the same as not said */
    r = harness_start_hook(&h, DOOR_BATCH, pause_batch, &p);
    resume_until_done(r, &p);
    ck_assert_int_eq(r->result, 0);
    ck_assert_int_eq(bcda_job_resources(r->job), 50);
    ck_assert_uint_eq(r->count + (size_t)p.calls, 50);
    if (_i < 2)
        harness_check_export(r);
    ck_assert_int_gt(p.pauses, _i == 2 ? 9 : 1);
    harness_close(&h);
}
END_TEST

/* All of a batch is said to be consumed, and then a pause. */
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

    begin();
    r = harness_start_hook(&h, DOOR_BATCH, consume_all, &p);
    resume_until_done(r, &p);
    ck_assert_int_eq(r->result, 0);
    ck_assert_int_eq(p.calls, 50);
    ck_assert_int_eq(bcda_job_resources(r->job), 50);
    harness_close(&h);
}
END_TEST

/* From outside, in each state. */
START_TEST(pause_outside)
{
    enum door door = (enum door)(_i % 3);
    size_t before;
    struct run *r;

    begin();
    r = harness_start(&h, door);
    if (_i / 3 > 0)
        harness_until_state(&h, r, _i / 3);
    ck_assert_int_eq(bcda_job_pause(r->job), 0);
    before = r->count;
    harness_idle(&h);
    harness_advance(&h, 60000);
    ck_assert_uint_eq(r->count, before);
    ck_assert_int_eq(r->done, 0);
    ck_assert_int_eq(bcda_job_state(r->job), BCDA_JOB_DOWNLOADING);
    h.inside = 1;
    ck_assert_int_eq(bcda_session_run(h.session, -1), 0); /* all that is left is paused */
    h.inside = 0;
    ck_assert_int_eq(bcda_job_resume(r->job), 0);
    harness_run(&h);
    harness_check_export(r);
    ck_assert_int_eq(bcda_job_pause(r->job), 0); /* too late for anything */
    ck_assert_int_eq(bcda_job_resume(r->job), 0);
    harness_close(&h);
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

/* For long, with a file that is larger than everything that may wait in between: the server is
 * not found too slow, the ring is full, and what is received stays where it is. */
START_TEST(pause_long)
{
    struct sandbox_options o = {0};
    int64_t received;
    int paused = 0;
    struct run *r;

    o.era = "2019-04";
    o.file_bytes = 24 * 1024 * 1024;
    harness_setup(&h, &o, 1);
    harness_export(&h, BCDA_LEVEL_RESOURCE, EOB, NULL);
    r = harness_start_hook(&h, DOOR_RESOURCE, pause_first, &paused);
    while (!paused)
        ck_assert_int_eq(harness_turn(&h), 1);
    harness_drain(&h);
    received = bcda_job_bytes_received(r->job);
    ck_assert_int_eq(harness_stat(&h, BCDA_STAT_TRANSFERS), 1);
    ck_assert_int_lt(received, 1024 * 1024);
    harness_advance(&h, 30 * 60000);
    ck_assert_int_eq(bcda_job_bytes_received(r->job), received);
    ck_assert_uint_eq(r->count, 1);
    ck_assert_int_eq(harness_stat(&h, BCDA_STAT_TRANSFERS), 1);
    ck_assert_int_eq(bcda_job_resume(r->job), 0);
    harness_run(&h);
    harness_check_export(r);
    ck_assert_int_gt(bcda_job_bytes(r->job), 24 * 1024 * 1024);
    ck_assert_uint_eq(sandbox_count(h.sb, "data"), 1);
    harness_close(&h);
}
END_TEST

/* ---- cancel and free, from anywhere ---- */

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
    begin_rich();
    if (a.where == AT_PROGRESS)
        fault("progress:half");
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

/* ---- many jobs ---- */

struct sharing {
    struct run *first, *second;
    int open[2], begun[2], both; /* `both`: begun of the second while the first had more to begin */
};

enum { SHARED_FILES = 40, SHARED_PLACES = 4 };

static int share(struct run *r, enum where where, void *object)
{
    struct sharing *s = r->arg;
    int i = r == s->second;

    (void)object;
    if (where == AT_BEGIN) {
        s->open[i]++;
        s->begun[i]++;
        ck_assert_int_le(s->open[0] + s->open[1], SHARED_PLACES);
        s->both += i && s->begun[0] < SHARED_FILES;
    } else if (where == AT_END) {
        s->open[i]--;
    }
    return BCDA_CONTINUE;
}

static struct run *attach_sharing(const struct run *done, struct sharing *s)
{
    struct run *r = harness_attach(&h, DOOR_RESOURCE, bcda_job_url(done->job));

    r->hook = share;
    r->arg = s;
    return r;
}

/* A job that comes later gets its part of the places, not only what an earlier one leaves over. */
START_TEST(fair_jobs)
{
    struct sandbox_options o = {0};
    struct sharing s = {0};
    struct run *done;

    o.era = "2019-12";
    o.files = SHARED_FILES;
    o.patients = SHARED_FILES;
    o.no_polls = 1;
    harness_open(&h, &o);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_PARALLEL, SHARED_PLACES), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, EOB, NULL);
    done = harness_start(&h, DOOR_RESOURCE);
    harness_run(&h);
    s.first = attach_sharing(done, &s);
    while (s.begun[0] < SHARED_PLACES)
        ck_assert(harness_turn(&h));
    s.second = attach_sharing(done, &s);
    harness_run(&h);
    ck_assert_int_eq(s.first->result, 0);
    ck_assert_int_eq(s.second->result, 0);
    ck_assert_int_eq(s.begun[0], SHARED_FILES);
    ck_assert_int_eq(s.begun[1], SHARED_FILES);
    ck_assert_uint_eq(s.first->count, s.second->count);
    /* From when its manifest is here, about every second place is its. */
    ck_assert_int_ge(s.both, SHARED_FILES / 4);
    harness_close(&h);
}
END_TEST

/* ---- everything from everywhere, by the table ---- */

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
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_BAD_LINES_MAX, -1), 0);
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

    begin_rich();
    if (k.place == IN_PROVIDER)
        with_provider(&k);
    if (k.place == AT_PROGRESS)
        fault("progress:half");
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

/* No file comes to its end, however the machine's time falls: what runs is running still when the
 * test acts. */
static void begin_endless(void)
{
    begin();
    fault("stall");
    h.jump_open = 1; /* the half that came is delivered once the clock moves */
}

/* From outside: before the first step, in each state, and in the middle of the data. */
START_TEST(cancel_outside)
{
    int when = _i / 3;
    struct run *r;

    begin_endless();
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

START_TEST(free_outside)
{
    int when = _i / 3;
    struct run *r[2];
    int i;

    begin_endless();
    for (i = 0; i < 2; i++)
        r[i] = harness_start(&h, (enum door)(_i % 3));
    if (when == 4)
        harness_until_count(&h, r[0], 1);
    else if (when > 0)
        harness_until_state(&h, r[0], when);
    h.inside = 1;
    bcda_session_free(h.session);
    h.inside = 0;
    h.session = NULL;
    for (i = 0; i < 2; i++) {
        (void)harness_check_failed(r[i], BCDA_ERR_CANCELLED);
        ck_assert_int_eq(bcda_job_cancel(r[i]->job), 0); /* of a job without a session */
        ck_assert_int_eq(bcda_job_resume(r[i]->job), 0);
    }
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
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_CANCEL_AT_SERVER, _i != 3), 0);
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
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_CANCEL_AT_SERVER, 1), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = harness_start(&h, DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_RUNNING);
    harness_drain(&h);
    fault("reset");
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

/* A job that nobody holds goes on. */
START_TEST(unref_at_once)
{
    struct run *r;

    begin();
    r = harness_start(&h, DOOR_RESOURCE);
    bcda_job_unref(r->job);
    r->job = NULL;
    while (!r->done)
        ck_assert_int_eq(harness_turn(&h), 1);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(r->count, 50);
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
    begin();
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

/* Files, batches and errors outlive all. */
START_TEST(outlive)
{
    const bcda_file *f;
    bcda_error *e;
    bcda_job *job;
    struct run *r;
    size_t i, total = 0;
    bcda_batch *held[8];
    size_t held_count;

    begin();
    fault("data-flip:-1");
    r = harness_start(&h, (enum door)(_i ? DOOR_PULL : DOOR_BATCH));
    r->hold = 1;
    harness_run(&h);
    (void)harness_check_failed(r, BCDA_ERR_TAG);
    job = bcda_job_ref(r->job);
    e = bcda_error_ref(bcda_job_error(job));
    held_count = r->batch_count;
    ck_assert_uint_gt(held_count, 1);
    ck_assert_uint_le(held_count, 8);
    for (i = 0; i < held_count; i++)
        held[i] = bcda_batch_ref(r->batches[i]);
    harness_end(&h);

    f = bcda_job_file(job, 0);
    ck_assert_int_eq(bcda_error_code(bcda_file_error(f)), BCDA_ERR_TAG);
    ck_assert_int_eq(bcda_job_result(job), BCDA_ERR_TAG);
    ck_assert_ptr_eq(bcda_batch_file(held[0]), f);
    bcda_job_unref(job);
    ck_assert_int_eq(bcda_error_code(e), BCDA_ERR_TAG);
    ck_assert_str_eq(bcda_error_file(e), bcda_file_name(bcda_batch_file(held[0])));
    bcda_error_unref(e);
    for (i = 0; i < held_count; i++) {
        size_t k, len;

        total += bcda_batch_count(held[i]);
        for (k = 0; k < bcda_batch_count(held[i]); k++)
            ck_assert_int_eq(bcda_resource_json(bcda_batch_resource(held[i], k), &len)[0], '{');
        bcda_batch_unref(held[i]);
    }
    ck_assert_uint_gt(total, 0);
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

    begin();
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

/* ---- threads and signals ---- */

struct worker {
    struct harness h;
    const char *era;
    size_t count;
    int result;
    pthread_t thread;
};

static int count_one(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    size_t len;

    (void)job;
    ((struct worker *)userdata)->count += bcda_resource_json(resource, &len)[0] == '{';
    return BCDA_CONTINUE;
}

/* On the real clock, so with a first poll after a second. */
static void *work(void *arg)
{
    struct worker *w = arg;
    bcda_handlers *handlers;
    bcda_session *s = NULL;
    bcda_export *x;
    bcda_config *c;
    bcda_job *job;
    int rc = bcda_config_new(&c), i;

    rc |= bcda_config_set_fhir_url(c, sandbox_fhir_url(h.sb, 1));
    rc |= bcda_config_set_bearer_token(c, sandbox_bearer_token(h.sb));
    rc |= bcda_config_set_ca_file(c, sandbox_ca_file(h.sb));
    rc |= bcda_config_add_private_key_file(c, sandbox_private_key_file(h.sb), NULL);
    rc |= bcda_handlers_new(&handlers);
    rc |= bcda_handlers_on_resource(handlers, count_one, w, NULL);
    rc |= bcda_export_new(&x, BCDA_LEVEL_RESOURCE);
    rc |= bcda_export_add_type(x, EOB);
    rc |= bcda_session_new(&s, c);
    for (i = 0; !rc && i < 1; i++) {
        rc |= bcda_job_start(s, x, handlers, &job);
        rc |= bcda_session_run(s, -1);
        rc |= bcda_job_result(job);
        bcda_job_unref(job);
    }
    w->result = rc;
    bcda_session_free(s);
    bcda_export_free(x);
    bcda_handlers_free(handlers);
    bcda_config_free(c);
    return NULL;
}

START_TEST(two_threads)
{
    struct worker w[2];
    int i;

    memset(&options, 0, sizeof options);
    options.era = "2019-04";
    options.no_polls = 1;
    harness_open(&h, &options);
    ck_assert_int_eq(bcda_global_init(0), 0);
    memset(w, 0, sizeof w);
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(w[i].thread, NULL), 0);
        ck_assert_int_eq(w[i].result, 0);
        ck_assert_uint_eq(w[i].count, 50);
    }
    bcda_global_cleanup();
    harness_close(&h);
}
END_TEST

static void *wake(void *arg)
{
    ck_assert_int_eq(bcda_session_wakeup(arg), 0);
    return NULL;
}

/* Before run, and while it waits: no wake-up is lost, and each is told once. */
START_TEST(wakeup_thread)
{
    pthread_t thread;
    int i;

    begin();
    fault("kickoff-429:600");
    (void)harness_start(&h, DOOR_RESOURCE);
    while (sandbox_count(h.sb, "kickoff") < 1 || harness_stat(&h, BCDA_STAT_TRANSFERS))
        (void)harness_turn(&h);
    harness_drain(&h); /* now it waits for ten minutes */
    for (i = 0; i < 20; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, wake, h.session), 0);
        if (i % 2)
            ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(bcda_session_run(h.session, -1), BCDA_ERR_INTERRUPTED);
        if (i % 2 == 0)
            ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(bcda_session_run(h.session, 0), BCDA_ERR_TIMEOUT);
    }
    harness_run(&h);
    harness_close(&h);
}
END_TEST

static bcda_session *to_wake;
static atomic_int was_interrupted; /* read by the thread that sends signals */

static void on_signal(int number)
{
    (void)number;
    if (to_wake)
        bcda_session_wakeup(to_wake);
}

static void *send_signals(void *arg)
{
    while (!was_interrupted) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        usleep(2000);
    }
    return NULL;
}

/* A signal ends a run, with a wake-up in its handler or without. */
START_TEST(signal_interrupts)
{
    struct sigaction action;
    pthread_t thread, self = pthread_self();
    int rc;

    begin();
    fault("kickoff-429:600");
    (void)harness_start(&h, DOOR_RESOURCE);
    while (sandbox_count(h.sb, "kickoff") < 1 || harness_stat(&h, BCDA_STAT_TRANSFERS))
        (void)harness_turn(&h);
    harness_drain(&h);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    to_wake = _i ? h.session : NULL;
    was_interrupted = 0;
    if (_i) { /* with a wake-up nothing is lost: one signal is enough, before or in poll() */
        ck_assert_int_eq(raise(SIGUSR1), 0);
        rc = bcda_session_run(h.session, -1);
    } else {
        ck_assert_int_eq(pthread_create(&thread, NULL, send_signals, &self), 0);
        do /* one that comes before poll() is not seen: the next one is */
            rc = bcda_session_run(h.session, 20);
        while (rc == BCDA_ERR_TIMEOUT);
        was_interrupted = 1;
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    ck_assert_int_eq(rc, BCDA_ERR_INTERRUPTED);
    ck_assert_int_eq(bcda_session_run(h.session, 0), BCDA_ERR_TIMEOUT);
    harness_run(&h);
    harness_close(&h);
}
END_TEST

/* ---- time ---- */

/* The first poll, too, comes no later than BCDA_OPT_POLL_MAX_MS: a second, if that is longer. */
static const struct {
    int64_t most, first;
} first_polls[] = {{30000, 1000}, {20, 20}};

START_TEST(first_poll)
{
    struct run *r;
    int64_t before;

    harness_open(&h, NULL);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_POLL_MAX_MS, first_polls[_i].most), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", NULL);
    r = harness_start(&h, DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_RUNNING);
    before = h.now;
    while (sandbox_count(h.sb, "status") == 0)
        ck_assert_int_eq(harness_turn(&h), 1);
    ck_assert_int_eq(h.now - before, first_polls[_i].first);
    harness_close(&h);
}
END_TEST

/* Polls keep to the time since the server accepted the job: an eighth of it, 1 s at least, and
 * BCDA_OPT_POLL_MAX_MS at most. */
START_TEST(polls_follow_time)
{
    enum { POLLS = 60, MOST = 20000 };
    int64_t accepted, last, gap, eighth;
    unsigned seen = 0;
    struct run *r;

    memset(&options, 0, sizeof options);
    options.polls = POLLS;
    harness_open(&h, &options);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_POLL_MAX_MS, MOST), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", NULL);
    fault("kickoff-429:100*1"); /* what goes by before that does not count */
    r = harness_start(&h, DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_RUNNING);
    accepted = last = h.now;
    while (!r->done) {
        ck_assert_int_eq(harness_turn(&h), 1);
        if (sandbox_count(h.sb, "status") == seen)
            continue;
        seen = sandbox_count(h.sb, "status");
        gap = h.now - last;
        eighth = (last - accepted) / 8;
        ck_assert_int_eq(gap, eighth < 1000 ? 1000 : eighth > MOST ? MOST : eighth);
        last = h.now;
    }
    harness_check_export(r);
    ck_assert_uint_eq(seen, POLLS + 1);
    ck_assert_int_gt(last - accepted, MOST * 8);
    harness_close(&h);
}
END_TEST

/* Retry-After as a time: in seconds and in milliseconds since 1970. */
START_TEST(retry_at_a_time)
{
    int64_t until;
    char spec[64];
    struct run *r;

    harness_open(&h, NULL);
    harness_config(&h, 1);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", NULL);
    until = h.now / 1000 * 1000 + 120000;
    snprintf(spec, sizeof spec, "retry-after:%lld", (long long)(_i ? until : until / 1000));
    fault("status-503:0*1");
    fault(spec);
    r = harness_start(&h, DOOR_RESOURCE);
    while (sandbox_count(h.sb, "status") < 2)
        ck_assert_int_eq(harness_turn(&h), 1);
    ck_assert_int_eq(h.now, until);
    harness_run(&h);
    harness_check_export(r);
    harness_close(&h);
}
END_TEST

START_TEST(job_timeout)
{
    const bcda_error *e;
    int64_t start;
    struct run *r;

    memset(&options, 0, sizeof options);
    options.polls = 100000;
    harness_open(&h, &options);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_JOB_TIMEOUT_MS, 90000), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_RESOURCE, EOB, NULL);
    start = h.now;
    r = harness_start(&h, DOOR_RESOURCE);
    harness_run(&h);
    e = harness_check_failed(r, BCDA_ERR_JOB_TIMEOUT);
    ck_assert_int_eq(h.now - start, 90000);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "resumed by its status URL"));
    harness_close(&h);
}
END_TEST

/* A server that stops in the middle of a file. */
START_TEST(stall)
{
    int64_t start;
    struct run *r;

    begin();
    fault("stall");
    fault("no-range"); /* and nothing but the whole, which stalls again at the same place */
    h.jump_open = 1;
    start = h.now;
    r = harness_start(&h, DOOR_RESOURCE);
    harness_run(&h);
    ck_assert_int_ge(h.now - start, 60000);
    ck_assert_str_eq(bcda_error_file(harness_check_failed(r, BCDA_ERR_STALLED)),
                     bcda_file_name(bcda_job_file(r->job, 0)));
    harness_close(&h);
}
END_TEST

/* What stalled is gone on with, each time half of what was left. */
START_TEST(stall_resumed)
{
    int64_t start;
    struct run *r;

    begin();
    fault("stall*1");
    h.jump_open = 1;
    start = h.now;
    r = harness_start(&h, DOOR_RESOURCE);
    harness_run(&h);
    harness_check_export(r);
    ck_assert_int_ge(h.now - start, 60000);
    ck_assert_uint_eq(sandbox_count(h.sb, "range"), 1);
    harness_close(&h);
}
END_TEST

/* A socket that connects, by the kernel's grace, and never answers. */
static int listen_deaf(char *url, size_t size)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, size, "https://127.0.0.1:%d/api/v1", ntohs(a.sin_port));
    return fd;
}

/* Nobody accepts: the port is there, but the handshake never comes. */
START_TEST(connect_timeout)
{
    int64_t start;
    struct run *r;
    char url[80];
    int fd = listen_deaf(url, sizeof url);

    memset(&options, 0, sizeof options);
    harness_open(&h, &options);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_fhir_url(h.config, url), 0);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_ATTEMPTS, 2), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, NULL);
    h.jump_open = 1;
    start = h.now;
    r = harness_start(&h, DOOR_RESOURCE);
    harness_run(&h);
    (void)harness_check_failed(r, BCDA_ERR_CONNECT_TIMEOUT);
    ck_assert_int_ge(h.now - start, 2 * 30000);
    ck_assert_int_le(h.now - start, 2 * 30000 + 1000);
    harness_close(&h);
    close(fd);
}
END_TEST

/* The given time of a run is kept to, whatever there is to do. */
static void start_another(bcda_job *job, int result, void *userdata)
{
    bcda_handlers *handlers = userdata;
    bcda_job *next;

    (void)job;
    (void)result;
    if (bcda_job_start(h.session, h.x, handlers, &next) == 0) {
        ck_assert_int_eq(bcda_job_cancel(next), 0);
        bcda_job_unref(next);
    }
}

START_TEST(run_is_bounded)
{
    bcda_handlers *handlers;
    int rc;

    begin();
    ck_assert_int_eq(bcda_session_run(h.session, -2), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_run(NULL, 0), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_handlers_new(&handlers), 0);
    ck_assert_int_eq(bcda_handlers_on_done(handlers, start_another, handlers, NULL), 0);
    ck_assert_int_eq(bcda_job_start(h.session, h.x, handlers, NULL), 0);
    start_another(NULL, 0, handlers); /* one ends and begins in every step, for ever */
    rc = bcda_session_run(h.session, 30);
    ck_assert_int_eq(rc, BCDA_ERR_TIMEOUT);
    h.inside = 1;
    bcda_session_free(h.session);
    h.inside = 0;
    h.session = NULL;
    bcda_handlers_free(handlers);
    harness_close(&h);
}
END_TEST

/* A step is bounded, too, however much is there: the server is always given time to be far ahead.
 */
START_TEST(step_is_bounded)
{
    enum { FILE_BYTES = 24 * 1024 * 1024, STEP_BYTES = 2 * 1024 * 1024 };
    struct sandbox_options o = {0};
    int64_t before, most = 0;
    int many = _i / 2; /* files, and gzip, of which much comes out */
    struct run *r;

    o.era = many ? "current" : "2019-04";
    o.files = many ? 4 : 1;
    o.file_bytes = FILE_BYTES;
    harness_setup(&h, &o, 1);
    harness_export(&h, many ? BCDA_LEVEL_PATIENT : BCDA_LEVEL_RESOURCE, EOB, NULL);
    r = harness_start(&h, _i % 2 ? DOOR_BATCH : DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_DOWNLOADING);
    while (!r->done) {
        usleep(2000);
        before = bcda_job_resources(r->job);
        h.inside = 1;
        ck_assert_int_ge(bcda_session_step(h.session), 0);
        h.inside = 0;
        if (bcda_job_resources(r->job) - before > most)
            most = bcda_job_resources(r->job) - before;
    }
    harness_check_export(r);
    ck_assert_int_gt(bcda_job_bytes(r->job), FILE_BYTES);
    ck_assert_int_gt(most, 0);
    ck_assert_int_lt(most * (bcda_job_bytes(r->job) / bcda_job_resources(r->job)), STEP_BYTES);
    harness_close(&h);
}
END_TEST

/* Which is why a wake-up is heeded while data flows: each step brings some resources, and run is
 * left after the step at hand. */
static int wake_once(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_RESOURCE && ++*(int64_t *)r->arg == 1)
        ck_assert_int_eq(bcda_session_wakeup(h.session), 0);
    return BCDA_CONTINUE;
}

START_TEST(wakeup_while_data_flows)
{
    enum { FILE_BYTES = 24 * 1024 * 1024 };
    struct sandbox_options o = {0};
    int64_t seen = 0, at_wakeup;
    struct run *r;

    o.era = "current";
    o.files = 4;
    o.file_bytes = FILE_BYTES;
    harness_setup(&h, &o, 1);
    harness_export(&h, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = harness_start_hook(&h, DOOR_RESOURCE, wake_once, &seen);
    harness_until_state(&h, r, BCDA_JOB_DOWNLOADING);
    h.inside = 1;
    ck_assert_int_eq(bcda_session_run(h.session, -1), BCDA_ERR_INTERRUPTED);
    h.inside = 0;
    at_wakeup = seen;
    ck_assert_int_eq(r->done, 0);
    harness_run(&h);
    harness_check_export(r);
    ck_assert_int_lt(at_wakeup, seen / 4);
    harness_close(&h);
}
END_TEST

/* ---- doing nothing ---- */

static int is_readable(int fd)
{
    struct pollfd p = {0};

    p.fd = fd;
    p.events = POLLIN;
    return poll(&p, 1, 0) > 0;
}

/* The descriptor never changes; it is readable exactly when a step does something. On the real
 * clock, so that a timer of the system does not run ahead of ours. */
START_TEST(descriptor)
{
    struct bcda__clock real = bcda__clock_system();
    unsigned readable = 0;
    struct run *r;
    int fd;

    memset(&options, 0, sizeof options);
    options.era = _i % 2 ? "current" : "2019-04";
    options.no_polls = 1;
    if (_i / 2) { /* more than a step may move */
        options.files = _i % 2 ? 3 : 1;
        options.file_bytes = 24 * 1024 * 1024;
    }
    harness_open(&h, &options);
    harness_config(&h, 1);
    h.config->clock = real;
    harness_session(&h);
    harness_export(&h, _i % 2 ? BCDA_LEVEL_PATIENT : BCDA_LEVEL_RESOURCE, EOB, NULL);
    fd = bcda_session_fd(h.session);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(is_readable(fd), 0); /* nothing is to be done yet */
    r = harness_start(&h, DOOR_RESOURCE);
    ck_assert_int_eq(is_readable(fd), 1);
    while (!r->done) {
        struct pollfd p = {0};
        int rc;

        p.fd = fd;
        p.events = POLLIN;
        ck_assert_int_eq(poll(&p, 1, 60000), 1); /* never waits for what does not come */
        readable++;
        h.inside = 1;
        rc = bcda_session_step(h.session);
        h.inside = 0;
        ck_assert_int_eq(rc, 1);
        ck_assert_int_eq(bcda_session_fd(h.session), fd);
    }
    harness_check_export(r);
    ck_assert_uint_lt(readable, _i / 2 ? 20000 : 2000);
    while (is_readable(fd) && readable++ < 20000) /* a connection that ends */
        ck_assert_int_eq(bcda_session_step(h.session), 1);
    ck_assert_int_eq(is_readable(fd), 0);
    ck_assert_int_eq(bcda_session_step(h.session), 0);
    ck_assert_int_eq(bcda_session_step(h.session), 0);
    harness_close(&h);
}
END_TEST

/* A job that waits for an hour wakes nobody before. */
START_TEST(idle_hour)
{
    unsigned worked;
    struct run *r;

    memset(&options, 0, sizeof options);
    harness_open(&h, &options);
    harness_config(&h, 1);
    ck_assert_int_eq(bcda_config_set_int(h.config, BCDA_OPT_RETRY_AFTER_MAX_MS, 3600000), 0);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_RESOURCE, EOB, NULL);
    fault("status-503:3600");
    r = harness_start(&h, DOOR_RESOURCE);
    while (sandbox_count(h.sb, "status") < 1 || harness_stat(&h, BCDA_STAT_TRANSFERS))
        ck_assert_int_eq(harness_turn(&h), 1);
    harness_advance(&h, 200); /* on_progress, which comes at most so late */
    ck_assert_int_eq(bcda__session_next_timer_ms(h.session), 3600000 - 200);
    worked = h.worked;
    harness_advance(&h, 3600000 - 201);
    ck_assert_uint_eq(h.worked, worked);
    ck_assert_int_eq(bcda__session_next_timer_ms(h.session), 1);
    ck_assert_uint_eq(sandbox_count(h.sb, "status"), 1);
    harness_run(&h);
    harness_check_export(r);
    harness_close(&h);
}
END_TEST

/* Without a job there is no timer at all. */
START_TEST(idle_session)
{
    begin();
    ck_assert_int_eq(bcda__session_next_timer_ms(h.session), -1);
    ck_assert_int_eq(is_readable(bcda_session_fd(h.session)), 0);
    ck_assert_int_eq(bcda_session_run(h.session, -1), 0);
    (void)harness_start(&h, DOOR_RESOURCE);
    harness_run(&h);
    ck_assert_int_eq(bcda__session_next_timer_ms(h.session), -1);
    harness_drain(&h);
    ck_assert_int_eq(is_readable(bcda_session_fd(h.session)), 0);
    ck_assert_int_eq(bcda_session_wakeup(h.session), 0);
    ck_assert_int_eq(is_readable(bcda_session_fd(h.session)), 1);
    ck_assert_int_eq(bcda_session_step(h.session), 1);
    ck_assert_int_eq(is_readable(bcda_session_fd(h.session)), 0);
    harness_close(&h);
}
END_TEST

/* Descriptors and memory stay level over many jobs; the harness counts at the end of each session.
 */
START_TEST(no_leak)
{
    int i;

    memset(&options, 0, sizeof options);
    options.era = "current";
    options.allow_duplicates = 1;
    harness_open(&h, &options);
    for (i = 0; i < 5; i++) {
        harness_config(&h, 1);
        harness_session(&h);
        harness_export(&h, BCDA_LEVEL_PATIENT, NULL);
        (void)harness_start(&h, (enum door)(i % 3));
        if (i < 3)
            harness_run(&h);
        else
            harness_until_state(&h, h.runs, i - 1);
        harness_end(&h);
    }
    harness_close(&h);
}
END_TEST

static Suite *rules_suite(void)
{
    Suite *s = suite_create("rules");
    TCase *t = tcase_create("answers");

    tcase_add_loop_test(t, answers, 0, AT_DONE * 4);
    tcase_add_test(t, stop_at_the_end);
    suite_add_tcase(s, t);

    t = tcase_create("pauses");
    tcase_add_loop_test(t, pause_and_again, 0, 2);
    tcase_add_loop_test(t, pause_batches, 0, 3);
    tcase_add_test(t, consumed_whole);
    tcase_add_loop_test(t, pause_outside, 0, 12);
    tcase_add_test(t, pause_long);
    suite_add_tcase(s, t);

    t = tcase_create("ends");
    tcase_add_loop_test(t, acts, 0, AT_COUNT * ACTS);
    tcase_add_loop_test(t, cancel_outside, 0, 15);
    tcase_add_loop_test(t, free_outside, 0, 15);
    tcase_add_test(t, fair_jobs);
    tcase_add_loop_test(t, everything_from_everywhere, 0, PLACES * BCDA__DOORS);
    tcase_add_loop_test(t, cancel_there, 0, 4);
    tcase_add_loop_test(t, cancel_there_fails, 0, 2);
    tcase_add_test(t, unref_at_once);
    tcase_add_loop_test(t, start_inside, 0, 3);
    tcase_add_loop_test(t, outlive, 0, 2);
    tcase_add_test(t, registrations);
    tcase_add_test(t, registrations_shared);
    suite_add_tcase(s, t);

    t = tcase_create("process");
    tcase_add_test(t, two_threads);
    tcase_add_test(t, wakeup_thread);
    tcase_add_loop_test(t, signal_interrupts, 0, 2);
    suite_add_tcase(s, t);

    t = tcase_create("time");
    tcase_add_loop_test(t, first_poll, 0, 2);
    tcase_add_test(t, polls_follow_time);
    tcase_add_loop_test(t, retry_at_a_time, 0, 2);
    tcase_add_test(t, job_timeout);
    tcase_add_test(t, stall);
    tcase_add_test(t, stall_resumed);
    tcase_add_test(t, connect_timeout);
    tcase_add_test(t, run_is_bounded);
    tcase_add_loop_test(t, step_is_bounded, 0, 4);
    tcase_add_test(t, wakeup_while_data_flows);
    tcase_add_loop_test(t, descriptor, 0, 4);
    tcase_add_test(t, idle_hour);
    tcase_add_test(t, idle_session);
    tcase_add_test(t, no_leak);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return harness_main(rules_suite());
}
