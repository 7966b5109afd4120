/* A job: one export, from kick-off to the last file (doc/design.md). */
#ifndef BCDA_CLIENT_JOB_H
#define BCDA_CLIENT_JOB_H

#include "bcda/job.h"
#include "client/call.h"
#include "client/download.h"
#include "client/export.h"
#include "client/start.h"
#include "client/state.h"

/* What a job asks of the list of jobs that it is in, and reports to it. */
struct bcda__job_owner {
    int (*has_slot)(void *ctx, const bcda_job *job); /* 1: this job may start one more download */
    void (*slots_changed)(void *ctx);                /* jobs that wait for a slot are poked */
    void (*job_ended)(void *ctx, bcda_job *job);
    void *ctx;
};

struct bcda_job {
    atomic_int refs;          /* one of them the session's, until the end */
    struct bcda__context *cx; /* NULL once it has ended */
    const struct bcda__job_owner *owner;
    bcda_job *prev, *next;
    struct bcda_handlers handlers;
    struct bcda__field_set *fields;
    char *kickoff_url;          /* NULL: attached */
    struct bcda__texts types;   /* requested; none = everything */
    int types_known;            /* 0: the manifest's `request` will say which */
    struct bcda__texts missing; /* requested types without a data file */
    struct bcda__texts done;    /* the URL paths of complete files, of an earlier run included */

    int state, result, ended;
    struct bcda_error err;
    char *url;
    const char *id; /* within url */
    char label[72]; /* "job 42", for log lines; "job" before it is accepted */
    char progress_text[128];
    int percent;

    struct bcda__start start;
    struct bcda__call *call; /* status or cancel */
    struct bcda__timer poll, deadline, progress, poke;
    int empties;       /* manifests without a file, of a job just started */
    int is_taken_over; /* the job is the identical one that was running */
    int is_cancelling; /* the DELETE was sent */
    int64_t retries;   /* of all its requests */
    int64_t begun_ms;
    int64_t accepted_ms; /* when the server accepted it; of one that was attached, begun_ms */
    struct bcda__manifest_parser *parser;
    struct bcda_error parse_err;
    int64_t manifest_bytes;

    struct bcda__downloads downloads;
    size_t next_file, files_ended;
    int64_t sum[BCDA__SUMS];
    struct bcda_error file_err; /* of the first file that failed */
    /* Whether the server still has the job, asked once when a file is missing. */
    enum { BCDA__UNASKED, BCDA__ASKING, BCDA__THERE } presence;
};

/* Creates a job; the first step begins it. `kickoff_url` or `status_url` is NULL. The contents
 * of a saved job (`saved`, or NULL) are moved out of it. NOMEM. */
int bcda__job_create(bcda_job **out, struct bcda__context *cx, const struct bcda__job_owner *owner,
                     const char *kickoff_url, const char *status_url, const bcda_export *x,
                     const bcda_handlers *handlers, struct bcda__state *saved);
/* Ends the job with all that follows; once. `err` may be NULL for 0. */
void bcda__job_end(bcda_job *job, int code, const struct bcda_error *err);
/* In the next step the job handles cancel, pause, waiting batches and free slots. */
void bcda__job_poke(bcda_job *job);
int bcda__job_wants_slot(bcda_job *job);      /* a file waits to be downloaded */
int bcda__job_has_batch(const bcda_job *job); /* for bcda_job_next() */
int bcda__job_is_idle(const bcda_job *job);   /* paused, and nothing can happen */

#endif
