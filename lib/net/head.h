/* Parser for the head (status line and headers) of an HTTP/1.1 response. It takes one line at a
 * time and does no I/O. */
#ifndef BCDA_NET_HEAD_H
#define BCDA_NET_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum bcda__head_state {
    BCDA__HEAD_READING,  /* reading the head of the final response, or of an interim one (1xx) */
    BCDA__HEAD_COMPLETE, /* the head of the final response has ended; further lines are trailers */
    BCDA__HEAD_REFUSED,  /* `code` and `cause` say why */
};

struct bcda__head {
    enum bcda__head_state state;
    int status;             /* 0 until the first status line */
    int version;            /* HTTP major version; 0 = not known */
    struct bcda__buf lines; /* the headers, "Name: value", each followed by NUL */
    /* Bytes of all lines so far, including status lines, interim responses and trailers. */
    size_t size;
    int code;
    const char *cause; /* what is wrong, in words, if `code` is BCDA_ERR_HTTP; else NULL */
};

/* A head is refused if its `size` exceeds `max`. */
void bcda__head_init(struct bcda__head *h, size_t max);
void bcda__head_free(struct bcda__head *h);

/* Takes one line, including its line end. Returns 1 if this line ends the head of the final
 * response, and 0 if more lines may follow. Errors: BCDA_ERR_HEADERS_TOO_LARGE, BCDA_ERR_NOMEM, and
 * BCDA_ERR_HTTP if the head does not say clearly where the body ends (RFC 9112 6.3). After an error
 * each further call returns the same error. */
int bcda__head_line(struct bcda__head *h, const char *line, size_t len);

/* Returns the value of a header without surrounding space, or "" if the header is absent. If it
 * occurs several times, the last one counts. The value is valid until the next line. */
const char *bcda__head_value(const struct bcda__head *h, const char *name);
int64_t bcda__head_content_length(const struct bcda__head *h); /* -1 if absent or not a number */
int bcda__head_is_chunked(const struct bcda__head *h);

#endif
