/*
 * The quarantine is a file that keeps invalid lines, so that their cause can be found. It has one
 * JSON object per line, with the bytes of the invalid line in base64, so that none is lost. These
 * bytes are patient data.
 *
 * A line is added only when its file is complete, because a file that failed may have been altered
 * in transit. Until then the lines are held in a file without a name, which disappears when the
 * program ends.
 *
 * The quarantine is created when the first line is added, and is only appended to. It must not be a
 * file of another user, a file with a second name, or a symbolic link, because other users could
 * then read the lines.
 */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE 65536

struct quarantine {
    int dir; /* the folder in which a relative `path` begins */
    /* where lines are held until their file is complete; -1 = in the folder of `path` */
    int hold_dir;
    const char *path; /* NULL = nothing is kept */
    int fd;           /* -1 = nothing was added */
    int to;           /* the descriptor to which the buffer is written */
    int failed;       /* the errno of a failed write of the current entry; 0 = none */
    size_t used;
    char buffer[BUFFER_SIZE];
};

struct quarantine *quarantine_new(const char *path, struct folder *folder)
{
    struct quarantine *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->dir = path || !folder ? AT_FDCWD : folder->dir;
    q->hold_dir = path || !folder ? -1 : folder->work;
    q->path = path ? path : folder ? "bad-lines.jsonl" : NULL;
    q->fd = -1;
    return q;
}

const char *quarantine_path(const struct quarantine *q)
{
    return q->fd >= 0 ? q->path : NULL;
}

void quarantine_free(struct quarantine *q)
{
    if (q && q->fd >= 0)
        close(q->fd);
    free(q);
}

/* ---- writing ---- */

static int quarantine_failed(const struct quarantine *q, const char *why)
{
    complain("%s: the invalid lines cannot be kept: %s", q->path, why);
    return -1;
}

static void quarantine_flush(struct quarantine *q)
{
    const char *data = q->buffer;

    while (q->used && !q->failed) {
        ssize_t n = write(q->to, data, q->used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            q->failed = errno;
            break;
        }
        data += n;
        q->used -= (size_t)n;
    }
    q->used = 0;
}

static void quarantine_put(struct quarantine *q, char c)
{
    if (q->used == sizeof q->buffer)
        quarantine_flush(q);
    q->buffer[q->used++] = c;
}

static void quarantine_put_format(struct quarantine *q, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes a text of at most 255 bytes. */
static void quarantine_put_format(struct quarantine *q, const char *format, ...)
{
    char text[256];
    const char *p;
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (p = text; *p; p++)
        quarantine_put(q, *p);
}

/* Writes a file name from the server into a JSON string. Bytes that are not ASCII are not valid in
 * a URL, and become '?'. */
static void quarantine_put_name(struct quarantine *q, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            quarantine_put_format(q, "\\u%04x", c);
        else
            quarantine_put(q, c < 0x80 ? (char)c : '?');
    }
}

static void quarantine_put_base64(struct quarantine *q, const char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes;
    size_t i;

    for (i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned v = (unsigned)p[i] << 16;

        if (left > 1)
            v |= (unsigned)p[i + 1] << 8;
        if (left > 2)
            v |= p[i + 2];
        quarantine_put(q, digits[v >> 18]);
        quarantine_put(q, digits[v >> 12 & 63]);
        quarantine_put(q, left > 1 ? digits[v >> 6 & 63] : '=');
        quarantine_put(q, left > 2 ? digits[v & 63] : '=');
    }
}

static void quarantine_put_line(struct quarantine *q, const bcda_bad_line *line)
{
    size_t len;
    const char *bytes = bcda_bad_line_bytes(line, &len);
    int code = bcda_bad_line_code(line);

    quarantine_put_format(q, "{\"file\":\"");
    quarantine_put_name(q, bcda_file_name(bcda_bad_line_file(line)));
    quarantine_put_format(q, "\",\"line\":%" PRId64 ",\"offset\":%" PRId64 ",\"length\":%" PRId64,
                          bcda_bad_line_number(line), bcda_bad_line_offset(line),
                          bcda_bad_line_length(line));
    quarantine_put_format(q, ",\"error\":\"%s\",\"reason\":\"%s\"", bcda_error_name(code),
                          bcda_error_string(code));
    if (bytes) {
        quarantine_put_format(q, ",\"bytes\":\"");
        quarantine_put_base64(q, bytes, len);
        quarantine_put(q, '"');
    }
    quarantine_put_format(q, "}\n");
}

/* ---- the file ---- */

