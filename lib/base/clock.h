/* The clock of every wait of the library. It is read through two function pointers, which tests
 * replace. */
#ifndef BCDA_BASE_CLOCK_H
#define BCDA_BASE_CLOCK_H

#include <stdint.h>

struct bcda__clock {
    int64_t (*now_ms)(void *ctx);  /* monotonic */
    int64_t (*wall_ms)(void *ctx); /* Unix time, to compare with dates that a server sends */
    void *ctx;
};

struct bcda__clock bcda__clock_system(void);
int64_t bcda__clock_now(const struct bcda__clock *c);
int64_t bcda__clock_wall(const struct bcda__clock *c);
/* The system's monotonic clock, also in tests. For measuring durations only: no wait uses it. */
int64_t bcda__clock_ns(void);

#endif
