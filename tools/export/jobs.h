/* The jobs of one run: jobs.c has their callbacks, run.c starts and judges, summary.c prints. */
#ifndef BCDA_EXPORT_JOBS_H
#define BCDA_EXPORT_JOBS_H

#include "export.h"

/* A file that is being downloaded, or has been. */
struct slot {
    struct output_file *file; /* NULL before its begin and after its end */
    struct held *held;        /* its invalid lines; likewise */
    int64_t issues;           /* of severity error or fatal */
};

struct tally {
    char type[TYPE_SIZE];
    int64_t resources;
    size_t files;
};

/* One job. */
struct task {
    struct run *run;
    bcda_job *job;
    const char *type;  /* NULL: all that were asked for */
    struct kept *kept; /* what the state has of it */
    struct slot *slots;
    size_t slot_count;
    uint64_t tag;
    int restored;
    int state;  /* the last BCDA_JOB_* before its end */
    int absent; /* the server does not export this type, and nobody named it */
    int gone;   /* the server has ended the job, or has it no more: it cannot be resumed */
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
    int level; /* BCDA_LEVEL_* of its jobs */
    /* The job that shows whether the server has the resource level; NULL: that is known. */
    struct task *trial;
    int all_types; /* nobody named a type */
    struct output *output;
    struct quarantine *quarantine;
    struct state *state;
    struct task *tasks;
    size_t task_count;
    int64_t warnings; /* issues that are no errors */
    int64_t bytes;
    int64_t bytes_received;
    int lines_shown; /* invalid ones */
    int cancelled;
    int broken; /* this machine failed: nothing more is saved */
    int64_t started;
    int64_t downloading;
};

/* The trial's job was accepted: the other jobs follow. Or its endpoint does not exist: one job at
 * the patient level in its place. Non-zero: it cannot be. */
int run_trial_accepted(struct run *r);
int run_trial_refused(struct run *r);
/* The job cannot be resumed: its files will be replaced, and the state has it no more. */
int run_retire(struct task *t);
/* Starts a new job in place of one that is no more. */
int run_restart(struct task *t);

/* What the marks of its files are made of: its URL, which is known from its start on where it is
 * restored. */
uint64_t task_tag(const bcda_job *job);
/* The callbacks of a job; NULL where memory is out. */
bcda_handlers *task_handlers(struct task *t);

/* summary.c */
struct remarks run_remarks(const struct run *r);
size_t run_data_files(const struct run *r); /* of the manifests */
size_t run_missing_types(const struct run *r);
size_t run_deletions(const struct run *r);
void summary_print(const struct run *r);
/* What makes the exit status 3. */
void summary_remarks(const struct run *r);
void summary_statistics(const struct run *r);

#endif
