/* The access token of the OAuth client credentials grant, as BCDA implements it (bcda-api 3). These
 * functions do no I/O. */
#ifndef BCDA_PROTOCOL_TOKEN_H
#define BCDA_PROTOCOL_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

/* Sets `out` to "Basic base64(id:secret)" (RFC 7617). The id must not contain a colon, which
 * bcda_config_set_client_credentials() checks. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__token_basic(struct bcda__secret *out, const char *id, const char *secret);

/* Whether a token can be sent in a header: it has at least one character, and all characters are
 * visible ASCII, which excludes the space, CR and LF. */
int bcda__token_is_valid(const char *token, size_t len);

struct bcda__token {
    struct bcda__secret bearer; /* the token itself, without "Bearer " */
    int64_t lifetime_ms;        /* from expires_in; -1 = unknown */
    int has_scope;              /* 0 = the server does not say which scopes it has granted */
    char scope[512];            /* these scopes, separated by spaces; may be "" */
};
/* Parses the body of a 200 to a token request. access_token must be a non-empty string of visible
 * ASCII characters. expires_in may be absent, null, a string or a number; a fraction is ignored,
 * and a value that is wrong or not positive means that the lifetime is unknown. token_type may be
 * absent, null, or "bearer" in upper or lower case. scope is unknown if it is no string, too long,
 * or has other characters than printable ASCII, because it is never cut. On success *out, which
 * must be zero or an earlier token, is replaced; otherwise it is unchanged. Returns 0;
 * BCDA_ERR_NOT_JSON, for example for HTML; BCDA_ERR_TOKEN if a member is wrong or occurs twice (the
 * error text names the member without its value); BCDA_ERR_BODY_TOO_LARGE; BCDA_ERR_NOMEM. */
int bcda__token_parse(struct bcda__token *out, const char *body, size_t len,
                      struct bcda_error *err);
/* Reads a token that another program has written: the token with white space around it, or a JSON
 * document as above. Without expires_in, the lifetime is that of a JWT, from `wall_ms` on, this
 * machine's time. On success *out is replaced. Returns 0, BCDA_ERR_TOKEN, BCDA_ERR_NOMEM, or an
 * error of bcda__token_parse(). */
int bcda__token_read(struct bcda__token *out, const char *text, size_t len, int64_t wall_ms,
                     struct bcda_error *err);
void bcda__token_free(struct bcda__token *t);

/* Reads an OAuth error (RFC 6749 5.2) and sets err->server to "error: error_description", with
 * "..." in place of words that may be secret: 40 or more characters of base64 or base64url. Returns
 * `error` as a static string if it is a code of RFC 6749, and "" if it is another code or absent.
 * If the body is not an OAuth error, returns NULL, and `err` is unchanged. */
const char *bcda__token_describe(struct bcda_error *err, const char *body, size_t len);

/* Returns the time on the monotonic clock at which to fetch a new token. It is a tenth of the
 * lifetime before the token expires, but at least 1 s, at most 60 s, and at most half of the
 * lifetime before. If the lifetime is unknown, returns INT64_MAX; the token is then renewed only
 * after a 401. */
int64_t bcda__token_renew_at(int64_t now_ms, int64_t lifetime_ms);

#endif
