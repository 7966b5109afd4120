#include "client/job.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "client/download.h"
#include "client/start.h"
#include "protocol/kickoff.h"
#include "protocol/retry.h"

enum {
    EMPTY_WINDOW_MS = 10000, /* how soon after the start an empty manifest is not believed yet */
    EMPTY_ASKS = 3,
    PROGRESS_MS = 100,
    STARTS_MAX = 64,
    CANCEL_TRIES = 3, /* the application waits for its end */
    TYPE_MAX = 64,    /* letters of a resource type */
};

static void poll_status(void *ctx);
static void ask_presence(bcda_job *job);

/* ---- log lines ---- */

void bcda__job_log(const bcda_job *job, int level, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    bcda__text_format(text, sizeof text, format, args);
    va_end(args);
    bcda__log(&job->s->log, level, "client", "%s: %s", job->label, text);
}

const char *bcda__job_type_for_log(const char *type, const char *otherwise)
{
    size_t len = strlen(type);

    return len <= TYPE_MAX && bcda__text_is_alpha(type, len) ? type : otherwise;
}

const char *bcda__job_asks(bcda_job *job, const char *what)
{
    snprintf(job->asking, sizeof job->asking, "%s, %s", job->label, what);
    return job->asking;
}

/* ---- telling the application ---- */

/* A job that the server still works on, and that is ours. */
static int is_cancelled_there(const bcda_job *job)
{
    return job->state == BCDA_JOB_RUNNING && !job->taken_over && !job->s->closing &&
           bcda__session_option(job->s, BCDA_OPT_CANCEL_AT_SERVER);
}

/* 0, or the job has been ended, or this is a child. Then the caller does nothing more. */
static int handle_callback_answer(bcda_job *job, int given, const char *name)
{
    struct bcda_error err;
    int rc = bcda__callback_result(given, 0, name, &err);

    if (job->ended || job->s->forked)
        return 1; /* it is on its way out, or a parent's: the answer changes nothing */
    if (!rc && job->cancel_wanted && is_cancelled_there(job)) {
        bcda__job_poke(job);
        return 1; /* as good as ended: only the server is to be informed */
    }
    if (!rc && (job->cancel_wanted || job->s->closing))
        rc = bcda__err_set(&err, BCDA_ERR_CANCELLED, "the job was cancelled");
    if (rc)
        bcda__job_end(job, rc, &err);
    return rc != 0;
}

static int set_state(bcda_job *job, int state)
{
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_STATE];
    int given = BCDA_CONTINUE;

    static const char *const names[] = {"NEW",         "STARTING", "RUNNING",
                                        "DOWNLOADING", "DONE",     "FAILED"};

    if (job->state == state)
        return 0;
    BCDA__TRANSITION("job", names[job->state], names[state]);
    job->state = state;
    if (r && !job->s->forked) {
        bcda__session_enter_callback(job->s);
        given = ((bcda_state_cb)r->cb)(job, state, r->userdata);
        bcda__session_leave_callback(job->s);
    }
    return handle_callback_answer(job, given, "on_state");
}

static int call_on_file(bcda_job *job, const struct bcda_file *file, int event)
{
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_FILE];
    int given = BCDA_CONTINUE;

    if (r && !job->s->forked) {
        bcda__session_enter_callback(job->s);
        given = ((bcda_file_cb)r->cb)(job, file, event, r->userdata);
        bcda__session_leave_callback(job->s);
    }
    return given;
}

int bcda__job_tell_file(bcda_job *job, const struct bcda_file *file, int event)
{
    return handle_callback_answer(job, call_on_file(job, file, event), "on_file");
}

static void report_progress(void *ctx)
{
    bcda_job *job = ctx;
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_PROGRESS];
    int given;

    bcda__session_enter_callback(job->s);
    given = ((bcda_progress_cb)r->cb)(job, r->userdata);
    bcda__session_leave_callback(job->s);
    (void)handle_callback_answer(job, given, "on_progress");
}

void bcda__job_touch(bcda_job *job)
{
    if (job->handlers.at[BCDA__ON_PROGRESS] && !job->progress.set && !job->ended)
        bcda__timer_set(job->s->engine, &job->progress, PROGRESS_MS, report_progress, job);
}

