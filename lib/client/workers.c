#include "client/workers.h"

#include <pthread.h>
#include <signal.h>

#include "base/mem.h"
#include "bcda/error.h"

struct bcda__workers {
    struct bcda__engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t work; /* signals that a task waits, or that `stop` is set */
    pthread_cond_t rest; /* signals that a task with `held` set is at rest */
    struct bcda__task queue, reports;
    int busy;         /* number of tasks that wait or run */
    int report_count; /* number of tasks in `reports`, whose owners must be notified */
    /* the engine was poked (bcda__engine_poke()) because of the tasks in `reports` */
    int poked;
    int stop;
    int forked;
    struct bcda__timer help;
    int count;
    pthread_t threads[];
};

/* In a child of fork() no lock is taken. A worker of the parent, which does not exist in the child,
 * may have held the lock; and the child has only one thread. */
void bcda__workers_lock(struct bcda__workers *w)
{
    if (!w->forked)
        pthread_mutex_lock(&w->lock);
}

void bcda__workers_unlock(struct bcda__workers *w)
{
    if (!w->forked)
        pthread_mutex_unlock(&w->lock);
}

/* ---- the queue and the reports; all with the lock held ---- */

static void enqueue_task(struct bcda__workers *w, struct bcda__task *t)
{
    t->queued = 1;
    t->next = &w->queue;
    t->prev = w->queue.prev;
    t->prev->next = t;
    w->queue.prev = t;
    w->busy++;
    pthread_cond_signal(&w->work);
}

static void dequeue_task(struct bcda__workers *w, struct bcda__task *t)
{
    t->queued = 0;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    w->busy--;
}

static void add_report(struct bcda__workers *w, struct bcda__task *t)
{
    if (t->has_report)
        return;
    t->has_report = 1;
    t->report_next = &w->reports;
    t->report_prev = w->reports.report_prev;
    t->report_prev->report_next = t;
    w->reports.report_prev = t;
    w->report_count++;
}

static void drop_report(struct bcda__workers *w, struct bcda__task *t)
{
    if (!t->has_report)
        return;
    t->has_report = 0;
    t->report_prev->report_next = t->report_next;
    t->report_next->report_prev = t->report_prev;
    w->report_count--;
}

/* Runs one slice of a task in the queue. The lock is held before and after. */
static void perform_slice(struct bcda__workers *w, struct bcda__task *t)
{
    int what;

    dequeue_task(w, t);
    w->busy++;
    atomic_store(&t->running, 1);
    t->kind->begin(t);
    bcda__workers_unlock(w);
    t->kind->run(t);
    bcda__workers_lock(w);
    what = t->kind->end(t);
    /* Set last: a child of fork() that reads 0 sees the result of the whole slice. */
    atomic_store(&t->running, 0);
    w->busy--;
    if (what & BCDA__TASK_REPORT)
        add_report(w, t);
    if (t->held)
        pthread_cond_signal(&w->rest);
    else if (what & BCDA__TASK_MORE)
        enqueue_task(w, t); /* at the end of the queue, for fairness */
}

static void *worker_main(void *ctx)
{
    struct bcda__workers *w = ctx;

    bcda__workers_lock(w);
    while (!w->stop) {
        if (w->queue.next == &w->queue) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        perform_slice(w, w->queue.next);
        if (w->report_count && !w->poked) {
            w->poked = 1;
            bcda__engine_poke(w->engine);
        }
    }
    bcda__workers_unlock(w);
    return NULL;
}

/* ---- on the session's thread ---- */

static void help_workers(void *ctx);

/* Returns a queued task that the session's thread may run and for which no worker is free; else
 * NULL. */
static struct bcda__task *find_task_to_help(struct bcda__workers *w)
{
    struct bcda__task *t = w->queue.next;

    if (w->busy <= w->count)
        return NULL;
    while (t != &w->queue && !t->shared)
        t = t->next;
    return t == &w->queue ? NULL : t;
}

/* To be called with the lock held. */
static void help_later(struct bcda__workers *w)
{
    if (!w->help.set && find_task_to_help(w))
        bcda__timer_set(w->engine, &w->help, 0, help_workers, w);
}

/* Cancels the poke, which makes the session take a step. To be called after all reports that the
 * poke announced were handled or dropped, because that step would have nothing to do. The caller
 * holds the lock. */
static void clear_poke(struct bcda__workers *w)
{
    if (w->poked)
        bcda__engine_unpoke(w->engine);
    w->poked = 0;
}

/* Notifies the owners of the tasks that are in `reports` now; tasks that join the list later cause
 * another poke. The application may fork in a notification; the child must not use the lists after
 * that. */
static int notify_owners(void *ctx)
{
    struct bcda__workers *w = ctx;
    int n, notified = 0;

    if (w->forked)
        return 0;
    bcda__workers_lock(w);
    clear_poke(w); /* a worker may have poked the engine since the step began */
    for (n = w->report_count; n > 0 && w->report_count > 0; n--) {
        struct bcda__task *t = w->reports.report_next;

        drop_report(w, t);
        bcda__workers_unlock(w);
        t->kind->notify(t); /* this may end this task, and any other */
        if (w->forked)
            return 1;
        notified = 1;
        bcda__workers_lock(w);
    }
    if (w->report_count && !w->poked) {
        w->poked = 1;
        bcda__engine_poke(w->engine);
    }
    help_later(w);
    bcda__workers_unlock(w);
    return notified;
}

