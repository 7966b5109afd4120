/*
 * bcda/handlers.h - callbacks, and the events they report. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_HANDLERS_H
#define BCDA_HANDLERS_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The application fills a bcda_handlers and gives it to bcda_job_start(), which copies it; the same
 * handlers may be used for many jobs. Each registered callback is reference-counted: its `destroy`
 * runs once, when all bcda_handlers and jobs that refer to it have been freed.
 *
 * Callbacks run one at a time on the session's thread, inside run, step or free, after libcurl and
 * yajl have returned. They may call every function except those whose comment says "From callbacks:
 * no". bcda/types.h describes BCDA_STOP, BCDA_CONTINUE and BCDA_PAUSE.
 *
 * A job has on_resource, or on_batch, or neither; in the last case its data is taken with
 * bcda_job_next().
 *
 * All functions here: from callbacks: yes. Thread: any. Since 0.1. Each can fail with
 * BCDA_ERR_INVALID (an argument is NULL) or BCDA_ERR_NOMEM; the caller then still owns the
 * userdata. If `cb` is NULL, the callback is removed.
 */
BCDA_API int bcda_handlers_new(bcda_handlers **out);
BCDA_API void bcda_handlers_free(bcda_handlers *handlers);

/* Reports that the job has entered another BCDA_JOB_* state (bcda/job.h). Return CONTINUE or
 * STOP. */
typedef int (*bcda_state_cb)(bcda_job *job, int state, void *userdata);
BCDA_API int bcda_handlers_on_state(bcda_handlers *handlers, bcda_state_cb cb, void *userdata,
                                    bcda_destroy_cb destroy);

#define BCDA_FILE_BEGIN 1 /* the file is about to be requested */
#define BCDA_FILE_END   2 /* the verdict is known: bcda_file_verdict() */

/*
 * Called exactly twice for every file that is downloaded: when it begins, and when it ends with its
 * verdict. All resources of the file are delivered in between. At END, commit them if the verdict
 * is BCDA_VERDICT_COMPLETE or _COMPLETE_BAD_LINES, and undo them otherwise. Return CONTINUE or
 * STOP. `file` is valid as long as the job.
 */
typedef int (*bcda_file_cb)(bcda_job *job, const bcda_file *file, int event, void *userdata);
BCDA_API int bcda_handlers_on_file(bcda_handlers *handlers, bcda_file_cb cb, void *userdata,
                                   bcda_destroy_cb destroy);

/* Delivers one resource of a data file, in the order of the file. Return CONTINUE, STOP, or PAUSE;
 * after PAUSE the same resource is delivered again when bcda_job_resume() is called. A job has
 * on_resource or on_batch, not both. `job` is NULL if a bcda_decoder calls. */
typedef int (*bcda_resource_cb)(bcda_job *job, const bcda_resource *resource, void *userdata);
BCDA_API int bcda_handlers_on_resource(bcda_handlers *handlers, bcda_resource_cb cb, void *userdata,
                                       bcda_destroy_cb destroy);

/* Delivers many resources of a data file at once. Return CONTINUE, STOP, or PAUSE; for PAUSE see
 * bcda_batch_set_consumed(). The batch is borrowed; bcda_batch_ref() keeps it. */
typedef int (*bcda_batch_cb)(bcda_job *job, bcda_batch *batch, void *userdata);
BCDA_API int bcda_handlers_on_batch(bcda_handlers *handlers, bcda_batch_cb cb, void *userdata,
                                    bcda_destroy_cb destroy);

/*
 * Reports an invalid line (a line that is not a resource), in its order among the resources. Return
 * CONTINUE or STOP. CONTINUE tolerates the line as far as BCDA_OPT_BAD_LINES_MAX allows. With the
 * default, 0, the file fails at its first invalid line with the code of that line, after everything
 * before the line was delivered. In an encrypted or gzip file an invalid line usually means altered
 * bytes. So before the file fails, the rest of it is read and checked; if that check fails, its
 * error (BCDA_ERR_TAG, BCDA_ERR_GZIP) replaces the error of the line.
 */
typedef int (*bcda_bad_line_cb)(bcda_job *job, const bcda_bad_line *line, void *userdata);
BCDA_API int bcda_handlers_on_bad_line(bcda_handlers *handlers, bcda_bad_line_cb cb, void *userdata,
                                       bcda_destroy_cb destroy);

/* Reports one issue from the error files of the job (`error` in its manifest). Error files are
 * always read, after all data files. Return CONTINUE or STOP. */
typedef int (*bcda_issue_cb)(bcda_job *job, const bcda_issue *issue, void *userdata);
BCDA_API int bcda_handlers_on_server_issue(bcda_handlers *handlers, bcda_issue_cb cb,
                                           void *userdata, bcda_destroy_cb destroy);

