/* The entry points: all public functions that run or change a session or a job. They check their
 * arguments, and whether they may be called here (entry.h). Functions that only read, or that fill
 * an object of their own (config, export, handlers, file, batch, error), are in the file of that
 * object. */
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/entry.h"
#include "client/origin.h"
#include "client/session.h"
#include "client/state.h"

enum { KICKOFF_URL_MAX = 256 * 1024, STATUS_URL_MAX = 64 * 1024 };

/* ---- checks at every entry point ---- */

static int refuse_call(struct bcda__context *cx, int code, const char *why)
{
    return bcda__err_set(&cx->err, code, "%s", why);
}

static struct bcda__context *context_of(bcda_session *s)
{
    return s ? &s->cx : NULL;
}

/* Without a session there is no place to store the error. */
static int refuse_argument(struct bcda__context *cx, const char *why)
{
    return cx ? refuse_call(cx, BCDA_ERR_INVALID, why) : BCDA_ERR_INVALID;
}

static int check_entry(bcda_session *s, enum bcda__entry_point point)
{
    return s ? bcda__entry_check(&s->cx, point) : BCDA_ERR_INVALID;
}

static int enter_api(bcda_session *s, enum bcda__entry_point point)
{
    int rc = check_entry(s, point);

    if (!rc)
        s->cx.in_call = 1;
    return rc;
}

/* Ends the outermost call of the API, and returns `rc`, the result of that call. Jobs that ended in
 * callbacks are released now. A session that a callback freed is destroyed now; the result is then
 * 0, or BCDA_ERR_FORKED in a child of fork(). */
static int leave_api(bcda_session *s, int rc)
{
    s->cx.in_call = 0;
    bcda__jobs_sweep(&s->jobs);
    if (!s->cx.closing)
        return rc;
    rc = s->cx.forked ? BCDA_ERR_FORKED : 0;
    bcda__session_destroy(s);
    return rc;
}

static int refuse_child(struct bcda__context *cx)
{
    return refuse_call(cx, BCDA_ERR_FORKED, bcda_error_string(BCDA_ERR_FORKED));
}

/* Ends a call that may have asked the application's loop for a timer outside a step. The callback
 * of the loop may have forked: then the call fails in the child. */
static int succeed_or_refuse_child(struct bcda__context *cx)
{
    return cx->forked ? refuse_child(cx) : 0;
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
    if (!s || s->cx.closing)
        return;
    (void)bcda__context_is_forked(&s->cx);
    if (s->cx.in_call || s->cx.in_callback || s->cx.in_loop_callback) {
        s->cx.closing = 1;
        return;
    }
    bcda__session_destroy(s);
}

static int is_idle(const bcda_session *s)
{
    return bcda__jobs_are_idle(&s->jobs) && !s->requests;
}

/* Turns the engine's result of a step into the function's result. */
static int finish_step(bcda_session *s, int rc, const char *why)
{
    if (rc == BCDA_ERR_FORKED)
        return refuse_child(&s->cx);
    return rc < 0 ? refuse_call(&s->cx, rc, why) : rc;
}

static int step_session(bcda_session *s, int *woken)
{
    return finish_step(s, bcda__engine_step(s->cx.engine, woken),
                       "the system refused a timer or a descriptor");
}

/* Returns the time until the caller's deadline, for poll(). */
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
    int rc = bcda__engine_wait(s->cx.engine, timeout_ms);

    s->cx.stat[BCDA_STAT_SLEEP_NS] += bcda__clock_ns() - began;
    return rc;
}

static int run_session(bcda_session *s, int timeout_ms)
{
    struct bcda__clock real = bcda__clock_system();
    int64_t until = timeout_ms < 0 ? -1 : bcda__clock_now(&real) + timeout_ms;
    int rc, woken = 0, over = 0;

    for (;;) {
        if (s->cx.closing || is_idle(s))
            return 0;
        if (bcda__jobs_have_batch(&s->jobs))
            return 1;
        rc = sleep_until_ready(s, time_left(until, &over));
        if (rc == BCDA_ERR_TIMEOUT && !over)
            continue;
        if (rc == BCDA_ERR_SYSTEM)
            return refuse_call(&s->cx, rc, "the system refused to wait for descriptors");
        if (rc)
            return rc;
        rc = step_session(s, &woken);
        if (rc < 0)
            return rc;
        if (woken && !s->cx.closing)
            return BCDA_ERR_INTERRUPTED;
        if (over && !s->cx.closing && !is_idle(s) && !bcda__jobs_have_batch(&s->jobs))
            return BCDA_ERR_TIMEOUT;
    }
}