/* Returns why the file must not be used, or NULL if it may be used. */
static const char *find_objection(int fd, struct stat *st)
{
    if (fstat(fd, st))
        return strerror(errno);
    if (!S_ISREG(st->st_mode))
        return "not an ordinary file";
    if (st->st_uid != geteuid())
        return "the file belongs to another user";
    if (st->st_nlink != 1)
        return "the file has a second name";
    if ((st->st_mode & 07777) != 0600 && fchmod(fd, 0600))
        return strerror(errno);
    return NULL;
}

/* Ends the last line of the quarantine, which may be incomplete after a system crash. */
static int end_last_line(const struct quarantine *q, const struct stat *st)
{
    char last;

    if (st->st_size == 0 || pread(q->fd, &last, 1, st->st_size - 1) != 1 || last == '\n')
        return 0;
    return write(q->fd, "\n", 1) == 1 ? 0 : -1;
}

static int quarantine_open(struct quarantine *q)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(q->dir, q->path, flags, 0600);
    const char *wrong;
    struct stat st;

    if (fd < 0)
        return quarantine_failed(q, errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    wrong = find_objection(fd, &st);
    if (wrong) {
        close(fd);
        return quarantine_failed(q, wrong);
    }
    q->fd = fd;
    if (q->dir == AT_FDCWD)
        sync_folder(q->path); /* so that the name survives a power cut */
    else if (fsync(q->dir))
        return quarantine_failed(q, strerror(errno));
    return 0;
}

/* ---- held lines ---- */

/* Opens a file without a name in the folder of `path`. */
static int open_beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) + 1 : 0;
    char *name = malloc(len + sizeof ".bad-lines.XXXXXX");
    int fd;

    if (!name)
        return -1;
    memcpy(name, path, len);
    snprintf(name + len, sizeof ".", "%s", len ? "" : ".");
    fd = open(name, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        memcpy(name + len, ".bad-lines.XXXXXX", sizeof ".bad-lines.XXXXXX");
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    free(name);
    return fd;
}

static int open_held(const struct quarantine *q)
{
    static const char name[] = "bad-lines.tmp"; /* folder_tidy() removes it after a kill */
    int fd;

    if (q->hold_dir < 0)
        return open_beside(q->path);
    fd = openat(q->hold_dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        fd = openat(q->hold_dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlinkat(q->hold_dir, name, 0);
    }
    return fd;
}

int quarantine_hold(struct quarantine *q, struct held **held, const bcda_bad_line *line)
{
    struct held *h = *held;

    if (!h) {
        h = calloc(1, sizeof *h);
        if (!h) {
            complain("out of memory");
            return -1;
        }
        h->fd = -1;
        *held = h;
    }
    if (h->count < HELD_SHOWN) {
        h->first[h->count].number = bcda_bad_line_number(line);
        h->first[h->count].code = bcda_bad_line_code(line);
    }
    h->count++;
    if (!q->path)
        return 0;
    if (h->fd < 0 && (h->fd = open_held(q)) < 0)
        return quarantine_failed(q, strerror(errno));
    q->to = h->fd;
    q->failed = 0;
    quarantine_put_line(q, line);
    quarantine_flush(q);
    return q->failed ? quarantine_failed(q, strerror(q->failed)) : 0;
}

void quarantine_drop(struct held *held)
{
    if (held && held->fd >= 0)
        close(held->fd);
    free(held);
}

/* ---- adding held lines to the quarantine ---- */

static int quarantine_copy_held(struct quarantine *q, int from)
{
    off_t at = 0;
    ssize_t n;

    q->to = q->fd;
    q->failed = 0;
    while ((n = pread(from, q->buffer, sizeof q->buffer, at)) > 0) {
        at += n;
        q->used = (size_t)n;
        quarantine_flush(q);
        if (q->failed) {
            errno = q->failed;
            return -1;
        }
    }
    return n < 0 || fsync(q->fd) ? -1 : 0;
}

/* Appends all held lines, or, after an error, none. */
static int quarantine_append(struct quarantine *q, int from)
{
    struct stat st;
    int reason;

    if (fstat(q->fd, &st))
        return -1;
    if (end_last_line(q, &st) == 0 && quarantine_copy_held(q, from) == 0)
        return 0;
    reason = errno;
    if (ftruncate(q->fd, st.st_size))
        complain("%s: the partly written invalid lines cannot be removed: %s", q->path,
                 strerror(errno));
    errno = reason;
    return -1;
}

int quarantine_commit(struct quarantine *q, const struct held *held)
{
    int rc;

    if (!held || held->fd < 0)
        return 0;
    if (q->fd < 0 && quarantine_open(q))
        return -1;
    /* Another bcda-export, with another --out, may write to the same quarantine. */
    while (flock(q->fd, LOCK_EX) && errno == EINTR)
        ;
    rc = quarantine_append(q, held->fd);
    if (rc)
        quarantine_failed(q, strerror(errno));
    flock(q->fd, LOCK_UN);
    return rc;
}
