/* The session's token: fetched once, shared by all requests, renewed before its end and once after
 * a 401. Calls that need it wait in a queue. */
#ifndef BCDA_CLIENT_AUTH_H
#define BCDA_CLIENT_AUTH_H

#include "base/err.h"
#include "base/secret.h"
#include "net/engine.h"

struct bcda__call;
struct bcda__context;

/* A call that waits for the token; part of its owner. */
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
    struct bcda__secret header; /* "Bearer …"; unset = none */
    unsigned generation;        /* the number of the token, so that two 401 renew it once */
    int64_t renew_at;
    int fixed;                 /* a bearer token of the application, which cannot be renewed */
    struct bcda__call *call;   /* the token request; NULL = none */
    bcda_token_request *asked; /* the request to the application's provider; NULL = none */
    struct bcda__timer timer;  /* delivers the provider's answer */
    struct bcda_error answer;
    unsigned round;
    struct bcda__auth_wait waits; /* list head */
};

int bcda__auth_init(struct bcda__auth *a, struct bcda__context *cx); /* NOMEM */
void bcda__auth_free(struct bcda__auth *a);
/* 1: `header` is set. 0: `w` will be called. Else an error, with `err` filled. */
int bcda__auth_get(struct bcda__auth *a, struct bcda__auth_wait *w, struct bcda_error *err);
void bcda__auth_leave(struct bcda__auth_wait *w); /* leaves the queue */
/* The server refused the token of this generation. 1: a new one can be requested; 0: it cannot. */
int bcda__auth_refused(struct bcda__auth *a, unsigned generation);

#endif
