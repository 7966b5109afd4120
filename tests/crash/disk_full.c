/*
 * A library for LD_PRELOAD that simulates a disk that becomes full. It counts the calls that need
 * space in a directory, or change it: creating files, write(), fsync(), rename(), ftruncate() and
 * their relatives. From the n-th on, with n from BCDA_TEST_FULL_FROM, each fails with ENOSPC. The
 * directory is that of BCDA_TEST_FULL_DIR, with all below it.
 *
 * With BCDA_TEST_FULL_ONCE=1 only the n-th call fails, as if somebody else had then made room. With
 * BCDA_TEST_FULL_SHORT=1 the last call before the disk is full writes half of its bytes, as
 * write() does when the disk has room for these. At the end of the program, the number of calls
 * and the name of the first that failed are written to the file BCDA_TEST_FULL_COUNT.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Both names of a function with 64-bit offsets are defined here. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORTED         __attribute__((visibility("default")))
#define NEXT(type, name) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))

static atomic_long calls;
static const char *_Atomic first_failed; /* the name of the first function that failed */

static bool is_inside(const char *path)
{
    const char *dir = getenv("BCDA_TEST_FULL_DIR");
    size_t n = dir ? strlen(dir) : 0;

    return n && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool fd_is_inside(int fd)
{
    char name[64], path[PATH_MAX];
    ssize_t n;

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    n = readlink(name, path, sizeof path - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    return is_inside(path);
}

static bool name_is_inside(int dir, const char *name)
{
    if (*name == '/')
        return is_inside(name);
    if (dir != AT_FDCWD)
        return fd_is_inside(dir);
    char path[PATH_MAX];

    return getcwd(path, sizeof path) && is_inside(path);
}

enum step { ROOM, HALF, FULL };

/* Counts one call of a function, and says whether there is room for it. */
static enum step count_call(const char *function)
{
    const char *once = getenv("BCDA_TEST_FULL_ONCE");
    const char *from = getenv("BCDA_TEST_FULL_FROM"), *half = getenv("BCDA_TEST_FULL_SHORT");
    long n = atomic_fetch_add(&calls, 1) + 1, first = from ? atol(from) : LONG_MAX;

    if (n >= first && (!once || *once != '1' || n == first)) {
        first_failed = first_failed ? first_failed : function;
        errno = ENOSPC;
        return FULL;
    }
    return n + 1 == first && half && *half == '1' ? HALF : ROOM;
}

__attribute__((destructor)) static void report_calls(void)
{
    const char *path = getenv("BCDA_TEST_FULL_COUNT");
    const char *failed = atomic_load(&first_failed);
    char text[64];
    int fd =
        path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    int n = snprintf(text, sizeof text, "%ld %s\n", atomic_load(&calls), failed ? failed : "");

    if (fd >= 0 && syscall(SYS_write, fd, text, n) != n)
        abort();
    if (fd >= 0)
        syscall(SYS_close, fd);
}

/* ---- data ---- */

EXPORTED ssize_t write(int fd, const void *data, size_t len)
{
    static ssize_t (*next)(int, const void *, size_t);
    enum step step = fd_is_inside(fd) ? count_call("write") : ROOM;

    next = next ? next : NEXT(ssize_t(*)(int, const void *, size_t), "write");
    if (step == FULL)
        return -1;
    return next(fd, data, step == HALF && len > 1 ? len / 2 : len);
}

static ssize_t write_at(const char *name, int fd, const void *data, size_t len, off64_t at)
{
    enum step step = fd_is_inside(fd) ? count_call("write") : ROOM;

    if (step == FULL)
        return -1;
    if (step == HALF && len > 1)
        len /= 2;
    return NEXT(ssize_t(*)(int, const void *, size_t, off64_t), name)(fd, data, len, at);
}

EXPORTED ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return write_at("pwrite", fd, data, len, at);
}

EXPORTED ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return write_at("pwrite64", fd, data, len, at);
}

EXPORTED ssize_t writev(int fd, const struct iovec *v, int n)
{
    if (fd_is_inside(fd) && count_call("another") == FULL)
        return -1;
    return NEXT(ssize_t(*)(int, const struct iovec *, int), "writev")(fd, v, n);
}

