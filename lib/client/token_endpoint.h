/* Fetches access tokens from a token URL, with client credentials (BCDA) or with a signed assertion
 * (SMART Backend Services), whose token URL the server may announce. */
#ifndef BCDA_CLIENT_TOKEN_ENDPOINT_H
#define BCDA_CLIENT_TOKEN_ENDPOINT_H

#include "base/err.h"
#include "protocol/smart.h"
#include "protocol/token.h"

struct bcda__call;
struct bcda__context;

/* doc/design.md has the diagram. */
enum bcda__endpoint_state {
    BCDA__ENDPOINT_IDLE,
    BCDA__ENDPOINT_DISCOVERING, /* .well-known/smart-configuration was requested */
    BCDA__ENDPOINT_METADATA,    /* the CapabilityStatement was requested */
    BCDA__ENDPOINT_REQUESTING,  /* a token was requested */
};

struct bcda__token_endpoint {
    enum bcda__endpoint_state state;
    struct bcda__context *cx;
    struct bcda__call *call; /* the request; NULL in IDLE */
    char *url;               /* where tokens are requested; NULL = not known yet */
    char *audience; /* the token URL as the server announces it, if that is https; NULL = `url` */
    struct bcda__smart smart;
    int is_discovered;           /* the server was asked what it announces */
    struct bcda_error discovery; /* why the configuration cannot be used */
    /* Called once after each begin(), from a step. The endpoint is then IDLE. `token` is valid
     * during the call; NULL = failed, and `err` says why. */
    void (*done)(void *ctx, struct bcda__token *token, const struct bcda_error *err);
    void *ctx;
};

/* Returns 0 or BCDA_ERR_NOMEM; free() must be called in both cases. */
int bcda__token_endpoint_init(struct bcda__token_endpoint *ep, struct bcda__context *cx);
void bcda__token_endpoint_free(struct bcda__token_endpoint *ep);
/* Requests a token. Returns 0 or BCDA_ERR_NOMEM; after an error `done` is not called. */
int bcda__token_endpoint_begin(struct bcda__token_endpoint *ep);
/* After begin(): `done` is not called. */
void bcda__token_endpoint_cancel(struct bcda__token_endpoint *ep);
/* The scopes that are asked for, or "" with client credentials. */
const char *bcda__token_endpoint_scope(const struct bcda__token_endpoint *ep);

#endif
