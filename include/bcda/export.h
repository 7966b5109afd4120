/*
 * bcda/export.h - what is requested. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_EXPORT_H
#define BCDA_EXPORT_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where an export starts (FHIR Bulk Data Access, "Kick-off Request"; bcda-api 2). */
#define BCDA_LEVEL_RESOURCE 1 /* /<the one type>/$export; BCDA until 2019-12 */
#define BCDA_LEVEL_PATIENT  2 /* /Patient/$export */
#define BCDA_LEVEL_GROUP    3 /* /Group/<id>/$export; BCDA has the groups "all" and "runout" */
#define BCDA_LEVEL_SYSTEM   4 /* /$export; not at BCDA */

/*
 * A bcda_export is filled, given to bcda_job_start(), which copies it, and then freed or reused.
 * Strings are copied. All functions here: from callbacks: yes. Thread: any. Since 0.1. Each gives
 * BCDA_ERR_INVALID for a NULL argument and BCDA_ERR_NOMEM. bcda_export_error() says more.
 */

/* BCDA_ERR_INVALID: no such level. */
BCDA_API int bcda_export_new(bcda_export **out, int level);
BCDA_API void bcda_export_free(bcda_export *export_);

/* The group, such as "all". Only for BCDA_LEVEL_GROUP (BCDA_ERR_STATE otherwise).
 * BCDA_ERR_INVALID: empty. */
BCDA_API int bcda_export_set_group(bcda_export *export_, const char *group_id);

/* One more type in `_type`; at BCDA_LEVEL_RESOURCE the one in the path, which is sent as `_type`
 * too. BCDA_ERR_INVALID: not 1 to 64 letters, or already added: BCDA refuses a repeated type. No
 * type = all types. */
BCDA_API int bcda_export_add_type(bcda_export *export_, const char *type);

/*
 * Only resources that changed since this FHIR instant, such as the bcda_job_transaction_time() of
 * the previous job, passed unchanged. A time zone is required. NULL = everything. BCDA_ERR_INVALID:
 * not an instant.
 */
BCDA_API int bcda_export_set_since(bcda_export *export_, const char *instant);

/* One `_typeFilter`, unescaped, such as "ExplanationOfBenefit?service-date=ge2024" (BCDA v3 takes
 * one). BCDA_ERR_INVALID: empty. */
BCDA_API int bcda_export_add_type_filter(bcda_export *export_, const char *filter);

/* Any other query parameter, name and value unescaped. A second call with the same name replaces
 * the value. BCDA_ERR_INVALID: an empty name. */
BCDA_API int bcda_export_set_parameter(bcda_export *export_, const char *name, const char *value);

/*
 * A field to extract from every resource while its line is parsed, such as "patient.reference" or
 * "identifier.value" (member names separated by dots; each element of an array is visited).
 * *out_index is the index for bcda_resource_field(); a path that was already added has its first
 * index. At most 64 fields. BCDA_ERR_INVALID: an empty part, more than 16 parts, or too many
 * fields.
 */
BCDA_API int bcda_export_add_field(bcda_export *export_, const char *path, int *out_index);

/* Why the last call on this export failed; NULL if it did not fail. Valid until the next call on
 * it. */
BCDA_API const bcda_error *bcda_export_error(const bcda_export *export_);

#ifdef __cplusplus
}
#endif

#endif