/* ---- the end ---- */

static void unlink_job(bcda_job *job)
{
    bcda_session *s = job->s;

    if (job->prev)
        job->prev->next = job->next;
    else
        s->jobs = job->next;
    if (job->next)
        job->next->prev = job->prev;
    else
        s->jobs_last = job->prev;
}

static void stop_everything(bcda_job *job)
{
    bcda__call_free(job->call);
    job->call = NULL;
    bcda__timer_clear(&job->poll);
    bcda__timer_clear(&job->deadline);
    bcda__timer_clear(&job->progress);
    bcda__timer_clear(&job->poke);
    bcda__manifest_parser_free(job->parser);
    job->parser = NULL;
    while (job->downloads)
        bcda__download_abort(job->downloads, &job->err);
}

static const char *plural_suffix(int64_t count)
{
    return count == 1 ? "" : "s";
}

static void log_end(const bcda_job *job)
{
    int64_t issues = job->issues[BCDA_SEVERITY_ERROR] + job->issues[BCDA_SEVERITY_FATAL];
    int64_t missing = (int64_t)job->missing.count;
    int64_t deleted = (int64_t)bcda_job_deleted_file_count(job);

    if (job->result)
        bcda__job_log(job, BCDA_LOG_WARNING, "failed: %s", bcda_error_string(job->result));
    else if (bcda_job_verdict(job) == BCDA_VERDICT_COMPLETE)
        bcda__job_log(job, BCDA_LOG_INFO, "complete");
    else
        bcda__job_log(job, BCDA_LOG_WARNING,
                      "complete, with errors: %" PRId64 " invalid line%s, %" PRId64
                      " issue%s, %" PRId64 " missing type%s, %" PRId64 " file%s of deletions",
                      job->bad_lines, plural_suffix(job->bad_lines), issues, plural_suffix(issues),
                      missing, plural_suffix(missing), deleted, plural_suffix(deleted));
}

void bcda__job_end(bcda_job *job, int code, const struct bcda_error *err)
{
    bcda_session *s = job->s;
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_DONE];

    if (job->ended || (s->forked && !s->ending))
        return; /* in a child a job stays as it was, and ends with the session */
    job->ended = 1;
    job->result = code;
    if (code)
        bcda__err_copy(&job->err, err);
    log_end(job);
    stop_everything(job);
    (void)set_state(job, code ? BCDA_JOB_FAILED : BCDA_JOB_DONE);
    if (r && !s->forked) {
        bcda__session_enter_callback(s);
        ((bcda_done_cb)r->cb)(job, code, r->userdata);
        bcda__session_leave_callback(s);
    }
    unlink_job(job);
    job->s = NULL;
    bcda__session_enter_callback(s); /* each `destroy` is one */
    bcda__handlers_drop(&job->handlers);
    bcda__session_leave_callback(s);
    job->next = s->ended; /* frames below may still look at it: unref when the step unwinds */
    s->ended = job;
    bcda__session_poke(s); /* a place to download has become free */
}

void bcda__job_fail(bcda_job *job, const struct bcda_error *err)
{
    struct bcda_error copy;

    bcda__err_copy(&copy, err); /* `err` may be part of what the end frees */
    bcda__job_end(job, copy.code, &copy);
}

void bcda__job_fail_nomem(bcda_job *job)
{
    struct bcda_error err;

    bcda__err_nomem(&err);
    bcda__job_end(job, BCDA_ERR_NOMEM, &err);
}

static void out_of_time(void *ctx)
{
    bcda_job *job = ctx;
    struct bcda_error err;

    bcda__err_set(
        &err, BCDA_ERR_JOB_TIMEOUT, "the job has run for %lld ms (option \"job_timeout_ms\"); %s",
        (long long)bcda__session_option(job->s, BCDA_OPT_JOB_TIMEOUT_MS),
        job->url ? "it can be resumed by its status URL, as the server keeps its files for a day"
        : job->refusals > 0
            ? "the server did not accept it, as an identical export was running (429)"
            : "the server has not accepted it");
    bcda__job_end(job, BCDA_ERR_JOB_TIMEOUT, &err);
}

/* ---- files ---- */

