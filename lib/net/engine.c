#include "net/engine.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "net/channel.h"
#include "net/loop.h"
#include "net/step.h"

struct bcda__engine {
    struct bcda__loop *loop;
    /* The application's event loop. It replaces `loop`, which then serves wake-ups only. All
     * members are 0 if the application has no loop. */
    struct bcda__app_loop app;
    int *watched; /* the descriptors that the application's loop watches */
    int watched_count, watched_cap;
    int forked;
    struct bcda__http_options http_options;
    const struct bcda__log *log;
    struct bcda__http_share *share;
    struct bcda__watch *watches; /* descriptors that are no transfer's */
    /* All channels, `common` included; the first one is served next. */
    struct bcda__channel *channels;
    struct bcda__channel *common;
    struct bcda__clock clock, real;
    /* List head. The list is short (a few timers for each open transfer), so it is not sorted. */
    struct bcda__timer timers;
    int stepping;
    int budget;     /* number of transfer events that this step may still deliver */
    int64_t work;   /* number of bytes that this step may still move */
    int late_wake;  /* a wake-up came after this step had read the descriptors */
    unsigned round; /* number of the current step */
    /* When the loop's timer fires, in real time; INT64_MAX if it is not set. */
    int64_t armed_at;
    int due; /* bcda__loop_due() was called with 1 */
    int timer_error;
    /* Called in each step: handles the results that worker threads have reported. NULL if there are
     * no such threads. */
    int (*notify)(void *ctx);
    void *notify_ctx;
};

/* ---- an event loop of the application ---- */

static int find_watched(const struct bcda__engine *e, int fd)
{
    int i;

    for (i = 0; i < e->watched_count; i++)
        if (e->watched[i] == fd)
            return i;
    return -1;
}

static int note_watched(struct bcda__engine *e, int fd)
{
    int *grown;

    if (e->watched_count == e->watched_cap) {
        grown = bcda__realloc(e->watched, ((size_t)e->watched_cap * 2 + 8) * sizeof *grown);
        if (!grown)
            return BCDA_ERR_NOMEM;
        e->watched = grown;
        e->watched_cap = e->watched_cap * 2 + 8;
    }
    e->watched[e->watched_count++] = fd;
    return 0;
}

/* libcurl may ask to stop watching a descriptor that it never asked to watch. Such a request is not
 * passed on to the application's loop. */
static int watch_by_app(struct bcda__engine *e, int fd, int events)
{
    int i = find_watched(e, fd), known = i >= 0;

    if (!events && !known)
        return 0;
    if (!events)
        e->watched[i] = e->watched[--e->watched_count];
    else if (!known && note_watched(e, fd))
        return BCDA_ERR_NOMEM;
    if (!e->app.watch(e->app.ctx, fd, events))
        return 0;
    if (events && !known)
        e->watched_count--; /* remove the entry that was just added */
    return BCDA_ERR_SYSTEM;
}

int bcda__engine_set_app_loop(struct bcda__engine *e, const struct bcda__app_loop *loop)
{
    int rc;

    e->app = *loop;
    rc = watch_by_app(e, bcda__loop_wake_fd(e->loop), BCDA__LOOP_READ);
    if (rc)
        memset(&e->app, 0, sizeof e->app);
    return rc;
}

int bcda__engine_has_app_loop(const struct bcda__engine *e)
{
    return e->app.watch != NULL;
}

static void leave_app_loop(struct bcda__engine *e)
{
    while (!e->forked && e->watched_count)
        (void)watch_by_app(e, e->watched[0], 0);
    if (!e->forked && e->app.timer)
        (void)e->app.timer(e->app.ctx, -1);
    bcda__free(e->watched);
}

/* ---- watching descriptors ---- */

static int engine_watch(void *ctx, int fd, int events)
{
    struct bcda__engine *e = ctx;

    if (e->forked)
        return 0;
    return e->app.watch ? watch_by_app(e, fd, events) : bcda__loop_watch(e->loop, fd, events);
}

