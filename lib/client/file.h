/* The files of a job's manifest and their results. All files share one reference count, so that a
 * batch can outlive its job. */
#ifndef BCDA_CLIENT_FILE_H
#define BCDA_CLIENT_FILE_H

#include <stdatomic.h>

#include "base/err.h"
#include "bcda/file.h"
#include "bcda/handlers.h"
#include "protocol/manifest.h"

/* What is counted, for each file and for the job. */
enum bcda__sum {
    BCDA__SUM_RECEIVED, /* bytes received of stored files */
    BCDA__SUM_BYTES,    /* bytes of decoded NDJSON */
    BCDA__SUM_RESOURCES,
    BCDA__SUM_BAD_LINES,
    BCDA__SUM_DELETIONS,
    BCDA__SUM_ISSUES, /* one sum for each severity: BCDA__SUM_ISSUES + severity */
    BCDA__SUMS = BCDA__SUM_ISSUES + BCDA_SEVERITY_FATAL + 1
};

struct bcda_file {
    const struct bcda__entry *entry;
    size_t index;
    int64_t sum[BCDA__SUMS];
    int64_t expected; /* Content-Length of the first response; -1 = absent */
    int verdict;
    struct bcda_error *error; /* NULL = none */
};

struct bcda__files {
    atomic_int refs;
    struct bcda__manifest *manifest;
    size_t count;
    struct bcda_file at[];
};

/* Adds a reference to `manifest`. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__files_new(struct bcda__files **out, struct bcda__manifest *manifest);
struct bcda__files *bcda__files_ref(struct bcda__files *f);
void bcda__files_unref(void *files); /* has the type of a batch's owner_unref */

/* Returns `type`, a resource type that the server named, if `type` is 1 to 64 letters. Otherwise
 * returns `otherwise`, so that no other text of the server gets into the log. */
const char *bcda__type_for_log(const char *type, const char *otherwise);

#endif
