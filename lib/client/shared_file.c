#include "client/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

/* How often a file is opened again that was replaced before it was locked. */
enum { OPENINGS_MAX = 8 };

/* ---- errors ---- */

/* The path is cut, so that the cause fits into the error text. */
static int refuse_shared(const struct bcda__shared_file *f, const char *cause,
                         struct bcda_error *err)
{
    char shown[256];

    bcda__text_show(shown, sizeof shown, f->path);
    return bcda__err_set(err, BCDA_ERR_IO, "%s %s %s", f->kind, shown, cause);
}

static int refuse_shared_errno(const struct bcda__shared_file *f, const char *what,
                               struct bcda_error *err)
{
    char words[96] = "", cause[160];
    const char *why = strerror_r(errno, words, sizeof words);

    bcda__text_print(cause, sizeof cause, "cannot be %s: %s", what, why);
    return refuse_shared(f, cause, err);
}

/* ---- opening ---- */

int bcda__shared_file_init(struct bcda__shared_file *f, const char *kind, const char *begin,
                           const char *path)
{
    char folder[PATH_MAX];
    size_t size;

    f->kind = kind;
    f->begin = begin;
    f->fd = -1;
    if (path[0] == '/' || !getcwd(folder, sizeof folder)) {
        f->path = bcda__strdup(path);
        return f->path ? 0 : BCDA_ERR_NOMEM;
    }
    size = strlen(folder) + 1 + strlen(path) + 1;
    f->path = bcda__alloc(size);
    if (!f->path)
        return BCDA_ERR_NOMEM;
    snprintf(f->path, size, "%s/%s", folder, path);
    return 0;
}

/* Checks that only this user can have written the file, and that only this user can read it. */
static int check_shared(const struct bcda__shared_file *f, struct bcda_error *err)
{
    struct stat st;

    if (fstat(f->fd, &st))
        return refuse_shared_errno(f, "opened", err);
    if (!S_ISREG(st.st_mode))
        return refuse_shared(f, "cannot be used: it is not a regular file", err);
    if (st.st_uid != geteuid())
        return refuse_shared(f, "cannot be used: it belongs to another user", err);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return refuse_shared(
            f, "cannot be used: other users have permissions for it; run chmod 600 on it", err);
    return 0;
}

/* Without O_NONBLOCK, opening a FIFO could wait; with O_NOCTTY, a terminal does not become that of
 * the process. Both are refused after opening. Returns 0, BCDA__SHARED_MISSING or BCDA_ERR_IO. */
static int open_shared(struct bcda__shared_file *f, int create, struct bcda_error *err)
{
    int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int rc;

    f->fd = open(f->path, create ? flags | O_CREAT : flags, 0600);
    if (f->fd < 0 && errno == ENOENT && !create)
        return BCDA__SHARED_MISSING;
    if (f->fd < 0 && errno == ELOOP)
        return refuse_shared(f, "cannot be used: it is a symbolic link", err);
    if (f->fd < 0)
        return refuse_shared_errno(f, "opened", err);
    rc = check_shared(f, err);
    if (rc)
        bcda__shared_file_close(f);
    return rc;
}

/* ---- locking ---- */

int bcda__shared_file_is_named(const struct bcda__shared_file *f)
{
    struct stat opened, named;

    return !fstat(f->fd, &opened) && !lstat(f->path, &named) && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* Refuses a file with other content. It may be empty, a beginning that was written before the
 * process was killed, or zeros, with which the content is wiped. */
static int check_begin(const struct bcda__shared_file *f, struct bcda_error *err)
{
    enum { BEGIN_MAX = 64 };
    char text[BEGIN_MAX];
    size_t len, most = strlen(f->begin);
    int rc = bcda__shared_file_read(f, text, most < sizeof text ? most : sizeof text, &len, err);

    if (rc || len == 0 || text[0] == '\0' || memcmp(text, f->begin, len) == 0)
        return rc;
    return refuse_shared(
        f, "cannot be used: it has other content, which is kept; name another file", err);
}

int bcda__shared_file_lock(struct bcda__shared_file *f, enum bcda__shared_lock lock, int create,
                           struct bcda_error *err)
{
    int operation = (lock == BCDA__SHARED_READ ? LOCK_SH : LOCK_EX) | LOCK_NB;
    int openings, rc;

    for (openings = 0; openings < OPENINGS_MAX; openings++) {
        rc = f->fd < 0 ? open_shared(f, create, err) : 0;
        if (rc)
            return rc;
        if (flock(f->fd, operation)) {
            rc = errno == EWOULDBLOCK || errno == EINTR ? BCDA__SHARED_BUSY
                                                        : refuse_shared_errno(f, "locked", err);
            bcda__shared_file_close(f);
            return rc;
        }
        if (bcda__shared_file_is_named(f)) {
            rc = check_begin(f, err);
            if (!rc)
                return BCDA__SHARED_LOCKED;
            bcda__shared_file_close(f);
            return rc;
        }
        bcda__shared_file_close(f);
    }
    return BCDA__SHARED_BUSY; /* others replace it again and again */
}

void bcda__shared_file_unlock(const struct bcda__shared_file *f)
{
    if (f->fd >= 0)
        (void)flock(f->fd, LOCK_UN);
}

void bcda__shared_file_close(struct bcda__shared_file *f)
{
    bcda__shared_file_unlock(f);
    bcda__shared_file_abandon(f);
}

void bcda__shared_file_abandon(struct bcda__shared_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void bcda__shared_file_free(struct bcda__shared_file *f)
{
    bcda__shared_file_close(f);
    bcda__free(f->path);
    f->path = NULL;
}

/* ---- content ---- */

int bcda__shared_file_read(const struct bcda__shared_file *f, char *out, size_t size, size_t *len,
                           struct bcda_error *err)
{
    ssize_t n;

    *len = 0;
    while (*len < size && (n = pread(f->fd, out + *len, size - *len, (off_t)*len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_shared_errno(f, "read", err);
        *len += (size_t)n;
    }
    return 0;
}

int bcda__shared_file_write(const struct bcda__shared_file *f, const char *text, size_t len,
                            struct bcda_error *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(f->fd, text + done, len - done, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_shared_errno(f, "written", err);
        done += (size_t)n;
    }
    return 0;
}

int bcda__shared_file_cut(const struct bcda__shared_file *f, size_t len, struct bcda_error *err)
{
    return ftruncate(f->fd, (off_t)len) ? refuse_shared_errno(f, "written", err) : 0;
}

void bcda__shared_file_wipe(const struct bcda__shared_file *f)
{
    static const char zeros[4096];
    struct stat st;
    off_t at = 0;

    if (!fstat(f->fd, &st))
        while (at < st.st_size) {
            off_t left = st.st_size - at;
            size_t len = left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros;
            ssize_t n = pwrite(f->fd, zeros, len, at);

            if (n <= 0 && !(n < 0 && errno == EINTR))
                break;
            at += n > 0 ? n : 0;
        }
    (void)!ftruncate(f->fd, 0);
}
