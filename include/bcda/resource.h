/*
 * bcda/resource.h - one FHIR resource, as a data callback or a batch presents it. Include
 * <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_RESOURCE_H
#define BCDA_RESOURCE_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A bcda_resource is borrowed: in on_resource it lives until the callback returns, and from
 * bcda_batch_resource() until the next such call on that batch or the batch's last unref. The
 * pointers that the getters return live as long. The library has read each line once: it is one
 * JSON object in valid UTF-8 with a resourceType.
 *
 * All of these: from callbacks: yes. Thread: owner of the batch. Since 0.1.
 */

/*
 * The bare resource, byte for byte as the server wrote it: the line itself, or, where the line is
 * an envelope {"fullUrl":…,"resource":{…}} (BCDA until 2019-07-10, bcda-api 6.5), the value of
 * `resource`. Not NUL-terminated; *len is its length.
 */
BCDA_API const char *bcda_resource_json(const bcda_resource *resource, size_t *len);

/* The whole line, without its line feed. Not NUL-terminated. */
BCDA_API const char *bcda_resource_line(const bcda_resource *resource, size_t *len);

/* resourceType, such as "ExplanationOfBenefit"; never "". This and the three values below have at
 * most 4,096 bytes: a line with a longer value is invalid (BCDA_ERR_LINE_TOO_LONG). */
BCDA_API const char *bcda_resource_type(const bcda_resource *resource);

/* id; "" where there is none. */
BCDA_API const char *bcda_resource_id(const bcda_resource *resource);

/* meta.lastUpdated, unchanged; "" where there is none. */
BCDA_API const char *bcda_resource_last_updated(const bcda_resource *resource);

/* fullUrl of the envelope; "" for a bare line. At BCDA it had no host
 * ("https:///v1/fhir/Patient/…"): do not parse it as a URL. */
BCDA_API const char *bcda_resource_full_url(const bcda_resource *resource);

/* The line in the decoded file, from 1. */
BCDA_API int64_t bcda_resource_line_number(const bcda_resource *resource);

/* Where the line begins: bytes from the start of the decoded file. */
BCDA_API int64_t bcda_resource_offset(const bcda_resource *resource);

/*
 * 1 while the end of its file has not been verified (length, gzip trailer, authentication tag):
 * commit only when on_file reports the file as complete, and undo when it reports the file as
 * failed. 0 if the whole file was verified before this resource was delivered.
 */
BCDA_API int bcda_resource_is_provisional(const bcda_resource *resource);

/* The file of the resource; NULL from a bcda_decoder. Lives as long as the job. */
BCDA_API const bcda_file *bcda_resource_file(const bcda_resource *resource);

/* How many values the field `index` (from bcda_export_add_field()) has in this resource; 0 for an
 * unknown index. */
BCDA_API size_t bcda_resource_field_count(const bcda_resource *resource, int index);

/*
 * The k-th value of a field, in the order of the document: a string without quotes and with its
 * escapes decoded, a number as written, "true" or "false". NUL-terminated, but may contain NULs;
 * *len is its length. 0, or BCDA_ERR_INVALID (no such field or value; *text is untouched).
 */
BCDA_API int bcda_resource_field(const bcda_resource *resource, int index, size_t k,
                                 const char **text, size_t *len);

#ifdef __cplusplus
}
#endif

#endif
