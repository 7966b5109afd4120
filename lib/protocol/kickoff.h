/* Builds and reads the URL of a kick-off request (bcda-api 4.1, 4.3). */
#ifndef BCDA_PROTOCOL_KICKOFF_H
#define BCDA_PROTOCOL_KICKOFF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/texts.h"

enum bcda__level { /* the public BCDA_LEVEL_* */
                   /* /ExplanationOfBenefit/$export: the type is in the path, and also in _type */
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
    const char *since;               /* NULL = none; sent unchanged, except for escapes */
    const char *const *type_filters; /* each is sent as a separate _typeFilter */
    size_t type_filter_count;
    const char *const *parameter_names; /* names and values of other parameters */
    const char *const *parameter_values;
    size_t parameter_count;
};
/* Sets `out` to the URL, or to "" after an error. Types are sent as one list with commas. The `$`
 * of $export and a `:` in a value are not escaped. All other characters except the unreserved ones
 * are escaped. Returns 0; BCDA_ERR_CONFIG: resource level without exactly one type; group level
 * without a group, or with "." or ".."; a type with characters other than letters; a parameter
 * without a name; a FHIR URL that is invalid or has a query; BCDA_ERR_INVALID: the URL exceeds the
 * maximum of `out`; BCDA_ERR_NOMEM. */
int bcda__kickoff_url(struct bcda__buf *out, const struct bcda__kickoff *k, struct bcda_error *err);

/* Adds the types of a value of `_type`, a list with commas. Types that are already in `out`, and
 * names that do not consist of 1 to 64 letters, are not added. Returns 0 or NOMEM. */
int bcda__types_add_list(struct bcda__texts *out, const char *list);
/* Adds the types that a kick-off URL requests: those of its `_type`, and at resource level the type
 * in its path, if the path begins with the path of `fhir_url`. /Patient/$export is taken for the
 * patient level. If the URL cannot be parsed or requests all types, nothing is added. Returns 0 or
 * NOMEM. */
int bcda__types_of_request(struct bcda__texts *out, const char *request, const char *fhir_url);

/* Checks a FHIR instant: YYYY-MM-DDThh:mm:ss[.digits](Z|±hh:mm). All fields must be in their
 * ranges: the second may be 60, a zone is at most 14:00, and the year 0000 is invalid. Returns 0,
 * or -1 if the text is not an instant. */
int bcda__instant_check(const char *text);

#endif
