/* Status, manifest and cancellation of a job, and the list of jobs (bcda-api 5). */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAILED_TEXT "Service encountered numerous errors. Job failed to complete."

struct job *job_find(struct sandbox *sb, unsigned long long id)
{
    struct job *job;

    pthread_mutex_lock(&sb->lock);
    for (job = sb->jobs; job && job->id != id; job = job->next)
        ;
    pthread_mutex_unlock(&sb->lock);
    return job;
}

/* Returns true if the job is Pending or In Progress as far as a client can know. The caller holds
 * the lock. */
bool job_running(const struct job *job)
{
    return job->state == JOB_RUNNING || (job->state == JOB_READY && !job->completed);
}

void data_file_free(struct data_file *f)
{
    free(f->name);
    free(f->type);
    free(f->path);
    free(f->plain_path);
    free(f->key_hex);
    free(f);
}

void job_free(struct job *job)
{
    while (job->files) {
        struct data_file *f = job->files;

        job->files = f->next;
        data_file_free(f);
    }
    for (size_t i = 0; i < job->type_count; i++)
        free(job->types[i]);
    free(job->target);
    free(job->origin);
    free(job);
}

static bool parse_id(const char *s, unsigned long long *id)
{
    if (!*s || strspn(s, "0123456789") != strlen(s))
        return false;
    errno = 0;
    *id = strtoull(s, NULL, 10);
    return errno == 0;
}

/* Returns the job of this number. Returns NULL if there is none; the request has then been
 * answered, and *result is what the handler returns. */
static struct job *find_or_refuse(struct request *rq, const char *text, enum MHD_Result *result)
{
    enum era_id era = rq->sb->era->id;
    unsigned long long id;
    struct job *job;

    if (!parse_id(text, &id)) {
        if (era == ERA_2018_12)
            *result = reply_outcome(rq, 400, O_INTERNAL, NULL);
        else if (era == ERA_CURRENT)
            *result = reply_outcome(rq, 400, O_REQUEST, "Request Error");
        else
            *result = reply_outcome(rq, 404, O_NOT_FOUND, NULL);
        return NULL;
    }
    job = job_find(rq->sb, id);
    if (!job)
        *result = reply_outcome(rq, 404, era == ERA_2018_12 ? O_DATABASE : O_NOT_FOUND,
                                era == ERA_CURRENT ? "Job not found" : NULL);
    return job;
}

static bool status_faults(struct request *rq, enum MHD_Result *result)
{
    static const char again[] = "Error trying to fetch job. Please try again.";
    struct sandbox *sb = rq->sb;
    long long n;

    if (fault_take(sb, F_STATUS_401_ONCE, NULL, NULL))
        *result = reply_outcome(rq, 401, O_TOKEN, NULL);
    else if (fault_take(sb, F_STATUS_429, NULL, &n))
        *result = reply_later(rq, 429, n, NULL);
    else if (fault_take(sb, F_STATUS_503, NULL, &n))
        *result = reply_later(rq, 503, n, "Service Unavailable");
    else if (fault_take(sb, F_STATUS_500_ONCE, NULL, NULL) ||
             fault_take(sb, F_STATUS_500, NULL, NULL))
        *result = reply_outcome(rq, 500, O_DATABASE, again);
    else if (fault_take(sb, F_STATUS_HTML, NULL, NULL))
        *result = reply_html(rq, 200);
    else if (fault_take(sb, F_MANIFEST_NOT_MANIFEST, NULL, NULL))
        *result = reply_string(rq, 200, "application/json",
                               "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":0}");
    else
        return true;
    return false;
}

static void set_expires(struct request *rq, const struct job *job)
{
    /* Expires was the creation + 24 h until 2019-07-17 and is the last update + 24 h since then. It
     * was absent before 2019-01-28. */
    struct timespec t = rq->sb->era->id <= ERA_2019_04 ? job->created : job->updated;
    char text[64];

    if (rq->sb->era->id == ERA_2018_12)
        return;
    t.tv_sec += 86400;
    time_go(t, text);
    if (fault_take(rq->sb, F_EXPIRES_NOT_DATE, NULL, NULL))
        strcpy(text, "not a date");
    reply_header(rq, "Expires", text);
}

