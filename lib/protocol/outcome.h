/* OperationOutcome, in every shape the server has used (bcda-api 8.1, 6.6). */
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
    enum bcda__severity severity; /* any case; absent or strange = unknown */
    char code[64];                /* "" = none */
    char text[640]; /* first non-empty of diagnostics, details.text, coding[0].display,
                       coding[0].code */
};

/* Calls `each` for every issue of an OperationOutcome document (which may have none, or no `issue`
 * at all, and may be followed by a second document). `each` gives 0 to go on. 0; BCDA_ERR_NOT_JSON;
 * BCDA_ERR_LINE_TYPE (JSON of another resourceType, or of none); BCDA_ERR_BODY_TOO_LARGE (a string
 * beyond json.c's limit); NOMEM; what `each` gave. No issue is reported of a document that is not
 * whole. */
typedef int (*bcda__issue_cb)(void *ctx, const struct bcda__issue *issue);
int bcda__outcome_each(const char *body, size_t len, bcda__issue_cb each, void *ctx);

/* 1 where some issue's code is "transient": the request failed, not the job (FHIR Bulk Data,
 * status). */
int bcda__outcome_is_transient(const char *body, size_t len);

/* Puts the server's words of an error answer in `err->server`: the text of the first issue that
 * has one, or, for a body that is no OperationOutcome, its first line (never HTML: markup says
 * nothing), or nothing; then `err->server` stays as it was. */
void bcda__outcome_describe(struct bcda_error *err, const char *body, size_t len);

#endif
