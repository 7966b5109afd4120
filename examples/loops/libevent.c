/*
 * An export in a libevent loop. With bcda_session_set_loop(), the session asks the program to watch
 * each of its descriptors, here with one `struct event` each, and to set one timer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "setup.h"

enum { WATCHES_MAX = 256 };

struct adapter {
    struct event_base *base;
    struct event *timer;
    bcda_session *session;
    struct event *watches[WATCHES_MAX];
    int count;
};

static void on_ready(evutil_socket_t fd, short what, void *userdata)
{
    struct adapter *a = userdata;

    bcda_session_on_fd(a->session, (int)fd,
                       (what & EV_READ ? BCDA_FD_READ : 0) | (what & EV_WRITE ? BCDA_FD_WRITE : 0));
}

static void on_time(evutil_socket_t fd, short what, void *userdata)
{
    (void)fd;
    (void)what;
    bcda_session_on_timer(((struct adapter *)userdata)->session);
}

/* Watches the descriptor for these events, or stops watching it if there are none. Replaces an
 * earlier watch of the same descriptor. */
static int watch_fd(bcda_session *session, int fd, int events, void *userdata)
{
    struct adapter *a = userdata;
    short what = (short)(EV_PERSIST | (events & BCDA_FD_READ ? EV_READ : 0) |
                         (events & BCDA_FD_WRITE ? EV_WRITE : 0));
    int i;

    (void)session;
    for (i = 0; i < a->count && event_get_fd(a->watches[i]) != fd; i++)
        ;
    if (i < a->count) {
        event_free(a->watches[i]);
        a->watches[i] = a->watches[--a->count];
    }
    if (!events)
        return 0;
    if (a->count == WATCHES_MAX ||
        !(a->watches[a->count] = event_new(a->base, fd, what, on_ready, a)))
        return -1;
    return event_add(a->watches[a->count++], NULL);
}

static int watch_timer(bcda_session *session, int64_t delay_ms, void *userdata)
{
    struct adapter *a = userdata;
    struct timeval t;

    (void)session;
    if (delay_ms < 0)
        return event_del(a->timer);
    t.tv_sec = (time_t)(delay_ms / 1000);
    t.tv_usec = (suseconds_t)(delay_ms % 1000 * 1000);
    return event_add(a->timer, &t);
}

static void leave(void *base)
{
    event_base_loopbreak(base);
}

int main(void)
{
    struct adapter a = {.base = event_base_new()};
    struct work w;
    int status;

    if (!a.base || work_open(&w))
        return 1;
    w.ended = leave;
    w.loop = a.base;
    a.session = w.session;
    a.timer = evtimer_new(a.base, on_time, &a);
    if (bcda_session_set_loop(w.session, watch_fd, watch_timer, &a, NULL))
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(w.session)));
    else if (work_start(&w) == 0)
        event_base_loop(a.base, EVLOOP_NO_EXIT_ON_EMPTY);
    status = work_close(&w); /* stops watching every descriptor */
    event_free(a.timer);
    event_base_free(a.base);
    return status;
}
