#include "client/export.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "protocol/kickoff.h"

enum { TYPE_MAX = 64 };

int bcda_export_new(bcda_export **out, int level)
{
    bcda_export *x;

    if (!out || level < BCDA_LEVEL_RESOURCE || level > BCDA_LEVEL_SYSTEM)
        return BCDA_ERR_INVALID;
    x = bcda__calloc(1, sizeof *x);
    if (!x)
        return BCDA_ERR_NOMEM;
    x->level = level;
    if (bcda__field_set_new(&x->fields)) {
        bcda__free(x);
        return BCDA_ERR_NOMEM;
    }
    *out = x;
    return 0;
}

void bcda_export_free(bcda_export *x)
{
    if (!x)
        return;
    bcda__free(x->group);
    bcda__free(x->since);
    bcda__texts_free(&x->types);
    bcda__texts_free(&x->type_filters);
    bcda__texts_free(&x->names);
    bcda__texts_free(&x->values);
    bcda__field_set_free(x->fields);
    bcda__free(x);
}

static int replace(char **slot, const char *text)
{
    char *copy = NULL;

    if (text && !(copy = bcda__strdup(text)))
        return BCDA_ERR_NOMEM;
    bcda__free(*slot);
    *slot = copy;
    return 0;
}

int bcda_export_set_group(bcda_export *x, const char *group_id)
{
    if (!x || !group_id || !*group_id)
        return BCDA_ERR_INVALID;
    if (x->level != BCDA_LEVEL_GROUP)
        return BCDA_ERR_STATE;
    return replace(&x->group, group_id);
}

int bcda_export_add_type(bcda_export *x, const char *type)
{
    if (!x || !type || strlen(type) > TYPE_MAX || !bcda__text_is_alpha(type, strlen(type)) ||
        bcda__texts_has(&x->types, type))
        return BCDA_ERR_INVALID;
    return bcda__texts_add(&x->types, type, strlen(type));
}

int bcda_export_set_since(bcda_export *x, const char *instant)
{
    if (!x || (instant && bcda__instant_check(instant)))
        return BCDA_ERR_INVALID;
    return replace(&x->since, instant);
}

int bcda_export_add_type_filter(bcda_export *x, const char *filter)
{
    if (!x || !filter || !*filter)
        return BCDA_ERR_INVALID;
    return bcda__texts_add(&x->type_filters, filter, strlen(filter));
}

int bcda_export_set_parameter(bcda_export *x, const char *name, const char *value)
{
    size_t i;

    if (!x || !name || !*name || !value)
        return BCDA_ERR_INVALID;
    for (i = 0; i < x->names.count; i++)
        if (strcmp(x->names.at[i], name) == 0)
            return replace(&x->values.at[i], value);
    if (bcda__texts_add(&x->values, value, strlen(value)))
        return BCDA_ERR_NOMEM;
    if (bcda__texts_add(&x->names, name, strlen(name))) {
        bcda__free(x->values.at[--x->values.count]);
        return BCDA_ERR_NOMEM;
    }
    return 0;
}

int bcda_export_add_field(bcda_export *x, const char *path, int *out_index)
{
    if (!x || !path || !out_index)
        return BCDA_ERR_INVALID;
    return bcda__field_set_add(x->fields, path, out_index);
}

int bcda__export_url(const bcda_export *x, const char *fhir_url, struct bcda__buf *out,
                     struct bcda_error *err)
{
    struct bcda__kickoff k = {0};

    k.fhir_url = fhir_url;
    k.level = (enum bcda__level)x->level;
    k.group = x->group;
    k.types = (const char *const *)x->types.at;
    k.type_count = x->types.count;
    k.since = x->since;
    k.type_filters = (const char *const *)x->type_filters.at;
    k.type_filter_count = x->type_filters.count;
    k.parameter_names = (const char *const *)x->names.at;
    k.parameter_values = (const char *const *)x->values.at;
    k.parameter_count = x->names.count;
    return bcda__kickoff_url(out, &k, err);
}
