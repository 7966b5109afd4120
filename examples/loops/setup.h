/*
 * Shared by the three programs here: a session and a job, set up from the environment (see
 * minimal.c). Each program drives them in its own file.
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
    void (*ended)(void *loop); /* leaves the loop of the program */
    void *loop;
};

/* Makes the config and the session. Returns 0; on an error, prints it and returns another value. */
int work_open(struct work *w);
/* Starts an export of the types in the environment variable BCDA_TYPES. A program that uses
 * bcda_session_set_loop() must call that first. */
int work_start(struct work *w);
/* Frees everything, prints the result, and returns the exit status. */
int work_close(struct work *w);

#endif
