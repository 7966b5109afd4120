/* The jobs of a session: their order, their fair share of the downloads, and those that have ended
 * and are released when the outermost call returns. */
#ifndef BCDA_CLIENT_JOBS_H
#define BCDA_CLIENT_JOBS_H

#include "client/job.h"

struct bcda__jobs {
    struct bcda__job_owner owner; /* what jobs report to */
    bcda_job *first, *last;       /* that have not ended */
    bcda_job *ended;
};

void bcda__jobs_init(struct bcda__jobs *jobs);
void bcda__jobs_add(struct bcda__jobs *jobs, bcda_job *job); /* takes over its reference */
void bcda__jobs_sweep(struct bcda__jobs *jobs);              /* releases those that have ended */
void bcda__jobs_end(struct bcda__jobs *jobs, const struct bcda_error *err); /* all of them */
int bcda__jobs_have_batch(const struct bcda__jobs *jobs); /* for bcda_job_next() */
int bcda__jobs_are_idle(const struct bcda__jobs *jobs);   /* nothing can happen */

#endif
