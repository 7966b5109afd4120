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
 * A bcda_resource is borrowed. In on_resource it is valid until the callback returns. From
 * bcda_batch_resource() it is valid until the next such call on that batch, or until the batch is
 * freed. The pointers that the getters return are valid as long as the resource. The library has
 * checked the line of each resource: it is one JSON object in valid UTF-8 with a resourceType.
 *
 * All functions here: from callbacks: yes. Thread: owner of the batch. Since 0.1.
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

/* id; "" if there is none. */
BCDA_API const char *bcda_resource_id(const bcda_resource *resource);

/* meta.lastUpdated, unchanged; "" if there is none. */
BCDA_API const char *bcda_resource_last_updated(const bcda_resource *resource);

/* fullUrl of the envelope; "" if the line is not an envelope. BCDA's had no host
 * ("https:///v1/fhir/Patient/…"): do not parse it as a URL. */
BCDA_API const char *bcda_resource_full_url(const bcda_resource *resource);

/* The number of the line in the decoded file, from 1. */
BCDA_API int64_t bcda_resource_line_number(const bcda_resource *resource);

/* The offset of the line in the decoded file, in bytes. */
BCDA_API int64_t bcda_resource_offset(const bcda_resource *resource);

/*
 * 1 if the file of the resource was not verified to its end (length, gzip trailer, authentication
 * tag) before this resource was delivered: commit the resource only when on_file reports the file
 * as complete, and undo it when on_file reports the file as failed. 0 if the whole file was
 * verified before.
 */
BCDA_API int bcda_resource_is_provisional(const bcda_resource *resource);

/* The file of the resource; NULL if the resource comes from a bcda_decoder. Valid as long as the
 * job. */
BCDA_API const bcda_file *bcda_resource_file(const bcda_resource *resource);

/* The number of values in this resource of the field with this index (bcda_export_add_field()); 0
 * for an unknown index. */
BCDA_API size_t bcda_resource_field_count(const bcda_resource *resource, int index);

/*
 * The k-th value of a field, in the order of the document: a string without quotes and with its
 * escapes decoded, a number as written, "true" or "false". *text is NUL-terminated, but may also
 * contain NULs; *len is its length. Returns 0, or BCDA_ERR_INVALID (no such field or value), which
 * leaves *text unchanged.
 */
BCDA_API int bcda_resource_field(const bcda_resource *resource, int index, size_t k,
                                 const char **text, size_t *len);

#ifdef __cplusplus
}
#endif

#endif
