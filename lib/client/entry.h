/* What may be called from where, as one table. api.c checks it before anything else; a test calls
 * each function from each place, and compares the results with the table; a house check compares
 * what the public headers say of callbacks (tests/house/docs.py).
 *
 * Functions that only read, or fill an object of their own (config, export, handlers, file, batch,
 * error, the getters, ref and unref), and bcda_session_wakeup(), bcda_session_stat() and
 * bcda_job_save(), may be called anywhere; these three give BCDA_ERR_FORKED in a child. */
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
    BCDA__ENTRY_REQUEST,
    BCDA__ENTRY_CANCEL,
    BCDA__ENTRY_PAUSE,
    BCDA__ENTRY_RESUME,
    BCDA__ENTRY_POINTS
};

/* Each is 0 (allowed; the effect comes in the next step) or the error code returned there. */
struct bcda__entry_row {
    const char *function;
    int in_callback;      /* of a job, a request, a token provider or the log */
    int in_loop_callback; /* of bcda_session_set_loop() */
    int in_child;         /* of a fork() */
    int while_freed;      /* bcda_session_free() was called in a callback, and waits for its end */
};
extern const struct bcda__entry_row bcda__entry_rows[BCDA__ENTRY_POINTS];

/* 0, or the table's code for the place of the caller, with the reason in bcda_session_error(). */
int bcda__entry_check(struct bcda__context *cx, enum bcda__entry_point point);

#endif
