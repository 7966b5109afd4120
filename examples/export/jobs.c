/* What bcda-export does in the callbacks of its jobs. */
#include "jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD_LINES_SHOWN 10
#define FILES_LOOKED_AT 2000 /* by the progress bar, in one file after the other */

static void save_state(struct run *r)
{
    char *lines[TYPES_MAX];
    size_t i;

    for (i = 0; i < r->task_count; i++)
        lines[i] = r->tasks[i].saved;
    if (state_save(r->state, lines, r->task_count, &r->remarks))
        r->broken = 1;
}

/* Takes down how far a job is, after what it has brought is safe. */
static void save_job(struct task *t)
{
    char *text;

    if (!t->run->args->resume || t->run->broken)
        return;
    if (bcda_job_save(t->job, &text)) {
        complain("the state of the job cannot be had");
        t->run->broken = 1;
        return;
    }
    free(t->saved);
    t->saved = strdup(text);
    bcda_free(text);
    if (!t->saved)
        t->run->broken = 1;
    save_state(t->run);
}

/* Ends everything, since going on would lose data. */
static int give_up(struct run *r)
{
    r->broken = 1;
    run_cancel(r);
    return BCDA_STOP;
}

static struct slot *slot_of(struct task *t, const bcda_file *file)
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

/* The name under which a file's resources are kept; NULL if the manifest's type cannot be one. */
static const char *type_of(const bcda_file *file)
{
    if (bcda_file_is_error(file))
        return "OperationOutcome";
    return output_type_is_fine(bcda_file_type(file)) ? bcda_file_type(file) : NULL;
}

static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

static int on_state(bcda_job *job, int state, void *userdata)
{
    struct task *t = userdata;
    const char *type = t->type ? t->type : "";
    char id[80];

    t->job = job;
    if (state == BCDA_JOB_RUNNING) {
        t->tag = hash(bcda_job_url(job));
        clean(id, sizeof id, bcda_job_id(job));
        say("%s%sjob %s %s", type, *type ? ": " : "", id, t->restored ? "goes on" : "was accepted");
        save_job(t);
        if (t->run->broken)
            return give_up(t->run);
        if (t->run->trial == t && run_trial_accepted(t->run))
            return give_up(t->run);
    } else if (state == BCDA_JOB_DOWNLOADING) {
        if (!t->run->downloading)
            t->run->downloading = now_ms();
        say("%s%s%zu file%s", type, *type ? ": " : "", bcda_job_file_count(job),
            bcda_job_file_count(job) == 1 ? "" : "s");
    }
    return BCDA_CONTINUE;
}

static int begin_file(struct task *t, const bcda_file *file, struct slot *slot)
{
    const char *type = type_of(file);
    char name[128];

    slot->issues = 0;
    if (!type || (bcda_file_is_error(file) && output_is_stream(t->run->output)))
        return BCDA_CONTINUE; /* end_file() says so */
    slot->file = output_begin(t->run->output, type, t->tag, bcda_file_index(file), t->restored);
    if (slot->file)
        return BCDA_CONTINUE;
    complain("%s cannot be written", clean(name, sizeof name, bcda_file_name(file)));
    return give_up(t->run);
}

static void count_file(struct run *r, const bcda_file *file, const struct slot *slot)
{
    const char *type = type_of(file);
    size_t i = 0;

    r->remarks.bad_lines += bcda_file_bad_lines(file);
    r->remarks.issues += slot->issues;
    r->bytes += bcda_file_bytes(file);
    r->bytes_received += bcda_file_bytes_received(file);
    while (i < r->tally_count && strcmp(r->tallies[i].type, type) != 0)
        i++;
    if (i == TYPES_MAX)
        i--; /* more types than FHIR has in use: the last line takes them all */
    if (i == r->tally_count)
        snprintf(r->tallies[r->tally_count++].type, TYPE_SIZE, "%s", type);
    r->tallies[i].files++;
    r->tallies[i].resources += slot->file ? output_lines(slot->file) : bcda_file_resources(file);
}

/* A file that the library finds complete, but that is of no use here. The saved state will have it
 * as complete, so that it is taken down there too. */
static int is_refused(struct run *r, const bcda_file *file)
{
    char name[128];
    char type[128];

    clean(name, sizeof name, bcda_file_name(file));
    if (!type_of(file))
        complain("%s: its type \"%s\" cannot be part of a file name; it was not written", name,
                 clean(type, sizeof type, bcda_file_type(file)));
    else if (!bcda_file_is_error(file) && bcda_file_bad_lines(file) && !bcda_file_resources(file))
        complain("%s: none of its %" PRId64
                 " lines is a resource: encrypted without saying so, or no NDJSON at all?",
                 name, bcda_file_bad_lines(file));
    else
        return 0;
    r->remarks.refused++;
    return 1;
}

static int end_file(struct task *t, const bcda_file *file, struct slot *slot)
{
    struct run *r = t->run;
    int verdict = bcda_file_verdict(file);
    int result = BCDA_CONTINUE;

    if (verdict != BCDA_VERDICT_COMPLETE && verdict != BCDA_VERDICT_COMPLETE_BAD_LINES) {
        int code = bcda_error_code(bcda_file_error(file));

        if (code != BCDA_ERR_CANCELLED && code != BCDA_ERR_STOPPED) {
            complain_error("", bcda_file_error(file));
            r->failed_files++;
        }
        if (slot->file && output_is_stream(r->output) && output_lines(slot->file))
            complain("  %" PRId64 " of its resources may be on standard output: do not use them",
                     output_lines(slot->file));
    } else if (is_refused(r, file)) {
        save_job(t);
    } else {
        if (slot->file && (output_lines(slot->file) || !bcda_file_is_error(file)) &&
            output_commit(slot->file)) {
            result = give_up(r);
        } else {
            count_file(r, file, slot);
            save_job(t);
            if (r->broken && r->args->resume) { /* or the next run would have it twice */
                output_keep_part(slot->file);
                result = give_up(r);
            }
        }
    }
    output_end(slot->file);
    slot->file = NULL;
    return result;
}

