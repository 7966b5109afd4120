/*
 * An export in a libuv loop. With bcda_session_set_loop(), the session asks the program to watch
 * each of its descriptors, here with one uv_poll_t each, and to set one timer.
 */
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "setup.h"

/* A watched descriptor. It is allocated, because libuv uses a handle until its close callback. */
struct watch {
    uv_poll_t poll; /* must be first: a pointer to it is also a pointer to the watch */
    int fd;
    bcda_session *session;
    struct watch *next;
};

struct adapter {
    uv_loop_t *loop;
    uv_timer_t timer;
    bcda_session *session;
    struct watch *watches;
};

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = (struct watch *)poll;
    int seen = 0;

    /* On an error, report both events: the library's next read or write finds the error. */
    if (status < 0)
        seen = BCDA_FD_READ | BCDA_FD_WRITE;
    if (events & (UV_READABLE | UV_DISCONNECT))
        seen |= BCDA_FD_READ;
    if (events & UV_WRITABLE)
        seen |= BCDA_FD_WRITE;
    bcda_session_on_fd(w->session, w->fd, seen);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static struct watch *add_watch(struct adapter *a, int fd)
{
    struct watch *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    if (uv_poll_init(a->loop, &w->poll, fd)) {
        free(w);
        return NULL;
    }
    w->fd = fd;
    w->session = a->session;
    w->next = a->watches;
    a->watches = w;
    return w;
}

static int watch_fd(bcda_session *session, int fd, int events, void *userdata)
{
    struct adapter *a = userdata;
    struct watch **at = &a->watches, *w;

    (void)session;
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    w = *at;
    if (!w && !events)
        return 0;
    if (!events) {
        *at = w->next;
        uv_close((uv_handle_t *)&w->poll, on_closed);
        return 0;
    }
    if (!w && !(w = add_watch(a, fd)))
        return -1;
    return uv_poll_start(&w->poll,
                         (events & BCDA_FD_READ ? UV_READABLE : 0) |
                             (events & BCDA_FD_WRITE ? UV_WRITABLE : 0),
                         on_ready);
}

static void on_time(uv_timer_t *timer)
{
    bcda_session_on_timer(((struct adapter *)timer->data)->session);
}

static int watch_timer(bcda_session *session, int64_t delay_ms, void *userdata)
{
    struct adapter *a = userdata;

    (void)session;
    if (delay_ms < 0)
        return uv_timer_stop(&a->timer);
    return uv_timer_start(&a->timer, on_time, (uint64_t)delay_ms, 0);
}

static void leave(void *loop)
{
    uv_stop(loop);
}

int main(void)
{
    struct adapter a = {.loop = uv_default_loop()};
    struct work w;
    int status;

    if (work_open(&w))
        return 1;
    w.ended = leave;
    w.loop = a.loop;
    a.session = w.session;
    uv_timer_init(a.loop, &a.timer);
    a.timer.data = &a;
    if (bcda_session_set_loop(w.session, watch_fd, watch_timer, &a, NULL))
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(w.session)));
    else if (work_start(&w) == 0)
        uv_run(a.loop, UV_RUN_DEFAULT);
    status = work_close(&w); /* stops watching every descriptor */
    uv_close((uv_handle_t *)&a.timer, NULL);
    uv_run(a.loop, UV_RUN_DEFAULT); /* frees the closed handles */
    uv_loop_close(a.loop);
    return status;
}
