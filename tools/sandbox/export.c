/* GET .../$export: checks the request in the same order as the server of that time did, then starts
 * a new job (bcda-api 4). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Returns true if an item of a comma-separated list is the word, in any case. Parameters of an item
 * (after ";") are ignored. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (*list) {
        size_t item = strcspn(list, ",");
        size_t from = strspn(list, " \t");
        size_t len = strcspn(list + from, ",; \t");

        if (len == n && strncasecmp(list + from, word, n) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

static bool header_is(struct request *rq, const char *value, const char *word)
{
    /* Lists, parameters and any case are accepted only since 2026-08-18 (bcda-api 4.3). */
    return rq->sb->era->id == ERA_CURRENT ? list_has(value, word) : strcmp(value, word) == 0;
}

bool headers_check(struct request *rq, enum MHD_Result *result)
{
    const char *accept = request_header(rq, "Accept"), *prefer = request_header(rq, "Prefer");
    const char *wrong = NULL;

    if (!accept || !*accept)
        wrong = "Accept header is required";
    else if (!header_is(rq, accept, "application/fhir+json"))
        wrong = "application/fhir+json is the only supported response format";
    else if (!prefer || !*prefer)
        wrong = "Prefer header is required";
    else if (!header_is(rq, prefer, "respond-async"))
        wrong = "Only asynchronous responses are supported";
    if (wrong)
        *result = reply_outcome(rq, 400, O_FORMAT, wrong);
    return !wrong;
}

static void job_add_type(struct job *job, const char *type, size_t n)
{
    if (job->type_count < MAX_TYPES)
        job->types[job->type_count++] = xstrndup(type, n);
}

static bool job_has_type(const struct job *job, const char *type, size_t n)
{
    for (size_t i = 0; i < job->type_count; i++)
        if (strlen(job->types[i]) == n && memcmp(job->types[i], type, n) == 0)
            return true;
    return false;
}

static bool type_supported(struct request *rq, int version, const char *type)
{
    const char *const *all = era_types(rq->sb->era, version);

    for (size_t i = 0; all[i]; i++)
        if (strcmp(all[i], type) == 0)
            return true;
    return sources_have_type(rq->sb, type);
}

/* Answers 400 and frees the message, which only servers of some years sent to the client
 * (bcda-api 4.3). */
static bool refuse(struct request *rq, enum MHD_Result *result, char *message)
{
    *result = reply_outcome(rq, 400, O_REQUEST, message);
    free(message);
    return false;
}

static bool parse_types(struct request *rq, struct job *job, const char *list,
                        enum MHD_Result *result)
{
    bool current = rq->sb->era->id == ERA_CURRENT;
    /* error texts did not name the type until early 2021 */
    bool bare = rq->sb->era->id == ERA_2021 && !rq->sb->era->manages_jobs;

    do {
        size_t n = strcspn(list, ",");
        char *type = xstrndup(list, n);
        char *wrong = NULL;

        if (job_has_type(job, type, n))
            wrong = bare ? xstrdup("Repeated resource type")
                         : xasprintf("Repeated resource type %s", type);
        else if (!type_supported(rq, job->version, type))
            wrong = bare ? xstrdup("Invalid resource type")
                    : current
                        ? xasprintf("invalid resource type %s. Supported types [Patient Coverage "
                                    "ExplanationOfBenefit Claim ClaimResponse]",
                                    type)
                        : xasprintf("Invalid resource type %s. Supported types map[Coverage:{} "
                                    "ExplanationOfBenefit:{} Patient:{}]",
                                    type);
        job_add_type(job, type, n);
        free(type);
        if (wrong)
            return refuse(rq, result, wrong);
        list += n;
    } while (*list++ == ',');
    return true;
}

