/*
 * bcda/job.h - one export, from kick-off to the last byte. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_JOB_H
#define BCDA_JOB_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a job is doing. */
#define BCDA_JOB_STARTING    1 /* token and kick-off */
#define BCDA_JOB_RUNNING     2 /* the server works and is polled; bcda_job_url() is known: keep it */
#define BCDA_JOB_DOWNLOADING 3 /* the manifest was received: bcda_job_file_count() */
#define BCDA_JOB_DONE        4 /* succeeded: bcda_job_result() is BCDA_OK */
#define BCDA_JOB_FAILED      5 /* failed: bcda_job_error() */

/*
 * Starts an export and everything that follows: token, kick-off, polling, every file. Nothing is
 * sent and no callback runs before bcda_session_run() or _step(). Both `export_` and `handlers` are
 * copied; `handlers` may be NULL (a job to pull, whose end bcda_job_next() reports). On success the
 * caller owns one reference of *out, and on_done will run exactly once; `out` may be NULL (the
 * session alone then keeps the job until its end). BCDA_ERR_INVALID (NULL; both on_resource and
 * on_batch; an export whose URL is longer than 262,144 bytes); BCDA_ERR_CONFIG (group level without
 * a group, resource level without exactly one type); BCDA_ERR_STATE (the session is being freed);
 * BCDA_ERR_FORKED; BCDA_ERR_NOMEM. On failure no callback runs for the job. bcda_session_error()
 * says more. From callbacks: queued. Thread: owner. Since 0.1.
 *
 * Results of the job (bcda_job_result()): BCDA_OK: every file is complete. The code of the request
 * that failed (-100 to -299). The code of the first file that failed (-100 to -399): the others
 * were still downloaded. BCDA_ERR_GONE, BCDA_ERR_JOB_CANCELLED: a file was missing (404 or 410), so
 * the job's status was requested, once, and the server no longer has the job; files that had not
 * begun have BCDA_VERDICT_NONE. BCDA_ERR_URL and BCDA_ERR_INSECURE_URL: a URL that the server named
 * cannot or must not be used. BCDA_ERR_SPOOL and BCDA_ERR_SPOOL_FULL (verified delivery).
 * BCDA_ERR_STOPPED, BCDA_ERR_CANCELLED, BCDA_ERR_CALLBACK, BCDA_ERR_JOB_TIMEOUT, BCDA_ERR_NOMEM,
 * BCDA_ERR_LIBRARY, BCDA_ERR_SYSTEM.
 */
BCDA_API int bcda_job_start(bcda_session *session, const bcda_export *export_,
                            const bcda_handlers *handlers, bcda_job **out);

/*
 * Resumes a job that was started before, by the URL that bcda_job_url() gave: polls, then
 * downloads. `export_` may be NULL. Only its fields (bcda_export_add_field()) and its types are
 * used; the manifest is compared with the types (bcda_job_missing_type_count()). The URL must be of
 * the FHIR URL's origin (BCDA_ERR_ORIGIN), because the token is sent there. BCDA_ERR_URL: not an
 * absolute URL, or longer than 65,536 bytes. BCDA_ERR_INSECURE_URL: an http URL where http is not
 * allowed. Otherwise as bcda_job_start(). From callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_attach(bcda_session *session, const char *status_url,
                             const bcda_export *export_, const bcda_handlers *handlers,
                             bcda_job **out);

/*
 * Resumes a job from the text of bcda_job_save(), also in another process. Files that were complete
 * then are not downloaded again (BCDA_VERDICT_SKIPPED). BCDA_ERR_INVALID: not such a text.
 * Otherwise as bcda_job_attach(). From callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_restore(bcda_session *session, const char *saved, size_t len,
                              const bcda_export *export_, const bcda_handlers *handlers,
                              bcda_job **out);

/*
 * What is needed to resume the job later, as one line of JSON: the status URL, the requested types,
 * if they are known, and the names of the files that are complete. It holds no secret and no
 * patient data. Save after on_state and at the END of each file, once the application has stored
 * the file's resources safely. *out is NUL-terminated; free it with bcda_free(). BCDA_ERR_INVALID;
 * BCDA_ERR_STATE (not accepted by the server yet); BCDA_ERR_NOMEM; BCDA_ERR_FORKED. From callbacks:
 * yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_save(const bcda_job *job, char **out);

/*
 * Ends the job here: on_done follows with BCDA_ERR_CANCELLED, in the next run or step. Nothing is
 * sent to the server; its job continues, and bcda_job_attach() can resume it later. With
 * BCDA_OPT_CANCEL_AT_SERVER a job that the server still works on is first cancelled there (DELETE;
 * bcda-api 5.3), if a few attempts suffice, and on_done follows. A job is not cancelled at the
 * server if it was taken over, if its kick-off is in progress, or if its files are ready. No effect
 * on a job that has ended. BCDA_ERR_INVALID, BCDA_ERR_FORKED. From callbacks: queued. Thread:
 * owner. Since 0.1.
 */
BCDA_API int bcda_job_cancel(bcda_job *job);

