/* One HTTP exchange. curl.c is the only includer of libcurl. The callbacks of libcurl only note
 * what happened. The events below run later, from bcda__engine_step(), so they may start and
 * free transfers. */
#ifndef BCDA_NET_HTTP_H
#define BCDA_NET_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "net/loop.h"

int bcda__http_global_init(
    struct bcda_error *err); /* checks version and features; BCDA_ERR_LIBRARY */
void bcda__http_global_cleanup(void);

/* The options of all transfers of a session. The config owns the texts. */
struct bcda__http_options {
    const char *ca_file; /* NULL = the system's */
    const char *cert_file, *key_file;
    const struct bcda__secret *key_passphrase;
    const char *proxy, *proxy_user;
    const struct bcda__secret *proxy_password;
    const char *user_agent;
    int allow_http; /* http URLs are allowed */
    size_t headers_max;
};

/* What libcurl needs of the engine. */
struct bcda__http_hooks {
    int (*watch)(void *ctx, int fd, int events);
    void (*curl_timer)(void *ctx, int64_t delay_ms); /* -1 = none */
    void (*notify)(void *ctx);                       /* a transfer has an event pending */
    void *ctx;
};

struct bcda__http;
/* TLS sessions that several transports share, on any thread. */
struct bcda__http_share;
int bcda__http_share_new(struct bcda__http_share **out); /* BCDA_ERR_NOMEM, LIBRARY */
/* After its transports are freed. In a forked child only plain memory is freed. */
void bcda__http_share_free(struct bcda__http_share *s, int forked);

/* One thread at a time may use a transport and its transfers; it may be any. */
int bcda__http_new(struct bcda__http **out, const struct bcda__http_options *o,
                   struct bcda__http_share *share, const struct bcda__http_hooks *hooks,
                   const struct bcda__log *log, struct bcda_error *err);
void bcda__http_free(struct bcda__http *h); /* its transfers are freed before */
/* This process is a child. From now on the transport and its transfers do not use libcurl, which
 * would send on the parent's connections, and report nothing. They free plain memory, and close
 * the child's descriptors of the connections. What libcurl has allocated is not freed. */
void bcda__http_set_forked(struct bcda__http *h);

void bcda__http_drive(struct bcda__http *h, int fd, int events); /* after bcda__loop_take() */
void bcda__http_drive_timer(struct bcda__http *h);
/* A descriptor could not be watched (`code`): the transfers end. */
void bcda__http_unwatched(struct bcda__http *h, int code);
int64_t bcda__http_take_spent(struct bcda__http *h); /* ns inside libcurl since the last call */
/* Delivers the next pending event to its transfer; 0: there was none. */
int bcda__http_dispatch(struct bcda__http *h);
/* 1 if an event is pending. */
int bcda__http_has_events(const struct bcda__http *h);
/* How many transfers can be resumed; and resumes the first of them. */
size_t bcda__http_resumable(const struct bcda__http *h);
void bcda__http_resume(struct bcda__http *h);

struct bcda__transfer;
struct bcda__transfer_events {
    void (*head)(void *ctx); /* status and headers are in; not for 1xx */
    void (*data)(void *ctx); /* bytes wait in the ring; repeated while they do and any were taken */
    void (*end)(void *ctx, int code,
                const struct bcda_error *err); /* the last event: 0 or a transport error; the ring
                                                  is empty, or its bytes are no longer wanted */
    void *ctx;
};

struct bcda__transfer_request {
    const char *method; /* "GET", "POST" (with an empty body), "DELETE" */
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const struct bcda__secret *authorization; /* the value, "Bearer …" or "Basic …"; NULL = none */
    size_t ring; /* size of the ring for body bytes; reading pauses when it is full */
};

/* 0; NOMEM, LIBRARY, FORKED: then no event follows. */
int bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                         const struct bcda__transfer_request *r,
                         const struct bcda__transfer_events *events, struct bcda_error *err);
/* At any time except from within libcurl's callbacks. No event follows. NULL is allowed. */
void bcda__transfer_free(struct bcda__transfer *t);

int bcda__transfer_status(const struct bcda__transfer *t);
int bcda__transfer_http_major(const struct bcda__transfer *t); /* of the answer: 1 of HTTP/1.1 */
/* The value of a header without surrounding space, the last one if it occurs several times; ""
 * if it is absent. */
const char *bcda__transfer_header(const struct bcda__transfer *t, const char *name);
int64_t bcda__transfer_content_length(const struct bcda__transfer *t); /* -1 = not announced */
int bcda__transfer_is_chunked(const struct bcda__transfer *t);
int bcda__transfer_is_connected(
    const struct bcda__transfer *t); /* TCP and TLS connections are established */
int bcda__transfer_is_over(
    const struct bcda__transfer *t); /* no bytes are left, and none will come */
int64_t bcda__transfer_received(const struct bcda__transfer *t); /* body bytes */
int bcda__transfer_is_paused(const struct bcda__transfer *t);    /* the ring is full */

/* The bytes that wait, as one run; and removes `len` of them. The next data event comes if more
 * wait. */
size_t bcda__transfer_peek(const struct bcda__transfer *t, const uint8_t **data);
void bcda__transfer_take(struct bcda__transfer *t, size_t len);
/* Repeats the data event although nothing was taken: the consumer was paused and continues. */
void bcda__transfer_wake(struct bcda__transfer *t);

#endif