static int on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    struct task *t = userdata;
    struct slot *slot = slot_of(t, file);

    (void)job;
    if (!slot)
        return give_up(t->run);
    if (event == BCDA_FILE_BEGIN)
        return begin_file(t, file, slot);
    if (quarantine_sync(t->run->quarantine)) { /* a file is not kept without its bad lines */
        output_end(slot->file);
        slot->file = NULL;
        return give_up(t->run);
    }
    return end_file(t, file, slot);
}

static int on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    struct task *t = userdata;
    struct slot *slot = slot_of(t, bcda_batch_file(batch));
    const char *base;
    const uint64_t *offsets;
    const uint64_t *lengths;
    size_t i;

    (void)job;
    if (!slot || bcda_batch_column(batch, BCDA_COLUMN_JSON, &base, &offsets, &lengths))
        return give_up(t->run);
    for (i = 0; slot->file && i < bcda_batch_count(batch); i++)
        if (output_line(slot->file, base + offsets[i], (size_t)lengths[i]))
            return give_up(t->run);
    return BCDA_CONTINUE;
}

static int on_bad_line(bcda_job *job, const bcda_bad_line *line, void *userdata)
{
    struct task *t = userdata;
    char name[128];

    (void)job;
    if (quarantine_line(t->run->quarantine, line))
        return give_up(t->run);
    if (t->run->bad_lines_shown++ < BAD_LINES_SHOWN)
        complain("%s, line %" PRId64 ": %s",
                 clean(name, sizeof name, bcda_file_name(bcda_bad_line_file(line))),
                 bcda_bad_line_number(line), bcda_error_string(bcda_bad_line_code(line)));
    else if (t->run->bad_lines_shown == BAD_LINES_SHOWN + 1)
        complain("more bad lines are only counted");
    return BCDA_CONTINUE;
}

static int on_issue(bcda_job *job, const bcda_issue *issue, void *userdata)
{
    struct task *t = userdata;
    const bcda_resource *outcome = bcda_issue_resource(issue);
    struct slot *slot = slot_of(t, bcda_resource_file(outcome));
    const char *json;
    size_t len;

    (void)job;
    if (!slot)
        return give_up(t->run);
    if (bcda_issue_severity(issue) >= BCDA_SEVERITY_ERROR)
        slot->issues++;
    else
        t->run->warnings++;
    if (bcda_issue_index(issue) != 0 || !slot->file)
        return BCDA_CONTINUE;
    json = bcda_resource_json(outcome, &len);
    return output_line(slot->file, json, len) ? give_up(t->run) : BCDA_CONTINUE;
}

/* Files count alike, since their sizes are not known before they are asked for. */
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

static int on_progress(bcda_job *job, void *userdata)
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

/* The files that the run before had, and what may lie about from it. */
static void look_at_skipped(struct task *t)
{
    size_t i;

    for (i = 0; i < bcda_job_file_count(t->job); i++) {
        const bcda_file *file = bcda_job_file(t->job, i);

        if (bcda_file_verdict(file) != BCDA_VERDICT_SKIPPED)
            continue;
        t->run->skipped++;
        if (type_of(file))
            output_forget(t->run->output, type_of(file), t->tag, i);
    }
}

static void on_done(bcda_job *job, int result, void *userdata)
{
    struct task *t = userdata;
    const bcda_error *error = bcda_job_error(job);
    size_t i;

    t->job = job;
    if (t->run->trial == t && result == BCDA_ERR_NOT_FOUND && run_trial_refused(t->run) == 0)
        return; /* this very task begins anew */
    t->ended = 1;
    t->result = result;
    if (t->run->all_types && result == BCDA_ERR_NOT_FOUND && !*bcda_job_url(job)) {
        say("%s: the server does not have it", t->type ? t->type : "");
        t->result = BCDA_OK;
        return;
    }
    look_at_skipped(t);
    for (i = 0; i < t->slot_count; i++) { /* files without an end, should there be any */
        output_end(t->slots[i].file);
        t->slots[i].file = NULL;
    }
    if (result == BCDA_OK || result == BCDA_ERR_CANCELLED || result == BCDA_ERR_STOPPED)
        return;
    if (!*bcda_error_file(error) || !t->run->failed_files) /* else it was told at the file's end */
        complain_error(t->type ? t->type : "", error);
    if (t->restored && (result == BCDA_ERR_GONE || result == BCDA_ERR_NOT_FOUND))
        complain("  the job in %s is no more: remove that file and start anew",
                 t->run->args->resume);
}

bcda_handlers *task_handlers(struct task *t)
{
    bcda_handlers *h = NULL;

    if (bcda_handlers_new(&h) == BCDA_OK && bcda_handlers_on_state(h, on_state, t, NULL) == 0 &&
        bcda_handlers_on_file(h, on_file, t, NULL) == 0 &&
        bcda_handlers_on_batch(h, on_batch, t, NULL) == 0 &&
        bcda_handlers_on_bad_line(h, on_bad_line, t, NULL) == 0 &&
        bcda_handlers_on_server_issue(h, on_issue, t, NULL) == 0 &&
        bcda_handlers_on_progress(h, on_progress, t, NULL) == 0 &&
        bcda_handlers_on_done(h, on_done, t, NULL) == 0)
        return h;
    complain("out of memory");
    bcda_handlers_free(h);
    return NULL;
}