/* Enters a function that makes the session work. `has_loop` is 1 for the functions that the
 * application's own event loop calls (on_fd, on_timer), and 0 for run and step. A session with such
 * a loop refuses run and step; a session without refuses the others. */
static int enter_by(bcda_session *s, enum bcda__entry_point point, int has_loop)
{
    int rc = enter_api(s, point);

    if (rc || bcda__engine_has_app_loop(s->cx.engine) == has_loop)
        return rc;
    s->cx.in_call = 0;
    return refuse_call(&s->cx, BCDA_ERR_STATE,
                       has_loop ? "this session has no loop of the application's"
                                : "this session is run by the application's own loop");
}

int bcda_session_run(bcda_session *s, int timeout_ms)
{
    int rc;

    if (timeout_ms < -1)
        return refuse_argument(context_of(s), "the timeout is negative, and not -1 (no limit)");
    rc = enter_by(s, BCDA__ENTRY_RUN, 0);
    if (rc)
        return rc;
    return leave_api(s, run_session(s, timeout_ms));
}

int bcda_session_step(bcda_session *s)
{
    int woken, rc = enter_by(s, BCDA__ENTRY_STEP, 0);

    if (rc)
        return rc;
    return leave_api(s, step_session(s, &woken));
}

int bcda_session_fd(bcda_session *s)
{
    int rc = check_entry(s, BCDA__ENTRY_FD);

    if (!rc && bcda__engine_has_app_loop(s->cx.engine))
        rc = refuse_call(&s->cx, BCDA_ERR_STATE,
                         "this session is run by the application's own loop");
    if (rc)
        return rc;
    rc = bcda__engine_fd(s->cx.engine);
    return rc < 0 ? refuse_call(&s->cx, rc, "this build has no single descriptor for a session")
                  : rc;
}

int bcda_session_wakeup(bcda_session *s)
{
    if (!s)
        return BCDA_ERR_INVALID;
    if (bcda__process_is_child(&s->cx.process)) /* a wake-up here would wake the parent */
        return BCDA_ERR_FORKED;
    return bcda__engine_wakeup(s->cx.engine);
}

/* ---- the application's event loop ---- */

int bcda_session_set_loop(bcda_session *s, bcda_watch_fd_cb watch_fd,
                          bcda_watch_timer_cb watch_timer, void *userdata, bcda_destroy_cb destroy)
{
    int rc;

    if (!watch_fd || !watch_timer)
        return refuse_argument(context_of(s),
                               "a loop needs both callbacks, for descriptors and for the timer");
    rc = check_entry(s, BCDA__ENTRY_SET_LOOP);
    if (rc)
        return rc;
    if (s->loop || s->jobs.first || s->requests)
        return refuse_call(&s->cx, BCDA_ERR_STATE,
                           "a loop is set once, before the first job or request");
    rc = bcda__session_set_loop(s, watch_fd, watch_timer, userdata, destroy);
    return finish_step(s, rc, "the loop refused a descriptor, or memory was refused");
}

int bcda_session_on_fd(bcda_session *s, int fd, int events)
{
    int woken, rc;

    if (events & ~(BCDA_FD_READ | BCDA_FD_WRITE))
        return refuse_argument(context_of(s), "events other than read and write are not known");
    rc = enter_by(s, BCDA__ENTRY_ON_FD, 1);
    if (rc)
        return rc;
    rc = bcda__engine_on_fd(s->cx.engine, fd, events, &woken);
    return leave_api(s, finish_step(s, rc, "the loop refused a timer or a descriptor"));
}

int bcda_session_on_timer(bcda_session *s)
{
    int rc = enter_by(s, BCDA__ENTRY_ON_TIMER, 1);

    if (rc)
        return rc;
    rc = bcda__engine_on_timer(s->cx.engine);
    return leave_api(s, finish_step(s, rc, "the loop refused a timer or a descriptor"));
}

const bcda_error *bcda_session_error(const bcda_session *s)
{
    return s && s->cx.err.code ? &s->cx.err : NULL;
}

/* `const` does not apply to the stored error of the last call. */
static bcda_session *with_error(const bcda_session *s)
{
    return (bcda_session *)(uintptr_t)s;
}