int bcda__engine_watch(struct bcda__engine *e, struct bcda__watch *w, int fd,
                       void (*ready)(void *ctx), void *ctx)
{
    int rc = engine_watch(e, fd, BCDA__LOOP_READ);

    if (rc)
        return rc;
    w->ready = ready;
    w->ctx = ctx;
    w->fd = fd;
    w->next = e->watches;
    e->watches = w;
    return 0;
}

void bcda__engine_unwatch(struct bcda__engine *e, struct bcda__watch *w)
{
    struct bcda__watch **at = &e->watches;

    while (*at && *at != w)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = w->next;
    (void)engine_watch(e, w->fd, 0);
}

static struct bcda__watch *watch_of(const struct bcda__engine *e, int fd)
{
    struct bcda__watch *w = e->watches;

    while (w && w->fd != fd)
        w = w->next;
    return w;
}

/* ---- channels ---- */

static int add_channel(struct bcda__engine *e, struct bcda__channel **out, struct bcda_error *err)
{
    struct bcda__channel *c = bcda__calloc(1, sizeof *c);
    struct bcda__http_hooks hooks;
    int rc;

    if (!c)
        return bcda__err_nomem(err);
    bcda__channel_init(c, &hooks, engine_watch, e);
    rc = bcda__http_new(&c->http, &e->http_options, e->share, &hooks, e->log, err);
    if (rc) {
        bcda__free(c);
        return rc;
    }
    c->next = e->channels;
    e->channels = c;
    *out = c;
    return 0;
}

/* In a child of fork(), a channel that a worker of the parent was using keeps its transport
 * unfreed, because the state of that transport is unknown. */
static void free_channels(struct bcda__engine *e)
{
    struct bcda__channel *c;

    while ((c = e->channels)) {
        e->channels = c->next;
        if (!c->is_lost)
            bcda__http_free(c->http);
        bcda__free(c);
    }
}

int bcda__engine_channel(struct bcda__engine *e, struct bcda__channel **out, struct bcda_error *err)
{
    struct bcda__channel *c = e->channels;
    int rc = 0;

    while (c && (c->is_common || c->is_used))
        c = c->next;
    if (!c)
        rc = add_channel(e, &c, err);
    if (rc)
        return rc;
    assert(c);
    c->is_used = 1;
    *out = c;
    return 0;
}

/* Round robin: the first channel becomes the last. */
static void turn_channels(struct bcda__engine *e)
{
    struct bcda__channel *first = e->channels, *last = first;

    if (!first->next)
        return;
    while (last->next)
        last = last->next;
    e->channels = first->next;
    first->next = NULL;
    last->next = first;
}

static int is_own(const struct bcda__channel *c)
{
    return c->state == BCDA__CHANNEL_OWN;
}

static int have_events(const struct bcda__engine *e)
{
    const struct bcda__channel *c;

    for (c = e->channels; c; c = c->next)
        if (is_own(c) && c->has_events)
            return 1;
    return 0;
}

int64_t bcda__engine_spent_ns(struct bcda__engine *e)
{
    struct bcda__channel *c;
    int64_t spent = 0;

    for (c = e->channels; c; c = c->next) {
        if (c->state != BCDA__CHANNEL_AWAY)
            c->spent += bcda__http_take_spent(c->http);
        spent += c->spent;
    }
    return spent;
}

int bcda__engine_new(struct bcda__engine **out, const struct bcda__http_options *http,
                     const struct bcda__clock *clock, const struct bcda__log *log,
                     struct bcda_error *err)
{
    struct bcda__engine *e = bcda__calloc(1, sizeof *e);
    int rc;

    if (!e)
        return bcda__err_nomem(err);
    e->http_options = *http;
    e->log = log;
    e->clock = *clock;
    e->real = bcda__clock_system();
    e->armed_at = INT64_MAX;
    e->timers.prev = e->timers.next = &e->timers;
    rc = bcda__loop_new(&e->loop);
    if (rc) {
        bcda__free(e);
        return bcda__err_set(err, rc,
                             rc == BCDA_ERR_NOMEM ? "out of memory"
                                                  : "the system gave no descriptor; is the "
                                                    "limit of open files reached?");
    }
    rc = bcda__http_share_new(&e->share);
    if (rc)
        bcda__err_set(err, rc, "libcurl gave no handle");
    else
        rc = add_channel(e, &e->common, err);
    if (rc) {
        bcda__engine_free(e);
        return rc;
    }
    e->common->is_common = 1;
    *out = e;
    return 0;
}

