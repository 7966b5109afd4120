/* bcda_session_run() and bcda_session_step(): how long they run, how a thread or a signal wakes
 * them, and that they stay idle while there is nothing to do. Linked with
 * -Wl,--wrap=bcda__loop_watch. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "net/loop.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

/* ---- how long a run or a step takes ---- */

/* Starts and cancels another job whenever one is done. bcda_session_run() keeps to its time limit
 * even then. */
static void start_another(bcda_job *job, int result, void *userdata)
{
    bcda_handlers *handlers = userdata;
    bcda_job *next;

    (void)job;
    (void)result;
    if (bcda_job_start(fx.session, fx.x, handlers, &next) == 0) {
        ck_assert_ok(bcda_job_cancel(next));
        bcda_job_unref(next);
    }
}

START_TEST(run_is_bounded)
{
    bcda_handlers *handlers;
    int rc;

    fixture_setup_one_file(&fx);
    ck_assert_int_eq(bcda_session_run(fx.session, -2), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_run(NULL, 0), BCDA_ERR_INVALID);
    ck_assert_ok(bcda_handlers_new(&handlers));
    ck_assert_ok(bcda_handlers_on_done(handlers, start_another, handlers, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, handlers, NULL));
    start_another(NULL, 0, handlers); /* from now on each step ends a job and begins another */
    rc = bcda_session_run(fx.session, 30);
    ck_assert_int_eq(rc, BCDA_ERR_TIMEOUT);
    fixture_free_session(&fx);
    bcda_handlers_free(handlers);
    fixture_close(&fx);
}
END_TEST

/* A step handles a limited number of bytes, however many have arrived. The test sleeps before each
 * step, so that the server gets far ahead. */
START_TEST(step_is_bounded)
{
    enum { FILE_BYTES = 24 * 1024 * 1024, STEP_BYTES = 2 * 1024 * 1024 };
    int64_t before, most = 0;
    int many = _i / 2; /* several files, compressed so that few bytes give much data */
    struct run *r;

    fixture_setup(&fx,
                  SANDBOX(.era = many ? "current" : "2019-04", .files = many ? 4 : 1,
                          .file_bytes = FILE_BYTES),
                  1);
    fixture_export(&fx, many ? BCDA_LEVEL_PATIENT : BCDA_LEVEL_RESOURCE, EOB, NULL);
    r = fixture_start(&fx, _i % 2 ? BY_BATCH : BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    while (!r->done) {
        usleep(2000);
        before = bcda_job_resources(r->job);
        fixture_bare_step(&fx);
        if (bcda_job_resources(r->job) - before > most)
            most = bcda_job_resources(r->job) - before;
    }
    fixture_check_export(r);
    ck_assert_int_gt(bcda_job_bytes(r->job), FILE_BYTES);
    ck_assert_int_gt(most, 0);
    ck_assert_int_lt(most * (bcda_job_bytes(r->job) / bcda_job_resources(r->job)), STEP_BYTES);
    fixture_close(&fx);
}
END_TEST

static int work_slowly(struct run *r, enum where where, void *object)
{
    struct timespec t = {0, 150000};

    (void)r;
    (void)object;
    if (where == AT_RESOURCE)
        nanosleep(&t, NULL);
    return BCDA_CONTINUE;
}

START_TEST(run_ends_on_a_steady_flow)
{
    struct run *r;
    bcda_config *config;
    int rc = 0;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/", 0, 50000); /* the callbacks need some 10 s for these */
    scripted_export(fx.server, fixture_files, 1);
    config = fixture_config(&fx);
    config->clock = bcda__clock_system(); /* runs on during callbacks */
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_session(&fx);
    r = fixture_start_hook(&fx, BY_RESOURCE, work_slowly, NULL);
    fx.inside = 1;
    while (!r->count && (rc == 0 || rc == BCDA_ERR_TIMEOUT))
        rc = bcda_session_run(fx.session, 20);
    ck_assert_uint_gt(r->count, 0);
    ck_assert_int_eq(bcda_session_run(fx.session, 50), BCDA_ERR_TIMEOUT);
    fx.inside = 0;
    ck_assert_int_eq(bcda_job_result(r->job), BCDA_ERR_AGAIN);
    ck_assert_uint_lt(r->count, 50000);
    ck_assert_ok(bcda_job_cancel(r->job));
    fixture_finish(&fx);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    fixture_close(&fx);
}
END_TEST

/* ---- wake-ups and signals ---- */

/* Wakes the session at the first resource. bcda_session_run() notices a wake-up while data flows,
 * and returns after the current step. */
static int wake_once(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_RESOURCE && ++*(int64_t *)r->arg == 1)
        ck_assert_ok(bcda_session_wakeup(fx.session));
    return BCDA_CONTINUE;
}

