/* Which URLs may be asked: https, or http at a loopback address where that was allowed;
 * of what a server names, only what the application's allow-list has, if there is one. */
#ifndef BCDA_CLIENT_ORIGIN_H
#define BCDA_CLIENT_ORIGIN_H

#include "base/buf.h"
#include "base/url.h"
#include "client/config.h"

struct bcda__context;

/* A URL of the application's own. BCDA_ERR_URL, INSECURE_URL; `err` is filled, and says `what` it
 * was. */
int bcda__origin_check(const bcda_config *c, const char *what, const char *url,
                       struct bcda_error *err);

/* A URL that the server named, made usable in `out`: rewritten as the application wants it; and one
 * of http whose host is the FHIR URL's gets that one's scheme and port (a server behind a TLS proxy
 * names itself so, bcda-api 1). *same = it is of the FHIR URL's origin, and so may get the token.
 * BCDA_ERR_URL, INSECURE_URL, ORIGIN, NOMEM; `err` is filled. */
int bcda__origin_adopt(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                       int *same, struct bcda_error *err);

/* The same for a redirect, whose scheme is meant as it stands there. */
int bcda__origin_redirect(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                          struct bcda_error *err);

#endif
