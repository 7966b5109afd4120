/* Bytes that must not leak. Each secret has its own pages. Where the system allows it, these pages
 * are not swapped and not written to core dumps. The bytes are wiped before they are freed. */
#ifndef BCDA_BASE_SECRET_H
#define BCDA_BASE_SECRET_H

#include <stddef.h>

struct bcda__secret {
    char *data; /* NUL-terminated; NULL when unset */
    size_t len;
    size_t mapped;
};

void bcda__wipe(void *data, size_t len); /* the compiler does not remove the call */
/* Replaces the content of `s` with a copy of `data`. If `data` is NULL, the content becomes `len`
 * zero bytes, which the caller then fills. Returns 0, or BCDA_ERR_NOMEM, which leaves `s`
 * unchanged. */
int bcda__secret_set(struct bcda__secret *s, const void *data, size_t len);
int bcda__secret_copy(struct bcda__secret *to, const struct bcda__secret *from);
void bcda__secret_free(struct bcda__secret *s); /* wipes the bytes; `s` is then unset */

#endif
