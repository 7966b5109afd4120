/* A table of the public functions, and of the places (such as a callback) from which each may be
 * called. api.c checks a call against the table before anything else. A test calls each function
 * from each place, and compares the results with the table. A house check compares the table with
 * what the public headers say about callbacks (tests/house/docs.py).
 *
 * The other functions may be called anywhere. These are the functions that only read, or that fill
 * an object of their own (config, export, handlers, file, batch, error, the getters, ref and
 * unref), and bcda_session_wakeup(), bcda_session_stat(), bcda_job_confirm(), bcda_job_save(),
 * bcda_job_save_changes() and bcda_job_save_to_file(). The last six return BCDA_ERR_FORKED in a
 * child of fork(). */
#ifndef BCDA_CLIENT_ENTRY_H
#define BCDA_CLIENT_ENTRY_H

#include "bcda/types.h"

struct bcda__context;

enum bcda__entry_point {
    BCDA__ENTRY_RUN,
    BCDA__ENTRY_STEP,
    BCDA__ENTRY_ON_FD,
    BCDA__ENTRY_ON_TIMER,
    BCDA__ENTRY_SET_LOOP,
    BCDA__ENTRY_FD,
    BCDA__ENTRY_NEXT,
    BCDA__ENTRY_START,
    BCDA__ENTRY_ATTACH,
    BCDA__ENTRY_RESTORE,
    BCDA__ENTRY_RESTORE_FILE,
    BCDA__ENTRY_REQUEST,
    BCDA__ENTRY_CANCEL,
    BCDA__ENTRY_PAUSE,
    BCDA__ENTRY_RESUME,
    BCDA__ENTRY_POINTS
};

/* One column for each place a function may be called from. Each value is the error code that the
 * function returns there, or 0 if the call is allowed. An allowed call takes effect in the next
 * step. */
struct bcda__entry_row {
    const char *function;
    int in_callback;      /* in a callback of a job, a request, a token provider or the log */
    int in_loop_callback; /* in a callback given to bcda_session_set_loop() */
    int in_child;         /* in a child of fork() */
    /* After bcda_session_free() in a callback; the session is freed when the outermost call
     * returns. */
    int while_freed;
};
extern const struct bcda__entry_row bcda__entry_rows[BCDA__ENTRY_POINTS];

/* Returns 0 if the function `point` may be called now, else the table's error code for the place of
 * the call. bcda_session_error() then says why. */
int bcda__entry_check(struct bcda__context *cx, enum bcda__entry_point point);

#endif
