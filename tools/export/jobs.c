/* The callbacks of the jobs. */
#include "jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_LOOKED_AT 2000 /* the progress bar adds up at most this many files */

/* Makes the text of a job up to date. Returns 0 or -1. */
static int refresh_saved(struct task *t)
{
    char *text;

    if (bcda_job_save(t->job, &text)) {
        complain("the state of the job cannot be saved");
        return -1;
    }
    free(t->kept->saved);
    t->kept->saved = strdup(text);
    bcda_free(text);
    return t->kept->saved ? 0 : -1;
}

int run_save_state(struct run *r)
{
    size_t i;

    for (i = 0; i < r->task_count; i++)
        if (r->tasks[i].job && r->tasks[i].kept->saved && refresh_saved(&r->tasks[i]))
            return -1;
    return state_save(r->state);
}

static int append_changes(struct task *t, const struct ranges *file)
{
    char *changes;
    int rc;

    if (bcda_job_save_changes(t->job, &changes)) {
        complain("the state of the job cannot be saved");
        return -1;
    }
    rc = state_append(t->run->state, t->kept, file, changes);
    bcda_free(changes);
    return rc;
}

/* Saves the job in the --resume file. Called after all files that the saved text lists were stored
 * safely. `file` is the one that was stored now; it may have no range. NULL = the job was accepted.
 */
static void save_job(struct task *t, const struct ranges *file)
{
    struct run *r = t->run;
    int rc;

    if (!r->args->resume || r->broken)
        return;
    if (file && t->kept->saved && !state_wants_whole(r->state))
        rc = append_changes(t, file);
    else
        rc = refresh_saved(t) || run_save_state(r);
    if (rc)
        r->broken = 1;
}

/* Ends the run, because continuing would lose data. */
static int give_up_run(struct run *r)
{
    r->broken = 1;
    run_cancel(r);
    return BCDA_STOP;
}

static struct slot *task_slot_of(struct task *t, const bcda_file *file)
{
    size_t i = bcda_file_index(file);
    size_t count = bcda_job_file_count(t->job);
    struct slot *slots;

    if (i >= count)
        return NULL;
    if (count > t->slot_count) {
        slots = realloc(t->slots, count * sizeof *slots);
        if (!slots) {
            complain("out of memory");
            return NULL;
        }
        memset(slots + t->slot_count, 0, (count - t->slot_count) * sizeof *slots);
        t->slots = slots;
        t->slot_count = count;
    }
    return &t->slots[i];
}

/* Returns the resource type to use in the name of the output file. Returns NULL if the manifest
 * gives a type that cannot be part of the name of a data file. */
static const char *type_of(const bcda_file *file)
{
    const char *type = bcda_file_type(file);

    if (bcda_file_is_error(file))
        return "OperationOutcome";
    if (bcda_file_has_deletions(file))
        return DELETED;
    return name_type_is_fine(type) && strcmp(type, DELETED) != 0 ? type : NULL;
}

