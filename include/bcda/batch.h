/*
 * bcda/batch.h - many resources of one file at once. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_BATCH_H
#define BCDA_BATCH_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A batch is a sequence of consecutive lines of one file, with an index of them. With batches, a
 * binding to another language needs only one foreign call for hundreds of resources. A batch that
 * on_batch gets is borrowed until the callback returns; bcda_batch_ref() keeps it longer. A batch
 * that bcda_job_next() returns is owned by the caller; bcda_batch_unref() releases it.
 *
 * While you hold a batch, its memory stays in use, and the library allocates another batch. So hold
 * only the batches that you need. Batches may outlive their job and session, and may be read and
 * released on any thread.
 *
 * All of these: from callbacks: yes. Thread: any, one at a time for one batch. Since 0.1.
 */

BCDA_API bcda_batch *bcda_batch_ref(bcda_batch *batch);
BCDA_API void bcda_batch_unref(bcda_batch *batch);

/* The number of resources. It can be 0 in a batch that has only invalid lines. */
BCDA_API size_t bcda_batch_count(const bcda_batch *batch);

/* The file that the resources came from; NULL in a batch of a bcda_decoder. The pointer is valid as
 * long as the batch. */
BCDA_API const bcda_file *bcda_batch_file(const bcda_batch *batch);

/* The same as bcda_resource_is_provisional(), for all resources of the batch. */
BCDA_API int bcda_batch_is_provisional(const bcda_batch *batch);

/* The i-th resource, from 0; NULL if `i` is not below bcda_batch_count(). The pointer is valid
 * until the next call on this batch. */
BCDA_API const bcda_resource *bcda_batch_resource(bcda_batch *batch, size_t i);

/* The columns of a batch. */
#define BCDA_COLUMN_JSON         1 /* the bare resources */
#define BCDA_COLUMN_LINE         2 /* the whole lines */
#define BCDA_COLUMN_TYPE         3 /* resourceType */
#define BCDA_COLUMN_ID           4 /* id */
#define BCDA_COLUMN_LAST_UPDATED 5 /* meta.lastUpdated */
#define BCDA_COLUMN_FULL_URL     6 /* fullUrl */

/*
 * One column as three pointers: value i begins at (*base) + (*offsets)[i] and is (*lengths)[i]
 * bytes long. In the columns 3 to 6 a NUL follows each value. Offsets never decrease, and no value
 * ends after the last value ends. So the end of the last value is the size of (*base), for
 * languages that need a size. Equal values may share their bytes. All pointers are valid as long as
 * the batch. Returns 0, or BCDA_ERR_INVALID (no such column, or an argument is NULL).
 */
BCDA_API int bcda_batch_column(const bcda_batch *batch, int column, const char **base,
                               const uint64_t **offsets, const uint64_t **lengths);

/*
 * A field (bcda_export_add_field()) as a column: the values of resource i are those from
 * (*first)[i] up to, but not including, (*first)[i + 1]. Value k begins at (*base) + (*offsets)[k],
 * is (*lengths)[k] bytes long, and is followed by a NUL; offsets never decrease. Returns 0,
 * BCDA_ERR_INVALID (no such field), or BCDA_ERR_NOMEM (the first call allocates the index).
 */
BCDA_API int bcda_batch_field_column(bcda_batch *batch, int index, const char **base,
                                     const uint64_t **first, const uint64_t **offsets,
                                     const uint64_t **lengths);

/* For each resource, the number of its line, from 1, and the offset of its line in the decoded
 * file. */
BCDA_API const uint64_t *bcda_batch_line_numbers(const bcda_batch *batch);
BCDA_API const uint64_t *bcda_batch_file_offsets(const bcda_batch *batch);

/* The invalid lines of the batch (bcda/handlers.h), for jobs that are read with bcda_job_next().
 * bcda_batch_bad_line() returns NULL if `i` is not below the count. The pointers are valid as long
 * as the batch. */
BCDA_API size_t bcda_batch_bad_line_count(const bcda_batch *batch);
BCDA_API const bcda_bad_line *bcda_batch_bad_line(const bcda_batch *batch, size_t i);

/*
 * The deletions of a batch of a file of deletions (bcda_file_has_deletions()), in the order of the
 * file. Such batches are returned by bcda_job_next() if BCDA_OPT_PULL_DELETIONS is 1 and the job
 * has no on_deleted; their resources are the Bundles of DELETE requests. Sets *count, and returns
 * 0, or BCDA_ERR_INVALID (an argument is NULL, or the batch is of another file), or BCDA_ERR_NOMEM
 * (the first call allocates the list).
 */
BCDA_API int bcda_batch_deletion_count(bcda_batch *batch, size_t *count);
/* The i-th deletion, from 0. Call bcda_batch_deletion_count() first: NULL if it was not called, or
 * if `i` is not below the count. Valid as long as the batch. */
BCDA_API const bcda_deletion *bcda_batch_deletion(const bcda_batch *batch, size_t i);

/*
 * Called in on_batch before it returns BCDA_PAUSE: tells the library that the first `count`
 * resources need not be delivered again. After bcda_job_resume() the batch is delivered again with
 * the other resources only: bcda_batch_count() and the columns then leave out the first `count`.
 * Without this call a paused batch is delivered again as a whole. Returns 0, or BCDA_ERR_INVALID
 * (`count` is larger than bcda_batch_count()).
 */
BCDA_API int bcda_batch_set_consumed(bcda_batch *batch, size_t count);

#ifdef __cplusplus
}
#endif

#endif
