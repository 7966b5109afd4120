/*
 * One run of a loader. A run resumes the unfinished load of its request, or begins a new one. A
 * load has one job, unless the server loses it: then another job brings what is missing. After a
 * lost connection to the database, the run opens the database again and resumes the job from the
 * state that is recorded there, because only the database knows which files it has committed.
 */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Results beside the exit statuses. */
#define LOAD_AGAIN   (-1) /* the connection to the database is lost */
#define LOAD_NEW_JOB (-2) /* another job must bring what is missing */
#define LOAD_ABSENT  (-3) /* the server does not export this type */

#define LOSSES_MAX 8 /* lost connections in a row without a file that was loaded in between */

/* What the attempts of a run share. */
struct attempts {
    int losses;
    size_t files_loaded; /* when `losses` was last set to 0 */
    int is_later;        /* the load of this run is recorded in the database */
    int is_ending;       /* the end of the load was recorded, but perhaps not committed */
    int status;          /* the exit status of the load that ends */
};

static void free_texts(struct load *l)
{
    free(l->since);
    free(l->transaction_time);
    free(l->saved);
    free(l->previous);
}

void load_clear(struct load *l)
{
    free_texts(l);
    *l = (struct load){0};
}

/* ---- opening the database ---- */

/* Sleeps for this time, or until a signal arrives. */
static void wait_ms(int64_t ms)
{
    const struct timespec piece = {.tv_nsec = 50 * 1000000};
    int64_t end = now_ms() + ms;

    while (now_ms() < end && !process_signal())
        nanosleep(&piece, NULL);
}

/* Opens the database. A database that cannot be reached is a failure at first, because it may be a
 * wrong name; later it is retried with growing delays. */
static int open_database(struct loader *l, const struct attempts *t)
{
    int64_t end = now_ms() + (int64_t)l->args->wait_seconds * 1000;
    int64_t delay = 250;
    int rc;

    for (;;) {
        rc = l->db->open(&l->store, l->args);
        if (rc != STORE_LOST || !t->is_later || process_signal() || now_ms() >= end)
            return rc;
        say("the database is opened again in %.1f s", (double)delay / 1000);
        wait_ms(delay);
        delay = delay < 8000 ? delay * 2 : 15000;
    }
}

/* ---- the load ---- */

/* Returns 1 if the text is an instant after the other one. */
static int is_later_instant(const char *text, const char *other)
{
    struct instant a = instant_parse(text);
    struct instant b = instant_parse(other);

    return a.is_known && b.is_known && instant_compare(&a, &b) > 0;
}

static int is_same_instant(const char *text, const char *other)
{
    struct instant a = instant_parse(text);
    struct instant b = instant_parse(other);

    return a.is_known && b.is_known && instant_compare(&a, &b) == 0;
}

/* Checks --since against an unfinished load, which has its own. */
static int check_resumed(const struct loader *l)
{
    const char *since = l->args->request.since;
    char text[80];

    if (!since || is_same_instant(since, l->load.since))
        return 0;
    complain("an unfinished load of this request %s%s: resume it without --since, or use --full to "
             "load all resources",
             *l->load.since ? "is since " : "has no --since",
             clean(text, sizeof text, l->load.since));
    return -1;
}

/* Chooses where a new load begins. A --since after the last load would leave a gap. */
static int choose_since(struct loader *l)
{
    const struct options *o = &l->args->request;
    const char *since = o->since ? o->since : l->args->full ? "" : l->load.previous;
    char text[80];

    if (o->since && *l->load.previous && is_later_instant(o->since, l->load.previous)) {
        complain("--since %s is after the last load, which has what changed until %s: changes in "
                 "between would be missing",
                 o->since, clean(text, sizeof text, l->load.previous));
        return -1;
    }
    free(l->load.since);
    l->load.since = strdup(since);
    if (l->load.since)
        return 0;
    complain("out of memory");
    return -1;
}

static void say_load(const struct loader *l)
{
    const char *what = l->type ? l->type : "loading";
    const char *between = l->type ? ":" : "";
    char text[80];

    if (*l->load.since)
        say("%s%s what has changed since %s", what, between,
            clean(text, sizeof text, l->load.since));
    else
        say("%s%s all resources%s", what, between,
            *l->load.previous ? "" : ": this request was not loaded into this database before");
}

static int begin_new_load(struct loader *l)
{
    if (choose_since(l))
        return STORE_FAILED;
    say_load(l);
    return l->db->begin_load(l->store, l->request, &l->load);
}

