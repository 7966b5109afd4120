/* The threads of BCDA_OPT_DECODE_THREADS. They run slices of tasks; a task is the decoding of a
 * file, or the decryption of a file's key. One mutex protects everything that threads share. It is
 * held only for short looks and changes, never while a slice runs. A session without threads has no
 * such object.
 *
 * A task is at rest, waits in the queue, or runs; at most one thread runs it. Only the session's
 * thread schedules a task. So a task at rest belongs to that thread, which needs no lock to work
 * on it. */
#ifndef BCDA_CLIENT_WORKERS_H
#define BCDA_CLIENT_WORKERS_H

#include <stdatomic.h>

#include "base/log.h"
#include "net/engine.h"

struct bcda__workers;
struct bcda__task;

/* The functions of a kind of task. `begin` and `end` are called with the lock held, and `run`
 * between them without it. */
struct bcda__task_kind {
    void (*begin)(struct bcda__task *t); /* notes what this slice will work on */
    void (*run)(struct bcda__task *t);   /* runs a slice of bounded length, without the lock */
    /* Publishes the result of the slice. Returns BCDA__TASK_* bits. */
    int (*end)(struct bcda__task *t);
    /* Reports to the owner. Called on the session's thread, in a step. */
    void (*notify)(struct bcda__task *t);
};

enum {
    BCDA__TASK_MORE = 1,   /* the task has more to do */
    BCDA__TASK_REPORT = 2, /* the task's owner must be notified of a result */
};

/* The owner has this structure as a member, and sets everything except `kind` to zero at first. */
struct bcda__task {
    const struct bcda__task_kind *kind;
    struct bcda__task *prev, *next; /* neighbours in the queue */
    /* Neighbours in the list of tasks whose owners must be notified. */
    struct bcda__task *report_prev, *report_next;
    /* Atomic, because a child of fork() reads it and must not take the lock. */
    atomic_int running;
    int queued;
    /* the session's thread waits in bcda__task_stop() until the task's slice has ended */
    int held;
    int shared; /* the session's thread may run slices of the task too */
    int has_report;
};

/* Creates `count` threads, or as many as the system allows. Returns 0, BCDA_ERR_NOMEM, or
 * BCDA_ERR_SYSTEM if it allows none. */
int bcda__workers_new(struct bcda__workers **out, struct bcda__engine *engine, int count,
                      const struct bcda__log *log);
/* To be called after bcda__task_leave() for all tasks. Joins the threads. */
void bcda__workers_free(struct bcda__workers *w);
/* To be called in a child of fork(). The threads do not exist here, and the lists and the lock may
 * be in any state. From now on nothing is locked, queued, run or reported; bcda__task_leave() and
 * bcda__workers_free() may still be called. */
void bcda__workers_set_forked(struct bcda__workers *w);
/* Returns 1 while any task is queued, is running, or has a result that was not delivered yet:
 * then a worker will wake the event loop even if no transfer is active. */
int bcda__workers_are_busy(struct bcda__workers *w);

void bcda__workers_lock(struct bcda__workers *w);
void bcda__workers_unlock(struct bcda__workers *w);

/* These four are called with the lock held, on the session's thread: */
void bcda__task_schedule(struct bcda__workers *w, struct bcda__task *t);
int bcda__task_is_at_rest(const struct bcda__task *t);
int bcda__task_is_running(const struct bcda__task *t);
/* Brings a task to rest: removes it from the queue, or waits for the slice that is running. */
void bcda__task_stop(struct bcda__workers *w, struct bcda__task *t);
/* To be called without the lock: brings a task to rest, and removes it from all lists. Returns 0.
 * In a child of fork() it returns 1 if the task was running at the fork: the state of the task's
 * objects is then unknown, and they must not be used. */
int bcda__task_leave(struct bcda__workers *w, struct bcda__task *t);

#endif
