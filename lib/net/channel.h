/* A channel: one of an engine's transports, with a note of which thread drives it. Most transfers
 * of a session share one channel, which the engine drives on the session's thread. A file that a
 * worker decodes has a channel to itself. The engine drives this channel too, until the response's
 * body begins; then the session hands the channel over to the worker, called the reader below. From
 * then on the worker itself reads from the network, so that the bytes stay in the cache of the
 * processor that decodes them. When there is nothing to read, the channel is put to rest: the
 * engine watches its descriptors, because only the engine watches descriptors. As soon as a
 * descriptor is ready, the engine hands the channel over again. */
#ifndef BCDA_NET_CHANNEL_H
#define BCDA_NET_CHANNEL_H

#include "net/http.h"

enum bcda__channel_state {
    BCDA__CHANNEL_OWN, /* the engine drives it */
    /* the reader found no bytes: the engine only watches the channel's descriptors */
    BCDA__CHANNEL_RESTING,
    BCDA__CHANNEL_AWAY, /* handed over: only the reader (a worker thread) may use the channel */
};

enum {
    /* Limit of descriptors: a transfer has one, and a few more while it connects. */
    BCDA__CHANNEL_FDS = 8
};

struct bcda__channel {
    struct bcda__channel *next; /* in the engine's list */
    struct bcda__http *http;
    /* This channel serves many transfers. `fds` does not list its descriptors, and the channel is
     * never handed over to a worker. */
    int is_common;
    int is_used; /* a call uses this channel, so the engine gives the channel to no other call */
    enum bcda__channel_state state;
    /* This process is a child, and the reader was using the channel when fork() was called. */
    int is_lost;

    /* Nanoseconds that the session's thread has spent in libcurl for this channel, as far as they
     * were already taken from `http`. */
    int64_t spent;
    /* When libcurl's timer is due, on the real clock; INT64_MAX if it is not set. */
    int64_t curl_at;
    int has_events;   /* a transfer has a pending event, or can be resumed */
    size_t resumable; /* number of transfers that could be resumed when the step began */
    int (*watch)(void *ctx, int fd, int events);
    void *watch_ctx;
    struct {
        int fd, wanted, watched;
    } fds[BCDA__CHANNEL_FDS];
    int fd_count;

    struct bcda__transfer *transfer; /* the one transfer whose body the reader reads; NULL = the
                                        channel is not handed over */
    void (*ready)(void *ctx);
    void *ctx;
};

/* Initialises `c`, and fills `hooks` for the transport that it will have. The channel calls `watch`
 * with `ctx` to have a descriptor watched. */
void bcda__channel_init(struct bcda__channel *c, struct bcda__http_hooks *hooks,
                        int (*watch)(void *ctx, int fd, int events), void *ctx);

/* Hands the channel over to a reader. To be called on the session's thread, when `t` is the
 * channel's only transfer and the head of the response is complete. The state becomes AWAY at once.
 * After each bcda__channel_rest(), a step calls `ready` when there may be something to read; the
 * state is then AWAY again. */
void bcda__channel_hand_over(struct bcda__channel *c, struct bcda__transfer *t,
                             void (*ready)(void *ctx), void *ctx);
/* The next two functions are called on the session's thread, while the reader does not use the
 * channel. After rest() the engine watches the channel; after reclaim() it belongs to the engine
 * again. */
void bcda__channel_rest(struct bcda__channel *c);
void bcda__channel_reclaim(struct bcda__channel *c);

/* For the reader, on any thread. Returns how many bytes are at *data: those that wait in the ring
 * or, if there are none, those that can be read from the network now. Returns 0 if no bytes have
 * arrived yet, or if no more will come; in the second case bcda__transfer_is_over() returns 1. */
size_t bcda__channel_read(struct bcda__channel *c, const uint8_t **data);

/* These three are for the engine. */
int bcda__channel_has_fd(const struct bcda__channel *c, int fd);
int bcda__channel_is_due(const struct bcda__channel *c); /* whether libcurl's timer is due */
void bcda__channel_wake(struct bcda__channel *c);        /* hands a resting channel to its reader */

#endif