START_TEST(wakeup_while_data_flows)
{
    enum { FILE_BYTES = 24 * 1024 * 1024 };
    int64_t seen = 0, at_wakeup;
    struct run *r;

    fixture_setup(&fx, SANDBOX(.era = "current", .files = 4, .file_bytes = FILE_BYTES), 1);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = fixture_start_hook(&fx, BY_RESOURCE, wake_once, &seen);
    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    fx.inside = 1;
    ck_assert_int_eq(bcda_session_run(fx.session, -1), BCDA_ERR_INTERRUPTED);
    fx.inside = 0;
    at_wakeup = seen;
    ck_assert_int_eq(r->done, 0);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_int_lt(at_wakeup, seen / 4);
    fixture_close(&fx);
}
END_TEST

static void *wake(void *arg)
{
    ck_assert_ok(bcda_session_wakeup(arg));
    return NULL;
}

/* Another thread wakes the session before or during bcda_session_run(): no wake-up is lost, and
 * each is reported once. */
START_TEST(wakeup_thread)
{
    pthread_t thread;
    int i;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "kickoff-429:600");
    (void)fixture_start(&fx, BY_RESOURCE);
    while (sandbox_count(fx.sandbox, "kickoff") < 1 || fixture_stat(&fx, BCDA_STAT_TRANSFERS))
        (void)fixture_step(&fx);
    fixture_drain(&fx); /* now the job waits for ten minutes */
    for (i = 0; i < 20; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, wake, fx.session), 0);
        if (i % 2)
            ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(bcda_session_run(fx.session, -1), BCDA_ERR_INTERRUPTED);
        if (i % 2 == 0)
            ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(bcda_session_run(fx.session, 0), BCDA_ERR_TIMEOUT);
    }
    fixture_finish(&fx);
    fixture_close(&fx);
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

/* A signal ends bcda_session_run(), whether or not the signal handler calls bcda_session_wakeup().
 */
START_TEST(signal_interrupts)
{
    struct sigaction action;
    pthread_t thread, self = pthread_self();
    int rc;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "kickoff-429:600");
    (void)fixture_start(&fx, BY_RESOURCE);
    while (sandbox_count(fx.sandbox, "kickoff") < 1 || fixture_stat(&fx, BCDA_STAT_TRANSFERS))
        (void)fixture_step(&fx);
    fixture_drain(&fx);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    to_wake = _i ? fx.session : NULL;
    was_interrupted = 0;
    if (_i) { /* with a wake-up in the handler one signal is enough, before or during poll() */
        ck_assert_int_eq(raise(SIGUSR1), 0);
        rc = bcda_session_run(fx.session, -1);
    } else {
        ck_assert_int_eq(pthread_create(&thread, NULL, send_signals, &self), 0);
        do /* a signal before poll() goes unnoticed, but one during poll() does not */
            rc = bcda_session_run(fx.session, 20);
        while (rc == BCDA_ERR_TIMEOUT);
        was_interrupted = 1;
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    ck_assert_int_eq(rc, BCDA_ERR_INTERRUPTED);
    ck_assert_int_eq(bcda_session_run(fx.session, 0), BCDA_ERR_TIMEOUT);
    fixture_finish(&fx);
    fixture_close(&fx);
}
END_TEST

