/*
 * The lines that are no resources, kept for whoever has to find out what they were: one JSON object
 * a line, with the bytes in base64, so that nothing of them is lost. It is patient data.
 *
 * The file is made with the first bad line and only ever appended to. A file of somebody else's,
 * one with a second name, and a symbolic link are refused: they could show the lines to others.
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
    int dir;          /* what `path` is relative to */
    const char *path; /* NULL: nothing is kept */
    int fd;           /* -1: no bad line yet */
    int unsynced;
    int failed; /* the entry that is being written */
    size_t used;
    char buffer[BUFFER_SIZE];
};

struct quarantine *quarantine_new(const char *path, const struct output *o)
{
    struct quarantine *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->dir = path ? AT_FDCWD : output_dir(o);
    q->path = path ? path : output_is_stream(o) ? NULL : "bad-lines.ndjson";
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

static int fail(const struct quarantine *q, const char *why)
{
    complain("%s: the bad lines cannot be kept: %s", q->path, why);
    return -1;
}

static void flush(struct quarantine *q)
{
    const char *data = q->buffer;

    while (q->used && !q->failed) {
        ssize_t n = write(q->fd, data, q->used);

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

static void put(struct quarantine *q, char c)
{
    if (q->used == sizeof q->buffer)
        flush(q);
    q->buffer[q->used++] = c;
}

static void put_format(struct quarantine *q, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For texts of this program's; at most 255 bytes. */
static void put_format(struct quarantine *q, const char *format, ...)
{
    char text[256];
    const char *p;
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (p = text; *p; p++)
        put(q, *p);
}

/* A name of the server's. What is not ASCII does not belong into a URL, and becomes a '?'. */
static void put_name(struct quarantine *q, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            put_format(q, "\\u%04x", c);
        else
            put(q, c < 0x80 ? (char)c : '?');
    }
}

static void put_base64(struct quarantine *q, const char *bytes, size_t len)
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
        put(q, digits[v >> 18]);
        put(q, digits[v >> 12 & 63]);
        put(q, left > 1 ? digits[v >> 6 & 63] : '=');
        put(q, left > 2 ? digits[v & 63] : '=');
    }
}

static void put_line(struct quarantine *q, const bcda_bad_line *line)
{
    size_t len;
    const char *bytes = bcda_bad_line_bytes(line, &len);
    int code = bcda_bad_line_code(line);

    put_format(q, "{\"file\":\"");
    put_name(q, bcda_file_name(bcda_bad_line_file(line)));
    put_format(q, "\",\"line\":%" PRId64 ",\"offset\":%" PRId64 ",\"length\":%" PRId64,
               bcda_bad_line_number(line), bcda_bad_line_offset(line), bcda_bad_line_length(line));
    put_format(q, ",\"error\":\"%s\",\"reason\":\"%s\"", bcda_error_name(code),
               bcda_error_string(code));
    if (bytes) {
        put_format(q, ",\"bytes\":\"");
        put_base64(q, bytes, len);
        put(q, '"');
    }
    put_format(q, "}\n");
}

/* ---- the file ---- */

/* NULL: it may be used. */
static const char *objection(int fd, struct stat *st)
{
    if (fstat(fd, st))
        return strerror(errno);
    if (!S_ISREG(st->st_mode))
        return "not an ordinary file";
    if (st->st_uid != geteuid())
        return "the file belongs to somebody else";
    if (st->st_nlink != 1)
        return "the file has another name as well";
    if ((st->st_mode & 07777) != 0600 && fchmod(fd, 0600))
        return strerror(errno);
    return NULL;
}

/* Its last line may be cut, where the machine went down: then ours begins behind it. */
static void end_last_line(struct quarantine *q, const struct stat *st)
{
    char last;

    if (st->st_size > 0 && pread(q->fd, &last, 1, st->st_size - 1) == 1 && last != '\n')
        put(q, '\n');
}

static int open_file(struct quarantine *q)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(q->dir, q->path, flags, 0600);
    const char *wrong;
    struct stat st;

    if (fd < 0)
        return fail(q, errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    wrong = objection(fd, &st);
    if (wrong) {
        close(fd);
        return fail(q, wrong);
    }
    q->fd = fd;
    end_last_line(q, &st);
    if (q->dir == AT_FDCWD)
        sync_folder(q->path); /* so that a power cut does not take the name back */
    else if (fsync(q->dir))
        return fail(q, strerror(errno));
    return 0;
}

int quarantine_line(struct quarantine *q, const bcda_bad_line *line)
{
    if (!q->path)
        return 0;
    if (q->fd < 0 && open_file(q))
        return -1;
    q->failed = 0;
    q->unsynced = 1;
    /* Two programs at work in one folder do not mix their lines. */
    while (flock(q->fd, LOCK_EX) && errno == EINTR)
        ;
    put_line(q, line);
    flush(q);
    flock(q->fd, LOCK_UN);
    return q->failed ? fail(q, strerror(q->failed)) : 0;
}

int quarantine_sync(struct quarantine *q)
{
    if (!q->unsynced)
        return 0;
    q->unsynced = 0;
    return fsync(q->fd) ? fail(q, strerror(errno)) : 0;
}
