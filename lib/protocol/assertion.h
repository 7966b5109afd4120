/* The assertion by which a client of SMART Backend Services identifies itself at the token URL: a
 * signed JWT (RFC 7523, private_key_jwt). */
#ifndef BCDA_PROTOCOL_ASSERTION_H
#define BCDA_PROTOCOL_ASSERTION_H

#include <stdint.h>

#include "base/secret.h"
#include "codec/signing_key.h"

struct bcda__assertion {
    const struct bcda__signing_key *key;
    const char *client_id; /* iss and sub */
    const char *audience;  /* aud: the token URL, as the server names it */
    int64_t now_s;         /* wall clock, seconds since 1970 */
    uint8_t random[16];    /* makes jti unique */
};

/* exp - iat. The specification allows 300; less leaves room for a clock that is ahead. */
enum { BCDA__ASSERTION_SECONDS = 240 };
/* Makes a compact JWS with the header members alg, typ "JWT" and, if the key has an id, kid. Each
 * assertion is used once: another attempt takes other random bytes. Returns 0; BCDA_ERR_INVALID:
 * `client_id` or `audience` is not UTF-8, or `now_s` is no possible time; BCDA_ERR_NOMEM;
 * BCDA_ERR_LIBRARY. After an error *out is unchanged. */
int bcda__assertion_make(struct bcda__secret *out, const struct bcda__assertion *a);
/* Makes the body of a token request (application/x-www-form-urlencoded), with grant_type
 * "client_credentials", client_assertion_type, client_assertion, and, if `scope` is not NULL,
 * scope. Returns 0 or BCDA_ERR_NOMEM, which leaves *out unchanged. */
int bcda__assertion_form(struct bcda__secret *out, const struct bcda__secret *assertion,
                         const char *scope);

#endif