void bcda__engine_free(struct bcda__engine *e)
{
    if (!e)
        return;
    free_channels(e);
    bcda__http_share_free(e->share, e->forked);
    leave_app_loop(e);
    bcda__loop_free(e->loop);
    bcda__free(e);
}

void bcda__engine_set_forked(struct bcda__engine *e)
{
    struct bcda__channel *c;

    e->forked = 1;
    e->budget = 0; /* makes engine functions that are running return */
    for (c = e->channels; c; c = c->next)
        bcda__http_set_forked(c->http);
}

struct bcda__channel *bcda__engine_common(struct bcda__engine *e)
{
    return e->common;
}

int bcda__engine_fd(const struct bcda__engine *e)
{
    return bcda__loop_fd(e->loop);
}

int bcda__engine_wait(struct bcda__engine *e, int timeout_ms)
{
    return bcda__loop_wait(e->loop, timeout_ms);
}

int bcda__engine_wakeup(struct bcda__engine *e)
{
    return bcda__loop_wakeup(e->loop);
}

void bcda__engine_listen(struct bcda__engine *e, int (*notify)(void *ctx), void *ctx)
{
    e->notify = notify;
    e->notify_ctx = ctx;
}

void bcda__engine_poke(struct bcda__engine *e)
{
    bcda__loop_poke(e->loop);
}

void bcda__engine_unpoke(struct bcda__engine *e)
{
    if (!bcda__loop_take_wake(e->loop))
        return;
    if (e->stepping)
        e->late_wake = 1;
    /* Besides the poke there was a wake-up, which bcda__loop_take_wake() has just removed. It is
     * repeated for the next step. */
    else
        (void)bcda__loop_wakeup(e->loop);
}

void bcda__engine_spend(struct bcda__engine *e, size_t bytes)
{
    e->work -= (int64_t)bytes;
    if (e->work <= 0)
        e->budget = 0;
}

int bcda__engine_is_spent(const struct bcda__engine *e)
{
    return e->stepping && e->budget <= 0;
}

int64_t bcda__engine_now(const struct bcda__engine *e)
{
    return bcda__clock_now(&e->clock);
}

int64_t bcda__engine_wall(const struct bcda__engine *e)
{
    return bcda__clock_wall(&e->clock);
}

/* ---- timers ---- */

void bcda__timer_clear(struct bcda__timer *t)
{
    if (!t->set)
        return;
    t->set = 0;
    t->prev->next = t->next;
    t->next->prev = t->prev;
}

void bcda__timer_set(struct bcda__engine *e, struct bcda__timer *t, int64_t delay_ms,
                     void (*fire)(void *ctx), void *ctx)
{
    bcda__timer_clear(t);
    t->fire = fire;
    t->ctx = ctx;
    t->at_ms = bcda__engine_now(e) + delay_ms;
    t->set = 1;
    t->round = e->round;
    t->next = &e->timers;
    t->prev = e->timers.prev;
    t->prev->next = t;
    e->timers.prev = t;
    if (!e->stepping)
        bcda__engine_rearm(e);
}

int64_t bcda__engine_next_timer(const struct bcda__engine *e)
{
    const struct bcda__timer *t;
    int64_t at = INT64_MAX;

    for (t = e->timers.next; t != &e->timers; t = t->next)
        if (t->at_ms < at)
            at = t->at_ms;
    return at;
}

/* Returns the earliest timer that is due. A timer that was set in this step waits for the next one;
 * otherwise a step might never end. */
static struct bcda__timer *due_timer(const struct bcda__engine *e, int64_t now)
{
    struct bcda__timer *t, *best = NULL;

