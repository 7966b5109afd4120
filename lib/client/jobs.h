/* The jobs of a session: their order, their fair share of the downloads, and the jobs that have
 * ended, which are released when the outermost call returns. */
#ifndef BCDA_CLIENT_JOBS_H
#define BCDA_CLIENT_JOBS_H

#include "client/job.h"

struct bcda__jobs {
    struct bcda__job_owner owner; /* the functions that jobs call */
    bcda_job *first, *last;       /* jobs that have not ended */
    bcda_job *ended;
};

void bcda__jobs_init(struct bcda__jobs *jobs);
void bcda__jobs_add(struct bcda__jobs *jobs, bcda_job *job); /* takes over the caller's reference */
void bcda__jobs_sweep(struct bcda__jobs *jobs);              /* releases the jobs that have ended */
void bcda__jobs_end(struct bcda__jobs *jobs, const struct bcda_error *err); /* ends all jobs */
/* Whether a batch waits for bcda_job_next(). */
int bcda__jobs_have_batch(const struct bcda__jobs *jobs);
int bcda__jobs_are_idle(
    const struct bcda__jobs *jobs); /* whether no job will do anything by itself */

#endif
