/* A growable run of bytes with a hard maximum, fixed when it is made. */
#ifndef BCDA_BASE_BUF_H
#define BCDA_BASE_BUF_H

#include <stddef.h>

struct bcda__buf {
    char *data; /* NUL-terminated once anything was added; NULL before */
    size_t len;
    size_t cap;
    size_t max;
};

void bcda__buf_init(struct bcda__buf *b, size_t max);
/* Each add gives 0, BCDA_ERR_NOMEM, or BCDA_ERR_BODY_TOO_LARGE where `max` would be passed; a
 * failed add leaves the buffer as it was. */
int bcda__buf_add(struct bcda__buf *b, const void *data, size_t len);
int bcda__buf_adds(struct bcda__buf *b, const char *text);
int bcda__buf_addf(struct bcda__buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for so many bytes more: twice what is there, or, where that is not enough, what is needed.
 * Fails as an add does. */
int bcda__buf_reserve(struct bcda__buf *b, size_t extra);
void bcda__buf_clear(struct bcda__buf *b);       /* keeps the memory */
void bcda__buf_free(struct bcda__buf *b);        /* and may be used again */
void bcda__buf_free_secret(struct bcda__buf *b); /* wipes first */
char *bcda__buf_steal(struct bcda__buf *b);      /* the caller owns the text; NULL if empty */

#endif
