/* The files of a job's manifest and what became of them. Counted as a whole, so that batches can
 * outlive their job. */
#ifndef BCDA_CLIENT_FILE_H
#define BCDA_CLIENT_FILE_H

#include <stdatomic.h>

#include "base/err.h"
#include "bcda/file.h"
#include "protocol/manifest.h"

struct bcda_file {
    const struct bcda__entry *entry;
    size_t index;
    int64_t received, bytes, expected, resources, bad_lines;
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

#endif
