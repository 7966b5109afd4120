/* The jobs of one run: jobs.c has their callbacks, run.c starts and sums up. */
#ifndef BCDA_EXPORT_JOBS_H
#define BCDA_EXPORT_JOBS_H

#include "export.h"

/* A file that is being downloaded, or has been. */
struct slot {
    struct output_file *file; /* NULL before its begin and after its end */
    int64_t issues;           /* of severity error or fatal */
};

/* One job. */
struct task {
    struct run *run;
    bcda_job *job;
    const char *type; /* NULL: all that were asked for */
    char *saved;      /* what bcda_job_save() gave last; NULL: not accepted yet */
    struct slot *slots;
    size_t slot_count;
    uint64_t tag;
    int restored;
    int ended;
    int result;
};

struct tally {
    char type[TYPE_SIZE];
    int64_t resources;
    size_t files;
};

struct run {
    const struct args *args;
    bcda_session *session;
    int level; /* BCDA_LEVEL_* of its jobs */
    struct task
        *trial;    /* it tells whether the server has the resource level; NULL: that is known */
    int all_types; /* nobody named a type: one that the server does not have is no failure */
    struct output *output;
    struct quarantine *quarantine;
    struct state *state;
    struct task *tasks;
    size_t task_count;
    struct tally tallies[TYPES_MAX];
    size_t tally_count;
    struct remarks remarks;
    int64_t warnings;
    int64_t bytes;
    int64_t bytes_received;
    size_t skipped;
    size_t failed_files;
    int bad_lines_shown;
    int broken; /* this machine let us down: nothing more is saved */
    int64_t started;
    int64_t downloading;
};

/* The trial's job was accepted: the other jobs follow. Or its endpoint does not exist: one job at
 * the patient level in its place. Non-zero: it cannot be. */
int run_trial_accepted(struct run *r);
int run_trial_refused(struct run *r);

/* The callbacks of a job; NULL where memory is out. */
bcda_handlers *task_handlers(struct task *t);

#endif
