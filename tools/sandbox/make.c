/* Generates the files of a job, in a thread of the job's own, after the 202 answer. */
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WARNINGS "warnings-and-info.ndjson"

struct source {
    char *type;
    char *path;
    bool is_error;
    bool is_warnings;
    struct source *next;
};

/* ---- files of the directory given with --data ---- */

static bool path_ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static struct source *source_new(const char *dir, const char *name)
{
    struct source *s = xcalloc(1, sizeof *s);
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    s->path = xasprintf("%s/%s", dir, name);
    s->is_warnings = strcmp(name, WARNINGS) == 0;
    s->is_error = s->is_warnings || strstr(name, "error") != NULL;
    s->type = s->is_error ? xstrdup("OperationOutcome") : xstrndup(name, n);
    return s;
}

static int filter_ndjson(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && path_ends_with(entry->d_name, ".ndjson");
}

int sources_load(struct sandbox *sb, const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, filter_ndjson, alphasort);
    struct source **tail = &sb->sources;

    for (int i = 0; i < n; i++) {
        *tail = source_new(dir, list[i]->d_name);
        tail = &(*tail)->next;
        free(list[i]);
    }
    free(list);
    if (n <= 0)
        sandbox_set_error("%s: no .ndjson files", dir);
    return n > 0 ? 0 : -1;
}

void sources_free(struct sandbox *sb)
{
    while (sb->sources) {
        struct source *s = sb->sources;

        sb->sources = s->next;
        free(s->type);
        free(s->path);
        free(s);
    }
}

bool sources_have_type(struct sandbox *sb, const char *type)
{
    for (const struct source *s = sb->sources; s; s = s->next)
        if (!s->is_error && strcmp(s->type, type) == 0)
            return true;
    return false;
}

/* ---- one file ---- */

/* The description of a file to make; feed() writes the file's lines. */
struct unit {
    struct job *job;
    const char *type;
    const struct source *source; /* NULL: synthetic */
    /* the file has part `part` of `parts` of the synthetic ExplanationOfBenefit lines */
    unsigned part, parts;
    bool is_error, is_warnings, is_deleted;
    bool is_gone;                /* is_deleted, and the file lists the people who were taken away */
    unsigned order;              /* number of the file in the job */
    enum fault_id deleted_fault; /* the fault that asked for the file, if is_deleted */
};

static char *file_name(const struct unit *u, const char *data_name)
{
    struct sandbox *sb = u->job->sb;
    char uuid[37];
    char *name;

    crypt_uuid(uuid);
    if (u->is_warnings)
        return xstrdup(WARNINGS);
    if (u->is_deleted)
        return xasprintf("%s-deleted.ndjson", sb->era->keys_2018 ? ACO_UUID : uuid);
    if (sb->era->keys_2018 || (u->is_error && sb->era->id == ERA_2019_04))
        /* the name had this UUID until 2019-02-27, in error files until 2019-10-16
         * (bcda-api 6.3) */
        strcpy(uuid, ACO_UUID);
    else if (u->is_error && data_name)
        snprintf(uuid, sizeof uuid, "%.36s", data_name);
    if (!u->is_error && fault_take(sb, F_UPPER_NAMES, u->type, NULL))
        for (char *p = uuid; *p; p++)
            *p = (char)toupper((unsigned char)*p);
    name = xasprintf("%s%s.ndjson", uuid, u->is_error ? "-error" : "");
    return name;
}

/* Returns the file's value in KeyMap, damaged if a fault asks for it, or NULL for no entry. */
static char *wrapped_key(const struct unit *u, struct data_file *f)
{
    struct sandbox *sb = u->job->sb;
    bool other_label = fault_take(sb, F_WRONG_LABEL, f->type, NULL);
    bool other_key = fault_take(sb, F_WRONG_KEY, f->type, NULL);
    EVP_PKEY *key = other_key ? pki_other_key() : sb->client_key;
    char *hex = key ? crypt_wrap(key, f->key, other_label ? "another.ndjson" : f->name) : NULL;

    if (other_key)
        EVP_PKEY_free(key);
    if (hex && fault_take(sb, F_KEY_NOT_HEX, f->type, NULL))
        memcpy(hex, "not hex!", 8);
    if (hex && fault_take(sb, F_NO_KEY, f->type, NULL)) {
        free(hex);
        hex = NULL;
    }
    return hex;
}

/* Renames the file if an earlier file of the job has the same name: --data may have several error
 * files, but servers of some years gave all error files one name. */
