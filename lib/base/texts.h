/* A list of texts that it owns. */
#ifndef BCDA_BASE_TEXTS_H
#define BCDA_BASE_TEXTS_H

#include <stddef.h>

struct bcda__texts {
    char **at;
    size_t count;
};

int bcda__texts_add(struct bcda__texts *t, const char *text, size_t len); /* NOMEM */
int bcda__texts_has(const struct bcda__texts *t, const char *text);
/* For many: sorts, and then finds by halves. Texts that are added later stand behind and are not
 * found. */
void bcda__texts_sort(struct bcda__texts *t);
int bcda__texts_find(const struct bcda__texts *t, const char *text);
void bcda__texts_drop_last(struct bcda__texts *t);
/* Adds them all; on NOMEM some. */
int bcda__texts_copy(struct bcda__texts *to, const struct bcda__texts *from);
void bcda__texts_free(struct bcda__texts *t);

#endif
