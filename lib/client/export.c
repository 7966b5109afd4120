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
    bcda__err_clear(&x->err);
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

/* The start of every function that changes an export: clears the error of the previous call. */
static int begin_change(bcda_export *x)
{
    if (!x)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&x->err);
    return 0;
}

static int refuse_change(bcda_export *x, int code, const char *why)
{
    return bcda__err_set(&x->err, code, "%s", why);
}

static int replace_export_text(bcda_export *x, char **slot, const char *text)
{
    return bcda__text_replace(slot, text) ? bcda__err_nomem(&x->err) : 0;
}

static int append_text(bcda_export *x, struct bcda__texts *to, const char *text)
{
    return bcda__texts_add(to, text, strlen(text)) ? bcda__err_nomem(&x->err) : 0;
}

int bcda_export_set_group(bcda_export *x, const char *group_id)
{
    int rc = begin_change(x);

    if (rc)
        return rc;
    if (!group_id || !*group_id)
        return refuse_change(x, BCDA_ERR_INVALID, "the group is missing or empty");
    if (x->level != BCDA_LEVEL_GROUP)
        return refuse_change(x, BCDA_ERR_STATE, "only an export at group level takes a group");
    return replace_export_text(x, &x->group, group_id);
}

int bcda_export_add_type(bcda_export *x, const char *type)
{
    int rc = begin_change(x);

    if (rc)
        return rc;
    if (!type || strlen(type) > TYPE_MAX || !bcda__text_is_alpha(type, strlen(type)))
        return refuse_change(x, BCDA_ERR_INVALID,
                             "a resource type is a name of 1 to 64 letters, such as Patient");
    if (bcda__texts_has(&x->types, type))
        return bcda__err_set(&x->err, BCDA_ERR_INVALID, "the type %s is there already", type);
    return append_text(x, &x->types, type);
}

int bcda_export_set_since(bcda_export *x, const char *instant)
{
    int rc = begin_change(x);

    if (rc)
        return rc;
    if (instant && bcda__instant_check(instant))
        return refuse_change(
            x, BCDA_ERR_INVALID,
            "since is not a FHIR instant: YYYY-MM-DDThh:mm:ss with a zone, such as "
            "2024-01-31T00:00:00Z, is expected");
    return replace_export_text(x, &x->since, instant);
}

int bcda_export_add_type_filter(bcda_export *x, const char *filter)
{
    int rc = begin_change(x);

    if (rc)
        return rc;
    if (!filter || !*filter)
        return refuse_change(x, BCDA_ERR_INVALID, "the type filter is missing or empty");
    return append_text(x, &x->type_filters, filter);
}

int bcda_export_set_parameter(bcda_export *x, const char *name, const char *value)
{
    int rc = begin_change(x);
    size_t i;

    if (rc)
        return rc;
    if (!name || !*name || !value)
        return refuse_change(x, BCDA_ERR_INVALID,
                             "a parameter has a name that is not empty, and a value");
    for (i = 0; i < x->names.count; i++)
        if (strcmp(x->names.at[i], name) == 0)
            return replace_export_text(x, &x->values.at[i], value);
    rc = append_text(x, &x->values, value);
    if (!rc && (rc = append_text(x, &x->names, name)))
        bcda__texts_drop_last(&x->values);
    return rc;
}

int bcda_export_add_field(bcda_export *x, const char *path, int *out_index)
{
    int rc = begin_change(x);

    if (rc)
        return rc;
    rc = path && out_index ? bcda__field_set_add(x->fields, path, out_index) : BCDA_ERR_INVALID;
    if (rc == BCDA_ERR_NOMEM)
        return bcda__err_nomem(&x->err);
    return rc ? refuse_change(x, rc, BCDA__FIELD_RULE) : 0;
}

const bcda_error *bcda_export_error(const bcda_export *x)
{
    return x && x->err.code ? &x->err : NULL;
}

int bcda__export_types(const bcda_export *x, struct bcda__texts *out)
{
    size_t i;
    int rc = bcda__texts_copy(out, &x->types);

    for (i = 0; !rc && i < x->names.count; i++)
        if (strcmp(x->names.at[i], "_type") == 0)
            rc = bcda__types_add_list(out, x->values.at[i]);
    return rc;
}

int bcda__export_copy(bcda_export **out, const bcda_export *from)
{
    bcda_export *x = bcda__calloc(1, sizeof *x);
    int rc;

    if (!x)
        return BCDA_ERR_NOMEM;
    x->level = from->level;
    bcda__err_clear(&x->err);
    rc = bcda__text_replace(&x->group, from->group);
    if (!rc)
        rc = bcda__text_replace(&x->since, from->since);
    if (!rc)
        rc = bcda__texts_copy(&x->types, &from->types);
    if (!rc)
        rc = bcda__texts_copy(&x->type_filters, &from->type_filters);
    if (!rc)
        rc = bcda__texts_copy(&x->names, &from->names);
    if (!rc)
        rc = bcda__texts_copy(&x->values, &from->values);
    if (!rc)
        rc = bcda__field_set_copy(&x->fields, from->fields);
    if (rc)
        bcda_export_free(x);
    else
        *out = x;
    return rc;
}

/* Returns 1 if the filter, such as "Patient?active=true", is for one of the types. */
static int is_filter_of(const char *filter, const struct bcda__texts *types)
{
    size_t i, len = strcspn(filter, "?");

    for (i = 0; i < types->count; i++)
        if (strlen(types->at[i]) == len && memcmp(types->at[i], filter, len) == 0)
            return 1;
    return 0;
}

static int keep_filters(bcda_export *x, const struct bcda__texts *types)
{
    struct bcda__texts kept = {NULL, 0};
    size_t i;
    int rc = 0;

    for (i = 0; !rc && i < x->type_filters.count; i++)
        if (is_filter_of(x->type_filters.at[i], types))
            rc = bcda__texts_add(&kept, x->type_filters.at[i], strlen(x->type_filters.at[i]));
    bcda__texts_free(&x->type_filters);
    x->type_filters = kept;
    return rc;
}

static int drop_type_parameter(bcda_export *x)
{
    struct bcda__texts names = {NULL, 0}, values = {NULL, 0};
    size_t i;
    int rc = 0;

    for (i = 0; !rc && i < x->names.count; i++) {
        if (strcmp(x->names.at[i], "_type") == 0)
            continue;
        rc = bcda__texts_add(&names, x->names.at[i], strlen(x->names.at[i]));
        if (!rc)
            rc = bcda__texts_add(&values, x->values.at[i], strlen(x->values.at[i]));
    }
    bcda__texts_free(&x->names);
    bcda__texts_free(&x->values);
    x->names = names;
    x->values = values;
    return rc;
}

int bcda__export_restrict(bcda_export *x, const struct bcda__texts *types)
{
    int rc;

    bcda__texts_free(&x->types);
    rc = bcda__texts_copy(&x->types, types);
    if (!rc)
        rc = drop_type_parameter(x);
    return rc ? rc : keep_filters(x, types);
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