static bool check_since(struct request *rq, struct job *job, enum MHD_Result *result)
{
    char *since = request_parameter(rq, "_since", NULL);
    const char *wrong = NULL;
    struct timespec t;

    if (!since)
        return true;
    if (!time_parse_rfc3339(since, &t))
        wrong = "Invalid date format supplied in _since parameter.  Date must be in FHIR Instant "
                "format.";
    else if (t.tv_sec > time(NULL))
        wrong = "Invalid date format supplied in _since parameter. Date must be a date that has "
                "already passed";
    else
        job->since = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    free(since);
    return wrong ? refuse(rq, result, xstrdup(wrong)) : true;
}

static bool check_format(struct request *rq, enum MHD_Result *result)
{
    char *format = request_parameter(rq, "_outputFormat", NULL);
    bool good = !format || strcmp(format, "ndjson") == 0 ||
                strcmp(format, "application/fhir+ndjson") == 0 ||
                strcmp(format, "application/ndjson") == 0;

    free(format);
    if (good)
        return true;
    return refuse(rq, result,
                  xstrdup("_outputFormat parameter must be one of [ndjson application/fhir+ndjson "
                          "application/ndjson]"));
}

/* Checks the names of the parameters. A name begins with "?" if the URL has a second "?". */
static bool check_names(struct request *rq, enum MHD_Result *result)
{
    const char *s = rq->query ? rq->query : "";
    unsigned elements;

    free(request_parameter(rq, "_elements", &elements));
    if (elements)
        return refuse(
            rq, result,
            xstrdup("Invalid parameter: this server does not support the _elements parameter."));
    for (; s; s = strchr(s, '&') ? strchr(s, '&') + 1 : NULL)
        if (*s == '?')
            return refuse(rq, result,
                          xstrdup("Invalid parameter: query parameters cannot start with ?"));
    return true;
}

static bool known_filter(const char *name, size_t n)
{
    return (n == 12 && strncmp(name, "service-date", n) == 0) ||
           (n == 4 && strncmp(name, "_tag", n) == 0) ||
           (n == 7 && strncmp(name, "outcome", n) == 0);
}

/* Checks _typeFilter, which only v3 has (bcda-api 4.4): the names in it are checked, the values are
 * not. */
static bool check_type_filter(struct request *rq, struct job *job, enum MHD_Result *result)
{
    static const char head[] = "ExplanationOfBenefit?";
    unsigned count;
    char *filter = request_parameter(rq, "_typeFilter", &count);
    char *wrong = NULL;
    const char *s;

    job->warn_system_type = job->version == 3 && (!filter || !strstr(filter, "System-Type"));
    if (job->version != 3 || !filter) {
        free(filter);
        return true;
    }
    if (count > 1)
        wrong = xstrdup("failed to process request given more that one _typeFilter parameter");
    else if (strncmp(filter, head, sizeof head - 1) != 0)
        wrong = xasprintf("invalid _typeFilter parameter %s", filter);
    for (s = wrong ? NULL : filter + sizeof head - 1; s && !wrong;
         s = strchr(s, '&') ? strchr(s, '&') + 1 : NULL)
        if (!known_filter(s, strcspn(s, "=")))
            wrong =
                xasprintf("invalid _typeFilter subquery parameter %.*s", (int)strcspn(s, "=&"), s);
    free(filter);
    return wrong ? refuse(rq, result, wrong) : true;
}

static bool type_parameter(const struct sandbox *sb)
{
    return sb->era->type_parameter || sb->options.all_levels;
}

static bool parameters_check(struct request *rq, struct job *job, enum MHD_Result *result)
{
    const struct era *era = rq->sb->era;
    char *list = type_parameter(rq->sb) ? request_parameter(rq, "_type", NULL) : NULL;
    bool good = !list || parse_types(rq, job, list, result);

    job->all_types = !list && type_parameter(rq->sb);
    free(list);
    if (!good || !era->modern)
        return good;
    return check_since(rq, job, result) && check_names(rq, result) && check_format(rq, result) &&
           check_type_filter(rq, job, result);
}

