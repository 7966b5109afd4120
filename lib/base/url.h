/* Absolute http and https URLs, parsed strictly (RFC 3986). If the check of a URL's origin and
 * libcurl parsed a URL differently, a server could send a URL that passes the check but leads
 * elsewhere. Therefore anything unusual (user information, spaces, control characters, backslashes,
 * a fragment) is refused, not repaired. */
#ifndef BCDA_BASE_URL_H
#define BCDA_BASE_URL_H

#include <stddef.h>

#include "base/buf.h"

struct bcda__url {
    int https;
    char host[256]; /* lower case; an IPv6 address without brackets */
    int is_ipv6;
    int port; /* the default port of the scheme if the URL names none */
    /* These point into the text that was parsed: */
    const char *path; /* "" or begins with '/' */
    size_t path_len;
    const char *query; /* without the '?'; NULL = none */
    size_t query_len;
};

int bcda__url_parse(const char *text, struct bcda__url *out); /* 0 or BCDA_ERR_URL */
int bcda__url_same_origin(const struct bcda__url *a, const struct bcda__url *b);
int bcda__url_is_loopback(const struct bcda__url *u); /* localhost, 127.0.0.0/8, ::1 */
/* Adds "https://host:port", without the port if it is the default of the scheme. */
int bcda__url_add_origin(struct bcda__buf *to, const struct bcda__url *u);
/* Adds `url` without the '/' at its end, so that a path can be added. */
int bcda__url_add_base(struct bcda__buf *to, const char *url);
/* Finds the last segment of the path, which for a data file is its name. %XX in it is not decoded.
 * The segment is empty if the path ends in '/'. */
void bcda__url_last_segment(const struct bcda__url *u, const char **name, size_t *len);
/* Adds `text`. All characters are written as %XX, except the unreserved ones (RFC 3986 2.3) and
 * those in `also`. */
int bcda__url_add_escaped(struct bcda__buf *to, const char *text, const char *also);
/* Adds `text` decoded as in a query: %XX is a byte, and '+' is a space. An invalid %XX and %00 are
 * copied unchanged. */
int bcda__url_add_unescaped(struct bcda__buf *to, const char *text, size_t len);
/* Copies the part of a URL that errors and logs may show: without user information, query and
 * fragment. */
void bcda__url_show(const char *text, char *out, size_t size);

#endif
