#include "client/auth.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/call.h"
#include "client/context.h"
#include "protocol/token.h"

struct bcda_token_request {
    struct bcda__auth *auth; /* NULL if the session no longer waits for this request */
};

static int set_bearer(struct bcda__auth *a, const char *token, size_t len)
{
    /* The server accepts only this spelling, with a capital B and one space (bcda-api 1). */
    static const char scheme[] = "Bearer ";
    struct bcda__secret h = {0};

    if (bcda__secret_set(&h, NULL, sizeof scheme - 1 + len))
        return BCDA_ERR_NOMEM;
    memcpy(h.data, scheme, sizeof scheme - 1);
    memcpy(h.data + sizeof scheme - 1, token, len);
    bcda__secret_free(&a->header);
    a->header = h;
    a->generation++;
    return 0;
}

/* Without a configured token URL, BCDA's is used: "/auth/token" at the origin of the FHIR URL
 * (bcda-api 3). */
static int choose_token_url(struct bcda__auth *a)
{
    struct bcda__buf url;
    int rc;

    if (a->cx->config->token_url) {
        a->token_url = bcda__strdup(a->cx->config->token_url);
        return a->token_url ? 0 : BCDA_ERR_NOMEM;
    }
    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__url_add_origin(&url, &a->cx->fhir);
    if (!rc)
        rc = bcda__buf_adds(&url, "/auth/token");
    if (rc)
        bcda__buf_free(&url);
    a->token_url = bcda__buf_steal(&url);
    return rc;
}

int bcda__auth_init(struct bcda__auth *a, struct bcda__context *cx)
{
    const struct bcda__secret *bearer = &cx->config->bearer;
    int rc;

    a->cx = cx;
    a->waits.prev = a->waits.next = &a->waits;
    a->renew_at = INT64_MAX;
    bcda__err_clear(&a->answer);
    a->fixed = bearer->data != NULL;
    rc = choose_token_url(a);
    return !rc && a->fixed ? set_bearer(a, bearer->data, bearer->len) : rc;
}

void bcda__auth_free(struct bcda__auth *a)
{
    bcda__call_free(a->call);
    a->call = NULL;
    if (a->asked)
        a->asked->auth = NULL; /* the application will still answer this request */
    a->asked = NULL;
    bcda__timer_clear(&a->timer);
    bcda__secret_free(&a->header);
    bcda__free(a->token_url);
    a->token_url = NULL;
}

void bcda__auth_leave(struct bcda__auth_wait *w)
{
    if (!w->waiting)
        return;
    w->waiting = 0;
    w->prev->next = w->next;
    w->next->prev = w->prev;
}

/* Reports the result of the token request to all calls that are in the queue now. A call that joins
 * the queue again during its notification waits for the next round. */
static void notify_waiting(struct bcda__auth *a, int code, const struct bcda_error *err)
{
    struct bcda__auth_wait *w;

    a->round++;
    while (!a->cx->forked && (w = a->waits.next) != &a->waits && w->round != a->round) {
        bcda__auth_leave(w);
        w->ready(w->ctx, code, err);
    }
}

static void take_token(struct bcda__auth *a, const char *token, size_t len, int64_t lifetime_ms)
{
    struct bcda_error err;

    if (set_bearer(a, token, len)) {
        bcda__err_nomem(&err);
        notify_waiting(a, BCDA_ERR_NOMEM, &err);
        return;
    }
    a->renew_at = bcda__token_renew_at(bcda__engine_now(a->cx->engine), lifetime_ms);
    a->cx->stat[BCDA_STAT_TOKENS]++;
    bcda__log(&a->cx->log, BCDA_LOG_INFO, "auth", "token received");
    notify_waiting(a, 0, NULL);
}

static void on_token_response(void *ctx, enum bcda__verdict verdict,
                              const struct bcda__answer *answer, const struct bcda_error *err)
{
    struct bcda__auth *a = ctx;
    struct bcda__call *call = a->call;
    struct bcda__token token = {0};
    struct bcda_error own;
    int rc;

    a->call = NULL;
    if (verdict != BCDA__OK) {
        notify_waiting(a, err->code, err);
    } else {
        rc = bcda__token_parse(&token, answer->body, answer->body_len, &own);
        if (rc) /* some servers send a refusal with status 200 */
            (void)bcda__token_describe(&own, answer->body, answer->body_len);
        if (rc)
            notify_waiting(a, rc, &own);
        else
            take_token(a, token.bearer.data, token.bearer.len, token.lifetime_ms);
        bcda__token_free(&token);
    }
    bcda__call_free(call);
}

