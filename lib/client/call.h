/* One request with everything around it: token, judgement, waiting and repeating. */
#ifndef BCDA_CLIENT_CALL_H
#define BCDA_CLIENT_CALL_H

#include "base/buf.h"
#include "base/url.h"
#include "client/auth.h"
#include "net/engine.h"
#include "protocol/answer.h"

struct bcda__call;

struct bcda__call_spec {
    const char *what; /* for error texts: "the token request" */
    const char *method;
    const char *url;
    const char *accept; /* values of headers; NULL = not sent */
    const char *prefer;
    const char *accept_encoding;
    int with_token;                   /* the session's, if the URL is of its origin */
    const struct bcda__secret *basic; /* instead: this Authorization */
    enum bcda__verdict (*judge)(const struct bcda__answer *, struct bcda_error *);
    size_t body_max;
    int64_t wait_min_ms; /* least pause before the first try */
    /* Where `data` is set, the body of a 200 is handed over as it comes; all else is gathered. */
    int (*head)(void *ctx, struct bcda__call *call); /* 0, or a code: the call is over, see data */
    size_t (*data)(void *ctx, const uint8_t *data,
                   size_t len); /* how many were taken; fewer: it will
    wake the call later; BCDA__CALL_GONE: it has freed the call */
    int proves_end; /* the content shows by itself whether it is whole: JSON, a tag at the end */
    int (*restart)(void *ctx); /* the body broke off: 1 = forget it, the call may be repeated */
    /* The end, once: OK or WAIT with `answer` valid, or FAIL with `err`. The call is freed by the
     * owner. */
    void (*end)(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                const struct bcda_error *err);
    void *ctx;
};

#define BCDA__CALL_GONE SIZE_MAX

/* Copies the spec but for `ctx`, `basic` and static texts. Nothing is sent before the next step. */
int bcda__call_new(struct bcda__call **out, bcda_session *s, const struct bcda__call_spec *spec);
void bcda__call_free(struct bcda__call *c); /* at any time; no callback comes after */
void bcda__call_wake(struct bcda__call *c); /* data that was not taken may come again */
const struct bcda__transfer *bcda__call_transfer(const struct bcda__call *c); /* may be NULL */

#endif
