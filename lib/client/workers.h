/* The threads of BCDA_OPT_DECODE_THREADS, and what they do: slices of tasks, a file's decoder being
 * one task and the opening of its key another. One mutex guards everything that threads share, and
 * is held only to look and to write down, never while a slice runs. A session that asks for no
 * threads has no such thing.
 *
 * A task is at rest, waits in the queue, or runs; at most one thread runs it. At rest it belongs to
 * the session's thread, which alone schedules it, and so needs no lock to work on it then. */
#ifndef BCDA_CLIENT_WORKERS_H
#define BCDA_CLIENT_WORKERS_H

#include <stdatomic.h>

#include "base/log.h"
#include "net/engine.h"

struct bcda__workers;
struct bcda__task;

/* What a task does. `begin` and `end` are called with the lock held, `run` between them without. */
struct bcda__task_kind {
    void (*begin)(struct bcda__task *t); /* notes what this slice works on */
    void (*run)(struct bcda__task *t);   /* runs a slice of bounded length, without the lock */
    int (*end)(struct bcda__task *t);    /* publishes the result: BCDA__TASK_* bits */
    void (*notify)(
        struct bcda__task *t); /* reports to the owner, on the session's thread, in a step */
};

enum {
    BCDA__TASK_MORE = 1,   /* there is more to do */
    BCDA__TASK_REPORT = 2, /* the session is to be notified */
};

/* Part of its owner; all zero but for `kind` at first. */
struct bcda__task {
    const struct bcda__task_kind *kind;
    struct bcda__task *prev, *next;               /* in the queue */
    struct bcda__task *report_prev, *report_next; /* in the list of tasks with a report */
    atomic_int running; /* atomic for the child after a fork, which must not take the lock */
    int queued;
    int held;   /* the session waits for it to come to rest */
    int shared; /* the session may help at any time */
    int has_report;
};

/* Creates `count` threads, or as many as the system allows. NOMEM; SYSTEM: none. */
int bcda__workers_new(struct bcda__workers **out, struct bcda__engine *engine, int count,
                      const struct bcda__log *log);
void bcda__workers_free(struct bcda__workers *w); /* after its tasks have left; joins the threads */
/* This is a child: the threads do not exist here, and the lists and the lock may be in any
 * state. From now on nothing is locked, queued, run or reported; bcda__task_leave() and
 * bcda__workers_free() may still be called. */
void bcda__workers_set_forked(struct bcda__workers *w);
/* 1 while a task waits, runs or has a report: there will be an event without the network. */
int bcda__workers_are_busy(struct bcda__workers *w);

void bcda__workers_lock(struct bcda__workers *w);
void bcda__workers_unlock(struct bcda__workers *w);

/* With the lock held, on the session's thread: */
void bcda__task_schedule(struct bcda__workers *w, struct bcda__task *t);
int bcda__task_is_at_rest(const struct bcda__task *t);
int bcda__task_is_running(const struct bcda__task *t);
/* Brings a task to rest: it leaves the queue, and a running slice is waited for. */
void bcda__task_stop(struct bcda__workers *w, struct bcda__task *t);
/* Without the lock: brings a task to rest, and forgets it. 0; in a child 1 if it ran when the
 * process was forked: its objects are in no known state, and must not be used. */
int bcda__task_leave(struct bcda__workers *w, struct bcda__task *t);

#endif
