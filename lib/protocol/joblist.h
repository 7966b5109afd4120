/* The list of jobs, GET /jobs (bcda-api 5.4): a Bundle of Tasks. */
#ifndef BCDA_PROTOCOL_JOBLIST_H
#define BCDA_PROTOCOL_JOBLIST_H

#include <stddef.h>

#include "base/err.h"

enum { BCDA__JOB_ID_MAX = 64 };

/* The twin of an export: the first Task that is accepted or in-progress and whose request is this
 * kick-off URL: the same path and query, whatever scheme and host the server gives itself, and with
 * %-escapes of plain characters read as those. 1: found, `id` is filled. 0: there is none.
 * Negative: BCDA_ERR_NOT_JSON, NOMEM. A task that overlaps but asks for something else is no twin:
 * its files would not be what was asked for. */
int bcda__joblist_twin(const char *body, size_t len, const char *kickoff_url,
                       char id[BCDA__JOB_ID_MAX + 1]);

#endif
