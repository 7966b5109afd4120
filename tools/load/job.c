/* One job of a load: its callbacks store the rows of each file in the database. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_SHOWN 10 /* remarks about lines that are printed; more are only counted */

/* A file between its BEGIN and its END. Its slot is its index in the array. */
struct open_file {
    const bcda_file *file; /* NULL = the slot is free */
    int64_t remarks;
    int64_t issues;
    int64_t resources;
};

/* Ends the job, because the database cannot store its data. */
static int stop_job(struct loader *l, int why)
{
    if (!l->stop)
        l->stop = why;
    return BCDA_STOP;
}

static struct open_file *slot_of_file(struct loader *l, const bcda_file *file)
{
    size_t i;

    for (i = 0; i < FILES_MAX; i++)
        if (l->files[i].file == file)
            return &l->files[i];
    return NULL;
}

static int slot_number(const struct loader *l, const struct open_file *f)
{
    return (int)(f - l->files);
}

/* ---- the state of the job ---- */

/* Replaces the text of the job in the database. This also removes the lines that an earlier run has
 * appended. */
static int save_whole_job(struct loader *l)
{
    char *text;
    int rc;

    if (bcda_job_save(l->job, &text)) {
        complain_error("the state of the job", bcda_session_error(l->session));
        return STORE_FAILED;
    }
    rc = l->db->save_job(l->store, &l->load, text);
    bcda_free(text);
    return rc;
}

/* The transaction time of the first job is where the next load of this request begins. A later job
 * of the load, which brings only what the first one could not, must not replace it. */
static int note_transaction_time(struct loader *l)
{
    char *time;

    if (*l->load.transaction_time)
        return 0;
    time = strdup(bcda_job_transaction_time(l->job));
    if (!time) {
        complain("out of memory");
        return -1;
    }
    free(l->load.transaction_time);
    l->load.transaction_time = time;
    return 0;
}

static void say_job_accepted(const struct loader *l)
{
    const char *how = l->is_restored                   ? "is resumed"
                      : bcda_job_is_taken_over(l->job) ? "was running already and is taken over"
                                                       : "was accepted";
    char id[80];

    say("job %s %s", clean(id, sizeof id, bcda_job_id(l->job)), how);
}

/* The status URL is saved at once, so that a load that is killed while the server works does not
 * start a second export there. */
static int load_on_state(bcda_job *job, int state, void *userdata)
{
    struct loader *l = userdata;
    int rc;

    if (state == BCDA_JOB_RUNNING) {
        say_job_accepted(l);
    } else if (state == BCDA_JOB_DOWNLOADING) {
        say("%zu file%s", bcda_job_file_count(job), bcda_job_file_count(job) == 1 ? "" : "s");
        if (note_transaction_time(l))
            return stop_job(l, STORE_FAILED);
    } else {
        return BCDA_CONTINUE;
    }
    rc = save_whole_job(l);
    return rc ? stop_job(l, rc) : BCDA_CONTINUE;
}

/* ---- remarks ---- */

/* Stores a remark with the file. */
static int add_file_remark(struct loader *l, struct open_file *f, const struct remark *r)
{
    return l->db->add_remark(l->store, slot_number(l, f), r);
}

static void show_remark(struct loader *l, const bcda_file *file, const struct remark *r)
{
    char name[128];

    if (l->lines_shown > LINES_SHOWN)
        return;
    if (l->lines_shown++ == LINES_SHOWN)
        complain("more such lines are only counted; see the table bcda_remark");
    else
        complain("%s, line %" PRId64 ": %s", clean(name, sizeof name, bcda_file_name(file)),
                 r->line, r->reason);
}