static void make_unique(const struct job *job, struct data_file *f)
{
    char uuid[37];

    for (const struct data_file *other = job->files; other; other = other->next)
        if (other != f && strcmp(other->name, f->name) == 0) {
            crypt_uuid(uuid);
            free(f->name);
            /* In 2018 the UUID at the start of the name identified the owner of a file. */
            f->name = job->sb->era->keys_2018 ? xasprintf(ACO_UUID "-%.8s-error.ndjson", uuid)
                                              : xasprintf("%s-error.ndjson", uuid);
            return;
        }
}

static struct data_file *file_new(const struct unit *u, const char *data_name)
{
    struct data_file *f = xcalloc(1, sizeof *f);
    struct sandbox *sb = u->job->sb;
    const struct era *era = sb->era;

    f->name = file_name(u, data_name);
    make_unique(u->job, f);
    f->type = xstrdup(u->is_error ? "OperationOutcome" : u->type);
    f->is_error = u->is_error;
    f->is_deleted = u->is_deleted;
    f->is_twice = u->is_deleted && !u->is_gone && u->deleted_fault == F_DELETED_TWICE;
    /* Error files were encrypted until 2019-04-03 (bcda-api 5.2). warnings-and-info.ndjson is
     * stored without compression (bcda-api 6.1). */
    f->encrypted = u->job->encrypt && !u->is_deleted && (!u->is_error || era->keys_2018);
    f->gzipped = era->gzip == GZIP_STORED && !u->is_warnings;
    if (sb->options.mixed && !u->is_error && !u->is_deleted) {
        f->encrypted = u->order % 3 == 0;
        f->gzipped = u->order % 3 == 1;
    }
    if (f->encrypted) {
        crypt_random(f->key, sizeof f->key);
        f->key_hex = wrapped_key(u, f);
    } else if (era->id == ERA_2019_04 && !u->is_error && !u->is_deleted) {
        f->key_hex = xstrdup(NO_ENCRYPTION);
    }
    return f;
}

/* ---- the lines of a file ---- */

static int feed_whole(const struct source *source, struct sink *sink)
{
    int fd = open(source->path, O_RDONLY | O_CLOEXEC);
    char *block = xcalloc(1, 1 << 18);
    ssize_t n = -1;

    while (fd >= 0 && (n = read(fd, block, 1 << 18)) > 0)
        if (sink_write(sink, block, (size_t)n)) {
            n = -1;
            break;
        }
    free(block);
    if (fd >= 0)
        close(fd);
    return n == 0 ? 0 : -1;
}

