#include "client/job.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "client/context.h"
#include "client/deliver.h"
#include "net/step.h"
#include "protocol/kickoff.h"
#include "protocol/retry.h"

enum {
    EMPTY_WINDOW_MS = 10000, /* an empty manifest so soon after the start is requested again */
    EMPTY_ASKS = 3,
    PROGRESS_MS = 100,
    CANCEL_ATTEMPTS = 3, /* few attempts, because the application waits for the end */
};

static void poll_status(void *ctx);
static void ask_presence(bcda_job *job);

/* ---- log lines ---- */

static void job_log(const bcda_job *job, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes a log line that begins with the job's label. */
static void job_log(const bcda_job *job, int level, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    bcda__text_format(text, sizeof text, format, args);
    va_end(args);
    bcda__log(&job->cx->log, level, "client", "%s: %s", job->label, text);
}

/* ---- callbacks ---- */

/* Whether cancelling the job also sends a DELETE to the server: the job is running there, and it
 * was not taken over (an identical export that was already running). */
static int is_cancelled_there(const bcda_job *job)
{
    return job->state == BCDA_JOB_RUNNING && !job->is_taken_over && !job->cx->closing &&
           bcda__context_option(job->cx, BCDA_OPT_CANCEL_AT_SERVER);
}

/* Interprets the result `given` of the callback `name`. Returns 0 if the job continues. Otherwise
 * the job has ended, or this process is a child of fork(), and the caller must do nothing more. */
static int handle_callback_answer(bcda_job *job, int given, const char *name)
{
    struct bcda_error err;
    int rc = bcda__callback_result(given, 0, name, &err);

    if (job->ended || job->cx->forked)
        return 1; /* the result of the callback is ignored */
    if (!rc && job->downloads.is_cancelled && is_cancelled_there(job)) {
        bcda__job_poke(job);
        return 1; /* the job ends once the server is informed */
    }
    if (!rc && (job->downloads.is_cancelled || job->cx->closing))
        rc = bcda__err_set(&err, BCDA_ERR_CANCELLED, "the job was cancelled");
    if (rc)
        bcda__job_end(job, rc, &err);
    return rc != 0;
}

/* Keeps what is to be saved (job_save.c). Returns 0 if the job continues, like
 * handle_callback_answer(). */
static int keep_saved_state(bcda_job *job)
{
    struct bcda_error err;
    int rc = bcda__job_keep(job, &err);

    if (rc && !job->ended && !job->cx->forked)
        bcda__job_end(job, rc, &err);
    return rc || handle_callback_answer(job, BCDA_CONTINUE, "on_saved_state");
}

/* Changes the state, and calls on_state. Returns 0 if the job continues. */
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
    if (r && !job->cx->forked) {
        bcda__context_enter_callback(job->cx);
        given = ((bcda_state_cb)r->cb)(job, state, r->userdata);
        bcda__context_leave_callback(job->cx);
    }
    return handle_callback_answer(job, given, "on_state");
}

static int call_on_file(bcda_job *job, const struct bcda_file *file, int event)
{
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_FILE];
    int given = BCDA_CONTINUE;

    if (r && !job->cx->forked) {
        bcda__context_enter_callback(job->cx);
        given = ((bcda_file_cb)r->cb)(job, file, event, r->userdata);
        bcda__context_leave_callback(job->cx);
    }
    return given;
}

static void report_progress(void *ctx)
{
    bcda_job *job = ctx;
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_PROGRESS];
    int given;

    bcda__context_enter_callback(job->cx);
    given = ((bcda_progress_cb)r->cb)(job, r->userdata);
    bcda__context_leave_callback(job->cx);
    (void)handle_callback_answer(job, given, "on_progress");
}

/* To be called when something has changed: on_progress will be called. */
static void schedule_progress(bcda_job *job)
{
    if (job->handlers.at[BCDA__ON_PROGRESS] && !job->progress.set && !job->ended)
        bcda__timer_set(job->cx->engine, &job->progress, PROGRESS_MS, report_progress, job);
}

/* ---- the end ---- */

