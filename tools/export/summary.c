/* Prints the results at the end of a run. */
#include "jobs.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

/* ---- sums over the jobs ---- */

struct remarks run_remarks(const struct run *r)
{
    struct remarks sum = {0};
    size_t i;

    for (i = 0; i < r->task_count; i++) {
        sum.bad_lines += r->tasks[i].kept->remarks.bad_lines;
        sum.issues += r->tasks[i].kept->remarks.issues;
        sum.refused += r->tasks[i].kept->remarks.refused;
    }
    return sum;
}

static size_t sum_over_jobs(const struct run *r, size_t (*count)(const bcda_job *job))
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < r->task_count; i++)
        n += count(r->tasks[i].job);
    return n;
}

static size_t count_data_files(const bcda_job *job)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < bcda_job_file_count(job); i++)
        n += !bcda_file_is_error(bcda_job_file(job, i));
    return n;
}

size_t run_data_files(const struct run *r)
{
    return sum_over_jobs(r, count_data_files);
}

size_t run_missing_types(const struct run *r)
{
    return sum_over_jobs(r, bcda_job_missing_type_count);
}

size_t run_deletions_left_out(const struct run *r)
{
    return output_is_stream(r->output) ? sum_over_jobs(r, bcda_job_deleted_file_count) : 0;
}

/* ---- the data ---- */

static void add_tally(struct tally *sums, size_t *count, const struct tally *one)
{
    size_t i = 0;

    while (i < *count && strcmp(sums[i].type, one->type) != 0)
        i++;
    if (i == TYPES_MAX)
        i--; /* the last entry is for all other types */
    if (i == *count) {
        sums[i] = *one;
        ++*count;
        return;
    }
    sums[i].files += one->files;
    sums[i].resources += one->resources;
}

/* Prints one line per type, with the sums over all jobs. Returns the number of resources, not
 * counting OperationOutcomes and deletions. */
static int64_t print_tallies(const struct run *r)
{
    struct tally sums[TYPES_MAX];
    size_t count = 0;
    int64_t resources = 0;
    size_t i;
    size_t k;

    for (i = 0; i < r->task_count; i++)
        for (k = 0; k < r->tasks[i].tally_count; k++)
            add_tally(sums, &count, &r->tasks[i].tallies[k]);
    for (i = 0; i < count; i++) {
        int has_deletions = strcmp(sums[i].type, DELETED) == 0;

        say("%-24s %10" PRId64 " %s in %zu file%s", sums[i].type, sums[i].resources,
            has_deletions ? "deletions" : "resources", sums[i].files,
            sums[i].files == 1 ? "" : "s");
        if (!has_deletions && strcmp(sums[i].type, "OperationOutcome") != 0)
            resources += sums[i].resources;
    }
    return resources;
}

void summary_print(const struct run *r)
{
    int64_t resources = print_tallies(r);
    int64_t end = now_ms();
    double seconds = (double)(end - r->started) / 1000;
    double moving = (double)(end - r->downloading) / 1000;
    char decoded[32];
    char received[32];
    char speed[32];
    char memory[32];
    struct rusage used;
    size_t skipped = 0;
    size_t i;

    for (i = 0; i < r->task_count; i++)
        skipped += r->tasks[i].skipped;
    if (skipped)
        say("%zu file%s here from the previous run", skipped, skipped == 1 ? " was" : "s were");
    getrusage(RUSAGE_SELF, &used);
    say("%" PRId64 " resources, %s (%s received) in %.1f s; downloaded at %s/s, peak memory %s",
        resources, bytes_text(decoded, sizeof decoded, (double)r->bytes),
        bytes_text(received, sizeof received, (double)r->bytes_received), seconds,
        bytes_text(speed, sizeof speed, moving > 0 ? (double)r->bytes / moving : 0),
        bytes_text(memory, sizeof memory, (double)used.ru_maxrss * 1024));
}

/* ---- the causes of exit status 3 ---- */

static void print_missing(const struct run *r)
{
    char type[TYPE_SIZE];
    size_t i;
    size_t k;

    for (i = 0; i < r->task_count; i++)
        for (k = 0; k < bcda_job_missing_type_count(r->tasks[i].job); k++)
            complain("%s: was requested, but the server has no file of it",
                     clean(type, sizeof type, bcda_job_missing_type(r->tasks[i].job, k)));
    if (!run_missing_types(r) && !run_data_files(r))
        complain("the server has no file of data for this export");
}

static void print_issues(const struct run *r, int64_t errors)
{
    const char *where =
        output_is_stream(r->output) ? "use --out DIR to get them" : "see OperationOutcome-*.ndjson";

    if (errors)
        complain("the server reports %" PRId64 " error%s and %" PRId64 " other remark%s; %s",
                 errors, errors == 1 ? "" : "s", r->warnings, r->warnings == 1 ? "" : "s", where);
    else if (r->warnings)
        say("the server has %" PRId64 " remark%s; %s", r->warnings, r->warnings == 1 ? "" : "s",
            where);
}

void summary_remarks(const struct run *r)
{
    struct remarks sum = run_remarks(r);
    const char *kept = quarantine_path(r->quarantine);
    size_t left_out = run_deletions_left_out(r);

    print_missing(r);
    if (left_out)
        complain("%zu file%s of deletions %s not exported, because standard output is for "
                 "resources only; use --out DIR to get them",
                 left_out, left_out == 1 ? "" : "s", left_out == 1 ? "was" : "were");
    if (sum.bad_lines)
        complain("%" PRId64 " invalid line%s%s%s", sum.bad_lines, sum.bad_lines == 1 ? "" : "s",
                 kept ? "; see " : "", kept ? kept : "");
    print_issues(r, sum.issues);
}
