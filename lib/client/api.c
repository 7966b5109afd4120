/* Entry points: every public function that moves a session or a job. Arguments are checked here,
 * and door.h says what may be called from where. Functions that only read or fill an object of
 * their own (config, export, handlers, file, batch, error) stand with that object.
 */
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/door.h"
#include "client/download.h"
#include "client/job.h"
#include "client/origin.h"
#include "client/request.h"
#include "client/session.h"
#include "client/state.h"

enum { KICKOFF_URL_MAX = 256 * 1024, STATUS_URL_MAX = 64 * 1024 };

/* ---- the guard ---- */

static int refuse_call(bcda_session *s, int code, const char *why)
{
    return bcda__err_set(&s->err, code, "%s", why);
}

/* Without a session there is nowhere to say why. */
static int refuse_argument(bcda_session *s, const char *why)
{
    return s ? refuse_call(s, BCDA_ERR_INVALID, why) : BCDA_ERR_INVALID;
}

static int check_entry(bcda_session *s, enum bcda__door door)
{
    return s ? bcda__door_check(s, door) : BCDA_ERR_INVALID;
}

static int enter_api(bcda_session *s, enum bcda__door door)
{
    int rc = check_entry(s, door);

    if (!rc)
        s->in_call = 1;
    return rc;
}

/* The outermost call unwinds with `rc`: what callbacks asked for and had to wait happens now. Where
 * a callback has freed the session there is nothing left to do, which is 0; a child learns that it
 * is one. */
static int leave_api(bcda_session *s, int rc)
{
    s->in_call = 0;
    bcda__session_sweep(s);
    if (!s->closing)
        return rc;
    rc = s->forked ? BCDA_ERR_FORKED : 0;
    bcda__session_destroy(s);
    return rc;
}

static int refuse_child(bcda_session *s)
{
    return refuse_call(s, BCDA_ERR_FORKED, bcda_error_string(BCDA_ERR_FORKED));
}

/* The end of a call outside of which nothing unwinds, but which may have asked the application's
 * loop for a timer: that callback may have forked. */
static int succeed_or_refuse_child(bcda_session *s)
{
    return s->forked ? refuse_child(s) : 0;
}

/* ---- session ---- */

int bcda_session_new(bcda_session **out, bcda_config *config)
{
    if (!config)
        return BCDA_ERR_INVALID;
    if (!out)
        return bcda__err_set(&config->err, BCDA_ERR_INVALID, "no place for the session was given");
    return bcda__session_create(out, config);
}

void bcda_session_free(bcda_session *s)
{
    if (!s || s->closing)
        return;
    (void)bcda__session_is_forked(s);
    if (s->in_call || s->in_callback || s->in_loop_callback) {
        s->closing = 1;
        return;
    }
    bcda__session_destroy(s);
}

static int is_batch_ready(const bcda_session *s)
{
    const bcda_job *job;

    for (job = s->jobs; job; job = job->next)
        if (bcda__job_is_waiting(job))
            return 1;
    return 0;
}

static int is_idle(const bcda_session *s)
{
    const bcda_job *job;

    for (job = s->jobs; job; job = job->next)
        if (!bcda__job_is_idle(job))
            return 0;
    return s->requests == NULL;
}

/* Of a step that gave `rc`. */
static int finish_step(bcda_session *s, int rc, const char *why)
{
    if (rc == BCDA_ERR_FORKED)
        return refuse_child(s);
    return rc < 0 ? refuse_call(s, rc, why) : rc;
}

static int step_session(bcda_session *s, int *woken)
{
    return finish_step(s, bcda__engine_step(s->engine, woken),
                       "the system refused a timer or a descriptor");
}