static int find_load(struct loader *l)
{
    load_clear(&l->load);
    return l->db->find_load(l->store, l->request, &l->load);
}

/* Finds the load to resume, or begins a new one. */
static int choose_load(struct loader *l)
{
    int rc = find_load(l);

    if (!rc && l->load.id && l->args->full) {
        rc = l->db->abandon_load(l->store, &l->load);
        if (!rc) /* now there is no unfinished load */
            rc = find_load(l);
    }
    if (rc)
        return rc;
    if (l->load.id)
        return check_resumed(l) ? STORE_FAILED : STORE_OK;
    return begin_new_load(l);
}

/* Finds the load of this run again, after the connection was lost. Sets *status if it has ended,
 * because its end was committed. */
static int find_load_again(struct loader *l, const struct attempts *t, int *status)
{
    struct counts counts = l->load.counts;
    int64_t id = l->load.id;
    int rc = find_load(l);

    if (rc || l->load.id == id)
        return rc;
    l->load.counts = counts;
    if (l->load.id || !t->is_ending) {
        complain("the load of this run is no longer in the database");
        return STORE_FAILED;
    }
    *status = t->status;
    return STORE_OK;
}

/* ---- the request ---- */

static int make_export(struct loader *l)
{
    struct options request = l->args->request;
    size_t i;

    request.since = *l->load.since ? l->load.since : NULL;
    bcda_export_free(l->export_);
    l->export_ = request_new(&request, l->level, l->type);
    if (!l->export_)
        return -1;
    for (i = 0; i < l->args->field_count; i++) {
        const char *path = l->args->fields[i].path;

        if (bcda_export_add_field(l->export_, path, &l->field_index[i])) {
            complain_error("--field", bcda_export_error(l->export_));
            return -1;
        }
    }
    return 0;
}

static int drive_load(struct loader *l)
{
    int cancelled = 0;
    int rc;

    do {
        rc = bcda_session_run(l->session, -1);
        if (process_signal() && !cancelled) {
            cancelled = 1;
            bcda_job_cancel(l->job);
        }
    } while (rc == BCDA_ERR_INTERRUPTED);
    if (rc < 0)
        complain_error("", bcda_session_error(l->session));
    return rc < 0 ? -1 : 0;
}

/* ---- the end ---- */

static size_t count_files(const bcda_job *job)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < bcda_job_file_count(job); i++)
        n += !bcda_file_is_error(bcda_job_file(job, i));
    return n;
}

/* Reports requested types without a file. In a load of changes, that means that nothing has
 * changed. Returns 1 if it needs attention. */
static int report_missing(const struct loader *l)
{
    void (*print)(const char *, ...) = *l->load.since ? say : complain;
    size_t count = bcda_job_missing_type_count(l->job);
    char type[80];
    size_t i;

    for (i = 0; i < count; i++)
        print("%s: was requested, but the server has no file of it",
              clean(type, sizeof type, bcda_job_missing_type(l->job, i)));
    if (!count && !count_files(l->job) && !l->load.counts.files)
        print("the server has no file of data for this export");
    else if (!count)
        return 0;
    return !*l->load.since;
}

static void report_load(const struct loader *l)
{
    const struct counts *c = &l->load.counts;
    double seconds = (double)(now_ms() - l->started) / 1000;
    char decoded[32];
    char received[32];

    report_clear();
    say("%" PRId64 " resources in %" PRId64 " file%s, %" PRId64 " of them older than what the "
        "database has; %" PRId64 " deleted",
        c->resources, c->files, c->files == 1 ? "" : "s", c->outdated, c->deletions);
    say("this run loaded %zu file%s: %s (%s received) in %.1f s", l->files_loaded,
        l->files_loaded == 1 ? "" : "s", bytes_text(decoded, sizeof decoded, (double)l->bytes),
        bytes_text(received, sizeof received, (double)l->bytes_received), seconds);
    if (c->remarks)
        complain("%" PRId64 " line%s or server issues need attention: see the table bcda_remark",
                 c->remarks, c->remarks == 1 ? "" : "s");
}

static int end_incomplete(const struct loader *l, int signal)
{
    report_clear();
    complain(signal ? "interrupted" : "the load is not complete");
    if (l->load.id && !l->load.counts.files)
        complain("run the same command again: it resumes this load");
    else if (l->load.id)
        complain("run the same command again: it resumes after the %" PRId64 " file%s that %s "
                 "loaded",
                 l->load.counts.files, l->load.counts.files == 1 ? "" : "s",
                 l->load.counts.files == 1 ? "is" : "are");
    return signal ? EXIT_SIGNAL + signal : EXIT_FAILED;
}

