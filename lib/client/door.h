/* The rules of the entry points, as one table: what may be called from where. api.c
 * asks it before anything else, and a test calls everything from everywhere and holds the answers
 * to it.
 *
 * Functions that only read, or fill an object of their own (config, export, handlers, file, batch,
 * error, the getters, ref and unref), and bcda_session_wakeup(), bcda_session_stat() and
 * bcda_job_save(), may be called anywhere; these three give BCDA_ERR_FORKED in a child. That what
 * the headers say of callbacks is what stands here is a house check's to see (tests/house). */
#ifndef BCDA_CLIENT_DOOR_H
#define BCDA_CLIENT_DOOR_H

#include "bcda/types.h"

struct bcda__context;

enum bcda__door {
    BCDA__DOOR_RUN,
    BCDA__DOOR_STEP,
    BCDA__DOOR_ON_FD,
    BCDA__DOOR_ON_TIMER,
    BCDA__DOOR_SET_LOOP,
    BCDA__DOOR_FD,
    BCDA__DOOR_NEXT,
    BCDA__DOOR_START,
    BCDA__DOOR_ATTACH,
    BCDA__DOOR_RESTORE,
    BCDA__DOOR_REQUEST,
    BCDA__DOOR_CANCEL,
    BCDA__DOOR_PAUSE,
    BCDA__DOOR_RESUME,
    BCDA__DOORS
};

/* Each 0 (allowed; what it asks for waits for the next step) or the code that it gives there. */
struct bcda__door_row {
    const char *function;
    int in_callback;      /* of a job, a request, a token provider or the log */
    int in_loop_callback; /* of bcda_session_set_loop() */
    int in_child;         /* of a fork() */
    int while_freed;      /* bcda_session_free() was called inside a callback and is put off */
};
extern const struct bcda__door_row bcda__door_rows[BCDA__DOORS];

/* 0, or the code that stands there for where the caller is; bcda_session_error() then says why. */
int bcda__door_check(struct bcda__context *cx, enum bcda__door door);

#endif
