/* What remains from one run of the sandbox to the next (--keep-state): the files of the state
 * directory, and a file jobs/ID for each job. A job whose files were not complete starts again. A
 * process that is killed leaves each of these files as it was before or after a change. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELDS 16

char *keep_read(const struct sandbox *sb, const char *name)
{
    char *path = xasprintf("%s/%s", sb->state_dir, name);
    struct buf b = {0};

    if (sb->options.keep_state && file_read(path, &b))
        buf_free(&b);
    free(path);
    return b.p;
}

/* ---- writing ---- */

static void write_job_file(struct buf *b, const struct data_file *f)
{
    buf_printf(b, "file\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t", f->name, f->type, f->path,
               f->plain_path ? f->plain_path : "", f->key_hex ? f->key_hex : "", f->is_error,
               f->is_deleted, f->is_twice, f->encrypted, f->gzipped);
    crypt_hex(b, f->key, sizeof f->key);
    buf_str(b, "\n");
}

/* The caller holds sb->lock. */
static void write_kept_job(struct buf *b, const struct job *job)
{
    buf_printf(b, "job\t%d\t%d\t%d\t%d\t%d\t%d\t%u\t%lld\t%lld\t%ld\t%lld\t%ld\t%lld\t%ld\n",
               job->version, job->encrypt, job->all_types, job->warn_system_type, (int)job->state,
               job->completed, job->day, (long long)job->since, (long long)job->created.tv_sec,
               job->created.tv_nsec, (long long)job->transaction.tv_sec, job->transaction.tv_nsec,
               (long long)job->updated.tv_sec, job->updated.tv_nsec);
    buf_printf(b, "request\t%s\t%s\n", job->origin, job->target);
    for (size_t i = 0; i < job->type_count; i++)
        buf_printf(b, "type\t%s\n", job->types[i]);
    for (const struct data_file *f = job->state == JOB_READY ? job->files : NULL; f; f = f->next)
        write_job_file(b, f);
}

void keep_job(struct job *job)
{
    struct sandbox *sb = job->sb;
    char *path, *new_path;
    struct buf b = {0};

    if (!sb->options.keep_state)
        return;
    path = xasprintf("%s/jobs/%llu", sb->state_dir, job->id);
    new_path = xasprintf("%s.new", path);
    pthread_mutex_lock(&sb->keep_lock);
    pthread_mutex_lock(&sb->lock);
    write_kept_job(&b, job);
    pthread_mutex_unlock(&sb->lock);
    if (file_write(new_path, b.p, 0600) == 0)
        rename(new_path, path);
    pthread_mutex_unlock(&sb->keep_lock);
    buf_free(&b);
    free(new_path);
    free(path);
}

/* ---- reading ---- */

/* Splits a line at its tabs. Returns the number of fields. */
static size_t split_fields(char *line, char *field[FIELDS])
{
    size_t n = 0;

    for (; line && n < FIELDS; line = strchr(line, '\t')) {
        if (n)
            *line++ = '\0';
        field[n++] = line;
    }
    return n;
}

static long long numeric(const char *s)
{
    return strtoll(s, NULL, 10);
}

static char *text_or_null(const char *s)
{
    return *s ? xstrdup(s) : NULL;
}

static void read_key(const char *hex, uint8_t key[32])
{
    for (size_t i = 0; i < 32 && hex[2 * i]; i++) {
        const char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        key[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

static struct data_file *read_job_file(char *const *field)
{
    struct data_file *f = xcalloc(1, sizeof *f);

    f->name = xstrdup(field[1]);
    f->type = xstrdup(field[2]);
    f->path = xstrdup(field[3]);
    f->plain_path = text_or_null(field[4]);
    f->key_hex = text_or_null(field[5]);
    f->is_error = *field[6] == '1';
    f->is_deleted = *field[7] == '1';
    f->is_twice = *field[8] == '1';
    f->encrypted = *field[9] == '1';
    f->gzipped = *field[10] == '1';
    read_key(field[11], f->key);
    return f;
}

static void read_job_line(struct job *job, char *const *field)
{
    job->version = (int)numeric(field[1]);
    job->encrypt = *field[2] == '1';
    job->all_types = *field[3] == '1';
    job->warn_system_type = *field[4] == '1';
    job->state = (enum job_state)numeric(field[5]);
    job->completed = *field[6] == '1';
    job->day = (unsigned)numeric(field[7]);
    job->since = numeric(field[8]);
    job->created = (struct timespec){numeric(field[9]), (long)numeric(field[10])};
    job->transaction = (struct timespec){numeric(field[11]), (long)numeric(field[12])};
    job->updated = (struct timespec){numeric(field[13]), (long)numeric(field[14])};
}

static void read_kept_line(struct job *job, char *line, struct data_file ***tail)
{
    char *field[FIELDS];
    size_t n = split_fields(line, field);

    if (n == 15 && strcmp(field[0], "job") == 0) {
        read_job_line(job, field);
    } else if (n == 3 && strcmp(field[0], "request") == 0) {
        job->origin = xstrdup(field[1]);
        job->target = xstrdup(field[2]);
    } else if (n == 2 && strcmp(field[0], "type") == 0 && job->type_count < MAX_TYPES) {
        job->types[job->type_count++] = xstrdup(field[1]);
    } else if (n == 12 && strcmp(field[0], "file") == 0) {
        **tail = read_job_file(field);
        *tail = &(**tail)->next;
    }
}

static struct job *read_job(struct sandbox *sb, const char *name)
{
    struct job *job = xcalloc(1, sizeof *job);
    struct data_file **tail = &job->files;
    char *path = xasprintf("jobs/%s", name), *text = keep_read(sb, path), *rest = NULL;

    job->sb = sb;
    job->id = strtoull(name, NULL, 10);
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        read_kept_line(job, line, &tail);
    free(text);
    free(path);
    if (job->version && job->target)
        return job;
    job_free(job);
    return NULL;
}

static int filter_jobs(const struct dirent *entry)
{
    return strspn(entry->d_name, "0123456789") == strlen(entry->d_name);
}

/* Links the job so that the list begins with the newest one. */
static void link_job(struct sandbox *sb, struct job *job)
{
    struct job **at = &sb->jobs;

    while (*at && (*at)->id > job->id)
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    if (job->id >= sb->next_job)
        sb->next_job = job->id + 1;
}

/* The number of a job that was lost is not used again: its folder remains. */
static void skip_numbers(struct sandbox *sb)
{
    DIR *dir = opendir(sb->payload_dir);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL)
        if (strtoull(entry->d_name, NULL, 10) >= sb->next_job)
            sb->next_job = strtoull(entry->d_name, NULL, 10) + 1;
    if (dir)
        closedir(dir);
}

int keep_load_jobs(struct sandbox *sb)
{
    char *dir = xasprintf("%s/jobs", sb->state_dir);
    struct dirent **list = NULL;
    int n = mkdir(dir, 0700) && errno != EEXIST ? -1 : scandir(dir, &list, filter_jobs, NULL);
    int result = n < 0 ? -1 : 0;

    free(dir);
    skip_numbers(sb);
    for (int i = 0; i < n; i++) {
        struct job *job = read_job(sb, list[i]->d_name);

        if (job)
            link_job(sb, job);
        free(list[i]);
    }
    free(list);
    for (struct job *job = sb->jobs; job && !result; job = job->next)
        if (job->state == JOB_RUNNING)
            result = job_launch(job);
    return result;
}
