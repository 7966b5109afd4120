/* Bytes that must not leak: on pages of their own, locked against swap and left out of
 * core dumps where the system allows it, and wiped before they are given back. */
#ifndef BCDA_BASE_SECRET_H
#define BCDA_BASE_SECRET_H

#include <stddef.h>

struct bcda__secret {
    char *data; /* NUL-terminated; NULL when unset */
    size_t len;
    size_t mapped;
};

void bcda__wipe(void *data, size_t len); /* not removed by the optimiser */
/* Puts a copy of `data` in `s`, in place of what it held; 0 or BCDA_ERR_NOMEM (then `s` is as it
 * was). `data` may be NULL: the bytes are then zero and for the caller to fill. */
int bcda__secret_set(struct bcda__secret *s, const void *data, size_t len);
int bcda__secret_copy(struct bcda__secret *to, const struct bcda__secret *from);
void bcda__secret_free(struct bcda__secret *s); /* wipes; `s` is then unset */

#endif