/*
 * Pauses and resumes the delivery of a job. While a job is paused, nothing is delivered and, once
 * its bounded buffers are full, nothing is read from the network. A job that is resumed continues
 * with the next resource of each file; the order of several files is not defined. Resume also ends
 * a pause that a callback requested by BCDA_PAUSE. The server may close a connection that is paused
 * for long (BCDA: 360 or 900 s a file, bcda-api 1). BCDA_ERR_INVALID, BCDA_ERR_FORKED. From
 * callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_pause(bcda_job *job);
BCDA_API int bcda_job_resume(bcda_job *job);

/*
 * The pull API, for jobs without on_resource and on_batch: the next batch, of any of the job's
 * files. The caller owns it: bcda_batch_unref(). Error files are delivered in this way too
 * (bcda_file_is_error()), unless the job has on_server_issue, which then gets their issues. It does
 * no I/O and runs no callback. BCDA_OK.
 * BCDA_ERR_AGAIN: nothing is ready: call bcda_session_run(), or wait for the descriptor and step.
 * BCDA_ERR_END: the job has ended and all batches were taken; see bcda_job_result().
 * BCDA_ERR_INVALID; BCDA_ERR_STATE (the job has data callbacks); BCDA_ERR_REENTRANT;
 * BCDA_ERR_FORKED. The file of a batch that waits keeps its slot among BCDA_OPT_PARALLEL. From
 * callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_next(bcda_job *job, bcda_batch **out);

/* Keep a job past on_done. The last unref of a job that still runs does not end it. From callbacks:
 * yes. Thread: owner. Since 0.1. */
BCDA_API bcda_job *bcda_job_ref(bcda_job *job);
BCDA_API void bcda_job_unref(bcda_job *job);

/*
 * Getters; each accepts NULL. From callbacks: yes. Thread: owner. Since 0.1. Texts and files live
 * as long as the job.
 */
BCDA_API int bcda_job_state(const bcda_job *job); /* BCDA_JOB_* */
/* BCDA_OK, or the code of the failure; BCDA_ERR_AGAIN while the job runs. */
BCDA_API int bcda_job_result(const bcda_job *job);
/*
 * The verdict on the whole job: BCDA_VERDICT_NONE while it runs; _COMPLETE; _COMPLETE_ERRORS (every
 * file is complete, but something needs attention: invalid lines, issues of severity error or fatal
 * that the server reported, a requested type without a file (bcda_job_missing_type_count()), or
 * deletions that were not delivered (bcda_job_deleted_file_count())); _FAILED (bcda_job_error()).
 */
BCDA_API int bcda_job_verdict(const bcda_job *job);
/* Why the job failed; NULL while it runs, and if it succeeded. */
BCDA_API const bcda_error *bcda_job_error(const bcda_job *job);
/* The status URL (Content-Location); "" until the server has accepted the job. */
BCDA_API const char *bcda_job_url(const bcda_job *job);
/* The last segment of that URL; "" likewise. */
BCDA_API const char *bcda_job_id(const bcda_job *job);
/* 1: an identical export was already running, and this job took it over
 * (BCDA_DUPLICATE_TAKE_OVER). */
BCDA_API int bcda_job_is_taken_over(const bcda_job *job);
/* X-Progress, as the server last sent it; valid until the next run or step. */
BCDA_API const char *bcda_job_progress_text(const bcda_job *job);
/* The percentage in it, 0 to 100; -1 = none. It may jump, and 100 is not the end (bcda-api 5.1). */
BCDA_API int bcda_job_progress_percent(const bcda_job *job);
/* transactionTime of the manifest, unchanged: the `since` of the next export. "" before the
 * manifest. */
BCDA_API const char *bcda_job_transaction_time(const bcda_job *job);
/* The files of the manifest, data files before error files; 0 before the manifest. NULL for i >=
 * count. */
BCDA_API size_t bcda_job_file_count(const bcda_job *job);
BCDA_API const bcda_file *bcda_job_file(const bcda_job *job, size_t i);
/*
 * The requested types that have no data file in the manifest; 0 before the manifest, and if no
 * types were requested. The requested types are those of the export (at BCDA_LEVEL_RESOURCE the one
 * in the path) and those of a parameter `_type`; a type that only a `_typeFilter` names is
 * restricted, but not requested. bcda_job_save() keeps them. For bcda_job_attach() without types in
 * its export, and for a text saved by a version that did not keep them, they are the types of the
 * manifest's `request` URL. A server may leave a type out because it has nothing to export for it
 * (BCDA since January 2021 lists no empty files), or because another job exports that type at the
 * same time (BCDA until April 2021): the manifest does not distinguish the two cases.
 */
BCDA_API size_t bcda_job_missing_type_count(const bcda_job *job);
/* One of them, in the order of the request; NULL for i >= count. */
BCDA_API const char *bcda_job_missing_type(const bcda_job *job, size_t i);
/* The entries of the manifest's `deleted` (Bulk Data: files that list deleted resources). This
 * version does not deliver them. 0 before the manifest; BCDA has none. */
BCDA_API size_t bcda_job_deleted_file_count(const bcda_job *job);
/* Sums over the files of the job, data and error files. */
BCDA_API int64_t bcda_job_bytes_received(const bcda_job *job);
BCDA_API int64_t bcda_job_bytes(const bcda_job *job);
BCDA_API int64_t bcda_job_bad_lines(const bcda_job *job);
/* The delivered resources of data files. bcda_job_issue_count() counts the issues of error files,
 * and bcda_file_resources() the resources of one file. */
BCDA_API int64_t bcda_job_resources(const bcda_job *job);
/* How many files have a verdict. */
BCDA_API size_t bcda_job_files_ended(const bcda_job *job);
/* How many issues of this BCDA_SEVERITY_* the error files had. */
BCDA_API int64_t bcda_job_issue_count(const bcda_job *job, int severity);

#ifdef __cplusplus
}
#endif

#endif
