/*
 * The file of --resume is read at the start, and replaced as a whole whenever the state changes.
 * When a file has ended, a line is appended instead, until these lines have become long. It is
 * locked during the run, and each new file is locked before it replaces the old one. Without the
 * lock, two programs could resume the same jobs in the same directory, and would remove each
 * other's files.
 *
 * It is text. A line that begins with # belongs to this program. Any other line is a job: the text
 * of bcda_job_save(), or "-" for a job that the server has not accepted. "remarks" and "file" lines
 * belong to the job line that follows:
 *
 *   # out FOLDER                    the directory of --out
 *   # asks TEXT                     the export request (request_text())
 *   # replace                       the export was started with --replace
 *   # stage ID                      the staging folder in use
 *   # old TYPE FIRST LAST           data files that this export will replace
 *   # complete STATUS               all files are complete; only the last steps remain
 *   # remarks LINES ISSUES REFUSED  counts over the complete files: invalid lines, issues that are
 *                                   errors, and files that could not be used
 *   # file TYPE FIRST LAST STAGED   complete files: their type and numbers, and whether they are in
 *                                   the staging folder
 *
 * A line that was appended:
 *
 *   + JOB LINES ISSUES REFUSED TYPE FIRST LAST STAGED CHANGE
 *
 * JOB is the number of a job line, from 0. The next seven replace its "remarks", and add a "file";
 * "-" in place of TYPE adds none. CHANGE is a line of bcda_job_save_changes(). A last line without
 * a line feed was not written completely; it is ignored.
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
/* Lines are appended until they exceed this and twice the length of the lines before them. */
#define APPENDED_MIN ((off_t)64 * 1024)

/* Returns 1 if `fd` is still the file at `path`. */
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
        close(fd); /* the file was replaced or removed between open() and flock() */
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

/* ---- reading ---- */

static int add_range(struct ranges *to, const char *text, int has_place)
{
    char type[TYPE_SIZE];
    unsigned first;
    unsigned last;
    int staged = 0;
    int n = sscanf(text, "%64s %u %u %d", type, &first, &last, &staged);

    if (n != 3 + has_place || !name_type_is_fine(type) || first > last)
        return 0; /* the line may be from another version: ignore it */
    return ranges_add(to, type, first, last, staged != 0);
}

/* Returns the rest of a line that begins with this word, or NULL for other lines. */
static const char *text_after(const char *line, const char *word)
{
    size_t n = strlen(word);

    return strncmp(line, word, n) == 0 ? line + n : NULL;
}

static int keep_state_text(char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
    return *to ? 0 : -1;
}

static int state_read_remark(struct state *s, struct kept *next, const char *line)
{
    const char *rest;

    if ((rest = text_after(line, "# out ")))
        return keep_state_text(&s->out, rest);
    if ((rest = text_after(line, "# asks ")))
        return keep_state_text(&s->asks, rest);
    if ((rest = text_after(line, "# old ")))
        return add_range(&s->old, rest, 0);
    if ((rest = text_after(line, "# file ")))
        return next ? add_range(&next->files, rest, 1) : 0;
    if (strcmp(line, "# replace") == 0)
        s->replace = 1;
    else if ((rest = text_after(line, "# complete ")))
        s->complete = atoi(rest);
    else if ((rest = text_after(line, "# stage ")) &&
             strspn(rest, "0123456789abcdef") == strlen(rest))
        snprintf(s->stage, sizeof s->stage, "%.16s", rest);
    else if ((rest = text_after(line, "# remarks ")) && next)
        sscanf(rest, "%" SCNd64 " %" SCNd64 " %" SCNd64, &next->remarks.bad_lines,
               &next->remarks.issues, &next->remarks.refused);
    return 0;
}

static int state_read_line(struct state *s, const char *line)
{
    struct kept *next = s->count < TYPES_MAX ? &s->jobs[s->count] : NULL;

    if (!*line)
        return 0;
    if (*line == '#')
        return state_read_remark(s, next, line);
    if (!next) {
        complain("%s: more than %d jobs", s->path, TYPES_MAX);
        return -1;
    }
    s->count++;
    return strcmp(line, "-") == 0 ? 0 : keep_state_text(&next->saved, line);
}

