/* A list of texts. The list owns its texts. */
#ifndef BCDA_BASE_TEXTS_H
#define BCDA_BASE_TEXTS_H

#include <stddef.h>

struct bcda__texts {
    char **at;
    size_t count;
};

int bcda__texts_add(struct bcda__texts *t, const char *text, size_t len); /* 0, BCDA_ERR_NOMEM */
int bcda__texts_has(const struct bcda__texts *t, const char *text);
/* For long lists. bcda__texts_find() is a binary search, so the list must be sorted first, and
 * sorted again after a text is added. */
void bcda__texts_sort(struct bcda__texts *t);
int bcda__texts_find(const struct bcda__texts *t, const char *text);
void bcda__texts_drop_last(struct bcda__texts *t);
/* Adds copies of all texts of `from`. Returns 0, or BCDA_ERR_NOMEM if only some were added. */
int bcda__texts_copy(struct bcda__texts *to, const struct bcda__texts *from);
void bcda__texts_free(struct bcda__texts *t);

#endif
