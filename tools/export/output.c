/*
 * Writes the resources and deletions to files in a directory, or the resources to standard output.
 *
 * A file has no name while it is written (O_TMPFILE), or a temporary name in the work folder if the
 * file system does not support that. It gets its final name by link(), which never replaces a file,
 * only when its verdict is complete. With --resume, after a kill at any moment, the state must list
 * exactly the files that exist, and no resource may be there twice. So a file passes these steps:
 *
 *   1. it is written and synced;
 *   2. it gets a second name in the work folder, its mark, made of the job and of the file's index
 *      in the manifest; the work folder is synced;
 *   3. it gets its final name; that folder is synced;
 *   4. the state is saved with this file as complete;
 *   5. the mark is removed.
 *
 * A kill before 2 leaves nothing, or a temporary name that the next run in the folder removes. A
 * kill between 2 and 3 leaves a mark whose file has no other name: the next run removes it, which
 * removes the file. In both cases the state does not list the file, and the resumed job downloads
 * it again. A kill between 3 and 4 leaves the file under two names, and a state that does not list
 * it: the resumed job begins the same file again, finds the mark, and removes both names first
 * (output_undo()). A kill between 4 and 5 leaves two names as well, but the resumed job skips the
 * file, so only the mark is removed (output_forget()). If the state cannot be saved in 4, the mark
 * stays (output_keep_mark()) and the run ends.
 *
 * Without --resume there are no marks: nothing is downloaded again. On a file system without hard
 * links there are no marks either: the file is renamed in step 3, and after a kill between 3 and 4
 * the resumed job downloads that file once more.
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
#define TAG_LEN     (sizeof "-0123456789abcdef-" - 1)

struct number {
    char type[TYPE_SIZE];
    unsigned next;
};

struct output {
    struct folder *folder; /* NULL = standard output */
    int marks;
    int named;          /* files have temporary names, because there is no O_TMPFILE */
    unsigned temporary; /* the number of temporary names that were used */
    struct number *numbers;
    size_t number_count;
};

struct output_file {
    struct output *output;
    int fd;
    char type[TYPE_SIZE];
    char temporary[32];   /* in the work folder; "" = none */
    char mark[NAME_SIZE]; /* the name of the mark, whether it exists yet or not */
    int is_marked;
    int keep_mark;
    int64_t lines;
    size_t used;
    char buffer[BUFFER_SIZE];
};

static int output_failed(const char *what)
{
    complain("%s: %s", what, strerror(errno));
    return -1;
}

/* Gives an open file a name. The file may have no name before. */
static int link_fd(int fd, int dir, const char *name)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW);
}

