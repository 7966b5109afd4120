/* Detects that the calling process is a child of the process that created an object. A child of
 * fork() has a copy of the object, but the connections, descriptors and threads of the object
 * belong to the parent.
 *
 * The check is made after every callback, so it must be cheap. getpid() is a system call in glibc
 * since 2.25. It is also not reliable: process numbers are reused, and in a new PID namespace a
 * child may have the number of its parent. Therefore the mark is a byte in a page that the kernel
 * clears in a child (MADV_WIPEONFORK). Reading the mark costs one load. The mark also detects a
 * child that was created by clone() without the C library, and it needs no atfork handler, which
 * would be global state. If the kernel does not support such a page, getpid() is used. A child of
 * vfork() shares all memory with its parent and must not call these functions. */
#ifndef BCDA_BASE_PROCESS_H
#define BCDA_BASE_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

struct bcda__process {
    const volatile char *mark; /* *mark is 1, and 0 in a child; NULL = not supported */
    size_t mapped;
    pid_t pid;
};

void bcda__process_init(struct bcda__process *p); /* stores the identity of the calling process */
/* Returns 1 if the calling process is a child of the process that called bcda__process_init(). The
 * function may be called from any thread and from a signal handler. */
int bcda__process_is_child(const struct bcda__process *p);
void bcda__process_free(struct bcda__process *p); /* also allowed in a child */

#endif
