/* What a host asks for. */
#ifndef BCDA_CLIENT_EXPORT_H
#define BCDA_CLIENT_EXPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "bcda/export.h"
#include "codec/json.h"

/* A list of texts that it owns. */
struct bcda__texts {
    char **at;
    size_t count;
};

struct bcda_export {
    int level;
    char *group;
    char *since;
    struct bcda__texts types, type_filters, names, values;
    struct bcda__field_set *fields;
};

/* Its kick-off URL: CONFIG, NOMEM. */
int bcda__export_url(const bcda_export *x, const char *fhir_url, struct bcda__buf *out,
                     struct bcda_error *err);
int bcda__texts_add(struct bcda__texts *t, const char *text, size_t len); /* NOMEM */
int bcda__texts_has(const struct bcda__texts *t, const char *text);
/* For many: sorts, and then finds by halves. Texts that are added later stand behind and are not
 * found. */
void bcda__texts_sort(struct bcda__texts *t);
int bcda__texts_find(const struct bcda__texts *t, const char *text);
void bcda__texts_drop_last(struct bcda__texts *t);
void bcda__texts_free(struct bcda__texts *t);

#endif
