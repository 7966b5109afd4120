/* One run of bcda-export: starts its jobs, and sums up. */
#include "jobs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int usage(const char *option, const char *value, int rc, const char *rule)
{
    if (rc)
        complain("%s %s: %s", option, value, rc == BCDA_ERR_INVALID ? rule : bcda_error_string(rc));
    return rc;
}

/* What a task asks for; NULL where it cannot be asked. */
static bcda_export *make_export(const struct args *a, int level, const char *only_type)
{
    bcda_export *e = NULL;
    size_t i;

    if (usage("--level", "", bcda_export_new(&e, level), "no such level"))
        return NULL;
    if (a->group && usage("--group", a->group, bcda_export_set_group(e, a->group), "no group"))
        goto fail;
    if (a->since && usage("--since", a->since, bcda_export_set_since(e, a->since),
                          "not an instant such as 2024-01-31T00:00:00Z"))
        goto fail;
    for (i = 0; i < (only_type ? 1 : a->type_count); i++) {
        const char *type = only_type ? only_type : a->types[i];

        if (usage("--type", type, bcda_export_add_type(e, type),
                  "not the name of a type; for several, give --type several times"))
            goto fail;
    }
    return e;
fail:
    bcda_export_free(e);
    return NULL;
}

static int start_task(struct task *t, const char *line, int *status)
{
    bcda_session *session = t->run->session;
    bcda_export *e = make_export(t->run->args, t->run->level, t->type);
    bcda_handlers *h = NULL;
    int rc;

    *status = EXIT_USAGE;
    if (!e)
        return -1;
    *status = EXIT_FAILED;
    h = task_handlers(t);
    if (!h) {
        bcda_export_free(e);
        return -1;
    }
    if (line && strcmp(line, "-") != 0) {
        t->restored = 1;
        t->saved = strdup(line);
        rc = bcda_job_restore(session, line, strlen(line), NULL, h, &t->job);
    } else {
        rc = bcda_job_start(session, e, h, &t->job);
    }
    if (rc)
        complain_error(t->restored ? t->run->args->resume : "", bcda_session_error(session));
    bcda_handlers_free(h);
    bcda_export_free(e);
    return rc;
}

/* One task for each type at the resource level, else one for all. */
static int make_tasks(struct run *r, const struct args *a)
{
    static const char *const all[] = {"ExplanationOfBenefit", "Patient", "Coverage"};
    const char *const *types = a->type_count ? a->types : all;
    size_t count = a->type_count ? a->type_count : sizeof all / sizeof all[0];
    size_t i;

    r->level = a->level == LEVEL_TRY ? BCDA_LEVEL_RESOURCE : a->level;
    r->all_types = !a->type_count;
    r->task_count = r->level == BCDA_LEVEL_RESOURCE ? count : 1;
    r->tasks = calloc(r->task_count, sizeof *r->tasks);
    if (!r->tasks)
        return -1;
    for (i = 0; i < r->task_count; i++) {
        r->tasks[i].run = r;
        r->tasks[i].type = r->level == BCDA_LEVEL_RESOURCE ? types[i] : NULL;
        /* Every version has patients: they would tell nothing. */
        if (a->level == LEVEL_TRY && !r->trial && strcmp(types[i], "Patient") != 0)
            r->trial = &r->tasks[i];
    }
    return 0;
}

struct run *run_new(const struct args *a, struct output *output, struct state *state)
{
    struct run *r = calloc(1, sizeof *r);

    if (!r || make_tasks(r, a) || !(r->quarantine = quarantine_new(a->quarantine, output))) {
        complain("out of memory");
        run_free(r);
        return NULL;
    }
    r->args = a;
    r->output = output;
    r->state = state;
    r->remarks = state->remarks;
    r->started = now_ms();
    return r;
}

/* All tasks but one. */
static int start_tasks(struct run *r, const struct task *but, int *status)
{
    const struct state *state = r->state;
    size_t i;

    for (i = 0; i < r->task_count; i++)
        if (&r->tasks[i] != but &&
            start_task(&r->tasks[i], state->count ? state->lines[i] : NULL, status))
            return -1;
    return 0;
}

static void use_patient_level(struct run *r)
{
    r->level = BCDA_LEVEL_PATIENT;
    r->task_count = 1;
    r->tasks[0].type = NULL;
    r->all_types = 0;
    r->trial = NULL;
}

int run_start(struct run *r, bcda_session *session, int *status)
{
    r->session = session;
    /* A state of an earlier run tells what that one found out. */
    if (r->trial && r->state->count == 1 && r->task_count > 1)
        use_patient_level(r);
    if (r->state->count && r->state->count != r->task_count) {
        complain("%s holds %zu jobs, and the command line asks for %zu", r->args->resume,
                 r->state->count, r->task_count);
        *status = EXIT_USAGE;
        return -1;
    }
    if (r->state->count)
        r->trial = NULL;
    return r->trial ? start_task(r->trial, NULL, status) : start_tasks(r, NULL, status);
}

int run_trial_accepted(struct run *r)
{
    const struct task *trial = r->trial;
    int status;

    r->trial = NULL;
    return start_tasks(r, trial, &status);
}

int run_trial_refused(struct run *r)
{
    int status;

    bcda_job_unref(r->trial->job);
    r->trial->job = NULL;
    use_patient_level(r);
    return start_task(&r->tasks[0], NULL, &status);
}

