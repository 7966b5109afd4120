/* OAuth scopes (RFC 6749 3.3) and what SMART scopes permit (SMART App Launch 1.0 and 2.2, "Scopes
 * and Launch Context"). These functions do no I/O.
 *
 * A SMART scope is "context/type.permissions": the context is patient, user or system, and the type
 * a resource type or "*". The permissions of version 1 are read, write or "*". Those of version 2
 * are letters of "cruds" (create, read, update, delete, search) in this order, and "?query" may
 * follow, which restricts them. In the permissions of version 2, read is rs, write is cud, and "*"
 * is cruds. */
#ifndef BCDA_PROTOCOL_SCOPE_H
#define BCDA_PROTOCOL_SCOPE_H

#include <stddef.h>

/* Writes the scopes of `asked` (separated by spaces) that `granted` does not cover, in their order,
 * separated by spaces; "" if all are covered. An asked SMART scope is covered if the granted ones
 * of the same context, and of the same type or "*", together have its permissions. A granted scope
 * with a query covers only the identical text, and so does any scope that is not a SMART scope. If
 * not all fit in `size` bytes, which must be at least 4, only whole scopes are written, and then
 * "...". */
void bcda__scope_missing(const char *asked, const char *granted, char *out, size_t size);

/* Returns 1 if the text can be sent as a scope: characters of RFC 6749 3.3, single spaces, not
 * empty. */
int bcda__scope_is_valid(const char *scope);

/* Returns 1 if this one scope is a SMART scope in the form of version 2. */
int bcda__scope_is_v2(const char *scope, size_t len);

#endif