    for (t = e->timers.next; t != &e->timers; t = t->next)
        if (t->at_ms <= now && t->round != e->round && (!best || t->at_ms < best->at_ms))
            best = t;
    return best;
}

static int fire_timers(struct bcda__engine *e)
{
    int64_t now = bcda__engine_now(e);
    struct bcda__timer *t;
    int fired = 0;

    while (!e->forked && fired < BCDA__STEP_EVENTS && (t = due_timer(e, now))) {
        bcda__timer_clear(t);
        t->fire(t->ctx);
        fired++;
    }
    return fired > 0;
}

/* Milliseconds until something is due; 0 if something is due now, -1 if nothing will be. */
static int64_t next_delay(const struct bcda__engine *e)
{
    int64_t at = bcda__engine_next_timer(e), delay = INT64_MAX;
    const struct bcda__channel *c;

    if (have_events(e))
        return 0;
    if (at != INT64_MAX)
        delay = at - bcda__engine_now(e);
    for (c = e->channels; c; c = c->next)
        if (c->state != BCDA__CHANNEL_AWAY && c->curl_at != INT64_MAX &&
            c->curl_at - bcda__clock_now(&e->real) < delay)
            delay = c->curl_at - bcda__clock_now(&e->real);
    if (delay == INT64_MAX)
        return -1;
    return delay < 0 ? 0 : delay;
}

static void tell_due(struct bcda__engine *e, int due)
{
    if (due == e->due)
        return;
    e->due = due;
    if (bcda__loop_due(e->loop, due))
        e->timer_error = 1;
}

void bcda__engine_rearm(struct bcda__engine *e)
{
    int64_t delay = next_delay(e);
    int64_t at = delay < 0 ? INT64_MAX : bcda__clock_now(&e->real) + delay;
    /* The application's loop has no bcda__loop_due(); the engine sets a timer of 0 ms instead. */
    int due = delay == 0 && !e->app.timer;

    if (e->forked)
        return; /* the child and the parent share the loop's timer */
    tell_due(e, due);
    if (due || (at == e->armed_at && delay != 0))
        return; /* the timer is already set to this: saves one system call per step */
    e->armed_at = at;
    if (e->app.timer ? e->app.timer(e->app.ctx, delay) : bcda__loop_arm(e->loop, delay))
        e->timer_error = 1;
}

/* ---- one step ---- */

static int drive_timers(struct bcda__engine *e)
{
    struct bcda__channel *c;
    int did = 0;

    for (c = e->channels; c && !e->forked; c = c->next) {
        if (c->state == BCDA__CHANNEL_AWAY || !bcda__channel_is_due(c))
            continue;
        did = 1;
        if (is_own(c)) {
            c->curl_at = INT64_MAX;
            bcda__http_drive_timer(c->http);
        } else {
            bcda__channel_wake(c); /* the reader will drive libcurl's timer */
        }
    }
    return did;
}

/* Delivers events until the step's budget is spent; the rest waits for the next step. */
static int dispatch_channel(struct bcda__engine *e, struct bcda__channel *c)
{
    int did = 0;

    while (e->budget > 0 && is_own(c) && bcda__http_dispatch(c->http)) {
        e->budget--;
        did = 1;
    }
    if (is_own(c))
        c->has_events = bcda__http_has_events(c->http);
    return did;
}

static int dispatch_transfers(struct bcda__engine *e)
{
    struct bcda__channel *c;
    int did = 0;

    for (c = e->channels; c; c = c->next)
        did |= dispatch_channel(e, c);
    return did;
}

/* Resumes the transfers that were resumable when the step began. Those that become resumable during
 * the step wait, so that it ends. The bytes of each transfer are delivered before the next transfer
 * reads more. */
static int resume_transfers(struct bcda__engine *e)
{
    struct bcda__channel *c;
    int did = 0;

    for (c = e->channels; c; c = c->next) {
        for (; c->resumable > 0 && e->budget > 0 && is_own(c); c->resumable--) {
            bcda__http_resume(c->http);
            (void)dispatch_channel(e, c);
            did = 1;
        }
        if (is_own(c))
            c->has_events |= bcda__http_resumable(c->http) > 0;
    }
    return did;
}