int bcda_session_stat(const bcda_session *s, int stat, int64_t *out)
{
    if (!s || !out || stat < BCDA_STAT_REQUESTS || stat >= BCDA__STATS)
        return refuse_argument(context_of(with_error(s)),
                               "no such statistic, or no place for its value");
    if (bcda__process_is_child(&s->cx.process))
        return refuse_call(&with_error(s)->cx, BCDA_ERR_FORKED,
                           "this session belongs to the parent process");
    *out = s->cx.stat[stat];
    /* stat[] includes the time of the decode threads; the engine has the rest. */
    if (stat == BCDA_STAT_TRANSPORT_NS)
        *out += bcda__engine_spent_ns(s->cx.engine);
    return 0;
}

const char *bcda_session_missing_scope(const bcda_session *s)
{
    return s ? s->auth.missing_scope : "";
}

/* ---- jobs ---- */

static int check_start(bcda_session *s, enum bcda__entry_point point, const bcda_handlers *h)
{
    int rc = check_entry(s, point);

    if (rc)
        return rc;
    if (h && h->at[BCDA__ON_RESOURCE] && h->at[BCDA__ON_BATCH])
        return refuse_call(&s->cx, BCDA_ERR_INVALID, "on_resource and on_batch exclude each other");
    return 0;
}

static int create_job(bcda_session *s, const char *kickoff_url, const char *status_url,
                      const bcda_export *x, const bcda_handlers *h, struct bcda__state *saved,
                      bcda_job **out)
{
    bcda_job *job;
    int rc = bcda__job_create(&job, &s->cx, &s->jobs.owner, kickoff_url, status_url, x, h, saved);

    if (rc)
        return bcda__err_nomem(&s->cx.err);
    bcda__jobs_add(&s->jobs, job);
    rc = succeed_or_refuse_child(&s->cx);
    if (!rc && out)
        *out = bcda_job_ref(job);
    return rc;
}

int bcda_job_start(bcda_session *s, const bcda_export *x, const bcda_handlers *h, bcda_job **out)
{
    struct bcda__buf url;
    int rc;

    if (!x)
        return refuse_argument(context_of(s), "no export was given");
    rc = check_start(s, BCDA__ENTRY_START, h);
    if (rc)
        return rc;
    bcda__buf_init(&url, KICKOFF_URL_MAX);
    rc = bcda__export_url(x, s->cx.config->fhir_url, &url, &s->cx.err);
    if (!rc)
        rc = create_job(s, url.data, NULL, x, h, NULL, out);
    bcda__buf_free(&url);
    return rc;
}

/* `status_url` comes from the application, but is checked like a URL that the server named. It must
 * also have the FHIR URL's origin. */