void run_cancel(struct run *r)
{
    size_t i;

    for (i = 0; i < r->task_count; i++)
        bcda_job_cancel(r->tasks[i].job);
}

static void summary(const struct run *r)
{
    int64_t end = now_ms();
    double seconds = (double)(end - r->started) / 1000;
    double moving = r->downloading ? (double)(end - r->downloading) / 1000 : 0;
    int64_t resources = 0;
    char decoded[32];
    char received[32];
    char speed[32];
    char memory[32];
    const char *kept = quarantine_path(r->quarantine);
    struct rusage usage_now;
    size_t i;

    for (i = 0; i < r->tally_count; i++) {
        say("%-24s %10" PRId64 " resources in %zu file%s", r->tallies[i].type,
            r->tallies[i].resources, r->tallies[i].files, r->tallies[i].files == 1 ? "" : "s");
        if (strcmp(r->tallies[i].type, "OperationOutcome") != 0) /* reports, no data */
            resources += r->tallies[i].resources;
    }
    if (r->skipped)
        say("%zu files were here from the run before", r->skipped);
    if (r->remarks.bad_lines)
        say("%" PRId64 " lines were no resources%s%s", r->remarks.bad_lines, kept ? "; see " : "",
            kept ? kept : "");
    if (r->remarks.issues || r->warnings)
        say("the server reports %" PRId64 " errors and %" PRId64 " other remarks%s",
            r->remarks.issues, r->warnings,
            output_is_stream(r->output) ? "; use --out DIR to have them"
                                        : "; see OperationOutcome-*.ndjson");
    getrusage(RUSAGE_SELF, &usage_now);
    say("%" PRId64 " resources, %s (%s received) in %.1f s, %s/s, peak memory %s", resources,
        bytes_text(decoded, sizeof decoded, (double)r->bytes),
        bytes_text(received, sizeof received, (double)r->bytes_received), seconds,
        bytes_text(speed, sizeof speed, moving > 0 ? (double)r->bytes / moving : 0),
        bytes_text(memory, sizeof memory, (double)usage_now.ru_maxrss * 1024));
}

static int64_t stat_of(const struct run *r, int stat)
{
    int64_t n = 0;

    bcda_session_stat(r->session, stat, &n);
    return n;
}

static void statistics(const struct run *r)
{
    static const struct {
        int stat;
        const char *what;
    } stages[] = {
        {BCDA_STAT_TRANSPORT_NS, "network and TLS"},
        {BCDA_STAT_HASH_NS, "hashing"},
        {BCDA_STAT_INFLATE_NS, "inflating"},
        {BCDA_STAT_DECRYPT_NS, "decrypting"},
        {BCDA_STAT_PARSE_NS, "parsing"},
        {BCDA_STAT_SPOOL_NS, "spool"},
        {BCDA_STAT_DELIVER_NS, "writing"},
        {BCDA_STAT_SLEEP_NS, "waiting"},
    };
    size_t i;

    say("%" PRId64 " requests, %" PRId64 " of them retries; %" PRId64 " tokens; %" PRId64
        " waits for the limit of requests",
        stat_of(r, BCDA_STAT_REQUESTS), stat_of(r, BCDA_STAT_RETRIES), stat_of(r, BCDA_STAT_TOKENS),
        stat_of(r, BCDA_STAT_WAITS));
    for (i = 0; i < sizeof stages / sizeof *stages; i++)
        say("  %-16s %8.3f s", stages[i].what, (double)stat_of(r, stages[i].stat) / 1e9);
}

static void say_how_to_resume(const struct run *r, int interrupted)
{
    size_t i;
    int known = 0;

    for (i = 0; i < r->task_count; i++)
        known |= *bcda_job_url(r->tasks[i].job) != '\0' && r->tasks[i].result != BCDA_ERR_GONE;
    if (r->remarks.refused)
        complain("%" PRId64 " files of this export are of no use: start a new one%s%s",
                 r->remarks.refused, r->args->resume ? ", without " : "",
                 r->args->resume ? r->args->resume : "");
    else if (known && r->args->resume)
        complain("run the same command again to go on, within a day: %s keeps the state",
                 r->args->resume);
    else if (known && interrupted)
        complain("nothing was kept to go on from; with --resume FILE it would have been");
}

int run_finish(struct run *r, int interrupted)
{
    int failed = r->broken || r->failed_files > 0 || r->remarks.refused > 0;
    size_t i;

    report_clear();
    for (i = 0; i < r->task_count; i++)
        failed |= !r->tasks[i].ended || r->tasks[i].result != BCDA_OK;
    if (r->downloading)
        summary(r);
    if (r->args->statistics)
        statistics(r);
    if (failed) {
        complain(interrupted ? "interrupted" : "the export is not complete");
        say_how_to_resume(r, interrupted);
        return EXIT_FAILED;
    }
    state_remove(r->state);
    return r->remarks.bad_lines || r->remarks.issues ? EXIT_REMARKS : EXIT_COMPLETE;
}

void run_free(struct run *r)
{
    size_t i;

    if (!r)
        return;
    for (i = 0; r->tasks && i < r->task_count; i++) {
        bcda_job_unref(r->tasks[i].job);
        free(r->tasks[i].slots);
        free(r->tasks[i].saved);
    }
    quarantine_free(r->quarantine);
    free(r->tasks);
    free(r);
}