static void all_files_ended(bcda_job *job)
{
    if (job->file_err.code)
        bcda__job_fail(job, &job->file_err);
    else
        bcda__job_end(job, 0, NULL);
}

/* What a file is remembered by: its URL without the origin, which the server builds from how it was
 * asked (bcda-api 1). Names alone need not differ on other servers. */
static const char *memory_of(const struct bcda_file *f)
{
    struct bcda__url u;

    return bcda__url_parse(f->entry->url, &u) ? f->entry->url : u.path;
}

static void skip_done(bcda_job *job)
{
    size_t i;

    bcda__texts_sort(&job->done);
    for (i = 0; i < job->files->count; i++) {
        struct bcda_file *f = &job->files->at[i];

        if (bcda__texts_find(&job->done, memory_of(f))) {
            f->verdict = BCDA_VERDICT_SKIPPED;
            job->files_ended++;
        }
    }
}

/* The next one to begin, at the cursor. Data files first: what the server has to report comes last.
 */
static struct bcda_file *next_file(bcda_job *job)
{
    size_t n = job->files->count;

    for (; job->next_file < 2 * n; job->next_file++) {
        struct bcda_file *f = &job->files->at[job->next_file % n];

        if (f->verdict == BCDA_VERDICT_NONE && f->entry->is_error == (job->next_file >= n))
            return f;
    }
    return NULL;
}

/* Fair share: yields if another job that waits for a slot has fewer open downloads. The job with
 * the fewest never yields, and each job is poked when a slot becomes free. */
static int must_yield(const bcda_job *job)
{
    bcda_job *other;

    for (other = job->s->jobs; other; other = other->next)
        if (other != job && other->open < job->open && other->state == BCDA_JOB_DOWNLOADING &&
            !other->paused && other->presence != BCDA__ASKING && next_file(other))
            return 1;
    return 0;
}

/* Open downloads that may hold this job back: its own, and those of jobs that are not paused. */
static int64_t places_taken(const bcda_job *job)
{
    const bcda_job *other;
    int64_t n = 0;

    for (other = job->s->jobs; other; other = other->next)
        if (other == job || !other->paused)
            n += other->open;
    return n;
}

void bcda__job_pump(bcda_job *job)
{
    int64_t most = job->s->parallel;
    struct bcda_file *f;
    int begun = 0;

    if (job->state != BCDA_JOB_DOWNLOADING || job->presence == BCDA__ASKING)
        return;
    while (!job->ended && !job->paused && !job->s->forked && begun < STARTS_MAX &&
           places_taken(job) < most && !must_yield(job) && (f = next_file(job))) {
        job->next_file++;
        bcda__download_start(job, f);
        begun++;
    }
    if (begun == STARTS_MAX) /* many that fail at once: a step stays short */
        bcda__job_poke(job);
    if (!job->ended && job->files_ended == job->files->count)
        all_files_ended(job);
}

/* The server listed the file, and does not have it (any more). */
static int is_missing(const struct bcda_file *file)
{
    int code = bcda_error_code(file->error);

    return code == BCDA_ERR_NOT_FOUND || code == BCDA_ERR_GONE;
}

/* The application saves from inside on_file, so the file is remembered before that runs; where it
 * then says that it could not keep the file, it is forgotten again. */
void bcda__job_file_ended(bcda_job *job, const struct bcda_file *file)
{
    const char *memory = memory_of(file);
    int failed = file->verdict == BCDA_VERDICT_FAILED;
    int remembered = !failed && !bcda__texts_add(&job->done, memory, strlen(memory));
    int given;

    job->files_ended++;
    if (failed && !job->file_err.code && file->error)
        bcda__err_copy(&job->file_err, file->error);
    given = call_on_file(job, file, BCDA_FILE_END);
    if (remembered && given != BCDA_CONTINUE)
        bcda__texts_drop_last(&job->done);
    if (handle_callback_answer(job, given, "on_file"))
        return;
    if (!failed && !remembered) {
        bcda__job_fail_nomem(job);
        return;
    }
    bcda__job_touch(job);
    if (failed && is_missing(file) && job->presence == BCDA__UNASKED)
        ask_presence(job);
    bcda__session_poke(
        job->s); /* not the next file from here: it may end at once, and so on, ever deeper */
}

