/* bcda_session_set_loop(): the application has its own event loop. In this test, it uses poll(). */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define EOB "ExplanationOfBenefit"

static struct fixture fx;

/* ---- the loop ---- */

enum { FDS_MAX = 64, PATIENCE = 1500 }; /* after so many quiet rounds of 20 ms, the test fails */

static struct {
    struct pollfd fds[FDS_MAX];
    int count;
    int64_t timer; /* delay of the timer that the library asked for last; -1 = no timer */
    int timers, watches, destroyed;
    int refuse_watch, refuse_timer; /* refuse the n-th call from now on; 0 = none */
    int call_back, calls;           /* the loop's callbacks call the library, which is refused */
    pthread_t thread;               /* the session's thread, in which all callbacks must run */
} loop;

/* Calls every function of the table in client/entry.h from a callback of the loop. Functions of a
 * job that has ended are left out: they do nothing, and so do not check where they are called. */
static void call_back(void)
{
    int d, rc;

    if (!loop.call_back || !fx.runs || !fx.runs->job)
        return;
    for (d = 0; d < BCDA__ENTRY_POINTS; d++) {
        const struct bcda__entry_row *row = &bcda__entry_rows[d];

        if (bcda_job_result(fx.runs->job) != BCDA_ERR_AGAIN &&
            (d == BCDA__ENTRY_NEXT || d >= BCDA__ENTRY_CANCEL))
            continue;
        rc = fixture_call(&fx, (enum bcda__entry_point)d, fx.runs->job);
        ck_assert_msg(rc == row->in_loop_callback, "%s: %s", row->function, bcda_error_name(rc));
        loop.calls++;
    }
}

static int on_watch(bcda_session *s, int fd, int events, void *userdata)
{
    int i;

    ck_assert_ptr_eq(userdata, &loop);
    ck_assert(pthread_equal(pthread_self(), loop.thread));
    (void)s;
    loop.watches++;
    if (events && loop.refuse_watch && --loop.refuse_watch == 0)
        return -1;
    call_back();
    for (i = 0; i < loop.count && loop.fds[i].fd != fd; i++)
        ;
    ck_assert(events || i < loop.count); /* only a descriptor that is watched may be removed */
    if (!events) {
        loop.fds[i] = loop.fds[--loop.count];
        return 0;
    }
    ck_assert_int_lt(i, FDS_MAX);
    loop.count += i == loop.count;
    loop.fds[i].fd = fd;
    loop.fds[i].events =
        (short)((events & BCDA_FD_READ ? POLLIN : 0) | (events & BCDA_FD_WRITE ? POLLOUT : 0));
    return 0;
}

static int on_timer(bcda_session *s, int64_t delay_ms, void *userdata)
{
    ck_assert_ptr_eq(userdata, &loop);
    ck_assert(pthread_equal(pthread_self(), loop.thread));
    (void)s;
    ck_assert_int_ge(delay_ms, -1);
    loop.timers++;
    if (loop.refuse_timer && --loop.refuse_timer == 0)
        return -1;
    call_back();
    loop.timer = delay_ms;
    return 0;
}

static void on_destroy(void *userdata)
{
    ck_assert_ptr_eq(userdata, &loop);
    loop.destroyed++;
}

static int reported(int rc)
{
    fx.inside = 0;
    return rc;
}

static int report_fd(int fd, int events)
{
    fx.inside = 1;
    return reported(bcda_session_on_fd(fx.session, fd, events));
}

static int report_timer(void)
{
    loop.timer = -1; /* a timer fires only once */
    fx.inside = 1;
    return reported(bcda_session_on_timer(fx.session));
}

/* Reports to the session one descriptor that is ready. It reports only one, because the call may
 * change the set of descriptors. Returns 0 if none is ready. */
static int report_ready(int wait_ms)
{
    short bad = POLLERR | POLLHUP | POLLNVAL;
    int i;

    if (poll(loop.fds, (nfds_t)loop.count, wait_ms) <= 0)
        return 0;
    for (i = 0; i < loop.count; i++) {
        short e = loop.fds[i].revents;

        if (!e)
            continue;
        ck_assert_int_ge(report_fd(loop.fds[i].fd, (e & (POLLIN | bad) ? BCDA_FD_READ : 0) |
                                                       (e & (POLLOUT | bad) ? BCDA_FD_WRITE : 0)),
                         0);
        return 1;
    }
    return 0;
}

/* Reports a descriptor or a timer. If nothing is in progress, moves the library's clock to the next
 * timer. Returns 0 if there is nothing to wait for. */
