#include "base/process.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef MADV_WIPEONFORK
/* Some emulators accept any advice and ignore it. So madvise() is first called with -1, which is no
 * valid advice. If that succeeds, MADV_WIPEONFORK cannot be trusted. */
static int wipes_on_fork(void *page, size_t size)
{
    return madvise(page, size, -1) != 0 && madvise(page, size, MADV_WIPEONFORK) == 0;
}
#else
static int wipes_on_fork(void *page, size_t size)
{
    (void)page;
    (void)size;
    return 0;
}
#endif

void bcda__process_init(struct bcda__process *p)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(p, 0, sizeof *p);
    p->pid = getpid();
    if (page == MAP_FAILED)
        return;
    if (!wipes_on_fork(page, size)) {
        munmap(page, size);
        return;
    }
    *page = 1;
    p->mark = page;
    p->mapped = size;
}

int bcda__process_is_child(const struct bcda__process *p)
{
    return p->mark ? !*p->mark : getpid() != p->pid;
}

void bcda__process_free(struct bcda__process *p)
{
    if (p->mark)
        munmap((void *)(uintptr_t)p->mark, p->mapped);
    memset(p, 0, sizeof *p);
}
