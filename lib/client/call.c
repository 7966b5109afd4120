#include "client/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "client/context.h"
#include "client/origin.h"
#include "codec/coding.h"
#include "codec/crypto.h"
#include "protocol/retry.h"

enum {
    /* Size of the ring between network and decoder. The sender has to wait each time the ring is
     * full until it has been emptied, so files get a large ring (doc/performance-notes.md). */
    RING = 64 * 1024,
    RING_FILE = 1024 * 1024,
    /* How much of the body of an error response is read: the body of a 404 may be large (bcda-api
     * 6.1). */
    ERROR_BODY_MAX = 64 * 1024,
};

/* The state of a call (doc/design.md). */
enum call_state {
    PENDING,   /* waits for a timer or a token, and has no transfer */
    SENT,      /* the request was sent, and the head of the response has not arrived */
    GATHERING, /* the body is collected in memory, to be judged with the head */
    STREAMING, /* the owner reads the body */
    ENDED,     /* the end of the call was reported */
};

struct bcda__call {
    enum call_state state;
    struct bcda__context *cx;
    struct bcda__call_spec spec;
    char *url;
    char *target; /* URL that a redirect led to; NULL = none. A new attempt starts at `url` again */
    struct bcda__secret basic;
    struct bcda__secret request_body; /* of this attempt; unset = empty */
    struct bcda__auth_wait wait;
    struct bcda__transfer *t;
    struct bcda__channel *channel; /* channel that only `t` uses; NULL = the common one */
    struct bcda__timer retry;      /* runs until the next attempt */
    struct bcda__timer watch; /* triggers the check of the connection, then those of the speed */
    int attempt;              /* number of attempts so far, this one included */
    int renewed;              /* the token was renewed after a 401 */
    unsigned generation;      /* number of the token that was sent (struct bcda__auth) */
    int sends_token;
    int has_ranges;    /* the owner has called bcda__call_set_range() */
    int64_t asked;     /* offset of the first byte requested; 0 = the whole file */
    char if_range[96]; /* value of If-Range for this range */
    int has_new_bytes; /* this attempt has received new bytes */
    int useless;       /* useless responses in a row; the call was repeated after each */
    int redirects;     /* redirects followed in this attempt */
    int cut;           /* the body of an error response was longer than ERROR_BODY_MAX */
    int connected;     /* the connection was made; `watch` now checks the speed */
    int64_t window;    /* value of bcda__transfer_received() when `watch` last checked the speed */
    int64_t taken;     /* body bytes of this attempt that the owner took */
    /* The owner, not the server, was slow since the last check of the speed. */
    int owner_was_slow;
    struct bcda__buf body;
    size_t body_max;       /* limit of a collected body, except that of an error response */
    struct bcda_error err; /* why the last attempt failed */
};

static void begin_attempt(void *ctx);

static const char *current_url(const struct bcda__call *c)
{
    return c->target ? c->target : c->url;
}

static void forget_target(struct bcda__call *c)
{
    bcda__free(c->target);
    c->target = NULL;
    c->redirects = 0;
}

/* ---- the end of an attempt ---- */

/* The only function that changes `c->state`. */
static void change_call_state(struct bcda__call *c, enum call_state to)
{
    static const char *const names[] = {"PENDING", "SENT", "GATHERING", "STREAMING", "ENDED"};

    if (c->state != to)
        BCDA__TRANSITION("call", names[c->state], names[to]);
    c->state = to;
}

static enum bcda__call_answer report_event(struct bcda__call *c, enum bcda__call_event event)
{
    return c->spec.event(c->spec.ctx, event, &c->err);
}

/* Whether the session has handed the transfer's channel over to a worker (bcda__call_hand_over()),
 * which now reads the body, or will read when bytes arrive. */
static int is_handed_over(const struct bcda__call *c)
{
    return c->channel && c->channel->state != BCDA__CHANNEL_OWN;
}

