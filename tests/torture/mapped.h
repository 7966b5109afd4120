/* Counts the pages of secrets, for programs that are linked with wraps of mmap() and mmap64()
 * besides those of refuse.h. */
#ifndef BCDA_TESTS_MAPPED_H
#define BCDA_TESTS_MAPPED_H

#include <sys/mman.h>

#include "refuse.h"

static atomic_long mapped; /* the number of calls of mmap() */

/* The names of mmap() with and without _FILE_OFFSET_BITS=64. */
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    mapped++;
    return __real_mmap(at, len, prot, flags, fd, offset);
}

void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    mapped++;
    return __real_mmap64(at, len, prot, flags, fd, offset);
}

/* Checks that all pages that were mapped since `mapped` was set to 0 were unmapped. */
static void check_mapped(void)
{
    ck_assert_msg(mapped == unmapped, "%ld secrets, of which %ld are freed, %s", (long)mapped,
                  (long)unmapped, refusal());
}

#endif
