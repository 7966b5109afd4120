/* One run of bcda-export: starts the jobs, and determines the exit status. */
#include "jobs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- starting ---- */

static int start_task(struct task *t, int *status)
{
    bcda_session *session = t->run->session;
    bcda_export *e = request_new(&t->run->args->request, t->run->level, t->type);
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
    t->restored = t->kept->saved != NULL;
    if (t->restored)
        rc = bcda_job_restore(session, t->kept->saved, strlen(t->kept->saved), NULL, h, &t->job);
    else
        rc = bcda_job_start(session, e, h, &t->job);
    if (rc)
        complain_error(t->restored ? t->run->args->resume : "", bcda_session_error(session));
    if (rc && t->restored)
        complain("  it cannot be resumed: remove it to start a new export");
    if (!rc && t->restored)
        t->tag = task_tag(t->job);
    bcda_handlers_free(h);
    bcda_export_free(e);
    return rc;
}

/* Makes one task for each type at the resource level, otherwise one task for all types. */
static int make_tasks(struct run *r, const struct args *a)
{
    size_t count = a->request.type_count ? a->request.type_count : OPTIONS_ALL_TYPES;
    const char *const *types = a->request.type_count ? a->request.types : options_all_types;
    size_t i;

    r->level = a->request.level == LEVEL_TRY ? BCDA_LEVEL_RESOURCE : a->request.level;
    r->all_types = !a->request.type_count;
    r->task_count = r->level == BCDA_LEVEL_RESOURCE ? count : 1;
    r->tasks = calloc(r->task_count, sizeof *r->tasks);
    if (!r->tasks)
        return -1;
    for (i = 0; i < r->task_count; i++) {
        r->tasks[i].run = r;
        r->tasks[i].kept = &r->state->jobs[i];
        r->tasks[i].type = r->level == BCDA_LEVEL_RESOURCE ? types[i] : NULL;
        /* The trial job must not request the type Patient: every version of the server exports it,
         * so the answer would not show the version. */
        if (a->request.level == LEVEL_TRY && !r->trial && strcmp(types[i], "Patient") != 0)
            r->trial = &r->tasks[i];
    }
    return 0;
}

struct run *run_new(const struct args *a, struct output *output, struct state *state)
{
    struct run *r = calloc(1, sizeof *r);

    if (r)
        r->state = state;
    if (!r || make_tasks(r, a) ||
        !(r->quarantine = quarantine_new(a->quarantine, output_folder(output)))) {
        complain("out of memory");
        run_free(r);
        return NULL;
    }
    r->args = a;
    r->output = output;
    r->started = now_ms();
    return r;
}

/* Starts all tasks except `but`. */
static int start_tasks(struct run *r, const struct task *but, int *status)
{
    size_t i;

    for (i = 0; i < r->task_count; i++)
        if (&r->tasks[i] != but && start_task(&r->tasks[i], status))
            return -1;
    return 0;
}

static void use_patient_level(struct run *r)
{
    r->level = BCDA_LEVEL_PATIENT;
    r->task_count = 1;
    r->state->count = 1;
    r->tasks[0].type = NULL;
    r->all_types = 0;
    r->trial = NULL;
}

int run_start(struct run *r, bcda_session *session, int *status)
{
    struct state *s = r->state;

    r->session = session;
    /* The number of jobs in the --resume file shows which level an earlier run found. */
    if (s->count)
        r->trial = NULL;
    if (r->args->request.level == LEVEL_TRY && s->count == 1 && r->task_count > 1)
        use_patient_level(r);
    if (s->count && s->count != r->task_count) {
        complain("%s holds %zu jobs, and the command line requests %zu", r->args->resume, s->count,
                 r->task_count);
        *status = EXIT_USAGE;
        return -1;
    }
    s->count = r->task_count;
    return r->trial ? start_task(r->trial, status) : start_tasks(r, NULL, status);
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
    return start_task(&r->tasks[0], &status);
}

void run_cancel(struct run *r)
{
    size_t i;

    r->cancelled = 1;
    for (i = 0; i < r->task_count; i++)
        bcda_job_cancel(r->tasks[i].job);
}

/* ---- jobs that have ended at the server ---- */

