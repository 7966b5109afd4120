#include "base/texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"

/* The array has space for a power of two of texts: it is full only if `count` is a power of two. */
static int reserve_text(struct bcda__texts *t)
{
    char **grown;

    if (t->count & (t->count - 1))
        return 0;
    grown = bcda__realloc(t->at, (t->count ? t->count * 2 : 1) * sizeof *grown);
    if (!grown)
        return BCDA_ERR_NOMEM;
    t->at = grown;
    return 0;
}

int bcda__texts_add(struct bcda__texts *t, const char *text, size_t len)
{
    if (reserve_text(t))
        return BCDA_ERR_NOMEM;
    t->at[t->count] = bcda__strndup(text, len);
    if (!t->at[t->count])
        return BCDA_ERR_NOMEM;
    t->count++;
    return 0;
}

int bcda__texts_has(const struct bcda__texts *t, const char *text)
{
    size_t i;

    for (i = 0; i < t->count; i++)
        if (strcmp(t->at[i], text) == 0)
            return 1;
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void bcda__texts_sort(struct bcda__texts *t)
{
    if (t->count)
        qsort(t->at, t->count, sizeof *t->at, compare_texts);
}

int bcda__texts_find(const struct bcda__texts *t, const char *text)
{
    return t->count && bsearch(&text, t->at, t->count, sizeof *t->at, compare_texts);
}

void bcda__texts_drop_last(struct bcda__texts *t)
{
    bcda__free(t->at[--t->count]);
}

int bcda__texts_copy(struct bcda__texts *to, const struct bcda__texts *from)
{
    size_t i;

    for (i = 0; i < from->count; i++)
        if (bcda__texts_add(to, from->at[i], strlen(from->at[i])))
            return BCDA_ERR_NOMEM;
    return 0;
}

void bcda__texts_free(struct bcda__texts *t)
{
    size_t i;

    for (i = 0; i < t->count; i++)
        bcda__free(t->at[i]);
    bcda__free(t->at);
    memset(t, 0, sizeof *t);
}
