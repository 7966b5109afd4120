/* The downloads of a job. Each requests one file, decodes and delivers it, and gives it a verdict.
 */
#ifndef BCDA_CLIENT_DOWNLOAD_H
#define BCDA_CLIENT_DOWNLOAD_H

#include "client/context.h"
#include "client/file.h"
#include "client/handlers.h"
#include "codec/batch.h"

struct bcda__download;

/* What a download reports to its job. */
enum bcda__download_event {
    BCDA__DOWNLOAD_BEGINS,    /* on_file is due. Returns 1 if the job has ended */
    BCDA__DOWNLOAD_PAUSES,    /* a callback asked for a pause of the job */
    BCDA__DOWNLOAD_ENDS_JOB,  /* a callback, or a lack of memory, ends the job with `err` */
    BCDA__DOWNLOAD_CONCLUDED, /* the file has its verdict, and the download is gone */
    BCDA__DOWNLOAD_ABORTED,   /* the same, by bcda__downloads_abort() */
};

/* What the downloads of one job share. The job fills and changes it; downloads only read it,
 * except for the list of downloads. */
struct bcda__downloads {
    struct bcda__context *cx;
    bcda_job *job;     /* for the callbacks */
    const char *label; /* for log lines: "job 42" */
    const struct bcda_handlers *handlers;
    const struct bcda__field_set *fields;
    struct bcda__files *files; /* of the manifest; NULL before it is here */
    int is_pulled;             /* no data callback: batches wait for bcda_job_next() */
    int is_paused;             /* by the application */
    int is_cancelled;          /* by the application */
    const int64_t *bad_lines;  /* of the job so far */
    int64_t *retries;          /* as in a call's spec */
    void (*count)(bcda_job *job, struct bcda_file *file, enum bcda__sum sum, int64_t n);
    int (*event)(bcda_job *job, struct bcda_file *file, enum bcda__download_event event,
                 const struct bcda_error *err);

    struct bcda__download *first;
    int64_t open; /* how many are in the list */
};

/* The job may have ended when it returns. */
void bcda__download_start(struct bcda__downloads *set, struct bcda_file *file);
/* Each continues after a pause or a pulled batch. The job may have ended when it returns. */
void bcda__downloads_advance(struct bcda__downloads *set);
/* Each ends: verdict failed with `err`. For the end of the job only. */
void bcda__downloads_abort(struct bcda__downloads *set, const struct bcda_error *err);
/* Batches for bcda_job_next(). */
int bcda__downloads_have_batch(const struct bcda__downloads *set);
struct bcda_batch *bcda__downloads_take_batch(struct bcda__downloads *set); /* NULL = none */

#endif