static void stop_everything(bcda_job *job)
{
    bcda__start_stop(&job->start);
    bcda__call_free(job->call);
    job->call = NULL;
    bcda__timer_clear(&job->poll);
    bcda__timer_clear(&job->deadline);
    bcda__timer_clear(&job->progress);
    bcda__timer_clear(&job->poke);
    bcda__manifest_parser_free(job->parser);
    job->parser = NULL;
    bcda__downloads_abort(&job->downloads, &job->err);
}

/* Returns the number of files of deletions that the application does not get. */
static int64_t undelivered_files(const bcda_job *job)
{
    return job->takes_deletions ? 0 : (int64_t)bcda_job_deleted_file_count(job);
}

static const char *plural_suffix(int64_t count)
{
    return count == 1 ? "" : "s";
}

static void log_end(const bcda_job *job)
{
    int64_t issues = job->sum[BCDA__SUM_ISSUES + BCDA_SEVERITY_ERROR] +
                     job->sum[BCDA__SUM_ISSUES + BCDA_SEVERITY_FATAL];
    int64_t missing = (int64_t)job->missing.count;
    int64_t deleted = undelivered_files(job);

    if (job->result)
        job_log(job, BCDA_LOG_WARNING, "failed: %s", bcda_error_string(job->result));
    else if (bcda_job_verdict(job) == BCDA_VERDICT_COMPLETE)
        job_log(job, BCDA_LOG_INFO, "complete");
    else
        job_log(job, BCDA_LOG_WARNING,
                "complete, with errors: %" PRId64 " invalid line%s, %" PRId64 " issue%s, %" PRId64
                " missing type%s, %" PRId64 " file%s of deletions",
                job->sum[BCDA__SUM_BAD_LINES], plural_suffix(job->sum[BCDA__SUM_BAD_LINES]), issues,
                plural_suffix(issues), missing, plural_suffix(missing), deleted,
                plural_suffix(deleted));
}

static void call_on_done(bcda_job *job)
{
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_DONE];

    if (!r || job->cx->forked)
        return;
    bcda__context_enter_callback(job->cx);
    ((bcda_done_cb)r->cb)(job, job->result, r->userdata);
    bcda__context_leave_callback(job->cx);
}

void bcda__job_end(bcda_job *job, int code, const struct bcda_error *err)
{
    struct bcda__context *cx = job->cx;

    if (job->ended || (cx->forked && !cx->ending))
        return; /* in a child of fork() a job does not change; it ends with the session */
    job->ended = 1;
    job->result = code;
    if (code)
        bcda__err_copy(&job->err, err);
    log_end(job);
    stop_everything(job);
    (void)set_state(job, code ? BCDA_JOB_FAILED : BCDA_JOB_DONE);
    call_on_done(job);
    job->owner->job_ended(job->owner->ctx, job);
    job->cx = NULL;
    bcda__context_enter_callback(cx); /* each `destroy` is a callback too */
    bcda__handlers_drop(&job->handlers);
    bcda__context_leave_callback(cx);
    job->owner->slots_changed(job->owner->ctx);
}

/* Ends the job with `err`, which may be in memory that ending the job frees. */
static void fail_job(bcda_job *job, const struct bcda_error *err)
{
    struct bcda_error copy;

    bcda__err_copy(&copy, err);
    bcda__job_end(job, copy.code, &copy);
}

static void fail_job_nomem(bcda_job *job)
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
        (long long)bcda__context_option(job->cx, BCDA_OPT_JOB_TIMEOUT_MS),
        job->url ? "it can be resumed by its status URL, as the server keeps its files for a day"
        : job->start.refusals > 0
            ? "the server did not accept it, as an identical export was running (429)"
            : "the server has not accepted it");
    bcda__job_end(job, BCDA_ERR_JOB_TIMEOUT, &err);
}

/* ---- files ---- */

static void all_files_ended(bcda_job *job)
{
    if (job->file_err.code)
        fail_job(job, &job->file_err);
    else
        bcda__job_end(job, 0, NULL);
}

/* Counts the files that were loaded before the job was restored. */
static int take_loaded(bcda_job *job)
{
    int rc = bcda__saving_take_files(&job->saving, job->downloads.files);
    size_t i;

    for (i = 0; i < job->downloads.files->count; i++)
        job->files_ended += job->downloads.files->at[i].verdict == BCDA_VERDICT_SKIPPED;
    return rc;
}