static int load_on_bad_line(bcda_job *job, const bcda_bad_line *line, void *userdata)
{
    struct loader *l = userdata;
    struct open_file *f = slot_of_file(l, bcda_bad_line_file(line));
    int code = bcda_bad_line_code(line);
    struct remark r = {.kind = "invalid line",
                       .line = bcda_bad_line_number(line),
                       .reason = bcda_error_string(code)};
    int rc;

    (void)job;
    if (!f)
        return stop_job(l, STORE_FAILED);
    if (bcda_file_has_deletions(f->file) && code == BCDA_ERR_LINE_TYPE)
        r.reason = "a line is not a Bundle of DELETE requests";
    r.bytes = bcda_bad_line_bytes(line, &r.len);
    show_remark(l, f->file, &r);
    f->remarks++;
    rc = add_file_remark(l, f, &r);
    return rc ? stop_job(l, rc) : BCDA_CONTINUE;
}

static int load_on_issue(bcda_job *job, const bcda_issue *issue, void *userdata)
{
    static const char *const severities[] = {"unknown severity", "information", "warning", "error",
                                             "fatal"};
    struct loader *l = userdata;
    const bcda_resource *outcome = bcda_issue_resource(issue);
    struct open_file *f = slot_of_file(l, bcda_resource_file(outcome));
    int severity = bcda_issue_severity(issue);
    struct remark r = {.kind = "server issue", .line = bcda_resource_line_number(outcome)};
    int rc;

    (void)job;
    if (!f)
        return stop_job(l, STORE_FAILED);
    if (severity >= BCDA_SEVERITY_ERROR)
        f->issues++;
    r.reason = severities[severity >= 0 && severity <= BCDA_SEVERITY_FATAL ? severity : 0];
    if (bcda_issue_index(issue) == 0)
        r.bytes = bcda_resource_json(outcome, &r.len);
    rc = add_file_remark(l, f, &r);
    return rc ? stop_job(l, rc) : BCDA_CONTINUE;
}

/* ---- rows ---- */

/* One column of --field in a batch. */
struct field_column {
    const char *base;
    const uint64_t *first;
    const uint64_t *offsets;
    const uint64_t *lengths;
};

/* The columns of a batch. */
struct batch_columns {
    const char *json, *type, *id, *updated;
    const uint64_t *json_at, *type_at, *id_at, *updated_at;
    const uint64_t *json_len, *type_len, *id_len, *updated_len;
    const uint64_t *lines;
    struct field_column fields[FIELDS_MAX];
};

static int read_columns(const struct loader *l, bcda_batch *batch, struct batch_columns *c)
{
    size_t i;

    if (bcda_batch_column(batch, BCDA_COLUMN_JSON, &c->json, &c->json_at, &c->json_len) ||
        bcda_batch_column(batch, BCDA_COLUMN_TYPE, &c->type, &c->type_at, &c->type_len) ||
        bcda_batch_column(batch, BCDA_COLUMN_ID, &c->id, &c->id_at, &c->id_len) ||
        bcda_batch_column(batch, BCDA_COLUMN_LAST_UPDATED, &c->updated, &c->updated_at,
                          &c->updated_len))
        return -1;
    c->lines = bcda_batch_line_numbers(batch);
    for (i = 0; i < l->args->field_count; i++) {
        struct field_column *f = &c->fields[i];

        if (bcda_batch_field_column(batch, l->field_index[i], &f->base, &f->first, &f->offsets,
                                    &f->lengths)) {
            complain("out of memory");
            return -1;
        }
    }
    return 0;
}

/* Makes room for `more` bytes after the first `used` bytes of the scratch memory. */
static int scratch_reserve(struct loader *l, size_t used, size_t more)
{
    size_t size = l->scratch_size ? l->scratch_size : 4096;
    char *p;

    while (size - used < more)
        size *= 2;
    if (size == l->scratch_size)
        return 0;
    p = realloc(l->scratch, size);
    if (!p) {
        complain("out of memory");
        return -1;
    }
    l->scratch = p;
    l->scratch_size = size;
    return 0;
}

/* Writes a text as a JSON string. `to` has room for 6 bytes for each byte, and for the quotes. */
static size_t write_json_string(char *to, const char *text, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    size_t i;

    to[n++] = '"';
    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\') {
            to[n++] = '\\';
            to[n++] = (char)c;
        } else if (c < 0x20) {
            memcpy(to + n, "\\u00", 4);
            to[n + 4] = digits[c >> 4];
            to[n + 5] = digits[c & 15];
            n += 6;
        } else {
            to[n++] = (char)c;
        }
    }
    to[n++] = '"';
    return n;
}

