/* The downloads of a job. Each download requests one file, decodes and delivers it, and sets its
 * verdict. */
#ifndef BCDA_CLIENT_DOWNLOAD_H
#define BCDA_CLIENT_DOWNLOAD_H

#include "client/context.h"
#include "client/file.h"
#include "client/handlers.h"
#include "codec/batch.h"

struct bcda__download;

/* What a download reports to its job. */
enum bcda__download_event {
    BCDA__DOWNLOAD_BEGINS,    /* on_file is to be called; the job returns 1 if it has ended */
    BCDA__DOWNLOAD_PAUSES,    /* a callback asked for a pause of the job */
    BCDA__DOWNLOAD_ENDS_JOB,  /* a callback or a lack of memory ends the job; `err` says why */
    BCDA__DOWNLOAD_CONCLUDED, /* the file has its verdict, and the download is freed */
    BCDA__DOWNLOAD_ABORTED,   /* as CONCLUDED, but caused by bcda__downloads_abort() */
};

/* What the downloads of one job share. The job fills and changes this; downloads only read it,
 * except that they add themselves to the list and remove themselves. */
struct bcda__downloads {
    struct bcda__context *cx;
    bcda_job *job;     /* passed to the callbacks */
    const char *label; /* for log lines: "job 42" */
    const struct bcda_handlers *handlers;
    const struct bcda__field_set *fields;
    struct bcda__files *files; /* files of the manifest; NULL until it has been received */
    int marks;                 /* lines can be confirmed: files keep the ends of batches */
    int is_pulled;             /* there is no data callback: batches wait for bcda_job_next() */
    int is_paused;             /* the application has paused the job */
    int is_cancelled;          /* the application has cancelled the job */
    const int64_t *bad_lines;  /* number of the job's invalid lines so far */
    int64_t *retries;          /* counter of retries (struct bcda__call_spec) */
    void (*count)(bcda_job *job, struct bcda_file *file, enum bcda__sum sum, int64_t n);
    int (*event)(bcda_job *job, struct bcda_file *file, enum bcda__download_event event,
                 const struct bcda_error *err);

    struct bcda__download *first;
    int64_t open; /* number of downloads in the list */
};

/* Starts a download. When this returns, the job may have ended. */
void bcda__download_start(struct bcda__downloads *set, struct bcda_file *file);
/* Continues each download after a pause, or after a batch was taken by bcda_job_next(). When this
 * returns, the job may have ended. */
void bcda__downloads_advance(struct bcda__downloads *set);
/* Ends each download with the verdict "failed" and `err`. To be called only when the job ends. */
void bcda__downloads_abort(struct bcda__downloads *set, const struct bcda_error *err);
/* Whether the batches of files of this kind wait for bcda_job_next(). Even in a pulled job,
 * deletions are reported to on_deleted, and the issues of error files to on_server_issue, if they
 * are set. To be called only before the job has ended. */
int bcda__downloads_are_pulled(const struct bcda__downloads *set, enum bcda__file_kind kind);
/* These two find batches for bcda_job_next(). */
int bcda__downloads_have_batch(const struct bcda__downloads *set);
struct bcda_batch *bcda__downloads_take_batch(struct bcda__downloads *set); /* NULL = none */

#endif
