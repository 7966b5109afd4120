/* Access tokens that are JSON Web Tokens (RFC 7519). These functions do no I/O. */
#ifndef BCDA_PROTOCOL_JWT_H
#define BCDA_PROTOCOL_JWT_H

#include <stddef.h>
#include <stdint.h>

/* Returns when the token expires, in seconds since 1970, from its claim exp; a fraction is ignored.
 * Returns -1 if the token is no JWT (three parts in base64url, the first two of them JSON objects;
 * the third may be empty), if exp is missing, occurs twice, is not a decimal number, or is not
 * between 1 and the end of the year 9999, or if there is no memory.
 *
 * The signature is not checked. The server that sent the token may choose any time, and the time
 * only determines when a new token is requested: a wrong one costs a request, or a 401, which is
 * followed by a new token. */
int64_t bcda__jwt_expiry(const char *token, size_t len);

#endif
