/*
 * bcda/types.h - names shared by all headers of libbcda. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_TYPES_H
#define BCDA_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define BCDA_API __attribute__((visibility("default")))
#else
#define BCDA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Rules that apply to all functions. The comments of the functions do not repeat them.
 *
 * - Functions that can fail return int: 0 (BCDA_OK) or a negative BCDA_ERR_*. They return positive
 *   values only where the comment says so. Callers must accept codes that they do not know.
 * - Constructors put the new object in *out as the last thing they do; on failure *out is
 *   untouched.
 * - `_free` and `_unref` accept NULL. `_ref` returns its argument.
 * - Getters return borrowed pointers; the comments say how long they are valid. Strings are UTF-8,
 *   end with NUL, and are never NULL unless the comment says so. Arguments that the library copies
 *   are copied before the call returns.
 * - A session and everything that was started on it belong to one thread at a time (the "owner").
 *   They may move between threads if the caller synchronises the move. Different sessions are
 *   independent. "Thread: any" means any thread, if no other thread uses the same object at that
 *   moment.
 * - A function that starts, sets or cancels runs no callback. Callbacks run only inside
 *   bcda_session_run(), bcda_session_step() and bcda_session_free().
 * - Times are milliseconds unless the name says otherwise; sizes are bytes; booleans are int.
 */

/* The server, an identity and every setting (bcda/config.h). */
typedef struct bcda_config bcda_config;
/* One identity at one server, with its event engine (bcda/session.h). */
typedef struct bcda_session bcda_session;
/* What to ask for (bcda/export.h). */
typedef struct bcda_export bcda_export;
/* Callbacks (bcda/handlers.h). */
typedef struct bcda_handlers bcda_handlers;
/* One export, from kick-off to the last byte (bcda/job.h). */
typedef struct bcda_job bcda_job;
/* One entry of a job's manifest (bcda/file.h). */
typedef struct bcda_file bcda_file;
/* One FHIR resource (bcda/resource.h). */
typedef struct bcda_resource bcda_resource;
/* Many resources of one file (bcda/batch.h). */
typedef struct bcda_batch bcda_batch;
/* Decodes a file without a session (bcda/decoder.h). */
typedef struct bcda_decoder bcda_decoder;
/* A description of one failure (bcda/error.h). */
typedef struct bcda_error bcda_error;
/* A request that belongs to no job: metadata or version (bcda/request.h). */
typedef struct bcda_request bcda_request;
/* A request for a token, which the application answers (bcda/config.h). */
typedef struct bcda_token_request bcda_token_request;
/* An invalid line (bcda/handlers.h). */
typedef struct bcda_bad_line bcda_bad_line;
/* One issue that the server reported in an error file (bcda/handlers.h). */
typedef struct bcda_issue bcda_issue;
/* A resource that the server has deleted (bcda/handlers.h). */
typedef struct bcda_deletion bcda_deletion;

/*
 * Results of a callback that returns int. Zero stops the job, because zero is what a foreign
 * language returns to C when its callback raised an exception: the exception then stops the job,
 * and no data is lost. Any value but these three stops the job with BCDA_ERR_CALLBACK.
 */
#define BCDA_STOP     0 /* end the job with BCDA_ERR_STOPPED */
#define BCDA_CONTINUE 1 /* continue */
#define BCDA_PAUSE    2 /* data callbacks only: deliver this again after bcda_job_resume() */

/* Releases the userdata of a registration. Runs exactly once, after the last callback that could
 * use it: when the last config, session or job that holds the registration is freed. Must not call
 * the library. Never runs for a registration that failed; the caller then still owns the
 * userdata. */
typedef void (*bcda_destroy_cb)(void *userdata);

#ifdef __cplusplus
}
#endif

#endif