/* Returns the next file to download, or NULL if there is none at present: data files first, then
 * files of deletions, then error files. A resource can be in a data file and in a file of
 * deletions, so deletions begin after the last data file has ended. */
static struct bcda_file *next_file(bcda_job *job)
{
    size_t n = job->downloads.files->count;

    for (; job->next_file < BCDA__FILE_KINDS * n; job->next_file++) {
        struct bcda_file *f = &job->downloads.files->at[job->next_file % n];

        if (f->verdict != BCDA_VERDICT_NONE || f->entry->kind != job->next_file / n)
            continue;
        if (f->entry->kind == BCDA__FILE_DELETED && job->downloads.open)
            return NULL;
        return f;
    }
    return NULL;
}

int bcda__job_wants_slot(bcda_job *job)
{
    return job->state == BCDA_JOB_DOWNLOADING && !job->downloads.is_paused &&
           job->presence != BCDA__ASKING && next_file(job) != NULL;
}

/* Starts downloads until a limit is reached. */
static void start_downloads(bcda_job *job)
{
    struct bcda_file *f;
    int begun = 0;

    if (job->state != BCDA_JOB_DOWNLOADING || job->presence == BCDA__ASKING)
        return;
    while (!job->ended && !job->downloads.is_paused && !job->cx->forked &&
           begun < BCDA__STEP_STARTS && job->owner->has_slot(job->owner->ctx, job) &&
           (f = next_file(job))) {
        job->next_file++;
        bcda__download_start(&job->downloads, f);
        begun++;
    }
    /* Many downloads may fail at once; the rest waits for the next step, which keeps steps
     * short. */
    if (begun == BCDA__STEP_STARTS)
        bcda__job_poke(job);
    if (!job->ended && job->files_ended == job->downloads.files->count)
        all_files_ended(job);
}

/* Whether the server listed the file in the manifest but does not have it. */
static int is_missing(const struct bcda_file *file)
{
    int code = bcda_error_code(file->error);

    return code == BCDA_ERR_NOT_FOUND || code == BCDA_ERR_GONE;
}

/* Whether the error is about the bytes of the file. If it is not, such as that of a broken
 * connection, what the application confirmed of the file stays valid. */
static int is_error_of_content(int code)
{
    return code <= BCDA_ERR_KEY_MISSING && code > BCDA_ERR_STOPPED;
}

/* Whether a file that is complete still has lines that bcda_job_next() returned and that the
 * application must confirm. */
static int waits_for_confirm(const bcda_job *job, const struct bcda_file *file)
{
    return job->confirms && file->marks.delivered > file->confirmed.line &&
           bcda__downloads_are_pulled(&job->downloads, file->entry->kind);
}

/* Notes a verdict before on_file is called, since the application may save the job there. */
static void note_verdict(bcda_job *job, struct bcda_file *file)
{
    if (file->verdict == BCDA_VERDICT_FAILED) {
        file->saved = BCDA__SAVED_FAILED;
        if (is_error_of_content(bcda_error_code(file->error)))
            memset(&file->confirmed, 0, sizeof file->confirmed);
    } else if (!waits_for_confirm(job, file)) {
        file->saved = BCDA__SAVED_COMPLETE;
    }
    bcda__saving_change(&job->saving, file);
}

/* Calls on_file, and keeps the verdict. If the application stops the job in on_file or
 * on_saved_state, it could not keep the file, so the file does not count as loaded. What the
 * application has saved meanwhile may say otherwise, so the next saved text replaces it. Its lines
 * can still be confirmed. Returns the result of on_file; *rc is that of keeping. */
static int report_verdict(bcda_job *job, struct bcda_file *file, int *rc, struct bcda_error *err)
{
    int given;

    note_verdict(job, file);
    job->ending = file;
    given = call_on_file(job, file, BCDA_FILE_END);
    job->ending = NULL;
    *rc = given == BCDA_CONTINUE ? bcda__job_keep(job, err) : 0;
    if (file->saved == BCDA__SAVED_COMPLETE && (given != BCDA_CONTINUE || *rc)) {
        file->saved = BCDA__SAVED_NONE;
        bcda__saving_begin(&job->saving);
    }
    if (file->saved != BCDA__SAVED_NONE)
        bcda__marks_free(&file->marks);
    return given;
}

