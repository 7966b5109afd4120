/* The URL of an export (bcda-api 4.1, 4.3). */
#ifndef BCDA_PROTOCOL_KICKOFF_H
#define BCDA_PROTOCOL_KICKOFF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/texts.h"

enum bcda__level { /* the public BCDA_LEVEL_* */
                   /* /ExplanationOfBenefit/$export: the one type, in the path and in _type */
                   BCDA__LEVEL_RESOURCE = 1,
                   BCDA__LEVEL_PATIENT = 2,
                   BCDA__LEVEL_GROUP = 3,
                   BCDA__LEVEL_SYSTEM = 4, /* /$export */
};

struct bcda__kickoff {
    const char *fhir_url; /* with or without a final '/' */
    enum bcda__level level;
    const char *group; /* required at group level; it is escaped as a path segment */
    const char *const *types;
    size_t type_count;
    const char *since;               /* NULL = none; it is escaped, and otherwise not changed */
    const char *const *type_filters; /* each is sent as a separate _typeFilter */
    size_t type_filter_count;
    const char *const *parameter_names; /* this and the next: other parameters */
    const char *const *parameter_values;
    size_t parameter_count;
};
/* Replaces the content of `out` by the URL, or by "" on an error. Types are one comma list. The `$`
 * of $export and the `:` in values are not escaped. All other characters except the unreserved ones
 * are escaped. 0;
 * BCDA_ERR_CONFIG: resource level without exactly one type; group level without a group, or with
 * "." or ".."; a type that has other characters than letters; a parameter without a name; a FHIR
 * URL that is not a URL or has a query;
 * BCDA_ERR_INVALID: the URL exceeds the maximum of `out`;
 * BCDA_ERR_NOMEM. */
int bcda__kickoff_url(struct bcda__buf *out, const struct bcda__kickoff *k, struct bcda_error *err);

/* Adds the names of a comma list, which is the value of `_type`. Names that are already in `out`
 * are not added. A name has 1 to 64 letters; others are ignored. 0 or NOMEM. */
int bcda__types_add_list(struct bcda__texts *out, const char *list);
/* Adds the types that a kick-off URL requests: those of its `_type`, and at resource level the type
 * in its path, if the path begins with that of `fhir_url`. /Patient/$export is the patient level
 * here. Adds none if the URL cannot be parsed or requests all types. 0 or NOMEM. */
int bcda__types_of_request(struct bcda__texts *out, const char *request, const char *fhir_url);

/* Checks a FHIR instant: YYYY-MM-DDThh:mm:ss[.digits](Z|±hh:mm), with all fields in their ranges.
 * The second may be 60, the maximum of a zone is 14:00, and there is no year 0000. 0 or -1. */
int bcda__instant_check(const char *text);

#endif
