/* The access token of the OAuth client credentials grant, as BCDA implements it (bcda-api 3). No
 * I/O. */
#ifndef BCDA_PROTOCOL_TOKEN_H
#define BCDA_PROTOCOL_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* Makes "Basic base64(id:secret)" (RFC 7617). The id has no colon; the configuration checks this.
 * 0 or BCDA_ERR_NOMEM. */
int bcda__token_basic(struct bcda__secret *out, const char *id, const char *secret);

struct bcda__token {
    struct bcda__secret bearer; /* the token itself, without "Bearer " */
    int64_t lifetime_ms;        /* from expires_in; -1 = unknown */
};
/* Parses the body of a 200. access_token must be a non-empty string of visible ASCII characters.
 * expires_in is absent, null, a string or a number; a fraction is cut, and a value that is wrong or
 * not positive is treated as unknown. token_type is absent, null, or "bearer" in any case. 0;
 * BCDA_ERR_NOT_JSON, such as HTML; BCDA_ERR_TOKEN: a member is wrong or there twice (the text names
 * the member and does not show its value); BCDA_ERR_BODY_TOO_LARGE; BCDA_ERR_NOMEM. *out is zero or
 * an earlier token. It is replaced on success, and otherwise not changed. */
int bcda__token_parse(struct bcda__token *out, const char *body, size_t len,
                      struct bcda_error *err);
void bcda__token_free(struct bcda__token *t);

/* Sets `err->server` to "error: error_description" of an OAuth error (RFC 6749 5.2). Returns its
 * `error`, as a static string, if it is a code of RFC 6749; "" if it is another; NULL if the body
 * is not such JSON, and `err` is then not changed. */
const char *bcda__token_describe(struct bcda_error *err, const char *body, size_t len);

/* The time on the monotonic clock at which to fetch a new token: a tenth of the lifetime, at least
 * 1 s, at most 60 s, and at most half of the lifetime, before the token expires. INT64_MAX if the
 * lifetime is unknown; the token is then renewed after a 401. */
int64_t bcda__token_renew_at(int64_t now_ms, int64_t lifetime_ms);

#endif
