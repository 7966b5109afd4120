/* The download of one file: request, decoding, delivery, verdict. */
#ifndef BCDA_CLIENT_DOWNLOAD_H
#define BCDA_CLIENT_DOWNLOAD_H

#include "client/job.h"

struct bcda__download;

/* Begins (on_file BEGIN runs in here). The job may have ended when it returns. */
void bcda__download_start(bcda_job *job, struct bcda_file *file);
/* Goes on after a pause or a pulled batch. The download, or the job, may be gone when it returns.
 */
void bcda__download_advance(struct bcda__download *d);
struct bcda__download *bcda__download_next(const struct bcda__download *d);
int bcda__download_has_batch(const struct bcda__download *d);
struct bcda_batch *bcda__download_take_batch(struct bcda__download *d); /* for bcda_job_next() */
/* Breaks off: verdict failed with `err`, on_file END, freed. For the end of the job only. */
void bcda__download_abort(struct bcda__download *d, const struct bcda_error *err);
/* Marks, for walking the list while it changes. */
void bcda__download_mark(struct bcda__download *d, int mark);
int bcda__download_is_marked(const struct bcda__download *d);

#endif
