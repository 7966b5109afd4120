/* What the programs of the benchmarks share. */
#ifndef BCDA_BENCH_H
#define BCDA_BENCH_H

#include <stdint.h>

double bench_cpu(void);  /* seconds of this process, all of its threads, in user and kernel */
double bench_wall(void); /* seconds on the monotonic clock */

/* Marks the end of one measurement and the beginning of the next. `callgrind --instr-atstart=no
 * --dump-before=bench_mark` counts from the first mark on, and writes at each mark how many
 * instructions were executed since the previous one. */
void bench_mark(void);

/* A setting that `bcda-sandbox --print-env` or the script wrote. Exits with 2 if it is not set. */
const char *bench_need(const char *name);

/* The first line of the file that the setting names, such as a secret, in static memory. */
const char *bench_line_of(const char *name);

#endif
