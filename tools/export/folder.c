/*
 * The directory of --out, and the work folder .bcda-export in it, which other users cannot read.
 *
 * The work folder exists while a program uses the directory, and after a run that can be resumed.
 * It holds:
 *
 *   lock                  locked by the one program that uses the directory
 *   N.tmp                 a file that is being written, on a file system without O_TMPFILE
 *   TYPE-TAG-INDEX.part   the mark of a committed file (output.c)
 *   new-ID                a staging folder: files that replace others when all are complete
 *   install-ID            a staging folder with all its files
 *
 * Because of the lock, no other run uses files that a killed run left, so their names show what to
 * do with them. N.tmp is removed. new-ID is removed too, unless it can be resumed: with --resume it
 * contains a file "state" with the path of the --resume file, and new-ID is kept as long as that
 * file names it. A mark whose file has no other name belongs to a file that was never committed,
 * and is removed. A mark that is a second name of a data file is kept for the run that resumes the
 * job.
 *
 * Files are replaced in three steps. Each step can be repeated after a kill:
 *   1. the names to remove are written to new-ID/old, and new-ID is renamed to install-ID. After a
 *      kill before the renaming, the old files stay; after it, the new files will replace them.
 *   2. each name in install-ID/old is removed from the directory, and then the list itself. If the
 *      list does not exist, no name is removed, because new files may already have these names.
 *   3. each file in install-ID moves to the directory, under its name or, if the name is taken, the
 *      next free one. install-ID is removed when it is empty.
 * Every run in the directory begins with steps 2 and 3 for the install-ID that it finds.
 */
#include "export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_NAME ".bcda-export"
#define LOCK_NAME "lock"
#define OLD_NAME  "old"
#define STATE_OF  "state"
#define STATE_TOP 65536 /* how many bytes at the start of a --resume file are read */
#define NEW       "new-"
#define INSTALL   "install-"
#define OLD_MAX   ((off_t)64 * 1024 * 1024)

static int folder_failed(const struct folder *f, const char *what)
{
    complain("%s%s%s: %s", f->path, *what ? "/" : "", what, strerror(errno));
    return -1;
}

static int name_begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static int name_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);

    return n >= strlen(end) && strcmp(text + n - strlen(end), end) == 0;
}

/* Opens a folder to list its names. Returns NULL and sets errno on failure. */
static DIR *read_names(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;

    if (!names && fd >= 0)
        close(fd);
    return names;
}

