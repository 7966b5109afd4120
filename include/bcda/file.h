/*
 * bcda/file.h - one entry of a job's manifest. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_FILE_H
#define BCDA_FILE_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BCDA_VERDICT_NONE               0 /* the download has not begun or not ended */
#define BCDA_VERDICT_COMPLETE           1 /* every check that the file allows has passed */
#define BCDA_VERDICT_COMPLETE_BAD_LINES 2 /* complete, with invalid lines */
#define BCDA_VERDICT_FAILED             3 /* bcda_file_error() says why; its resources are void */
#define BCDA_VERDICT_SKIPPED            4 /* was complete before bcda_job_restore() */
#define BCDA_VERDICT_COMPLETE_ERRORS    5 /* only for a whole job: see bcda_job_verdict() */

/*
 * A bcda_file is borrowed from its job. It is valid as long as the job, or a batch of the file, is
 * held. Returned texts are valid as long as the file. Getters accept NULL. All functions here: from
 * callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API const char *bcda_file_type(const bcda_file *file); /* as in the manifest; "" = none */
BCDA_API const char *bcda_file_url(const bcda_file *file);
/* The last segment of the URL, unchanged. Check it before you use it as a path. */
BCDA_API const char *bcda_file_name(const bcda_file *file);
/* The index of the file in the manifest, from 0. */
BCDA_API size_t bcda_file_index(const bcda_file *file);
/* 1: the file holds problems that the server reports (OperationOutcome lines), not data. */
BCDA_API int bcda_file_is_error(const bcda_file *file);
/* 1: the lines are Bundles of DELETE requests, for on_deleted (bcda/handlers.h). A line that is not
 * such a Bundle is invalid, BCDA_ERR_LINE_TYPE. */
BCDA_API int bcda_file_has_deletions(const bcda_file *file);
BCDA_API int bcda_file_is_encrypted(const bcda_file *file);
BCDA_API int64_t bcda_file_bytes_received(const bcda_file *file); /* before decoding */
BCDA_API int64_t bcda_file_bytes(const bcda_file *file);          /* after decoding */
/* The expected number of bytes received (Content-Length); -1 = not known. */
BCDA_API int64_t bcda_file_bytes_expected(const bcda_file *file);
BCDA_API int64_t bcda_file_resources(const bcda_file *file); /* delivered so far */
/* The expected number of resources: `count` in the manifest. -1 = not given, as always at BCDA. */
BCDA_API int64_t bcda_file_resources_expected(const bcda_file *file);
BCDA_API int64_t bcda_file_bad_lines(const bcda_file *file);
BCDA_API int bcda_file_verdict(const bcda_file *file); /* BCDA_VERDICT_* */
/* The last line that the application confirmed by bcda_job_confirm(), perhaps before the job was
 * restored; 0 = none. Before the first resource is delivered, it is the line after which the
 * delivery begins. */
BCDA_API int64_t bcda_file_confirmed_line(const bcda_file *file);
/* Why the file failed; NULL if it has not failed. */
BCDA_API const bcda_error *bcda_file_error(const bcda_file *file);

#ifdef __cplusplus
}
#endif

#endif