static int feed_source_lines(const struct source *source, struct lines *lines)
{
    FILE *f = fopen(source->path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int result = f ? 0 : -1;

    while (!result && (n = getline(&line, &cap, f)) > 0)
        result = lines_put(lines, line, (size_t)n - (line[n - 1] == '\n'));
    free(line);
    if (f)
        fclose(f);
    return result;
}

const struct synth *make_synth(struct sandbox *sb, int version)
{
    struct synth **slot = &sb->synth[version - 1];
    struct synth *s;

    pthread_mutex_lock(&sb->synth_lock);
    if (!*slot)
        *slot =
            synth_new(sb->options.seed, version, sb->era->envelope, era_patient_prefix(sb->era));
    s = *slot;
    pthread_mutex_unlock(&sb->synth_lock);
    return s;
}

/* Returns the least size of a file: a number from file_bytes to file_bytes_max that depends on the
 * seed. Small numbers are more frequent. */
static uint64_t least_bytes(const struct sandbox_options *o, unsigned part)
{
    uint64_t x = (o->seed * 1000003u + part) * 0x9e3779b97f4a7c15u >> 54;

    if (o->file_bytes_max <= o->file_bytes)
        return o->file_bytes;
    return o->file_bytes + (o->file_bytes_max - o->file_bytes) / 1024 * (x * x * x >> 20);
}

static unsigned count_people(const struct job *job)
{
    return job->people ? people_count(job->people) : job->sb->options.patients;
}

static bool is_present(const struct job *job, unsigned person)
{
    return !job->people || people_present(job->people, person);
}

/* Returns true if the resource changed after the job's `_since`. *day becomes the day of its last
 * change. */
static bool is_due(const struct job *job, const char *type, unsigned person, unsigned number,
                   unsigned *day)
{
    *day = job->people ? people_changed(job->people, type, person, number) : 0;
    return !job->people || synth_updated(type, *day) > job->since;
}

/* Writes the claims of one person. */
static int feed_claims(const struct unit *u, const struct synth *synth, unsigned p, struct buf *b,
                       struct lines *lines)
{
    int result = 0;
    unsigned day;

    for (unsigned c = 0; c < u->job->sb->options.claims && !result; c++)
        if (is_due(u->job, u->type, p, c, &day)) {
            synth_eob(synth, b, p, c, day);
            result = lines_put(lines, b->p, b->len);
        }
    return result;
}

static int feed_eob(const struct unit *u, struct lines *lines)
{
    const struct sandbox_options *o = &u->job->sb->options;
    const struct synth *synth = make_synth(u->job->sb, u->job->version);
    unsigned n = count_people(u->job), from = n * u->part / u->parts;
    unsigned to = n * (u->part + 1) / u->parts;
    uint64_t least = least_bytes(o, u->part);
    struct buf b = {0};
    int result = 0;

    for (unsigned p = from; p < to && !result; p++)
        if (is_present(u->job, p))
            result = feed_claims(u, synth, p, &b, lines);
    for (unsigned c = o->claims; to > from && !result && sink_bytes(lines->sink) < least; c++)
        for (unsigned p = from; p < to && !result && sink_bytes(lines->sink) < least; p++) {
            synth_eob(synth, &b, p, c, 0);
            result = lines_put(lines, b.p, b.len);
        }
    buf_free(&b);
    return result;
}

static int feed_other(const struct unit *u, struct lines *lines)
{
    const struct synth *synth = make_synth(u->job->sb, u->job->version);
    unsigned n = count_people(u->job), day;
    struct buf b = {0};
    char id[48];
    int result = 0;

    for (unsigned p = 0; p < n && !result; p++)
        for (unsigned i = 0; is_present(u->job, p) && !result && synth_id(synth, u->type, p, i, id);
             i++)
            if (is_due(u->job, u->type, p, i, &day)) {
                synth_other(synth, &b, u->type, p, i, day);
                result = lines_put(lines, b.p, b.len);
            }
    buf_free(&b);
    return result;
}

static int feed_errors(const struct unit *u, struct lines *lines)
{
    struct buf b = {0};
    int result = 0;

    if (u->is_warnings)
        json_fmt(
            &b,
            "{'resourceType':'OperationOutcome','issue':[{'severity':'warning','code':'processing',"
            "'details':"
            "{'text':'Default System-Type behavior includes only claims from NCH and DDPS in this "
            "export.'}}]}");
    for (unsigned i = 0; !u->is_warnings && i < 3 && !result; i++) {
        b.len = 0;
        outcome_error_line(&b, u->job->sb->era, u->type, i + 1);
        result = i < 2 ? lines_put(lines, b.p, b.len) : 0;
    }
    result = result || lines_put(lines, b.p, b.len);
    buf_free(&b);
    return result ? -1 : 0;
}

/* Adds the DELETE requests for all resources of one type that the person had. */
static unsigned add_requests(const struct job *job, const char *type, unsigned person, unsigned n,
                             struct buf *b)
{
    const struct synth *synth = make_synth(job->sb, job->version);
    bool eob = strcmp(type, "ExplanationOfBenefit") == 0;
    char id[48];

    for (unsigned i = 0;
         (!eob || i < job->sb->options.claims) && synth_id(synth, type, person, i, id); i++)
        json_fmt(b, "%r{'request':{'method':'DELETE','url':'%s/%s'}}", n++ ? "," : "", type, id);
    return n;
}

/* Writes one line, a transaction Bundle of DELETE requests (Bulk Data, `deleted`), for each person
 * that was taken away after `_since`. */
static int feed_gone(const struct unit *u, struct lines *lines)
{
    const struct job *job = u->job;
    struct buf b = {0};
    int result = 0;

    for (unsigned p = 0; p < count_people(job) && !result; p++) {
        unsigned n = 0;

        if (!people_gone_after(job->people, p, job->since))
            continue;
        b.len = 0;
        json_fmt(&b, "{'resourceType':'Bundle','type':'transaction','entry':[");
        for (size_t i = 0; i < job->type_count; i++)
            n = add_requests(job, job->types[i], p, n, &b);
        buf_str(&b, "]}");
        result = lines_put(lines, b.p, b.len);
    }
    buf_free(&b);
    return result;
}

/* As feed_gone(), with deletions of resources that never were. */
static int feed_deleted(const struct unit *u, struct lines *lines)
{
    struct buf b = {0};
    int result = 0;

    for (unsigned i = 0; i < 2 && !result; i++) {
        b.len = 0;
        if (i == 1 && u->deleted_fault == F_DELETED_INVALID)
            json_fmt(&b, "{'resourceType':'Patient','id':'gone-%L'}", (unsigned long long)i);
        else
            json_fmt(&b,
                     "{'resourceType':'Bundle','type':'transaction','entry':[{'request':{'method':"
                     "'DELETE','url':'Patient/gone-%L'}},{'request':{'method':'DELETE','url':"
                     "'Coverage/gone-%L'}}]}",
                     (unsigned long long)i, (unsigned long long)i);
        result = lines_put(lines, b.p, b.len);
    }
    buf_free(&b);
    return result;
}

static int feed(const struct unit *u, struct lines *lines)
{
    if (u->is_gone)
        return feed_gone(u, lines);
    if (u->is_deleted)
        return feed_deleted(u, lines);
    if (u->source)
        return lines_faulty(lines) ? feed_source_lines(u->source, lines)
                                   : feed_whole(u->source, lines->sink);
    if (u->is_error)
        return feed_errors(u, lines);
    if (strcmp(u->type, "ExplanationOfBenefit") == 0)
        return feed_eob(u, lines);
    return feed_other(u, lines);
}

/* Sets the paths of the stored file and of its plain copy: one path if the stored file is plain. */
static void choose_paths(const struct unit *u, struct data_file *f, bool faulty)
{
    struct sandbox *sb = u->job->sb;
    bool plain = !f->encrypted && !f->gzipped;

    if (plain && u->source && !faulty) {
        f->path = xstrdup(u->source->path);
        f->plain_path = xstrdup(u->source->path);
        return;
    }
    f->path = xasprintf("%s/%llu/%s", sb->payload_dir, u->job->id, f->name);
    if (plain)
        f->plain_path = xstrdup(f->path);
    else if (u->source && !faulty)
        f->plain_path = xstrdup(u->source->path);
    else if (sb->options.keep_plain)
        f->plain_path = xasprintf("%s/%llu/%s.plain", sb->payload_dir, u->job->id, f->name);
}

static int make_file(const struct unit *u, struct data_file *f)
{
    struct sandbox *sb = u->job->sb;
    struct lines lines;
    const char *copy;
    int result;

    lines_begin(&lines, sb, NULL, f->type, sb->era->envelope && !u->is_error && !u->is_deleted);
    if (u->is_deleted && !u->is_gone && u->deleted_fault == F_DELETED_CUT)
        lines.cut_line = true;
    choose_paths(u, f, lines_faulty(&lines));
    if (u->source && strcmp(f->path, u->source->path) == 0)
        return 0;
    copy = f->plain_path && strcmp(f->plain_path, f->path) != 0 &&
                   !(u->source && strcmp(f->plain_path, u->source->path) == 0)
               ? f->plain_path
               : NULL;
    lines.sink = sink_open(sb, f->path, copy, f->encrypted ? f->key : NULL, f->gzipped);
    result = feed(u, &lines);
    f->is_empty = lines.number == 0;
    if (lines_end(&lines))
        result = -1;
    if (sink_close(lines.sink))
        result = -1;
    return result;
}

/* ---- the whole job ---- */

struct plan {
    struct unit *unit;
    size_t count;
};

static void plan_add(struct plan *plan, struct unit unit)
{
    unit.order = (unsigned)plan->count;
    plan->unit = xrealloc(plan->unit, (plan->count + 1) * sizeof *plan->unit);
    plan->unit[plan->count++] = unit;
}

static bool asked_for(const struct job *job, const char *type)
{
    for (size_t i = 0; i < job->type_count; i++)
        if (strcmp(job->types[i], type) == 0)
            return true;
    return job->all_types;
}

static void plan_sources(struct job *job, struct plan *plan)
{
    bool one = false;

    for (const struct source *s = job->sb->sources; s; s = s->next) {
        if (!s->is_error && !asked_for(job, s->type))
            continue;
        /* In 2018 a job had only one data file, because all data files had one name (bcda-api 6.2,
         * 6.3). */
        if (job->sb->era->keys_2018 && !s->is_error && one)
            continue;
        one = one || !s->is_error;
        plan_add(plan, (struct unit){.job = job,
                                     .type = s->type,
                                     .source = s,
                                     .is_error = s->is_error,
                                     .is_warnings = s->is_warnings});
    }
}

static void plan_synthetic(struct job *job, struct plan *plan)
{
    for (size_t i = 0; i < job->type_count; i++) {
        bool eob = strcmp(job->types[i], "ExplanationOfBenefit") == 0;
        unsigned parts = eob && !job->sb->era->keys_2018 ? job->sb->options.files : 1;

        for (unsigned k = 0; k < parts; k++)
            plan_add(plan,
                     (struct unit){.job = job, .type = job->types[i], .part = k, .parts = parts});
    }
}

/* Plans a file of the people who were taken away, and one for each fault that asks for a file of
 * deletions. */
static void plan_deletions(struct job *job, struct plan *plan)
{
    static const enum fault_id faults[] = {F_DELETED, F_DELETED_CUT, F_DELETED_INVALID,
                                           F_DELETED_TWICE};

    if (job->people && job->since != INT64_MIN)
        plan_add(plan,
                 (struct unit){.job = job, .type = "Bundle", .is_deleted = true, .is_gone = true});
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (fault_take(job->sb, faults[i], NULL, NULL))
            plan_add(plan, (struct unit){.job = job,
                                         .type = "Bundle",
                                         .is_deleted = true,
                                         .deleted_fault = faults[i]});
}

static void plan_errors(struct job *job, struct plan *plan)
{
    const char *type = job->type_count ? job->types[0] : "Patient";
    bool warn = fault_take(job->sb, F_WARNINGS_FILE, NULL, NULL);

    warn = warn ||
           (job->warn_system_type && asked_for(job, "ExplanationOfBenefit") && !job->sb->sources);
    if (warn)
        plan_add(plan,
                 (struct unit){.job = job, .type = type, .is_error = true, .is_warnings = true});
    plan_deletions(job, plan);
    if (fault_take(job->sb, F_ERROR_FILE, NULL, NULL))
        plan_add(plan, (struct unit){.job = job, .type = type, .is_error = true});
}

/* Removes the newest file of the job. Returns where the next one is to be linked. */
static struct data_file **unlist(struct job *job, struct data_file *f)
{
    struct data_file **at = &job->files;

    while (*at != f)
        at = &(*at)->next;
    *at = NULL;
    unlink(f->path);
    data_file_free(f);
    return at;
}

static int run_unit(struct job *job, const struct unit *u, struct data_file ***tail)
{
    struct data_file *f = file_new(u, job->files ? job->files->name : NULL);

    **tail = f;
    *tail = &f->next;
    if (make_file(u, f))
        return -1;
    /* Empty files are not listed since 2021-01-08 (bcda-api 6.5). */
    if (f->is_empty && job->people && (job->sb->era->modern || u->is_gone))
        *tail = unlist(job, f);
    pthread_mutex_lock(&job->sb->lock);
    job->units_done++;
    pthread_mutex_unlock(&job->sb->lock);
    return 0;
}

static void *work(void *cls)
{
    struct job *job = cls;
    struct data_file **tail = &job->files;
    struct plan plan = {0};
    bool stopped;
    char *dir = xasprintf("%s/%llu", job->sb->payload_dir, job->id);
    int result;

    remove_tree(dir); /* what an earlier run of the sandbox has made of the job */
    result = mkdir(dir, 0700);
    free(dir);
    job->people = job->sb->options.changes ? people_new(&job->sb->options, job->day) : NULL;
    if (job->sb->sources)
        plan_sources(job, &plan);
    else
        plan_synthetic(job, &plan);
    plan_errors(job, &plan);
    pthread_mutex_lock(&job->sb->lock);
    job->units = (unsigned)plan.count;
    pthread_mutex_unlock(&job->sb->lock);
    for (size_t i = 0; i < plan.count && !result; i++)
        result = run_unit(job, &plan.unit[i], &tail);
    free(plan.unit);
    free(job->people);
    job->people = NULL;
    pthread_mutex_lock(&job->sb->lock);
    stopped = job->sb->stopping;
    if (job->state == JOB_RUNNING && !(result && stopped))
        job->state = result ? JOB_FAILED : JOB_READY;
    clock_gettime(CLOCK_REALTIME, &job->updated);
    pthread_mutex_unlock(&job->sb->lock);
    keep_job(job);
    return NULL;
}

int job_launch(struct job *job)
{
    /* The lock makes sure that sandbox_stop() sees either no thread, or a thread with its id. */
    pthread_mutex_lock(&job->sb->lock);
    job->worker_started = pthread_create(&job->worker, NULL, work, job) == 0;
    if (!job->worker_started)
        job->state = JOB_FAILED;
    pthread_mutex_unlock(&job->sb->lock);
    return job->worker_started ? 0 : -1;
}

void job_join(struct job *job)
{
    if (job->worker_started)
        pthread_join(job->worker, NULL);
    job->worker_started = false;
}