static int attach_job(bcda_session *s, const char *status_url, const bcda_export *x,
                      const bcda_handlers *h, struct bcda__state *saved, bcda_job **out)
{
    struct bcda__url parsed;
    struct bcda__buf url;
    int same, rc;

    if (strlen(status_url) > STATUS_URL_MAX)
        return bcda__err_set(&s->cx.err, BCDA_ERR_URL, "the status URL is longer than %d bytes",
                             STATUS_URL_MAX);
    if (bcda__url_parse(status_url, &parsed))
        return refuse_call(&s->cx, BCDA_ERR_URL,
                           "the status URL is not an absolute http or https URL");
    bcda__buf_init(&url, STATUS_URL_MAX);
    rc = bcda__origin_adopt(&s->cx, status_url, &url, &same, &s->cx.err);
    if (!rc && !same)
        rc = refuse_call(&s->cx, BCDA_ERR_ORIGIN,
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
        return refuse_argument(context_of(s), "no status URL was given");
    rc = check_start(s, BCDA__ENTRY_ATTACH, h);
    return rc ? rc : attach_job(s, status_url, x, h, NULL, out);
}

static const char *why_not_restored(int code)
{
    switch (code) {
    case BCDA_ERR_NOMEM:
        return "out of memory";
    case BCDA_ERR_UNSUPPORTED:
        return "the saved job was written by a later version of libbcda: use that version";
    default:
        return "the text is not that of a saved job, or it was damaged";
    }
}

int bcda_job_restore(bcda_session *s, const char *saved, size_t len, const bcda_export *x,
                     const bcda_handlers *h, bcda_job **out)
{
    struct bcda__state state = {0};
    char *url;
    int rc;

    if (!saved)
        return refuse_argument(context_of(s), "no saved job was given");
    rc = check_start(s, BCDA__ENTRY_RESTORE, h);
    if (rc)
        return rc;
    rc = bcda__state_read(saved, len, &state);
    if (rc)
        return refuse_call(&s->cx, rc, why_not_restored(rc));
    url = bcda__strdup(state.url); /* the state is moved into the job */
    rc = url ? attach_job(s, url, x, h, &state, out) : bcda__err_nomem(&s->cx.err);
    bcda__free(url);
    bcda__state_free(&state);
    return rc;
}

static bcda_session *session_of(struct bcda__context *cx)
{
    return (bcda_session *)(void *)((char *)cx - offsetof(struct bcda_session, cx));
}

/* Confirms a line of a job that has not ended. on_saved_state may free the session or fork. */
static int confirm_now(bcda_job *job, const bcda_file *file, int64_t line)
{
    bcda_session *s = session_of(job->cx);
    int is_outermost = !s->cx.in_call && !s->cx.in_callback && !s->cx.in_loop_callback;
    int rc;

    bcda__err_clear(&s->cx.err);
    s->cx.in_call |= is_outermost;
    rc = bcda__job_confirm(job, file, line, &s->cx.err);
    if (s->cx.forked)
        rc = refuse_child(&s->cx);
    if (is_outermost)
        (void)leave_api(s, rc); /* whether the line is confirmed does not depend on the session */
    return rc;
}

int bcda_job_confirm(bcda_job *job, const bcda_file *file, int64_t line)
{
    struct bcda_error err;

    if (!job || !file)
        return refuse_argument(job ? job->cx : NULL, "no file was given");
    if (!job->cx)
        return bcda__job_confirm(job, file, line, &err);
    if (bcda__process_is_child(&job->cx->process))
        return refuse_call(job->cx, BCDA_ERR_FORKED, "this job belongs to the parent process");
    return confirm_now(job, file, line);
}

static int return_saved_text(bcda_job *job, int (*save)(bcda_job *job, struct bcda__buf *out),
                             char **out)
{
    struct bcda__buf text;
    int rc;

    if (!job || !out)
        return refuse_argument(job ? job->cx : NULL, "no place for the saved job was given");
    if (job->cx && bcda__process_is_child(&job->cx->process))
        return refuse_call(job->cx, BCDA_ERR_FORKED, "this job belongs to the parent process");
    if (!job->url)
        return bcda__err_set(job->cx ? &job->cx->err : NULL, BCDA_ERR_STATE,
                             "the server has not accepted the job: there is nothing to save yet");
    bcda__buf_init(&text, (size_t)1 << 30);
    rc = bcda__buf_adds(&text, ""); /* there is a text even if nothing has changed */
    if (!rc)
        rc = save(job, &text);
    if (rc) {
        bcda__buf_free(&text);
        return bcda__err_nomem(job->cx ? &job->cx->err : NULL);
    }
    *out = bcda__buf_steal(&text);
    return 0;
}

int bcda_job_save_to_file(bcda_job *job, const char *path)
{
    struct bcda__state_file *file;
    int rc;

    if (!job || !path || !*path)
        return refuse_argument(job ? job->cx : NULL, "no path of a file was given");
    if (!job->cx)
        return BCDA_ERR_STATE;
    if (bcda__process_is_child(&job->cx->process))
        return refuse_call(job->cx, BCDA_ERR_FORKED, "this job belongs to the parent process");
    if (bcda__job_is_kept(job))
        return refuse_call(
            job->cx, BCDA_ERR_STATE,
            "the saved job is kept in a file, or reported to on_saved_state, already");
    rc = bcda__state_file_open(&file, path, 1, &job->cx->err);
    if (rc)
        return rc;
    job->state_file = file;
    bcda__saving_begin(&job->saving);
    rc = bcda__job_keep(job, &job->cx->err);
    if (!rc)
        return 0;
    bcda__state_file_close(file);
    job->state_file = NULL;
    return rc;
}

/* Restores a job from an open file, which becomes the job's own. */
static int restore_from(bcda_session *s, struct bcda__state_file *file, const bcda_export *x,
                        const bcda_handlers *h, bcda_job **out)
{
    struct bcda__buf text;
    bcda_job *job = NULL;
    int rc;

    bcda__buf_init(&text, (size_t)1 << 30);
    rc = bcda__state_file_read(file, &text, &s->cx.err);
    if (!rc && !text.len)
        rc = BCDA_ERR_END;
    if (!rc)
        rc = bcda_job_restore(s, text.data, bcda__state_usable(text.data, text.len), x, h, &job);
    bcda__buf_free(&text);
    if (!job)
        return rc;
    job->state_file = file;
    if (out)
        *out = job;
    else
        bcda_job_unref(job);
    return 0;
}

int bcda_job_restore_from_file(bcda_session *s, const char *path, const bcda_export *x,
                               const bcda_handlers *h, bcda_job **out)
{
    struct bcda__state_file *file;
    int rc;

    if (!path || !*path)
        return refuse_argument(context_of(s), "no path of a file was given");
    rc = check_start(s, BCDA__ENTRY_RESTORE_FILE, h);
    if (rc)
        return rc;
    if (h && h->at[BCDA__ON_SAVED_STATE])
        return refuse_call(&s->cx, BCDA_ERR_INVALID,
                           "on_saved_state and a file for the saved job exclude each other");
    rc = bcda__state_file_open(&file, path, 0, &s->cx.err);
    if (rc)
        return rc;
    rc = restore_from(s, file, x, h, out);
    if (rc)
        bcda__state_file_close(file);
    return rc;
}

int bcda_job_save(bcda_job *job, char **out)
{
    return return_saved_text(job, bcda__job_save, out);
}

int bcda_job_save_changes(bcda_job *job, char **out)
{
    if (job && bcda__job_is_kept(job))
        return bcda__err_set(job->cx ? &job->cx->err : NULL, BCDA_ERR_STATE,
                             "the changes of this job are kept in a file, or reported to "
                             "on_saved_state");
    return return_saved_text(job, bcda__job_save_changes, out);
}

/* Checks a call on a job. A job that has ended no longer has a session: *over is then 1, and the
 * call does nothing. */
static int check_job(const bcda_job *job, enum bcda__entry_point point, int *over)
{
    if (!job)
        return BCDA_ERR_INVALID;
    *over = !job->cx;
    return *over ? 0 : bcda__entry_check(job->cx, point);
}

int bcda_job_cancel(bcda_job *job)
{
    int over, rc = check_job(job, BCDA__ENTRY_CANCEL, &over);

    if (rc || over)
        return rc;
    job->downloads.is_cancelled = 1;
    bcda__job_poke(job);
    return succeed_or_refuse_child(job->cx);
}

int bcda_job_pause(bcda_job *job)
{
    int over, rc = check_job(job, BCDA__ENTRY_PAUSE, &over);

    if (rc || over)
        return rc;
    job->downloads.is_paused = 1;
    /* a paused job leaves its download slots to other jobs */
    job->owner->slots_changed(job->owner->ctx);
    return succeed_or_refuse_child(job->cx);
}

int bcda_job_resume(bcda_job *job)
{
    int over, rc = check_job(job, BCDA__ENTRY_RESUME, &over);

    if (rc || over)
        return rc;
    job->downloads.is_paused = 0;
    bcda__job_poke(job);
    return succeed_or_refuse_child(job->cx);
}

int bcda_job_next(bcda_job *job, bcda_batch **out)
{
    bcda_batch *batch;
    int over, rc = check_job(job, BCDA__ENTRY_NEXT, &over);

    if (rc)
        return rc;
    if (!out)
        return refuse_argument(job->cx, "no place for the batch was given");
    if (!job->downloads.is_pulled)
        return bcda__err_set(job->cx ? &job->cx->err : NULL, BCDA_ERR_STATE,
                             "the job has a data callback: its batches go there");
    if (over)
        return BCDA_ERR_END;
    if (job->downloads.is_paused)
        return BCDA_ERR_AGAIN;
    batch = bcda__downloads_take_batch(&job->downloads);
    if (!batch)
        return BCDA_ERR_AGAIN;
    bcda__job_poke(job);
    rc = succeed_or_refuse_child(job->cx);
    if (rc)
        bcda_batch_unref(batch);
    else
        *out = batch;
    return rc;
}

/* ---- single requests ---- */

int bcda_request_start(bcda_session *s, int what, bcda_request_cb cb, void *userdata,
                       bcda_destroy_cb destroy, bcda_request **out)
{
    struct bcda__registration *r = NULL;
    bcda_request *request;
    int rc;

    if (what != BCDA_REQUEST_METADATA && what != BCDA_REQUEST_VERSION)
        return refuse_argument(context_of(s), "no such request");
    rc = check_entry(s, BCDA__ENTRY_REQUEST);
    if (rc)
        return rc;
    rc = bcda__request_create(&request, &s->cx, &s->requests, what);
    if (rc)
        return bcda__err_set(&s->cx.err, rc, "%s", bcda_error_string(rc));
    if (s->cx.forked)
        return refuse_child(&s->cx);
    if (cb) {
        r = bcda__registration_new((void (*)(void))cb, userdata, destroy);
        if (!r) {
            struct bcda_error err;

            /* `cb` is not set yet, so no callback is called. */
            bcda__request_end(request, bcda__err_nomem(&err), &err);
            return bcda__err_nomem(&s->cx.err);
        }
    }
    request->cb = r;
    if (out)
        *out = bcda_request_ref(request);
    return 0;
}
