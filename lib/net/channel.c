#include "net/channel.h"

#include <string.h>

#include "base/clock.h"
#include "base/transition.h"
#include "bcda/error.h"

/* ---- hooks for the transport ---- */

/* Has the descriptor at `i` watched for the events in `wanted`; 0 stops the watching. An entry that
 * libcurl no longer needs is removed. Returns 0 or an error code. */
static int update_watch(struct bcda__channel *c, int i, int wanted)
{
    int rc = 0;

    if (c->fds[i].watched != wanted)
        rc = c->watch(c->watch_ctx, c->fds[i].fd, wanted);
    c->fds[i].watched = rc ? 0 : wanted;
    if (!c->fds[i].wanted)
        c->fds[i] = c->fds[--c->fd_count];
    return rc;
}

static int find_channel_fd(const struct bcda__channel *c, int fd)
{
    int i;

    for (i = 0; i < c->fd_count && c->fds[i].fd != fd; i++)
        ;
    return i;
}

static int channel_watch(void *ctx, int fd, int events)
{
    struct bcda__channel *c = ctx;
    int i;

    if (c->is_common)
        return c->watch(c->watch_ctx, fd, events);
    i = find_channel_fd(c, fd);
    if (i == c->fd_count) {
        if (!events)
            return 0;
        if (i == BCDA__CHANNEL_FDS)
            return BCDA_ERR_NOMEM;
        memset(&c->fds[c->fd_count++], 0, sizeof c->fds[0]);
        c->fds[i].fd = fd;
    }
    c->fds[i].wanted = events;
    return update_watch(c, i, c->state == BCDA__CHANNEL_AWAY ? 0 : events);
}

static int64_t real_now(void)
{
    struct bcda__clock real = bcda__clock_system();

    return bcda__clock_now(&real);
}

/* libcurl sets its timers by the real clock, so `curl_at` is a time on the real clock, even where a
 * test replaces the engine's clock. On a test's clock the timer could fire too early for libcurl,
 * which would then do nothing and not ask for the timer again. */
static void hook_curl_timer(void *ctx, int64_t delay_ms)
{
    struct bcda__channel *c = ctx;

    c->curl_at = delay_ms < 0 ? INT64_MAX : real_now() + delay_ms;
}

static void channel_notify(void *ctx)
{
    ((struct bcda__channel *)ctx)->has_events = 1;
}

void bcda__channel_init(struct bcda__channel *c, struct bcda__http_hooks *hooks,
                        int (*watch)(void *ctx, int fd, int events), void *ctx)
{
    memset(c, 0, sizeof *c);
    c->curl_at = INT64_MAX;
    c->watch = watch;
    c->watch_ctx = ctx;
    hooks->watch = channel_watch;
    hooks->curl_timer = hook_curl_timer;
    hooks->notify = channel_notify;
    hooks->ctx = c;
}

/* ---- handing over ---- */

/* Starts (`watched` = 1) or stops (0) the watching of all descriptors of the channel. The loop runs
 * backwards, because update_watch() moves the last descriptor to the place of a removed one. */
static int apply_all(struct bcda__channel *c, int watched)
{
    int i, rc = 0;

    for (i = c->fd_count - 1; i >= 0 && !rc; i--)
        rc = update_watch(c, i, watched ? c->fds[i].wanted : 0);
    return rc;
}

/* The only function that changes `c->state`. */
static void change_channel_state(struct bcda__channel *c, enum bcda__channel_state to)
{
    static const char *const names[] = {"OWN", "RESTING", "AWAY"};

    if (c->state != to)
        BCDA__TRANSITION("channel", names[c->state], names[to]);
    c->state = to;
}

static void go_away(struct bcda__channel *c)
{
    c->spent += bcda__http_take_spent(c->http);
    change_channel_state(c, BCDA__CHANNEL_AWAY);
    (void)apply_all(c, 0);
}

void bcda__channel_hand_over(struct bcda__channel *c, struct bcda__transfer *t,
                             void (*ready)(void *ctx), void *ctx)
{
    c->transfer = t;
    c->ready = ready;
    c->ctx = ctx;
    go_away(c);
}

static void come_back(struct bcda__channel *c, enum bcda__channel_state state)
{
    int rc;

    change_channel_state(c, state);
    rc = apply_all(c, 1);
    if (rc)
        bcda__http_unwatched(c->http, rc);
}

void bcda__channel_rest(struct bcda__channel *c)
{
    come_back(c, BCDA__CHANNEL_RESTING);
}

void bcda__channel_reclaim(struct bcda__channel *c)
{
    c->transfer = NULL;
    come_back(c, BCDA__CHANNEL_OWN);
}

void bcda__channel_wake(struct bcda__channel *c)
{
    go_away(c);
    c->ready(c->ctx);
}

/* ---- reading ---- */

int bcda__channel_is_due(const struct bcda__channel *c)
{
    return c->curl_at != INT64_MAX && c->curl_at <= real_now();
}

int bcda__channel_has_fd(const struct bcda__channel *c, int fd)
{
    return find_channel_fd(c, fd) < c->fd_count;
}

/* Lets libcurl read from the network until the transfer's ring has bytes: first by resuming the
 * transfer if its ring was full, then on each descriptor, then by libcurl's timer. */
static void read_more(struct bcda__channel *c)
{
    const uint8_t *data;
    int i;

    if (bcda__http_resumable(c->http))
        bcda__http_resume(c->http);
    for (i = c->fd_count - 1; i >= 0 && !bcda__transfer_peek(c->transfer, &data); i--) {
        bcda__http_drive(c->http, c->fds[i].fd, c->fds[i].wanted);
        if (i > c->fd_count)
            i = c->fd_count; /* libcurl has dropped some descriptors */
    }
    if (!bcda__transfer_peek(c->transfer, &data) && bcda__channel_is_due(c)) {
        c->curl_at = INT64_MAX;
        bcda__http_drive_timer(c->http);
    }
    /* the value is dropped: the reader's thread measures this time itself */
    (void)bcda__http_take_spent(c->http);
}

size_t bcda__channel_read(struct bcda__channel *c, const uint8_t **data)
{
    size_t len = bcda__transfer_peek(c->transfer, data);

    if (len || bcda__transfer_is_over(c->transfer))
        return len;
    read_more(c);
    return bcda__transfer_peek(c->transfer, data);
}
