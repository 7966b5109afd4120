/* The session's token: fetched once, shared by all requests, renewed before its end and once after
 * a 401. Calls that need it wait in a queue. */
#ifndef BCDA_CLIENT_AUTH_H
#define BCDA_CLIENT_AUTH_H

#include "base/err.h"
#include "base/secret.h"
#include "net/engine.h"

struct bcda__call;
struct bcda__context;

/* Someone who waits for a token; part of its owner. */
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
    unsigned generation;        /* counts tokens, so that two 401 of one token renew it once */
    int64_t renew_at;
    int fixed;                 /* a bearer token of the application's: cannot be renewed */
    struct bcda__call *call;   /* under way */
    bcda_token_request *asked; /* of the application's provider, under way */
    struct bcda__timer timer;  /* hands an answer of the provider out */
    struct bcda_error answer;
    unsigned round;
    struct bcda__auth_wait waits; /* list head */
};

int bcda__auth_init(struct bcda__auth *a, struct bcda__context *cx); /* NOMEM */
void bcda__auth_free(struct bcda__auth *a);
/* 1: the header is there, now. 0: `w` will be called. Else an error, `err` filled. */
int bcda__auth_get(struct bcda__auth *a, struct bcda__auth_wait *w, struct bcda_error *err);
void bcda__auth_leave(struct bcda__auth_wait *w); /* no longer waits */
/* The server refused the token of this generation: 1 where a new one can be had, 0 where not. */
int bcda__auth_refused(struct bcda__auth *a, unsigned generation);

#endif
