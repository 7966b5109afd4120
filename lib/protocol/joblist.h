/* The list of jobs, GET /jobs (bcda-api 5.4): a Bundle of Tasks. */
#ifndef BCDA_PROTOCOL_JOBLIST_H
#define BCDA_PROTOCOL_JOBLIST_H

#include <stddef.h>

#include "base/err.h"

enum { BCDA__JOB_ID_MAX = 64 };

/* Finds the running job of an identical export: the first Task that is accepted or in-progress and
 * whose request has the path and query of this kick-off URL. Scheme and host are not compared,
 * because the server may use other names for itself. An escaped plain character is equal to the
 * plain one. A Task with another request is not identical, even if it overlaps: its files would not
 * be those that were requested. 1 = found, and `id` is filled. 0 = none. Negative:
 * BCDA_ERR_NOT_JSON, NOMEM. */
int bcda__joblist_twin(const char *body, size_t len, const char *kickoff_url,
                       char id[BCDA__JOB_ID_MAX + 1]);

#endif