static int open_folder(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- data files ---- */

unsigned folder_twin(int dir, const char *type, ino_t inode)
{
    DIR *names = read_names(dir);
    struct dirent *entry;
    struct stat st;
    char its_type[TYPE_SIZE];
    unsigned number;
    unsigned found = 0;

    while (names && !found && (entry = readdir(names)))
        if (name_parse(entry->d_name, its_type, &number) == 0 && strcmp(its_type, type) == 0 &&
            fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode)
            found = number;
    if (names)
        closedir(names);
    return found;
}

int folder_holds_data(const struct folder *f)
{
    DIR *names = read_names(f->dir);
    struct dirent *entry;
    char type[TYPE_SIZE];
    unsigned number;
    int found = 0;

    while (names && !found && (entry = readdir(names)))
        found = name_parse(entry->d_name, type, &number) == 0;
    if (names)
        closedir(names);
    return found;
}

int rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    /* This file system has no rename that refuses to replace a file, so check first. The lock keeps
     * other runs from creating the file in between. */
    if (faccessat(to_dir, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(from_dir, from, to_dir, to);
}

/* ---- the lock ---- */

static int is_same(int fd, int parent, const char *name)
{
    struct stat one;
    struct stat other;

    return fstat(fd, &one) == 0 && fstatat(parent, name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
           one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

static int open_work(struct folder *f)
{
    struct stat st;

    if (mkdirat(f->dir, WORK_NAME, 0700) && errno != EEXIST)
        return folder_failed(f, WORK_NAME);
    f->work = open_folder(f->dir, WORK_NAME);
    if (f->work < 0)
        return errno == ENOENT ? 1 : folder_failed(f, WORK_NAME);
    if (fstat(f->work, &st))
        return folder_failed(f, WORK_NAME);
    if (st.st_uid != geteuid()) {
        complain("%s/%s belongs to another user", f->path, WORK_NAME);
        return -1;
    }
    return (st.st_mode & 07777) != 0700 && fchmod(f->work, 0700) ? folder_failed(f, WORK_NAME) : 0;
}

/* Opens and locks the lock file. Returns 1 if another program removed that file at the same time
 * because it has just ended; the caller then retries. */
static int take_lock(struct folder *f)
{
    int rc = open_work(f);

    if (rc)
        return rc;
    f->lock = openat(f->work, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->lock < 0)
        return errno == ENOENT ? 1 : folder_failed(f, WORK_NAME "/" LOCK_NAME);
    /* Any other error is ignored: on a file system without locks, other programs cannot be
     * detected. */
    if (flock(f->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        complain("%s: another bcda-export is at work there", f->path);
        return -1;
    }
    return is_same(f->lock, f->work, LOCK_NAME) && is_same(f->work, f->dir, WORK_NAME) ? 0 : 1;
}

static void close_work(struct folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    if (f->work >= 0)
        close(f->work);
    f->lock = f->work = -1;
}

/* ---- staging ---- */

/* Removes a staging folder and its files. */
static void remove_staged_folder(int parent, const char *name)
{
    int fd = open_folder(parent, name);
    DIR *names = fd >= 0 ? read_names(fd) : NULL;
    struct dirent *entry;

    while (names && (entry = readdir(names)))
        unlinkat(fd, entry->d_name, 0); /* unlinkat() refuses "." and ".." */
    if (names)
        closedir(names);
    if (fd >= 0)
        close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void use_set(struct folder *f, int fd, const char *id)
{
    if (f->set != f->dir)
        close(f->set);
    f->set = fd;
    snprintf(f->stage, sizeof f->stage, "%.16s", id);
}

/* Records the path of the --resume file that can resume this staging folder. */
static int note_state(int stage, const char *state)
{
    char *path = state ? realpath(state, NULL) : NULL;
    int fd = -1;
    int rc = state ? -1 : 0;

    if (path)
        fd = openat(stage, STATE_OF, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        rc = write(fd, path, strlen(path)) == (ssize_t)strlen(path) ? fsync(fd) : -1;
        close(fd);
    }
    free(path);
    return rc;
}

int folder_stage(struct folder *f, const char *state)
{
    char name[NAME_SIZE];
    uint64_t id;
    int fd;

    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return folder_failed(f, "");
    snprintf(name, sizeof name, NEW "%016" PRIx64, id);
    if (mkdirat(f->work, name, 0700) || (fd = open_folder(f->work, name)) < 0)
        return folder_failed(f, name);
    use_set(f, fd, name + strlen(NEW));
    return note_state(fd, state) || fsync(fd) || fsync(f->work) ? folder_failed(f, name) : 0;
}

/* Reads the first bytes of a file, as text. Returns 0, or -1 and errno. */
static int read_top(int dir, const char *name, char *to, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0 && n < size - 1) {
        got = read(fd, to + n, size - 1 - n);
        if (got > 0)
            n += (size_t)got;
    }
    to[n] = '\0';
    if (fd >= 0)
        close(fd);
    return got < 0 ? -1 : 0;
}

/* Returns 1 if the file does not exist, but its folder does. */
static int is_removed(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || access(path, F_OK) == 0 || errno != ENOENT)
        return 0;
    slash[slash == path] = '\0';
    return access(path, F_OK) == 0;
}

/* Returns 1 if a --resume file names this staging folder, or if that cannot be determined. */
static int is_resumable(const struct folder *f, const char *name)
{
    char wanted[NAME_SIZE];
    char where[NAME_SIZE];
    char path[PATH_MAX];
    char *top;
    int rc;

    snprintf(where, sizeof where, "%.100s/" STATE_OF, name);
    if (read_top(f->work, where, path, sizeof path) || *path != '/')
        return 0; /* no --resume file was recorded, so none names the folder */
    top = malloc(STATE_TOP);
    if (!top)
        return 1;
    snprintf(wanted, sizeof wanted, "# stage %.100s\n", name + strlen(NEW));
    rc = read_top(AT_FDCWD, path, top, STATE_TOP) ? !is_removed(path) : !!strstr(top, wanted);
    free(top);
    return rc;
}

int folder_use_stage(struct folder *f, const char *stage)
{
    char name[NAME_SIZE];
    int fd;

    snprintf(name, sizeof name, NEW "%s", stage);
    fd = open_folder(f->work, name);
    if (fd < 0)
        return errno == ENOENT ? 1 : folder_failed(f, name);
    use_set(f, fd, stage);
    return 0;
}

int folder_trim_stage(struct folder *f, const struct ranges *files)
{
    DIR *names = read_names(f->set);
    struct dirent *entry;
    char type[TYPE_SIZE];
    unsigned number;

    if (!names)
        return folder_failed(f, f->stage);
    while ((entry = readdir(names)))
        if (name_parse(entry->d_name, type, &number) == 0 &&
            !ranges_has_staged(files, type, number))
            unlinkat(f->set, entry->d_name, 0);
    closedir(names);
    return fsync(f->set) ? folder_failed(f, f->stage) : 0;
}

/* ---- replacing ---- */

static int list_ranges(FILE *out, const struct ranges *old)
{
    char name[NAME_SIZE];
    unsigned number;
    size_t i;

    for (i = 0; i < old->count; i++)
        for (number = old->at[i].first; number <= old->at[i].last; number++) {
            name_make(name, old->at[i].type, number);
            fprintf(out, "%s\n", name);
        }
    return 0;
}

static int list_all(FILE *out, int dir)
{
    DIR *names = read_names(dir);
    struct dirent *entry;
    char type[TYPE_SIZE];
    unsigned number;

    if (!names)
        return -1;
    while ((entry = readdir(names)))
        if (name_parse(entry->d_name, type, &number) == 0)
            fprintf(out, "%s\n", entry->d_name);
    return closedir(names);
}

static int write_old(const struct folder *f, const struct ranges *old)
{
    int fd = openat(f->set, OLD_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    int rc = -1;

    if (!out) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if ((old ? list_ranges(out, old) : list_all(out, f->dir)) == 0 && fflush(out) == 0 &&
        !ferror(out))
        rc = fsync(fd);
    return fclose(out) ? -1 : rc;
}

/* Does step 2 of replacing files (see the top of this file): removes the old files. */
static int remove_old(const struct folder *f, int set)
{
    int fd = openat(set, OLD_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char name[NAME_SIZE];
    char type[TYPE_SIZE];
    unsigned number;
    int rc = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (!in) {
        close(fd);
        return -1;
    }
    while (!rc && fgets(name, sizeof name, in)) {
        name[strcspn(name, "\n")] = '\0';
        if (name_parse(name, type, &number) == 0 && unlinkat(f->dir, name, 0) && errno != ENOENT)
            rc = -1;
    }
    if (ferror(in))
        rc = -1;
    fclose(in);
    return rc || fsync(f->dir) || unlinkat(set, OLD_NAME, 0) || fsync(set) ? -1 : 0;
}

static int move_file(const struct folder *f, int set, const char *name)
{
    char type[TYPE_SIZE];
    char other[NAME_SIZE];
    unsigned number;

    if (rename_new(set, name, f->dir, name) == 0)
        return 0;
    if (errno != EEXIST || name_parse(name, type, &number))
        return -1;
    for (number = 1;; number++) {
        name_make(other, type, number);
        if (rename_new(set, name, f->dir, other) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
}

/* Does step 3 of replacing files (see the top of this file): moves the new files. */
static int move_files(const struct folder *f, int set)
{
    DIR *names = read_names(set);
    struct dirent *entry;
    char type[TYPE_SIZE];
    unsigned number;
    int rc = 0;

    if (!names)
        return -1;
    while (!rc && (entry = readdir(names)))
        if (name_parse(entry->d_name, type, &number) == 0)
            rc = move_file(f, set, entry->d_name);
    closedir(names);
    return rc || fsync(f->dir) ? -1 : 0;
}

static int finish_install(const struct folder *f, const char *name)
{
    int set = open_folder(f->work, name);
    int rc;

    if (set < 0)
        return folder_failed(f, name);
    rc = remove_old(f, set) || move_files(f, set) ? -1 : 0;
    if (rc)
        complain("%s: the files that replace others there could not be moved: %s", f->path,
                 strerror(errno));
    unlinkat(set, STATE_OF, 0);
    close(set);
    return rc                                      ? -1
           : unlinkat(f->work, name, AT_REMOVEDIR) ? folder_failed(f, name)
                                                   : fsync(f->work);
}

int folder_install(struct folder *f, const struct ranges *old)
{
    char from[NAME_SIZE];
    char to[NAME_SIZE];

    snprintf(from, sizeof from, NEW "%s", f->stage);
    snprintf(to, sizeof to, INSTALL "%s", f->stage);
    if (write_old(f, old) || fsync(f->set) || renameat(f->work, from, f->work, to) ||
        fsync(f->work))
        return folder_failed(f, from);
    use_set(f, f->dir, "");
    return finish_install(f, to);
}

static int finish_installs(const struct folder *f)
{
    DIR *names = read_names(f->work);
    struct dirent *entry;
    int rc = 0;

    if (!names)
        return folder_failed(f, WORK_NAME);
    while (!rc && (entry = readdir(names)))
        if (name_begins_with(entry->d_name, INSTALL))
            rc = finish_install(f, entry->d_name);
    closedir(names);
    return rc;
}

/* ---- open and close ---- */

static void remove_unfinished(const struct folder *f, const char *stage)
{
    DIR *names = read_names(f->work);
    struct dirent *entry;

    while (names && (entry = readdir(names))) {
        const char *name = entry->d_name;

        if (name_ends_with(name, ".tmp"))
            unlinkat(f->work, name, 0);
        else if (name_begins_with(name, NEW) && strcmp(name + strlen(NEW), stage) != 0 &&
                 !is_resumable(f, name))
            remove_staged_folder(f->work, name);
    }
    if (names)
        closedir(names);
}

/* Removes marks of files that have no other name. Temporary files must be removed first, because
 * they may be other names of the same files. */
static void remove_single_marks(const struct folder *f)
{
    DIR *names = read_names(f->work);
    struct dirent *entry;
    struct stat st;

    while (names && (entry = readdir(names)))
        if (name_ends_with(entry->d_name, ".part") &&
            fstatat(f->work, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1)
            unlinkat(f->work, entry->d_name, 0);
    if (names)
        closedir(names);
}

static void remove_leftovers(const struct folder *f, const char *stage)
{
    remove_unfinished(f, stage);
    remove_single_marks(f);
}

int folder_tidy(struct folder *f, const char *stage)
{
    remove_leftovers(f, stage);
    return fsync(f->work) ? folder_failed(f, WORK_NAME) : 0;
}

int folder_open(struct folder *f, const char *path)
{
    int rc;

    *f = (struct folder){.path = path, .dir = -1, .work = -1, .lock = -1, .set = -1};
    if (mkdir(path, 0700) && errno != EEXIST)
        return folder_failed(f, "");
    f->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir < 0)
        return folder_failed(f, "");
    f->set = f->dir;
    while ((rc = take_lock(f)) > 0)
        close_work(f);
    if (!rc)
        rc = finish_installs(f);
    if (rc) {
        close_work(f);
        close(f->dir);
        *f = (struct folder){.dir = -1, .work = -1, .lock = -1, .set = -1};
    }
    return rc;
}

void folder_close(struct folder *f, const char *stage)
{
    char name[NAME_SIZE];

    if (f->dir < 0)
        return;
    snprintf(name, sizeof name, NEW "%s", f->stage);
    if (*f->stage && strcmp(f->stage, stage) != 0)
        remove_staged_folder(f->work, name);
    use_set(f, f->dir, "");
    /* No fsync(): the export has ended, and the next run removes what a crash brings back. */
    remove_leftovers(f, stage);
    unlinkat(f->work, LOCK_NAME, 0);
    close_work(f); /* before the next line: on NFS an open file keeps a name in the folder */
    unlinkat(f->dir, WORK_NAME, AT_REMOVEDIR); /* fails if files are kept in it */
    close(f->dir);
}
