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
#define BCDA_JOB_RUNNING     2 /* the server is polled; bcda_job_url() is known: keep it */
#define BCDA_JOB_DOWNLOADING 3 /* the manifest was received: bcda_job_file_count() */
#define BCDA_JOB_DONE        4 /* succeeded: bcda_job_result() is BCDA_OK */
#define BCDA_JOB_FAILED      5 /* failed: bcda_job_error() */

/*
 * Starts an export and everything that follows: token, kick-off, polling, every file. Nothing is
 * sent and no callback runs before bcda_session_run() or _step(). Both `export_` and `handlers` are
 * copied. `handlers` may be NULL; the data, and the end of the job, are then taken with
 * bcda_job_next(). On success the caller owns one reference of *out, and on_done will run exactly
 * once. If `out` is NULL, only the session keeps the job, until its end. Errors: BCDA_ERR_INVALID
 * (an argument is NULL; `handlers` has both on_resource and on_batch; the URL of the export is
 * longer than 262,144 bytes); BCDA_ERR_CONFIG (group level without a group, resource level without
 * exactly one type); BCDA_ERR_STATE (the session is being freed); BCDA_ERR_FORKED; BCDA_ERR_NOMEM.
 * On failure no callback runs for the job. bcda_session_error() says more. From callbacks: queued.
 * Thread: owner. Since 0.1.
 *
 * The job itself later has one of these results (bcda_job_result()). BCDA_OK: every file is
 * complete. The code of the request that failed (-100 to -299). The code of the first file that
 * failed (-100 to -399); the other files were still downloaded. BCDA_ERR_GONE,
 * BCDA_ERR_JOB_CANCELLED: a file was missing (404 or 410), so the library requested the job's
 * status, and the server no longer had the job; files that had not begun have BCDA_VERDICT_NONE.
 * BCDA_ERR_URL and BCDA_ERR_INSECURE_URL: a URL that the server named cannot or must not be used.
 * BCDA_ERR_SPOOL and BCDA_ERR_SPOOL_FULL (verified delivery). BCDA_ERR_IO
 * (bcda_job_save_to_file()). BCDA_ERR_STOPPED, BCDA_ERR_CANCELLED,
 * BCDA_ERR_CALLBACK, BCDA_ERR_JOB_TIMEOUT, BCDA_ERR_NOMEM, BCDA_ERR_LIBRARY, BCDA_ERR_SYSTEM.
 */
BCDA_API int bcda_job_start(bcda_session *session, const bcda_export *export_,
                            const bcda_handlers *handlers, bcda_job **out);

