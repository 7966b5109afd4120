#include "net/engine.h"

#include <string.h>

#include "base/mem.h"
#include "net/loop.h"

enum {
    READY_MAX = 32,         /* descriptors that one step serves */
    DISPATCH_MAX = 64,      /* events of transfers that one step delivers */
    WORK_MAX = 1024 * 1024, /* bytes that one step moves, received and delivered, or little more */
};

struct bcda__engine {
    struct bcda__loop *loop;
    struct bcda__host_loop
        host;     /* in its place; unset = none. Then the loop is there to be woken */
    int *watched; /* by the host: descriptors */
    int watched_count, watched_cap;
    int forked;
    struct bcda__http *http;
    struct bcda__clock clock;
    struct bcda__timer timers; /* list head, in no order: there are a few for each open transfer */
    /* libcurl's own timer runs by the real time, since libcurl does: with a clock of a test it
     * would be asked too early, and would not ask again. */
    struct bcda__clock real;
    int64_t curl_at; /* INT64_MAX = none */
    int news;        /* a transfer has an event waiting, or can go on */
    int stepping;
    int budget;       /* events of transfers that this step may still deliver */
    int64_t work;     /* bytes that it may still move */
    int late_wake;    /* a wake-up that came behind the look at the descriptors */
    size_t resumable; /* transfers that could go on when this step began */
    unsigned round;   /* of steps */
    int64_t armed_at; /* what the loop's timer is set to, in real time; INT64_MAX = nothing */
    int due;          /* the loop was told that something is due */
    int timer_error;
    int (*tell)(void *ctx); /* what other threads have done; NULL = there are none */
    void *tell_ctx;
};

/* ---- a loop of the host's ---- */

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

/* libcurl may forget what it never had watched, and tell of what it has (craft 5.4); the host is
 * asked to forget only what it knows. */
static int watch_by_host(struct bcda__engine *e, int fd, int events)
{
    int i = find_watched(e, fd), known = i >= 0;

    if (!events && !known)
        return 0;
    if (!events)
        e->watched[i] = e->watched[--e->watched_count];
    else if (!known && note_watched(e, fd))
        return BCDA_ERR_NOMEM;
    if (!e->host.watch(e->host.ctx, fd, events))
        return 0;
    if (events && !known)
        e->watched_count--; /* the one that was noted just now */
    return BCDA_ERR_SYSTEM;
}

int bcda__engine_set_host(struct bcda__engine *e, const struct bcda__host_loop *host)
{
    int rc;

    e->host = *host;
    rc = watch_by_host(e, bcda__loop_wake_fd(e->loop), BCDA__LOOP_READ);
    if (rc)
        memset(&e->host, 0, sizeof e->host);
    return rc;
}

int bcda__engine_has_host(const struct bcda__engine *e)
{
    return e->host.watch != NULL;
}

static void leave_host(struct bcda__engine *e)
{
    while (!e->forked && e->watched_count)
        (void)watch_by_host(e, e->watched[0], 0);
    if (!e->forked && e->host.timer)
        (void)e->host.timer(e->host.ctx, -1);
    bcda__free(e->watched);
}

/* ---- what the transport asks for ---- */

static int hook_watch(void *ctx, int fd, int events)
{
    struct bcda__engine *e = ctx;

    return e->host.watch ? watch_by_host(e, fd, events) : bcda__loop_watch(e->loop, fd, events);
}

static void hook_curl_timer(void *ctx, int64_t delay_ms)
{
    struct bcda__engine *e = ctx;

    e->curl_at = delay_ms < 0 ? INT64_MAX : bcda__clock_now(&e->real) + delay_ms;
}

static void hook_news(void *ctx)
{
    struct bcda__engine *e = ctx;

    e->news = 1;
}

int bcda__engine_new(struct bcda__engine **out, const struct bcda__http_options *http,
                     const struct bcda__clock *clock, const struct bcda__log *log,
                     struct bcda_error *err)
{
    struct bcda__engine *e = bcda__calloc(1, sizeof *e);
    struct bcda__http_hooks hooks = {hook_watch, hook_curl_timer, hook_news, e};
    int rc;

    if (!e)
        return bcda__err_nomem(err);
    e->clock = *clock;
    e->real = bcda__clock_system();
    e->curl_at = e->armed_at = INT64_MAX;
    e->timers.prev = e->timers.next = &e->timers;
    rc = bcda__loop_new(&e->loop);
    if (rc) {
        bcda__free(e);
        return bcda__err_set(err, rc,
                             rc == BCDA_ERR_NOMEM ? "out of memory"
                                                  : "the system gave no descriptor; is "
                                                    "RLIMIT_NOFILE reached?");
    }
    rc = bcda__http_new(&e->http, http, &hooks, log, err);
    if (rc) {
        bcda__loop_free(e->loop);
        bcda__free(e);
        return rc;
    }
    *out = e;
    return 0;
}

void bcda__engine_free(struct bcda__engine *e)
{
    if (!e)
        return;
    bcda__http_free(e->http);
    leave_host(e);
    bcda__loop_free(e->loop);
    bcda__free(e);
}