/* Writes several values as a JSON array to the scratch memory, at `*used`. */
static int write_values(struct loader *l, const struct field_column *f, size_t row, size_t *used)
{
    size_t need = 2;
    size_t n;
    uint64_t k;

    for (k = f->first[row]; k < f->first[row + 1]; k++)
        need += 6 * (size_t)f->lengths[k] + 3;
    if (scratch_reserve(l, *used, need))
        return -1;
    n = *used;
    for (k = f->first[row]; k < f->first[row + 1]; k++) {
        l->scratch[n++] = k == f->first[row] ? '[' : ',';
        n += write_json_string(l->scratch + n, f->base + f->offsets[k], (size_t)f->lengths[k]);
    }
    l->scratch[n++] = ']';
    *used = n;
    return 0;
}

/* Sets the values of --field: one value is stored as it is, several as a JSON array of texts. */
static int row_values(struct loader *l, const struct batch_columns *c, size_t i, struct row *r)
{
    size_t starts[FIELDS_MAX];
    size_t used = 0;
    size_t k;

    for (k = 0; k < l->args->field_count; k++) {
        const struct field_column *f = &c->fields[k];
        uint64_t count = f->first[i + 1] - f->first[i];

        starts[k] = used;
        r->values[k] = NULL;
        r->value_lens[k] = 0;
        if (count == 1) {
            r->values[k] = f->base + f->offsets[f->first[i]];
            r->value_lens[k] = (size_t)f->lengths[f->first[i]];
        } else if (count > 1) {
            if (write_values(l, f, i, &used))
                return -1;
            r->value_lens[k] = used - starts[k];
        }
    }
    /* Only now, because the scratch memory may have moved. */
    for (k = 0; k < l->args->field_count; k++)
        if (!r->values[k] && r->value_lens[k])
            r->values[k] = l->scratch + starts[k];
    return 0;
}

static int refuse_row(struct loader *l, struct open_file *f, const struct row *r)
{
    struct remark remark = {.kind = "not stored",
                            .line = r->line,
                            .reason = "the resource has no id",
                            .bytes = r->json,
                            .len = r->json_len};

    show_remark(l, f->file, &remark);
    f->remarks++;
    return add_file_remark(l, f, &remark);
}

static int store_row(struct loader *l, struct open_file *f, const struct batch_columns *c, size_t i)
{
    struct row r = {.line = (int64_t)c->lines[i],
                    .type = c->type + c->type_at[i],
                    .type_len = (size_t)c->type_len[i],
                    .id = c->id + c->id_at[i],
                    .id_len = (size_t)c->id_len[i],
                    .updated = instant_parse(c->updated + c->updated_at[i]),
                    .json = c->json + c->json_at[i],
                    .json_len = (size_t)c->json_len[i]};

    if (!r.id_len)
        return refuse_row(l, f, &r);
    if (row_values(l, c, i, &r))
        return STORE_FAILED;
    f->resources++;
    return l->db->add_row(l->store, slot_number(l, f), &r);
}

static int load_on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    struct loader *l = userdata;
    struct open_file *f = slot_of_file(l, bcda_batch_file(batch));
    struct batch_columns c;
    size_t i;
    int rc = STORE_OK;

    (void)job;
    if (!f || read_columns(l, batch, &c))
        return stop_job(l, STORE_FAILED);
    for (i = 0; !rc && i < bcda_batch_count(batch); i++)
        rc = store_row(l, f, &c, i);
    return rc ? stop_job(l, rc) : BCDA_CONTINUE;
}