/* ---- the manifest ---- */

static int is_too_early(bcda_job *job)
{
    int64_t age = bcda__engine_now(job->s->engine) - job->begun_ms;

    return job->kickoff_url && job->files->count == 0 && job->files->manifest->deleted_count == 0 &&
           age < EMPTY_WINDOW_MS && job->empties < EMPTY_ASKS;
}

static int has_data_of_type(const struct bcda__manifest *m, const char *type)
{
    size_t i;

    for (i = 0; i < m->count; i++)
        if (!m->entries[i].is_error && strcmp(m->entries[i].type, type) == 0)
            return 1;
    return 0;
}

/* Against what was asked for, also where the job is another's that was taken over: only of a job
 * that was attached to is nothing known but what its manifest says. Files that are organized by
 * another resource hold lines of any type. */
static int find_missing_types(bcda_job *job)
{
    size_t i;
    int rc = 0;

    if (!job->types_known)
        rc = bcda__types_of_request(&job->types, job->files->manifest->request,
                                    job->s->config->fhir_url);
    job->types_known = 1;
    if (job->files->manifest->organized_by[0])
        return rc;
    bcda__texts_free(&job->missing);
    for (i = 0; !rc && i < job->types.count; i++)
        if (!has_data_of_type(job->files->manifest, job->types.at[i]))
            rc = bcda__texts_add(&job->missing, job->types.at[i], strlen(job->types.at[i]));
    return rc;
}

/* What the files do not show. */
static void warn_of_missing(const bcda_job *job)
{
    const struct bcda__manifest *m = job->files->manifest;
    size_t i;

    for (i = 0; i < job->missing.count; i++)
        bcda__job_log(job, BCDA_LOG_WARNING,
                      "the manifest lists no data file of the requested type %.64s",
                      job->missing.at[i]);
    if (m->deleted_count)
        bcda__job_log(job, BCDA_LOG_WARNING,
                      "the manifest lists %zu file%s of deleted resources, which this version does "
                      "not deliver",
                      m->deleted_count, plural_suffix((int64_t)m->deleted_count));
    if (m->organized_by[0] && job->types.count)
        bcda__job_log(job, BCDA_LOG_WARNING,
                      "the files are organized by %s: whether each requested type is among them "
                      "cannot be checked",
                      bcda__job_type_for_log(m->organized_by, "another resource"));
}

static void take_manifest(bcda_job *job)
{
    struct bcda__manifest *m;
    struct bcda_error err;
    int rc = bcda__manifest_parser_finish(job->parser, &m, &err);

    bcda__manifest_parser_free(job->parser);
    job->parser = NULL;
    if (rc) {
        bcda__err_context(&err, "the manifest of the job");
        bcda__job_fail(job, &err);
        return;
    }
    bcda__files_unref(job->files);
    job->files = NULL;
    rc = bcda__files_new(&job->files, m);
    bcda__manifest_unref(m);
    if (rc) {
        bcda__job_fail_nomem(job);
        return;
    }
    if (is_too_early(job)) { /* a server of 2019 could say so of a job just begun (bcda-api 5.1) */
        job->empties++;
        bcda__timer_set(job->s->engine, &job->poll, 1000, poll_status, job);
        return;
    }
    if (find_missing_types(job)) {
        bcda__job_fail_nomem(job);
        return;
    }
    warn_of_missing(job);
    skip_done(job);
    if (!set_state(job, BCDA_JOB_DOWNLOADING))
        bcda__job_pump(job);
}

/* ---- status ---- */

static enum bcda__call_answer begin_manifest(bcda_job *job, struct bcda_error *err)
{
    int rc;

    bcda__manifest_parser_free(job->parser);
    job->parser = NULL;
    job->manifest_bytes = 0;
    bcda__err_clear(&job->parse_err);
    rc = bcda__manifest_parser_new(
        &job->parser, (size_t)bcda__session_option(job->s, BCDA_OPT_MANIFEST_ENTRIES_MAX));
    if (!rc)
        return BCDA__CALL_GO;
    bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    return BCDA__CALL_FAILED;
}

