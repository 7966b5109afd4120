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
    const char *group; /* escaped as a path segment; needed at group level */
    const char *const *types;
    size_t type_count;
    const char *since; /* NULL = none; passed unchanged but for escaping: '+' must be %2B */
    const char *const *type_filters; /* each a _typeFilter of its own */
    size_t type_filter_count;
    const char *const *parameter_names; /* and values: any others */
    const char *const *parameter_values;
    size_t parameter_count;
};
/* Puts the URL in `out`, in place of what it held ("" on failure). Types go in one comma list, the
 * `$` of $export is literal, `:` stays raw in values, everything else but unreserved characters is
 * %-encoded. BCDA_ERR_CONFIG (resource level without exactly one type, group level without group or
 * with "." or "..", a type that is not letters, a parameter without name, a FHIR URL that is none
 * or has a query), BCDA_ERR_NOMEM, BCDA_ERR_INVALID (the URL passes the maximum of `out`).
 */
int bcda__kickoff_url(struct bcda__buf *out, const struct bcda__kickoff *k, struct bcda_error *err);

/* Adds the names of a comma list, the value of `_type`, each once: 1 to 64 letters each, others are
 * left out. NOMEM. */
int bcda__types_add_list(struct bcda__texts *out, const char *list);
/* Adds the types that a kick-off URL asks for: those of its `_type`, and at resource level the one
 * in the path, if the path of `fhir_url` stands before it. (/Patient/$export is
 * taken for the patient level.) Nothing where the URL cannot be read, or asks for everything.
 * NOMEM. */
int bcda__types_of_request(struct bcda__texts *out, const char *request, const char *fhir_url);

/* A FHIR instant: YYYY-MM-DDThh:mm:ss[.digits](Z|±hh:mm) with every field in its range
 * (a second of 60 is allowed, a zone goes to 14:00, there is no year 0000). 0 or -1. */
int bcda__instant_check(const char *text);

#endif
