#include "client/unwrap.h"

#include "base/clock.h"
#include "base/mem.h"
#include "client/workers.h"

struct bcda__unwrap {
    struct bcda__task task; /* must be first: a pointer to it is cast to this struct */
    struct bcda__workers *workers;
    const bcda_config *config; /* the session's own copy, which does not change */
    const char *wrapped, *name;
    uint8_t *out;
    void (*done)(void *ctx, int code, const struct bcda_error *err);
    void *ctx;
    int code;
    int64_t spent;
    struct bcda_error err;
};

static struct bcda__unwrap *unwrap_of(struct bcda__task *t)
{
    return (struct bcda__unwrap *)(void *)t;
}

static void begin_unwrap(struct bcda__task *t)
{
    (void)t;
}

static void run_unwrap(struct bcda__task *t)
{
    struct bcda__unwrap *u = unwrap_of(t);
    int64_t began = bcda__clock_ns();

    u->code = bcda__config_unwrap(u->config, u->wrapped, u->name, u->out, &u->err);
    u->spent = bcda__clock_ns() - began;
}

static int end_unwrap(struct bcda__task *t)
{
    (void)t;
    return BCDA__TASK_REPORT;
}

static void notify_unwrap(struct bcda__task *t)
{
    struct bcda__unwrap *u = unwrap_of(t);

    u->done(u->ctx, u->code, &u->err); /* the callback may have freed `u` */
}

static const struct bcda__task_kind unwrapping = {begin_unwrap, run_unwrap, end_unwrap,
                                                  notify_unwrap};

int bcda__unwrap_new(struct bcda__unwrap **out_unwrap, struct bcda__workers *workers,
                     const bcda_config *config, const char *wrapped, const char *name, uint8_t *out,
                     void (*done)(void *ctx, int code, const struct bcda_error *err), void *ctx)
{
    struct bcda__unwrap *u = bcda__calloc(1, sizeof *u);

    if (!u)
        return BCDA_ERR_NOMEM;
    u->task.kind = &unwrapping;
    u->workers = workers;
    u->config = config;
    u->wrapped = wrapped;
    u->name = name;
    u->out = out;
    u->done = done;
    u->ctx = ctx;
    bcda__err_clear(&u->err);
    *out_unwrap = u;
    bcda__workers_lock(workers);
    bcda__task_schedule(workers, &u->task);
    bcda__workers_unlock(workers);
    return 0;
}

/* In a child of fork(), a thread of the parent may have been running the task. That thread does not
 * exist here, and the state of `u` is unknown; so `u` is not freed. */
void bcda__unwrap_free(struct bcda__unwrap *u)
{
    if (!u || bcda__task_leave(u->workers, &u->task))
        return;
    bcda__err_forget(&u->err);
    bcda__free(u);
}

int64_t bcda__unwrap_spent(const struct bcda__unwrap *u)
{
    return u->spent;
}
