/* What moves a session: descriptors, timers and transfers behind one step. No threads of its own,
 * no sleeping: all waiting is one timer of the loop. */
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
void bcda__engine_free(struct bcda__engine *e); /* its transfers and timers are gone before */
/* This is a child: what is under way unwinds without doing anything more. A step gives
 * BCDA_ERR_FORKED, and timers, descriptors and transfers are left alone. */
void bcda__engine_set_forked(struct bcda__engine *e);
/* The channel of all transfers that do not need their own. */
struct bcda__channel *bcda__engine_common(struct bcda__engine *e);
/* A channel for a single transfer. The engine reuses it when its `is_used` is 0. NOMEM, LIBRARY. */
int bcda__engine_channel(struct bcda__engine *e, struct bcda__channel **out,
                         struct bcda_error *err);
int64_t bcda__engine_spent_ns(struct bcda__engine *e); /* in libcurl, on the session's thread */

/* An event loop of the application, which replaces the engine's. `watch` with 0 forgets a
 * descriptor; `timer` with -1 disarms. A value other than 0 = failed. */
struct bcda__app_loop {
    int (*watch)(void *ctx, int fd, int events);
    int (*timer)(void *ctx, int64_t delay_ms);
    void *ctx;
};
/* Before any transfer or timer. 0, NOMEM, or SYSTEM: the application's loop refused. */
int bcda__engine_set_app_loop(struct bcda__engine *e, const struct bcda__app_loop *loop);
int bcda__engine_has_app_loop(const struct bcda__engine *e);
/* Reports of the application's loop: as bcda__engine_step(). */
int bcda__engine_on_fd(struct bcda__engine *e, int fd, int events, int *woken);
int bcda__engine_on_timer(struct bcda__engine *e);

int bcda__engine_fd(const struct bcda__engine *e);
/* Blocks until a step would make progress: 0, BCDA_ERR_TIMEOUT, INTERRUPTED, SYSTEM. */
int bcda__engine_wait(struct bcda__engine *e, int timeout_ms);
/* Everything that is due now, once: sockets, events of transfers, timers. 1 where anything was
 * done, 0, BCDA_ERR_SYSTEM, or BCDA_ERR_FORKED. *woken = a wake-up was among it. */
int bcda__engine_step(struct bcda__engine *e, int *woken);
int bcda__engine_wakeup(struct bcda__engine *e);
/* Other threads report to the session: `notify` runs in every step, and returns 1 if there was a
 * report. bcda__engine_poke() may be called from any thread, and causes a step; it is not a
 * wake-up: bcda_session_run() continues. */
void bcda__engine_listen(struct bcda__engine *e, int (*notify)(void *ctx), void *ctx);
void bcda__engine_poke(struct bcda__engine *e);
/* On the session's thread: the reports of earlier pokes have been handled, or are gone. */
void bcda__engine_unpoke(struct bcda__engine *e);

/* A step moves a bounded number of bytes (net/step.h). The functions that move bytes report them
 * here, and stop when the budget is spent; the remaining events are delivered in the next step. */
void bcda__engine_spend(struct bcda__engine *e, size_t bytes);
int bcda__engine_is_spent(const struct bcda__engine *e);
/* To be called after transfers or timers were started outside of a step. */
void bcda__engine_rearm(struct bcda__engine *e);

/* A timer is part of its owner. It fires once, from a step. */
struct bcda__timer {
    void (*fire)(void *ctx);
    void *ctx;
    int64_t at_ms; /* on the engine's clock */
    int set;
    unsigned round; /* the step it was set in */
    struct bcda__timer *prev, *next;
};
void bcda__timer_set(struct bcda__engine *e, struct bcda__timer *t, int64_t delay_ms,
                     void (*fire)(void *ctx), void *ctx);
void bcda__timer_clear(struct bcda__timer *t);

int64_t bcda__engine_now(const struct bcda__engine *e);
int64_t bcda__engine_wall(const struct bcda__engine *e);
/* When the next timer is due on the engine's clock; INT64_MAX = none. For tests that own the clock.
 */
int64_t bcda__engine_next_timer(const struct bcda__engine *e);

#endif