static bool group_check(struct request *rq, const char *group, enum MHD_Result *result)
{
    if (!group || strcmp(group, "all") == 0 ||
        (rq->sb->era->modern && strcmp(group, "runout") == 0))
        return true;
    if (rq->sb->options.all_levels) {
        *result = reply_outcome(rq, 404, O_NOT_FOUND, "Group not found");
        return false;
    }
    *result = reply_outcome(rq, 400, O_REQUEST, "Invalid group ID");
    return false;
}

/* Returns true if the endpoint exports one type. Where `_type` exists, "Patient" and "Group" are
 * the levels of an export of all types. */
static bool is_of_one_type(struct sandbox *sb, const char *level)
{
    return !type_parameter(sb) ||
           (*level && strcmp(level, "Patient") != 0 && strcmp(level, "Group") != 0);
}

static void fill_types(struct sandbox *sb, struct job *job, const char *level)
{
    const char *const *all = era_types(sb->era, job->version);

    if (!job->type_count && is_of_one_type(sb, level)) {
        job->all_types = false;
        job_add_type(job, level, strlen(level));
    }
    if (job->all_types)
        for (size_t i = 0; all[i]; i++)
            job_add_type(job, all[i], strlen(all[i]));
}

static bool overlaps(const struct job *job, const struct job *old)
{
    for (size_t i = 0; i < job->type_count; i++)
        if (job_has_type(old, job->types[i], strlen(job->types[i])))
            return true;
    return false;
}

static bool is_duplicate(const struct era *era, const struct job *job, const struct job *old)
{
    if (!job_running(old) || old->version != job->version)
        return false;
    if (era->duplicate == DUPLICATE_OVERLAP)
        return overlaps(job, old);
    /* At commit 35f8adcb the BCDA server compares a comma list of an existing job as one string
     * (bcda-api 4.6). */
    return strcmp(job->target, old->target) == 0 || job->all_types || old->all_types ||
           (old->type_count == 1 && overlaps(job, old));
}

static bool type_is_running(const struct sandbox *sb, const char *type)
{
    for (const struct job *old = sb->jobs; old; old = old->next)
        if (job_running(old) && job_has_type(old, type, strlen(type)))
            return true;
    return false;
}

/* From 2019-12 to 2021-04, types that are already being exported are silently removed from the
 * request. Returns true if no type remains; only then is the answer 429 (bcda-api 4.6). */
static bool leave_out_running(struct sandbox *sb, struct job *job)
{
    size_t kept = 0;

    for (size_t i = 0; i < job->type_count; i++) {
        if (type_is_running(sb, job->types[i]))
            free(job->types[i]);
        else
            job->types[kept++] = job->types[i];
    }
    job->type_count = kept;
    return kept == 0;
}

/* Returns true if the job must be refused with 429. The caller holds the lock. */
static bool must_wait(struct sandbox *sb, struct job *job, const char *group)
{
    if (sb->options.allow_duplicates || sb->era->duplicate == DUPLICATE_ALLOWED)
        return false;
    if (sb->era->duplicate == DUPLICATE_ALL_TYPES)
        return !group && leave_out_running(sb, job); /* a bug in the real server exempted groups */
    for (const struct job *old = sb->jobs; old; old = old->next)
        if (is_duplicate(sb->era, job, old))
            return true;
    return false;
}

static bool wants_encryption(struct request *rq)
{
    char *value = request_parameter(rq, "encrypt", NULL);
    bool encrypt = false;

    if (rq->sb->era->encrypt == ENCRYPT_OPT_IN)
        encrypt = value && strcasecmp(value, "true") == 0;
    else if (rq->sb->era->encrypt == ENCRYPT_OPT_OUT)
        encrypt = !value || strcasecmp(value, "false") != 0;
    free(value);
    return encrypt;
}

static struct job *job_new(struct request *rq, int version)
{
    struct job *job = xcalloc(1, sizeof *job);