bool job_expired(struct job *job)
{
    long long most;
    unsigned served;

    if (fault_take(job->sb, F_JOB_EXPIRED, NULL, NULL))
        return true;
    if (!fault_take(job->sb, F_JOB_EXPIRES_AFTER, NULL, &most))
        return false;
    pthread_mutex_lock(&job->sb->lock);
    served = job->served;
    pthread_mutex_unlock(&job->sb->lock);
    return served >= (unsigned long long)most;
}

static enum MHD_Result expired(struct request *rq, const struct job *job)
{
    struct buf b = {0};

    if (rq->sb->era->id != ERA_CURRENT) {
        set_expires(rq, job);
        return reply_outcome(rq, 410, O_DELETED, NULL);
    }
    /* A check of the real server answers 404 but does not stop, so that the body of the next
     * handler is appended (bcda-api 5.1). */
    outcome_write(&b, rq->sb->era, rq->api, 404, O_NOT_FOUND, "Job not found");
    outcome_write(&b, rq->sb->era, rq->api, 410, O_DELETED, NULL);
    return reply_buf(rq, 404, rq->sb->era->error_type, &b);
}

static enum MHD_Result failed(struct request *rq)
{
    return reply_outcome(rq, 500, rq->sb->era->modern ? O_INTERNAL : O_NO_ISSUE, FAILED_TEXT);
}

static enum MHD_Result progress(struct request *rq, unsigned polled, unsigned done, unsigned units)
{
    unsigned polls = rq->sb->options.polls;
    unsigned by_units = units ? done * 100 / units : 0;
    unsigned by_polls = polled < polls ? polled * 100 / polls : 100;
    unsigned percent = by_polls < by_units ? by_polls : by_units;
    char *said = fault_take_text(rq->sb, F_PROGRESS, NULL);

    if (!said && polled == 0)
        said = xstrdup("Pending");
    else if (!said && rq->sb->era->progress_percent && units)
        said = xasprintf("In Progress (%u%%)", percent);
    else if (!said)
        said = xstrdup("In Progress");
    reply_header(rq, "X-Progress", said);
    free(said);
    return reply_empty(rq, 202);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(struct data_file *const *)a)->name, (*(struct data_file *const *)b)->name);
}

/* Writes KeyMap with sorted keys, as Go writes a map. */
static void write_key_map(struct buf *b, const struct job *job)
{
    const struct data_file **list = NULL;
    size_t n = 0;

    for (const struct data_file *f = job->files; f; f = f->next)
        if (f->key_hex) {
            list = xrealloc(list, (n + 1) * sizeof *list);
            list[n++] = f;
        }
    if (n)
        qsort(list, n, sizeof *list, compare_names);
    buf_str(b, ",\"KeyMap\":{");
    for (size_t i = 0; i < n; i++) {
        json_fmt(b, "%r'%s", i ? "," : "", list[i]->name);
        /* Names are padded to 127 characters: the real database column has a fixed width
         * (bcda-api 5.2). */
        if (job->sb->era->keys_2018 && strlen(list[i]->name) < 127)
            buf_fill(b, ' ', 127 - strlen(list[i]->name));
        json_fmt(b, "':'%s'", list[i]->key_hex);
    }
    buf_str(b, "}");
    free(list);
}

static void write_keys_2018(struct buf *b, const struct job *job)
{
    unsigned n = 0;

    buf_str(b, ",\"keys\":");
    for (const struct data_file *f = job->files; f; f = f->next)
        if (f->key_hex)
            json_fmt(b, "%r'%s|%s'", n++ ? "," : "[", f->key_hex, f->name);
    buf_str(b, n ? "]" : "null");
}