/*
 * Resumes a job that was started before: polls the URL that bcda_job_url() returned, then
 * downloads. `export_` may be NULL. Only its fields (bcda_export_add_field()) and its types are
 * used; the manifest is compared with the types (bcda_job_missing_type_count()). The URL must have
 * the origin of the FHIR URL (otherwise BCDA_ERR_ORIGIN), because the token is sent to it.
 * BCDA_ERR_URL: not an absolute URL, or longer than 65,536 bytes. BCDA_ERR_INSECURE_URL: an http
 * URL that is not allowed. In all other respects it is like bcda_job_start(). From callbacks:
 * queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_attach(bcda_session *session, const char *status_url,
                             const bcda_export *export_, const bcda_handlers *handlers,
                             bcda_job **out);

/*
 * Resumes a job from its saved text, perhaps in another process or on another machine. The text is
 * what bcda_job_save() returned, followed by what each later bcda_job_save_changes() returned.
 * Files that were complete are not downloaded again (BCDA_VERDICT_SKIPPED). If the server no longer
 * has the job (BCDA keeps the files for a day), the job ends with BCDA_ERR_NOT_FOUND, BCDA_ERR_GONE
 * or BCDA_ERR_JOB_CANCELLED. bcda_job_file() then still returns the files that the text lists:
 * BCDA_VERDICT_SKIPPED if they were complete, else BCDA_VERDICT_NONE.
 * bcda_export_new_remaining() requests the rest. BCDA_ERR_INVALID: `saved` is not such a text, or
 * it was damaged; each line of it has a checksum. BCDA_ERR_UNSUPPORTED: a later version of the
 * library has written it; texts of earlier versions are accepted. In all other respects it is like
 * bcda_job_attach(). From callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_restore(bcda_session *session, const char *saved, size_t len,
                              const bcda_export *export_, const bcda_handlers *handlers,
                              bcda_job **out);

/*
 * Writes what bcda_job_restore() needs to resume the job later, as one line of JSON: the status
 * URL, the requested types, if they are known, and the files of the manifest, with their verdicts.
 * A file is named by the path of its URL, without the query. The text contains no secret and no
 * patient data. It replaces every text that was saved before. Call it after on_state, and at the
 * END of each file, once the application has stored the file's resources safely: the text then
 * lists the file as complete. *out is NUL-terminated; free it with bcda_free(). Errors:
 * BCDA_ERR_INVALID; BCDA_ERR_STATE (the server has not accepted the job yet); BCDA_ERR_NOMEM;
 * BCDA_ERR_FORKED. From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_save(bcda_job *job, char **out);

/*
 * Writes only what has changed since the last call of this function or of bcda_job_save(). Append
 * *out to the text that was saved before. So a job of 10,000 files does not write the whole list at
 * the end of each file. *out consists of lines, each with a line feed before it, and is "" if
 * nothing has changed. The first call, and the first one after the manifest was received, write the
 * whole job, as bcda_job_save() does; bcda_job_restore() ignores the lines before it.
 *
 * To load every file exactly once, store *out in the transaction that stores the file's resources:
 * call this function at the END of the file, and commit both. If the commit fails, return
 * BCDA_STOP: the library then does not count the file as complete, and the next call of either
 * function writes the whole job. Errors: those of bcda_job_save(): BCDA_ERR_INVALID,
 * BCDA_ERR_STATE (also if the job has on_saved_state or bcda_job_save_to_file()), BCDA_ERR_NOMEM,
 * BCDA_ERR_FORKED. From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_save_changes(bcda_job *job, char **out);

/*
 * Keeps the saved text of the job in a file from now on, until the job is freed. Whenever something
 * changes that bcda_job_save_changes() would write, the library stores it there: it appends to the
 * file, or writes a new file (`path` with ".tmp") and renames it, and waits until the data is on
 * the disk. At the END of a file this happens after on_file has returned CONTINUE; what is written
 * during on_file, because of another file, does not have this END. A crash between the
 * application's own commit and this write makes the file be delivered again after
 * bcda_job_restore_from_file(), so replace resources that are there already; or save the text in
 * the transaction of the application (bcda_job_save_changes(), on_saved_state).
 *
 * A file with this name is replaced once the server has accepted the job. It is created with mode
 * 0600, and locked (flock()), so that no other job uses it. The library never removes it. If
 * writing fails, the job ends with BCDA_ERR_IO. Errors: BCDA_ERR_INVALID (an argument is NULL or
 * empty); BCDA_ERR_STATE (the job has ended, has on_saved_state, or keeps a file already);
 * BCDA_ERR_IO (the file cannot be opened, written or locked; the text says why); BCDA_ERR_NOMEM;
 * BCDA_ERR_FORKED. From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_save_to_file(bcda_job *job, const char *path);

/*
 * Resumes a job from the file of bcda_job_save_to_file(), and keeps its text there. If the system
 * was interrupted while it wrote the last line of the file, this line is ignored. BCDA_ERR_END: the
 * file is empty, because the program ended before the server had accepted the job; start the job
 * again, and choose the file by bcda_job_save_to_file(). BCDA_ERR_INVALID: also if `path` is empty,
 * the file is not a saved job or was damaged, or `handlers` has on_saved_state. BCDA_ERR_IO: the
 * file cannot be opened, read or locked. In all other respects it is like bcda_job_restore(). From
 * callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_restore_from_file(bcda_session *session, const char *path,
                                        const bcda_export *export_, const bcda_handlers *handlers,
                                        bcda_job **out);

/*
 * Says that the application has stored all lines of the file up to `line`, a line number of
 * bcda_resource_line_number(), bcda_batch_line_numbers(), or an invalid line. The saved text
 * (bcda_job_save(), bcda_job_save_changes()) then contains this line, and a hash of the file up to
 * the end of its batch. After bcda_job_restore(), the file is downloaded again, the bytes before
 * that position are compared by the hash, and delivery begins with the line after `line`. If the
 * bytes differ, the file fails with BCDA_ERR_CHANGED before anything is delivered. A file whose END
 * was reported with CONTINUE is complete without this call. For the batches of bcda_job_next(), if
 * BCDA_OPT_CONFIRM_LINES is not 0, a file counts as complete only when its last line was confirmed.
 *
 * If a file fails because of its content (-300 to -399), nothing of it is confirmed any more
 * (bcda_file_confirmed_line() is 0): discard what was stored of it. After any other failure, the
 * lines up to bcda_file_confirmed_line() stay valid; discard only the lines after it.
 *
 * Lines are confirmed in increasing order. BCDA_ERR_INVALID: an argument is NULL; the file is not
 * one of the job; the line was not delivered, or is before the last confirmed line. BCDA_ERR_STATE:
 * BCDA_OPT_CONFIRM_LINES does not allow it; the file has failed, or was skipped. BCDA_ERR_AGAIN:
 * this line cannot be confirmed any more, because more than 500 later batches were delivered; a
 * later line can. BCDA_ERR_IO, BCDA_ERR_STOPPED, BCDA_ERR_CALLBACK: the line could not be saved
 * (bcda_job_save_to_file(), on_saved_state), and is not confirmed. BCDA_ERR_NOMEM. BCDA_ERR_FORKED.
 * From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_confirm(bcda_job *job, const bcda_file *file, int64_t line);

/*
 * Ends the job: the next run or step calls on_done with BCDA_ERR_CANCELLED. By default nothing is
 * sent to the server. The job continues there, and bcda_job_attach() can resume it later. With
 * BCDA_OPT_CANCEL_AT_SERVER, a job that the server still works on is first cancelled at the server
 * (DELETE; bcda-api 5.3), with a few attempts at most; on_done follows. A job is not cancelled at
 * the server if it was taken over, if its kick-off is in progress, or if its files are ready. A job
 * that has ended is not changed. BCDA_ERR_INVALID, BCDA_ERR_FORKED. From callbacks: queued. Thread:
 * owner. Since 0.1.
 */