static int open_unnamed(const struct output *o)
{
    return openat(o->folder->work, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

/* Returns 1 if the work folder supports files without a name, and /proc can be used to give them
 * one. */
static int has_unnamed_files(const struct output *o)
{
    int fd = open_unnamed(o);
    int rc = fd < 0 ? -1 : link_fd(fd, o->folder->work, "0.tmp");

    if (fd >= 0)
        close(fd);
    if (!rc)
        unlinkat(o->folder->work, "0.tmp", 0);
    return !rc;
}

struct output *output_new(struct folder *folder, int marks)
{
    struct output *o = calloc(1, sizeof *o);

    if (!o) {
        complain("out of memory");
        return NULL;
    }
    o->folder = folder;
    o->marks = marks;
    o->named = folder && !has_unnamed_files(o);
    return o;
}

void output_free(struct output *o)
{
    if (!o)
        return;
    free(o->numbers);
    free(o);
}

int output_is_stream(const struct output *o)
{
    return !o->folder;
}

struct folder *output_folder(const struct output *o)
{
    return o->folder;
}

void output_restart_numbers(struct output *o)
{
    o->number_count = 0;
}

/* ---- marks ---- */

static void mark_name(char to[NAME_SIZE], const char *type, uint64_t tag, size_t index)
{
    snprintf(to, NAME_SIZE, "%s-%016" PRIx64 "-%06zu.part", type, tag, index);
}

/* Returns the number of the data file that is the same file as this mark, or 0 if there is none. */
static unsigned find_marked(const struct output *o, const char *type, const char *mark, int *dir)
{
    struct stat st;
    unsigned number;

    if (fstatat(o->folder->work, mark, &st, AT_SYMLINK_NOFOLLOW) || st.st_nlink < 2)
        return 0;
    *dir = o->folder->set;
    number = folder_twin(*dir, type, st.st_ino);
    if (number || o->folder->set == o->folder->dir)
        return number;
    *dir = o->folder->dir; /* the file may have been committed before the staging folder existed */
    return folder_twin(*dir, type, st.st_ino);
}

void output_undo(struct output *o, const char *type, uint64_t tag, size_t index)
{
    char mark[NAME_SIZE];
    char name[NAME_SIZE];
    unsigned number;
    int dir;

    mark_name(mark, type, tag, index);
    number = find_marked(o, type, mark, &dir);
    if (number) {
        name_make(name, type, number);
        unlinkat(dir, name, 0);
        fsync(dir); /* now, so that a power cut cannot bring back the name without the mark */
    }
    unlinkat(o->folder->work, mark, 0);
}

void output_forget(struct output *o, const char *type, uint64_t tag, size_t index)
{
    char mark[NAME_SIZE];

    mark_name(mark, type, tag, index);
    unlinkat(o->folder->work, mark, 0);
}

/* Returns 1 if `name` is a mark of the job with this tag. Sets `type` to the type in the name. */
static int is_mark_of(const char *name, uint64_t tag, char type[TYPE_SIZE])
{
    char middle[TAG_LEN + 1];
    size_t n = strcspn(name, "-");

    snprintf(middle, sizeof middle, "-%016" PRIx64 "-", tag);
    if (n == 0 || n >= TYPE_SIZE || strncmp(name + n, middle, TAG_LEN) != 0)
        return 0;
    memcpy(type, name, n);
    type[n] = '\0';
    return name_type_is_fine(type);
}

/* Calls `each` for every mark (see the top of this file) of the job with this tag. */
static int for_marks(struct output *o, uint64_t tag, struct ranges *files,
                     int (*each)(struct output *, const char *, const char *, struct ranges *))
{
    int fd = openat(o->folder->work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    char type[TYPE_SIZE];
    int rc = 0;

    if (!names) {
        if (fd >= 0)
            close(fd);
        return output_failed(o->folder->path);
    }
    while (!rc && (entry = readdir(names)))
        if (is_mark_of(entry->d_name, tag, type))
            rc = each(o, type, entry->d_name, files);
    closedir(names);
    return rc;
}

static int add_marked(struct output *o, const char *type, const char *mark, struct ranges *files)
{
    int dir;
    unsigned number = find_marked(o, type, mark, &dir);

    if (!number)
        return 0;
    return ranges_add(files, type, number, number, dir != o->folder->dir);
}

int output_marked(struct output *o, uint64_t tag, struct ranges *files)
{
    return for_marks(o, tag, files, add_marked);
}

static int remove_mark(struct output *o, const char *type, const char *mark, struct ranges *files)
{
    (void)type;
    (void)files;
    unlinkat(o->folder->work, mark, 0);
    return 0;
}

void output_forget_all(struct output *o, uint64_t tag)
{
    for_marks(o, tag, NULL, remove_mark);
}

/* ---- writing ---- */

static int output_open_file(struct output_file *f)
{
    struct output *o = f->output;

    if (!o->folder) {
        f->fd = STDOUT_FILENO;
    } else if (!o->named) {
        f->fd = open_unnamed(o);
    } else {
        snprintf(f->temporary, sizeof f->temporary, "%u.tmp", ++o->temporary);
        f->fd = openat(o->folder->work, f->temporary,
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    return f->fd < 0 ? output_failed(o->folder->path) : 0;
}

struct output_file *output_begin(struct output *o, const char *type, uint64_t tag, size_t index)
{
    struct output_file *f = malloc(sizeof *f);

    if (!f) {
        complain("out of memory");
        return NULL;
    }
    f->output = o;
    f->temporary[0] = '\0';
    f->is_marked = f->keep_mark = 0;
    f->lines = 0;
    f->used = 0;
    snprintf(f->type, sizeof f->type, "%s", type);
    mark_name(f->mark, type, tag, index);
    if (output_open_file(f) == 0)
        return f;
    free(f);
    return NULL;
}

static int output_write_all(struct output_file *f, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(f->fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return output_failed(f->output->folder ? f->output->folder->path : "standard output");
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int output_flush(struct output_file *f)
{
    size_t n = f->used;

    f->used = 0;
    return output_write_all(f, f->buffer, n);
}

/* Adds a line to the buffer. Only whole lines are written, because several files may share standard
 * output. */
int output_line(struct output_file *f, const char *json, size_t len)
{
    if (len + 1 > sizeof f->buffer - f->used && output_flush(f))
        return -1;
    f->lines++;
    if (len + 1 > sizeof f->buffer)
        return output_write_all(f, json, len) || output_write_all(f, "\n", 1) ? -1 : 0;
    memcpy(f->buffer + f->used, json, len);
    f->used += len;
    f->buffer[f->used++] = '\n';
    return 0;
}

int64_t output_lines(const struct output_file *f)
{
    return f->lines;
}

int output_sync(struct output_file *f)
{
    if (output_flush(f))
        return -1;
    return f->output->folder && fsync(f->fd) ? output_failed(f->output->folder->path) : 0;
}

/* ---- giving a file its name ---- */

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

/* Gives the file a name in addition to those that it has. */
static int output_add_name(const struct output_file *f, int dir, const char *name)
{
    int work = f->output->folder->work;

    return *f->temporary ? linkat(work, f->temporary, dir, name, 0) : link_fd(f->fd, dir, name);
}

static int has_no_links(void)
{
    return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK;
}

static int set_mark(struct output_file *f)
{
    int work = f->output->folder->work;
    int rc;

    if (!f->output->marks)
        return 0;
    /* a run with another --resume file may have left a mark of the same job */
    unlinkat(work, f->mark, 0);
    rc = output_add_name(f, work, f->mark);
    if (rc)
        return *f->temporary && has_no_links() ? 0 : -1;
    f->is_marked = 1;
    return fsync(work);
}

static int give_name(struct output_file *f, const char *name)
{
    struct folder *folder = f->output->folder;

    if (output_add_name(f, folder->set, name) == 0)
        return 0;
    if (!*f->temporary || !has_no_links() ||
        rename_new(folder->work, f->temporary, folder->set, name))
        return -1;
    f->temporary[0] = '\0';
    return 0;
}

static int output_give_names(struct output_file *f, struct ranges *files)
{
    struct folder *folder = f->output->folder;
    struct number *number = number_of(f->output, f->type);
    char name[NAME_SIZE];
    int rc;

    if (!number) {
        complain("out of memory");
        return -1;
    }
    if (set_mark(f))
        return output_failed(f->mark);
    do {
        name_make(name, f->type, number->next++);
        rc = give_name(f, name);
    } while (rc && errno == EEXIST);
    if (rc || fsync(folder->set))
        return output_failed(name);
    return ranges_add(files, f->type, number->next - 1, number->next - 1,
                      folder->set != folder->dir);
}

/* After a failure the mark stays, because it is not known which names would exist after a power
 * cut. */
int output_commit(struct output_file *f, struct ranges *files)
{
    int rc = f->output->folder ? output_give_names(f, files) : 0;

    f->keep_mark = rc != 0;
    return rc;
}

void output_keep_mark(struct output_file *f)
{
    if (f)
        f->keep_mark = 1;
}

void output_end(struct output_file *f)
{
    if (!f)
        return;
    if (f->output->folder) {
        close(f->fd);
        if (*f->temporary)
            unlinkat(f->output->folder->work, f->temporary, 0);
        if (f->is_marked && !f->keep_mark)
            unlinkat(f->output->folder->work, f->mark, 0);
    }
    free(f);
}