static int end_complete(struct loader *l, struct attempts *t)
{
    int rc;

    t->status = report_missing(l) || l->load.counts.remarks ? EXIT_REMARKS : EXIT_COMPLETE;
    t->is_ending = 1;
    rc = l->db->finish_load(l->store, &l->load);
    if (rc)
        return rc == STORE_LOST ? LOAD_AGAIN : end_incomplete(l, 0);
    report_load(l);
    return t->status;
}

/* The server no longer has the job. The files that were loaded stay; a new job brings the types of
 * which files are missing. Resources of these types that are there already are not loaded twice,
 * because a row replaces the one of the same type and id. The state of the old job stays in the
 * database until the server has accepted the new one. */
static int replace_job(struct loader *l, struct attempts *t)
{
    bcda_export *remaining;
    int rc;

    /* A new job that fails before it has brought a file would fail again. */
    if (!l->is_restored && !l->job_files)
        return end_incomplete(l, 0);
    rc = bcda_export_new_remaining(&remaining, l->export_, l->job);
    if (rc == BCDA_ERR_END)
        return end_complete(l, t);
    if (rc) {
        complain("%s", bcda_error_string(rc));
        return end_incomplete(l, 0);
    }
    complain("  the job no longer exists: a new export starts for what is missing");
    bcda_export_free(l->export_);
    l->export_ = remaining;
    free(l->load.saved);
    l->load.saved = NULL;
    return LOAD_NEW_JOB;
}

/* Returns 1 if the server has no endpoint for the type of this load. That is no failure if it shows
 * that the server has no resource level, or if the user did not ask for the type. */
static int is_type_absent(const struct loader *l)
{
    return l->type && (l->is_trial || !l->args->request.type_count) &&
           l->result == BCDA_ERR_NOT_FOUND && !*bcda_job_url(l->job);
}

static int forget_load(struct loader *l)
{
    int rc = l->db->abandon_load(l->store, &l->load);

    return rc ? end_incomplete(l, 0) : LOAD_ABSENT;
}

static int end_failed_job(struct loader *l, struct attempts *t)
{
    const bcda_error *error = bcda_job_error(l->job);

    if (is_type_absent(l))
        return forget_load(l);
    if (!*bcda_error_file(error) || !l->failed_files)
        complain_error("", error); /* the error of a file is already printed */
    return job_is_gone(l) ? replace_job(l, t) : end_incomplete(l, 0);
}

static int judge_job(struct loader *l, struct attempts *t)
{
    if (l->stop == STORE_LOST)
        return LOAD_AGAIN;
    if (process_signal() && l->result != BCDA_OK)
        return end_incomplete(l, process_signal());
    if (l->stop || !l->ended)
        return end_incomplete(l, 0);
    return l->result == BCDA_OK ? end_complete(l, t) : end_failed_job(l, t);
}

/* ---- one attempt ---- */

static int run_job(struct loader *l, struct attempts *t)
{
    int status;

    if (job_begin(l))
        return end_incomplete(l, 0);
    status = drive_load(l) ? end_incomplete(l, 0) : judge_job(l, t);
    job_release(l);
    return status;
}

static int load_once(struct loader *l, struct attempts *t)
{
    int rc = l->store ? STORE_OK : open_database(l, t);
    int status = LOAD_AGAIN;

    if (!rc)
        rc = t->is_later ? find_load_again(l, t, &status) : choose_load(l);
    if (rc == STORE_LOST && t->is_later && !process_signal())
        return LOAD_AGAIN;
    if (rc)
        return end_incomplete(l, process_signal());
    t->is_later = 1;
    if (status != LOAD_AGAIN) {
        report_load(l);
        return status;
    }
    if (make_export(l))
        return EXIT_USAGE;
    do
        status = run_job(l, t);
    while (status == LOAD_NEW_JOB);
    return status;
}

/* Counts the attempts. Returns 1 if there may be another one. */
static int may_retry(struct loader *l, struct attempts *t)
{
    if (l->files_loaded != t->files_loaded)
        t->losses = 0;
    t->files_loaded = l->files_loaded;
    return ++t->losses <= LOSSES_MAX;
}

static int load_all(struct loader *l)
{
    struct attempts t = {0};
    int status;

    while ((status = load_once(l, &t)) == LOAD_AGAIN) {
        l->db->close(l->store);
        l->store = NULL;
        if (!may_retry(l, &t))
            return end_incomplete(l, 0);
    }
    return status;
}

/* ---- the loads of a run ---- */

