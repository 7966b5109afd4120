/* The platform part of the engine: it watches descriptors, one timer and a wake-up. Built from
 * loop_epoll.c, where one descriptor stands for all of these, or from loop_poll.c. */
#ifndef BCDA_NET_LOOP_H
#define BCDA_NET_LOOP_H

#include <stdint.h>

struct bcda__loop;

enum { BCDA__LOOP_READ = 1, BCDA__LOOP_WRITE = 2 };

struct bcda__loop_ready {
    int fd;
    int events; /* BCDA__LOOP_READ | BCDA__LOOP_WRITE; both if the descriptor has an error */
};

int bcda__loop_new(struct bcda__loop **out); /* 0, BCDA_ERR_NOMEM, BCDA_ERR_SYSTEM */
/* Closes the loop's own descriptors and frees the loop. Safe in a forked child: it does not change
 * what the parent has registered. */
void bcda__loop_free(struct bcda__loop *l);
int bcda__loop_fd(const struct bcda__loop *l); /* a descriptor, or BCDA_ERR_UNSUPPORTED */
/* Watches a descriptor for `events`; 0 stops watching it, which does nothing if the descriptor is
 * unknown or closed. */
int bcda__loop_watch(struct bcda__loop *l, int fd, int events);
/* Sets the timer to fire once after `delay_ms`, which is at least 1, or never if it is -1. */
int bcda__loop_arm(struct bcda__loop *l, int64_t delay_ms);
/* With `due` = 1, the loop counts as ready until a call with 0; the timer is not changed. This is
 * cheaper than a timer that fires at once, which costs two exits from a virtual machine. Returns 0
 * or BCDA_ERR_SYSTEM. */
int bcda__loop_due(struct bcda__loop *l, int due);
/* Blocks until something is ready. Returns 0, BCDA_ERR_TIMEOUT, BCDA_ERR_INTERRUPTED (EINTR) or
 * BCDA_ERR_SYSTEM. */
int bcda__loop_wait(struct bcda__loop *l, int timeout_ms);
/* Writes at most `max` descriptors that are ready now, without waiting. Sets *timer if the timer
 * has fired, and *woken if there was a wake-up, and resets both. Returns the number of descriptors,
 * or BCDA_ERR_SYSTEM. */
int bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                    int *woken);
/* The wake-up alone, for an application's loop that watches it (net/engine.h). wake_fd() returns
 * the descriptor that becomes readable; take_wake() resets it, and returns 1 if there was a
 * wake-up. */
int bcda__loop_wake_fd(const struct bcda__loop *l);
int bcda__loop_take_wake(struct bcda__loop *l);
/* May be called from any thread, and from a signal handler. */
int bcda__loop_wakeup(struct bcda__loop *l);
/* Makes the loop ready because a worker has a result for the session. Unlike after a wake-up,
 * bcda__loop_take() leaves *woken 0. May be called from any thread. */
void bcda__loop_poke(struct bcda__loop *l);

#endif
