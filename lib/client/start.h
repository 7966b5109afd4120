/* The beginning of a job: the kick-off, and what is done where an identical export is already
 * running. */
#ifndef BCDA_CLIENT_START_H
#define BCDA_CLIENT_START_H

#include "client/job.h"

/* Asks the server to begin; bcda__job_accepted() or bcda__job_fail() follows. */
void bcda__start(bcda_job *job);

#endif
