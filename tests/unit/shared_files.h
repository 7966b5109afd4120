/* What the tests of files that processes share have in common: a folder of its own for each test,
 * and the system calls, which a test can make fail or interrupt at a chosen point. The linker
 * replaces them, see tests/meson.build. */
#ifndef BCDA_TESTS_SHARED_FILES_H
#define BCDA_TESTS_SHARED_FILES_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "suite.h"
#include "tempdir.h"

static char folder[200], path[240], other_path[240];

static inline void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/bcda-shared-XXXXXX", tempdir());
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other_path, sizeof other_path, "%s/other", folder);
}

static inline void remove_folder(void)
{
    (void)remove(path);
    (void)remove(other_path);
    ck_assert_int_eq(rmdir(folder), 0); /* the library leaves no other file behind */
}

static inline void put_file(const char *at, const void *content, size_t len)
{
    int fd = open(at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, len), (ssize_t)len);
    close(fd);
}

/* Returns the length, or -1 if there is no file. */
static inline ssize_t get_file(const char *at, char *content, size_t size)
{
    int fd = open(at, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read(fd, content, size);
    close(fd);
    return n;
}

static inline off_t size_of(const char *at)
{
    struct stat st;

    return stat(at, &st) ? -1 : st.st_size;
}

/* Returns the number of descriptors of the file that this process has, and checks that a program it
 * starts does not get them. */
static inline int descriptors_of(const char *at)
{
    struct stat wanted, st;
    int fd, count = 0;

    ck_assert_int_eq(stat(at, &wanted), 0);
    for (fd = 0; fd < 256; fd++)
        if (!fstat(fd, &st) && st.st_ino == wanted.st_ino && st.st_dev == wanted.st_dev) {
            ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
            count++;
        }
    return count;
}

/* Opens the file and takes the lock, as another process does. */
static inline int lock_from_outside(const char *at, int operation)
{
    int fd = open(at, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(flock(fd, operation | LOCK_NB), 0);
    return fd;
}

/* Returns 1 if another process could take the exclusive lock. */
static inline int is_free(const char *at)
{
    int fd = open(at, O_RDWR | O_CLOEXEC);
    int free_now = flock(fd, LOCK_EX | LOCK_NB) == 0;

    ck_assert_int_ge(fd, 0);
    close(fd);
    return free_now;
}

/* Waits for a child, whose assertions and exit status must be good. */
static inline void finish_child(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

/* Memory that processes share. */
static inline void *shared_memory(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert(at != MAP_FAILED);
    return at;
}

/* ---- calls that fail ---- */

static struct {
    int write_errno; /* pwrite() writes one half of the data, and then fails with this */
    int writes;      /* calls of pwrite() */
    int small_steps; /* pread() and pwrite() move one byte, and every second call is interrupted */
    int lock_errno;  /* flock() fails with this */
    int other_owner; /* geteuid() returns another user */
    int locks;       /* calls of flock() that lock */
    int hook_at;     /* the number of the call of flock() before which `hook` runs; 0 = each */
    void (*hook)(void);       /* what another process does then */
    void (*write_hook)(void); /* runs before pwrite() */
    char cut[65536];          /* the content when it is truncated */
    ssize_t cut_len;
} calls_of;

static inline int is_interrupted(void)
{
    static int turn;

    if (!calls_of.small_steps || turn++ % 2)
        return 0;
    errno = EINTR;
    return 1;
}

static ssize_t wrapped_write(ssize_t (*real)(int, const void *, size_t, off_t), int fd,
                             const void *data, size_t len, off_t at)
{
    calls_of.writes++;
    if (calls_of.write_hook)
        calls_of.write_hook();
    if (is_interrupted())
        return -1;
    if (calls_of.write_errno && (at > 0 || len < 2)) {
        errno = calls_of.write_errno;
        return -1;
    }
    len = calls_of.write_errno ? len / 2 : calls_of.small_steps ? 1 : len;
    return real(fd, data, len, at);
}

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    return wrapped_write(__real_pwrite, fd, data, len, at);
}

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return wrapped_write(__real_pwrite64, fd, data, len, at);
}

ssize_t __real_pread(int fd, void *data, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *data, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *data, size_t len, off_t at)
{
    return is_interrupted() ? -1 : __real_pread(fd, data, calls_of.small_steps ? 1 : len, at);
}

ssize_t __real_pread64(int fd, void *data, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *data, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *data, size_t len, off_t at)
{
    return is_interrupted() ? -1 : __real_pread64(fd, data, calls_of.small_steps ? 1 : len, at);
}

static void note_cut(int fd)
{
    calls_of.cut_len = __real_pread(fd, calls_of.cut, sizeof calls_of.cut, 0);
}

int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len)
{
    note_cut(fd);
    return __real_ftruncate(fd, len);
}

int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len)
{
    note_cut(fd);
    return __real_ftruncate64(fd, len);
}

uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
    return __real_geteuid() + (calls_of.other_owner ? 1 : 0);
}

/* The system changes a shared lock to an exclusive one in two steps: it releases the lock, then it
 * takes the new one. The hook runs between the two. */
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
    static int in_hook;

    ck_assert(operation == LOCK_UN || operation & LOCK_NB); /* nothing waits */
    if (operation == LOCK_UN || in_hook)
        return __real_flock(fd, operation);
    calls_of.locks++;
    if (calls_of.lock_errno) {
        errno = calls_of.lock_errno;
        return -1;
    }
    if (calls_of.hook && (!calls_of.hook_at || calls_of.locks == calls_of.hook_at)) {
        in_hook = 1;
        (void)__real_flock(fd, LOCK_UN);
        calls_of.hook();
        in_hook = 0;
    }
    return __real_flock(fd, operation);
}

#endif
