/* What a server announces about signing in by SMART Backend Services (SMART App Launch 2.2,
 * "Conformance"; 1.0, "Authorization using SMART"). These functions do no I/O. */
#ifndef BCDA_PROTOCOL_SMART_H
#define BCDA_PROTOCOL_SMART_H

#include <stddef.h>

#include "base/err.h"
#include "base/texts.h"

/* Limits of each list. Further texts, longer ones, and those that are empty or contain a NUL are
 * ignored. */
enum { BCDA__SMART_TEXTS_MAX = 64, BCDA__SMART_TEXT_MAX = 256 };

struct bcda__smart {
    char *token_url;               /* as the server writes it; NULL = not announced */
    struct bcda__texts methods;    /* token_endpoint_auth_methods_supported */
    struct bcda__texts algorithms; /* token_endpoint_auth_signing_alg_values_supported */
    struct bcda__texts scopes;     /* scopes_supported */
    /* 1 = capabilities contains "permission-v2", or a supported scope, even one beyond the limits,
     * has the form of version 2 */
    int has_v2_scopes;
};

/* Parses [FHIR base]/.well-known/smart-configuration. token_endpoint must be an absolute http or
 * https URL; whether http is allowed is not checked here. The other members only choose a scope and
 * explain errors, so wrong ones are ignored. On success *out, which must be zero or an earlier
 * result, is replaced; otherwise it is unchanged. Returns 0; BCDA_ERR_NOT_JSON, for example for
 * HTML; BCDA_ERR_DISCOVERY if token_endpoint is missing, wrong or occurs twice;
 * BCDA_ERR_BODY_TOO_LARGE; BCDA_ERR_NOMEM. */
int bcda__smart_parse_configuration(struct bcda__smart *out, const char *body, size_t len,
                                    struct bcda_error *err);

/* Parses a CapabilityStatement: the URL of the extension "token" in the extension oauth-uris of
 * rest[].security. The members of an extension may be in any order. If there are several such URLs,
 * they must be equal. Only token_url is set. *out and the codes are as above; BCDA_ERR_DISCOVERY
 * also if the document is another resource. */
int bcda__smart_parse_capabilities(struct bcda__smart *out, const char *body, size_t len,
                                   struct bcda_error *err);
void bcda__smart_free(struct bcda__smart *s);

/* Writes what the server announces, such as "the server announces private_key_jwt with ES384", if
 * that does not fit a client that uses `method` and, unless NULL, `algorithm`; "" if it fits or the
 * server announces nothing. A full list proves nothing, because more may have been announced. The
 * text is for error texts: one line of printable ASCII, with "?" for any other byte. */
void bcda__smart_describe_mismatch(const struct bcda__smart *s, const char *method,
                                   const char *algorithm, char *out, size_t size);

/* Returns the scope to ask for if none was configured. It reads all types in the context "system":
 * ".rs" if the server announces scopes of version 2, else ".read" (SMART App Launch 2.2 and 1.0).
 */
const char *bcda__smart_default_scope(const struct bcda__smart *s);

#endif
