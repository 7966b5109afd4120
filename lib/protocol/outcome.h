/* Reads OperationOutcomes, in all forms that the server has used (bcda-api 8.1, 6.6). */
#ifndef BCDA_PROTOCOL_OUTCOME_H
#define BCDA_PROTOCOL_OUTCOME_H

#include <stddef.h>

#include "base/err.h"

enum bcda__severity { /* the public BCDA_SEVERITY_* */
                      BCDA__SEVERITY_UNKNOWN = 0,
                      BCDA__SEVERITY_INFORMATION = 1,
                      BCDA__SEVERITY_WARNING = 2,
                      BCDA__SEVERITY_ERROR = 3,
                      BCDA__SEVERITY_FATAL = 4,
};

struct bcda__issue {
    /* UNKNOWN = the issue has no severity, or another word; case is ignored */
    enum bcda__severity severity;
    char code[64]; /* "" = none */
    /* The first of these that is not empty: diagnostics, details.text, details.coding[0].display,
     * details.coding[0].code. */
    char text[640];
};

/* Calls `each` for every issue of an OperationOutcome document. The document may have no issues,
 * and another document may follow it. `each` returns 0, or a code that ends the loop. Returns 0;
 * BCDA_ERR_NOT_JSON; BCDA_ERR_LINE_TYPE (JSON with another resourceType or with none);
 * BCDA_ERR_BODY_TOO_LARGE (a string exceeds the limit of json.h); NOMEM; or the code of `each`. If
 * the document is incomplete, no issue is reported. */
typedef int (*bcda__issue_cb)(void *ctx, const struct bcda__issue *issue);
int bcda__outcome_each(const char *body, size_t len, bcda__issue_cb each, void *ctx);

/* Returns 1 if an issue has the code "transient": only the request has failed, not the job (FHIR
 * Bulk Data, status request). */
int bcda__outcome_is_transient(const char *body, size_t len);

/* Sets err->server to the server's own text in the body of an error. For an OperationOutcome it is
 * the text of the first issue that has one; for any other body except HTML it is the first line. If
 * there is no such text, err->server is unchanged. */
void bcda__outcome_describe(struct bcda_error *err, const char *body, size_t len);

#endif