static enum bcda__call_answer read_manifest(bcda_job *job)
{
    struct bcda__transfer *t = bcda__call_transfer(job->call);
    int64_t max = bcda__session_option(job->s, BCDA_OPT_MANIFEST_MAX);
    const uint8_t *data;
    size_t len = bcda__transfer_peek(t, &data);
    int rc = 0;

    job->manifest_bytes += (int64_t)len;
    if (job->manifest_bytes > max)
        rc = bcda__err_set(&job->parse_err, BCDA_ERR_BODY_TOO_LARGE,
                           "the manifest is larger than %lld bytes (option \"manifest_max\")",
                           (long long)max);
    if (!rc)
        rc = bcda__manifest_parser_write(job->parser, data, len, &job->parse_err);
    if (!rc) {
        bcda__call_took(job->call, (int64_t)len);
        bcda__transfer_take(t, len);
        return BCDA__CALL_GO;
    }
    if (rc != BCDA_ERR_BODY_TOO_LARGE)
        bcda__err_context(&job->parse_err, "the manifest of the job");
    bcda__job_fail(job, &job->parse_err);
    return BCDA__CALL_GONE;
}

static enum bcda__call_answer on_status_event(void *ctx, enum bcda__call_event event,
                                              struct bcda_error *err)
{
    switch (event) {
    case BCDA__CALL_HEAD:
        return begin_manifest(ctx, err);
    case BCDA__CALL_BYTES:
        return read_manifest(ctx);
    case BCDA__CALL_BROKEN:
        return BCDA__CALL_REPEAT; /* the manifest is read from its start */
    default:
        return BCDA__CALL_GO;
    }
}

static void take_progress(bcda_job *job, const struct bcda__answer *a)
{
    bcda__text_show(job->progress_text, sizeof job->progress_text, a->x_progress);
    job->percent = bcda__progress_percent(a->x_progress);
    bcda__job_touch(job);
}

static void on_status(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                      const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;
    int64_t asked;

    job->call = NULL;
    if (verdict == BCDA__FAIL) {
        bcda__job_fail(job, err);
    } else if (verdict == BCDA__WAIT) {
        take_progress(job, a);
        asked = bcda__retry_after(a->retry_after, bcda__engine_wall(job->s->engine));
        bcda__timer_set(job->s->engine, &job->poll,
                        bcda__poll_delay(bcda__engine_now(job->s->engine) - job->accepted_ms, asked,
                                         bcda__session_option(job->s, BCDA_OPT_POLL_MAX_MS),
                                         bcda__session_option(job->s, BCDA_OPT_RETRY_AFTER_MAX_MS)),
                        poll_status, job);
    } else {
        take_manifest(job);
    }
    bcda__call_free(call);
}

static void poll_status(void *ctx)
{
    bcda_job *job = ctx;
    struct bcda__call_spec spec = {0};

    spec.what = "job status";
    spec.about = bcda__job_asks(job, "status");
    spec.method = "GET";
    spec.url = job->url;
    spec.accept = "application/fhir+json";
    spec.with_token = 1;
    spec.retries = &job->retries;
    spec.judge = bcda__answer_status;
    spec.body_max = (size_t)bcda__session_option(job->s, BCDA_OPT_ANSWER_MAX);
    spec.event = on_status_event;
    spec.proves_end = 1;
    spec.end = on_status;
    spec.ctx = job;
    if (bcda__call_new(&job->call, job->s, &spec))
        bcda__job_fail_nomem(job);
}

/* ---- whether it is still there ---- */

/* The server deletes a job with all its files. Where one file is missing the others may be missing
 * too, and each would cost all attempts of a 404; one request for the job's status shows it. */

static enum bcda__call_answer on_presence_event(void *ctx, enum bcda__call_event event,
                                                struct bcda_error *err)
{
    (void)ctx;
    (void)err;
    /* The job is there, and its manifest is known. */
    return event == BCDA__CALL_HEAD ? BCDA__CALL_COMPLETE : BCDA__CALL_GO;
}

/* 404 to the status of a job whose manifest has come means that it expired meanwhile. */
static void end_gone(bcda_job *job, const struct bcda_error *err)
{
    struct bcda_error own;

    bcda__err_copy(&own, err);
    if (own.code == BCDA_ERR_NOT_FOUND)
        own.code = BCDA_ERR_GONE;
    bcda__err_context(&own, "a file is missing, and the job is gone");
    bcda__job_end(job, own.code, &own);
}