/* Makes the session's thread the only user of the transfer. Returns 0 if the transfer cannot be
 * used any more, because a worker was using it when the process was forked. */
static int detach_transfer(struct bcda__call *c)
{
    int lost = c->state == STREAMING && report_event(c, BCDA__CALL_DETACH) == BCDA__CALL_LOST;

    if (!is_handed_over(c))
        return 1;
    c->channel->is_lost = lost;
    if (!lost && !c->cx->forked)
        bcda__channel_reclaim(c->channel);
    return !lost;
}

static void drop_transfer(struct bcda__call *c)
{
    if (c->t)
        c->cx->stat[BCDA_STAT_TRANSFERS]--;
    if (c->t && detach_transfer(c))
        bcda__transfer_free(c->t);
    c->t = NULL;
    bcda__secret_free(&c->request_body); /* the transfer has used it until now */
    if (c->channel)
        c->channel->is_used = 0;
    c->channel = NULL;
    bcda__timer_clear(&c->watch);
    if (c->state != ENDED)
        change_call_state(c, PENDING);
}

static void finish_call(struct bcda__call *c, enum bcda__verdict verdict,
                        const struct bcda__answer *answer)
{
    if (c->t)
        (void)detach_transfer(c);
    change_call_state(c, ENDED);
    c->spec.end(c->spec.ctx, verdict, answer, &c->err); /* this may free the call */
}

static void fail_call(struct bcda__call *c)
{
    char shown[160];

    drop_transfer(c);
    bcda__url_show(current_url(c), shown, sizeof shown);
    bcda__err_context(&c->err, "%s, %s %s", c->spec.what, c->spec.method, shown);
    finish_call(c, BCDA__FAIL, NULL);
}

/* Counts a retry of the job. Returns 1 if the job has no retries left. */
static int budget_is_spent(struct bcda__call *c)
{
    int64_t most = bcda__context_option(c->cx, BCDA_OPT_JOB_RETRIES_MAX);

    if (!c->spec.retries || ++*c->spec.retries <= most)
        return 0;
    bcda__err_context(&c->err,
                      "the job has used up its %" PRId64 " retries "
                      "(option \"job_retries_max\"), and then",
                      most);
    return 1;
}

static void begin_attempt_later(struct bcda__call *c, int attempt)
{
    uint32_t random = 0;
    int64_t delay;

    (void)bcda__crypto_random(&random, sizeof random); /* if this fails, there is no jitter */
    delay = bcda__retry_delay(attempt, c->err.retry_after,
                              bcda__context_option(c->cx, BCDA_OPT_RETRY_MAX_MS),
                              bcda__context_option(c->cx, BCDA_OPT_RETRY_AFTER_MAX_MS), random);
    bcda__log(&c->cx->log, BCDA_LOG_WARNING, "client", "%s: %s; attempt again in %" PRId64 " ms",
              c->spec.about[0] ? c->spec.about : c->spec.what, c->err.text, delay);
    bcda__timer_set(c->cx->engine, &c->retry, delay, begin_attempt, c);
}

static void retry_call(struct bcda__call *c)
{
    int most = bcda__retry_attempts(&c->err, (int)bcda__context_option(c->cx, BCDA_OPT_ATTEMPTS));

    if (c->spec.attempts_max && most > c->spec.attempts_max)
        most = c->spec.attempts_max;
    if (c->attempt >= most || budget_is_spent(c)) {
        fail_call(c);
        return;
    }
    drop_transfer(c);
    forget_target(c);
    c->cx->stat[BCDA_STAT_RETRIES]++;
    begin_attempt_later(c, c->attempt > 0 ? c->attempt : 1);
}

/* Sends the same request again, unless no attempts are left: then the call fails, and c->err says
 * what is missing. The repetition is immediate if this response brought new bytes, or is the first
 * that did not; otherwise there is a delay. */
