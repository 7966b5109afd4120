/* The files of a job's manifest and their results. All files share one reference count, so that a
 * batch can outlive its job. */
#ifndef BCDA_CLIENT_FILE_H
#define BCDA_CLIENT_FILE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "bcda/file.h"
#include "bcda/handlers.h"
#include "client/confirm.h"
#include "client/state.h"
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

/* What identifies a file; see bcda__file_add_path(). */
enum bcda__identity {
    BCDA__BY_PATH,
    BCDA__BY_QUERY,     /* another file has the same path: a hash of the query is added */
    BCDA__BY_URL,       /* another file has the same path and query: a hash of the URL is added */
    BCDA__BY_SAVED_PATH /* the manifest was made of a saved text; the query is such a hash */
};

struct bcda_file {
    const struct bcda__entry *entry;
    size_t index;
    int64_t sum[BCDA__SUMS];
    int64_t expected; /* Content-Length of the first response; -1 = absent */
    int verdict;
    struct bcda_error *error; /* NULL = none */

    /* What is saved of the file (client/saving.h). */
    enum bcda__saved_verdict saved;
    struct bcda__mark confirmed; /* `line` 0 = no line was confirmed */
    struct bcda__marks marks;
    enum bcda__identity identity;
    struct bcda_file *changed; /* the next file of which something is to be saved; see saving.c */
    int is_changed;            /* the file is in that list */
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

/* Adds to `out` what identifies the file in every manifest of the job: the path of its URL. The
 * origin does not belong to it, since it depends on the URL that the request was sent to (bcda-api
 * 1). The query does not, since it may hold a signature that is a secret and differs in each
 * manifest. If several files of the manifest have this path, a hash of the query follows, and if
 * these files are on several servers, a hash of the URL. Returns 0, BCDA_ERR_NOMEM or
 * BCDA_ERR_LIBRARY. */
int bcda__file_add_path(const struct bcda_file *f, struct bcda__buf *out);
/* The same for a file of this identity. */
int bcda__file_add_path_as(const struct bcda_file *f, enum bcda__identity identity,
                           struct bcda__buf *out);

/* Returns `type`, a resource type that the server named, if `type` is 1 to 64 letters. Otherwise
 * returns `otherwise`, so that no other text of the server gets into the log. */
const char *bcda__type_for_log(const char *type, const char *otherwise);

#endif
