#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "bcda/error.h"

/* The bytes that are written to the wake-up pipe. */
#define WAKE "w"
#define POKE "p"

/* fds[0] is the wake-up pipe. `fire_ms` is a time on the monotonic clock. */
struct bcda__loop {
    struct pollfd *fds;
    int count, cap;
    int pipe[2];
    int armed, due;
    int64_t fire_ms;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int make_wake_pipe(int ends[2])
{
    int i;

    if (pipe(ends))
        return -1;
    for (i = 0; i < 2; i++)
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) || fcntl(ends[i], F_SETFL, O_NONBLOCK))
            return -1;
    return 0;
}

int bcda__loop_new(struct bcda__loop **out)
{
    struct bcda__loop *l = bcda__calloc(1, sizeof *l);
    int rc = BCDA_ERR_NOMEM;

    if (!l)
        return BCDA_ERR_NOMEM;
    l->pipe[0] = l->pipe[1] = -1;
    l->cap = 16;
    l->fds = bcda__calloc((size_t)l->cap, sizeof *l->fds);
    if (!l->fds)
        goto fail;
    rc = BCDA_ERR_SYSTEM;
    if (make_wake_pipe(l->pipe))
        goto fail;
    l->fds[0].fd = l->pipe[0];
    l->fds[0].events = POLLIN;
    l->count = 1;
    *out = l;
    return 0;
fail:
    bcda__loop_free(l);
    return rc;
}

void bcda__loop_free(struct bcda__loop *l)
{
    int i;

    if (!l)
        return;
    for (i = 0; i < 2; i++)
        if (l->pipe[i] >= 0)
            close(l->pipe[i]);
    bcda__free(l->fds);
    bcda__free(l);
}

int bcda__loop_fd(const struct bcda__loop *l)
{
    (void)l;
    return BCDA_ERR_UNSUPPORTED;
}

static int find_poll_fd(const struct bcda__loop *l, int fd)
{
    int i;

    for (i = 1; i < l->count; i++)
        if (l->fds[i].fd == fd)
            return i;
    return 0;
}

int bcda__loop_watch(struct bcda__loop *l, int fd, int events)
{
    int i = find_poll_fd(l, fd);

    if (!events) {
        if (i)
            l->fds[i] = l->fds[--l->count];
        return 0;
    }
    if (!i) {
        if (l->count == l->cap) {
            struct pollfd *grown = bcda__realloc(l->fds, (size_t)l->cap * 2 * sizeof *grown);

            if (!grown)
                return BCDA_ERR_NOMEM;
            l->fds = grown;
            l->cap *= 2;
        }
        i = l->count++;
        l->fds[i].fd = fd;
    }
    l->fds[i].events = (short)((events & BCDA__LOOP_READ ? POLLIN : 0) |
                               (events & BCDA__LOOP_WRITE ? POLLOUT : 0));
    l->fds[i].revents = 0;
    return 0;
}

int bcda__loop_arm(struct bcda__loop *l, int64_t delay_ms)
{
    l->armed = delay_ms >= 0;
    l->fire_ms = now_ms() + delay_ms;
    return 0;
}

int bcda__loop_due(struct bcda__loop *l, int due)
{
    l->due = due;
    return 0;
}

/* Returns how long poll() may sleep: the shorter of the caller's timeout and the time left until
 * the timer fires. */
static int sleep_ms(const struct bcda__loop *l, int timeout_ms)
{
    int64_t left;

    if (l->due)
        return 0;
    if (!l->armed)
        return timeout_ms;
    left = l->fire_ms - now_ms();
    if (left < 0)
        left = 0;
    if (timeout_ms >= 0 && timeout_ms < left)
        return timeout_ms;
    return left > 1000000000 ? 1000000000 : (int)left;
}

static int timer_due(const struct bcda__loop *l)
{
    return l->armed && now_ms() >= l->fire_ms;
}

int bcda__loop_wait(struct bcda__loop *l, int timeout_ms)
{
    int n = poll(l->fds, (nfds_t)l->count, sleep_ms(l, timeout_ms));

    if (n > 0 || (n == 0 && (l->due || timer_due(l))))
        return 0;
    if (n == 0)
        return BCDA_ERR_TIMEOUT;
    return errno == EINTR ? BCDA_ERR_INTERRUPTED : BCDA_ERR_SYSTEM;
}

/* Returns 1 if there was a wake-up, and 0 if there were only pokes. */
static int drain_pipe(int fd)
{
    char bytes[64];
    ssize_t n;
    int woken = 0;

    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        woken |= memchr(bytes, WAKE[0], (size_t)n) != NULL;
    return woken;
}

int bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                    int *woken)
{
    int i, count = 0;

    *timer = timer_due(l);
    *woken = 0;
    if (*timer)
        l->armed = 0;
    if (poll(l->fds, (nfds_t)l->count, 0) < 0)
        return errno == EINTR ? 0 : BCDA_ERR_SYSTEM;
    if (l->fds[0].revents)
        *woken = drain_pipe(l->pipe[0]);
    for (i = 1; i < l->count && count < max; i++) {
        short e = l->fds[i].revents;
        int bad = (e & (POLLERR | POLLHUP | POLLNVAL)) != 0;

        if (!e)
            continue;
        out[count].fd = l->fds[i].fd;
        out[count].events = ((e & POLLIN) || bad ? BCDA__LOOP_READ : 0) |
                            ((e & POLLOUT) || bad ? BCDA__LOOP_WRITE : 0);
        count++;
    }
    return count;
}

int bcda__loop_wake_fd(const struct bcda__loop *l)
{
    return l->pipe[0];
}

int bcda__loop_take_wake(struct bcda__loop *l)
{
    return drain_pipe(l->pipe[0]);
}

static int write_wake_byte(struct bcda__loop *l, const char *byte)
{
    int saved = errno; /* may run in a signal handler */
    ssize_t n = write(l->pipe[1], byte, 1);
    int failed = n < 0 && errno != EAGAIN; /* a full pipe is readable already */

    errno = saved;
    return failed ? BCDA_ERR_SYSTEM : 0;
}

int bcda__loop_wakeup(struct bcda__loop *l)
{
    return write_wake_byte(l, WAKE);
}

void bcda__loop_poke(struct bcda__loop *l)
{
    (void)write_wake_byte(l, POKE);
}