static void repeat_call(struct bcda__call *c)
{
    drop_transfer(c);
    if (c->attempt >= (int)bcda__context_option(c->cx, BCDA_OPT_ATTEMPTS)) {
        bcda__err_context(&c->err, "%d answers in a row brought nothing new", c->attempt);
        fail_call(c);
        return;
    }
    c->cx->stat[BCDA_STAT_RETRIES]++;
    if (!c->has_new_bytes && c->useless++ > 0)
        begin_attempt_later(c, c->useless - 1);
    else
        bcda__timer_set(c->cx->engine, &c->retry, 0, begin_attempt, c);
}

void bcda__call_repeat(struct bcda__call *c)
{
    bcda__err_set(&c->err, BCDA_ERR_TRANSFER, "none of them was the part that was asked for");
    repeat_call(c);
}

/* After a 401: fetches a new token once, and repeats the request. */
static void renew_token(struct bcda__call *c)
{
    drop_transfer(c);
    if (c->sends_token && !c->renewed && bcda__auth_refused(c->cx->auth, c->generation)) {
        c->renewed = c->wait.renews = 1;
        c->attempt--; /* an attempt with a refused token does not count */
        c->cx->stat[BCDA_STAT_RETRIES]++;
        bcda__timer_set(c->cx->engine, &c->retry, 0, begin_attempt, c);
        return;
    }
    fail_call(c);
}

/* ---- reading the response ---- */

/* The body of an error response may be gzip, or be labelled gzip without being so (bcda-api 6.1).
 * Its first bytes decide. */
static void decode_body(struct bcda__call *c)
{
    const uint8_t *body = (const uint8_t *)c->body.data;
    const struct bcda__coding *coding = bcda__coding_guess(body, c->body.len);
    struct bcda__buf plain;
    uint8_t out[4096];
    size_t used, made = 1, at = 0;
    void *state;

    if (!coding || coding->open(&state))
        return;
    bcda__buf_init(&plain, ERROR_BODY_MAX);
    while (made > 0 &&
           !coding->run(state, body + at, c->body.len - at, &used, out, sizeof out, &made)) {
        at += used;
        if (bcda__buf_add(&plain, out, made))
            break;
    }
    coding->close(state);
    bcda__buf_free_secret(&c->body);
    c->body = plain;
}

static enum bcda__sent what_was_sent(const struct bcda__call *c)
{
    if (c->sends_token || c->basic.data || c->request_body.data)
        return BCDA__SENT_TOKEN;
    if (!c->spec.with_token)
        return BCDA__SENT_NONE;
    return c->cx->auth->has_tokens ? BCDA__SENT_ELSEWHERE : BCDA__SENT_OPEN;
}

static void fill_answer(const struct bcda__call *c, struct bcda__answer *a)
{
    memset(a, 0, sizeof *a);
    a->status = bcda__transfer_status(c->t);
    a->content_type = bcda__transfer_header(c->t, "Content-Type");
    a->content_location = bcda__transfer_header(c->t, "Content-Location");
    a->location = bcda__transfer_header(c->t, "Location");
    a->retry_after = bcda__transfer_header(c->t, "Retry-After");
    a->x_progress = bcda__transfer_header(c->t, "X-Progress");
    a->date = bcda__transfer_header(c->t, "Date");
    a->body = c->body.data ? c->body.data : "";
    a->body_len = c->body.len;
    a->now_ms = bcda__engine_wall(c->cx->engine);
    a->sent = what_was_sent(c);
}

/* ---- redirects ---- */

/* The token is sent to the FHIR URL's origin only. */
static int is_own_origin(const struct bcda__context *cx, const char *url)
{
    struct bcda__url u;

    return !bcda__url_parse(url, &u) && bcda__url_same_origin(&u, &cx->fhir);
}

/* Only the redirect of a GET is followed. The redirect of another request, such as the POST for a
 * token, is judged in answer.c, which refuses it. */
