/* Decides which URLs may be requested: https, and http at a loopback address if that was allowed.
 * If the application has set allowed origins, a URL that the server names must have one of them, or
 * the FHIR URL's origin. */
#ifndef BCDA_CLIENT_ORIGIN_H
#define BCDA_CLIENT_ORIGIN_H

#include "base/buf.h"
#include "base/url.h"
#include "client/config.h"

struct bcda__context;

/* Checks a URL that the application has set. Returns 0, BCDA_ERR_URL or BCDA_ERR_INSECURE_URL;
 * `err` is filled, and begins with `what`. */
int bcda__origin_check(const bcda_config *c, const char *what, const char *url,
                       struct bcda_error *err);

/* Checks a URL that the server named, and writes the URL to use to `out`. The application's rewrite
 * rules are applied. An http URL with the FHIR URL's host gets the FHIR URL's scheme and port,
 * because a server behind a TLS proxy names itself with http (bcda-api 1). *same is 1 if the result
 * has the FHIR URL's origin, and so may get the token. Returns 0, BCDA_ERR_URL,
 * BCDA_ERR_INSECURE_URL, BCDA_ERR_ORIGIN or BCDA_ERR_NOMEM, with `err` filled. */
int bcda__origin_adopt(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                       int *same, struct bcda_error *err);

/* Does the same for the URL of a redirect, but does not change its scheme. */
int bcda__origin_redirect(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                          struct bcda_error *err);

/* Whether the client certificate is offered to the server of this URL. `token_url` is where the
 * session requests tokens; NULL = not known. */
int bcda__origin_gets_certificate(const struct bcda__context *cx, const char *url,
                                  const char *token_url);

#endif