static void remove_staged(const struct folder *f, const struct range *range)
{
    char name[NAME_SIZE];
    unsigned number;

    for (number = range->first; number <= range->last; number++) {
        name_make(name, range->type, number);
        unlinkat(f->set, name, 0);
    }
}

/* The job's files in the staging folder are not visible to users, and are removed at once. If a
 * kill prevents that, the next run removes them, because no job of the state lists them. The job's
 * files in the directory stay until a complete export replaces them, because they may be the only
 * data for weeks. */
int run_retire(struct task *t)
{
    struct folder *f = output_folder(t->run->output);
    struct state *s = t->run->state;
    struct ranges files;
    size_t i;
    int rc = 0;

    if (!s->path || (t->tag && output_marked(t->run->output, t->tag, &t->kept->files)))
        return s->path ? -1 : 0;
    files = t->kept->files;
    t->kept->files = (struct ranges){0};
    state_forget_job(t->kept);
    for (i = 0; !rc && i < files.count; i++)
        if (!files.at[i].staged)
            rc = ranges_add(&s->old, files.at[i].type, files.at[i].first, files.at[i].last, 0);
    if (!rc)
        rc = run_save_state(t->run);
    for (i = 0; !rc && i < files.count; i++)
        if (files.at[i].staged)
            remove_staged(f, &files.at[i]);
    if (!rc && t->tag)
        output_forget_all(t->run->output, t->tag);
    ranges_free(&files);
    return rc;
}

int run_restart(struct task *t)
{
    struct folder *f = output_folder(t->run->output);
    size_t here = ranges_files(&t->kept->files, 0);
    int status;

    complain("  the job no longer exists: a new export starts in its place");
    if (here)
        complain("  %zu file%s of it %s replaced when the new export is complete", here,
                 here == 1 ? "" : "s", here == 1 ? "is" : "are");
    if (run_retire(t))
        return -1;
    if (t->run->state->old.count && !*f->stage) {
        if (folder_stage(f, t->run->state->path))
            return -1;
        memcpy(t->run->state->stage, f->stage, sizeof f->stage);
        output_restart_numbers(t->run->output);
    }
    bcda_job_unref(t->job);
    free(t->slots);
    *t = (struct task){.run = t->run, .kept = t->kept, .type = t->type};
    return start_task(t, &status);
}

/* ---- the end ---- */

static int has_failed(const struct run *r)
{
    int absent = 0;
    size_t i;

    if (r->broken || run_remarks(r).refused)
        return 1;
    for (i = 0; i < r->task_count; i++) {
        const struct task *t = &r->tasks[i];

        absent += t->absent;
        if (t->failed_files || (!t->absent && (!t->ended || t->result != BCDA_OK)))
            return 1;
    }
    return (size_t)absent == r->task_count;
}

/* Reports the types that the server does not export. If no type was requested by name, such a type
 * is not a failure, because an old server has fewer types. Only if the server exports none of the
 * types is it an error. */
static void report_absent(const struct run *r)
{
    size_t absent = 0;
    size_t i;

    for (i = 0; i < r->task_count; i++)
        absent += r->tasks[i].absent != 0;
    for (i = 0; i < r->task_count; i++) {
        if (!r->tasks[i].absent)
            continue;
        if (absent == r->task_count)
            complain_error(r->tasks[i].type, bcda_job_error(r->tasks[i].job));
        else
            say("%s: the server does not export this type", r->tasks[i].type);
    }
}

/* Removes from the --resume file the jobs that cannot be resumed, so that the next run starts new
 * ones instead of retrying them forever. Returns the number of these jobs. */
static size_t retire_gone(struct run *r)
{
    size_t gone = 0;
    size_t i;

    for (i = 0; i < r->task_count; i++) {
        struct task *t = &r->tasks[i];

        if (!t->gone && !t->kept->remarks.refused)
            continue;
        gone++;
        if (!r->broken && run_retire(t))
            r->broken = 1;
    }
    return gone;
}

static int is_cancelled_at_server(const struct run *r, const struct task *t)
{
    return r->args->request.cancel_at_server && t->state == BCDA_JOB_RUNNING &&
           t->result == BCDA_ERR_CANCELLED && !bcda_job_is_taken_over(t->job);
}

