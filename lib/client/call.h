/* One HTTP request of the client, with token, attempts, delays and the judgement of the
 * response. */
#ifndef BCDA_CLIENT_CALL_H
#define BCDA_CLIENT_CALL_H

#include "base/buf.h"
#include "base/url.h"
#include "client/auth.h"
#include "net/engine.h"
#include "protocol/answer.h"

struct bcda__call;
struct bcda__context;

/* Events of a response whose body is for the owner, and the owner's answers. */
enum bcda__call_event {
    /* An attempt begins; the owner may call bcda__call_set_range(). GO. */
    BCDA__CALL_BEGIN,
    /* Status and headers are here. GO, REPEAT, COMPLETE, FAILED. */
    BCDA__CALL_HEAD,
    /* Body bytes wait in the transfer. GO, REPEAT, GONE. */
    BCDA__CALL_BYTES,
    /* The body ended as HTTP requires. COMPLETE; REPEAT (more must be requested; `err` says what
     * is missing, in case it never arrives); FAILED. */
    BCDA__CALL_OVER,
    /* The body broke off. GO: the call fails. REPEAT: the request may be repeated. */
    BCDA__CALL_BROKEN,
    /* The speed is checked: the owner reports its bytes by bcda__call_took(). GO; BUSY: since
     * the last check the owner was slower than the server. */
    BCDA__CALL_MEASURE,
    /* From now on no other thread may use the transfer. GO; LOST: in a child of fork(), another
     * thread did. */
    BCDA__CALL_DETACH,
};
enum bcda__call_answer {
    BCDA__CALL_FAILED = -1, /* the call ends with `err`, which is filled */
    BCDA__CALL_GO,
    BCDA__CALL_REPEAT,   /* the response is of no use: the request is repeated */
    BCDA__CALL_COMPLETE, /* nothing is missing */
    BCDA__CALL_GONE,     /* the owner has freed the call */
    BCDA__CALL_BUSY,
    BCDA__CALL_LOST,
};

struct bcda__call_spec {
    const char *what; /* for error texts: "token request" */
    char about[160];  /* for log lines: "job 42, file 3 (Patient)"; "" = as `what` */
    const char *method;
    const char *url;
    const char *accept; /* values of headers; NULL = not sent */
    const char *prefer;
    const char *accept_encoding;
    int with_token; /* sends the session's token, if the URL is of the FHIR URL's origin */
    const struct bcda__secret *basic; /* sends this Authorization instead; NULL = none */
    enum bcda__verdict (*judge)(const struct bcda__answer *, struct bcda_error *);
    int attempts_max; /* limit of attempts below that of the retry table; 0 = none */
    int64_t *retries; /* counter held against BCDA_OPT_JOB_RETRIES_MAX; NULL = no limit */
    int adapts;       /* a 429 or 503 lowers the number of parallel downloads */
    /* NULL: the body is gathered, and judged with the head. Else the body of a response with status
     * 200 (after bcda__call_set_range() also 206 and 416) is for the owner; every other body is
     * gathered. */
    enum bcda__call_answer (*event)(void *ctx, enum bcda__call_event event, struct bcda_error *err);
    int own_channel; /* another thread may read the body: see bcda__call_hand_over() */
    int proves_end;  /* the content shows whether it is whole: JSON, or a tag at its end */
    /* The end, once: OK or WAIT with `answer` valid, or FAIL with `err`. The call is freed by the
     * owner. */
    void (*end)(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                const struct bcda_error *err);
    void *ctx;
};

/* A request for FHIR JSON without a token, judged by bcda__answer_plain(). */
void bcda__call_spec_init(struct bcda__call_spec *spec, const char *what, const char *method,
                          const char *url);

/* Copies the spec but for `ctx`, `basic` and static texts. Nothing is sent before the next step.
 * NOMEM. */
int bcda__call_new(struct bcda__call **out, struct bcda__context *cx,
                   const struct bcda__call_spec *spec);
void bcda__call_free(struct bcda__call *c); /* at any time; no event but DETACH follows */

/* During BEGIN: requests the bytes from `from` on, if the validator still holds. 0 = the whole. */
void bcda__call_set_range(struct bcda__call *c, int64_t from, const char *if_range);
/* The owner had not taken all bytes, and can continue: BYTES is repeated. */
void bcda__call_wake(struct bcda__call *c);
void bcda__call_repeat(struct bcda__call *c); /* as the answer REPEAT */
/* The owner took this many body bytes since the last report. */
void bcda__call_took(struct bcda__call *c, int64_t bytes);
/* New bytes arrived: attempts count from 0 again, and the token may be renewed again, since a
 * file may take longer than several tokens last. */
void bcda__call_progress(struct bcda__call *c);
struct bcda__transfer *bcda__call_transfer(const struct bcda__call *c); /* may be NULL */

/* A transfer with its own channel is used by the session's thread or, from
 * bcda__call_hand_over() to DETACH, by the thread that reads the body through the channel. When
 * that thread finds nothing to read, bcda__call_watch() makes the session watch the transfer:
 * `ready` is called from a step once there is something to read, and by then the transfer is
 * handed over again. When the body is over, the session's thread takes the transfer back, and
 * reports its end as that of any other. */
struct bcda__channel *bcda__call_channel(const struct bcda__call *c); /* NULL = the common one */
void bcda__call_hand_over(struct bcda__call *c, void (*ready)(void *ctx), void *ctx);
void bcda__call_watch(struct bcda__call *c);

#endif
