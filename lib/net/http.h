/* HTTP requests and responses. Only curl.c includes libcurl. The callbacks of libcurl only note
 * what happened. Later bcda__engine_step() calls the functions of struct bcda__transfer_events,
 * which may therefore start and free transfers. */
#ifndef BCDA_NET_HTTP_H
#define BCDA_NET_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "net/loop.h"

/* Also checks the version and the features of libcurl. Returns 0 or BCDA_ERR_LIBRARY. */
int bcda__http_global_init(struct bcda_error *err);
void bcda__http_global_cleanup(void);

/* The options of all transfers of a session. The strings belong to the config. */
struct bcda__http_options {
    const char *ca_file; /* NULL = that of the system */
    const char *cert_file, *key_file;
    const struct bcda__secret *key_passphrase;
    const char *proxy, *proxy_user;
    const struct bcda__secret *proxy_password;
    const char *user_agent;
    int allow_http; /* http URLs are allowed */
    size_t headers_max;
};

/* Functions of the engine that libcurl needs. */
struct bcda__http_hooks {
    int (*watch)(void *ctx, int fd, int events);
    void (*curl_timer)(void *ctx, int64_t delay_ms); /* -1 stops the timer */
    void (*notify)(void *ctx); /* called when a transfer has an event pending, or can be resumed */
    void *ctx;
};

struct bcda__http;
/* TLS sessions that several transports share; the transports may be used by different threads. */
struct bcda__http_share;
int bcda__http_share_new(struct bcda__http_share **out); /* 0, BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY */
/* To be called after all transports that use the share are freed. In a forked child only plain
 * memory is freed, not what libcurl has allocated. */
void bcda__http_share_free(struct bcda__http_share *s, int forked);

/* Any thread may use a transport and its transfers, but only one thread at a time. */
int bcda__http_new(struct bcda__http **out, const struct bcda__http_options *o,
                   struct bcda__http_share *share, const struct bcda__http_hooks *hooks,
                   const struct bcda__log *log, struct bcda_error *err);
/* To be called after all transfers of the transport are freed. */
void bcda__http_free(struct bcda__http *h);
/* To be called in a child of fork(). From now on the transport and its transfers report no events,
 * and do not use libcurl, which would send on the parent's connections. Freeing a transport or
 * transfer frees plain memory and closes the child's descriptors of the connections, but does not
 * free what libcurl has allocated. */
void bcda__http_set_forked(struct bcda__http *h);

/* Lets libcurl work on a descriptor that bcda__loop_take() reported with `events`. */
void bcda__http_drive(struct bcda__http *h, int fd, int events);
void bcda__http_drive_timer(struct bcda__http *h);
/* To be called if a descriptor could not be watched, with the reason in `code`: all transfers
 * end. */
void bcda__http_unwatched(struct bcda__http *h, int code);
int64_t bcda__http_take_spent(struct bcda__http *h); /* ns inside libcurl since the last call */
/* Delivers the next pending event to its transfer. Returns 0 if there was none. */
int bcda__http_dispatch(struct bcda__http *h);
/* Returns 1 if an event is pending. */
int bcda__http_has_events(const struct bcda__http *h);
/* resumable() returns how many transfers can be resumed; resume() resumes the first of them. */
size_t bcda__http_resumable(const struct bcda__http *h);
void bcda__http_resume(struct bcda__http *h);

struct bcda__transfer;
struct bcda__transfer_events {
    void (*head)(void *ctx); /* status and headers are complete; not called for 1xx */
    /* Body bytes wait in the ring. The event is repeated as long as the receiver takes some of the
     * bytes and others still wait. */
    void (*data)(void *ctx);
    /* The last event. `code` is 0 or a transport error. By now the ring is empty, or its bytes are
     * no longer wanted. */
    void (*end)(void *ctx, int code, const struct bcda_error *err);
    void *ctx;
};

struct bcda__transfer_request {
    const char *method; /* "GET", "DELETE" or "POST" */
    const char *url;
    /* The body of a POST, shorter than 2 GiB, which must stay unchanged until the transfer is
     * freed. NULL = the body is empty. */
    const struct bcda__secret *body;
    int offers_certificate; /* the client certificate of the options is offered to this server */
    const char *const *headers; /* each "Name: value" */
    size_t header_count;
    /* Value of the Authorization header: "Bearer …" or "Basic …"; NULL = none. */
    const struct bcda__secret *authorization;
    size_t ring; /* size of the ring for body bytes; reading pauses when it is full */
};

/* Returns 0, BCDA_ERR_NOMEM, BCDA_ERR_LIBRARY or BCDA_ERR_FORKED. After an error no event
 * follows. */
int bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                         const struct bcda__transfer_request *r,
                         const struct bcda__transfer_events *events, struct bcda_error *err);
/* May be called at any time except from a callback of libcurl. No event follows. NULL is
 * allowed. */
void bcda__transfer_free(struct bcda__transfer *t);

int bcda__transfer_status(const struct bcda__transfer *t);
int bcda__transfer_http_major(const struct bcda__transfer *t); /* of the response; 1 for HTTP/1.1 */
/* Returns the value of a header without surrounding space, or "" if the header is absent. If it
 * occurs several times, the last one counts. */
const char *bcda__transfer_header(const struct bcda__transfer *t, const char *name);
int64_t bcda__transfer_content_length(const struct bcda__transfer *t); /* -1 = absent */
int bcda__transfer_is_chunked(const struct bcda__transfer *t);
/* Whether the connection (TCP, and TLS if used) is established. */
int bcda__transfer_is_connected(const struct bcda__transfer *t);
/* Whether no bytes are left in the ring, and none will come. */
int bcda__transfer_is_over(const struct bcda__transfer *t);
int64_t bcda__transfer_received(const struct bcda__transfer *t); /* body bytes so far */
/* Returns 1 from when the ring is full until reading resumes. */
int bcda__transfer_is_paused(const struct bcda__transfer *t);

/* peek() returns how many bytes wait at *data; take() removes the first `len` of them. If bytes are
 * left after that, another data event follows. */
size_t bcda__transfer_peek(const struct bcda__transfer *t, const uint8_t **data);
void bcda__transfer_take(struct bcda__transfer *t, size_t len);
/* Repeats the data event although nothing was taken, for a consumer that was paused and
 * continues. */
void bcda__transfer_wake(struct bcda__transfer *t);

#endif