static void file_concluded(bcda_job *job, struct bcda_file *file)
{
    int failed = file->verdict == BCDA_VERDICT_FAILED;
    struct bcda_error err;
    int given, rc;

    job->files_ended++;
    if (failed && !job->file_err.code && file->error)
        bcda__err_copy(&job->file_err, file->error);
    given = report_verdict(job, file, &rc, &err);
    if (handle_callback_answer(job, given, "on_file"))
        return;
    if (rc) {
        bcda__job_end(job, rc, &err);
        return;
    }
    schedule_progress(job);
    if (failed && is_missing(file) && job->presence == BCDA__UNASKED)
        ask_presence(job);
    /* The next file begins in the next step, when the poked jobs look for free slots. If it began
     * here, files that end at once would call this function recursively. */
    job->owner->slots_changed(job->owner->ctx);
}

static void pause_job(bcda_job *job)
{
    if (job->downloads.is_paused)
        return;
    job->downloads.is_paused = 1;
    job->owner->slots_changed(job->owner->ctx);
}

static int on_download_event(bcda_job *job, struct bcda_file *file, enum bcda__download_event event,
                             const struct bcda_error *err)
{
    switch (event) {
    case BCDA__DOWNLOAD_BEGINS:
        return handle_callback_answer(job, call_on_file(job, file, BCDA_FILE_BEGIN), "on_file");
    case BCDA__DOWNLOAD_PAUSES:
        pause_job(job);
        break;
    case BCDA__DOWNLOAD_ENDS_JOB:
        bcda__job_end(job, err->code, err);
        break;
    case BCDA__DOWNLOAD_CONCLUDED:
        file_concluded(job, file);
        break;
    case BCDA__DOWNLOAD_ABORTED: /* the job has ended: the result of on_file is ignored */
        job->files_ended++;
        (void)call_on_file(job, file, BCDA_FILE_END);
        break;
    }
    return 0;
}

/* The only place where sums change. Error files contain reports of the server, not data, and files
 * of deletions contain Bundles. So their resources are counted for the file but not for the job. */
static void count_for_job(bcda_job *job, struct bcda_file *file, enum bcda__sum sum, int64_t n)
{
    file->sum[sum] += n;
    if (sum == BCDA__SUM_RESOURCES && file->entry->kind != BCDA__FILE_DATA)
        return;
    job->sum[sum] += n;
    if (sum == BCDA__SUM_RESOURCES)
        job->cx->stat[BCDA_STAT_RESOURCES] += n;
    if (sum == BCDA__SUM_BYTES)
        job->cx->stat[BCDA_STAT_BYTES_DECODED] += n;
    if (sum == BCDA__SUM_RECEIVED || sum == BCDA__SUM_BYTES)
        schedule_progress(job);
}

/* ---- the manifest ---- */

static int is_too_early(bcda_job *job)
{
    int64_t age = bcda__engine_now(job->cx->engine) - job->begun_ms;

    return job->kickoff_url && job->downloads.files->count == 0 &&
           job->downloads.files->manifest->deleted_count == 0 && age < EMPTY_WINDOW_MS &&
           job->empties < EMPTY_ASKS;
}

static int has_data_of_type(const struct bcda__manifest *m, const char *type)
{
    size_t i;

    for (i = 0; i < m->count; i++)
        if (m->entries[i].kind == BCDA__FILE_DATA && strcmp(m->entries[i].type, type) == 0)
            return 1;
    return 0;
}

/* Compares the manifest with the requested types, also for a job that was taken over (an identical
 * export that was already running). For a job that the application attached to, the manifest's
 * `request` says which types were requested. Files that are organized by another resource can
 * contain lines of any type, so they are not compared. */