/* ---- a session for each thread ---- */

struct worker {
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

/* Runs one export, on the real clock. */
static void *work(void *arg)
{
    struct worker *w = arg;
    bcda_handlers *handlers;
    bcda_session *s = NULL;
    bcda_export *x;
    bcda_config *c;
    bcda_job *job;
    int rc = bcda_config_new(&c), i;

    rc |= bcda_config_set_fhir_url(c, sandbox_fhir_url(fx.sandbox, 1));
    rc |= bcda_config_set_bearer_token(c, sandbox_bearer_token(fx.sandbox));
    rc |= bcda_config_set_ca_file(c, sandbox_ca_file(fx.sandbox));
    rc |= bcda_config_add_private_key_file(c, sandbox_private_key_file(fx.sandbox), NULL);
    rc |= bcda_config_set_int(c, BCDA_OPT_POLL_MAX_MS, 10); /* not a second */
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
    struct sandbox_options options = {0};
    struct worker w[2];
    int i;

    options.era = "2019-04";
    options.no_polls = 1;
    fixture_open_sandbox(&fx, &options);
    ck_assert_ok(bcda_global_init(0));
    memset(w, 0, sizeof w);
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(w[i].thread, NULL), 0);
        ck_assert_int_eq(w[i].result, 0);
        ck_assert_uint_eq(w[i].count, 50);
    }
    bcda_global_cleanup();
    fixture_close(&fx);
}
END_TEST

/* ---- the session's descriptor, and idle sessions ---- */

static int is_readable(int fd)
{
    struct pollfd p = {0};

    p.fd = fd;
    p.events = POLLIN;
    return poll(&p, 1, 0) > 0;
}

/* The descriptor never changes, and is readable exactly when a step has something to do. The test
 * uses the real clock: the system's timer could expire before a simulated clock gets there. */
START_TEST(descriptor)
{
    struct sandbox_options options = {0};
    struct bcda__clock real = bcda__clock_system();
    unsigned readable = 0;
    struct run *r;
    int fd;

    options.era = _i % 2 ? "current" : "2019-04";
    options.no_polls = 1;
    if (_i / 2) { /* more data than one step may handle */
        options.files = _i % 2 ? 3 : 1;
        options.file_bytes = 24 * 1024 * 1024;
    }
    fixture_open_sandbox(&fx, &options);
    fixture_config(&fx);
    fx.config->clock = real;
    fixture_session(&fx);
    fixture_export(&fx, _i % 2 ? BCDA_LEVEL_PATIENT : BCDA_LEVEL_RESOURCE, EOB, NULL);
    fd = bcda_session_fd(fx.session);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(is_readable(fd), 0); /* there is nothing to do yet */
    r = fixture_start(&fx, BY_RESOURCE);
    ck_assert_int_eq(is_readable(fd), 1);
    while (!r->done) {
        struct pollfd p = {0};
        int rc;

        p.fd = fd;
        p.events = POLLIN;
        ck_assert_int_eq(poll(&p, 1, 60000), 1); /* poll() never times out */
        readable++;
        fx.inside = 1;
        rc = bcda_session_step(fx.session);
        fx.inside = 0;
        ck_assert_int_eq(rc, 1);
        ck_assert_int_eq(bcda_session_fd(fx.session), fd);
    }
    fixture_check_export(r);
    ck_assert_uint_lt(readable, _i / 2 ? 20000 : 2000);
    while (is_readable(fd) && readable++ < 20000) /* steps that close connections */
        ck_assert_int_eq(bcda_session_step(fx.session), 1);
    ck_assert_int_eq(is_readable(fd), 0);
    ck_assert_int_eq(bcda_session_step(fx.session), 0);
    ck_assert_int_eq(bcda_session_step(fx.session), 0);
    fixture_close(&fx);
}
END_TEST

