/*
 * What the three programs here share: a session and a job, as the environment says (see minimal.c).
 * How each moves them is in its own file.
 */
#ifndef LOOPS_SETUP_H
#define LOOPS_SETUP_H

#include <inttypes.h>

#include <bcda/bcda.h>

struct work {
    bcda_session *session;
    bcda_job *job;
    int64_t resources;
    int result;                /* BCDA_ERR_AGAIN until the job has ended */
    void (*ended)(void *loop); /* the program's: to leave its loop */
    void *loop;
};

/* 0, or it has said what is wrong. */
int work_open(struct work *w);
/* After the loop has been chosen, where that is done. Types: BCDA_TYPES. */
int work_start(struct work *w);
/* Frees all, says how it went, and gives the program's exit status. */
int work_close(struct work *w);

#endif