static int find_missing_types(bcda_job *job)
{
    size_t i;
    int rc = 0;

    if (!job->types_known)
        rc = bcda__types_of_request(&job->types, job->downloads.files->manifest->request,
                                    job->cx->config->fhir_url);
    job->types_known = 1;
    if (job->downloads.files->manifest->organized_by[0])
        return rc;
    bcda__texts_free(&job->missing);
    for (i = 0; !rc && i < job->types.count; i++)
        if (!has_data_of_type(job->downloads.files->manifest, job->types.at[i]))
            rc = bcda__texts_add(&job->missing, job->types.at[i], strlen(job->types.at[i]));
    return rc;
}

/* Logs warnings about what is missing from the data. */
static void warn_of_missing(const bcda_job *job)
{
    const struct bcda__manifest *m = job->downloads.files->manifest;
    int64_t deleted = undelivered_files(job);
    size_t i;

    for (i = 0; i < job->missing.count; i++)
        job_log(job, BCDA_LOG_WARNING,
                "the manifest lists no data file of the requested type %.64s", job->missing.at[i]);
    if (deleted)
        job_log(job, BCDA_LOG_WARNING,
                "the manifest lists %" PRId64 " file%s of deleted resources, which are not "
                "delivered, because the application has no callback for deletions",
                deleted, plural_suffix(deleted));
    if (m->organized_by[0] && job->types.count)
        job_log(job, BCDA_LOG_WARNING,
                "the files are organized by %s: whether each requested type is among them "
                "cannot be checked",
                bcda__type_for_log(m->organized_by, "another resource"));
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
        fail_job(job, &err);
        return;
    }
    bcda__files_unref(job->downloads.files);
    job->downloads.files = NULL;
    rc = bcda__files_new(&job->downloads.files, m);
    bcda__manifest_unref(m);
    if (rc) {
        fail_job_nomem(job);
        return;
    }
    if (is_too_early(job)) { /* in 2019 the server could send an empty manifest for a new job */
        job->empties++;
        bcda__timer_set(job->cx->engine, &job->poll, 1000, poll_status, job);
        return;
    }
    if (find_missing_types(job)) {
        fail_job_nomem(job);
        return;
    }
    warn_of_missing(job);
    if (take_loaded(job)) {
        fail_job_nomem(job);
        return;
    }
    if (!set_state(job, BCDA_JOB_DOWNLOADING) && !keep_saved_state(job))
        start_downloads(job);
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
        &job->parser, (size_t)bcda__context_option(job->cx, BCDA_OPT_MANIFEST_ENTRIES_MAX),
        job->takes_deletions);
    if (!rc)
        return BCDA__CALL_GO;
    bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    return BCDA__CALL_FAILED;
}

static enum bcda__call_answer read_manifest(bcda_job *job)
{
    struct bcda__transfer *t = bcda__call_transfer(job->call);
    int64_t max = bcda__context_option(job->cx, BCDA_OPT_MANIFEST_MAX);
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
    fail_job(job, &job->parse_err);
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
        return BCDA__CALL_REPEAT; /* the manifest is read again from its start */
    default:
        return BCDA__CALL_GO;
    }
}

static void take_progress(bcda_job *job, const struct bcda__answer *a)
{
    bcda__text_show(job->progress_text, sizeof job->progress_text, a->x_progress);
    job->percent = bcda__progress_percent(a->x_progress);
    schedule_progress(job);
}

/* Makes the files of a manifest that was made of the saved text. */
static int new_saved_files(bcda_job *job, struct bcda__manifest *m)
{
    int rc = bcda__files_new(&job->downloads.files, m);
    size_t i;

    for (i = 0; !rc && i < job->downloads.files->count; i++)
        job->downloads.files->at[i].identity = BCDA__BY_SAVED_PATH;
    return rc;
}

/* To be called if a request of the job's status has failed. If the server no longer has a job that
 * was restored, the job gets the files of its saved text, so that the application can see which of
 * them are loaded. The number of these files is added to `err`. */
static void take_expired(bcda_job *job, struct bcda_error *err)
{
    struct bcda__manifest *m;
    size_t n;

    if (job->downloads.files || !job->saving.restored.url ||
        (err->code != BCDA_ERR_NOT_FOUND && err->code != BCDA_ERR_GONE &&
         err->code != BCDA_ERR_JOB_CANCELLED) ||
        bcda__state_manifest(&job->saving.restored, &m))
        return;
    if (new_saved_files(job, m) || take_loaded(job)) {
        bcda__files_unref(job->downloads.files);
        job->downloads.files = NULL;
    }
    bcda__manifest_unref(m);
    n = bcda_job_file_count(job);
    if (n)
        bcda__err_context(err, "%zu of the %zu files of the job were loaded before",
                          job->files_ended, n);
}