/* A job that waits for an hour does not wake the application earlier. */
START_TEST(idle_hour)
{
    struct sandbox_options options = {0};
    unsigned worked;
    struct run *r;

    fixture_open_sandbox(&fx, &options);
    fixture_set(&fx, BCDA_OPT_RETRY_AFTER_MAX_MS, 3600000);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
    fixture_fault(&fx, "status-503:3600");
    r = fixture_start(&fx, BY_RESOURCE);
    while (sandbox_count(fx.sandbox, "status") < 1 || fixture_stat(&fx, BCDA_STAT_TRANSFERS))
        ck_assert_int_eq(fixture_step(&fx), 1);
    fixture_advance(&fx, 200); /* time for the last on_progress to be called */
    ck_assert_int_eq(bcda__session_next_timer_ms(fx.session), 3600000 - 200);
    worked = fx.worked;
    fixture_advance(&fx, 3600000 - 201);
    ck_assert_uint_eq(fx.worked, worked);
    ck_assert_int_eq(bcda__session_next_timer_ms(fx.session), 1);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "status"), 1);
    fixture_finish(&fx);
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

/* Without a job there is no timer at all. */
START_TEST(idle_session)
{
    fixture_setup_one_file(&fx);
    ck_assert_int_eq(bcda__session_next_timer_ms(fx.session), -1);
    ck_assert_int_eq(is_readable(bcda_session_fd(fx.session)), 0);
    ck_assert_ok(bcda_session_run(fx.session, -1));
    (void)fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda__session_next_timer_ms(fx.session), -1);
    fixture_drain(&fx);
    ck_assert_int_eq(is_readable(bcda_session_fd(fx.session)), 0);
    ck_assert_ok(bcda_session_wakeup(fx.session));
    ck_assert_int_eq(is_readable(bcda_session_fd(fx.session)), 1);
    ck_assert_int_eq(bcda_session_step(fx.session), 1);
    ck_assert_int_eq(is_readable(bcda_session_fd(fx.session)), 0);
    fixture_close(&fx);
}
END_TEST

/* ---- the system refuses to watch a descriptor ---- */

static atomic_int watches; /* atomic: two_threads runs a session in each thread */
static int refuse_watch;

int __real_bcda__loop_watch(struct bcda__loop *l, int fd, int events);
int __wrap_bcda__loop_watch(struct bcda__loop *l, int fd, int events);

int __wrap_bcda__loop_watch(struct bcda__loop *l, int fd, int events)
{
    if (events && ++watches == refuse_watch)
        return BCDA_ERR_SYSTEM;
    return __real_bcda__loop_watch(l, fd, events);
}

START_TEST(refused_watch)
{
    struct run *r;

    fixture_open_scripted(&fx, _i % 2);
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    watches = 0;
    refuse_watch = 1 + _i / 2;
    r = fixture_run(&fx, BY_RESOURCE);
    /* An export makes at least four requests. */
    ck_assert(refuse_watch > 4 || watches >= refuse_watch);
    if (watches >= refuse_watch) {
        (void)fixture_check_failed(r, BCDA_ERR_SYSTEM);
    } else { /* fewer descriptors were watched */
        ck_assert_int_eq(r->result, 0);
        fixture_check_patients(r, 0, 0, 3);
        fixture_check_patients(r, 1, 3, 3);
    }
    refuse_watch = 0;
    fixture_close(&fx);
}
END_TEST

SUITE("run")
{
    suite_case("bounds");
    suite_test(run_is_bounded);
    suite_loop(step_is_bounded, 0, 4);
    suite_case("steady");
    suite_test(run_ends_on_a_steady_flow);
    suite_case("woken");
    suite_test(wakeup_while_data_flows);
    suite_test(wakeup_thread);
    suite_loop(signal_interrupts, 0, 2);
    suite_case("threads");
    suite_test(two_threads);
    suite_case("idle");
    suite_loop(descriptor, 0, 4);
    suite_test(idle_hour);
    suite_test(idle_session);
    suite_case("watch");
    suite_loop(refused_watch, 0, 24);
}