enum list { OUTPUT, ERRORS, DELETED };

static enum list list_of(const struct data_file *f)
{
    return f->is_deleted ? DELETED : f->is_error ? ERRORS : OUTPUT;
}

static void write_manifest_item(struct buf *b, const struct job *job, const char *origin,
                                const struct data_file *f, bool first)
{
    json_fmt(b, "%r{'type':'%s','url':'%s/data/%L/%s'", first ? "" : ",", f->type, origin, job->id,
             f->name);
    if ((job->sb->era->key_map || job->sb->options.mixed) && !job->sb->era->keys_2018 &&
        list_of(f) == OUTPUT)
        json_fmt(b, ",'encryptedKey':'%s'", f->key_hex ? f->key_hex : "");
    buf_str(b, "}");
}

static unsigned write_items(struct buf *b, const struct job *job, const char *origin,
                            enum list list)
{
    unsigned n = 0;

    for (const struct data_file *f = job->files; f; f = f->next) {
        if (list_of(f) != list)
            continue;
        write_manifest_item(b, job, origin, f, n++ == 0);
        if (f->is_twice)
            write_manifest_item(b, job, origin, f, n++ == 0);
    }
    return n;
}

/* Writes the members of a manifest that other Bulk Data servers may send but BCDA does not. */
static void write_extra(struct buf *b, struct job *job, const char *origin)
{
    size_t before = b->len;

    buf_str(b, ",\"deleted\":[");
    if (write_items(b, job, origin, DELETED))
        buf_str(b, "]");
    else
        b->len = before;
    if (fault_take(job->sb, F_MANIFEST_NEXT_PAGE, NULL, NULL))
        json_fmt(b, ",'link':[{'relation':'next','url':'%s/api/v%d/jobs/%L?page=2'}]", origin,
                 job->version, job->id);
}

void manifest_write(struct buf *b, struct job *job, const char *origin, bool null_output)
{
    const struct era *era = job->sb->era;
    char when[48];

    time_rfc3339(job->transaction, when);
    json_fmt(b, "{'transactionTime':'%s','request':'%s%s','requiresAccessToken':%b,'output':", when,
             job->origin, job->target, job->sb->auth != AUTH_NONE && !job->sb->files_origin);
    if (null_output) {
        json_fmt(b, "%r,'error':[]", era->id <= ERA_2019_04 ? "null" : "[]");
    } else {
        buf_str(b, "[");
        write_items(b, job, origin, OUTPUT);
        buf_str(b, "],\"error\":[");
        write_items(b, job, origin, ERRORS);
        buf_str(b, "]");
        write_extra(b, job, origin);
    }
    if (era->key_map && null_output)
        buf_str(b, ",\"KeyMap\":{}");
    else if (era->key_map)
        write_key_map(b, job);
    if (era->keys_2018)
        write_keys_2018(b, job);
    else
        json_fmt(b, ",'JobID':%L", job->id);
    buf_str(b, "}");
}

char *other_origin(const char *origin)
{
    const char *host = strstr(origin, "://") + 3;
    const char *other = strncmp(host, "localhost", 9) == 0 ? "127.0.0.1" : "localhost";

    return xasprintf("%.*s%s%s", (int)(host - origin), origin, other, host + strcspn(host, ":"));
}

static enum MHD_Result complete(struct request *rq, struct job *job, bool null_output)
{
    struct buf b = {0};
    char *origin = rq->sb->files_origin ? xstrdup(rq->sb->files_origin) : request_origin(rq);

    if (fault_take(rq->sb, F_OUTPUT_OTHER_ORIGIN, NULL, NULL)) {
        char *other = other_origin(origin);

        free(origin);
        origin = other;
    }
    manifest_write(&b, job, origin, null_output);
    free(origin);
    if (fault_take(rq->sb, F_MANIFEST_NOT_JSON, NULL, NULL))
        b.len /= 2;
    if (fault_take(rq->sb, F_TWO_DOCUMENTS, "status", NULL))
        buf_twice(&b);
    set_expires(rq, job);
    return reply_buf(rq, 200, "application/json", &b);
}

