/*
 * The file of --resume: read at the start, replaced as a whole at each step. It is locked
 * meanwhile, and so is each file that takes its place before it does: two programs that went on
 * with the same jobs in the same folder would take each other's files away.
 */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_MAX ((off_t)256 * 1024 * 1024)
#define REMARKS   "# bcda-export: %" PRId64 " bad lines, %" PRId64 " issues, %" PRId64 " refused"

/* Whether `fd` still is what stands at `path`. */
static int is_current(int fd, const char *path)
{
    struct stat one;
    struct stat other;

    return fstat(fd, &one) == 0 && stat(path, &other) == 0 && one.st_ino == other.st_ino &&
           one.st_dev == other.st_dev;
}

static int open_locked(const char *path)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0) {
            complain("%s: %s", path, strerror(errno));
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            if (errno == EWOULDBLOCK)
                complain("%s: another bcda-export is at work with it", path);
            else
                complain("%s: %s", path, strerror(errno));
            close(fd);
            return -1;
        }
        if (is_current(fd, path))
            return fd;
        close(fd); /* replaced or removed between the two calls */
    }
}

static char *read_all(int fd, const char *path)
{
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    ssize_t got = 1;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < STATE_MAX)
        text = malloc((size_t)st.st_size + 1);
    while (text && got > 0 && len < (size_t)st.st_size) {
        got = read(fd, text + len, (size_t)st.st_size - len);
        if (got > 0)
            len += (size_t)got;
    }
    if (!text || got < 0) {
        complain("%s cannot be read", path);
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

int state_open(struct state *s, const char *path)
{
    char *line;
    char *rest;

    *s = (struct state){.path = path, .fd = -1};
    if (!path)
        return 0;
    s->fd = open_locked(path);
    if (s->fd < 0)
        return -1;
    s->text = rest = read_all(s->fd, path);
    s->is_new = rest && !*rest;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line || sscanf(line, REMARKS, &s->remarks.bad_lines, &s->remarks.issues,
                             &s->remarks.refused) > 0)
            continue;
        if (s->count == TYPES_MAX) {
            complain("%s: more than %d jobs", path, TYPES_MAX);
            state_close(s);
            return -1;
        }
        s->lines[s->count++] = line;
    }
    if (s->text)
        return 0;
    state_close(s);
    return -1;
}

static int write_state(FILE *out, char *const *lines, size_t count, const struct remarks *r)
{
    size_t i;

    if (r->bad_lines || r->issues || r->refused)
        fprintf(out, REMARKS "\n", r->bad_lines, r->issues, r->refused);
    for (i = 0; i < count; i++)
        fprintf(out, "%s\n", lines[i] ? lines[i] : "-");
    return fflush(out) || ferror(out) || fsync(fileno(out)) ? -1 : 0;
}

void sync_folder(const char *path)
{
    char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    int fd;

    if (slash)
        slash[slash == folder] = '\0';
    fd = folder ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* A new file beside `path`, written, synced and locked; its descriptor, or -1. */
static int make_part(char *part, char *const *lines, size_t count, const struct remarks *remarks)
{
    int fd = mkostemp(part, O_CLOEXEC); /* mode 0600 */
    int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;
    int rc = -1;

    if (out)
        rc = write_state(out, lines, count, remarks);
    if (out ? fclose(out) : copy >= 0 && close(copy))
        rc = -1;
    if (!rc)
        rc = flock(fd, LOCK_EX | LOCK_NB);
    if (rc && fd >= 0) {
        unlink(part);
        close(fd);
        return -1;
    }
    return fd;
}

int state_save(struct state *s, char *const *lines, size_t count, const struct remarks *remarks)
{
    size_t size;
    char *part;
    int fd = -1;

    if (!s->path)
        return 0;
    size = strlen(s->path) + sizeof ".XXXXXX";
    part = malloc(size);
    if (part) {
        snprintf(part, size, "%s.XXXXXX", s->path);
        fd = make_part(part, lines, count, remarks);
    }
    if (fd >= 0 && rename(part, s->path) == 0) {
        close(s->fd);
        s->fd = fd;
        s->is_new = 0;
        sync_folder(s->path);
        free(part);
        return 0;
    }
    complain("%s: the state cannot be saved: %s", s->path, strerror(errno));
    if (fd >= 0) {
        unlink(part);
        close(fd);
    }
    free(part);
    return -1;
}

void state_remove(struct state *s)
{
    if (s->path)
        unlink(s->path);
    s->is_new = 0;
}

void state_close(struct state *s)
{
    if (s->path && s->is_new)
        unlink(s->path);
    if (s->path && s->fd >= 0)
        close(s->fd);
    free(s->text);
    *s = (struct state){0};
}
