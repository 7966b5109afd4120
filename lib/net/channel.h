/* One of an engine's transports, and who drives it. Most transfers of a session have one in common,
 * which its engine drives. A file whose decoder runs on a worker has one to itself: it is driven by
 * the engine like the other, until its body begins and it is handed over to the worker. From then
 * on the worker reads, so that the bytes stay with the processor that decodes them; where nothing
 * is there to be read it comes back to the engine to have its descriptors watched, which nobody
 * else does, and is handed over again when one is ready. */
#ifndef BCDA_NET_CHANNEL_H
#define BCDA_NET_CHANNEL_H

#include "net/http.h"

enum bcda__channel_state {
    BCDA__CHANNEL_OWN,     /* the engine drives it */
    BCDA__CHANNEL_RESTING, /* handed over: the engine watches it, and drives nothing */
    BCDA__CHANNEL_AWAY,    /* handed over: only the reader may use it */
};

enum { BCDA__CHANNEL_FDS = 8 }; /* a transfer has one, and a few more while it connects */

struct bcda__channel {
    struct bcda__channel *next; /* in the engine's list */
    struct bcda__http *http;
    /* Serves many transfers: descriptors are not noted here, and it is never handed over. */
    int is_common;
    int is_used; /* not to be given to another transfer */
    enum bcda__channel_state state;
    int is_lost; /* this is a child, and the reader used it when the process was forked */

    int64_t spent;    /* ns in libcurl on the session's thread, before it was handed over */
    int64_t curl_at;  /* libcurl's timer, on the real clock; INT64_MAX = none */
    int has_events;   /* a transfer has an event pending, or can be resumed */
    size_t resumable; /* transfers that could be resumed when the step began */
    int (*watch)(void *ctx, int fd, int events);
    void *watch_ctx;
    struct {
        int fd, wanted, watched;
    } fds[BCDA__CHANNEL_FDS];
    int fd_count;

    struct bcda__transfer *transfer; /* that is handed over */
    void (*ready)(void *ctx);
    void *ctx;
};

/* Fills the hooks for it. */
void bcda__channel_init(struct bcda__channel *c, struct bcda__http_hooks *hooks,
                        int (*watch)(void *ctx, int fd, int events), void *ctx);

/* Hands the channel over to a reader, on the session's thread: `t` is its only transfer, and the
 * head of the response is complete. The state is AWAY at once. `ready` is called from a step
 * each time that there may be something to read after bcda__channel_rest(); the state is AWAY
 * again by then. */
void bcda__channel_hand_over(struct bcda__channel *c, struct bcda__transfer *t,
                             void (*ready)(void *ctx), void *ctx);
/* On the session's thread, while the reader does not use the channel: the engine watches it; or
 * it belongs to the engine again. */
void bcda__channel_rest(struct bcda__channel *c);
void bcda__channel_reclaim(struct bcda__channel *c);

/* For the reader, on any thread: the bytes that wait in the ring, or are read from the network.
 * 0: none for now or, if bcda__transfer_is_over(), no more at all. */
size_t bcda__channel_read(struct bcda__channel *c, const uint8_t **data);

/* For the engine. */
int bcda__channel_has_fd(const struct bcda__channel *c, int fd);
int bcda__channel_is_due(const struct bcda__channel *c); /* libcurl's timer */
void bcda__channel_wake(struct bcda__channel *c);        /* a resting channel is ready */

#endif
