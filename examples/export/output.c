/*
 * Where the resources go: files of a directory, or standard output.
 *
 * A file is written under a temporary name and given its final one only when its verdict is
 * complete, by link(), which never replaces what is there. The temporary name stays until the
 * state of --resume is saved. A run that is cut off between the two leaves both names; the next
 * run is told by the library which files it still has to fetch, and takes both away for those.
 */
#include "export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE 262144
#define NAME_SIZE   160

struct number {
    char type[TYPE_SIZE];
    unsigned next;
};

struct output {
    int dir; /* -1: standard output */
    struct number *numbers;
    size_t number_count;
};

struct output_file {
    struct output *output;
    int fd;
    int leave_part; /* the temporary name is gone already, or must stay */
    char type[TYPE_SIZE];
    char part[NAME_SIZE];
    int64_t lines;
    size_t used;
    char buffer[BUFFER_SIZE];
};

struct output *output_open(const char *where)
{
    struct output *o = calloc(1, sizeof *o);

    if (!o) {
        complain("out of memory");
        return NULL;
    }
    o->dir = -1;
    if (strcmp(where, "-") == 0)
        return o;
    if (mkdir(where, 0700) && errno != EEXIST)
        complain("%s: %s", where, strerror(errno));
    else if ((o->dir = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        complain("%s: %s", where, strerror(errno));
    else
        return o;
    free(o);
    return NULL;
}

void output_close(struct output *o)
{
    if (!o)
        return;
    if (o->dir >= 0)
        close(o->dir);
    free(o->numbers);
    free(o);
}

int output_is_stream(const struct output *o)
{
    return o->dir < 0;
}

int output_dir(const struct output *o)
{
    return o->dir;
}

int output_type_is_fine(const char *type)
{
    size_t n = strspn(type, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    return n > 0 && n < TYPE_SIZE && type[n] == '\0';
}

static void part_name(char *to, const char *type, uint64_t tag, size_t index)
{
    snprintf(to, NAME_SIZE, ".%s-%016" PRIx64 "-%06zu.part", type, tag, index);
}

/* Removes the final name of the file that `st` is of. */
static void remove_twin(struct output *o, const char *type, const struct stat *st)
{
    struct stat other;
    struct dirent *entry;
    size_t n = strlen(type);
    int fd = openat(o->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, type, n) == 0 && entry->d_name[n] == '-' &&
            fstatat(o->dir, entry->d_name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
            other.st_ino == st->st_ino && other.st_dev == st->st_dev)
            unlinkat(o->dir, entry->d_name, 0);
    closedir(dir);
}

static void remove_part(struct output *o, const char *type, const char *part, int with_twin)
{
    struct stat st;

    if (fstatat(o->dir, part, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return;
    if (with_twin && st.st_nlink > 1)
        remove_twin(o, type, &st);
    unlinkat(o->dir, part, 0);
}

void output_forget(struct output *o, const char *type, uint64_t tag, size_t index)
{
    char part[NAME_SIZE];

    part_name(part, type, tag, index);
    if (o->dir >= 0)
        remove_part(o, type, part, 0);
}

struct output_file *output_begin(struct output *o, const char *type, uint64_t tag, size_t index,
                                 int again)
{
    struct output_file *f = malloc(sizeof *f);

    if (!f) {
        complain("out of memory");
        return NULL;
    }
    f->output = o;
    f->fd = STDOUT_FILENO;
    f->leave_part = 0;
    f->lines = 0;
    f->used = 0;
    snprintf(f->type, sizeof f->type, "%s", type);
    part_name(f->part, type, tag, index);
    if (o->dir < 0)
        return f;
    remove_part(o, type, f->part, again);
    f->fd = openat(o->dir, f->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->fd >= 0)
        return f;
    complain("%s: %s", f->part, strerror(errno));
    free(f);
    return NULL;
}

static int write_all(struct output_file *f, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(f->fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            complain("%s: %s", f->output->dir < 0 ? "standard output" : f->part, strerror(errno));
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int flush(struct output_file *f)
{
    size_t n = f->used;

    f->used = 0;
    return write_all(f, f->buffer, n);
}

/* Whole lines only leave the buffer, so that files which share standard output do not mix theirs.
 */
int output_line(struct output_file *f, const char *json, size_t len)
{
    if (len + 1 > sizeof f->buffer - f->used && flush(f))
        return -1;
    f->lines++;
    if (len + 1 > sizeof f->buffer)
        return write_all(f, json, len) || write_all(f, "\n", 1) ? -1 : 0;
    memcpy(f->buffer + f->used, json, len);
    f->used += len;
    f->buffer[f->used++] = '\n';
    return 0;
}

int64_t output_lines(const struct output_file *f)
{
    return f->lines;
}

static struct number *number_of(struct output *o, const char *type)
{
    struct number *more;
    size_t i;

    for (i = 0; i < o->number_count; i++)
        if (strcmp(o->numbers[i].type, type) == 0)
            return &o->numbers[i];
    more = realloc(o->numbers, (o->number_count + 1) * sizeof *more);
    if (!more)
        return NULL;
    o->numbers = more;
    more += o->number_count++;
    snprintf(more->type, sizeof more->type, "%s", type);
    more->next = 1;
    return more;
}

/* Some file systems have no hard links: there a rename that replaces nothing. */
static int give_name(struct output_file *f, const char *name)
{
    int dir = f->output->dir;

    if (linkat(dir, f->part, dir, name, 0) == 0)
        return 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return -1;
    if (renameat2(dir, f->part, dir, name, RENAME_NOREPLACE))
        return -1;
    f->leave_part = 1;
    return 0;
}

int output_commit(struct output_file *f)
{
    struct number *number;
    char name[NAME_SIZE];
    int rc;

    if (flush(f))
        return -1;
    if (f->output->dir < 0)
        return 0;
    if (fsync(f->fd)) {
        complain("%s: %s", f->part, strerror(errno));
        return -1;
    }
    number = number_of(f->output, f->type);
    if (!number) {
        complain("out of memory");
        return -1;
    }
    do {
        snprintf(name, sizeof name, "%s-%04u.ndjson", f->type, number->next++);
        rc = give_name(f, name);
    } while (rc && errno == EEXIST);
    if (rc || fsync(f->output->dir)) {
        complain("%s: %s", name, strerror(errno));
        return -1;
    }
    return 0;
}

void output_keep_part(struct output_file *f)
{
    if (f)
        f->leave_part = 1;
}

void output_end(struct output_file *f)
{
    if (!f)
        return;
    if (f->output->dir >= 0) {
        close(f->fd);
        if (!f->leave_part)
            unlinkat(f->output->dir, f->part, 0);
    }
    free(f);
}
