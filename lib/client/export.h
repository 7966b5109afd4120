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
    struct bcda_error err; /* of the last call; code 0 = none */
};

/* Why a field was refused. */
#define BCDA__FIELD_RULE                                                    \
    "a field is a path of 1 to 16 member names with dots between, such as " \
    "patient.reference, and there are at most 64 of them"

/* Adds the types that it asks for, by bcda_export_add_type() or as a parameter `_type`. NOMEM. */
int bcda__export_types(const bcda_export *x, struct bcda__texts *out);
/* Its kick-off URL: CONFIG, INVALID (too long for `out`), NOMEM. */
int bcda__export_url(const bcda_export *x, const char *fhir_url, struct bcda__buf *out,
                     struct bcda_error *err);

#endif
