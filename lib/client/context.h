/* What the objects of a session share: configuration, log, engine, workers, statistics, and whether
 * a callback of the application is running. Calls, jobs, downloads and requests hold a pointer to
 * it; the session owns it. */
#ifndef BCDA_CLIENT_CONTEXT_H
#define BCDA_CLIENT_CONTEXT_H

#include "base/process.h"
#include "base/url.h"
#include "bcda/session.h"
#include "client/config.h"
#include "net/engine.h"
#include "protocol/limiter.h"

enum { BCDA__STATS = BCDA_STAT_SLEEP_NS + 1 };

struct bcda__auth;
struct bcda__workers;

struct bcda__context {
    bcda_config *config; /* the session's own copy */
    struct bcda__log log;
    struct bcda__url fhir; /* points into config->fhir_url */
    struct bcda__engine *engine;
    struct bcda__auth *auth;
    struct bcda__workers *workers; /* NULL: not wanted, not needed yet, or refused by the system */
    int warned_no_threads;

    struct bcda__process process; /* the one that made the session */
    int forked; /* this process is a child: no callback, no network, and no job continues or ends */
    int in_callback;
    int in_loop_callback;  /* of the application's loop, from which nothing may be called */
    int in_call;           /* inside run or step */
    int closing;           /* freed by the application; done when the outermost call returns */
    int ending;            /* being freed now */
    struct bcda_error err; /* of the last call; code 0 = none */

    struct bcda__limiter limiter;
    /* Files at once: halved on 429 and 503, one more after each file that succeeds; between 1
     * and BCDA_OPT_PARALLEL. */
    int64_t parallel;
    int64_t stat[BCDA__STATS];
};

/* Copies the configuration and opens the engine. `err` is filled; after an error
 * bcda__context_close() is still to be called. */
int bcda__context_open(struct bcda__context *cx, const bcda_config *config, struct bcda_error *err);
void bcda__context_close(struct bcda__context *cx);

int64_t bcda__context_option(const struct bcda__context *cx, int option);

/* Around every callback of the application (tests/house/callbacks.py), those of its log, its token
 * provider and `destroy` included. Leaving checks whether the callback has forked and this is the
 * child: then `forked` is set, and the caller must test it before it continues. */
void bcda__context_enter_callback(struct bcda__context *cx);
void bcda__context_leave_callback(struct bcda__context *cx);

/* 1: this is a child of the process that made the session. The calls on the stack return; from now
 * on there is no callback, no log line, no network and no lock, and nothing that both processes
 * share is changed. */
int bcda__context_is_forked(struct bcda__context *cx);

/* The outcome of a data file's request: 1 it succeeded, 0 the server asked for less load. */
void bcda__context_adapt(struct bcda__context *cx, int succeeded);

/* The decode threads, created by the first call; NULL where files are decoded inline. */
struct bcda__workers *bcda__context_workers(struct bcda__context *cx);

#endif
