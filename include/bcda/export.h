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
#define BCDA_LEVEL_RESOURCE 1 /* /<type>/$export, for one type; at BCDA until 2019-12 */
#define BCDA_LEVEL_PATIENT  2 /* /Patient/$export */
#define BCDA_LEVEL_GROUP    3 /* /Group/<id>/$export; BCDA has the groups "all" and "runout" */
#define BCDA_LEVEL_SYSTEM   4 /* /$export; not at BCDA */

/*
 * The application fills a bcda_export, gives it to bcda_job_start(), which copies it, and then
 * frees or reuses it. Strings are copied. All functions here: from callbacks: yes. Thread: any.
 * Since 0.1. Besides the codes that its comment names, each function can return BCDA_ERR_INVALID
 * (an argument is NULL) and BCDA_ERR_NOMEM. bcda_export_error() says more.
 */

/* Creates an export. BCDA_ERR_INVALID: `level` is not a BCDA_LEVEL_*. */
BCDA_API int bcda_export_new(bcda_export **out, int level);
BCDA_API void bcda_export_free(bcda_export *export_);

/*
 * Creates an export of what a job has not loaded, such as a job that the server no longer has
 * (bcda_job_restore()). It is a copy of `like`, the export of the job, restricted to the types of
 * the data files that are not complete. All types of `like` are requested if the manifest was not
 * received, if the types of the files are not known, or if a file of deletions is not complete. The
 * export also returns resources that the job has loaded, so replace a resource that is there
 * already. For the next bcda_export_set_since() use the transaction time of the first job.
 * BCDA_ERR_END: the job has loaded all its files. Thread: owner of the job. Since 0.1.
 */
BCDA_API int bcda_export_new_remaining(bcda_export **out, const bcda_export *like,
                                       const bcda_job *job);

/* Sets the group, such as "all". BCDA_ERR_STATE: the level is not BCDA_LEVEL_GROUP.
 * BCDA_ERR_INVALID: `group_id` is empty. */
BCDA_API int bcda_export_set_group(bcda_export *export_, const char *group_id);

/* Adds a type to the parameter `_type`. At BCDA_LEVEL_RESOURCE it is the one type, and is also put
 * in the path. If no type is added, all types are exported. BCDA_ERR_INVALID: the type is not 1 to
 * 64 letters, or was already added (BCDA refuses a repeated type). */
BCDA_API int bcda_export_add_type(bcda_export *export_, const char *type);

/*
 * Exports only resources that changed since this FHIR instant. Usually that is the
 * bcda_job_transaction_time() of the previous job, unchanged. A time zone is required. NULL = all
 * resources. BCDA_ERR_INVALID: the text is not an instant.
 */
BCDA_API int bcda_export_set_since(bcda_export *export_, const char *instant);

/* Adds a `_typeFilter`, unescaped, such as "ExplanationOfBenefit?service-date=ge2024". BCDA v3
 * accepts only one. BCDA_ERR_INVALID: `filter` is empty. */
BCDA_API int bcda_export_add_type_filter(bcda_export *export_, const char *filter);

/* Sets any other query parameter; name and value are unescaped. A second call with the same name
 * replaces the value. BCDA_ERR_INVALID: `name` is empty. */
BCDA_API int bcda_export_set_parameter(bcda_export *export_, const char *name, const char *value);

/*
 * Adds a field that is extracted from every resource while its line is parsed. `path` is the names
 * of nested members, separated by dots, such as "patient.reference" or "identifier.value"; each
 * element of an array is visited. *out_index becomes the index for bcda_resource_field(). A path
 * that was already added keeps its index. BCDA_ERR_INVALID: the path has an empty part or more than
 * 16 parts, or there are already 64 fields.
 */
BCDA_API int bcda_export_add_field(bcda_export *export_, const char *path, int *out_index);

/* Why the last call on this export failed; NULL if it did not fail. Valid until the next call on
 * the export. */
BCDA_API const bcda_error *bcda_export_error(const bcda_export *export_);

#ifdef __cplusplus
}
#endif

#endif
