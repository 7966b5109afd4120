/*
 * Linked with the sources of bcda-export, this file intercepts each system call that changes a file
 * or a folder. It kills the program just before the n-th of these calls, with n from
 * BCDA_TEST_KILL_AT. The next run then finds on disk what a killed program leaves. The machine
 * itself does not crash, so nothing that was written is lost.
 *
 * BCDA_TEST_NO_TMPFILE and BCDA_TEST_NO_LINKS simulate file systems without O_TMPFILE and without
 * hard links.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void step(void)
{
    static long count;
    const char *at = getenv("BCDA_TEST_KILL_AT");

    if (at && ++count == atol(at))
        raise(SIGKILL);
}

int __real_linkat(int from, const char *old, int to, const char *name, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *name, int flags);
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __real_unlink(const char *name);
int __wrap_unlink(const char *name);
int __real_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __real_renameat(int from, const char *old, int to, const char *name);
int __wrap_renameat(int from, const char *old, int to, const char *name);
int __real_rename(const char *old, const char *name);
int __wrap_rename(const char *old, const char *name);
int __real_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);

int __wrap_linkat(int from, const char *old, int to, const char *name, int flags)
{
    step();
    if (getenv("BCDA_TEST_NO_LINKS")) {
        errno = EPERM;
        return -1;
    }
    return __real_linkat(from, old, to, name, flags);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    step();
    return __real_unlinkat(dir, name, flags);
}

int __wrap_unlink(const char *name)
{
    step();
    return __real_unlink(name);
}

int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
    step();
    if (getenv("BCDA_TEST_NO_LINKS")) { /* the flags of renameat2() may be missing, too */
        errno = EINVAL;
        return -1;
    }
    return __real_renameat2(from, old, to, name, flags);
}

int __wrap_renameat(int from, const char *old, int to, const char *name)
{
    step();
    return __real_renameat(from, old, to, name);
}

int __wrap_rename(const char *old, const char *name)
{
    step();
    return __real_rename(old, name);
}

int __wrap_mkdirat(int dir, const char *name, mode_t mode)
{
    step();
    return __real_mkdirat(dir, name, mode);
}

int __wrap_fdatasync(int fd)
{
    step();
    return __real_fdatasync(fd);
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at)
{
    step();
    return __real_pwrite64(fd, data, len, at);
}

int __wrap_fsync(int fd)
{
    step();
    return __real_fsync(fd);
}

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    step();
    return __real_write(fd, data, len);
}

/* meson builds with large file support, in which these functions have names that end with 64. */
int __wrap_ftruncate64(int fd, off_t size)
{
    step();
    return __real_ftruncate64(fd, size);
}

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
    mode_t mode = 0;
    va_list list;

    va_start(list, flags);
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
        mode = va_arg(list, mode_t);
        step();
    }
    va_end(list);
    if ((flags & O_TMPFILE) == O_TMPFILE && getenv("BCDA_TEST_NO_TMPFILE")) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_openat64(dir, name, flags, mode);
}