/* Loads one type at the resource level, or, if `type` is NULL, all types at another level. */
static int load_part(struct loader *l, int level, const char *type)
{
    struct options request = l->args->request;

    request.level = l->level = level;
    l->type = type;
    if (type) {
        request.types[0] = type;
        request.type_count = 1;
    }
    free(l->request);
    l->request = load_request_text(&request);
    return l->request ? load_all(l) : EXIT_FAILED;
}

/* Returns the exit status of two loads together. */
static int join_status(int a, int b)
{
    static const int order[] = {EXIT_USAGE, EXIT_FAILED, EXIT_REMARKS};
    size_t i;

    if (a >= EXIT_SIGNAL || b >= EXIT_SIGNAL)
        return a > b ? a : b;
    for (i = 0; i < sizeof order / sizeof *order; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return EXIT_COMPLETE;
}

/* Returns the index of the type whose load shows whether the server has the resource level. It must
 * not be Patient, which every version of the server exports. */
static size_t choose_trial(const char *const *types, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(types[i], "Patient") != 0)
            return i;
    return 0;
}

/* Makes one load for each type, one after the other. */
static int load_types(struct loader *l)
{
    const struct options *o = &l->args->request;
    const char *const *types = o->type_count ? o->types : options_all_types;
    size_t count = o->type_count ? o->type_count : OPTIONS_ALL_TYPES;
    size_t first = choose_trial(types, count);
    size_t absent = 0;
    int sum = EXIT_COMPLETE;
    size_t i;

    for (i = 0; i < count && sum < EXIT_SIGNAL; i++) {
        size_t at = i == 0 ? first : i <= first ? i - 1 : i;
        int status;

        l->is_trial = i == 0 && o->level == LEVEL_TRY;
        status = load_part(l, BCDA_LEVEL_RESOURCE, types[at]);
        if (status == LOAD_ABSENT && l->is_trial)
            return load_part(l, BCDA_LEVEL_PATIENT, NULL);
        if (status == LOAD_ABSENT) {
            say("%s: the server does not export this type", types[at]);
            absent++;
        } else {
            sum = join_status(sum, status);
        }
    }
    if (absent < count)
        return sum;
    complain("the server exports none of the types");
    return EXIT_FAILED;
}

static int load_with(const struct database *db, struct load_args *a, bcda_session *session)
{
    struct loader l = {.args = a, .db = db, .session = session, .started = now_ms()};
    int level = a->request.level;
    int status = EXIT_FAILED;

    process_catch_signals(session);
    if (job_init(&l) == 0)
        status = level == BCDA_LEVEL_RESOURCE || level == LEVEL_TRY ? load_types(&l)
                                                                    : load_part(&l, level, NULL);
    process_catch_signals(NULL);
    if (a->request.statistics)
        report_statistics(session, "storing");
    /* Free the session first: freeing it calls callbacks, which use the loader. */
    bcda_session_free(session);
    db->close(l.store);
    job_free(&l);
    bcda_export_free(l.export_);
    load_clear(&l.load);
    free(l.request);
    free(a->recorded);
    return status;
}

/* Checks the options of the export request, before anything is opened or sent. */
static int check_load_request(const struct load_args *a)
{
    int level = a->request.level == LEVEL_TRY ? BCDA_LEVEL_RESOURCE : a->request.level;
    bcda_export *e = request_new(&a->request, level, NULL);
    int index;
    size_t i;
    int rc = e ? 0 : -1;

    for (i = 0; !rc && i < a->field_count; i++) {
        rc = bcda_export_add_field(e, a->fields[i].path, &index);
        if (rc)
            complain_error("--field", bcda_export_error(e));
    }
    bcda_export_free(e);
    return rc;
}

int load_main(const struct database *db, int argc, char **argv)
{
    struct load_args a;
    bcda_config *config;
    bcda_session *session = NULL;
    int status;
    int rc;

    report_program(db->program);
    if (process_open_standard_files())
        return EXIT_FAILED;
    if (load_args_parse(&a, db, argc, argv, &status))
        return status;
    report_init(a.request.quiet);
    if (check_load_request(&a) || db->check_arguments(&a))
        return EXIT_USAGE;
    /* A load that was killed before it could save its job has left that job at the server. */
    a.request.takes_over = 1;
    config = settings_config(&a.request, 1, NULL, &status);
    if (!config)
        return status;
    rc = bcda_session_new(&session, config);
    if (rc)
        status = settings_refused(&a.request, config, rc);
    bcda_config_free(config);
    return rc ? status : load_with(db, &a, session);
}