BCDA_API int bcda_job_cancel(bcda_job *job);

/*
 * Pauses and resumes the delivery of a job. While a job is paused, nothing is delivered and, once
 * its bounded buffers are full, nothing is read from the network. A job that is resumed continues
 * with the next resource of each file; the order of several files is not defined. bcda_job_resume()
 * also ends a pause that a callback requested by BCDA_PAUSE. The server may close a connection that
 * is paused for long (BCDA closes it 360 or 900 s after the start of a file; bcda-api 1).
 * BCDA_ERR_INVALID, BCDA_ERR_FORKED. From callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_pause(bcda_job *job);
BCDA_API int bcda_job_resume(bcda_job *job);

/*
 * Takes the next batch, of any file of the job. For jobs without on_resource and on_batch. The
 * caller owns the batch and releases it by bcda_batch_unref(). Batches of error files
 * (bcda_file_is_error()) are returned too, unless the job has on_server_issue, which then gets the
 * issues. Batches of files of deletions are returned if BCDA_OPT_PULL_DELETIONS is 1 and the job
 * has no on_deleted (bcda_batch_deletion_count()). The function does no I/O and runs no callback.
 * Returns BCDA_OK, or an error. BCDA_ERR_AGAIN: nothing is ready: call bcda_session_run(), or wait
 * for the descriptor and step. BCDA_ERR_END: the job has ended and all batches were taken; see
 * bcda_job_result(). BCDA_ERR_INVALID; BCDA_ERR_STATE (the job has data callbacks);
 * BCDA_ERR_REENTRANT; BCDA_ERR_FORKED. Until a batch is taken, its file still counts as one of the
 * BCDA_OPT_PARALLEL downloads. From callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_job_next(bcda_job *job, bcda_batch **out);

/* A reference keeps the job valid after on_done. Releasing the last reference does not end a job
 * that still runs. From callbacks: yes. Thread: owner. Since 0.1. */
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
 * The verdict on the whole job. BCDA_VERDICT_NONE: the job still runs. _COMPLETE: every file is
 * complete. _COMPLETE_ERRORS: every file is complete, but something needs attention: invalid lines,
 * issues of severity error or fatal that the server reported, a requested type without a file
 * (bcda_job_missing_type_count()), or deletions that were not delivered
 * (bcda_job_deleted_file_count(), and no on_deleted or BCDA_OPT_PULL_DELETIONS). _FAILED: the job
 * has failed; see bcda_job_error().
 */
