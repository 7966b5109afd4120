/* What a host asks for. */
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

/* Its kick-off URL: CONFIG, NOMEM. */
int bcda__export_url(const bcda_export *x, const char *fhir_url, struct bcda__buf *out,
                     struct bcda_error *err);

#endif