uint64_t task_tag(const bcda_job *job)
{
    const char *text = bcda_job_url(job);
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

static void say_accepted(const struct task *t)
{
    const char *how = t->restored                      ? "is resumed"
                      : bcda_job_is_taken_over(t->job) ? "was running already and is taken over"
                                                       : "was accepted";
    char id[80];

    say("%s%sjob %s %s", t->type ? t->type : "", t->type ? ": " : "",
        clean(id, sizeof id, bcda_job_id(t->job)), how);
}

static int task_on_state(bcda_job *job, int state, void *userdata)
{
    struct task *t = userdata;

    t->job = job;
    if (state < BCDA_JOB_DONE)
        t->state = state;
    if (state == BCDA_JOB_RUNNING) {
        t->tag = task_tag(job);
        say_accepted(t);
        save_job(t, NULL);
        if (t->run->broken)
            return give_up_run(t->run);
        if (t->run->trial == t && run_trial_accepted(t->run))
            return give_up_run(t->run);
    } else if (state == BCDA_JOB_DOWNLOADING) {
        if (!t->run->downloading)
            t->run->downloading = now_ms();
        say("%s%s%zu file%s", t->type ? t->type : "", t->type ? ": " : "", bcda_job_file_count(job),
            bcda_job_file_count(job) == 1 ? "" : "s");
    }
    return BCDA_CONTINUE;
}

static void close_slot(struct slot *slot)
{
    output_end(slot->file);
    quarantine_drop(slot->held);
    slot->file = NULL;
    slot->held = NULL;
}

static int task_begin_file(struct task *t, const bcda_file *file, struct slot *slot)
{
    struct output *o = t->run->output;
    const char *type = type_of(file);
    char name[128];

    slot->issues = slot->deletions = slot->bundle_line = 0;
    if (!type || (bcda_file_is_error(file) && output_is_stream(o)))
        return BCDA_CONTINUE; /* nothing is written; task_end_file() reports the file */
    if (t->restored && !output_is_stream(o))
        output_undo(o, type, t->tag, bcda_file_index(file));
    slot->file = output_begin(o, type, t->tag, bcda_file_index(file));
    if (slot->file)
        return BCDA_CONTINUE;
    complain("%s cannot be written", clean(name, sizeof name, bcda_file_name(file)));
    return give_up_run(t->run);
}

static void count_file(struct task *t, const bcda_file *file, const struct slot *slot)
{
    const char *type = type_of(file);
    size_t i = 0;

    t->kept->remarks.bad_lines += bcda_file_bad_lines(file);
    t->kept->remarks.issues += slot->issues;
    t->run->bytes += bcda_file_bytes(file);
    t->run->bytes_received += bcda_file_bytes_received(file);
    while (i < t->tally_count && strcmp(t->tallies[i].type, type) != 0)
        i++;
    if (i == TYPES_MAX)
        i--; /* the array is full: its last tally is for all other types */
    if (i == t->tally_count)
        snprintf(t->tallies[t->tally_count++].type, TYPE_SIZE, "%s", type);
    t->tallies[i].files++;
    t->tallies[i].resources += bcda_file_has_deletions(file) ? slot->deletions
                               : slot->file                  ? output_lines(slot->file)
                                                             : bcda_file_resources(file);
}

/* Returns why a line is invalid. */
static const char *line_error(const bcda_file *file, int code)
{
    if (bcda_file_has_deletions(file) && code == BCDA_ERR_LINE_TYPE)
        return "a line is not a Bundle of DELETE requests";
    return bcda_error_string(code);
}

/* Prints the first invalid lines of a complete file. Those of a failed file are not printed,
 * because its lines may have been altered. */
static void show_lines(struct run *r, const bcda_file *file, const struct held *held)
{
    char name[128];
    int64_t i;

    for (i = 0; held && i < held->count && i < HELD_SHOWN; i++) {
        if (r->lines_shown > HELD_SHOWN)
            return;
        if (r->lines_shown++ == HELD_SHOWN)
            complain("more invalid lines are only counted");
        else
            complain("%s, line %" PRId64 ": %s", clean(name, sizeof name, bcda_file_name(file)),
                     held->first[i].number, line_error(file, held->first[i].code));
    }
    if (held && held->count > HELD_SHOWN && r->lines_shown == HELD_SHOWN) {
        r->lines_shown++;
        complain("more invalid lines are only counted");
    }
}

/* Returns 1 if a file is complete for the library, but cannot be used. bcda_job_save() will list
 * the file as complete, so the --resume file also counts how many files were refused. */
static int is_refused(struct task *t, const bcda_file *file)
{
    char name[128];
    char type[128];

    clean(name, sizeof name, bcda_file_name(file));
    if (!type_of(file))
        complain("%s: its type \"%s\" cannot be part of a file name; it was not written", name,
                 clean(type, sizeof type, bcda_file_type(file)));
    else if (!bcda_file_is_error(file) && bcda_file_bad_lines(file) && !bcda_file_resources(file))
        complain("%s: none of its %" PRId64 " lines is a %s: is it encrypted, or not NDJSON?", name,
                 bcda_file_bad_lines(file),
                 bcda_file_has_deletions(file) ? "Bundle of DELETE requests" : "resource");
    else
        return 0;
    t->kept->remarks.refused++;
    return 1;
}

static void report_failed(struct task *t, const bcda_file *file, const struct slot *slot)
{
    int code = bcda_error_code(bcda_file_error(file));

    if (code != BCDA_ERR_CANCELLED && code != BCDA_ERR_STOPPED) {
        complain_error("", bcda_file_error(file));
        t->failed_files++;
    }
    if (slot->file && output_is_stream(t->run->output) && output_lines(slot->file))
        complain("  %" PRId64 " of its resources may be on standard output: do not use them",
                 output_lines(slot->file));
}

static int add_ranges(struct ranges *to, const struct ranges *more)
{
    size_t i;

    for (i = 0; i < more->count; i++)
        if (ranges_add(to, more->at[i].type, more->at[i].first, more->at[i].last,
                       more->at[i].staged))
            return -1;
    return 0;
}

/* Stores a complete file and its invalid lines, and then saves the --resume file, which now lists
 * the file. */
static int task_keep_file(struct task *t, const bcda_file *file, struct slot *slot)
{
    struct run *r = t->run;
    struct ranges made = {0};
    int has_file = slot->file && (output_lines(slot->file) || !bcda_file_is_error(file));

    if ((has_file && output_sync(slot->file)) || quarantine_commit(r->quarantine, slot->held) ||
        (has_file && output_commit(slot->file, &made)) || add_ranges(&t->kept->files, &made)) {
        ranges_free(&made);
        return give_up_run(r);
    }
    show_lines(r, file, slot->held);
    count_file(t, file, slot);
    save_job(t, &made);
    ranges_free(&made);
    if (!r->broken || !r->args->resume)
        return BCDA_CONTINUE;
    output_keep_mark(slot->file);
    return give_up_run(r);
}

static int task_end_file(struct task *t, const bcda_file *file, struct slot *slot)
{
    static const struct ranges none = {0};
    int verdict = bcda_file_verdict(file);
    int result = BCDA_CONTINUE;

    if (verdict != BCDA_VERDICT_COMPLETE && verdict != BCDA_VERDICT_COMPLETE_BAD_LINES)
        report_failed(t, file, slot);
    else if (is_refused(t, file))
        save_job(t, &none);
    else
        result = task_keep_file(t, file, slot);
    close_slot(slot);
    return result;
}

static int task_on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    struct task *t = userdata;
    struct slot *slot = task_slot_of(t, file);

    (void)job;
    if (!slot)
        return give_up_run(t->run);
    return event == BCDA_FILE_BEGIN ? task_begin_file(t, file, slot) : task_end_file(t, file, slot);
}