BCDA_API int bcda_job_verdict(const bcda_job *job);
/* Why the job failed; NULL if it still runs or has succeeded. */
BCDA_API const bcda_error *bcda_job_error(const bcda_job *job);
/* The status URL (Content-Location); "" until the server has accepted the job. */
BCDA_API const char *bcda_job_url(const bcda_job *job);
/* The last segment of the status URL; "" until the server has accepted the job. */
BCDA_API const char *bcda_job_id(const bcda_job *job);
/* 1: an identical export was already running, and this job took it over
 * (BCDA_DUPLICATE_TAKE_OVER). */
BCDA_API int bcda_job_is_taken_over(const bcda_job *job);
/* The last X-Progress header of the server; valid until the next run or step. */
BCDA_API const char *bcda_job_progress_text(const bcda_job *job);
/* The percentage in the last X-Progress header, 0 to 100; -1 = none. The percentage may jump, and
 * 100 does not mean that the job has ended (bcda-api 5.1). */
BCDA_API int bcda_job_progress_percent(const bcda_job *job);
/* The transactionTime of the manifest, unchanged, for bcda_export_set_since() of the next export.
 * "" before the manifest was received. */
BCDA_API const char *bcda_job_transaction_time(const bcda_job *job);
/* The files of the manifest: data files, then files of deletions if they are downloaded, then
 * error files. The count is 0 before the manifest was
 * received. bcda_job_file() returns NULL if `i` is not below the count. */
BCDA_API size_t bcda_job_file_count(const bcda_job *job);
BCDA_API const bcda_file *bcda_job_file(const bcda_job *job, size_t i);
/*
 * The number of requested types that have no data file in the manifest; 0 before the manifest was
 * received, and if no types were requested. The requested types are those of the export (at
 * BCDA_LEVEL_RESOURCE the one in the path) and those of a parameter `_type`; a type that is named
 * only in a `_typeFilter` does not count. bcda_job_save() saves the requested types. If they are
 * not known (bcda_job_attach() without types in its export, or a text saved by a version that did
 * not save them), the types in the manifest's `request` URL are used. A server may leave a type out
 * because it has nothing to export for it (BCDA since January 2021 lists no empty files), or
 * because another job exports that type at the same time (BCDA until April 2021): the manifest does
 * not distinguish the two cases.
 */
BCDA_API size_t bcda_job_missing_type_count(const bcda_job *job);
/* The i-th requested type that has no data file, in the order of the request; NULL if `i` is not
 * below the count. */
BCDA_API const char *bcda_job_missing_type(const bcda_job *job, size_t i);
/* The number of entries in the manifest's `deleted` (in Bulk Data, files that list deleted
 * resources). If the job has no on_deleted, and does not pull them (BCDA_OPT_PULL_DELETIONS), these
 * files are not downloaded, and they are not among the files of the job. 0 before the manifest was
 * received, and always at BCDA. */
BCDA_API size_t bcda_job_deleted_file_count(const bcda_job *job);
/* The number of deletions that were reported to on_deleted, or returned in batches. */
BCDA_API int64_t bcda_job_deletions(const bcda_job *job);
/* Sums over the files of the job, data and error files. */
BCDA_API int64_t bcda_job_bytes_received(const bcda_job *job);
BCDA_API int64_t bcda_job_bytes(const bcda_job *job);
BCDA_API int64_t bcda_job_bad_lines(const bcda_job *job);
/* The delivered resources of data files. bcda_job_issue_count() counts the issues of error files,
 * and bcda_file_resources() the resources of one file. */
BCDA_API int64_t bcda_job_resources(const bcda_job *job);
/* The number of files that have a verdict. */
BCDA_API size_t bcda_job_files_ended(const bcda_job *job);
/* The number of issues with this BCDA_SEVERITY_* in the error files. */
BCDA_API int64_t bcda_job_issue_count(const bcda_job *job, int severity);

#ifdef __cplusplus
}
#endif

#endif
