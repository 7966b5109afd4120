#include "net/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "bcda/error.h"

struct bcda__loop {
    int epoll, timer, wake, due;
};

/* What is added to the counter `wake`: wake-ups count in its low half, pokes in its high half. */
#define WAKE UINT64_C(1)
#define POKE (UINT64_C(1) << 32)

static int add_reader(int epoll, int fd)
{
    struct epoll_event e = {0};

    e.events = EPOLLIN;
    e.data.fd = fd;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int bcda__loop_new(struct bcda__loop **out)
{
    struct bcda__loop *l = bcda__calloc(1, sizeof *l);

    if (!l)
        return BCDA_ERR_NOMEM;
    l->timer = l->wake = l->due = -1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        goto fail;
    l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->due = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->timer < 0 || l->wake < 0 || l->due < 0 || add_reader(l->epoll, l->timer) ||
        add_reader(l->epoll, l->wake) || add_reader(l->epoll, l->due))
        goto fail;
    *out = l;
    return 0;
fail:
    bcda__loop_free(l);
    return BCDA_ERR_SYSTEM;
}

void bcda__loop_free(struct bcda__loop *l)
{
    if (!l)
        return;
    if (l->due >= 0)
        close(l->due);
    if (l->wake >= 0)
        close(l->wake);
    if (l->timer >= 0)
        close(l->timer);
    if (l->epoll >= 0)
        close(l->epoll);
    bcda__free(l);
}

int bcda__loop_fd(const struct bcda__loop *l)
{
    return l->epoll;
}

int bcda__loop_watch(struct bcda__loop *l, int fd, int events)
{
    struct epoll_event e = {0};

    if (!events) {
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd,
                  &e); /* fails if the descriptor is closed, which is no error */
        return 0;
    }
    if (events & BCDA__LOOP_READ)
        e.events |= EPOLLIN;
    if (events & BCDA__LOOP_WRITE)
        e.events |= EPOLLOUT;
    e.data.fd = fd;
    if (!epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &e))
        return 0;
    if (errno == ENOENT && !epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e))
        return 0;
    return errno == ENOMEM ? BCDA_ERR_NOMEM : BCDA_ERR_SYSTEM;
}

int bcda__loop_arm(struct bcda__loop *l, int64_t delay_ms)
{
    struct itimerspec t = {0};

    if (delay_ms > 0) {
        t.it_value.tv_sec = (time_t)(delay_ms / 1000);
        t.it_value.tv_nsec = (long)(delay_ms % 1000) * 1000000;
    }
    return timerfd_settime(l->timer, 0, &t, NULL) ? BCDA_ERR_SYSTEM : 0;
}

static uint64_t drain_eventfd(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof count) == (ssize_t)sizeof count ? count : 0;
}

int bcda__loop_due(struct bcda__loop *l, int due)
{
    uint64_t one = 1;

    if (due)
        return write(l->due, &one, sizeof one) == (ssize_t)sizeof one ? 0 : BCDA_ERR_SYSTEM;
    (void)drain_eventfd(l->due);
    return 0;
}

int bcda__loop_wait(struct bcda__loop *l, int timeout_ms)
{
    struct pollfd p = {0};
    int n;

    p.fd = l->epoll;
    p.events = POLLIN;
    n = poll(&p, 1, timeout_ms);
    if (n > 0)
        return 0;
    if (n == 0)
        return BCDA_ERR_TIMEOUT;
    return errno == EINTR ? BCDA_ERR_INTERRUPTED : BCDA_ERR_SYSTEM;
}

int bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                    int *woken)
{
    struct epoll_event events[64];
    int i, n, count = 0;

    *timer = *woken = 0;
    n = epoll_wait(l->epoll, events, max < 64 ? max : 64, 0);
    if (n < 0)
        return errno == EINTR ? 0 : BCDA_ERR_SYSTEM;
    for (i = 0; i < n; i++) {
        uint32_t e = events[i].events;

        if (events[i].data.fd == l->timer) {
            *timer = drain_eventfd(l->timer) > 0;
        } else if (events[i].data.fd == l->wake) {
            *woken = drain_eventfd(l->wake) % POKE > 0;
        } else if (events[i].data.fd != l->due) {
            int bad = (e & (EPOLLERR | EPOLLHUP)) != 0;

            out[count].fd = events[i].data.fd;
            out[count].events = ((e & EPOLLIN) || bad ? BCDA__LOOP_READ : 0) |
                                ((e & EPOLLOUT) || bad ? BCDA__LOOP_WRITE : 0);
            count++;
        }
    }
    return count;
}

int bcda__loop_wake_fd(const struct bcda__loop *l)
{
    return l->wake;
}

int bcda__loop_take_wake(struct bcda__loop *l)
{
    return drain_eventfd(l->wake) % POKE > 0;
}

static int count_up(struct bcda__loop *l, uint64_t by)
{
    int saved = errno; /* may run in a signal handler */
    ssize_t n = write(l->wake, &by, sizeof by);
    int failed = n < 0 && errno != EAGAIN; /* a full counter is readable already */

    errno = saved;
    return failed ? BCDA_ERR_SYSTEM : 0;
}

int bcda__loop_wakeup(struct bcda__loop *l)
{
    return count_up(l, WAKE);
}

void bcda__loop_poke(struct bcda__loop *l)
{
    (void)count_up(l, POKE);
}