    job->sb = rq->sb;
    job->version = version;
    job->encrypt = wants_encryption(rq);
    job->target = xstrdup(rq->target);
    job->origin = request_origin(rq);
    job->since = INT64_MIN;
    clock_gettime(CLOCK_REALTIME, &job->created);
    job->updated = job->transaction = job->created;
    if (rq->sb->options.changes) {
        pthread_mutex_lock(&rq->sb->lock);
        job->day = rq->sb->day;
        pthread_mutex_unlock(&rq->sb->lock);
        job->transaction = (struct timespec){people_export_time(job->day) / 1000, 0};
    }
    return job;
}

static bool start_faults(struct request *rq, enum MHD_Result *result)
{
    static const char no_attribution[] =
        "unable to perform export operations for this Group. No up-to-date attribution information "
        "is available for ACOID 'A0000'. Usually this is due to awaiting new attribution "
        "information at the beginning of a Performance Year";
    struct sandbox *sb = rq->sb;
    long long n;

    if (fault_take(sb, F_KICKOFF_401_ONCE, NULL, NULL)) {
        *result = reply_outcome(rq, 401, O_TOKEN, NULL);
    } else if (fault_take(sb, F_KICKOFF_429, NULL, &n)) {
        *result = reply_later(rq, 429, n, NULL);
    } else if (fault_take(sb, F_KICKOFF_500_ONCE, NULL, NULL)) {
        *result = reply_outcome(rq, 500, O_INTERNAL, "Internal Error");
    } else if (fault_take(sb, F_KICKOFF_404, NULL, NULL)) {
        *result = reply_outcome(rq, 404, O_NOT_FOUND, no_attribution);
    } else if (fault_take(sb, F_KICKOFF_HTML, NULL, NULL)) {
        *result = reply_html(rq, 200);
    } else {
        return true;
    }
    return false;
}

static enum MHD_Result accepted(struct request *rq, const struct job *job)
{
    char *location;

    if (!fault_take(rq->sb, F_KICKOFF_NO_LOCATION, NULL, NULL)) {
        const char *rest = strstr(job->origin, "://");
        bool http = fault_take(rq->sb, F_LOCATION_HTTP, NULL, NULL);

        location = xasprintf("%s%s/api/v%d/jobs/%llu", http ? "http" : "",
                             http ? rest : job->origin, job->version, job->id);
        reply_header(rq, "Content-Location", location);
        free(location);
    }
    return reply_empty(rq, 202);
}

/* Registers and launches the job, or answers 429. In both cases the caller no longer owns the
 * job. */
static enum MHD_Result submit(struct request *rq, struct job *job, const char *group)
{
    struct sandbox *sb = rq->sb;
    bool wait;

    pthread_mutex_lock(&sb->lock);
    wait = must_wait(sb, job, group);
    if (!wait) {
        job->id = sb->next_job;
        sb->next_job += 1 + job->id % 3; /* job numbers of a real database have gaps */
        job->next = sb->jobs;
        sb->jobs = job;
    }
    pthread_mutex_unlock(&sb->lock);
    if (wait) {
        job_free(job);
        reply_header(rq, "Retry-After", "0");
        return reply_empty(rq, 429);
    }
    keep_job(job);
    if (job_launch(job))
        return reply_outcome(rq, 500, O_INTERNAL, "Internal Error");
    return accepted(rq, job);
}

enum MHD_Result export_start(struct request *rq, int version, const char *level, const char *group)
{
    bool current = rq->sb->era->id == ERA_CURRENT;
    struct job *job;
    enum MHD_Result result = MHD_NO;

    rq->sb->counts[C_KICKOFF]++;
    if (!token_check(rq, true, &result) || !start_faults(rq, &result))
        return result;
    job = job_new(rq, version);
    /* The newest server checks the parameters before the headers, because the parameter checks are
     * middleware. Earlier servers checked the headers first (bcda-api 2.2). */
    if ((current || headers_check(rq, &result)) && group_check(rq, group, &result) &&
        parameters_check(rq, job, &result) && (!current || headers_check(rq, &result))) {
        fill_types(rq->sb, job, level);
        return submit(rq, job, group);
    }
    job_free(job);
    return result;
}
