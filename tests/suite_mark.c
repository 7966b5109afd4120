#include <stdint.h>

#include "suite.h"

enum { MARKS = 1 << 14 };

/* Each test runs in a child of main(), where the table is empty at first. Two lines can share an
 * entry of the table: the second of them is then not reported. */
void suite_mark(const char *file, int line)
{
    static char marked[MARKS];
    char *mark = &marked[((uintptr_t)file * 31 + (unsigned)line) % MARKS];

    if (__atomic_load_n(mark, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(mark, 1, __ATOMIC_RELAXED);
    _mark_point(file, line);
}
