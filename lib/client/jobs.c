#include "client/jobs.h"

#include "client/context.h"

/* Fair share: a job starts no download if another job that waits for a slot has fewer open
 * downloads. The job with the fewest open downloads never yields, and all jobs are poked when a
 * slot (for one open download) becomes free. */
static int must_yield(const struct bcda__jobs *jobs, const bcda_job *job)
{
    bcda_job *other;

    for (other = jobs->first; other; other = other->next)
        if (other != job && other->downloads.open < job->downloads.open &&
            bcda__job_wants_slot(other))
            return 1;
    return 0;
}

/* Returns the number of open downloads that count against this job's limit: its own, and those of
 * all jobs that are not paused. */
static int64_t slots_taken(const struct bcda__jobs *jobs, const bcda_job *job)
{
    const bcda_job *other;
    int64_t n = 0;

    for (other = jobs->first; other; other = other->next)
        if (other == job || !other->downloads.is_paused)
            n += other->downloads.open;
    return n;
}

static int has_slot(void *ctx, const bcda_job *job)
{
    const struct bcda__jobs *jobs = ctx;

    return slots_taken(jobs, job) < job->cx->parallel && !must_yield(jobs, job);
}

static void on_slot_change(void *ctx)
{
    const struct bcda__jobs *jobs = ctx;
    bcda_job *job;

    for (job = jobs->first; job; job = job->next)
        bcda__job_poke(job);
}

static void unlink_job(struct bcda__jobs *jobs, bcda_job *job)
{
    if (job->prev)
        job->prev->next = job->next;
    else
        jobs->first = job->next;
    if (job->next)
        job->next->prev = job->prev;
    else
        jobs->last = job->prev;
}

/* The job's reference is released later by bcda__jobs_sweep(), because functions that are running
 * may still use the job. */
static void on_job_end(void *ctx, bcda_job *job)
{
    struct bcda__jobs *jobs = ctx;

    unlink_job(jobs, job);
    job->next = jobs->ended;
    jobs->ended = job;
}

void bcda__jobs_init(struct bcda__jobs *jobs)
{
    jobs->owner.has_slot = has_slot;
    jobs->owner.slots_changed = on_slot_change;
    jobs->owner.job_ended = on_job_end;
    jobs->owner.ctx = jobs;
}

void bcda__jobs_add(struct bcda__jobs *jobs, bcda_job *job)
{
    job->prev = jobs->last;
    if (job->prev)
        job->prev->next = job;
    else
        jobs->first = job;
    jobs->last = job;
}

void bcda__jobs_sweep(struct bcda__jobs *jobs)
{
    while (jobs->ended) {
        bcda_job *job = jobs->ended;

        jobs->ended = job->next;
        job->next = NULL;
        bcda_job_unref(job);
    }
}

void bcda__jobs_end(struct bcda__jobs *jobs, const struct bcda_error *err)
{
    while (jobs->first)
        bcda__job_end(jobs->first, err->code, err);
    bcda__jobs_sweep(jobs);
}

int bcda__jobs_have_batch(const struct bcda__jobs *jobs)
{
    const bcda_job *job;

    for (job = jobs->first; job; job = job->next)
        if (bcda__job_has_batch(job))
            return 1;
    return 0;
}

int bcda__jobs_are_idle(const struct bcda__jobs *jobs)
{
    const bcda_job *job;

    for (job = jobs->first; job; job = job->next)
        if (!bcda__job_is_idle(job))
            return 0;
    return 1;
}
