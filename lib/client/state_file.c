#include "client/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/process.h"
#include "base/text.h"

/* Changes are appended until they exceed this and twice the length of the text before them. */
enum { CHANGES_MIN = 64 * 1024 };

struct bcda__state_file {
    char *path;       /* for error texts */
    const char *name; /* the last part of `path` */
    char *temporary;  /* `name` with ".tmp" */
    int directory;
    int fd;         /* the file, which is locked */
    int64_t whole;  /* length of the text that was last written by replacing; 0 = none */
    int64_t length; /* of the content */
    struct bcda__process process; /* that opened the file */
};

static int refuse_file(const struct bcda__state_file *f, const char *what, struct bcda_error *err)
{
    char words[128] = "";
    const char *why = strerror_r(errno, words, sizeof words);

    return bcda__err_set(err, BCDA_ERR_IO, "the saved job %s cannot be %s: %s", f->path, what, why);
}

/* ---- opening ---- */

/* Splits the path, and opens the directory, so that the file stays the same if the application
 * changes its working directory. */
static int open_directory(struct bcda__state_file *f, const char *path)
{
    char *slash, *directory;

    f->path = bcda__strdup(path);
    directory = bcda__strdup(path);
    if (!f->path || !directory) {
        bcda__free(directory);
        return BCDA_ERR_NOMEM;
    }
    slash = strrchr(f->path, '/');
    f->name = slash ? slash + 1 : f->path;
    directory[f->name - f->path] = '\0';
    f->directory = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bcda__free(directory);
    f->temporary = bcda__alloc(strlen(f->name) + sizeof ".tmp");
    if (!f->temporary)
        return BCDA_ERR_NOMEM;
    snprintf(f->temporary, strlen(f->name) + sizeof ".tmp", "%s.tmp", f->name);
    return f->directory < 0 ? BCDA_ERR_IO : 0;
}

/* Returns 1 if the open file is still the one with the name. Another process may have replaced it
 * before it was locked here. */
static int is_still_named(const struct bcda__state_file *f, int fd)
{
    struct stat open_one, named;

    return !fstat(fd, &open_one) && !fstatat(f->directory, f->name, &named, 0) &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

static int open_and_lock(struct bcda__state_file *f, int create, struct bcda_error *err)
{
    do {
        if (f->fd >= 0)
            close(f->fd);
        f->fd = openat(f->directory, f->name, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
        if (f->fd < 0)
            return refuse_file(f, "opened", err);
        if (flock(f->fd, LOCK_EX | LOCK_NB)) {
            if (errno != EWOULDBLOCK)
                return refuse_file(f, "locked", err);
            return bcda__err_set(err, BCDA_ERR_IO,
                                 "the saved job %s is in use: another job keeps it up to date",
                                 f->path);
        }
    } while (!is_still_named(f, f->fd));
    return 0;
}

int bcda__state_file_open(struct bcda__state_file **out, const char *path, int create,
                          struct bcda_error *err)
{
    struct bcda__state_file *f = bcda__calloc(1, sizeof *f);
    int rc;

    if (!f)
        return bcda__err_nomem(err);
    f->fd = f->directory = -1;
    bcda__process_init(&f->process);
    rc = open_directory(f, path);
    if (rc == BCDA_ERR_IO)
        rc = refuse_file(f, "opened", err);
    else if (rc)
        rc = bcda__err_nomem(err);
    if (!rc)
        rc = open_and_lock(f, create, err);
    if (rc)
        bcda__state_file_close(f);
    else
        *out = f;
    return rc;
}

void bcda__state_file_close(struct bcda__state_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    if (f->directory >= 0)
        close(f->directory);
    bcda__process_free(&f->process);
    bcda__free(f->temporary);
    bcda__free(f->path);
    bcda__free(f);
}

/* ---- reading ---- */

int bcda__state_file_read(struct bcda__state_file *f, struct bcda__buf *text,
                          struct bcda_error *err)
{
    char piece[8192];
    ssize_t n;
    int rc;

    while ((n = pread(f->fd, piece, sizeof piece, (off_t)text->len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_file(f, "read", err);
        rc = bcda__buf_add(text, piece, (size_t)n);
        if (rc)
            return bcda__err_set(err, rc, "the saved job %s: %s", f->path, bcda_error_string(rc));
    }
    return 0;
}

/* ---- writing ---- */

int bcda__state_file_is_inherited(const struct bcda__state_file *f)
{
    return bcda__process_is_child(&f->process);
}

static int write_at(int fd, const char *text, size_t len, int64_t at)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(fd, text + done, len - done, (off_t)(at + (int64_t)done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

/* Writes a locked temporary file, and gives it the name of the file. Returns its descriptor, or -1
 * with errno set. */
static int put_new_file(const struct bcda__state_file *f, const char *text, size_t len)
{
    int fd = openat(f->directory, f->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    0600);
    int saved;

    if (fd < 0)
        return -1;
    if (!flock(fd, LOCK_EX | LOCK_NB) && !write_at(fd, text, len, 0) && !fsync(fd) &&
        !renameat(f->directory, f->temporary, f->directory, f->name))
        return fd;
    saved = errno;
    (void)unlinkat(f->directory, f->temporary, 0);
    close(fd);
    errno = saved;
    return -1;
}

int bcda__state_file_replace(struct bcda__state_file *f, const char *text, size_t len,
                             struct bcda_error *err)
{
    int fd = put_new_file(f, text, len);

    if (fd < 0)
        return refuse_file(f, "written", err);
    close(f->fd);
    f->fd = fd;
    f->whole = f->length = (int64_t)len;
    return fsync(f->directory) ? refuse_file(f, "written", err) : 0;
}

int bcda__state_file_append(struct bcda__state_file *f, const char *text, size_t len,
                            struct bcda_error *err)
{
    int saved;

    if (!write_at(f->fd, text, len, f->length) && !fdatasync(f->fd)) {
        f->length += (int64_t)len;
        return 0;
    }
    saved = errno;
    (void)!ftruncate(f->fd, (off_t)f->length);
    errno = saved;
    return refuse_file(f, "written", err);
}

int bcda__state_file_wants_whole(const struct bcda__state_file *f)
{
    int64_t changes = f->length - f->whole;

    return !f->whole || (changes > CHANGES_MIN && changes > 2 * f->whole);
}