static void on_status(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                      const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;
    struct bcda_error own;
    int64_t asked;

    job->call = NULL;
    if (verdict == BCDA__FAIL) {
        bcda__err_copy(&own, err);
        take_expired(job, &own);
        fail_job(job, &own);
        bcda__err_forget(&own);
    } else if (verdict == BCDA__WAIT) {
        take_progress(job, a);
        asked = bcda__retry_after(a->retry_after, bcda__engine_wall(job->cx->engine));
        bcda__timer_set(
            job->cx->engine, &job->poll,
            bcda__poll_delay(bcda__engine_now(job->cx->engine) - job->accepted_ms, asked,
                             bcda__context_option(job->cx, BCDA_OPT_POLL_MAX_MS),
                             bcda__context_option(job->cx, BCDA_OPT_RETRY_AFTER_MAX_MS)),
            poll_status, job);
    } else {
        take_manifest(job);
    }
    bcda__call_free(call);
}

/* Sends a request to the job's status URL. Returns 0 or BCDA_ERR_NOMEM. */
static int request_of_job(bcda_job *job, struct bcda__call_spec *spec, const char *step)
{
    spec->with_token = 1;
    spec->retries = &job->retries;
    spec->ctx = job;
    snprintf(spec->about, sizeof spec->about, "%s, %s", job->label, step);
    return bcda__call_new(&job->call, job->cx, spec);
}

static void poll_status(void *ctx)
{
    bcda_job *job = ctx;
    struct bcda__call_spec spec;

    bcda__call_spec_init(&spec, "job status", "GET", job->url);
    spec.judge = bcda__answer_status;
    spec.event = on_status_event;
    spec.proves_end = 1;
    spec.end = on_status;
    if (request_of_job(job, &spec, "status"))
        fail_job_nomem(job);
}

/* ---- whether the server still has the job ---- */

/* The server deletes a job together with its files. If one file is missing, the others may be
 * missing too, and each would cost all the attempts that a 404 gets. So one request for the job's
 * status decides. */

static enum bcda__call_answer on_presence_event(void *ctx, enum bcda__call_event event,
                                                struct bcda_error *err)
{
    (void)ctx;
    (void)err;
    /* The head shows that the job exists. The body is not needed, because the manifest is already
     * known. */
    return event == BCDA__CALL_HEAD ? BCDA__CALL_COMPLETE : BCDA__CALL_GO;
}

/* Ends a job that the server no longer has. A 404 for a job whose manifest was received means that
 * it has expired meanwhile. */
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
    job->presence = code ? BCDA__UNASKED : BCDA__THERE; /* another failure proves nothing */
    if (code == BCDA_ERR_NOT_FOUND || code == BCDA_ERR_GONE || code == BCDA_ERR_JOB_CANCELLED)
        end_gone(job, err);
    else
        job->owner->slots_changed(job->owner->ctx);
    bcda__call_free(call);
}

/* Asks whether the server still has the job. No download starts before the answer. */
static void ask_presence(bcda_job *job)
{
    struct bcda__call_spec spec;

    bcda__call_spec_init(&spec, "job status", "GET", job->url);
    spec.attempts_max = 1;
    spec.judge = bcda__answer_status;
    spec.event = on_presence_event;
    spec.proves_end = 1;
    spec.end = on_presence;
    if (request_of_job(job, &spec, "status"))
        fail_job_nomem(job);
    else
        job->presence = BCDA__ASKING;
}

/* ---- the status URL ---- */

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
        if (job->id[len]) /* the URL has a query, which would become part of the id */
            job->id = "";
    }
    snprintf(job->label, sizeof job->label, job->id[0] ? "job %.60s" : "job%s", job->id);
    return 0;
}