static int task_on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    struct task *t = userdata;
    struct slot *slot = task_slot_of(t, bcda_batch_file(batch));
    const char *base;
    const uint64_t *offsets;
    const uint64_t *lengths;
    size_t i;

    (void)job;
    if (!slot || bcda_batch_column(batch, BCDA_COLUMN_JSON, &base, &offsets, &lengths))
        return give_up_run(t->run);
    for (i = 0; slot->file && i < bcda_batch_count(batch); i++)
        if (output_line(slot->file, base + offsets[i], (size_t)lengths[i]))
            return give_up_run(t->run);
    return BCDA_CONTINUE;
}

static int task_on_bad_line(bcda_job *job, const bcda_bad_line *line, void *userdata)
{
    struct task *t = userdata;
    struct slot *slot = task_slot_of(t, bcda_bad_line_file(line));

    (void)job;
    if (!slot || quarantine_hold(t->run->quarantine, &slot->held, line))
        return give_up_run(t->run);
    return BCDA_CONTINUE;
}

static int task_on_issue(bcda_job *job, const bcda_issue *issue, void *userdata)
{
    struct task *t = userdata;
    const bcda_resource *outcome = bcda_issue_resource(issue);
    struct slot *slot = task_slot_of(t, bcda_resource_file(outcome));
    const char *json;
    size_t len;

    (void)job;
    if (!slot)
        return give_up_run(t->run);
    if (bcda_issue_severity(issue) >= BCDA_SEVERITY_ERROR)
        slot->issues++;
    else
        t->run->warnings++;
    if (bcda_issue_index(issue) != 0 || !slot->file)
        return BCDA_CONTINUE;
    json = bcda_resource_json(outcome, &len);
    return output_line(slot->file, json, len) ? give_up_run(t->run) : BCDA_CONTINUE;
}

/* Writes the Bundle that contains the deletion. This function is called for each deletion of the
 * Bundle, so it writes the Bundle the first time only. */
static int task_on_deletion(bcda_job *job, const bcda_deletion *deletion, void *userdata)
{
    struct task *t = userdata;
    const bcda_resource *bundle = bcda_deletion_resource(deletion);
    struct slot *slot = task_slot_of(t, bcda_resource_file(bundle));
    const char *json;
    size_t len;

    (void)job;
    if (!slot)
        return give_up_run(t->run);
    slot->deletions++;
    if (!slot->file || slot->bundle_line == bcda_resource_line_number(bundle))
        return BCDA_CONTINUE;
    slot->bundle_line = bcda_resource_line_number(bundle);
    json = bcda_resource_json(bundle, &len);
    return output_line(slot->file, json, len) ? give_up_run(t->run) : BCDA_CONTINUE;
}

/* Adds the downloaded part of each open file to p->share. All files count equally, because the size
 * of a file is not known before it is requested. */
static void add_files(struct progress *p, const struct task *t)
{
    size_t i;

    for (i = 0; i < t->slot_count && i < FILES_LOOKED_AT; i++) {
        const bcda_file *file = bcda_job_file(t->job, i);
        int64_t expected = bcda_file_bytes_expected(file);

        if (t->slots[i].file && expected > 0 && bcda_file_bytes_received(file) < expected)
            p->share += (double)bcda_file_bytes_received(file) / (double)expected;
    }
}

