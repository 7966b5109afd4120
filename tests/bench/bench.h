/* Functions that the benchmark programs share. */
#ifndef BCDA_BENCH_H
#define BCDA_BENCH_H

#include <stdint.h>

double bench_cpu(void);  /* CPU seconds of this process: all threads, user and kernel */
double bench_wall(void); /* seconds on the monotonic clock */

/* Marks the end of one measurement and the beginning of the next. `callgrind --instr-atstart=no
 * --dump-before=bench_mark` counts from the first mark on, and writes at each mark how many
 * instructions were executed since the previous one. */
void bench_mark(void);

/* Returns the value of an environment variable, which `bcda-sandbox --print-env` or the script that
 * runs the benchmark sets. If the variable is not set, exits with status 2. */
const char *bench_need(const char *name);

/* Returns the first line of the file that an environment variable names, such as a secret. The line
 * is in static memory. */
const char *bench_line_of(const char *name);

#endif
