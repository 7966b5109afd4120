#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t bcda__clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t system_now(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

struct bcda__clock bcda__clock_system(void)
{
    struct bcda__clock c = {system_now, system_wall, 0};

    return c;
}

int64_t bcda__clock_now(const struct bcda__clock *c)
{
    return c->now_ms(c->ctx);
}

int64_t bcda__clock_wall(const struct bcda__clock *c)
{
    return c->wall_ms(c->ctx);
}
