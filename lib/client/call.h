/* One HTTP request of the client: gets the token, makes attempts with delays between them, and
 * judges the response. */
#ifndef BCDA_CLIENT_CALL_H
#define BCDA_CLIENT_CALL_H

#include "base/buf.h"
#include "base/url.h"
#include "client/auth.h"
#include "net/engine.h"
#include "protocol/answer.h"

struct bcda__call;
struct bcda__context;

/* Events of a call whose owner reads the body itself. Each entry names the answers that the owner
 * may return (enum bcda__call_answer). */
enum bcda__call_event {
    /* An attempt begins, and the owner may call bcda__call_set_range(). Return GO. */
    BCDA__CALL_BEGIN,
    /* Status and headers have arrived. Return GO to read the body, REPEAT, COMPLETE or FAILED. */
    BCDA__CALL_HEAD,
    /* Body bytes wait in the transfer. Return GO, REPEAT or GONE. */
    BCDA__CALL_BYTES,
    /* The body ended as HTTP requires. Return COMPLETE or FAILED, or REPEAT if more must be
     * requested; `err` then says what is missing, in case it never arrives. */
    BCDA__CALL_OVER,
    /* The body was cut short. Return GO to let the call fail, or REPEAT to allow a repetition. */
    BCDA__CALL_BROKEN,
    /* The speed is about to be checked, and the owner must report its bytes with bcda__call_took().
     * Return GO, or BUSY if the owner was slower than the server since the last check. */
    BCDA__CALL_MEASURE,
    /* The owner must make other threads stop using the transfer, now and for good. Return GO, or,
     * in a child of fork(), LOST if another thread was using the transfer. */
    BCDA__CALL_DETACH,
};
enum bcda__call_answer {
    BCDA__CALL_FAILED = -1, /* the call ends with the error in `err` */
    BCDA__CALL_GO,
    BCDA__CALL_REPEAT,   /* the response is useless, and the request is repeated */
    BCDA__CALL_COMPLETE, /* nothing more is needed, and the call succeeds */
    BCDA__CALL_GONE,     /* the owner has freed the call */
    BCDA__CALL_BUSY,
    BCDA__CALL_LOST,
};

struct bcda__call_spec {
    const char *what; /* name of the request in error texts: "token request" */
    /* Name of the request in log lines: "job 42, file 3 (Patient)"; "" = use `what`. */
    char about[160];
    const char *method;
    const char *url;
    const char *accept; /* this and the next two are values of headers; NULL = not sent */
    const char *prefer;
    const char *accept_encoding;
    /* Makes the body of a POST, anew for each attempt, and fills `err` if it fails. The call wipes
     * the body before it frees it. NULL = the body is empty. */
    int (*make_body)(void *ctx, struct bcda__secret *body, struct bcda_error *err);
    const char *content_type; /* of this body */
    /* 1 = the session's token is sent, but only to a URL with the FHIR URL's origin. */
    int with_token;
    /* Value of an Authorization header that is sent instead of the token; NULL = none. */
    const struct bcda__secret *basic;
    enum bcda__verdict (*judge)(const struct bcda__answer *, struct bcda_error *);
    /* Limit of attempts if it is lower than that of the retry table; 0 = no extra limit. */
    int attempts_max;
    /* Counter of retries, limited by BCDA_OPT_JOB_RETRIES_MAX; NULL = no limit. */
    int64_t *retries;
    int adapts; /* a 429 or 503 lowers the number of parallel downloads */
    /* If `event` is NULL, the body is collected in memory, and judged together with the head.
     * Otherwise the owner reads the body of a response with status 200 (after
     * bcda__call_set_range() also 206 and 416), and every other body is collected. */
    enum bcda__call_answer (*event)(void *ctx, enum bcda__call_event event, struct bcda_error *err);
    int own_channel; /* another thread may read the body: bcda__call_hand_over() */
    /* The body's format itself shows whether the body is complete: it is JSON, or it is encrypted
     * and ends with an authentication tag. */
    int proves_end;
    /* Called once, at the end of the call. If `verdict` is OK or WAIT, `answer` is valid. If
     * `verdict` is FAIL, `err` says why. The owner frees the call. */
    void (*end)(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                const struct bcda_error *err);
    void *ctx;
};

/* Fills `spec` for a request that accepts FHIR JSON, sends no token, and is judged by
 * bcda__answer_plain(). */
void bcda__call_spec_init(struct bcda__call_spec *spec, const char *what, const char *method,
                          const char *url);

/* Creates a call. `spec` and its URL and `basic` are copied; other strings must be static. Nothing
 * is sent before the next step. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__call_new(struct bcda__call **out, struct bcda__context *cx,
                   const struct bcda__call_spec *spec);
/* May be called at any time. No event follows except DETACH. */
void bcda__call_free(struct bcda__call *c);

/* To be called during BEGIN. Requests the bytes from offset `from` to the end, provided that the
 * file still has the validator `if_range`. 0 requests the whole file. */
void bcda__call_set_range(struct bcda__call *c, int64_t from, const char *if_range);
/* Repeats the event BYTES, for an owner that left some bytes in the transfer and can continue
 * now. */
void bcda__call_wake(struct bcda__call *c);
void bcda__call_repeat(struct bcda__call *c); /* does the same as the answer REPEAT */
/* The owner reports how many body bytes it took since its last report. */
void bcda__call_took(struct bcda__call *c, int64_t bytes);
/* To be called when new bytes have arrived. Attempts count from 0 again, and the token may be
 * renewed again, since a file may take longer than the lifetimes of several tokens. */
void bcda__call_progress(struct bcda__call *c);
struct bcda__transfer *bcda__call_transfer(const struct bcda__call *c); /* NULL if there is none */

/* These functions let a worker thread read the body of a call that has its own channel. The owner
 * calls bcda__call_hand_over(); from then until the event DETACH only the worker uses the transfer,
 * through the channel. When the worker finds nothing to read, the owner calls bcda__call_watch(),
 * and the session watches the transfer's descriptors. Once there is something to read, a step hands
 * the transfer over to the worker again and calls `ready`. When the body is over, the session's
 * thread takes the transfer back, and reports its end like that of any other transfer.
 * bcda__call_channel() returns NULL if the transfer uses the common channel. */
struct bcda__channel *bcda__call_channel(const struct bcda__call *c);
void bcda__call_hand_over(struct bcda__call *c, void (*ready)(void *ctx), void *ctx);
void bcda__call_watch(struct bcda__call *c);

#endif
