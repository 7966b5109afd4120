/* The allocator of the torture programs. It counts allocations, refuses those that a test chooses,
 * and checks every block that the library frees: the block must not contain MARK, which stands for
 * a secret.
 *
 * The linker redirects the library's calls to this file: -Wl,--wrap=bcda__alloc and so on, see
 * tests/meson.build. The build must not use LTO, since the linker must see the calls. */
#ifndef BCDA_TESTS_REFUSE_H
#define BCDA_TESTS_REFUSE_H

#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "suite.h"

#define MARK "SECRETSECRET"

static atomic_long calls, live, refused; /* atomic: decode threads allocate, too */
static atomic_long unmapped;             /* the number of calls of munmap() */
static long refuse_at;                   /* number of the call to refuse, from 1; 0 = none */
static int refuse_all;                   /* 1: refuse every call after number refuse_at, too */
static long chosen;                      /* copy of refuse_at, for messages after it is set to 0 */

void *__real_bcda__alloc(size_t size);
void *__real_bcda__calloc(size_t count, size_t size);
void *__real_bcda__realloc(void *ptr, size_t size);
void __real_bcda__free(void *ptr);
int __real_munmap(void *at, size_t len);

void *__wrap_bcda__alloc(size_t size);
void *__wrap_bcda__calloc(size_t count, size_t size);
void *__wrap_bcda__realloc(void *ptr, size_t size);
void __wrap_bcda__free(void *ptr);
int __wrap_munmap(void *at, size_t len);

static int refuse(void)
{
    long n = ++calls;
    int no = n == refuse_at || (refuse_all && refuse_at && n > refuse_at);

    refused += no;
    return no;
}

/* Overwrites a new block, from this offset to the end of what malloc() gave. The bytes may contain
 * MARK from an earlier block, of libcurl or of the server, and look() would find it there. */
static void fill_from(void *ptr, size_t offset)
{
    size_t size = malloc_usable_size(ptr);

    if (size > offset)
        memset((char *)ptr + offset, 0xA5, size - offset);
}

/* Counts the block, whose first `zeros` bytes are zero. */
static void *made(void *ptr, size_t zeros)
{
    if (!ptr)
        return NULL;
    live++;
    fill_from(ptr, zeros);
    return ptr;
}

static void look(const void *ptr, size_t len)
{
    if (ptr && memmem(ptr, len, MARK, sizeof MARK - 1))
        ck_abort_msg("a block of %zu bytes is given back with its content (call %ld)", len,
                     (long)calls);
}

void *__wrap_bcda__alloc(size_t size)
{
    return refuse() ? NULL : made(__real_bcda__alloc(size), 0);
}

void *__wrap_bcda__calloc(size_t count, size_t size)
{
    return refuse() ? NULL : made(__real_bcda__calloc(count, size), count * size);
}

void *__wrap_bcda__realloc(void *ptr, size_t size)
{
    size_t old = ptr ? malloc_usable_size(ptr) : 0;
    void *grown;

    if (refuse())
        return NULL;
    look(ptr, old); /* realloc() may copy the block and free the old one */
    grown = __real_bcda__realloc(ptr, size);
    if (!grown)
        return NULL;
    live += !ptr;
    fill_from(grown, old);
    return grown;
}

void __wrap_bcda__free(void *ptr)
{
    if (ptr) {
        live--;
        look(ptr, malloc_usable_size(ptr));
    }
    __real_bcda__free(ptr);
}

int __wrap_munmap(void *at, size_t len)
{
    look(at, len);
    unmapped++;
    return __real_munmap(at, len);
}

static void refuse_from(long at, int all)
{
    calls = live = refused = unmapped = 0;
    refuse_at = chosen = at;
    refuse_all = all;
}

/* Returns which calls are refused, as text for a message. */
static const char *refusal(void)
{
    static char text[40];

    snprintf(text, sizeof text, "refusing %s %ld", refuse_all ? "from" : "only", chosen);
    return text;
}

#endif
