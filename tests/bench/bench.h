/* What the bench programs share. */
#ifndef BCDA_BENCH_H
#define BCDA_BENCH_H

#include <stdint.h>

double bench_cpu(void);  /* seconds of this process, all of its threads, in user and kernel */
double bench_wall(void); /* seconds on the monotonic clock */

/* Where one measured thing ends and the next begins. `callgrind --instr-atstart=no
 * --dump-before=bench_mark` counts from the first one on, and at each writes down how many
 * instructions there were since the last. */
void bench_mark(void);

/* A setting that `bcda-sandbox --print-env` and the script have written; without it: exit 2. */
const char *bench_need(const char *name);

/* The first line of the file that the setting names, such as a secret; static memory. */
const char *bench_line_of(const char *name);

#endif
