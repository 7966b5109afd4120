/* The platform part of the engine: descriptors, one timer, a wake-up. Built as loop_epoll.c
 * (everything behind one descriptor) or loop_poll.c. */
#ifndef BCDA_NET_LOOP_H
#define BCDA_NET_LOOP_H

#include <stdint.h>

struct bcda__loop;

enum { BCDA__LOOP_READ = 1, BCDA__LOOP_WRITE = 2 };

struct bcda__loop_ready {
    int fd;
    int events; /* BCDA__LOOP_READ | BCDA__LOOP_WRITE; both on an error of the descriptor */
};

int bcda__loop_new(struct bcda__loop **out); /* NOMEM, SYSTEM */
/* Closes its own descriptors and frees; safe in a forked child, where it must not touch what the
 * parent registered. */
void bcda__loop_free(struct bcda__loop *l);
int bcda__loop_fd(const struct bcda__loop *l); /* or BCDA_ERR_UNSUPPORTED */
/* `events` 0 forgets the descriptor; an unknown or closed one is ignored. */
int bcda__loop_watch(struct bcda__loop *l, int fd, int events);
/* The timer fires once, so many milliseconds from now, at least 1; -1 = never. */
int bcda__loop_arm(struct bcda__loop *l, int64_t delay_ms);
/* 1: the loop is ready until this is called with 0. Cheaper than a timer that fires at once,
 * which costs a virtual machine two exits. The timer is not changed. 0, or SYSTEM. */
int bcda__loop_due(struct bcda__loop *l, int due);
/* Blocks until something is ready: 0; BCDA_ERR_TIMEOUT; BCDA_ERR_INTERRUPTED (EINTR); SYSTEM. */
int bcda__loop_wait(struct bcda__loop *l, int timeout_ms);
/* What is ready now, without waiting; at most `max`. A timer that has fired and a wake-up are
 * reported in *timer and *woken, and reset. The count, or BCDA_ERR_SYSTEM. */
int bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                    int *woken);
/* The wake-up alone, for an application's loop that watches it (net/engine.h): a descriptor that
 * becomes readable; and 1 if it was used, which resets it. */
int bcda__loop_wake_fd(const struct bcda__loop *l);
int bcda__loop_take_wake(struct bcda__loop *l);
/* From any thread, and from a signal handler. */
int bcda__loop_wakeup(struct bcda__loop *l);
/* The same, but not reported in *woken: a worker has a report. From any thread. */
void bcda__loop_poke(struct bcda__loop *l);

#endif
