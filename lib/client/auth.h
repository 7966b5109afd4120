/* The session's token. It is fetched once and shared by all requests. It is renewed shortly before
 * it expires, and once after a 401. Calls that need the token while it is being fetched wait in a
 * queue. */
#ifndef BCDA_CLIENT_AUTH_H
#define BCDA_CLIENT_AUTH_H

#include "base/err.h"
#include "base/secret.h"
#include "net/engine.h"

struct bcda__call;
struct bcda__context;

/* A call's place in the queue for the token. It is a member of the object that waits. */
struct bcda__auth_wait {
    void (*ready)(void *ctx, int code, const struct bcda_error *err);
    void *ctx;
    int waiting;
    unsigned round;
    struct bcda__auth_wait *prev, *next;
};

struct bcda__auth {
    struct bcda__context *cx;
    char *token_url;
    struct bcda__secret header; /* value of the header, "Bearer …"; unset = there is no token */
    /* Counts the tokens, so that two 401 for the same token cause one renewal. */
    unsigned generation;
    int64_t renew_at;
    int fixed; /* 1 if the application has set a bearer token, which cannot be renewed */
    struct bcda__call *call;   /* the token request; NULL = none */
    bcda_token_request *asked; /* the request to the application's token provider; NULL = none */
    struct bcda__timer timer;  /* delivers `answer` to the waiting calls in the next step */
    struct bcda_error answer;
    unsigned round;
    struct bcda__auth_wait waits; /* list head of the queue */
};

int bcda__auth_init(struct bcda__auth *a, struct bcda__context *cx); /* 0 or BCDA_ERR_NOMEM */
void bcda__auth_free(struct bcda__auth *a);
/* Returns 1 if the token is in `header`. Returns 0 if the call must wait for the token: w->ready
 * will be called. Returns an error code, with `err` filled, if the token cannot be fetched. */
int bcda__auth_get(struct bcda__auth *a, struct bcda__auth_wait *w, struct bcda_error *err);
void bcda__auth_leave(struct bcda__auth_wait *w); /* does nothing if `w` is not in the queue */
/* To be called when the server refused (401) the token whose number was `generation`. Returns 1 if
 * a new token can be requested, else 0. */
int bcda__auth_refused(struct bcda__auth *a, unsigned generation);

#endif
