/* The peak resident memory of this process so far, in KiB (VmHWM of proc(5)); -1 if it is not
 * known. */
#ifndef BCDA_BENCH_PEAK_H
#define BCDA_BENCH_PEAK_H

#include <stdio.h>

static long peak_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

#endif
