/* The clock that every wait of the library uses. It is read through two function pointers, so that
 * tests can replace it. */
#ifndef BCDA_BASE_CLOCK_H
#define BCDA_BASE_CLOCK_H

#include <stdint.h>

struct bcda__clock {
    int64_t (*now_ms)(void *ctx);  /* monotonic time */
    int64_t (*wall_ms)(void *ctx); /* Unix time, to compare with dates that a server sends */
    void *ctx;
};

struct bcda__clock bcda__clock_system(void);
int64_t bcda__clock_now(const struct bcda__clock *c);
int64_t bcda__clock_wall(const struct bcda__clock *c);
/* Reads the system's monotonic clock, even in tests. It is only used to measure durations, never to
 * wait. */
int64_t bcda__clock_ns(void);

#endif
