/* The jobs of one run: jobs.c has their callbacks, run.c starts them, summary.c prints. */
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
    const char *type;  /* NULL: all requested types */
    struct kept *kept; /* its part of the state */
    struct slot *slots;
    size_t slot_count;
    uint64_t tag;
    int restored;
    int state;  /* the last BCDA_JOB_* before its end */
    int absent; /* the server does not export this type, and it was not requested by name */
    int gone;   /* the job has ended or no longer exists at the server: it cannot be resumed */
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
    /* The job that shows whether the server has the resource level; NULL: this is known. */
    struct task *trial;
    int all_types; /* no type was named */
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
    int broken; /* this machine failed: nothing more is saved */
    int64_t started;
    int64_t downloading;
};

/* The trial's job was accepted, and the other jobs follow; or its endpoint does not exist, and one
 * job at the patient level replaces it. Non-zero: that failed. */
int run_trial_accepted(struct run *r);
int run_trial_refused(struct run *r);
/* The job cannot be resumed: its files will be replaced, and it is removed from the state. */
int run_retire(struct task *t);
/* Starts a new job in place of one that no longer exists. */
int run_restart(struct task *t);

/* The tag in the marks of its files, made from its URL, which a restored job knows from its start.
 * */
uint64_t task_tag(const bcda_job *job);
/* The callbacks of a job; NULL if there is no memory. */
bcda_handlers *task_handlers(struct task *t);

/* summary.c */
struct remarks run_remarks(const struct run *r);
size_t run_data_files(const struct run *r); /* of the manifests */
size_t run_missing_types(const struct run *r);
size_t run_deletions(const struct run *r);
void summary_print(const struct run *r);
/* Prints the causes of exit status 3. */
void summary_remarks(const struct run *r);
void summary_statistics(const struct run *r);

#endif