/* Adds a line of bcda_job_save_changes() to the saved text. If it holds the whole job, it replaces
 * the text. */
static int add_change(struct kept *k, const char *change, size_t len)
{
    int is_whole = len > 8 && memcmp(change, "{\"bcda\":", 8) == 0;
    size_t before = k->saved && !is_whole ? strlen(k->saved) + 1 : 0;
    char *text = malloc(before + len + 1);

    if (!text)
        return -1;
    if (before) {
        memcpy(text, k->saved, before - 1);
        text[before - 1] = '\n';
    }
    memcpy(text + before, change, len);
    text[before + len] = '\0';
    free(k->saved);
    k->saved = text;
    return 0;
}

/* Reads a line that was appended when a file ended. */
static int state_read_appended(struct state *s, const char *line)
{
    struct remarks remarks;
    char type[TYPE_SIZE];
    unsigned first;
    unsigned last;
    unsigned job;
    int staged;
    int at = -1;

    if (sscanf(line, "+ %u %" SCNd64 " %" SCNd64 " %" SCNd64 " %64s %u %u %d %n", &job,
               &remarks.bad_lines, &remarks.issues, &remarks.refused, type, &first, &last, &staged,
               &at) != 8 ||
        at < 0 || job >= s->count) {
        complain("%s: a line is damaged; remove the file to start again", s->path);
        return -1;
    }
    s->jobs[job].remarks = remarks;
    if (strcmp(type, "-") != 0 && name_type_is_fine(type) && first <= last &&
        ranges_add(&s->jobs[job].files, type, first, last, staged != 0))
        return -1;
    return add_change(&s->jobs[job], line + at, strlen(line + at));
}

int state_open(struct state *s, const char *path)
{
    char *text;
    char *line;
    char *rest;
    int rc = 0;

    *s = (struct state){.path = path, .fd = -1, .complete = -1};
    if (!path)
        return 0;
    s->fd = open_locked(path);
    if (s->fd < 0)
        return -1;
    text = rest = read_all(s->fd, path);
    s->is_new = text && !*text;
    while (text && !rc && (line = strsep(&rest, "\n")) && rest)
        rc = *line == '+' ? state_read_appended(s, line) : state_read_line(s, line);
    free(text);
    if (text && !rc)
        return 0;
    state_close(s);
    return -1;
}

int state_is_used(const struct state *s)
{
    size_t i;

    for (i = 0; i < s->count; i++)
        if (s->jobs[i].saved || s->jobs[i].files.count)
            return 1;
    return s->old.count > 0 || s->complete >= 0;
}

int state_is_kept(const struct state *s)
{
    return s->path && !s->is_new && !s->is_over && state_is_used(s);
}

/* ---- writing ---- */

static void write_ranges(FILE *out, const char *word, const struct ranges *r, int with_place)
{
    size_t i;

    for (i = 0; i < r->count; i++) {
        fprintf(out, "# %s %s %u %u", word, r->at[i].type, r->at[i].first, r->at[i].last);
        fprintf(out, with_place ? " %d\n" : "\n", r->at[i].staged);
    }
}

/* Writes the lines of the saved text after the first one. */
static void write_more_changes(FILE *out, const struct kept *k, size_t job)
{
    const char *line = k->saved ? strchr(k->saved, '\n') : NULL;

    for (; line; line = strchr(line + 1, '\n'))
        fprintf(out, "+ %zu %" PRId64 " %" PRId64 " %" PRId64 " - 0 0 0 %.*s\n", job,
                k->remarks.bad_lines, k->remarks.issues, k->remarks.refused,
                (int)strcspn(line + 1, "\n"), line + 1);
}