/*
 * Reports one deletion: the server no longer has this resource, and an incremental copy must remove
 * it (Bulk Data Access, `deleted` in the manifest). The files of deletions are downloaded after all
 * data files have ended, because a resource can be in both. Each has its on_file events; undo its
 * deletions if it fails. Return CONTINUE or STOP. Without this callback the files of deletions are
 * not downloaded, unless BCDA_OPT_PULL_DELETIONS is 1: see bcda_job_deleted_file_count(). `job` is
 * never NULL.
 */
typedef int (*bcda_deletion_cb)(bcda_job *job, const bcda_deletion *deletion, void *userdata);
BCDA_API int bcda_handlers_on_deleted(bcda_handlers *handlers, bcda_deletion_cb cb, void *userdata,
                                      bcda_destroy_cb destroy);

/*
 * Reports that something has changed that is to be saved: the server has accepted the job, the
 * manifest was received, a file has ended (after on_file has returned CONTINUE), or a line was
 * confirmed. `text`, `len` bytes and a NUL, is borrowed: append it to the text that was saved
 * before; bcda_job_save_changes() describes it. To load each file exactly once, commit `text`
 * together with the resources of the file here, in one transaction. Return CONTINUE, or STOP if the
 * text could not be stored: the file or line then does not count as loaded. bcda_job_confirm()
 * calls it before it returns, also if it was called in another callback, but not after the job has
 * ended: bcda_job_save_changes() then returns the text.
 */
typedef int (*bcda_saved_state_cb)(bcda_job *job, const char *text, size_t len, void *userdata);
BCDA_API int bcda_handlers_on_saved_state(bcda_handlers *handlers, bcda_saved_state_cb cb,
                                          void *userdata, bcda_destroy_cb destroy);

/* Reports that the job has made progress; the getters of the job say how much. Called at most about
 * ten times a second. Return CONTINUE or STOP. */
typedef int (*bcda_progress_cb)(bcda_job *job, void *userdata);
BCDA_API int bcda_handlers_on_progress(bcda_handlers *handlers, bcda_progress_cb cb, void *userdata,
                                       bcda_destroy_cb destroy);

/* Reports that the job has ended. Called exactly once for every job that was started, as its last
 * callback. `result` is bcda_job_result(). */
typedef void (*bcda_done_cb)(bcda_job *job, int result, void *userdata);
BCDA_API int bcda_handlers_on_done(bcda_handlers *handlers, bcda_done_cb cb, void *userdata,
                                   bcda_destroy_cb destroy);

/* A deletion, borrowed until its callback returns. From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API const char *bcda_deletion_type(const bcda_deletion *deletion); /* such as "Patient" */
BCDA_API const char *bcda_deletion_id(const bcda_deletion *deletion);
/* The Bundle of DELETE requests that names it; its getters return the file and the line. */
BCDA_API const bcda_resource *bcda_deletion_resource(const bcda_deletion *deletion);

/*
 * An invalid line, borrowed until its callback returns, or as long as its batch is held. From
 * callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_bad_line_code(const bcda_bad_line *line);       /* BCDA_ERR_LINE_* */
BCDA_API int64_t bcda_bad_line_number(const bcda_bad_line *line); /* from 1 */
BCDA_API int64_t bcda_bad_line_offset(const bcda_bad_line *line); /* in the decoded file */
/* The length in bytes; for a line longer than BCDA_OPT_LINE_MAX, that of the part that was read. */
BCDA_API int64_t bcda_bad_line_length(const bcda_bad_line *line);
BCDA_API const bcda_file *bcda_bad_line_file(const bcda_bad_line *line); /* NULL from a decoder */
/* The bytes of the line, which the application may store for inspection. They are patient data. For
 * a line longer than BCDA_OPT_LINE_MAX, returns NULL and sets *len to 0. */
BCDA_API const char *bcda_bad_line_bytes(const bcda_bad_line *line, size_t *len);

/* FHIR's severities of an issue. */
#define BCDA_SEVERITY_UNKNOWN     0
#define BCDA_SEVERITY_INFORMATION 1
#define BCDA_SEVERITY_WARNING     2
#define BCDA_SEVERITY_ERROR       3
#define BCDA_SEVERITY_FATAL       4

/* An issue, borrowed until its callback returns. From callbacks: yes. Thread: owner. Since 0.1. */
BCDA_API int bcda_issue_severity(const bcda_issue *issue);
BCDA_API const char *bcda_issue_code(const bcda_issue *issue); /* such as "not-found"; "" = none */
/* The server's text. It may name a beneficiary (bcda-api 6.6): never log it. */
BCDA_API const char *bcda_issue_text(const bcda_issue *issue);
/* The whole OperationOutcome; the same for each of its issues. */
BCDA_API const bcda_resource *bcda_issue_resource(const bcda_issue *issue);
/* The index of the issue in its OperationOutcome, from 0. */
BCDA_API int bcda_issue_index(const bcda_issue *issue);

#ifdef __cplusplus
}
#endif

#endif