static void on_start_done(void *ctx, const struct bcda__start_result *result)
{
    bcda_job *job = ctx;

    if (!result->url) {
        fail_job(job, result->err);
        return;
    }
    job->is_taken_over = result->is_taken_over;
    job->accepted_ms = bcda__engine_now(job->cx->engine);
    if (set_status_url(job, result->url))
        fail_job_nomem(job);
    else if (!set_state(job, BCDA_JOB_RUNNING) && !keep_saved_state(job))
        bcda__timer_set(job->cx->engine, &job->poll, result->delay_ms, poll_status, job);
}

static void begin_job(void *ctx)
{
    bcda_job *job = ctx;

    bcda__timer_set(job->cx->engine, &job->deadline,
                    bcda__context_option(job->cx, BCDA_OPT_JOB_TIMEOUT_MS), out_of_time, job);
    if (job->kickoff_url) {
        if (!set_state(job, BCDA_JOB_STARTING))
            bcda__start_begin(&job->start);
    } else if (!set_state(job, BCDA_JOB_RUNNING) && !keep_saved_state(job)) {
        poll_status(job);
    }
}

/* ---- what the application asks for ---- */

static void end_cancelled(bcda_job *job)
{
    struct bcda_error err;

    bcda__err_set(&err, BCDA_ERR_CANCELLED, "the job was cancelled");
    bcda__job_end(job, BCDA_ERR_CANCELLED, &err);
}

/* Ends the job, whatever the answer was: the job may have ended at the server meanwhile
 * (bcda-api 5.3). */
static void on_cancelled(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                         const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;

    (void)a;
    if (verdict == BCDA__OK)
        job_log(job, BCDA_LOG_INFO, "cancelled at the server");
    else
        job_log(job, BCDA_LOG_WARNING, "not cancelled at the server: %s",
                bcda_error_string(err->code));
    job->call = NULL;
    end_cancelled(job);
    bcda__call_free(call);
}

static void cancel_there(bcda_job *job)
{
    struct bcda__call_spec spec;

    job->is_cancelling = 1;
    bcda__call_free(job->call);
    job->call = NULL;
    bcda__timer_clear(&job->poll);
    bcda__call_spec_init(&spec, "cancel", "DELETE", job->url);
    spec.attempts_max = CANCEL_ATTEMPTS;
    spec.judge = bcda__answer_cancel;
    spec.end = on_cancelled;
    if (request_of_job(job, &spec, "cancel"))
        end_cancelled(job);
}

static void on_job_poke(void *ctx)
{
    bcda_job *job = ctx;

    if (job->is_cancelling)
        return;
    if (job->downloads.is_cancelled) {
        if (is_cancelled_there(job))
            cancel_there(job);
        else
            end_cancelled(job);
        return;
    }
    if (!job->downloads.is_paused)
        bcda__downloads_advance(&job->downloads);
    if (!job->ended)
        start_downloads(job);
}

void bcda__job_poke(bcda_job *job)
{
    if (!job->ended && !job->poke.set && !job->cx->forked)
        bcda__timer_set(job->cx->engine, &job->poke, 0, on_job_poke, job);
}

int bcda__job_has_batch(const bcda_job *job)
{
    return job->downloads.is_pulled && !job->downloads.is_paused &&
           bcda__downloads_have_batch(&job->downloads);
}

int bcda__job_is_idle(const bcda_job *job)
{
    return job->downloads.is_paused && job->state == BCDA_JOB_DOWNLOADING && !job->poke.set &&
           !job->call;
}

/* ---- creation ---- */

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
    bcda__saving_free(&job->saving);
    bcda__state_file_close(job->state_file);
    bcda__files_unref(job->downloads.files);
    bcda__err_forget(&job->err);
    bcda__err_forget(&job->file_err);
    bcda__free(job);
}

static void take_saved(bcda_job *job, struct bcda__state *saved)
{
    job->types = saved->types;
    job->types_known = saved->types_known;
    memset(&saved->types, 0, sizeof saved->types);
    job->saving.restored = *saved;
    memset(saved, 0, sizeof *saved);
}

static void fill_start(bcda_job *job)
{
    struct bcda__start *st = &job->start;

    st->cx = job->cx;
    st->url = job->kickoff_url;
    st->label = job->label;
    st->retries = &job->retries;
    st->done = on_start_done;
    st->ctx = job;
}