static int task_on_progress(bcda_job *job, void *userdata)
{
    struct task *t = userdata;
    struct run *r = t->run;
    struct progress p = {.state = BCDA_JOB_FAILED, .server = bcda_job_progress_text(job)};
    size_t i;

    for (i = 0; i < r->task_count; i++) {
        const struct task *one = &r->tasks[i];

        if (bcda_job_state(one->job) < p.state)
            p.state = bcda_job_state(one->job);
        p.files += bcda_job_file_count(one->job);
        p.ended += bcda_job_files_ended(one->job);
        p.resources += bcda_job_resources(one->job);
        p.bytes += bcda_job_bytes(one->job);
        add_files(&p, one);
    }
    p.share = p.files ? (p.share + (double)p.ended) / (double)p.files : 0;
    if (p.share > 1)
        p.share = 1;
    report_progress(&p);
    return BCDA_CONTINUE;
}

/* Counts the files that an earlier run completed, and removes the marks (output.c) that the
 * earlier run left. */
static void look_at_skipped(struct task *t)
{
    size_t i;

    for (i = 0; i < bcda_job_file_count(t->job); i++) {
        const bcda_file *file = bcda_job_file(t->job, i);

        if (bcda_file_verdict(file) != BCDA_VERDICT_SKIPPED)
            continue;
        t->skipped++;
        if (type_of(file) && !output_is_stream(t->run->output))
            output_forget(t->run->output, type_of(file), t->tag, i);
    }
}

/* Returns 1 if the job has ended at the server or no longer exists there. This does not include a
 * missing file: the job may still have its other files. */
static int is_gone(const bcda_job *job, int result)
{
    if (!*bcda_job_url(job) || *bcda_error_file(bcda_job_error(job)))
        return 0;
    return result == BCDA_ERR_JOB_FAILED || result == BCDA_ERR_JOB_CANCELLED ||
           result == BCDA_ERR_GONE || result == BCDA_ERR_NOT_FOUND;
}

/* Returns 1 if the server has no endpoint for the type of this job, and the user did not ask for
 * this type. */
static int is_absent(const struct task *t, int result)
{
    return t->run->level == BCDA_LEVEL_RESOURCE && t->run->all_types &&
           result == BCDA_ERR_NOT_FOUND && !*bcda_job_url(t->job);
}

static void end_failed(struct task *t)
{
    const bcda_error *error = bcda_job_error(t->job);

    if (t->result == BCDA_ERR_CANCELLED || t->result == BCDA_ERR_STOPPED)
        return;
    if (is_absent(t, t->result)) {
        t->absent = 1; /* no error, unless all types are absent: run.c */
        return;
    }
    if (!*bcda_error_file(error) ||
        !t->failed_files) /* otherwise report_failed() has reported it */
        complain_error(t->type ? t->type : "", error);
    t->gone = is_gone(t->job, t->result);
    if (t->gone && t->restored && !t->run->cancelled && !t->run->broken && run_restart(t))
        t->run->broken = 1;
}

static void task_on_done(bcda_job *job, int result, void *userdata)
{
    struct task *t = userdata;
    size_t i;

    t->job = job;
    if (t->run->trial == t && result == BCDA_ERR_NOT_FOUND && run_trial_refused(t->run) == 0)
        return; /* the task was restarted */
    t->ended = 1;
    t->result = result;
    for (i = 0; i < t->slot_count; i++) /* in case the end of a file was not reported */
        close_slot(&t->slots[i]);
    look_at_skipped(t);
    if (result != BCDA_OK)
        end_failed(t);
}

bcda_handlers *task_handlers(struct task *t)
{
    /* A program that reads standard output expects resources, so deletions are not mixed in. */
    bcda_deletion_cb on_deleted = output_is_stream(t->run->output) ? NULL : task_on_deletion;
    bcda_handlers *h = NULL;

    if (bcda_handlers_new(&h) == BCDA_OK &&
        bcda_handlers_on_state(h, task_on_state, t, NULL) == 0 &&
        bcda_handlers_on_file(h, task_on_file, t, NULL) == 0 &&
        bcda_handlers_on_batch(h, task_on_batch, t, NULL) == 0 &&
        bcda_handlers_on_bad_line(h, task_on_bad_line, t, NULL) == 0 &&
        bcda_handlers_on_server_issue(h, task_on_issue, t, NULL) == 0 &&
        bcda_handlers_on_deleted(h, on_deleted, t, NULL) == 0 &&
        bcda_handlers_on_progress(h, task_on_progress, t, NULL) == 0 &&
        bcda_handlers_on_done(h, task_on_done, t, NULL) == 0)
        return h;
    complain("out of memory");
    bcda_handlers_free(h);
    return NULL;
}
