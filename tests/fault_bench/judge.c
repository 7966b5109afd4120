/* Puts the result of one export into a class. A result that fits no other class is RED, with the
 * reason. */
#include "bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EOB "ExplanationOfBenefit"

void cell_red(struct cell *c, const char *format, ...)
{
    va_list ap;

    if (c->class == RED)
        return; /* the cell keeps the first reason for RED */
    c->class = RED;
    va_start(ap, format);
    vsnprintf(c->why, sizeof c->why, format, ap);
    va_end(ap);
}

/* What the client delivered of the export's only data file. */
struct delivered {
    uint8_t hash[32];
    size_t count, provisional;
};

static void add_up(const struct run *r, struct delivered *d)
{
    size_t i;

    memset(d, 0, sizeof *d);
    truth_start(d->hash);
    for (i = 0; i < r->count; i++) {
        truth_add(d->hash, r->got[i].line, r->got[i].line_len);
        d->provisional += r->got[i].provisional != 0;
    }
    d->count = r->count;
}

static int is_prefix(const struct delivered *d, const struct truth *t)
{
    return d->count <= t->count && memcmp(d->hash, t->after[d->count], 32) == 0;
}

static int is_whole(const struct delivered *d, const struct truth *t)
{
    return d->count == t->count && is_prefix(d, t);
}

static int is_line_code(int code)
{
    return code <= BCDA_ERR_LINE_JSON && code >= BCDA_ERR_LINE_TYPE;
}

static void judge_success(const struct row *row, enum form form, const bcda_file *file,
                          const struct delivered *d, const struct truth *made,
                          const struct truth *sent, struct cell *c)
{
    if (!file)
        cell_red(c, "success without the file");
    else if (bcda_file_verdict(file) != BCDA_VERDICT_COMPLETE)
        cell_red(c, "success with the verdict %d", bcda_file_verdict(file));
    else if (row->flags & MUST_FAIL)
        cell_red(c, "success although the check of the file is wrong");
    else if (is_whole(d, made))
        c->class = COMPLETE;
    else if ((row->quiet & ON(form)) && is_whole(d, sent))
        c->class = AS_SENT;
    else if (is_prefix(d, made))
        cell_red(c, "a silent partial result: %zu of %zu resources and a success", d->count,
                 made->count);
    else
        cell_red(c, "altered bytes and a success");
}

/* Whether resources of a file that failed with `code` may have been delivered. In verified mode the
 * client first checks the whole file, and delivers nothing if that fails. A file that passes and
 * has an invalid line is delivered up to that line. */
static int may_deliver(const struct row *row, enum form form, enum mode mode, int code)
{
    return mode == STREAMING || ((form == PLAIN || (row->flags & GENERATED)) && is_line_code(code));
}

static void judge_failure(const struct row *row, enum form form, enum mode mode, int code,
                          const struct delivered *d, const struct truth *made,
                          const struct truth *sent, struct cell *c)
{
    if (d->count == 0)
        c->class = NOTHING;
    else if (!may_deliver(row, form, mode, code))
        cell_red(c, "%zu resources of a file that failed its check were delivered", d->count);
    else if (mode == STREAMING && d->provisional != d->count)
        cell_red(c, "%zu of %zu resources of a failed file were not marked",
                 d->count - d->provisional, d->count);
    else if (is_prefix(d, made))
        c->class = PREFIX;
    else if ((row->flags & ALTERS) && (form == GZIP || is_prefix(d, sent)))
        c->class = ALTERED;
    else
        cell_red(c, "the delivered data is not a part of the original");
}

/* Returns whether the error of the job agrees with that of its file. Besides equal codes,
 * BCDA_ERR_GONE for the job agrees with BCDA_ERR_NOT_FOUND for the file. */
static int codes_agree(int job, int file)
{
    return job == file || (job == BCDA_ERR_GONE && file == BCDA_ERR_NOT_FOUND);
}

static void check_verdict(const struct run *r, const bcda_file *file, struct cell *c)
{
    if (!file && r->count)
        cell_red(c, "resources without a file");
    else if (file && r->files[bcda_file_index(file)].begins &&
             r->files[bcda_file_index(file)].verdict != BCDA_VERDICT_FAILED)
        cell_red(c, "the job failed, and the verdict of its file is %d",
                 r->files[bcda_file_index(file)].verdict);
    else if (file && bcda_file_error(file) &&
             !codes_agree(r->result, bcda_error_code(bcda_file_error(file))))
        cell_red(c, "the code of the job is %s, the code of its file %s",
                 bcda_error_name(r->result),
                 bcda_error_name(bcda_error_code(bcda_file_error(file))));
}

/* ---- deletions ---- */