static void on_presence(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                        const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;
    int code = verdict == BCDA__FAIL ? err->code : 0;

    (void)a;
    job->call = NULL;
    job->presence = code ? BCDA__UNASKED : BCDA__THERE; /* another failure says nothing of it */
    if (code == BCDA_ERR_NOT_FOUND || code == BCDA_ERR_GONE || code == BCDA_ERR_JOB_CANCELLED)
        end_gone(job, err);
    else
        bcda__session_poke(job->s);
    bcda__call_free(call);
}

/* No file begins before the answer. */
static void ask_presence(bcda_job *job)
{
    struct bcda__call_spec spec = {0};

    spec.what = "job status";
    spec.method = "GET";
    spec.url = job->url;
    spec.accept = "application/fhir+json";
    spec.with_token = 1;
    spec.tries_max = 1;
    spec.retries = &job->retries;
    spec.judge = bcda__answer_status;
    spec.body_max = (size_t)bcda__session_option(job->s, BCDA_OPT_ANSWER_MAX);
    spec.event = on_presence_event;
    spec.proves_end = 1;
    spec.end = on_presence;
    spec.ctx = job;
    if (bcda__call_new(&job->call, job->s, &spec))
        bcda__job_fail_nomem(job);
    else
        job->presence = BCDA__ASKING;
}

/* ---- where it is ---- */

static int set_status_url(bcda_job *job, const char *url)
{
    struct bcda__url u;
    size_t len;

    bcda__free(job->url);
    job->url = bcda__strdup(url);
    if (!job->url)
        return BCDA_ERR_NOMEM;
    if (!bcda__url_parse(job->url, &u)) {
        bcda__url_last_segment(&u, &job->id, &len);
        if (job->id[len]) /* a query follows: the id would not end there */
            job->id = "";
    }
    snprintf(job->label, sizeof job->label, job->id[0] ? "job %.60s" : "job%s", job->id);
    return 0;
}

void bcda__job_accepted(bcda_job *job, const char *url, int64_t delay_ms)
{
    job->accepted_ms = bcda__engine_now(job->s->engine);
    if (set_status_url(job, url))
        bcda__job_fail_nomem(job);
    else if (!set_state(job, BCDA_JOB_RUNNING))
        bcda__timer_set(job->s->engine, &job->poll, delay_ms, poll_status, job);
}

static void begin_job(void *ctx)
{
    bcda_job *job = ctx;

    bcda__timer_set(job->s->engine, &job->deadline,
                    bcda__session_option(job->s, BCDA_OPT_JOB_TIMEOUT_MS), out_of_time, job);
    if (job->kickoff_url) {
        if (!set_state(job, BCDA_JOB_STARTING))
            bcda__start(job);
    } else if (!set_state(job, BCDA_JOB_RUNNING)) {
        poll_status(job);
    }
}

/* ---- what the application asks for ---- */

static void advance_downloads(bcda_job *job)
{
    struct bcda__download *d;

    for (d = job->downloads; d; d = bcda__download_next(d))
        bcda__download_mark(d, 1);
    do { /* the list may change with every step */
        for (d = job->downloads; d && !bcda__download_is_marked(d); d = bcda__download_next(d))
            ;
        if (d) {
            bcda__download_mark(d, 0);
            bcda__download_advance(d);
        }
    } while (d && !job->ended && !job->s->forked);
}

static void end_cancelled(bcda_job *job)
{
    struct bcda_error err;

    bcda__err_set(&err, BCDA_ERR_CANCELLED, "the job was cancelled");
    bcda__job_end(job, BCDA_ERR_CANCELLED, &err);
}

/* Whatever the server says: the job may have ended there meanwhile (bcda-api 5.3). */
static void on_cancelled(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                         const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;

    (void)a;
    if (verdict == BCDA__OK)
        bcda__job_log(job, BCDA_LOG_INFO, "cancelled at the server");
    else
        bcda__job_log(job, BCDA_LOG_WARNING, "not cancelled at the server: %s",
                      bcda_error_string(err->code));
    job->call = NULL;
    end_cancelled(job);
    bcda__call_free(call);
}