static int request_token(struct bcda__auth *a)
{
    const bcda_config *config = a->cx->config;
    struct bcda__secret basic = {0};
    struct bcda__call_spec spec;
    int rc = bcda__token_basic(&basic, config->client_id, config->client_secret.data);

    if (rc)
        return rc;
    bcda__call_spec_init(&spec, "token request", "POST", a->token_url);
    spec.accept = "application/json";
    spec.basic = &basic;
    spec.judge = bcda__answer_token;
    spec.end = on_token_response;
    spec.ctx = a;
    rc = bcda__call_new(&a->call, a->cx, &spec);
    bcda__secret_free(&basic);
    return rc;
}

static int ask_provider(struct bcda__auth *a)
{
    const struct bcda__registration *p = a->cx->config->provider;
    bcda_token_request *r = bcda__calloc(1, sizeof *r);

    if (!r)
        return BCDA_ERR_NOMEM;
    r->auth = a;
    a->asked = r;
    bcda__context_enter_callback(a->cx);
    ((bcda_token_provider_cb)p->cb)(r, p->userdata);
    bcda__context_leave_callback(a->cx);
    return 0;
}

int bcda__auth_get(struct bcda__auth *a, struct bcda__auth_wait *w, struct bcda_error *err)
{
    int rc = 0;

    if (a->header.data && bcda__engine_now(a->cx->engine) < a->renew_at)
        return 1;
    w->waiting = 1;
    w->round = a->round; /* the queue is sorted: entries of this round are last */
    w->next = &a->waits;
    w->prev = a->waits.prev;
    w->prev->next = w;
    a->waits.prev = w;
    if (a->call || a->asked || a->timer.set)
        return 0;
    rc = a->cx->config->provider ? ask_provider(a) : request_token(a);
    if (rc) {
        bcda__auth_leave(w);
        return bcda__err_set(err, rc, "no token could be asked for: %s", bcda_error_string(rc));
    }
    return 0;
}

int bcda__auth_refused(struct bcda__auth *a, unsigned generation)
{
    if (a->fixed)
        return 0;
    if (a->generation == generation)
        bcda__secret_free(&a->header);
    return 1;
}

/* ---- the application's provider ---- */

static void deliver_provider_answer(void *ctx)
{
    struct bcda__auth *a = ctx;

    if (a->answer.code)
        notify_waiting(a, a->answer.code, &a->answer);
    else
        notify_waiting(a, 0, NULL);
}

/* Frees the request to the application's token provider. Returns the bcda__auth that waits for the
 * answer, or NULL if none does. */
static struct bcda__auth *take_request(bcda_token_request *r)
{
    struct bcda__auth *a = r->auth;

    bcda__free(r);
    if (a) {
        a->asked = NULL;
        (void)bcda__context_is_forked(a->cx);
    }
    return a;
}

static void schedule_provider_answer(struct bcda__auth *a)
{
    bcda__timer_set(a->cx->engine, &a->timer, 0, deliver_provider_answer, a);
}

int bcda_token_request_answer(bcda_token_request *r, const char *token, int64_t lifetime_seconds)
{
    struct bcda__auth *a;
    int rc = 0;

    if (!r)
        return BCDA_ERR_INVALID;
    a = take_request(r);
    if (a && a->cx->forked)
        /* in a child of fork(); the parent process has its own copy of the request */
        return BCDA_ERR_FORKED;
    if (!token || !bcda__config_is_token(token))
        rc = BCDA_ERR_INVALID;
    if (!a)
        return rc;
    bcda__err_clear(&a->answer);
    if (rc)
        bcda__err_set(&a->answer, BCDA_ERR_TOKEN, "the token provider gave no usable token");
    else if (set_bearer(a, token, strlen(token)))
        rc = bcda__err_nomem(&a->answer);
    else if (lifetime_seconds > 0 && lifetime_seconds < INT64_MAX / 1000)
        a->renew_at =
            bcda__token_renew_at(bcda__engine_now(a->cx->engine), lifetime_seconds * 1000);
    else
        a->renew_at = INT64_MAX;
    if (!rc)
        a->cx->stat[BCDA_STAT_TOKENS]++;
    schedule_provider_answer(a);
    /* The application may have forked in watch_timer. */
    return a->cx->forked ? BCDA_ERR_FORKED : rc;
}

void bcda_token_request_fail(bcda_token_request *r)
{
    struct bcda__auth *a;

    if (!r)
        return;
    a = take_request(r);
    if (!a || a->cx->forked)
        return;
    bcda__err_set(&a->answer, BCDA_ERR_AUTH, "the token provider has no token");
    schedule_provider_answer(a);
}