/* Returns the channel that a descriptor belongs to. The common channel keeps no list of its
 * descriptors, so it is returned if no other channel has `fd`. Of a channel in state AWAY no
 * descriptor is watched. */
static struct bcda__channel *channel_of(const struct bcda__engine *e, int fd)
{
    struct bcda__channel *c;

    for (c = e->channels; c; c = c->next)
        if (!c->is_common && c->state != BCDA__CHANNEL_AWAY && bcda__channel_has_fd(c, fd))
            return c;
    return e->common;
}

static void drive_fd(struct bcda__engine *e, int fd, int events)
{
    struct bcda__channel *c = channel_of(e, fd);
    struct bcda__watch *w = watch_of(e, fd);

    if (w) {
        w->ready(w->ctx);
    } else if (is_own(c)) {
        bcda__http_drive(c->http, fd, events);
        (void)dispatch_channel(e, c); /* now, while the bytes are still in the processor's cache */
    } else {
        bcda__channel_wake(c);
    }
}

static int drive_step(struct bcda__engine *e, int *woken)
{
    struct bcda__loop_ready ready[BCDA__STEP_DESCRIPTORS];
    int i, n, timer, did;

    n = bcda__loop_take(e->loop, ready, BCDA__STEP_DESCRIPTORS, &timer, woken);
    if (n < 0)
        return n;
    /* The loop's timer has fired, so it is no longer set. */
    if (timer)
        e->armed_at = INT64_MAX;
    /* Events of transfers from before this step are delivered first. */
    did = dispatch_transfers(e) || n > 0 || *woken;
    for (i = 0; i < n && e->budget > 0; i++) {
        const struct bcda__loop_ready *r = &ready[(e->round + (unsigned)i) % (unsigned)n];

        drive_fd(e, r->fd, r->events);
    }
    return drive_timers(e) | did;
}

static void begin_step(struct bcda__engine *e)
{
    struct bcda__channel *c;

    e->stepping = 1;
    e->round++;
    e->budget = BCDA__STEP_EVENTS;
    e->work = BCDA__STEP_BYTES;
    turn_channels(e);
    for (c = e->channels; c; c = c->next)
        if (is_own(c))
            c->resumable = bcda__http_resumable(c->http);
}

/* Delivers what the descriptors and timers have brought, and ends the step. */
static int end_engine_step(struct bcda__engine *e, int did)
{
    if (did >= 0) {
        if (e->notify)
            /* runs first, because a worker's result may wake transfers */
            did |= e->notify(e->notify_ctx);
        did |= dispatch_transfers(e);
        did |= resume_transfers(e);
        did |= fire_timers(e);
    }
    e->stepping = 0;
    bcda__engine_rearm(e);
    if (e->forked)
        return BCDA_ERR_FORKED;
    return did < 0 || e->timer_error ? BCDA_ERR_SYSTEM : did;
}

int bcda__engine_step(struct bcda__engine *e, int *woken)
{
    int did;

    begin_step(e);
    did = end_engine_step(e, drive_step(e, woken));
    *woken |= e->late_wake;
    e->late_wake = 0;
    return did;
}

int bcda__engine_on_fd(struct bcda__engine *e, int fd, int events, int *woken)
{
    int did;

    *woken = 0;
    if (find_watched(e, fd) < 0)
        return 0; /* a late call of the application's loop: the descriptor is no longer watched */
    begin_step(e);
    did = fd != bcda__loop_wake_fd(e->loop);
    if (did)
        drive_fd(e, fd, events);
    else
        did = *woken = bcda__loop_take_wake(e->loop);
    return end_engine_step(e, did);
}

int bcda__engine_on_timer(struct bcda__engine *e)
{
    begin_step(e);
    e->armed_at = INT64_MAX; /* the timer has fired, so it is no longer set */
    return end_engine_step(e, drive_timers(e));
}