static int is_redirect(const struct bcda__call *c)
{
    int status = bcda__transfer_status(c->t);

    return strcmp(c->spec.method, "GET") == 0 && bcda__transfer_header(c->t, "Location")[0] &&
           (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

/* Writes the URL that a redirect leads to. `location` must be an absolute URL, or a path at the
 * same origin; other forms are refused. */
static int redirect_target(const struct bcda__call *c, const char *location, struct bcda__buf *out)
{
    struct bcda__url u;
    int rc = 0;

    if (location[0] == '/' && location[1] != '/') {
        if (bcda__url_parse(current_url(c), &u))
            return BCDA_ERR_URL;
        rc = bcda__url_add_origin(out, &u);
    }
    if (!rc)
        rc = bcda__buf_adds(out, location);
    if (!rc && bcda__url_parse(out->data, &u))
        rc = BCDA_ERR_URL;
    return rc;
}

/* The new request carries the token only if the target has the FHIR URL's origin. An http URL is
 * followed only where http is allowed. */
static void follow_redirect(struct bcda__call *c)
{
    struct bcda__buf url, usable;
    char *copy = NULL;
    int rc;

    bcda__buf_init(&url, 64 * 1024);
    bcda__buf_init(&usable, 64 * 1024);
    rc = redirect_target(c, bcda__transfer_header(c->t, "Location"), &url);
    if (rc)
        bcda__err_set(&c->err, rc == BCDA_ERR_NOMEM ? rc : BCDA_ERR_REDIRECT,
                      "redirected to something that is no absolute URL and no path");
    else
        rc = bcda__origin_redirect(c->cx, url.data, &usable, &c->err);
    if (!rc && ++c->redirects > bcda__context_option(c->cx, BCDA_OPT_REDIRECTS_MAX))
        rc = bcda__err_set(&c->err, BCDA_ERR_REDIRECT,
                           "redirected more than %d times (option \"redirects_max\")",
                           c->redirects - 1);
    if (!rc && !(copy = bcda__strdup(usable.data)))
        rc = bcda__err_nomem(&c->err);
    bcda__buf_free(&url);
    bcda__buf_free(&usable);
    if (rc) {
        c->err.http_status = bcda__transfer_status(c->t);
        fail_call(c);
        return;
    }
    drop_transfer(c);
    bcda__free(c->target);
    c->target = copy;
    c->attempt--; /* a redirect is part of the same attempt */
    bcda__timer_set(c->cx->engine, &c->retry, 0, begin_attempt, c);
}

/* ---- the verdict ---- */

static void judge_response(struct bcda__call *c)
{
    struct bcda__answer a;
    enum bcda__verdict verdict;

    if (is_redirect(c)) {
        follow_redirect(c);
        return;
    }
    if (bcda__transfer_status(c->t) >= 400)
        decode_body(c);
    fill_answer(c, &a);
    bcda__err_clear(&c->err);
    verdict = c->spec.judge(&a, &c->err);
    if (c->err.code)
        c->err.retry_after = bcda__retry_after(a.retry_after, bcda__engine_wall(c->cx->engine));
    switch (verdict) {
    case BCDA__RENEW:
        renew_token(c);
        break;
    case BCDA__RETRY:
        if (c->spec.adapts && (a.status == 429 || a.status == 503))
            bcda__context_adapt(c->cx, 0);
        retry_call(c);
        break;
    case BCDA__FAIL:
        fail_call(c);
        break;
    default:
        finish_call(c, verdict, &a);
    }
}

/* ---- events of the transfer ---- */

static void finish_streamed(struct bcda__call *c)
{
    struct bcda__answer a;

    fill_answer(c, &a);
    finish_call(c, BCDA__OK, &a);
}

static int is_streamed(const struct bcda__call *c)
{
    int status = bcda__transfer_status(c->t);

    if (!c->spec.event)
        return 0;
    return status == 200 || (c->has_ranges && (status == 206 || (status == 416 && c->asked > 0)));
}

static void on_transfer_head(void *ctx)
{
    struct bcda__call *c = ctx;

    change_call_state(c, is_streamed(c) ? STREAMING : GATHERING);
    if (c->state == GATHERING)
        return;
    switch (report_event(c, BCDA__CALL_HEAD)) {
    case BCDA__CALL_FAILED:
        fail_call(c);
        break;
    case BCDA__CALL_REPEAT:
        bcda__call_repeat(c);
        break;
    case BCDA__CALL_COMPLETE:
        finish_streamed(c);
        break;
    default:
        break;
    }
}

static void gather_body(struct bcda__call *c, const uint8_t *data, size_t len)
{
    size_t max = bcda__transfer_status(c->t) < 400 ? c->body_max : ERROR_BODY_MAX;
    size_t take = len > max - c->body.len ? max - c->body.len : len;
    int rc;

    c->cx->stat[BCDA_STAT_BYTES_WIRE] += (int64_t)take;
    c->cut |= take < len;
    rc = bcda__buf_add(&c->body, data, take);
    if (!rc && c->cut && bcda__transfer_status(c->t) < 400)
        rc = BCDA_ERR_BODY_TOO_LARGE;
    if (rc) {
        if (rc == BCDA_ERR_NOMEM)
            bcda__err_nomem(&c->err);
        else
            bcda__err_set(&c->err, rc,
                          "the answer is larger than %zu bytes (option \"answer_max\")", max);
        fail_call(c);
    } else if (c->cut) {
        judge_response(c); /* enough of the error response's body was read */
    } else {
        bcda__transfer_take(c->t, len);
    }
}

static void on_transfer_data(void *ctx)
{
    struct bcda__call *c = ctx;
    const uint8_t *data;
    size_t len = bcda__transfer_peek(c->t, &data);
    enum bcda__call_answer answer;

    if (!len)
        return;
    if (c->state == GATHERING) {
        gather_body(c, data, len);
        return;
    }
    answer = report_event(c, BCDA__CALL_BYTES);
    if (answer == BCDA__CALL_REPEAT)
        bcda__call_repeat(c);
    else if (answer == BCDA__CALL_GO && bcda__transfer_peek(c->t, &data) > 0)
        c->owner_was_slow = 1;
}

/* Returns 1 if a complete body can be distinguished from a cut one. In HTTP/1.x a body that has
 * neither Content-Length nor chunked coding ends when the connection is closed. A broken connection
 * looks the same, because libcurl does not always notice that the TLS close is missing. So such a
 * body is accepted only if its format shows where it ends (`proves_end`). From HTTP/2 on, libcurl
 * checks the end of each body. */
static int has_end(const struct bcda__call *c)
{
    return c->spec.proves_end || bcda__transfer_http_major(c->t) > 1 ||
           bcda__transfer_content_length(c->t) >= 0 || bcda__transfer_is_chunked(c->t);
}

static void end_streamed(struct bcda__call *c)
{
    switch (report_event(c, BCDA__CALL_OVER)) {
    case BCDA__CALL_FAILED:
        fail_call(c);
        break;
    case BCDA__CALL_REPEAT:
        repeat_call(c); /* the repetition counts as an attempt only if no new byte came */
        break;
    default:
        finish_streamed(c);
    }
}

static void on_broken_transfer(struct bcda__call *c)
{
    if (bcda__retry_attempts(&c->err, 2) > 1 &&
        (c->state != STREAMING || report_event(c, BCDA__CALL_BROKEN) == BCDA__CALL_REPEAT))
        retry_call(c);
    else
        fail_call(c);
}

static void on_transfer_end(void *ctx, int code, const struct bcda_error *err)
{
    struct bcda__call *c = ctx;

    if (!code && c->state == STREAMING && !has_end(c))
        code =
            bcda__err_set(&c->err, BCDA_ERR_TRUNCATED,
                          "the body has neither length nor end, so it cannot be known to be whole");
    else if (code)
        bcda__err_copy(&c->err, err);
    if (code)
        on_broken_transfer(c);
    else if (c->state == STREAMING)
        end_streamed(c);
    else
        judge_response(c);
}

/* ---- transfers that are too slow ---- */

static void schedule_speed_check(struct bcda__call *c);

static void fail_too_slow(struct bcda__call *c, int code)
{
    if (code == BCDA_ERR_CONNECT_TIMEOUT)
        bcda__err_set(&c->err, code,
                      "no connection within %" PRId64
                      " ms (option \"connect_timeout_ms\"); is this address allowed there?",
                      bcda__context_option(c->cx, BCDA_OPT_CONNECT_TIMEOUT_MS));
    else
        bcda__err_set(&c->err, code,
                      "less than %" PRId64
                      " bytes a second (option \"low_speed_bytes\") for %" PRId64
                      " ms (option \"low_speed_time_ms\")",
                      bcda__context_option(c->cx, BCDA_OPT_LOW_SPEED_BYTES),
                      bcda__context_option(c->cx, BCDA_OPT_LOW_SPEED_TIME_MS));
    on_broken_transfer(c);
}

/* Returns how many bytes were received, for the check of the speed. Sets *held if the server is not
 * to blame for a low speed: bytes wait here, or the owner was too slow to take them. */
static int64_t count_received(struct bcda__call *c, int *held)
{
    const uint8_t *waiting;

    if (is_handed_over(c)) {
        *held = report_event(c, BCDA__CALL_MEASURE) == BCDA__CALL_BUSY;
        return c->taken;
    }
    *held = c->owner_was_slow || bcda__transfer_peek(c->t, &waiting) > 0;
    return bcda__transfer_received(c->t);
}

static void check_speed(void *ctx)
{
    struct bcda__call *c = ctx;
    int64_t span = bcda__context_option(c->cx, BCDA_OPT_LOW_SPEED_TIME_MS);
    int64_t least = bcda__context_option(c->cx, BCDA_OPT_LOW_SPEED_BYTES);
    int held;
    int64_t received = count_received(c, &held);

    if (!c->connected && !is_handed_over(c) && !bcda__transfer_is_connected(c->t)) {
        fail_too_slow(c, BCDA_ERR_CONNECT_TIMEOUT);
        return;
    }
    if (c->connected && !held && (received - c->window) * 1000 < least * span) {
        fail_too_slow(c, BCDA_ERR_STALLED);
        return;
    }
    c->connected = 1;
    c->window = received;
    c->owner_was_slow = 0;
    schedule_speed_check(c);
}

static void schedule_speed_check(struct bcda__call *c)
{
    int option = c->connected ? BCDA_OPT_LOW_SPEED_TIME_MS : BCDA_OPT_CONNECT_TIMEOUT_MS;

    bcda__timer_set(c->cx->engine, &c->watch, bcda__context_option(c->cx, option), check_speed, c);
}

/* ---- an attempt ---- */

enum { HEADERS = 6, HEADER_SIZE = 128 };

static void write_header(char *line, const char *name, const char *value)
{
    bcda__text_copy(line, HEADER_SIZE, name);
    /* A name without a value makes libcurl leave the header out. */
    bcda__text_append(line, HEADER_SIZE, ":");
    if (value) {
        bcda__text_append(line, HEADER_SIZE, " ");
        bcda__text_append(line, HEADER_SIZE, value);
    }
}

/* Returns the number of headers. */
static size_t write_headers(struct bcda__call *c, char (*lines)[HEADER_SIZE], const char **out)
{
    size_t i, count = HEADERS - !c->spec.content_type;
    char range[48];

    c->asked = 0;
    if (c->spec.event)
        (void)report_event(c, BCDA__CALL_BEGIN);
    snprintf(range, sizeof range, "bytes=%" PRId64 "-", c->asked);
    write_header(lines[0], "Accept", c->spec.accept);
    write_header(lines[1], "Prefer", c->spec.prefer);
    write_header(lines[2], "Accept-Encoding", c->spec.accept_encoding);
    write_header(lines[3], "Range", c->asked ? range : NULL);
    write_header(lines[4], "If-Range", c->asked && c->if_range[0] ? c->if_range : NULL);
    if (c->spec.content_type)
        write_header(lines[5], "Content-Type", c->spec.content_type);
    for (i = 0; i < count; i++)
        out[i] = lines[i];
    return count;
}

static int start_transfer(struct bcda__call *c, const struct bcda__transfer_request *r)
{
    struct bcda__transfer_events events = {on_transfer_head, on_transfer_data, on_transfer_end, c};
    struct bcda__channel *channel = bcda__engine_common(c->cx->engine);
    int rc = 0;

    if (c->spec.own_channel) {
        rc = bcda__engine_channel(c->cx->engine, &c->channel, &c->err);
        channel = c->channel;
    }
    return rc ? rc : bcda__transfer_start(&c->t, channel->http, r, &events, &c->err);
}

/* Delays the attempt if the rate limit requires it. Returns 1 if it does. */
static int wait_for_limit(struct bcda__call *c)
{
    int64_t wait = bcda__context_take_request(c->cx);

    if (wait <= 0)
        return 0;
    c->cx->stat[BCDA_STAT_WAITS]++;
    c->attempt--; /* the rate limit delays the request, so this was not an attempt */
    bcda__timer_set(c->cx->engine, &c->retry, wait, begin_attempt, c);
    return 1;
}

static void fill_request(struct bcda__call *c, struct bcda__transfer_request *r)
{
    r->method = c->spec.method;
    r->url = current_url(c);
    if (c->request_body.data)
        r->body = &c->request_body;
    r->offers_certificate = bcda__origin_gets_certificate(c->cx, r->url, c->cx->auth->endpoint.url);
    if (c->basic.data)
        r->authorization = &c->basic;
    else if (c->sends_token)
        r->authorization = &c->cx->auth->header;
    r->ring = c->spec.event ? RING_FILE : RING;
}

static void send_request(struct bcda__call *c)
{
    struct bcda__transfer_request r = {0};
    char lines[HEADERS][HEADER_SIZE];
    const char *headers[HEADERS];

    if (c->cx->forked || wait_for_limit(c))
        return;
    if (c->spec.make_body && c->spec.make_body(c->spec.ctx, &c->request_body, &c->err)) {
        fail_call(c);
        return;
    }
    r.header_count = write_headers(c, lines, headers);
    r.headers = headers;
    fill_request(c, &r);
    c->generation = c->cx->auth->generation;
    if (start_transfer(c, &r)) {
        on_broken_transfer(c);
        return;
    }
    change_call_state(c, SENT);
    c->cx->stat[BCDA_STAT_REQUESTS]++;
    c->cx->stat[BCDA_STAT_TRANSFERS]++;
    schedule_speed_check(c);
}

static void on_call_token(void *ctx, int code, const struct bcda_error *err)
{
    struct bcda__call *c = ctx;

    if (code) {
        bcda__err_copy(&c->err, err);
        finish_call(c, BCDA__FAIL, NULL); /* the error text already says which request failed */
        return;
    }
    send_request(c);
}

static void begin_attempt(void *ctx)
{
    struct bcda__call *c = ctx;
    int rc;

    c->attempt++;
    c->cut = c->connected = c->owner_was_slow = c->has_new_bytes = 0;
    c->window = c->taken = 0;
    bcda__buf_free_secret(&c->body);
    c->sends_token =
        c->spec.with_token && c->cx->auth->has_tokens && is_own_origin(c->cx, current_url(c));
    if (!c->sends_token) {
        send_request(c);
        return;
    }
    c->wait.ready = on_call_token;
    c->wait.ctx = c;
    rc = bcda__auth_get(c->cx->auth, &c->wait, &c->err);
    if (rc == 1)
        send_request(c);
    else if (rc < 0)
        fail_call(c);
}

void bcda__call_spec_init(struct bcda__call_spec *spec, const char *what, const char *method,
                          const char *url)
{
    memset(spec, 0, sizeof *spec);
    spec->what = what;
    spec->method = method;
    spec->url = url;
    spec->accept = "application/fhir+json"; /* exactly this value, nothing else (bcda-api 4.1) */
    spec->judge = bcda__answer_plain;
}

int bcda__call_new(struct bcda__call **out, struct bcda__context *cx,
                   const struct bcda__call_spec *spec)
{
    struct bcda__call *c = bcda__calloc(1, sizeof *c);

    if (!c)
        return BCDA_ERR_NOMEM;
    c->cx = cx;
    c->spec = *spec;
    c->body_max = (size_t)bcda__context_option(cx, BCDA_OPT_ANSWER_MAX);
    bcda__buf_init(&c->body, c->body_max > ERROR_BODY_MAX ? c->body_max : ERROR_BODY_MAX);
    bcda__err_clear(&c->err);
    c->url = bcda__strdup(spec->url);
    if (!c->url || (spec->basic && bcda__secret_copy(&c->basic, spec->basic))) {
        bcda__call_free(c);
        return BCDA_ERR_NOMEM;
    }
    c->spec.url = c->url;
    c->spec.basic = NULL;
    bcda__timer_set(cx->engine, &c->retry, 0, begin_attempt, c);
    *out = c;
    return 0;
}

void bcda__call_free(struct bcda__call *c)
{
    if (!c)
        return;
    bcda__auth_leave(&c->wait);
    bcda__timer_clear(&c->retry);
    drop_transfer(c);
    bcda__secret_free(&c->basic);
    bcda__buf_free_secret(&c->body);
    bcda__err_forget(&c->err);
    bcda__free(c->target);
    bcda__free(c->url);
    bcda__free(c);
}

void bcda__call_set_range(struct bcda__call *c, int64_t from, const char *if_range)
{
    c->has_ranges = 1;
    c->asked = from;
    bcda__text_copy(c->if_range, sizeof c->if_range, if_range);
}

void bcda__call_wake(struct bcda__call *c)
{
    if (c->t && !is_handed_over(c))
        bcda__transfer_wake(c->t);
}

void bcda__call_took(struct bcda__call *c, int64_t bytes)
{
    c->taken += bytes;
    c->cx->stat[BCDA_STAT_BYTES_WIRE] += bytes;
}

void bcda__call_hand_over(struct bcda__call *c, void (*ready)(void *ctx), void *ctx)
{
    bcda__channel_hand_over(c->channel, c->t, ready, ctx);
}

void bcda__call_watch(struct bcda__call *c)
{
    if (!c->channel || c->channel->state != BCDA__CHANNEL_AWAY)
        return;
    if (!bcda__transfer_is_over(c->t))
        /* if a descriptor cannot be watched, this ends the transfer */
        bcda__channel_rest(c->channel);
    if (bcda__transfer_is_over(c->t))
        (void)detach_transfer(c);
}

struct bcda__channel *bcda__call_channel(const struct bcda__call *c)
{
    return c->channel;
}

void bcda__call_progress(struct bcda__call *c)
{
    if (c->has_new_bytes)
        return;
    c->has_new_bytes = 1;
    c->attempt = c->useless = 0;
    c->renewed = 0; /* this token was accepted, so a later 401 may renew it */
}

struct bcda__transfer *bcda__call_transfer(const struct bcda__call *c)
{
    return c->t;
}
