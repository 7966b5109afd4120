/* Bytes that must not leak. They are on pages of their own, which are not swapped and not part of
 * core dumps, where the system allows it. They are wiped before they are freed. */
#ifndef BCDA_BASE_SECRET_H
#define BCDA_BASE_SECRET_H

#include <stddef.h>

struct bcda__secret {
    char *data; /* NUL-terminated; NULL when unset */
    size_t len;
    size_t mapped;
};

void bcda__wipe(void *data, size_t len); /* not removed by the optimiser */
/* Replaces `s` by a copy of `data`. 0, or BCDA_ERR_NOMEM, and `s` is then unchanged. If `data` is
 * NULL, the bytes are zero, and the caller fills them. */
int bcda__secret_set(struct bcda__secret *s, const void *data, size_t len);
int bcda__secret_copy(struct bcda__secret *to, const struct bcda__secret *from);
void bcda__secret_free(struct bcda__secret *s); /* wipes the bytes; `s` is then unset */

#endif