/* Reports the jobs that still exist at the server. Returns how many of them can be resumed. */
static size_t report_jobs(struct run *r, int interrupted)
{
    size_t alive = 0;
    char id[80];
    size_t i;

    for (i = 0; i < r->task_count; i++) {
        struct task *t = &r->tasks[i];

        if (interrupted && t->state == BCDA_JOB_STARTING && !*bcda_job_url(t->job))
            complain(
                "the server had not accepted the job yet; if it does, the job runs there unused");
        if (!*bcda_job_url(t->job) || t->gone || t->kept->remarks.refused)
            continue;
        clean(id, sizeof id, bcda_job_id(t->job));
        if (is_cancelled_at_server(r, t)) {
            complain("the server was asked to cancel job %s", id);
            t->gone = 1;
            continue;
        }
        alive++;
        if (interrupted && t->state == BCDA_JOB_RUNNING)
            complain("job %s continues at the server", id);
        else if (interrupted)
            complain("the files of job %s stay at the server for about a day", id);
    }
    return alive;
}

static size_t files_here(const struct run *r)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < r->task_count; i++)
        n += ranges_files(&r->tasks[i].kept->files, 0);
    return n;
}

/* Prints what the user can do next. */
static void print_advice(struct run *r, int interrupted)
{
    size_t alive = report_jobs(r, interrupted);
    size_t gone = retire_gone(r);
    size_t here = files_here(r);
    const char *resume = r->args->resume;

    if (r->broken && resume && alive)
        complain("run the same command again when the cause is removed: it resumes from %s",
                 resume);
    else if (resume && alive)
        complain("run the same command again: it resumes from %s%s", resume,
                 gone ? ", and starts a new export in place of what cannot be resumed" : "");
    else if (resume && gone)
        complain("this export cannot be resumed: the next run starts a new one");
    else if (interrupted && alive)
        complain("it cannot be resumed from here: that needs --resume FILE (and --set "
                 "cancel_at_server=on ends such a job at the server)");
    if (!resume && here)
        complain("%s holds %zu file%s of an export that is not complete: remove them, or run again "
                 "with --replace",
                 r->args->out, here, here == 1 ? "" : "s");
}

static int end_failure(struct run *r, int signal)
{
    complain(signal ? "interrupted" : "the export is not complete");
    print_advice(r, signal != 0);
    if (r->state->path && !state_is_used(r->state) && !r->broken)
        state_remove(r->state);
    return signal ? EXIT_SIGNAL + signal : EXIT_FAILED;
}

/* Ends a run with --replace whose export lacks data. Such an export must not replace the existing
 * files. */
static int refuse_replacing(struct run *r)
{
    size_t i;

    complain("%s keeps its files: the new export lacks the data named above", r->args->out);
    for (i = 0; i < r->task_count; i++)
        r->tasks[i].gone = 1; /* a retry would have the same result */
    retire_gone(r);
    if (!r->broken)
        state_remove(r->state);
    return EXIT_FAILED;
}

int run_finish(struct run *r, int signal)
{
    int failed = has_failed(r);
    int lacks = run_missing_types(r) || !run_data_files(r);
    struct remarks remarks = run_remarks(r);

    report_clear();
    report_absent(r);
    if (r->downloading) {
        summary_print(r);
        summary_remarks(r);
    }
    if (r->args->request.statistics)
        report_statistics(r->session, "writing");
    if (failed)
        return end_failure(r, signal);
    if (lacks && r->args->replace)
        return refuse_replacing(r);
    r->state->complete = remarks.bad_lines || remarks.issues || lacks || run_deletions_left_out(r)
                             ? EXIT_REMARKS
                             : EXIT_COMPLETE;
    if (run_save_state(r))
        return EXIT_FAILED;
    return prepare_complete(r->state, output_folder(r->output));
}

void run_free(struct run *r)
{
    size_t i;
    size_t k;

    if (!r)
        return;
    for (i = 0; r->tasks && i < r->task_count; i++) {
        bcda_job_unref(r->tasks[i].job);
        for (k = 0; k < r->tasks[i].slot_count; k++)
            quarantine_drop(r->tasks[i].slots[k].held);
        free(r->tasks[i].slots);
    }
    quarantine_free(r->quarantine);
    free(r->tasks);
    free(r);
}
