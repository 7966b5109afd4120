/* One request with everything around it: token, judgement, waiting and repeating. */
#ifndef BCDA_CLIENT_CALL_H
#define BCDA_CLIENT_CALL_H

#include "base/buf.h"
#include "base/url.h"
#include "client/auth.h"
#include "net/engine.h"
#include "protocol/answer.h"

struct bcda__call;

struct bcda__call_spec {
    const char *what; /* for error texts: "token request" */
    /* For log lines: "job 42, file 3 (Patient)"; NULL = as `what`. It lives as long as the call. */
    const char *about;
    const char *method;
    const char *url;
    const char *accept; /* values of headers; NULL = not sent */
    const char *prefer;
    const char *accept_encoding;
    int with_token;                   /* the session's, if the URL is of its origin */
    const struct bcda__secret *basic; /* instead: this Authorization */
    enum bcda__verdict (*judge)(const struct bcda__answer *, struct bcda_error *);
    int tries_max;    /* fewer than the table allows; 0 = no less */
    int64_t *retries; /* counts them against BCDA_OPT_JOB_RETRIES_MAX; NULL = no such limit */
    int adapts;       /* a 429 or 503 lowers how many files come at once */
    size_t body_max;
    int64_t wait_min_ms; /* least pause before the first try */
    /* Where `data` is set, the body of a 200 (with `from`, of a 206, and a 416) is handed over as
     * it comes; all else is gathered. */
    /* Before each try: where to begin, 0 = at the start; NULL = always there. */
    int64_t (*from)(void *ctx, const char **if_range);
    /* 0, BCDA__CALL_WHOLE (ask again: `from` will know), BCDA__CALL_DONE (there is no
     * more), or a negative code with `err` filled: the call fails. */
    int (*head)(void *ctx, struct bcda__call *call, struct bcda_error *err);
    /* How many were taken; fewer: it will wake the call later; BCDA__CALL_GONE: it has freed the
     * call; BCDA__CALL_REPEAT: the answer was of no use: ask again, the first time at once, then
     * with pauses. */
    size_t (*data)(void *ctx, const uint8_t *data, size_t len);
    /* The body ended well: 1 = more must be asked for, and `err` says what is lacking, should it
     * never come. A negative code with `err` filled: the call fails. May be NULL. */
    int (*more)(void *ctx, struct bcda_error *err);
    int proves_end; /* the content shows by itself whether it is whole: JSON, a tag at the end */
    /* Where `lend` is set, the transfer gets a channel of its own (net/channel.h), and what is left
     * of the body may be read by somebody else: `lend` is asked as soon as that is possible, and
     * after every data; 1 = it was lent. Until `reclaim` then nothing more comes here, and
     * `lent_bytes` tells how many bytes were taken so far, and in *held whether more were kept from
     * being taken since it was last asked. `reclaim` comes when the transfer is over or given up,
     * and from bcda__call_reclaim(); 1 = this is a child, and the transfer is in no known state. */
    int (*lend)(void *ctx, struct bcda__channel *channel, struct bcda__transfer *t);
    int64_t (*lent_bytes)(void *ctx, int *held);
    int (*reclaim)(void *ctx);
    int (*broke)(
        void *ctx); /* the body broke off: 1 = the call may be repeated; NULL = it may not */
    /* The end, once: OK or WAIT with `answer` valid, or FAIL with `err`. The call is freed by the
     * owner. */
    void (*end)(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                const struct bcda_error *err);
    void *ctx;
};

enum { BCDA__CALL_WHOLE = 1, BCDA__CALL_DONE = 2 };
#define BCDA__CALL_GONE   SIZE_MAX
#define BCDA__CALL_REPEAT (SIZE_MAX - 1)

/* Copies the spec but for `ctx`, `basic` and static texts. Nothing is sent before the next step. */
int bcda__call_new(struct bcda__call **out, bcda_session *s, const struct bcda__call_spec *spec);
void bcda__call_free(struct bcda__call *c);    /* at any time; no callback comes after */
void bcda__call_reclaim(struct bcda__call *c); /* what was lent tells again here what comes */
void bcda__call_wake(struct bcda__call *c);    /* data that was not taken may come again */
/* Something new came: the tries that brought nothing are forgotten (DESIGN 6), and so is a 401
 * before them: a file may take longer than several tokens last. */
void bcda__call_progress(struct bcda__call *c);
const struct bcda__transfer *bcda__call_transfer(const struct bcda__call *c); /* may be NULL */

#endif
