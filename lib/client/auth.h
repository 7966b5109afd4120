/* The session's token. It is fetched once and shared by all requests. It is renewed shortly before
 * it expires, and once after a 401. Calls that need the token while it is being fetched wait in a
 * queue. */
#ifndef BCDA_CLIENT_AUTH_H
#define BCDA_CLIENT_AUTH_H

#include "base/err.h"
#include "base/secret.h"
#include "client/token_endpoint.h"
#include "net/engine.h"

struct bcda__auth;
struct bcda__command;
struct bcda__context;

/* A call's place in the queue for the token. It is a member of the object that waits. */
struct bcda__auth_wait {
    void (*ready)(void *ctx, int code, const struct bcda_error *err);
    void *ctx;
    struct bcda__auth *auth;
    int renews;      /* set by the owner: its token was refused; bcda__auth_get() clears it */
    int was_refused; /* while it waits: the value of `renews` */
    int waiting;
    unsigned round;
    struct bcda__auth_wait *prev, *next;
};

/* What the session does to get a token (doc/design.md has the diagram). */
enum bcda__auth_state {
    BCDA__AUTH_IDLE,      /* no token is being fetched */
    BCDA__AUTH_SHARED,    /* another process fetches a token for the cache */
    BCDA__AUTH_ENDPOINT,  /* the token URL was asked */
    BCDA__AUTH_PROVIDER,  /* the application was asked */
    BCDA__AUTH_COMMAND,   /* the token command runs */
    BCDA__AUTH_REPORTING, /* the result is reported in the next step */
};

struct bcda__auth {
    struct bcda__context *cx;
    enum bcda__auth_state state;
    int has_tokens;              /* 0 = an open server, to which no token is sent */
    struct bcda__secret header;  /* value of the header, "Bearer …"; unset = there is no token */
    struct bcda__secret refused; /* the header with the last token that the server refused */
    /* Counts the tokens, so that two 401 for the same token cause one renewal. */
    unsigned generation;
    int has_failed; /* no token could be got, `answer` says why, and a repetition would not help */
    int64_t renew_at, expires_at; /* INT64_MAX = not known */
    struct bcda__token_endpoint endpoint;
    bcda_token_request *asked;     /* the request to the token provider; NULL = none */
    struct bcda__command *command; /* the token command that runs; NULL = none */
    int has_cache_lock;            /* this process fetches the token for the cache */
    int64_t shared_until;          /* SHARED: until when the other process is waited for */
    struct bcda__timer timer;      /* SHARED: the next look; REPORTING: delivers `answer` */
    struct bcda_error answer;
    char missing_scope[512]; /* what was asked for and not granted; "" = nothing */
    unsigned round;
    struct bcda__auth_wait waits; /* list head of the queue */
};

/* Returns 0 or BCDA_ERR_NOMEM; free() must be called in both cases. */
int bcda__auth_init(struct bcda__auth *a, struct bcda__context *cx);
void bcda__auth_free(struct bcda__auth *a);
/* Returns 1 if the token is in `header`. Returns 0 if the call must wait for the token: w->ready
 * will be called. Returns an error code, with `err` filled, if the token cannot be fetched; if
 * another call has tried that since the token was refused, without a new request, because servers
 * limit these. */
int bcda__auth_get(struct bcda__auth *a, struct bcda__auth_wait *w, struct bcda_error *err);
/* Leaves the queue; does nothing if `w` is not in it. If nobody waits any more, the session stops
 * getting a token, because it may not be run again: it would keep the lock of the token cache, and
 * the process of the token command. A request to the token provider stays open. */
void bcda__auth_leave(struct bcda__auth_wait *w);
/* To be called when the server refused (401) the token whose number was `generation`. Returns 1 if
 * a new token can be requested, else 0. The caller then sets `renews` and calls bcda__auth_get().
 */
int bcda__auth_refused(struct bcda__auth *a, unsigned generation);

#endif
