/* A job: one export, from the kick-off to the end of the last file (doc/design.md). */
#ifndef BCDA_CLIENT_JOB_H
#define BCDA_CLIENT_JOB_H

#include "bcda/job.h"
#include "client/call.h"
#include "client/download.h"
#include "client/export.h"
#include "client/saving.h"
#include "client/start.h"
#include "client/state_file.h"

/* Functions that a job calls; they belong to the list of jobs that contains it. */
struct bcda__job_owner {
    /* Returns 1 if this job may start one more download. */
    int (*has_slot)(void *ctx, const bcda_job *job);
    /* Pokes all jobs of the list, because some may wait for a slot. */
    void (*slots_changed)(void *ctx);
    void (*job_ended)(void *ctx, bcda_job *job);
    void *ctx;
};

struct bcda_job {
    atomic_int refs;          /* the session has one of these references until the job ends */
    struct bcda__context *cx; /* NULL after the job has ended */
    const struct bcda__job_owner *owner;
    bcda_job *prev, *next;
    struct bcda_handlers handlers;
    int takes_deletions; /* the files of deletions are downloaded */
    struct bcda__field_set *fields;
    char *kickoff_url;        /* NULL if the job was attached to */
    struct bcda__texts types; /* requested resource types; empty = all */
    /* 0 = the requested types are not known until the manifest's `request` was read. */
    int types_known;
    struct bcda__texts missing; /* requested types without a data file */
    struct bcda__saving saving;
    struct bcda__state_file *state_file; /* bcda_job_save_to_file(); NULL = none */
    struct bcda_file *ending;            /* on_file reports the END of this file now; or NULL */
    /* Which lines can be confirmed (BCDA_CONFIRM_*), after BCDA_OPT_DELIVERY was considered. */
    int confirms;

    int state, result, ended;
    struct bcda_error err;
    char *url;
    const char *id; /* points into `url` */
    char label[72]; /* "job 42", for log lines; "job" before it is accepted */
    char progress_text[128];
    int percent;

    struct bcda__start start;
    struct bcda__call *call; /* a request of the status, or the cancellation */
    struct bcda__timer poll, deadline, progress, poke;
    int empties;       /* number of empty manifests received soon after the start */
    int is_taken_over; /* the job is the identical export that was already running */
    int is_cancelling; /* the DELETE that cancels the job was sent */
    int64_t retries;   /* number of retries of all requests of the job */
    int64_t begun_ms;
    /* When the server accepted the job; equal to begun_ms if the application attached to the
     * job. */
    int64_t accepted_ms;
    struct bcda__manifest_parser *parser;
    struct bcda_error parse_err;
    int64_t manifest_bytes;

    struct bcda__downloads downloads;
    size_t next_file, files_ended;
    int64_t sum[BCDA__SUMS];
    struct bcda_error file_err; /* error of the first file that failed */
    /* Whether the server still has the job; this is asked once, when a file is missing. */
    enum { BCDA__UNASKED, BCDA__ASKING, BCDA__THERE } presence;
};

/* Creates a job, which the first step begins. One of `kickoff_url` and `status_url` is NULL. The
 * contents of `saved`, a saved job or NULL, are moved into the job. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__job_create(bcda_job **out, struct bcda__context *cx, const struct bcda__job_owner *owner,
                     const char *kickoff_url, const char *status_url, const bcda_export *x,
                     const bcda_handlers *handlers, struct bcda__state *saved);
/* Ends the job: stops everything, and calls the last callbacks. Further calls have no effect. `err`
 * may be NULL if `code` is 0. */
void bcda__job_end(bcda_job *job, int code, const struct bcda_error *err);
/* Makes the job check in the next step whether the application has cancelled, paused or resumed it,
 * whether batches wait for delivery, and whether a download slot is free. */
void bcda__job_poke(bcda_job *job);
int bcda__job_wants_slot(bcda_job *job);      /* whether a file waits to be downloaded */
int bcda__job_has_batch(const bcda_job *job); /* whether a batch waits for bcda_job_next() */
int bcda__job_is_idle(
    const bcda_job *job); /* whether it is paused, and will do nothing by itself */

/* ---- job_save.c ---- */

/* Confirms lines: see bcda_job_confirm(). BCDA_ERR_AGAIN does not change `err`. */
int bcda__job_confirm(bcda_job *job, const bcda_file *file, int64_t line, struct bcda_error *err);
/* Returns 1 if the library keeps the saved text in a file, or reports it to on_saved_state. */
int bcda__job_is_kept(const bcda_job *job);
/* Keeps what has changed there, if anything has. Returns 0 or an error code. */
int bcda__job_keep(bcda_job *job, struct bcda_error *err);
/* Add to `out` what bcda_job_save() and bcda_job_save_changes() return. The job must have a status
 * URL. Return 0 or an error code. */
int bcda__job_save(bcda_job *job, struct bcda__buf *out);
int bcda__job_save_changes(bcda_job *job, struct bcda__buf *out);

#endif