static int on_descriptor(const char *name, int fd)
{
    struct stat st;

    if (fd_is_inside(fd) &&
        count_call(fstat(fd, &st) || S_ISDIR(st.st_mode) ? "fsync of a directory" : "fsync") ==
            FULL)
        return -1;
    return NEXT(int (*)(int), name)(fd);
}

EXPORTED int fsync(int fd)
{
    return on_descriptor("fsync", fd);
}

EXPORTED int fdatasync(int fd)
{
    return on_descriptor("fdatasync", fd);
}

static int resize(const char *name, int fd, off64_t size)
{
    if (fd_is_inside(fd) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(int, off64_t), name)(fd, size);
}

EXPORTED int ftruncate(int fd, off_t size)
{
    return resize("ftruncate", fd, size);
}

EXPORTED int ftruncate64(int fd, off64_t size)
{
    return resize("ftruncate64", fd, size);
}

/* These two return the error. */
static int reserve(const char *name, int fd, off64_t at, off64_t len)
{
    if (fd_is_inside(fd) && count_call("another") == FULL)
        return ENOSPC;
    return NEXT(int (*)(int, off64_t, off64_t), name)(fd, at, len);
}

EXPORTED int posix_fallocate(int fd, off_t at, off_t len)
{
    return reserve("posix_fallocate", fd, at, len);
}

EXPORTED int posix_fallocate64(int fd, off64_t at, off64_t len)
{
    return reserve("posix_fallocate64", fd, at, len);
}

/* ---- names ---- */

static int open_file(const char *function, int dir, const char *name, int flags, mode_t mode)
{
    bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    bool at = strncmp(function, "openat", 6) == 0;

    if (creates && name_is_inside(dir, name) && count_call("another") == FULL)
        return -1;
    if (at)
        return NEXT(int (*)(int, const char *, int, ...), function)(dir, name, flags, mode);
    return NEXT(int (*)(const char *, int, ...), function)(name, flags, mode);
}

static mode_t mode_of(int flags, va_list list)
{
    bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;

    return creates ? va_arg(list, mode_t) : 0;
}

#define OPEN(function)                                            \
    EXPORTED int function(const char *name, int flags, ...)       \
    {                                                             \
        mode_t mode;                                              \
        va_list list;                                             \
                                                                  \
        va_start(list, flags);                                    \
        mode = mode_of(flags, list);                              \
        va_end(list);                                             \
        return open_file(#function, AT_FDCWD, name, flags, mode); \
    }
#define OPENAT(function)                                             \
    EXPORTED int function(int dir, const char *name, int flags, ...) \
    {                                                                \
        mode_t mode;                                                 \
        va_list list;                                                \
                                                                     \
        va_start(list, flags);                                       \
        mode = mode_of(flags, list);                                 \
        va_end(list);                                                \
        return open_file(#function, dir, name, flags, mode);         \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

EXPORTED int mkdir(const char *name, mode_t mode)
{
    if (name_is_inside(AT_FDCWD, name) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(const char *, mode_t), "mkdir")(name, mode);
}

EXPORTED int mkdirat(int dir, const char *name, mode_t mode)
{
    if (name_is_inside(dir, name) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(int, const char *, mode_t), "mkdirat")(dir, name, mode);
}

EXPORTED int rename(const char *old, const char *name)
{
    if (name_is_inside(AT_FDCWD, name) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(const char *, const char *), "rename")(old, name);
}

EXPORTED int renameat(int from, const char *old, int to, const char *name)
{
    if (name_is_inside(to, name) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(int, const char *, int, const char *), "renameat")(from, old, to, name);
}

EXPORTED int renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
    if (name_is_inside(to, name) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(int, const char *, int, const char *, unsigned), "renameat2")(from, old, to,
                                                                                      name, flags);
}

EXPORTED int linkat(int from, const char *old, int to, const char *name, int flags)
{
    if (name_is_inside(to, name) && count_call("another") == FULL)
        return -1;
    return NEXT(int (*)(int, const char *, int, const char *, int), "linkat")(from, old, to, name,
                                                                              flags);
}
