/* The answer to GET /jobs, the list of jobs (bcda-api 5.4). It is a Bundle of Tasks. */
#ifndef BCDA_PROTOCOL_JOBLIST_H
#define BCDA_PROTOCOL_JOBLIST_H

#include <stddef.h>

#include "base/err.h"

enum { BCDA__JOB_ID_MAX = 64 };

/* Finds the running job of an identical export: the first Task that is accepted or in-progress and
 * whose request has the path and query of this kick-off URL. Scheme and host are not compared,
 * because the server may use other names for itself. Characters that are escaped without need are
 * equal to unescaped ones. A Task with another request is never chosen, even if the two requests
 * overlap, because its files would not be those that were requested. Returns 1 and sets `id` if
 * there is such a job, 0 if there is none, or BCDA_ERR_NOT_JSON or NOMEM. */
int bcda__joblist_twin(const char *body, size_t len, const char *kickoff_url,
                       char id[BCDA__JOB_ID_MAX + 1]);

#endif