static void help_workers(void *ctx)
{
    struct bcda__workers *w = ctx;
    struct bcda__task *t;

    if (w->forked)
        return;
    bcda__workers_lock(w);
    t = find_task_to_help(w);
    if (t)
        perform_slice(w, t);
    help_later(w);
    bcda__workers_unlock(w);
    (void)notify_owners(w);
}

void bcda__task_schedule(struct bcda__workers *w, struct bcda__task *t)
{
    if (!bcda__task_is_at_rest(t) || w->forked)
        return;
    enqueue_task(w, t);
    help_later(w);
}

int bcda__task_is_at_rest(const struct bcda__task *t)
{
    return !t->queued && !atomic_load(&t->running);
}

int bcda__task_is_running(const struct bcda__task *t)
{
    return atomic_load(&t->running);
}

void bcda__task_stop(struct bcda__workers *w, struct bcda__task *t)
{
    if (w->forked)
        return;
    if (t->queued)
        dequeue_task(w, t);
    t->held = 1;
    while (atomic_load(&t->running))
        pthread_cond_wait(&w->rest, &w->lock);
    t->held = 0;
}

int bcda__task_leave(struct bcda__workers *w, struct bcda__task *t)
{
    if (w->forked)
        return atomic_load(&t->running);
    bcda__workers_lock(w);
    bcda__task_stop(w, t);
    drop_report(w, t);
    if (!w->report_count)
        clear_poke(w);
    bcda__workers_unlock(w);
    return 0;
}

int bcda__workers_are_busy(struct bcda__workers *w)
{
    int busy;

    bcda__workers_lock(w);
    busy = w->busy || w->report_count;
    bcda__workers_unlock(w);
    return busy;
}

/* ---- creation and end ---- */

/* Creates the threads with all signals blocked in them, so that the application's threads handle
 * the signals. */
static int start_threads(struct bcda__workers *w, int count)
{
    sigset_t all, before;

    sigfillset(&all);
    if (pthread_sigmask(SIG_BLOCK, &all, &before))
        return BCDA_ERR_SYSTEM;
    while (w->count < count && !pthread_create(&w->threads[w->count], NULL, worker_main, w)) {
#ifdef __linux__
        (void)pthread_setname_np(w->threads[w->count], "bcda-decode");
#endif
        w->count++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w->count ? 0 : BCDA_ERR_SYSTEM;
}

static int init_locks(struct bcda__workers *w)
{
    if (pthread_mutex_init(&w->lock, NULL))
        return BCDA_ERR_SYSTEM;
    if (pthread_cond_init(&w->work, NULL)) {
        pthread_mutex_destroy(&w->lock);
        return BCDA_ERR_SYSTEM;
    }
    if (pthread_cond_init(&w->rest, NULL)) {
        pthread_cond_destroy(&w->work);
        pthread_mutex_destroy(&w->lock);
        return BCDA_ERR_SYSTEM;
    }
    return 0;
}

int bcda__workers_new(struct bcda__workers **out, struct bcda__engine *engine, int count,
                      const struct bcda__log *log)
{
    struct bcda__workers *w = bcda__calloc(1, sizeof *w + (size_t)count * sizeof w->threads[0]);

    if (!w)
        return BCDA_ERR_NOMEM;
    w->engine = engine;
    w->queue.prev = w->queue.next = &w->queue;
    w->reports.report_prev = w->reports.report_next = &w->reports;
    if (init_locks(w)) {
        bcda__free(w);
        return BCDA_ERR_SYSTEM;
    }
    if (start_threads(w, count)) {
        bcda__workers_free(w);
        return BCDA_ERR_SYSTEM;
    }
    bcda__engine_listen(engine, notify_owners, w);
    *out = w; /* set before the log callback, which may fork */
    if (w->count < count)
        bcda__log(log, BCDA_LOG_WARNING, "client", "the system gave %d of %d decode threads",
                  w->count, count);
    return 0;
}

void bcda__workers_set_forked(struct bcda__workers *w)
{
    w->forked = 1;
}

void bcda__workers_free(struct bcda__workers *w)
{
    int i;

    if (!w)
        return;
    bcda__engine_listen(w->engine, NULL, NULL);
    bcda__timer_clear(&w->help);
    if (!w->forked) { /* in a child there is no thread to join */
        bcda__workers_lock(w);
        w->stop = 1;
        pthread_cond_broadcast(&w->work);
        bcda__workers_unlock(w);
        for (i = 0; i < w->count; i++)
            pthread_join(w->threads[i], NULL);
        pthread_cond_destroy(&w->rest);
        pthread_cond_destroy(&w->work);
        pthread_mutex_destroy(&w->lock);
    }
    bcda__free(w);
}