/* What is left of the caller's time, for poll(). */
static int time_left(int64_t until, int *over)
{
    struct bcda__clock real = bcda__clock_system();
    int64_t left;

    if (until < 0)
        return -1;
    left = until - bcda__clock_now(&real);
    *over = left <= 0;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static int sleep_until_ready(bcda_session *s, int timeout_ms)
{
    int64_t began = bcda__clock_ns();
    int rc = bcda__engine_wait(s->engine, timeout_ms);

    s->stat[BCDA_STAT_SLEEP_NS] += bcda__clock_ns() - began;
    return rc;
}

static int run_session(bcda_session *s, int timeout_ms)
{
    struct bcda__clock real = bcda__clock_system();
    int64_t until = timeout_ms < 0 ? -1 : bcda__clock_now(&real) + timeout_ms;
    int rc, woken = 0, over = 0;

    for (;;) {
        if (s->closing || is_idle(s))
            return 0;
        if (is_batch_ready(s))
            return 1;
        rc = sleep_until_ready(s, time_left(until, &over));
        if (rc == BCDA_ERR_TIMEOUT && !over)
            continue;
        if (rc == BCDA_ERR_SYSTEM)
            return refuse_call(s, rc, "the system refused to wait for descriptors");
        if (rc)
            return rc;
        rc = step_session(s, &woken);
        if (rc < 0)
            return rc;
        if (woken && !s->closing)
            return BCDA_ERR_INTERRUPTED;
        if (over && !s->closing && !is_idle(s) && !is_batch_ready(s))
            return BCDA_ERR_TIMEOUT;
    }
}

/* By which of its doors a session is moved. */
static int enter_by(bcda_session *s, enum bcda__door door, int host)
{
    int rc = enter_api(s, door);

    if (rc || bcda__engine_has_host(s->engine) == host)
        return rc;
    s->in_call = 0;
    return refuse_call(s, BCDA_ERR_STATE,
                       host ? "this session has no loop of the application's"
                            : "this session is run by the application's own loop");
}

int bcda_session_run(bcda_session *s, int timeout_ms)
{
    int rc;

    if (timeout_ms < -1)
        return refuse_argument(s, "the timeout is negative, and not -1 (no limit)");
    rc = enter_by(s, BCDA__DOOR_RUN, 0);
    if (rc)
        return rc;
    return leave_api(s, run_session(s, timeout_ms));
}

int bcda_session_step(bcda_session *s)
{
    int woken, rc = enter_by(s, BCDA__DOOR_STEP, 0);

    if (rc)
        return rc;
    return leave_api(s, step_session(s, &woken));
}

int bcda_session_fd(bcda_session *s)
{
    int rc = check_entry(s, BCDA__DOOR_FD);

    if (!rc && bcda__engine_has_host(s->engine))
        rc = refuse_call(s, BCDA_ERR_STATE, "this session is run by the application's own loop");
    if (rc)
        return rc;
    rc = bcda__engine_fd(s->engine);
    return rc < 0 ? refuse_call(s, rc, "this build has no single descriptor for a session") : rc;
}

int bcda_session_wakeup(bcda_session *s)
{
    if (!s)
        return BCDA_ERR_INVALID;
    if (bcda__process_is_child(&s->process)) /* the parent would wake up */
        return BCDA_ERR_FORKED;
    return bcda__engine_wakeup(s->engine);
}

/* ---- the application's loop ---- */

int bcda_session_set_loop(bcda_session *s, bcda_watch_fd_cb watch_fd,
                          bcda_watch_timer_cb watch_timer, void *userdata, bcda_destroy_cb destroy)
{
    int rc;

    if (!watch_fd || !watch_timer)
        return refuse_argument(s, "a loop needs both callbacks, for descriptors and for the timer");
    rc = check_entry(s, BCDA__DOOR_SET_LOOP);
    if (rc)
        return rc;
    if (s->loop || s->jobs || s->requests)
        return refuse_call(s, BCDA_ERR_STATE,
                           "a loop is set once, before the first job or request");
    rc = bcda__session_set_loop(s, watch_fd, watch_timer, userdata, destroy);
    return finish_step(s, rc, "the loop refused a descriptor, or memory was refused");
}

int bcda_session_on_fd(bcda_session *s, int fd, int events)
{
    int woken, rc;

    if (events & ~(BCDA_FD_READ | BCDA_FD_WRITE))
        return refuse_argument(s, "events other than read and write are not known");
    rc = enter_by(s, BCDA__DOOR_ON_FD, 1);
    if (rc)
        return rc;
    rc = bcda__engine_on_fd(s->engine, fd, events, &woken);
    return leave_api(s, finish_step(s, rc, "the loop refused a timer or a descriptor"));
}

int bcda_session_on_timer(bcda_session *s)
{
    int rc = enter_by(s, BCDA__DOOR_ON_TIMER, 1);

    if (rc)
        return rc;
    rc = bcda__engine_on_timer(s->engine);
    return leave_api(s, finish_step(s, rc, "the loop refused a timer or a descriptor"));
}

const bcda_error *bcda_session_error(const bcda_session *s)
{
    return s && s->err.code ? &s->err : NULL;
}

/* The error of the last call is not part of what const guards. */
static bcda_session *with_error(const bcda_session *s)
{
    return (bcda_session *)(uintptr_t)s;
}

int bcda_session_stat(const bcda_session *s, int stat, int64_t *out)
{
    if (!s || !out || stat < BCDA_STAT_REQUESTS || stat >= BCDA__STATS)
        return refuse_argument(with_error(s), "no such statistic, or no place for its value");
    if (bcda__process_is_child(&s->process))
        return refuse_call(with_error(s), BCDA_ERR_FORKED,
                           "this session belongs to the parent process");
    *out = s->stat[stat];
    if (stat == BCDA_STAT_TRANSPORT_NS) /* with that of the decode threads */
        *out += bcda__engine_spent_ns(s->engine);
    return 0;
}

/* ---- jobs ---- */

static int check_start(bcda_session *s, enum bcda__door door, const bcda_handlers *h)
{
    int rc = check_entry(s, door);

    if (rc)
        return rc;
    if (h && h->at[BCDA__ON_RESOURCE] && h->at[BCDA__ON_BATCH])
        return refuse_call(s, BCDA_ERR_INVALID, "on_resource and on_batch exclude each other");
    return 0;
}

static int create_job(bcda_session *s, const char *kickoff_url, const char *status_url,
                      const bcda_export *x, const bcda_handlers *h, struct bcda__state *saved,
                      bcda_job **out)
{
    bcda_job *job;
    int rc = bcda__job_create(&job, s, kickoff_url, status_url, x, h, saved);

    if (rc)
        return bcda__err_nomem(&s->err);
    rc = succeed_or_refuse_child(s);
    if (!rc && out)
        *out = bcda_job_ref(job);
    return rc;
}

int bcda_job_start(bcda_session *s, const bcda_export *x, const bcda_handlers *h, bcda_job **out)
{
    struct bcda__buf url;
    int rc;

    if (!x)
        return refuse_argument(s, "no export was given");
    rc = check_start(s, BCDA__DOOR_START, h);
    if (rc)
        return rc;
    bcda__buf_init(&url, KICKOFF_URL_MAX);
    rc = bcda__export_url(x, s->config->fhir_url, &url, &s->err);
    if (!rc)
        rc = create_job(s, url.data, NULL, x, h, NULL, out);
    bcda__buf_free(&url);
    return rc;
}

/* Adopts the URL as one that the server named, and insists on its origin. */
static int attach_job(bcda_session *s, const char *status_url, const bcda_export *x,
                      const bcda_handlers *h, struct bcda__state *saved, bcda_job **out)
{
    struct bcda__url parsed;
    struct bcda__buf url;
    int same, rc;

    if (strlen(status_url) > STATUS_URL_MAX)
        return bcda__err_set(&s->err, BCDA_ERR_URL, "the status URL is longer than %d bytes",
                             STATUS_URL_MAX);
    if (bcda__url_parse(status_url, &parsed))
        return refuse_call(s, BCDA_ERR_URL, "the status URL is not an absolute http or https URL");
    bcda__buf_init(&url, STATUS_URL_MAX);
    rc = bcda__origin_adopt(s, status_url, &url, &same, &s->err);
    if (!rc && !same)
        rc = refuse_call(s, BCDA_ERR_ORIGIN,
                         "the status URL is of another origin than the FHIR URL");
    if (!rc)
        rc = create_job(s, NULL, url.data, x, h, saved, out);
    bcda__buf_free(&url);
    return rc;
}

int bcda_job_attach(bcda_session *s, const char *status_url, const bcda_export *x,
                    const bcda_handlers *h, bcda_job **out)
{
    int rc;

    if (!status_url)
        return refuse_argument(s, "no status URL was given");
    rc = check_start(s, BCDA__DOOR_ATTACH, h);
    return rc ? rc : attach_job(s, status_url, x, h, NULL, out);
}

int bcda_job_restore(bcda_session *s, const char *saved, size_t len, const bcda_export *x,
                     const bcda_handlers *h, bcda_job **out)
{
    struct bcda__state state = {0};
    int rc;

    if (!saved)
        return refuse_argument(s, "no saved job was given");
    rc = check_start(s, BCDA__DOOR_RESTORE, h);
    if (rc)
        return rc;
    rc = bcda__state_read(saved, len, &state);
    if (rc)
        return refuse_call(
            s, rc, rc == BCDA_ERR_NOMEM ? "out of memory" : "the text is not that of a saved job");
    rc = attach_job(s, state.url, x, h, &state, out);
    bcda__state_free(&state);
    return rc;
}

int bcda_job_save(const bcda_job *job, char **out)
{
    struct bcda__buf text;
    int rc;

    if (!job || !out)
        return refuse_argument(job ? job->s : NULL, "no place for the saved job was given");
    if (job->s && bcda__process_is_child(&job->s->process))
        return refuse_call(job->s, BCDA_ERR_FORKED, "this job belongs to the parent process");
    if (!job->url)
        return bcda__err_set(job->s ? &job->s->err : NULL, BCDA_ERR_STATE,
                             "the server has not accepted the job: there is nothing to save yet");
    bcda__buf_init(&text, (size_t)1 << 30);
    rc = bcda__state_write(&text, job->url, job->types_known ? &job->types : NULL, &job->done);
    if (rc) {
        bcda__buf_free(&text);
        return bcda__err_nomem(job->s ? &job->s->err : NULL);
    }
    *out = bcda__buf_steal(&text);
    return 0;
}

/* For calls on a job: one that has ended has no session any more, and nothing is to be done for it.
 */
static int check_job(const bcda_job *job, enum bcda__door door, int *over)
{
    if (!job)
        return BCDA_ERR_INVALID;
    *over = !job->s;
    return *over ? 0 : bcda__door_check(job->s, door);
}

int bcda_job_cancel(bcda_job *job)
{
    int over, rc = check_job(job, BCDA__DOOR_CANCEL, &over);

    if (rc || over)
        return rc;
    job->cancel_wanted = 1;
    bcda__job_poke(job);
    return succeed_or_refuse_child(job->s);
}

int bcda_job_pause(bcda_job *job)
{
    int over, rc = check_job(job, BCDA__DOOR_PAUSE, &over);

    if (rc || over)
        return rc;
    job->paused = 1;
    bcda__session_poke(job->s); /* its places are free for other jobs */
    return succeed_or_refuse_child(job->s);
}

int bcda_job_resume(bcda_job *job)
{
    int over, rc = check_job(job, BCDA__DOOR_RESUME, &over);

    if (rc || over)
        return rc;
    job->paused = 0;
    bcda__job_poke(job);
    return succeed_or_refuse_child(job->s);
}

int bcda_job_next(bcda_job *job, bcda_batch **out)
{
    struct bcda__download *d;
    int over, rc = check_job(job, BCDA__DOOR_NEXT, &over);

    if (rc)
        return rc;
    if (!out)
        return refuse_argument(job->s, "no place for the batch was given");
    if (!job->pull)
        return bcda__err_set(job->s ? &job->s->err : NULL, BCDA_ERR_STATE,
                             "the job has a data callback: its batches go there");
    if (over)
        return BCDA_ERR_END;
    if (job->paused)
        return BCDA_ERR_AGAIN;
    for (d = job->downloads; d; d = bcda__download_next(d)) {
        if (!bcda__download_has_batch(d))
            continue;
        *out = bcda__download_take_batch(d);
        bcda__job_poke(job);
        rc = succeed_or_refuse_child(job->s);
        if (rc)
            bcda_batch_unref(*out);
        return rc;
    }
    return BCDA_ERR_AGAIN;
}

/* ---- one-off requests ---- */

int bcda_request_start(bcda_session *s, int what, bcda_request_cb cb, void *userdata,
                       bcda_destroy_cb destroy, bcda_request **out)
{
    struct bcda__registration *r = NULL;
    bcda_request *request;
    int rc;

    if (what != BCDA_REQUEST_METADATA && what != BCDA_REQUEST_VERSION)
        return refuse_argument(s, "no such request");
    rc = check_entry(s, BCDA__DOOR_REQUEST);
    if (rc)
        return rc;
    rc = bcda__request_create(&request, s, what);
    if (rc)
        return bcda__err_set(&s->err, rc, "%s", bcda_error_string(rc));
    if (s->forked)
        return refuse_child(s);
    if (cb) {
        r = bcda__registration_new((void (*)(void))cb, userdata, destroy);
        if (!r) {
            struct bcda_error err;

            bcda__request_end(request, bcda__err_nomem(&err), &err); /* nobody listens yet */
            return bcda__err_nomem(&s->err);
        }
    }
    request->cb = r;
    if (out)
        *out = bcda_request_ref(request);
    return 0;
}