struct view {
    enum job_state state;
    bool waiting;
    unsigned polled, done, units;
};

/* Counts one status request and returns the state of the job that the answer reports. */
static struct view look(struct job *job)
{
    struct view v;
    bool first;

    pthread_mutex_lock(&job->sb->lock);
    v.state = job->state;
    v.polled = job->polled++;
    v.done = job->units_done;
    v.units = job->units;
    v.waiting =
        v.state == JOB_RUNNING || (v.state == JOB_READY && v.polled < job->sb->options.polls);
    first = v.state == JOB_READY && !v.waiting && !job->completed;
    job->completed = job->completed || first;
    pthread_mutex_unlock(&job->sb->lock);
    if (first)
        keep_job(job);
    return v;
}

enum MHD_Result job_status(struct request *rq, const char *id)
{
    struct sandbox *sb = rq->sb;
    enum MHD_Result result = MHD_NO;
    struct job *job;
    struct view v;

    sb->counts[C_STATUS]++;
    if (!token_check(rq, true, &result))
        return result;
    job = find_or_refuse(rq, id, &result);
    if (!job || !status_faults(rq, &result))
        return result;
    if (fault_take(sb, F_MANIFEST_NULL_OUTPUT_ONCE, NULL, NULL))
        /* safe without sb->lock: complete() then reads only what never changes in a job */
        return complete(rq, job, true);
    if (job_expired(job))
        return expired(rq, job);
    v = look(job);
    if (v.state == JOB_FAILED || fault_take(sb, F_JOB_FAILED, NULL, NULL))
        return failed(rq);
    if (v.state == JOB_CANCELLED || fault_take(sb, F_JOB_CANCELLED, NULL, NULL))
        return reply_outcome(rq, 404, O_NOT_FOUND, "Job has been cancelled.");
    return v.waiting ? progress(rq, v.polled, v.done, v.units) : complete(rq, job, false);
}

enum MHD_Result job_delete(struct request *rq, const char *id)
{
    enum MHD_Result result = MHD_NO;
    struct job *job;
    bool running;

    rq->sb->counts[C_DELETE]++;
    if (!token_check(rq, true, &result))
        return result;
    job = find_or_refuse(rq, id, &result);
    if (!job)
        return result;
    if (job_expired(job))
        return expired(rq, job);
    pthread_mutex_lock(&rq->sb->lock);
    running = job_running(job);
    if (running) {
        job->state = JOB_CANCELLED;
        clock_gettime(CLOCK_REALTIME, &job->updated);
    }
    pthread_mutex_unlock(&rq->sb->lock);
    if (running) {
        keep_job(job);
        return reply_empty(rq, 202);
    }
    return reply_outcome(rq, 410, O_DELETED,
                         "job was not cancelled because it is not Pending or In Progress");
}

/* ---- GET /jobs ---- */

static const char *state_name(const struct job *job)
{
    if (job->state == JOB_FAILED)
        return "Failed";
    if (job->state == JOB_CANCELLED)
        return "Cancelled";
    if (!job_running(job))
        return "Completed";
    return job->polled ? "In Progress" : "Pending";
}

static const char *task_status(const struct era *era, const char *state)
{
    if (strcmp(state, "Pending") == 0)
        return era->id == ERA_CURRENT ? "accepted" : "in-progress"; /* since 2022-06-22 */
    if (strcmp(state, "In Progress") == 0)
        return "in-progress";
    if (strcmp(state, "Completed") == 0)
        return "completed";
    return strcmp(state, "Failed") == 0 ? "failed" : "cancelled";
}

static void second_text(struct timespec t, char out[48])
{
    t.tv_nsec = 0;
    time_rfc3339(t, out);
}

