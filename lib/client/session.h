/* The inside of a session, and the rules of its entry points. */
#ifndef BCDA_CLIENT_SESSION_H
#define BCDA_CLIENT_SESSION_H

#include "base/process.h"
#include "base/url.h"
#include "bcda/session.h"
#include "client/auth.h"
#include "client/config.h"
#include "client/registration.h"
#include "net/engine.h"
#include "protocol/limiter.h"

enum { BCDA__STATS = BCDA_STAT_SLEEP_NS + 1 };

struct bcda__workers;

struct bcda_session {
    bcda_config *config; /* its own copy */
    struct bcda__log log;
    struct bcda__url fhir; /* points into config->fhir_url */
    char *token_url;
    struct bcda__engine *engine;
    struct bcda__workers *workers; /* NULL: none are wanted, needed yet, or to be had */
    int told_threadless;           /* the application knows that there are none to be had */
    struct bcda__auth auth;
    struct bcda__process process; /* that made it */

    int in_callback;
    int in_loop_callback; /* of the application's loop: nothing may be called from there */
    struct bcda__registration *loop; /* of the application's; its cb is unused */
    bcda_watch_fd_cb watch_fd;
    bcda_watch_timer_cb watch_timer;
    int in_call; /* inside run or step */
    int closing; /* freed by the application: the rest happens when the outermost call unwinds */
    int ending;  /* it happens now */

    bcda_job *jobs, *jobs_last; /* those that have not ended */
    bcda_job *ended;            /* to be unreferenced when the outermost call unwinds */
    bcda_request *requests;
    int forked; /* this is a child: no callbacks, no network, and no job goes on or ends */
    struct bcda__limiter limiter;
    int64_t parallel; /* files at once, as the server bears it: down by half on 429 and 503, up by
                         one on success, between 1 and BCDA_OPT_PARALLEL */
    int64_t stat[BCDA__STATS];
    struct bcda_error err; /* of the last call; code 0 = none */
};

/* Around every callback of the application, without exception (tests/house/callbacks.py), those of
 * its log, its token provider and `destroy` included. Leaving checks whether the callback has
 * forked and this is the child: then `forked` is set, and whoever called looks at that before it
 * goes on. */
void bcda__session_enter_callback(bcda_session *s);
void bcda__session_leave_callback(bcda_session *s);

int64_t bcda__session_option(const bcda_session *s, int option);

/* How a data file's request went: 1 well, 0 the server asked for less. */
void bcda__session_adapt(bcda_session *s, int well);

/* Those that decode, made when first asked for; NULL where files are decoded inline. */
struct bcda__workers *bcda__session_workers(bcda_session *s);
/* For tests that own the clock: 1 while workers have something to do or to tell. */
int bcda__session_is_decoding(bcda_session *s);
/* For tests that own the clock: how long until the next timer; -1 = none. */
int64_t bcda__session_next_timer_ms(const bcda_session *s);

/* 1: this is a child of the process that made the session. What is on the stack of the parent's
 * session unwinds: from now on no callback, no log line, no network, no lock, and nothing that
 * changes what both processes share. */
int bcda__session_is_forked(bcda_session *s);
void bcda__session_poke(bcda_session *s);  /* every job looks what it can do, in the next step */
void bcda__session_sweep(bcda_session *s); /* lets go of the jobs that have ended */
/* BCDA_ERR_NOMEM, SYSTEM, FORKED. */
int bcda__session_set_loop(bcda_session *s, bcda_watch_fd_cb watch_fd,
                           bcda_watch_timer_cb watch_timer, void *userdata,
                           bcda_destroy_cb destroy);
int bcda__session_create(bcda_session **out, bcda_config *config);
void bcda__session_destroy(bcda_session *s); /* ends jobs and requests first */

#endif