void bcda__engine_set_forked(struct bcda__engine *e)
{
    e->forked = 1;
    bcda__http_set_forked(e->http);
}

struct bcda__http *bcda__engine_http(struct bcda__engine *e)
{
    return e->http;
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

void bcda__engine_listen(struct bcda__engine *e, int (*tell)(void *ctx), void *ctx)
{
    e->tell = tell;
    e->tell_ctx = ctx;
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
    else
        (void)bcda__loop_wakeup(e->loop); /* not ours to take */
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

/* The earliest that is due. One that was set in this very step waits for the next, so that a step
 * ends. */
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

    while (fired < DISPATCH_MAX && (t = due_timer(e, now))) {
        bcda__timer_clear(t);
        t->fire(t->ctx);
        fired++;
    }
    return fired > 0;
}

/* How long until something is due; -1 = nothing is. */
static int64_t next_delay(const struct bcda__engine *e)
{
    int64_t at = bcda__engine_next_timer(e), delay = INT64_MAX;

    if (e->news)
        return 0;
    if (at != INT64_MAX)
        delay = at - bcda__engine_now(e);
    if (e->curl_at != INT64_MAX && e->curl_at - bcda__clock_now(&e->real) < delay)
        delay = e->curl_at - bcda__clock_now(&e->real);
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
    int due = delay == 0 && !e->host.timer; /* a loop of the host's has only its timer for that */

    tell_due(e, due);
    if (due || (at == e->armed_at && delay != 0))
        return; /* saves a system call a step */
    e->armed_at = at;
    if (e->host.timer ? e->host.timer(e->host.ctx, delay) : bcda__loop_arm(e->loop, delay))
        e->timer_error = 1;
}

/* ---- one step ---- */

static int drive_timer(struct bcda__engine *e)
{
    if (e->curl_at > bcda__clock_now(&e->real))
        return 0;
    e->curl_at = INT64_MAX;
    bcda__http_drive_timer(e->http);
    return 1;
}

static int dispatch(struct bcda__engine *e)
{
    int did = 0;

    while (e->budget > 0 && bcda__http_dispatch(e->http)) {
        e->budget--;
        did = 1;
    }
    e->news = bcda__http_has_news(e->http); /* the next step goes on */
    return did;
}

/* Those that could go on when the step began, so that it ends. What was read is looked at before
 * more is. */
static int resume(struct bcda__engine *e)
{
    size_t n = e->resumable;
    int did = 0;

    for (; n > 0 && e->budget > 0; n--) {
        bcda__http_resume(e->http);
        (void)dispatch(e);
        did = 1;
    }
    e->news |= bcda__http_resumable(e->http) > 0;
    return did;
}

static int drive(struct bcda__engine *e, int *woken)
{
    struct bcda__loop_ready ready[READY_MAX];
    int i, n, timer, did;

    n = bcda__loop_take(e->loop, ready, READY_MAX, &timer, woken);
    if (n < 0)
        return n;
    if (timer)
        e->armed_at = INT64_MAX;          /* it has fired and is not set any more */
    did = dispatch(e) || n > 0 || *woken; /* first what was read before */
    for (i = 0; i < n && e->budget > 0; i++) {
        const struct bcda__loop_ready *r = &ready[(e->round + (unsigned)i) % (unsigned)n];

        bcda__http_drive(e->http, r->fd, r->events);
        (void)dispatch(e); /* while the bytes are in the cache */
    }
    return drive_timer(e) | did;
}

static void begin_step(struct bcda__engine *e)
{
    e->stepping = 1;
    e->round++;
    e->budget = DISPATCH_MAX;
    e->work = WORK_MAX;
    e->resumable = bcda__http_resumable(e->http);
}

/* What the descriptors and timers have brought goes to whom it is for. */
static int end_step(struct bcda__engine *e, int did)
{
    if (did >= 0) {
        if (e->tell)
            did |= e->tell(e->tell_ctx); /* first: it may wake transfers */
        did |= dispatch(e);
        did |= resume(e);
        did |= fire_timers(e);
    }
    e->stepping = 0;
    bcda__engine_rearm(e);
    return did < 0 || e->timer_error ? BCDA_ERR_SYSTEM : did;
}

int bcda__engine_step(struct bcda__engine *e, int *woken)
{
    int did;

    begin_step(e);
    did = end_step(e, drive(e, woken));
    *woken |= e->late_wake;
    e->late_wake = 0;
    return did;
}

int bcda__engine_on_fd(struct bcda__engine *e, int fd, int events, int *woken)
{
    int did;

    *woken = 0;
    if (find_watched(e, fd) < 0)
        return 0; /* told late: it is forgotten already */
    begin_step(e);
    did = fd != bcda__loop_wake_fd(e->loop);
    if (did)
        bcda__http_drive(e->http, fd, events);
    else
        did = *woken = bcda__loop_take_wake(e->loop);
    return end_step(e, did);
}

int bcda__engine_on_timer(struct bcda__engine *e)
{
    begin_step(e);
    e->armed_at = INT64_MAX; /* it has fired and is not set any more */
    return end_step(e, drive_timer(e));
}