static void cancel_there(bcda_job *job)
{
    struct bcda__call_spec spec = {0};

    job->cancelling = 1;
    bcda__call_free(job->call);
    job->call = NULL;
    bcda__timer_clear(&job->poll);
    spec.what = "cancel";
    spec.about = bcda__job_asks(job, "cancel");
    spec.method = "DELETE";
    spec.url = job->url;
    spec.accept = "application/fhir+json";
    spec.with_token = 1;
    spec.tries_max = CANCEL_TRIES;
    spec.retries = &job->retries;
    spec.judge = bcda__answer_cancel;
    spec.body_max = (size_t)bcda__session_option(job->s, BCDA_OPT_ANSWER_MAX);
    spec.end = on_cancelled;
    spec.ctx = job;
    if (bcda__call_new(&job->call, job->s, &spec))
        end_cancelled(job);
}

static void on_job_poke(void *ctx)
{
    bcda_job *job = ctx;

    if (job->cancelling)
        return;
    if (job->cancel_wanted) {
        if (is_cancelled_there(job))
            cancel_there(job);
        else
            end_cancelled(job);
        return;
    }
    if (!job->paused)
        advance_downloads(job);
    if (!job->ended)
        bcda__job_pump(job);
}

void bcda__job_poke(bcda_job *job)
{
    if (!job->ended && !job->poke.set && !job->s->forked)
        bcda__timer_set(job->s->engine, &job->poke, 0, on_job_poke, job);
}

int bcda__job_is_waiting(const bcda_job *job)
{
    const struct bcda__download *d;

    if (!job->pull || job->paused)
        return 0;
    for (d = job->downloads; d; d = bcda__download_next(d))
        if (bcda__download_has_batch(d))
            return 1;
    return 0;
}

int bcda__job_is_idle(const bcda_job *job)
{
    return job->paused && job->state == BCDA_JOB_DOWNLOADING && !job->poke.set && !job->call;
}

/* ---- making ---- */

static int copy_request(bcda_job *job, const char *kickoff_url, const char *status_url,
                        const bcda_export *x)
{
    if (kickoff_url && !(job->kickoff_url = bcda__strdup(kickoff_url)))
        return BCDA_ERR_NOMEM;
    if (status_url && set_status_url(job, status_url))
        return BCDA_ERR_NOMEM;
    if (!job->types_known && x && bcda__export_types(x, &job->types))
        return BCDA_ERR_NOMEM;
    job->types_known |= kickoff_url || job->types.count;
    return bcda__field_set_copy(&job->fields, x ? x->fields : NULL);
}

static void free_job(bcda_job *job)
{
    bcda__handlers_drop(&job->handlers);
    bcda__field_set_free(job->fields);
    bcda__free(job->kickoff_url);
    bcda__free(job->url);
    bcda__texts_free(&job->types);
    bcda__texts_free(&job->missing);
    bcda__texts_free(&job->done);
    bcda__files_unref(job->files);
    bcda__err_forget(&job->err);
    bcda__err_forget(&job->file_err);
    bcda__free(job);
}

static void take_saved(bcda_job *job, struct bcda__state *saved)
{
    job->types = saved->types;
    job->types_known = saved->types_known;
    job->done = saved->done;
    memset(&saved->types, 0, sizeof saved->types);
    memset(&saved->done, 0, sizeof saved->done);
}

int bcda__job_create(bcda_job **out, bcda_session *s, const char *kickoff_url,
                     const char *status_url, const bcda_export *x, const bcda_handlers *handlers,
                     struct bcda__state *saved)
{
    bcda_job *job = bcda__calloc(1, sizeof *job);

