/* How much one step of a session does at most. A step that leaves something makes the descriptor
 * readable again at once, so that an application's own event loop is never held up for long. */
#ifndef BCDA_NET_STEP_H
#define BCDA_NET_STEP_H

enum {
    BCDA__STEP_DESCRIPTORS = 32,    /* that are served */
    BCDA__STEP_EVENTS = 64,         /* events of transfers that are delivered */
    BCDA__STEP_BYTES = 1024 * 1024, /* received and delivered; what has begun by then is finished */
    BCDA__STEP_STARTS = 64,         /* downloads that one job starts */
    BCDA__SLICE_BYTES = 256 * 1024, /* of a source; a slice also ends with a full batch */
};

#endif
