#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else /* valgrind is not installed */
#define CALLGRIND_START_INSTRUMENTATION
#endif

static double read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_cpu(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

double bench_wall(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

__attribute__((noinline)) void bench_mark(void)
{
    static int began;

    if (!began) { /* valgrind begins to count here, so that it does not slow the start-up down */
        CALLGRIND_START_INSTRUMENTATION;
        began = 1;
    }
    __asm__ volatile("" ::: "memory"); /* otherwise the compiler may remove the call */
}

const char *bench_need(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        fprintf(stderr, "%s is not set (see bcda-sandbox --print-env)\n", name);
        exit(2);
    }
    return value;
}

const char *bench_line_of(const char *name)
{
    static char line[512];
    FILE *f = fopen(bench_need(name), "r");

    if (!f || !fgets(line, sizeof line, f)) {
        fprintf(stderr, "the file that %s names cannot be read\n", name);
        exit(2);
    }
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    return line;
}
