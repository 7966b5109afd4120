/* What an export requests: level, types, parameters, fields. */
#ifndef BCDA_CLIENT_EXPORT_H
#define BCDA_CLIENT_EXPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/texts.h"
#include "bcda/export.h"
#include "codec/json.h"

struct bcda_export {
    int level;
    char *group;
    char *since;
    struct bcda__texts types, type_filters, names, values;
    struct bcda__field_set *fields;
    struct bcda_error err; /* error of the last call; code 0 = none */
};

/* Error text for a field that was refused. */
#define BCDA__FIELD_RULE                                                    \
    "a field is a path of 1 to 16 member names with dots between, such as " \
    "patient.reference, and there are at most 64 of them"

/* Adds to `out` the resource types that the export requests, by bcda_export_add_type() or as a
 * parameter `_type`. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__export_types(const bcda_export *x, struct bcda__texts *out);
/* Creates a copy, which the caller owns. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__export_copy(bcda_export **out, const bcda_export *from);
/* Restricts the export to some of its types: drops the others, a parameter `_type`, and the type
 * filters of the other types. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__export_restrict(bcda_export *x, const struct bcda__texts *types);
/* Writes the export's kick-off URL. Returns 0, BCDA_ERR_CONFIG, BCDA_ERR_INVALID (too long for
 * `out`) or BCDA_ERR_NOMEM. */
int bcda__export_url(const bcda_export *x, const char *fhir_url, struct bcda__buf *out,
                     struct bcda_error *err);

#endif