static int next_round(void)
{
    int64_t left;
    int quiet;

    for (quiet = 0; quiet < PATIENCE; quiet++) {
        if (report_ready(quiet ? 20 : 0))
            return 1;
        if (loop.timer >= 0 && loop.timer <= quiet * 20) {
            /* the end of a token command is checked by a timer; the command runs in real time */
            if (bcda__session_runs_command(fx.session))
                fx.now += loop.timer;
            ck_assert_int_ge(report_timer(), 0);
            return 1;
        }
        if (fixture_stat(&fx, BCDA_STAT_TRANSFERS) == 0 && !bcda__session_runs_command(fx.session))
            break;
    }
    ck_assert_int_lt(quiet, PATIENCE);
    left = bcda__session_next_timer_ms(fx.session);
    if (left < 0)
        return 0;
    ck_assert_int_ge(loop.timer, 0); /* without a timer, the application would sleep for ever */
    fx.now += left;
    ck_assert_int_eq(report_timer(), 1); /* the timer was due */
    return 1;
}

static void run_all(void)
{
    const struct run *r;

    for (r = fx.runs; r; r = r->next)
        while (!r->done)
            ck_assert_msg(next_round(), "nothing comes any more");
}

static void set_loop(void)
{
    ck_assert_ok(bcda_session_set_loop(fx.session, on_watch, on_timer, &loop, on_destroy));
}

static void begin_with(const struct sandbox_options *o)
{
    memset(&loop, 0, sizeof loop);
    loop.timer = -1;
    loop.thread = pthread_self();
    fixture_setup(&fx, o, 1);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
}

static void begin(const char *era)
{
    begin_with(SANDBOX(.era = era));
}

static void end(void)
{
    fixture_close(&fx);
    ck_assert_int_eq(loop.destroyed, 1);
    ck_assert_int_eq(loop.count, 0);
    ck_assert_int_eq(loop.timer, -1);
}

/* ---- whole exports ---- */

static const char *const eras[] = {"2019-12", "2021", "current"};

START_TEST(complete)
{
    struct run *r;

    begin(eras[_i / 2]);
    set_loop();
    ck_assert_int_eq(loop.count, 1); /* the descriptor for wake-ups */
    r = fixture_start(&fx, _i % 2 ? BY_BATCH : BY_RESOURCE);
    run_all();
    fixture_check_export(r);
    ck_assert_int_eq(loop.count, 1);
    end();
}
END_TEST

/* The token comes from a command. Its output is a descriptor of the application's loop too, which
 * the application refuses to watch with _i = 1: the second one, after that for wake-ups. */
START_TEST(token_command)
{
    char command[2500];
    struct run *r;

    memset(&loop, 0, sizeof loop);
    loop.timer = -1;
    loop.thread = pthread_self();
    fixture_open_sandbox(&fx, SANDBOX(.era = "2021"));
    snprintf(command, sizeof command, "printf %%s %s; exec 1>&-; sleep 0.2",
             sandbox_bearer_token(fx.sandbox));
    ck_assert_ok(bcda_config_set_token_command(fixture_config(&fx), command));
    fixture_session(&fx);
    set_loop();
    loop.refuse_watch = _i;
    r = fixture_start(&fx, BY_RESOURCE);
    run_all();
    if (_i)
        ck_assert_ptr_nonnull(strstr(bcda_error_text(fixture_check_failed(r, BCDA_ERR_SYSTEM)),
                                     "the output of the token command cannot be watched"));
    else
        fixture_check_export(r);
    ck_assert_int_eq(loop.count, 1);
    end();
}
END_TEST

/* More data than the buffers hold: transfers pause and resume. */
START_TEST(large_file)
{
    struct run *r;

    begin_with(SANDBOX(.era = "2019-12", .file_bytes = 12 * 1024 * 1024));
    set_loop();
    r = fixture_start(&fx, BY_BATCH);
    run_all();
    fixture_check_export(r);
    end();
}
END_TEST

START_TEST(pulled)
{
    struct run *r;
    bcda_batch *b;
    size_t count = 0;

    begin("current");
    set_loop();
    r = fixture_start(&fx, BY_PULL);
    while (!r->done) {
        ck_assert(next_round());
        while (bcda_job_next(r->job, &b) == 0) {
            count += bcda_batch_count(b);
            bcda_batch_unref(b);
        }
    }
    ck_assert_int_eq(bcda_job_next(r->job, &b), BCDA_ERR_END);
    r->drained = 1;
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(count, 50);
    end();
}
END_TEST

START_TEST(two_jobs)
{
    struct run *a, *b;

    begin("current");
    set_loop();
    a = fixture_start(&fx, BY_RESOURCE);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", NULL);
    b = fixture_start(&fx, BY_BATCH);
    run_all();
    ck_assert_int_eq(a->result, 0);
    ck_assert_int_eq(b->result, 0);
    ck_assert_uint_eq(a->count, 50);
    ck_assert_uint_eq(b->count, 10);
    end();
}
END_TEST

/* The session is freed in the middle of a job: every watch is removed, and on_done is called. */
START_TEST(freed)
{
    struct run *r;
    int i;

    begin("2019-12");
    set_loop();
    r = fixture_start(&fx, BY_RESOURCE);
    for (i = 0; i < _i * 5 && !r->done; i++)
        (void)next_round();
    end();
}
END_TEST

/* ---- rules ---- */

