/* Which URLs may be requested: https, or http at a loopback address if that was allowed; and of
 * those that a server names, only the origins of the application's allow-list, if there is one. */
#ifndef BCDA_CLIENT_ORIGIN_H
#define BCDA_CLIENT_ORIGIN_H

#include "base/buf.h"
#include "base/url.h"
#include "client/config.h"

struct bcda__context;

/* Checks a URL of the application. BCDA_ERR_URL, INSECURE_URL; `err` is filled, and begins with
 * `what`. */
int bcda__origin_check(const bcda_config *c, const char *what, const char *url,
                       struct bcda_error *err);

/* Checks a URL that the server named. *out is the URL to use: rewritten by the application's
 * rules; an http URL of the FHIR URL's host gets the FHIR URL's scheme and port (a server behind
 * a TLS proxy names itself so, bcda-api 1). *same: it is of the FHIR URL's origin, and may get
 * the token. BCDA_ERR_URL, INSECURE_URL, ORIGIN, NOMEM; `err` is filled. */
int bcda__origin_adopt(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                       int *same, struct bcda_error *err);

/* The same for a redirect, whose scheme is not changed. */
int bcda__origin_redirect(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                          struct bcda_error *err);

#endif