    if (!job)
        return BCDA_ERR_NOMEM;
    atomic_init(&job->refs, 1);
    job->result = BCDA_ERR_AGAIN;
    job->percent = -1;
    job->id = "";
    bcda__text_copy(job->label, sizeof job->label, "job");
    bcda__err_clear(&job->err);
    bcda__err_clear(&job->file_err);
    if (saved)
        take_saved(job, saved);
    if (copy_request(job, kickoff_url, status_url, x)) {
        free_job(job);
        return BCDA_ERR_NOMEM;
    }
    bcda__handlers_copy(&job->handlers, handlers);
    job->pull = !job->handlers.at[BCDA__ON_RESOURCE] && !job->handlers.at[BCDA__ON_BATCH];
    job->s = s;
    job->begun_ms = job->accepted_ms = bcda__engine_now(s->engine);
    job->prev = s->jobs_last;
    if (job->prev)
        job->prev->next = job;
    else
        s->jobs = job;
    s->jobs_last = job;
    bcda__timer_set(s->engine, &job->poll, 0, begin_job, job);
    *out = job;
    return 0;
}

bcda_job *bcda_job_ref(bcda_job *job)
{
    if (job)
        atomic_fetch_add(&job->refs, 1);
    return job;
}

void bcda_job_unref(bcda_job *job)
{
    if (job && atomic_fetch_sub(&job->refs, 1) == 1)
        free_job(job);
}

/* ---- getters ---- */

int bcda_job_state(const bcda_job *job)
{
    return job ? (job->state ? job->state : BCDA_JOB_STARTING) : BCDA_JOB_FAILED;
}

int bcda_job_result(const bcda_job *job)
{
    return job ? job->result : BCDA_ERR_INVALID;
}

static int has_errors(const bcda_job *job)
{
    return job->bad_lines || job->issues[BCDA_SEVERITY_ERROR] || job->issues[BCDA_SEVERITY_FATAL] ||
           bcda_job_missing_type_count(job) || bcda_job_deleted_file_count(job);
}

int bcda_job_verdict(const bcda_job *job)
{
    if (!job || !job->ended)
        return BCDA_VERDICT_NONE;
    if (job->result)
        return BCDA_VERDICT_FAILED;
    return has_errors(job) ? BCDA_VERDICT_COMPLETE_ERRORS : BCDA_VERDICT_COMPLETE;
}

const bcda_error *bcda_job_error(const bcda_job *job)
{
    return job && job->ended && job->result ? &job->err : NULL;
}

const char *bcda_job_url(const bcda_job *job)
{
    return job && job->url ? job->url : "";
}

const char *bcda_job_id(const bcda_job *job)
{
    return job ? job->id : "";
}

int bcda_job_is_taken_over(const bcda_job *job)
{
    return job ? job->taken_over : 0;
}

const char *bcda_job_progress_text(const bcda_job *job)
{
    return job ? job->progress_text : "";
}

int bcda_job_progress_percent(const bcda_job *job)
{
    return job ? job->percent : -1;
}

const char *bcda_job_transaction_time(const bcda_job *job)
{
    return job && job->files ? job->files->manifest->transaction_time : "";
}

size_t bcda_job_file_count(const bcda_job *job)
{
    return job && job->files ? job->files->count : 0;
}

const bcda_file *bcda_job_file(const bcda_job *job, size_t i)
{
    return i < bcda_job_file_count(job) ? &job->files->at[i] : NULL;
}

size_t bcda_job_missing_type_count(const bcda_job *job)
{
    return job ? job->missing.count : 0;
}

const char *bcda_job_missing_type(const bcda_job *job, size_t i)
{
    return i < bcda_job_missing_type_count(job) ? job->missing.at[i] : NULL;
}

size_t bcda_job_deleted_file_count(const bcda_job *job)
{
    return job && job->files ? job->files->manifest->deleted_count : 0;
}

int64_t bcda_job_bytes_received(const bcda_job *job)
{
    return job ? job->received : 0;
}

int64_t bcda_job_bytes(const bcda_job *job)
{
    return job ? job->bytes : 0;
}

int64_t bcda_job_resources(const bcda_job *job)
{
    return job ? job->resources : 0;
}

int64_t bcda_job_bad_lines(const bcda_job *job)
{
    return job ? job->bad_lines : 0;
}

size_t bcda_job_files_ended(const bcda_job *job)
{
    return job ? job->files_ended : 0;
}

int64_t bcda_job_issue_count(const bcda_job *job, int severity)
{
    int known = severity >= BCDA_SEVERITY_UNKNOWN && severity <= BCDA_SEVERITY_FATAL;

    return job && known ? job->issues[severity] : 0;
}
