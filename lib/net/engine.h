/* The engine of a session: one step function serves descriptors, timers and transfers. The engine
 * has no threads of its own and never sleeps; all delays use the one timer of the loop. */
#ifndef BCDA_NET_ENGINE_H
#define BCDA_NET_ENGINE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/channel.h"
#include "net/http.h"

struct bcda__engine;

int bcda__engine_new(struct bcda__engine **out, const struct bcda__http_options *http,
                     const struct bcda__clock *clock, const struct bcda__log *log,
                     struct bcda_error *err);
/* To be called after all transfers and timers of the engine are gone. */
void bcda__engine_free(struct bcda__engine *e);
/* To be called in a child of fork(). Engine functions that are running return without doing
 * anything more. From now on a step returns BCDA_ERR_FORKED, and timers, descriptors and transfers
 * are left alone. */
void bcda__engine_set_forked(struct bcda__engine *e);
/* The channel of all transfers that do not need their own. */
struct bcda__channel *bcda__engine_common(struct bcda__engine *e);
/* Gives a channel for a single transfer. The engine reuses the channel once its `is_used` is 0.
 * Returns 0, BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY. */
int bcda__engine_channel(struct bcda__engine *e, struct bcda__channel **out,
                         struct bcda_error *err);
int64_t bcda__engine_spent_ns(struct bcda__engine *e); /* time in libcurl on the session's thread */

/* An event loop of the application, which replaces the engine's. `watch` with `events` 0 stops
 * watching a descriptor; `timer` with -1 stops the timer. Both return 0, or another value if they
 * failed. */
struct bcda__app_loop {
    int (*watch)(void *ctx, int fd, int events);
    int (*timer)(void *ctx, int64_t delay_ms);
    void *ctx;
};
/* To be called before the first transfer and the first timer. Returns 0, BCDA_ERR_NOMEM, or
 * BCDA_ERR_SYSTEM if the application's loop failed. */
int bcda__engine_set_app_loop(struct bcda__engine *e, const struct bcda__app_loop *loop);
int bcda__engine_has_app_loop(const struct bcda__engine *e);
/* The application's loop calls these when a descriptor is ready or the timer has fired. They do a
 * step, and return the same values as bcda__engine_step(). */
int bcda__engine_on_fd(struct bcda__engine *e, int fd, int events, int *woken);
int bcda__engine_on_timer(struct bcda__engine *e);

int bcda__engine_fd(const struct bcda__engine *e);
/* Blocks until a step would make progress. Returns 0, BCDA_ERR_TIMEOUT, BCDA_ERR_INTERRUPTED or
 * BCDA_ERR_SYSTEM. */
int bcda__engine_wait(struct bcda__engine *e, int timeout_ms);
/* Does once whatever is due now: sockets, events of transfers, timers. Returns 1 if there was
 * anything to do, 0 if not, BCDA_ERR_SYSTEM, or BCDA_ERR_FORKED. Sets *woken to 1 if
 * bcda__engine_wakeup() was called. */
int bcda__engine_step(struct bcda__engine *e, int *woken);
int bcda__engine_wakeup(struct bcda__engine *e);
/* How worker threads tell the session's thread that they have results. `notify` runs in every step,
 * on the session's thread, and returns 1 if there was a result. Any thread may call
 * bcda__engine_poke(), which causes a step. Unlike a wake-up, a poke does not make
 * bcda_session_run() return. */
void bcda__engine_listen(struct bcda__engine *e, int (*notify)(void *ctx), void *ctx);
void bcda__engine_poke(struct bcda__engine *e);
/* To be called on the session's thread when the results that the pokes announced have been handled
 * or discarded: those pokes need no step any more. */
void bcda__engine_unpoke(struct bcda__engine *e);

/* A step moves a limited number of bytes (net/step.h). Functions that move bytes report them with
 * spend(), and stop when is_spent() is 1. The next step delivers the remaining events. */
void bcda__engine_spend(struct bcda__engine *e, size_t bytes);
int bcda__engine_is_spent(const struct bcda__engine *e);
/* To be called after a transfer or a timer was started outside a step: sets the loop's timer. */
void bcda__engine_rearm(struct bcda__engine *e);

/* A descriptor that is no transfer's. It is a member of the object that it belongs to. `ready` is
 * called in each step in which the descriptor can be read, or is at its end. unwatch() must be
 * called before the descriptor is closed. */
struct bcda__watch {
    void (*ready)(void *ctx);
    void *ctx;
    int fd;
    struct bcda__watch *next;
};
/* Returns 0, BCDA_ERR_NOMEM or BCDA_ERR_SYSTEM; then nothing is watched. */
int bcda__engine_watch(struct bcda__engine *e, struct bcda__watch *w, int fd,
                       void (*ready)(void *ctx), void *ctx);
void bcda__engine_unwatch(struct bcda__engine *e, struct bcda__watch *w);

/* A timer is a member of the object that it belongs to. It fires once, from a step. */
struct bcda__timer {
    void (*fire)(void *ctx);
    void *ctx;
    int64_t at_ms; /* when it fires, on the engine's clock */
    int set;
    unsigned round; /* number of the step in which it was set */
    struct bcda__timer *prev, *next;
};
void bcda__timer_set(struct bcda__engine *e, struct bcda__timer *t, int64_t delay_ms,
                     void (*fire)(void *ctx), void *ctx);
void bcda__timer_clear(struct bcda__timer *t);

int64_t bcda__engine_now(const struct bcda__engine *e);
int64_t bcda__engine_wall(const struct bcda__engine *e);
/* When the next timer is due, on the engine's clock; INT64_MAX if none is set. For tests that
 * control the clock. */
int64_t bcda__engine_next_timer(const struct bcda__engine *e);

#endif
