/* The jobs of one run. jobs.c has their callbacks, run.c starts them, and summary.c prints the
 * results. */
#ifndef BCDA_EXPORT_JOBS_H
#define BCDA_EXPORT_JOBS_H

#include "export.h"

/* One file of a job's manifest. */
struct slot {
    struct output_file *file; /* NULL before the file begins and after it ends */
    struct held *held;        /* the invalid lines of the file; NULL = none */
    int64_t issues;           /* issues of severity error or fatal */
    int64_t deletions;
    int64_t bundle_line; /* the line of the last Bundle of deletions that was written; 0 = none */
};

/* Files of deletions are written as Deleted-0001.ndjson and so on. FHIR has no resource type of
 * this name. */
#define DELETED "Deleted"

struct tally {
    char type[TYPE_SIZE];
    int64_t resources; /* of DELETED: deletions */
    size_t files;
};

/* One job. */
struct task {
    struct run *run;
    bcda_job *job;
    const char *type;  /* NULL = all requested types */
    struct kept *kept; /* what the --resume file stores about this job */
    struct slot *slots;
    size_t slot_count;
    uint64_t tag;
    int restored;
    int state;  /* the last BCDA_JOB_* before the job ended */
    int absent; /* the server does not export this type, and it was not requested by name */
    int gone;   /* cannot be resumed: the job has failed, or is no longer at the server */
    int ended;
    int result;
    struct tally tallies[TYPES_MAX];
    size_t tally_count;
    size_t skipped;
    size_t failed_files;
};

struct run {
    const struct args *args;
    bcda_session *session;
    int level; /* the BCDA_LEVEL_* of the jobs */
    /* The job that will show whether the server has the resource level; NULL = that is already
     * known. */
    struct task *trial;
    int all_types; /* the command line names no type */
    struct output *output;
    struct quarantine *quarantine;
    struct state *state;
    struct task *tasks;
    size_t task_count;
    int64_t warnings; /* issues that are not errors */
    int64_t bytes;
    int64_t bytes_received;
    int lines_shown; /* invalid lines that were printed */
    int cancelled;
    int broken; /* a local error occurred: from then on the --resume file is not saved */
    int64_t started;
    int64_t downloading;
};

/* jobs.c calls one of these when the job `trial` has shown which level the server has. If the
 * server accepted the job, run_trial_accepted() starts the other jobs. If the endpoint does not
 * exist, run_trial_refused() starts one job at the patient level instead of all. Both return 0, or
 * another value if that failed. */
int run_trial_accepted(struct run *r);
int run_trial_refused(struct run *r);
/* Removes from the --resume file a job that cannot be resumed. The files of the job will be
 * replaced. Returns 0 or -1. */
int run_retire(struct task *t);
/* Starts a new job in place of one that no longer exists. Returns 0 if that succeeded. */
int run_restart(struct task *t);

/* Returns the tag that marks the files of this job (output.c). It is made from the URL of the job,
 * so that it is the same when the job is restored. */
uint64_t task_tag(const bcda_job *job);
/* Writes the whole --resume file. Returns 0 or -1. */
int run_save_state(struct run *r);
/* Returns the callbacks of a job, or NULL if there is no memory. */
bcda_handlers *task_handlers(struct task *t);

/* summary.c: sums over the jobs, and the output at the end of a run. */
struct remarks run_remarks(const struct run *r);
/* Data files in all manifests, and files of deletions unless the output is standard output. */
size_t run_data_files(const struct run *r);
size_t run_missing_types(const struct run *r);
/* Files of deletions that were not downloaded, because the output is standard output. */
size_t run_deletions_left_out(const struct run *r);
void summary_print(const struct run *r);
/* Prints why the exit status is 3. */
void summary_remarks(const struct run *r);

#endif