static int load_on_deletion(bcda_job *job, const bcda_deletion *deletion, void *userdata)
{
    struct loader *l = userdata;
    const bcda_resource *bundle = bcda_deletion_resource(deletion);
    struct open_file *f = slot_of_file(l, bcda_resource_file(bundle));
    struct row r = {.line = bcda_resource_line_number(bundle),
                    .type = bcda_deletion_type(deletion),
                    .type_len = strlen(bcda_deletion_type(deletion)),
                    .id = bcda_deletion_id(deletion),
                    .id_len = strlen(bcda_deletion_id(deletion))};
    int rc;

    (void)job;
    if (!f)
        return stop_job(l, STORE_FAILED);
    rc = l->db->add_row(l->store, slot_number(l, f), &r);
    return rc ? stop_job(l, rc) : BCDA_CONTINUE;
}

/* ---- files ---- */

static int begin_load_file(struct loader *l, const bcda_file *file)
{
    struct open_file *f = slot_of_file(l, NULL);
    int rc;

    if (!f) {
        complain("more than %d files are open", FILES_MAX);
        return STORE_FAILED;
    }
    rc = l->db->begin_file(l->store, slot_number(l, f), bcda_file_name(file));
    if (!rc)
        *f = (struct open_file){.file = file};
    return rc;
}

static void report_failed_file(struct loader *l, const bcda_file *file)
{
    int code = bcda_error_code(bcda_file_error(file));

    if (code == BCDA_ERR_CANCELLED || code == BCDA_ERR_STOPPED)
        return;
    complain_error("", bcda_file_error(file));
    complain("  nothing of this file is loaded");
    l->failed_files++;
}

/* Returns 1 if a file is complete for the library, but has no line that can be used. */
static int is_useless(const bcda_file *file)
{
    char name[128];

    if (bcda_file_is_error(file) || !bcda_file_bad_lines(file) || bcda_file_resources(file))
        return 0;
    complain("%s: none of its %" PRId64 " lines is a %s: is it encrypted, or not NDJSON?",
             clean(name, sizeof name, bcda_file_name(file)), bcda_file_bad_lines(file),
             bcda_file_has_deletions(file) ? "Bundle of DELETE requests" : "resource");
    return 1;
}

static void add_counts(struct counts *sum, const struct counts *one)
{
    sum->files += one->files;
    sum->resources += one->resources;
    sum->outdated += one->outdated;
    sum->deletions += one->deletions;
    sum->remarks += one->remarks;
}

/* Stores the rows of a complete file, together with what it changes in the state of the job. If
 * that fails, the job is stopped, and the library does not count the file as complete. */
static int commit_file(struct loader *l, struct open_file *f)
{
    struct file_end end = {
        .name = bcda_file_name(f->file),
        .has_deletions = bcda_file_has_deletions(f->file),
        .transaction_time = instant_parse(bcda_job_transaction_time(l->job)),
        .counts = {.files = 1, .resources = f->resources, .remarks = f->remarks + f->issues}};
    char *text;
    int rc;

    if (bcda_job_save_changes(l->job, &text)) {
        complain_error("the state of the job", bcda_session_error(l->session));
        return STORE_FAILED;
    }
    end.saved = text;
    rc = l->db->finish_file(l->store, &l->load, slot_number(l, f), &end);
    bcda_free(text);
    if (rc)
        return rc;
    add_counts(&l->load.counts, &end.counts);
    l->job_files++;
    l->files_loaded++;
    l->bytes += bcda_file_bytes(f->file);
    l->bytes_received += bcda_file_bytes_received(f->file);
    return STORE_OK;
}

static int end_load_file(struct loader *l, const bcda_file *file)
{
    struct open_file *f = slot_of_file(l, file);
    int verdict = bcda_file_verdict(file);
    int rc = STORE_OK;

    if (!f) /* the file could not begin */
        return STORE_FAILED;
    if (verdict != BCDA_VERDICT_COMPLETE && verdict != BCDA_VERDICT_COMPLETE_BAD_LINES)
        report_failed_file(l, file);
    else if (l->stop)
        rc = l->stop;
    else
        rc = is_useless(file) ? STORE_FAILED : commit_file(l, f);
    l->db->drop_file(l->store, slot_number(l, f));
    f->file = NULL;
    return rc;
}

