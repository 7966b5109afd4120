/* The process that an object belongs to: the one that made it. A child of fork() has a copy of the
 * object, but what the object stands for (connections, descriptors, threads) is the parent's.
 *
 * The check is made after every callback, so it must be cheap. getpid() is a system call in glibc
 * since 2.25, and wrong besides: process numbers come again, and in a new PID namespace a child may
 * have the number of its parent. Therefore the mark is a page that the kernel empties in a child
 * (MADV_WIPEONFORK): one load, true also of a child that was made by clone() past the C library,
 * and without an atfork handler, which would be state of the process. Where the kernel has no such
 * page, getpid() decides. A child of vfork() shares all memory with its parent and may call nothing
 * here. */
#ifndef BCDA_BASE_PROCESS_H
#define BCDA_BASE_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

struct bcda__process {
    const volatile char *mark; /* 1, and 0 in a child; NULL = the system has no such page */
    size_t mapped;
    pid_t pid;
};

void bcda__process_init(struct bcda__process *p); /* notes the calling process */
/* 1: the calling process is a child of that one. From any thread and signal handler. */
int bcda__process_is_child(const struct bcda__process *p);
void bcda__process_free(struct bcda__process *p); /* in a child, too */

#endif