/* Lines that are not verified can be confirmed only if the application keeps them apart. */
static int which_lines_confirm(const struct bcda__context *cx)
{
    int64_t given = bcda__context_option(cx, BCDA_OPT_CONFIRM_LINES);

    if (given == BCDA_CONFIRM_VERIFIED &&
        bcda__context_option(cx, BCDA_OPT_DELIVERY) != BCDA_DELIVERY_VERIFIED)
        return BCDA_CONFIRM_NONE;
    return (int)given;
}

static void fill_downloads(bcda_job *job)
{
    struct bcda__downloads *set = &job->downloads;

    set->cx = job->cx;
    set->job = job;
    set->label = job->label;
    set->handlers = &job->handlers;
    set->fields = job->fields;
    set->is_pulled = !job->handlers.at[BCDA__ON_RESOURCE] && !job->handlers.at[BCDA__ON_BATCH];
    set->marks = job->confirms != BCDA_CONFIRM_NONE;
    set->bad_lines = &job->sum[BCDA__SUM_BAD_LINES];
    set->retries = &job->retries;
    set->count = count_for_job;
    set->event = on_download_event;
}

int bcda__job_create(bcda_job **out, struct bcda__context *cx, const struct bcda__job_owner *owner,
                     const char *kickoff_url, const char *status_url, const bcda_export *x,
                     const bcda_handlers *handlers, struct bcda__state *saved)
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
    job->cx = cx;
    job->owner = owner;
    job->confirms = which_lines_confirm(cx);
    fill_start(job);
    fill_downloads(job);
    job->takes_deletions =
        job->handlers.at[BCDA__ON_DELETED] ||
        (job->downloads.is_pulled && bcda__context_option(cx, BCDA_OPT_PULL_DELETIONS));
    job->begun_ms = job->accepted_ms = bcda__engine_now(cx->engine);
    bcda__timer_set(cx->engine, &job->poll, 0, begin_job, job);
    *out = job;
    return 0;
}

/* ---- references ---- */

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
    if (bcda_job_missing_type_count(job) || undelivered_files(job))
        return 1;
    return job->sum[BCDA__SUM_BAD_LINES] || job->sum[BCDA__SUM_ISSUES + BCDA_SEVERITY_ERROR] ||
           job->sum[BCDA__SUM_ISSUES + BCDA_SEVERITY_FATAL];
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
    return job ? job->is_taken_over : 0;
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
    return job && job->downloads.files ? job->downloads.files->manifest->transaction_time : "";
}

size_t bcda_job_file_count(const bcda_job *job)
{
    return job && job->downloads.files ? job->downloads.files->count : 0;
}

const bcda_file *bcda_job_file(const bcda_job *job, size_t i)
{
    return i < bcda_job_file_count(job) ? &job->downloads.files->at[i] : NULL;
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
    return job && job->downloads.files ? job->downloads.files->manifest->deleted_count : 0;
}

int64_t bcda_job_deletions(const bcda_job *job)
{
    return job ? job->sum[BCDA__SUM_DELETIONS] : 0;
}

int64_t bcda_job_bytes_received(const bcda_job *job)
{
    return job ? job->sum[BCDA__SUM_RECEIVED] : 0;
}

int64_t bcda_job_bytes(const bcda_job *job)
{
    return job ? job->sum[BCDA__SUM_BYTES] : 0;
}

int64_t bcda_job_resources(const bcda_job *job)
{
    return job ? job->sum[BCDA__SUM_RESOURCES] : 0;
}

int64_t bcda_job_bad_lines(const bcda_job *job)
{
    return job ? job->sum[BCDA__SUM_BAD_LINES] : 0;
}

size_t bcda_job_files_ended(const bcda_job *job)
{
    return job ? job->files_ended : 0;
}

int64_t bcda_job_issue_count(const bcda_job *job, int severity)
{
    int known = severity >= BCDA_SEVERITY_UNKNOWN && severity <= BCDA_SEVERITY_FATAL;

    return job && known ? job->sum[BCDA__SUM_ISSUES + severity] : 0;
}