static int write_state(FILE *out, const struct state *s)
{
    size_t i;

    if (s->out && !strchr(s->out, '\n'))
        fprintf(out, "# out %s\n", s->out);
    if (s->asks)
        fprintf(out, "# asks %s\n", s->asks);
    if (s->replace)
        fputs("# replace\n", out);
    if (*s->stage)
        fprintf(out, "# stage %s\n", s->stage);
    if (s->complete >= 0)
        fprintf(out, "# complete %d\n", s->complete);
    write_ranges(out, "old", &s->old, 0);
    for (i = 0; i < s->count; i++) {
        const struct kept *k = &s->jobs[i];

        fprintf(out, "# remarks %" PRId64 " %" PRId64 " %" PRId64 "\n", k->remarks.bad_lines,
                k->remarks.issues, k->remarks.refused);
        write_ranges(out, "file", &k->files, 1);
        fprintf(out, "%.*s\n", k->saved ? (int)strcspn(k->saved, "\n") : 1,
                k->saved ? k->saved : "-");
    }
    for (i = 0; i < s->count; i++)
        write_more_changes(out, &s->jobs[i], i);
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

/* Creates the file `part`, and writes, syncs and locks it. If a killed run has left a file with
 * this name, it is removed first. Returns the descriptor, or -1. */
static int make_part(const char *part, const struct state *s)
{
    int fd = unlink(part) == 0 || errno == ENOENT
                 ? open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                 : -1;
    int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;
    int rc = -1;

    if (out)
        rc = write_state(out, s);
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

int state_save(struct state *s)
{
    size_t size;
    char *part;
    int fd = -1;

    if (!s->path)
        return 0;
    size = strlen(s->path) + sizeof ".part";
    part = malloc(size);
    if (part) {
        snprintf(part, size, "%s.part", s->path);
        fd = make_part(part, s);
    }
    if (fd >= 0 && rename(part, s->path) == 0) {
        close(s->fd);
        s->fd = fd;
        s->is_new = 0;
        s->whole = s->length = lseek(fd, 0, SEEK_END);
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

/* Adds the appended lines of one change each to `text`. The last line names the file. Returns 0 or
 * -1.
 */
static int make_appended(FILE *text, const struct kept *k, size_t job, const struct ranges *file,
                         const char *changes)
{
    for (; *changes; changes += strcspn(changes, "\n")) {
        size_t len = strcspn(++changes, "\n");

        fprintf(text, "+ %zu %" PRId64 " %" PRId64 " %" PRId64, job, k->remarks.bad_lines,
                k->remarks.issues, k->remarks.refused);
        if (file->count && !changes[len])
            fprintf(text, " %s %u %u %d", file->at[0].type, file->at[0].first, file->at[0].last,
                    file->at[0].staged);
        else
            fprintf(text, " - 0 0 0");
        fprintf(text, " %.*s\n", (int)len, changes);
    }
    return fflush(text) || ferror(text) ? -1 : 0;
}

static int append_to_state(struct state *s, const char *text, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(s->fd, text + done, len - done, s->length + (off_t)done);

        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    s->length += (off_t)len;
    return fdatasync(s->fd);
}

int state_append(struct state *s, struct kept *kept, const struct ranges *file, const char *changes)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out;
    int rc = 0;

    if (!s->path)
        return 0;
    out = open_memstream(&text, &len);
    if (out)
        rc = make_appended(out, kept, (size_t)(kept - s->jobs), file, changes);
    if (!out || fclose(out) || rc || append_to_state(s, text, len)) {
        complain("%s: the state cannot be saved: %s", s->path, strerror(errno));
        rc = -1;
    }
    free(text);
    return rc;
}

int state_wants_whole(const struct state *s)
{
    off_t appended = s->length - s->whole;

    return !s->whole || (appended > APPENDED_MIN && appended > 2 * s->whole);
}

void state_forget_job(struct kept *kept)
{
    free(kept->saved);
    ranges_free(&kept->files);
    *kept = (struct kept){0};
}

void state_remove(struct state *s)
{
    s->is_over = 1;
}

void state_close(struct state *s)
{
    size_t i;

    if (s->path && (s->is_new || s->is_over))
        unlink(s->path);
    if (s->path && s->fd >= 0)
        close(s->fd);
    for (i = 0; i < TYPES_MAX; i++)
        state_forget_job(&s->jobs[i]);
    ranges_free(&s->old);
    free(s->out);
    free(s->asks);
    *s = (struct state){.fd = -1};
}