static int load_on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    struct loader *l = userdata;
    int rc = event == BCDA_FILE_BEGIN ? begin_load_file(l, file) : end_load_file(l, file);

    (void)job;
    return rc ? stop_job(l, rc) : BCDA_CONTINUE;
}

/* ---- progress and end ---- */

static int load_on_progress(bcda_job *job, void *userdata)
{
    struct progress p = {.state = bcda_job_state(job),
                         .server = bcda_job_progress_text(job),
                         .files = bcda_job_file_count(job),
                         .ended = bcda_job_files_ended(job),
                         .resources = bcda_job_resources(job),
                         .bytes = bcda_job_bytes(job)};

    (void)userdata;
    p.share = p.files ? (double)p.ended / (double)p.files : 0;
    report_progress(&p);
    return BCDA_CONTINUE;
}

static void load_on_done(bcda_job *job, int result, void *userdata)
{
    struct loader *l = userdata;
    size_t i;

    (void)job;
    l->ended = 1;
    l->result = result;
    for (i = 0; i < FILES_MAX; i++) { /* in case the end of a file was not reported */
        if (l->files[i].file && l->store)
            l->db->drop_file(l->store, (int)i);
        l->files[i].file = NULL;
    }
}

static bcda_handlers *load_handlers(struct loader *l)
{
    bcda_handlers *h = NULL;

    if (bcda_handlers_new(&h) == BCDA_OK &&
        bcda_handlers_on_state(h, load_on_state, l, NULL) == 0 &&
        bcda_handlers_on_file(h, load_on_file, l, NULL) == 0 &&
        bcda_handlers_on_batch(h, load_on_batch, l, NULL) == 0 &&
        bcda_handlers_on_bad_line(h, load_on_bad_line, l, NULL) == 0 &&
        bcda_handlers_on_server_issue(h, load_on_issue, l, NULL) == 0 &&
        bcda_handlers_on_deleted(h, load_on_deletion, l, NULL) == 0 &&
        bcda_handlers_on_progress(h, load_on_progress, l, NULL) == 0 &&
        bcda_handlers_on_done(h, load_on_done, l, NULL) == 0)
        return h;
    complain("out of memory");
    bcda_handlers_free(h);
    return NULL;
}

int job_init(struct loader *l)
{
    l->files = calloc(FILES_MAX, sizeof *l->files);
    if (l->files)
        return 0;
    complain("out of memory");
    return -1;
}

int job_begin(struct loader *l)
{
    bcda_handlers *h = load_handlers(l);
    const char *saved = l->load.saved;
    int rc;

    if (!h)
        return -1;
    l->is_restored = saved && *saved;
    l->ended = l->result = l->stop = 0;
    l->failed_files = l->job_files = 0;
    if (l->is_restored)
        rc = bcda_job_restore(l->session, saved, strlen(saved), l->export_, h, &l->job);
    else
        rc = bcda_job_start(l->session, l->export_, h, &l->job);
    if (rc)
        complain_error(l->is_restored ? "the job in the database" : "",
                       bcda_session_error(l->session));
    if (rc && l->is_restored)
        complain("  it cannot be resumed: use --full to start a new load");
    bcda_handlers_free(h);
    return rc ? -1 : 0;
}

/* A missing file does not end the job: the server may still have its other files. */
int job_is_gone(const struct loader *l)
{
    if (!*bcda_job_url(l->job) || *bcda_error_file(bcda_job_error(l->job)))
        return 0;
    return l->result == BCDA_ERR_JOB_FAILED || l->result == BCDA_ERR_JOB_CANCELLED ||
           l->result == BCDA_ERR_GONE || l->result == BCDA_ERR_NOT_FOUND;
}

void job_release(struct loader *l)
{
    bcda_job_unref(l->job);
    l->job = NULL;
}

void job_free(struct loader *l)
{
    job_release(l);
    free(l->files);
    free(l->scratch);
}