START_TEST(doors_exclude_each_other)
{
    struct run *r;

    begin("2019-12");
    ck_assert_int_eq(bcda_session_on_fd(fx.session, 0, 0), BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_session_on_timer(fx.session), BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_session_set_loop(fx.session, NULL, on_timer, &loop, on_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_set_loop(fx.session, on_watch, NULL, &loop, on_destroy),
                     BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_set_loop(NULL, on_watch, on_timer, &loop, on_destroy),
                     BCDA_ERR_INVALID);
    set_loop();
    ck_assert_int_eq(bcda_session_set_loop(fx.session, on_watch, on_timer, &loop, on_destroy),
                     BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_session_run(fx.session, 0), BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_session_step(fx.session), BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_session_fd(fx.session), BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_session_on_fd(fx.session, 0, 4), BCDA_ERR_INVALID);
    /* A report about a descriptor that is no longer watched has no effect, since it may have come
     * late. */
    ck_assert_int_eq(bcda_session_on_fd(fx.session, 0, BCDA_FD_READ), 0);
    ck_assert_int_eq(bcda_session_on_timer(fx.session), 0);
    r = fixture_start(&fx, BY_RESOURCE);
    run_all();
    fixture_check_export(r);
    end();
}
END_TEST

START_TEST(too_late)
{
    begin("2019-12");
    fixture_start(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_session_set_loop(fx.session, on_watch, on_timer, &loop, on_destroy),
                     BCDA_ERR_STATE);
    fixture_close(&fx);
    ck_assert_int_eq(loop.destroyed, 0);
    ck_assert_int_eq(loop.watches, 0);
}
END_TEST

/* Calls from the loop's callbacks are refused, and the job is not affected. */
START_TEST(calls_from_the_loop)
{
    struct run *r;

    begin("2019-12");
    set_loop();
    loop.call_back = 1;
    r = fixture_start(&fx, BY_RESOURCE);
    run_all();
    fixture_check_export(r);
    loop.call_back = 0;
    ck_assert_int_gt(loop.calls, 10 * BCDA__ENTRY_POINTS);
    end();
}
END_TEST

/* The application refuses to watch a descriptor: the first one of the session (_i = 0), or a later
 * one, which belongs to a connection. */
START_TEST(watch_refused)
{
    struct run *r;

    begin("2019-12");
    loop.refuse_watch = 1;
    if (_i == 0) {
        ck_assert_int_eq(bcda_session_set_loop(fx.session, on_watch, on_timer, &loop, on_destroy),
                         BCDA_ERR_SYSTEM);
        ck_assert_int_eq(loop.destroyed, 0);
        fixture_close(&fx);
        return;
    }
    loop.refuse_watch = 0;
    set_loop();
    loop.refuse_watch = _i;
    r = fixture_start(&fx, BY_RESOURCE);
    run_all();
    if (loop.refuse_watch) /* the job did not watch as many descriptors */
        ck_assert_int_eq(r->result, 0);
    else
        ck_assert_ptr_nonnull(strstr(bcda_error_text(fixture_check_failed(r, BCDA_ERR_SYSTEM)),
                                     "a descriptor could not be watched"));
    end();
}
END_TEST

START_TEST(timer_refused)
{
    begin("2019-12");
    set_loop();
    loop.refuse_timer = 1;
    fixture_start(&fx, BY_RESOURCE);
    ck_assert_int_eq(report_timer(), BCDA_ERR_SYSTEM);
    end();
}
END_TEST

static void *wake(void *session)
{
    ck_assert_ok(bcda_session_wakeup(session));
    return NULL;
}

START_TEST(woken)
{
    pthread_t t;

    begin("2019-12");
    set_loop();
    ck_assert_int_eq(poll(loop.fds, 1, 0), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, wake, fx.session), 0);
    ck_assert_int_eq(poll(loop.fds, 1, 30000), 1);
    pthread_join(t, NULL);
    ck_assert_int_eq(report_fd(loop.fds[0].fd, BCDA_FD_READ), 1);
    ck_assert_int_eq(poll(loop.fds, 1, 0), 0);
    end();
}
END_TEST

/* A session without a job asks for no timer. */
START_TEST(idle)
{
    struct run *r;

    begin("2019-12");
    set_loop();
    ck_assert_int_eq(loop.timer, -1);
    r = fixture_start(&fx, BY_RESOURCE);
    ck_assert_int_eq(loop.timer, 0);
    run_all();
    fixture_check_export(r);
    while (next_round())
        ;
    ck_assert_int_eq(loop.timer, -1);
    end();
}
END_TEST

SUITE("loop")
{
    suite_case("loop");
    suite_loop(complete, 0, 6);
    suite_loop(token_command, 0, 2);
    suite_test(large_file);
    suite_test(pulled);
    suite_test(two_jobs);
    suite_loop(freed, 0, 12);
    suite_test(doors_exclude_each_other);
    suite_test(too_late);
    suite_test(calls_from_the_loop);
    suite_loop(watch_refused, 0, 8);
    suite_test(timer_refused);
    suite_test(woken);
    suite_test(idle);
}
