/* A growable byte buffer with a maximum length. */
#ifndef BCDA_BASE_BUF_H
#define BCDA_BASE_BUF_H

#include <stddef.h>

struct bcda__buf {
    char *data; /* NUL-terminated; NULL before the first add */
    size_t len;
    size_t cap;
    size_t max;
};

void bcda__buf_init(struct bcda__buf *b, size_t max);
/* The three functions that add return 0, BCDA_ERR_NOMEM, or BCDA_ERR_BODY_TOO_LARGE if the length
 * would exceed `max`. After an error the buffer is unchanged. */
int bcda__buf_add(struct bcda__buf *b, const void *data, size_t len);
int bcda__buf_adds(struct bcda__buf *b, const char *text);
int bcda__buf_addf(struct bcda__buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Makes room for `extra` more bytes. If the capacity is too small, it is at least doubled. Returns
 * the same codes as the functions that add. */
int bcda__buf_reserve(struct bcda__buf *b, size_t extra);
void bcda__buf_clear(struct bcda__buf *b);       /* keeps the memory */
void bcda__buf_free(struct bcda__buf *b);        /* the buffer is then empty and can be used */
void bcda__buf_free_secret(struct bcda__buf *b); /* wipes the memory, then frees it */
char *bcda__buf_steal(struct bcda__buf *b); /* returns the text, which the caller owns, or NULL; the
                                               buffer is then empty */

#endif
