/* Limits of what one step of a session does. If a step leaves work undone, the descriptor becomes
 * readable again at once. So an application's own event loop is never held up for long. */
#ifndef BCDA_NET_STEP_H
#define BCDA_NET_STEP_H

enum {
    BCDA__STEP_DESCRIPTORS = 32, /* ready descriptors that are served */
    BCDA__STEP_EVENTS = 64,      /* transfer events that are delivered */
    /* Bytes received and delivered. If the limit is reached within a piece, the whole piece is
     * still processed. */
    BCDA__STEP_BYTES = 1024 * 1024,
    BCDA__STEP_STARTS = 64, /* downloads that one job starts */
    /* The most bytes of a file that one slice (a bounded piece of decoding work, client/pipe.h)
     * takes from its source; a slice also ends when a batch is full. */
    BCDA__SLICE_BYTES = 256 * 1024,
};

#endif
