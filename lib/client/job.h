/* One export as a state machine. */
#ifndef BCDA_CLIENT_JOB_H
#define BCDA_CLIENT_JOB_H

#include "bcda/job.h"
#include "client/call.h"
#include "client/deliver.h"
#include "client/export.h"
#include "client/file.h"
#include "client/session.h"
#include "client/state.h"

struct bcda__download;

struct bcda_job {
    atomic_int refs; /* one of them the session's, until the end */
    bcda_session *s; /* NULL once it has ended */
    bcda_job *prev, *next;
    struct bcda_handlers handlers;
    struct bcda__field_set *fields;
    char *kickoff_url;          /* NULL: attached */
    struct bcda__texts types;   /* requested; none = everything */
    int types_known;            /* 0: the manifest's `request` will say which */
    struct bcda__texts missing; /* requested types without a data file */
    struct bcda__texts done; /* files that are complete, of an earlier run too: their URL's path */

    int state, result, ended;
    struct bcda_error err;
    char *url;
    const char *id;  /* within url */
    char label[72];  /* "job 42", for log lines; "job" before it is accepted */
    char asking[96]; /* of the request under way: "job 42, status" */
    char progress_text[128];
    int percent;

    struct bcda__call *call; /* kick-off or status */
    struct bcda__timer poll, deadline, progress, poke;
    int empties;
    int refusals;    /* of the kick-off, because an identical export is running */
    int taken_over;  /* that job is now this one */
    int64_t asked;   /* Retry-After of the last refusal */
    int64_t retries; /* of all its requests */
    int64_t begun_ms;
    int64_t accepted_ms; /* when the server accepted it; of one that was attached, begun_ms */
    struct bcda__manifest_parser *parser;
    struct bcda_error parse_err;
    int64_t manifest_bytes;

    struct bcda__files *files;
    size_t next_file, files_ended;
    struct bcda__download *downloads; /* open ones */
    int64_t open;                     /* how many */
    int64_t received, bytes, resources, bad_lines;
    int64_t issues[5];
    struct bcda_error file_err; /* of the first file that failed */
    /* Whether the server still has the job, asked once when a file is missing. */
    enum { BCDA__UNASKED, BCDA__ASKING, BCDA__THERE } presence;

    int pull;   /* no data callback: batches wait for bcda_job_next() */
    int paused; /* by the application */
    int cancel_wanted;
    int cancelling; /* the DELETE is under way */
};

/* A line about this job, which begins with its label. */
void bcda__job_log(const bcda_job *job, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A type that a server names, if it is 1 to 64 letters: nothing else of it may stand in a line. */
const char *bcda__job_type_for_log(const char *type, const char *otherwise);
/* What the request under way is called in log lines: the job's label and this. */
const char *bcda__job_asks(bcda_job *job, const char *what);

/* What bcda_job_start() and its kin share. `kickoff_url` or `status_url` is NULL. What a saved job
 * has (`saved`, or NULL) is taken out of it. */
int bcda__job_create(bcda_job **out, bcda_session *s, const char *kickoff_url,
                     const char *status_url, const bcda_export *x, const bcda_handlers *handlers,
                     struct bcda__state *saved);
/* The end, with everything that follows from it; once. `err` may be NULL for 0. */
void bcda__job_end(bcda_job *job, int code, const struct bcda_error *err);
/* The same, for an error that may be part of what the end frees. */
void bcda__job_fail(bcda_job *job, const struct bcda_error *err);
void bcda__job_fail_nomem(bcda_job *job);
/* The server has it, at this status URL: it is polled from `delay_ms` on. */
void bcda__job_accepted(bcda_job *job, const char *url, int64_t delay_ms);
void bcda__job_poke(
    bcda_job *job); /* looks after cancel, pause and waiting batches in the next step */
void bcda__job_pump(bcda_job *job);  /* begins downloads as far as the limits allow */
void bcda__job_touch(bcda_job *job); /* something moved: on_progress will follow */
/* A file has its verdict, and its download is gone. */
void bcda__job_file_ended(bcda_job *job, const struct bcda_file *file);
/* on_file: 0 to go on, or the job has been ended. */
int bcda__job_tell_file(bcda_job *job, const struct bcda_file *file, int event);
int bcda__job_is_waiting(const bcda_job *job); /* a pulled batch is ready */
int bcda__job_is_idle(const bcda_job *job);    /* paused, with nothing that could move */

#endif