/* The deletions of the sandbox's file of deletions, which follows the one data file, in the form of
 * struct run. */
static const char all_deletions[] = "1:1 Patient/gone-0\n1:1 Coverage/gone-0\n"
                                    "1:2 Patient/gone-1\n1:2 Coverage/gone-1\n";

static const char *deletions_of(const struct run *r)
{
    return r->deletions.p ? r->deletions.p : "";
}

static const bcda_file *find_deletions(const struct run *r)
{
    size_t i;

    for (i = 0; i < bcda_job_file_count(r->job); i++)
        if (bcda_file_has_deletions(bcda_job_file(r->job, i)))
            return bcda_job_file(r->job, i);
    return NULL;
}

static int have_deletions_failed(const struct run *r)
{
    return bcda_file_verdict(find_deletions(r)) == BCDA_VERDICT_FAILED;
}

/* Judges a job whose file of deletions has failed. The file is a valid gzip file, so in verified
 * mode, too, it is delivered up to its invalid line. */
static void judge_failed_deletions(enum mode mode, const struct run *r, const bcda_file *file,
                                   const struct delivered *d, const struct truth *made,
                                   struct cell *c)
{
    const char *got = deletions_of(r);
    int code = bcda_error_code(bcda_file_error(find_deletions(r)));

    if (!file || bcda_file_verdict(file) != BCDA_VERDICT_COMPLETE || !is_whole(d, made))
        cell_red(c, "the file of deletions failed, and the data file is not complete");
    else if (code != r->result)
        cell_red(c, "the code of the job is %s, the code of its file of deletions %s",
                 bcda_error_name(r->result), bcda_error_name(code));
    else if (strncmp(got, all_deletions, strlen(got)) != 0)
        cell_red(c, "the reported deletions are not a part of the original");
    else if (mode == STREAMING && r->provisional_deletions != bcda_job_deletions(r->job))
        cell_red(c, "deletions of a failed file were not marked");
    else if (mode == VERIFIED && *got && !is_line_code(code))
        cell_red(c, "deletions of a file that failed its check were reported");
    else
        c->class = *got ? PREFIX : NOTHING;
}

static void check_deletions(const struct row *row, const struct run *r, struct cell *c)
{
    const bcda_file *file = find_deletions(r);

    if (!(row->flags & DELETES)) {
        if (file || *deletions_of(r) || bcda_job_deleted_file_count(r->job))
            cell_red(c, "the job reports deletions without cause");
    } else if (!file || !bcda_job_deleted_file_count(r->job)) {
        cell_red(c, "the job does not report its file of deletions");
    } else if (r->result == BCDA_OK && strcmp(deletions_of(r), all_deletions) != 0) {
        cell_red(c, "a success, and not every deletion was reported once");
    } else if (r->result == BCDA_OK && (bcda_file_verdict(file) != BCDA_VERDICT_COMPLETE ||
                                        bcda_job_verdict(r->job) != BCDA_VERDICT_COMPLETE)) {
        cell_red(c, "a success, and the verdict of the file of deletions is %d, of the job %d",
                 bcda_file_verdict(file), bcda_job_verdict(r->job));
    }
}

static void load_truth(const struct row *row, enum form form, struct run *r, struct truth *made,
                       struct truth *sent)
{
    const char *path = sandbox_plain_file(r->fixture->sandbox, EOB, 0);
    char *text = NULL;
    size_t len = 0;

    if (path)
        text = fixture_read(path, &len);
    truth_of(made, text, len);
    if (path)
        len = truth_alter(row, form, text, len);
    truth_of(sent, text, len);
    free(text);
}

void judge(const struct row *row, enum form form, enum mode mode, struct run *r, struct cell *c)
{
    const bcda_file *file = fixture_file(r, EOB, 0);
    struct truth made, sent;
    struct delivered d;

    c->code = r->result;
    add_up(r, &d);
    load_truth(row, form, r, &made, &sent);
    if (r->done != 1)
        cell_red(c, "on_done was called %d times", r->done);
    else if (r->result == BCDA_OK)
        judge_success(row, form, file, &d, &made, &sent, c);
    else if (have_deletions_failed(r))
        judge_failed_deletions(mode, r, file, &d, &made, c);
    else
        judge_failure(row, form, mode, r->result, &d, &made, &sent, c);
    if (r->result != BCDA_OK && !have_deletions_failed(r))
        check_verdict(r, file, c);
    if (r->result == BCDA_OK && bcda_job_missing_type_count(r->job))
        cell_red(c, "the job reports a missing type without cause");
    check_deletions(row, r, c);
    if (sandbox_count(r->fixture->sandbox, "elsewhere"))
        cell_red(c, "a token was sent to another origin");
    truth_free(&made);
    truth_free(&sent);
}
