#include "base/secret.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "bcda/error.h"

void bcda__wipe(void *data, size_t len)
{
    if (len)
        explicit_bzero(data, len);
}

/* Each secret has its own pages. mlock() locks whole pages, so if two secrets shared a page,
 * freeing one would unlock the other. It is not an error if mlock() fails (RLIMIT_MEMLOCK). */
static char *map_pages(size_t len, size_t *mapped)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size;
    void *at;
    void *token;

    if (len > SIZE_MAX - page)
        return NULL;
    size = (len + page - 1) / page * page;
    token = bcda__alloc(1); /* so that tests that make allocations fail can make this one fail */
    if (!token)
        return NULL;
    bcda__free(token);
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    (void)mlock(at, size);
#ifdef MADV_DONTDUMP
    (void)madvise(at, size, MADV_DONTDUMP);
#endif
    *mapped = size;
    return at;
}

int bcda__secret_set(struct bcda__secret *s, const void *data, size_t len)
{
    struct bcda__secret fresh = {0};

    if (len == SIZE_MAX)
        return BCDA_ERR_NOMEM;
    fresh.data = map_pages(len + 1, &fresh.mapped);
    if (!fresh.data)
        return BCDA_ERR_NOMEM;
    fresh.len = len;
    if (data && len)
        memcpy(fresh.data, data, len);
    bcda__secret_free(s);
    *s = fresh;
    return 0;
}

int bcda__secret_copy(struct bcda__secret *to, const struct bcda__secret *from)
{
    if (!from->data) {
        bcda__secret_free(to);
        return 0;
    }
    return bcda__secret_set(to, from->data, from->len);
}

void bcda__secret_free(struct bcda__secret *s)
{
    if (s->data) {
        bcda__wipe(s->data, s->mapped);
        munmap(s->data, s->mapped);
    }
    memset(s, 0, sizeof *s);
}
