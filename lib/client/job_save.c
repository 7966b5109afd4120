/* What a job saves: the lines that the application confirms, and the text that is returned, kept in
 * a file, or reported to on_saved_state. */
#include "client/context.h"
#include "client/deliver.h"
#include "client/job.h"

enum { SAVED_TEXT_MAX = 1 << 30 };

/* ---- the text ---- */

/* If the library keeps the text, a verdict is written after on_file has returned. If the
 * application saves the job in on_file, it has stored the file. */
static void describe_saved_job(const bcda_job *job, int is_kept, struct bcda__saved_job *out)
{
    out->url = job->url;
    out->types = job->types_known ? &job->types : NULL;
    out->files = job->downloads.files;
    out->unsettled = is_kept ? job->ending : NULL;
}

int bcda__job_save(bcda_job *job, struct bcda__buf *out)
{
    struct bcda__saved_job view;
    int rc;

    describe_saved_job(job, 0, &view);
    rc = bcda__saving_write(&job->saving, &view, out);
    if (!rc && bcda__job_is_kept(job)) /* what is kept does not have this line */
        bcda__saving_begin(&job->saving);
    return rc;
}

int bcda__job_save_changes(bcda_job *job, struct bcda__buf *out)
{
    struct bcda__saved_job view;

    describe_saved_job(job, 0, &view);
    return bcda__saving_has_changes(&job->saving)
               ? bcda__saving_write_changes(&job->saving, &view, out)
               : 0;
}

/* ---- where the library keeps it ---- */

int bcda__job_is_kept(const bcda_job *job)
{
    return job->state_file || job->handlers.at[BCDA__ON_SAVED_STATE];
}

static int keep_in_file(bcda_job *job, struct bcda_error *err)
{
    struct bcda__saved_job view;
    struct bcda__buf text;
    int whole, rc;

    if (bcda__state_file_is_inherited(job->state_file))
        return bcda__err_set(err, BCDA_ERR_FORKED, "this job belongs to the parent process");
    if (bcda__state_file_wants_whole(job->state_file))
        bcda__saving_begin(&job->saving);
    whole = !job->saving.has_begun;
    describe_saved_job(job, 1, &view);
    bcda__buf_init(&text, SAVED_TEXT_MAX);
    rc = bcda__saving_write_changes(&job->saving, &view, &text);
    if (rc)
        bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    else if (whole)
        rc = bcda__state_file_replace(job->state_file, text.data, text.len, err);
    else
        rc = bcda__state_file_append(job->state_file, text.data, text.len, err);
    bcda__buf_free(&text);
    return rc;
}

static int report_saved_state(bcda_job *job, struct bcda_error *err)
{
    const struct bcda__registration *r = job->handlers.at[BCDA__ON_SAVED_STATE];
    struct bcda__context *cx = job->cx;
    struct bcda__saved_job view;
    struct bcda__buf text;
    int given, rc;

    describe_saved_job(job, 1, &view);
    bcda__buf_init(&text, SAVED_TEXT_MAX);
    rc = bcda__saving_write_changes(&job->saving, &view, &text);
    if (rc) {
        bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    } else {
        bcda__context_enter_callback(cx);
        given = ((bcda_saved_state_cb)r->cb)(job, text.data, text.len, r->userdata);
        bcda__context_leave_callback(cx);
        rc = bcda__callback_result(given, 0, "on_saved_state", err);
    }
    bcda__buf_free(&text);
    return rc;
}

/* A job that has ended has no handlers, but lines of its files can still be confirmed. */
int bcda__job_keep(bcda_job *job, struct bcda_error *err)
{
    int rc;

    if (!bcda__job_is_kept(job) || !job->url || (job->cx && job->cx->forked) ||
        !bcda__saving_has_changes(&job->saving))
        return 0;
    rc = job->state_file ? keep_in_file(job, err) : report_saved_state(job, err);
    if (rc)
        bcda__saving_begin(&job->saving); /* it is not known what was stored */
    return rc;
}

/* ---- confirming ---- */

/* Returns the job's own object of a file, or NULL. */
static struct bcda_file *own_file(const bcda_job *job, const bcda_file *file)
{
    struct bcda__files *files = job->downloads.files;

    return files && file->index < files->count && &files->at[file->index] == file
               ? &files->at[file->index]
               : NULL;
}

static int confirm_line(bcda_job *job, struct bcda_file *file, int64_t line, struct bcda_error *err)
{
    struct bcda__mark before = file->confirmed;
    int rc = bcda__marks_confirm(&file->marks, line, &file->confirmed);

    if (rc == BCDA_ERR_INVALID)
        return bcda__err_set(
            err, rc,
            "this line of the file was not delivered, or a later one was confirmed "
            "before");
    if (rc)
        return rc;
    if (file->verdict != BCDA_VERDICT_NONE && line == file->marks.delivered)
        file->saved = BCDA__SAVED_COMPLETE;
    bcda__saving_change(&job->saving, file);
    rc = bcda__job_keep(job, err);
    if (rc) {
        file->confirmed = before;
        file->saved = BCDA__SAVED_NONE;
    } else if (file->saved == BCDA__SAVED_COMPLETE) {
        bcda__marks_free(&file->marks);
    }
    return rc;
}

int bcda__job_confirm(bcda_job *job, const bcda_file *file, int64_t line, struct bcda_error *err)
{
    struct bcda_file *own = own_file(job, file);

    if (!own)
        return bcda__err_set(err, BCDA_ERR_INVALID, "this file is not one of the job");
    if (own->verdict == BCDA_VERDICT_FAILED || own->verdict == BCDA_VERDICT_SKIPPED)
        return bcda__err_set(
            err, BCDA_ERR_STATE,
            "a file that has failed, or was skipped, has no lines to be confirmed");
    if (own->saved == BCDA__SAVED_COMPLETE)
        return 0;
    if (job->confirms == BCDA_CONFIRM_NONE)
        return bcda__err_set(err, BCDA_ERR_STATE,
                             "lines cannot be confirmed before their file has ended: set option "
                             "\"confirm_lines\", and with its value \"verified\" also option "
                             "\"delivery\"");
    return confirm_line(job, own, line, err);
}