static void write_task(struct buf *b, const struct job *job, const char *origin, const char *status)
{
    char start[48], end[48];

    second_text(job->created, start);
    second_text(job->updated, end);
    if (job->sb->era->id == ERA_CURRENT)
        json_fmt(b,
                 "{'resource':{'resourceType':'Task','identifier':[{'use':'official','system':'%s/"
                 "api/v%d/jobs',"
                 "'value':'%L'}],'status':'%s','intent':'order','input':[{'type':{'text':'BULK "
                 "FHIR Export'},"
                 "'valueString':'GET %s%s'}],'executionPeriod':{'start':'%s','end':'%s'}}}",
                 origin, job->version, job->id, status, job->origin, job->target, start, end);
    else
        json_fmt(b,
                 "{'resource':{'executionPeriod':{'end':'%s','start':'%s'},'identifier':[{'system':"
                 "'%s/api/v%d/jobs',"
                 "'use':'official','value':'%L'}],'input':[{'type':{'text':'BULK FHIR "
                 "Export'},'valueString':"
                 "'GET %s%s'}],'intent':'order','resourceType':'Task','status':'%s'}}",
                 end, start, origin, job->version, job->id, job->origin, job->target, status);
}

static bool wanted(const char *filter, const char *state)
{
    size_t n = strlen(state);

    for (const char *s = filter; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
        if (strncmp(s, state, n) == 0 && (s[n] == ',' || s[n] == '\0'))
            return true;
    return !filter;
}

static bool filter_good(const char *filter)
{
    static const char *const names[] = {"Pending",   "In Progress",   "Completed",
                                        "Archived",  "Expired",       "Failed",
                                        "Cancelled", "FailedExpired", "CancelledExpired"};
    unsigned seen[9] = {0};

    for (const char *s = filter; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL) {
        size_t n = strcspn(s, ","), i;

        for (i = 0; i < 9 && (strlen(names[i]) != n || memcmp(names[i], s, n) != 0); i++)
            ;
        if (i == 9 || seen[i]++)
            return false;
    }
    return true;
}

static unsigned write_tasks(struct buf *b, struct request *rq, const char *filter)
{
    char *origin = request_origin(rq);
    unsigned n = 0;

    pthread_mutex_lock(&rq->sb->lock);
    for (const struct job *job = rq->sb->jobs; job; job = job->next) {
        const char *state = state_name(job);

        if (job->version != rq->api || !wanted(filter, state))
            continue;
        buf_str(b, n++ ? "," : "");
        write_task(b, job, origin, task_status(rq->sb->era, state));
    }
    pthread_mutex_unlock(&rq->sb->lock);
    free(origin);
    return n;
}

enum MHD_Result jobs_list(struct request *rq)
{
    const struct era *era = rq->sb->era;
    struct buf b = {0}, tasks = {0};
    enum MHD_Result result = MHD_NO;
    char *filter;
    unsigned n;

    rq->sb->counts[C_JOBS]++;
    if (!token_check(rq, true, &result) || !headers_check(rq, &result))
        return result;
    filter = request_parameter(rq, "_status", NULL);
    if (!filter_good(filter)) {
        free(filter);
        return reply_outcome(rq, 400, O_REQUEST, "Invalid job status");
    }
    n = write_tasks(&tasks, rq, filter);
    free(filter);
    /* Without a job the real server writes an outcome, and then the Bundle too, because its code
     * lacks a return (bcda-api 5.4). */
    if (n == 0)
        outcome_write(&b, era, rq->api, 404, O_NOT_FOUND, "No jobs found");
    if (era->id == ERA_CURRENT)
        json_fmt(&b, "{'resourceType':'Bundle','type':'searchset','total':%u,'entry':[%r]}", n,
                 n ? tasks.p : "");
    else
        json_fmt(&b, "{'entry':[%r],'resourceType':'Bundle','total':%u,'type':'searchset'}",
                 n ? tasks.p : "", n);
    buf_free(&tasks);
    return reply_buf(rq, n ? 200 : 404, n ? "application/json" : era->error_type, &b);
}
