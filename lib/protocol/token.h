/* The token of OAuth client credentials, as BCDA speaks it (bcda-api 3). Pure: bytes and clock in.
 */
#ifndef BCDA_PROTOCOL_TOKEN_H
#define BCDA_PROTOCOL_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* "Basic base64(id:secret)" (RFC 7617; the id holds no colon: checked by the config). */
int bcda__token_basic(struct bcda__secret *out, const char *id, const char *secret);

struct bcda__token {
    struct bcda__secret bearer; /* the token itself, without "Bearer " */
    int64_t lifetime_ms;        /* from expires_in; -1 = not said */
};
/* The body of a 200: access_token a non-empty string of visible ASCII; expires_in absent, null,
 * string or number (fractions cut; nonsense or <= 0 counts as not said); token_type absent or
 * "bearer" in any case. 0; BCDA_ERR_NOT_JSON (HTML and the like), BCDA_ERR_TOKEN (which member is
 * wrong, never its value; a member given twice too), BCDA_ERR_BODY_TOO_LARGE, BCDA_ERR_NOMEM.
 * `*out` is zero or holds an earlier token: replaced on success, else untouched. */
int bcda__token_parse(struct bcda__token *out, const char *body, size_t len,
                      struct bcda_error *err);
void bcda__token_free(struct bcda__token *t);

/* Puts what an OAuth error says ("error: error_description", RFC 6749 5.2) in `err->server`. Gives
 * its `error` where that is one of that document's codes (static), "" where it is another, and NULL
 * where the body is no such JSON: then `err` stays as it was. */
const char *bcda__token_describe(struct bcda_error *err, const char *body, size_t len);

/* When to fetch anew, on the monotonic clock: a margin before the end (a tenth of the lifetime, at
 * least 1 s, at most 60 s, never more than half of it); INT64_MAX where no lifetime is known (then
 * only a 401 shows). */
int64_t bcda__token_renew_at(int64_t now_ms, int64_t lifetime_ms);

#endif
