/* What the objects of a session share: configuration, log, engine, workers, statistics, and whether
 * a callback of the application is running. Calls, jobs, downloads and requests have a pointer to
 * the context; the session owns it. */
#ifndef BCDA_CLIENT_CONTEXT_H
#define BCDA_CLIENT_CONTEXT_H

#include "base/process.h"
#include "base/url.h"
#include "bcda/session.h"
#include "client/config.h"
#include "net/engine.h"
#include "protocol/limiter.h"

enum { BCDA__STATS = BCDA_STAT_YAJL_LINES + 1 };

struct bcda__auth;
struct bcda__budget;
struct bcda__token_cache;
struct bcda__workers;

struct bcda__context {
    bcda_config *config; /* the session's own copy */
    struct bcda__log log;
    struct bcda__url fhir; /* parsed; points into config->fhir_url */
    struct bcda__engine *engine;
    struct bcda__auth *auth;
    /* NULL: not wanted, not needed yet, or no thread could be created. */
    struct bcda__workers *workers;
    int warned_no_threads;

    struct bcda__process process; /* the process that created the session */
    /* This process is a child of fork(). It calls no callback and uses no network, and no job
     * continues or ends in it. */
    int forked;
    int in_callback;
    /* A callback of the application's loop is running; it may not call any function of the
     * session. */
    int in_loop_callback;
    int in_call; /* inside a function that runs the session, such as run or step */
    /* The application has freed the session; this takes effect when the outermost call returns. */
    int closing;
    int ending;            /* the session is being freed now */
    struct bcda_error err; /* error of the last call; code 0 = none */

    struct bcda__limiter limiter;
    /* These are shared with other processes; NULL = not shared. The budget replaces `limiter`. */
    struct bcda__budget *budget;
    struct bcda__token_cache *token_cache;
    /* How many files may be downloaded at once. A 429 or 503 halves the number, and each file that
     * succeeds adds one. It stays between 1 and BCDA_OPT_PARALLEL. */
    int64_t parallel;
    int64_t stat[BCDA__STATS];
};

/* Copies the configuration and creates the engine. After an error, `err` is filled, and
 * bcda__context_close() must still be called. Closing frees the workers and the engine, whose end
 * still needs `config` and `process`; the session frees these two afterwards. */
int bcda__context_open(struct bcda__context *cx, const bcda_config *config, struct bcda_error *err);
void bcda__context_close(struct bcda__context *cx);

int64_t bcda__context_option(const struct bcda__context *cx, int option);

/* To be called before and after every callback of the application (tests/house/callbacks.py checks
 * that), including those of the log, of the token provider, and `destroy`. leave() checks whether
 * the callback has forked and this process is the child. In that case it sets `forked`, which the
 * caller must test before it continues. */
void bcda__context_enter_callback(struct bcda__context *cx);
void bcda__context_leave_callback(struct bcda__context *cx);

/* Returns 1 if this process is a child of the one that created the session. Functions that are
 * running must then return. From now on there is no callback, no log line, no network and no lock,
 * and nothing that both processes share is changed. */
int bcda__context_is_forked(struct bcda__context *cx);

/* Takes a request from the budget. Returns 0, or how many milliseconds to wait before the next
 * call. */
int64_t bcda__context_take_request(struct bcda__context *cx);

/* From now on the session works without the token cache, which cannot be used. */
void bcda__context_drop_token_cache(struct bcda__context *cx, const struct bcda_error *why);

/* Adapts the number of parallel downloads to the outcome of a file's request. `succeeded` is 0 if
 * the server asked for less load. */
void bcda__context_adapt(struct bcda__context *cx, int succeeded);

/* Returns the decode threads, which the first call creates, or NULL if files are decoded inline. */
struct bcda__workers *bcda__context_workers(struct bcda__context *cx);

#endif
