/* Absolute http and https URLs, read strictly (RFC 3986): what a server names must be understood
 * the same way by the check of its origin and by the transport, so anything unusual (user info,
 * spaces, control characters, backslashes, a fragment) is refused instead of repaired. */
#ifndef BCDA_BASE_URL_H
#define BCDA_BASE_URL_H

#include <stddef.h>

#include "base/buf.h"

struct bcda__url {
    int https;
    char host[256]; /* lower case; an IPv6 literal without its brackets */
    int is_ipv6;
    int port; /* the scheme's own where none is written */
    /* The rest points into the text that was parsed: */
    const char *path; /* "" or begins with '/' */
    size_t path_len;
    const char *query; /* behind the '?'; NULL = none */
    size_t query_len;
};

int bcda__url_parse(const char *text, struct bcda__url *out); /* 0 or BCDA_ERR_URL */
int bcda__url_same_origin(const struct bcda__url *a, const struct bcda__url *b);
int bcda__url_is_loopback(const struct bcda__url *u); /* localhost, 127.0.0.0/8, ::1 */
/* "https://host:port", the port only where it is not the scheme's own. */
int bcda__url_add_origin(struct bcda__buf *to, const struct bcda__url *u);
/* A base URL to add a path to: without '/' at its end. */
int bcda__url_add_base(struct bcda__buf *to, const char *url);
/* The last segment of the path: the name of a data file. Not decoded. "" for a path ending in '/'.
 */
void bcda__url_last_segment(const struct bcda__url *u, const char **name, size_t *len);
/* Everything but unreserved characters (RFC 3986 2.3) and those in `also` becomes %XX. */
int bcda__url_add_escaped(struct bcda__buf *to, const char *text, const char *also);
/* The reverse of escaping: %XX and, as in a query, '+' for a space. What is no %XX stays as it is,
 * and so does %00. */
int bcda__url_add_unescaped(struct bcda__buf *to, const char *text, size_t len);
/* What an error or a log may show of a URL: without user information, query and fragment. */
void bcda__url_show(const char *text, char *out, size_t size);

#endif
