/* The head of an HTTP/1.1 response, parsed line by line. Pure: no transport and no I/O. */
#ifndef BCDA_NET_HEAD_H
#define BCDA_NET_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum bcda__head_state {
    BCDA__HEAD_READING,  /* of the final response or of an interim one (1xx) */
    BCDA__HEAD_COMPLETE, /* of the final response; lines that follow are trailers */
    BCDA__HEAD_REFUSED,  /* `code` and `cause` say why */
};

struct bcda__head {
    enum bcda__head_state state;
    int status;             /* 0 until a status line came */
    int version;            /* the major one of HTTP; 0 = not known */
    struct bcda__buf lines; /* "Name: value", each ended by NUL */
    size_t
        size; /* bytes of all lines; status lines, interim responses and trailers count as well */
    int code;
    const char *cause; /* in words, where `code` is BCDA_ERR_HTTP; else NULL */
};

/* `max` is the limit of `size`. */
void bcda__head_init(struct bcda__head *h, size_t max);
void bcda__head_free(struct bcda__head *h);

/* Takes one line with its line end. 1: the head of the final response is complete with this line.
 * 0: more lines may follow. BCDA_ERR_HEADERS_TOO_LARGE; BCDA_ERR_NOMEM; BCDA_ERR_HTTP: where the
 * body ends can be read in several ways or in none (RFC 9112 6.3). A refused head stays refused. */
int bcda__head_line(struct bcda__head *h, const char *line, size_t len);

/* The value of a header without surrounding space, the last one if it occurs several times; "" if
 * it is absent. Valid until the next line. */
const char *bcda__head_value(const struct bcda__head *h, const char *name);
int64_t bcda__head_content_length(const struct bcda__head *h); /* -1: absent */
int bcda__head_is_chunked(const struct bcda__head *h);

#endif
