#include "codec/values.h"

#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"

enum {
    /* If the side buffer must be larger than this, it gets the length of the line, which is always
     * enough. */
    SIDE_SMALL = 4 * 1024,
    FIRST_VALUES = 32,
};

void bcda__values_clear(struct bcda__values *v)
{
    v->count = v->side_len = 0;
}

/* The capacity is doubled until it is BCDA__VALUES_MAX. */
_Static_assert((BCDA__VALUES_MAX & (BCDA__VALUES_MAX - 1)) == 0 &&
                   (FIRST_VALUES & (FIRST_VALUES - 1)) == 0,
               "not a power of 2");

int bcda__values_grow(struct bcda__values *v)
{
    size_t cap = v->cap ? v->cap * 2 : FIRST_VALUES;
    struct bcda__field_value *values;
    uint32_t *groups;

    if (v->count == BCDA__VALUES_MAX)
        return BCDA_ERR_LINE_TOO_LONG;
    values = bcda__realloc(v->values, cap * sizeof *values);
    if (!values)
        return BCDA_ERR_NOMEM;
    v->values = values;
    groups = bcda__realloc(v->groups, cap * sizeof *groups);
    if (!groups)
        return BCDA_ERR_NOMEM;
    v->groups = groups;
    v->cap = cap;
    return 0;
}

/* Frees the side buffer, and wipes it first, because it may have patient data. */
static void free_side(struct bcda__values *v)
{
    if (v->side)
        bcda__wipe(v->side, v->side_cap);
    bcda__free(v->side);
    v->side = NULL;
    v->side_cap = v->side_len = 0;
}

int bcda__values_reserve_text(struct bcda__values *v, size_t len, size_t line_len, char **out)
{
    size_t want = v->side_len + len, cap = want < SIDE_SMALL ? 2 * want : line_len;
    size_t used = v->side_len;
    char *grown;

    if (want > v->side_cap || !v->side) {
        cap = cap < want ? want : cap;
        grown = bcda__alloc(cap ? cap : 1);
        if (!grown)
            return BCDA_ERR_NOMEM;
        if (v->side)
            memcpy(grown, v->side, used);
        free_side(v);
        v->side = grown;
        v->side_cap = cap;
        v->side_len = used;
    }
    *out = v->side + v->side_len;
    return 0;
}

int bcda__values_add_text(struct bcda__values *v, const void *text, size_t len, size_t line_len,
                          size_t *at)
{
    char *to;
    int rc = bcda__values_reserve_text(v, len, line_len, &to);

    if (rc)
        return rc;
    if (len)
        memcpy(to, text, len);
    *at = v->side_len;
    v->side_len += len;
    return 0;
}

void bcda__values_keep(struct bcda__values *v, uint32_t group)
{
    size_t i, n = 0;

    for (i = 0; i < v->count; i++)
        if (v->groups[i] == group)
            v->values[n++] = v->values[i];
    v->count = n;
}

void bcda__values_report(const struct bcda__values *v, struct bcda__line_info *info)
{
    info->values = v->values;
    info->value_count = v->count;
    info->side = v->side;
    info->side_len = v->side_len;
}

static void free_values(struct bcda__values *v)
{
    bcda__free(v->values);
    bcda__free(v->groups);
    v->values = NULL;
    v->groups = NULL;
    v->cap = v->count = 0;
}

void bcda__values_trim(struct bcda__values *v, size_t keep)
{
    bcda__values_clear(v);
    if (v->side_cap > keep)
        free_side(v);
    if (v->cap * sizeof *v->values > keep)
        free_values(v);
}

void bcda__values_free(struct bcda__values *v)
{
    free_values(v);
    free_side(v);
}
