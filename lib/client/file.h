/* The files of a job's manifest and their results. One reference count for all, so that batches
 * can outlive their job. */
#ifndef BCDA_CLIENT_FILE_H
#define BCDA_CLIENT_FILE_H

#include <stdatomic.h>

#include "base/err.h"
#include "bcda/file.h"
#include "bcda/handlers.h"
#include "protocol/manifest.h"

/* What is counted, for each file and for the job. */
enum bcda__sum {
    BCDA__SUM_RECEIVED, /* bytes of stored files */
    BCDA__SUM_BYTES,    /* bytes of NDJSON, decoded */
    BCDA__SUM_RESOURCES,
    BCDA__SUM_BAD_LINES,
    BCDA__SUM_ISSUES, /* with the severity added */
    BCDA__SUMS = BCDA__SUM_ISSUES + BCDA_SEVERITY_FATAL + 1
};

struct bcda_file {
    const struct bcda__entry *entry;
    size_t index;
    int64_t sum[BCDA__SUMS];
    int64_t expected; /* Content-Length of the first response; -1 */
    int verdict;
    struct bcda_error *error; /* NULL = none */
};

struct bcda__files {
    atomic_int refs;
    struct bcda__manifest *manifest;
    size_t count;
    struct bcda_file at[];
};

int bcda__files_new(struct bcda__files **out,
                    struct bcda__manifest *manifest); /* NOMEM; refs manifest */
struct bcda__files *bcda__files_ref(struct bcda__files *f);
void bcda__files_unref(void *files); /* fits a batch's owner_unref */

/* A resource type from the server, if it is 1 to 64 letters; else `otherwise`. No other text of
 * the server is written to the log in its place. */
const char *bcda__type_for_log(const char *type, const char *otherwise);

#endif
