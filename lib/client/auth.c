#include "client/auth.h"

#include <string.h>

#include "base/mem.h"
#include "client/call.h"
#include "client/session.h"
#include "protocol/token.h"

struct bcda_token_request {
    bcda_session *s; /* NULL once the session does not wait for it any more */
};

static int set_bearer(struct bcda__auth *a, const char *token, size_t len)
{
    static const char scheme[] = "Bearer "; /* case and space matter (bcda-api 1) */
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

int bcda__auth_init(bcda_session *s)
{
    struct bcda__auth *a = &s->auth;

    a->waits.prev = a->waits.next = &a->waits;
    a->renew_at = INT64_MAX;
    bcda__err_clear(&a->answer);
    a->fixed = s->config->bearer.data != NULL;
    return a->fixed ? set_bearer(a, s->config->bearer.data, s->config->bearer.len) : 0;
}

void bcda__auth_free(bcda_session *s)
{
    struct bcda__auth *a = &s->auth;

    bcda__call_free(a->call);
    a->call = NULL;
    if (a->asked)
        a->asked->s = NULL; /* the application will still answer it */
    a->asked = NULL;
    bcda__timer_clear(&a->timer);
    bcda__secret_free(&a->header);
}

void bcda__auth_leave(struct bcda__auth_wait *w)
{
    if (!w->waiting)
        return;
    w->waiting = 0;
    w->prev->next = w->next;
    w->next->prev = w->prev;
}

/* Tells all who wait now; one that comes back at once waits anew. */
static void notify_waiting(bcda_session *s, int code, const struct bcda_error *err)
{
    struct bcda__auth *a = &s->auth;
    struct bcda__auth_wait *w;

    a->round++;
    while (!s->forked && (w = a->waits.next) != &a->waits && w->round != a->round) {
        bcda__auth_leave(w);
        w->ready(w->ctx, code, err);
    }
}

static void take_token(bcda_session *s, const char *token, size_t len, int64_t lifetime_ms)
{
    struct bcda__auth *a = &s->auth;
    struct bcda_error err;

    if (set_bearer(a, token, len)) {
        bcda__err_nomem(&err);
        notify_waiting(s, BCDA_ERR_NOMEM, &err);
        return;
    }
    a->renew_at = bcda__token_renew_at(bcda__engine_now(s->engine), lifetime_ms);
    s->stat[BCDA_STAT_TOKENS]++;
    bcda__log(&s->log, BCDA_LOG_INFO, "auth", "token received");
    notify_waiting(s, 0, NULL);
}

static void on_token_response(void *ctx, enum bcda__verdict verdict,
                              const struct bcda__answer *answer, const struct bcda_error *err)
{
    bcda_session *s = ctx;
    struct bcda__call *call = s->auth.call;
    struct bcda__token token = {0};
    struct bcda_error own;
    int rc;

    s->auth.call = NULL;
    if (verdict != BCDA__OK) {
        notify_waiting(s, err->code, err);
    } else {
        rc = bcda__token_parse(&token, answer->body, answer->body_len, &own);
        if (rc) /* some servers refuse with 200 */
            (void)bcda__token_describe(&own, answer->body, answer->body_len);
        if (rc)
            notify_waiting(s, rc, &own);
        else
            take_token(s, token.bearer.data, token.bearer.len, token.lifetime_ms);
        bcda__token_free(&token);
    }
    bcda__call_free(call);
}

static int request_token(bcda_session *s)
{
    struct bcda__secret basic = {0};
    struct bcda__call_spec spec = {0};
    int rc = bcda__token_basic(&basic, s->config->client_id, s->config->client_secret.data);

    if (rc)
        return rc;
    spec.what = "token request";
    spec.method = "POST";
    spec.url = s->token_url;
    spec.accept = "application/json";
    spec.basic = &basic;
    spec.judge = bcda__answer_token;
    spec.body_max = (size_t)bcda__session_option(s, BCDA_OPT_ANSWER_MAX);
    spec.end = on_token_response;
    spec.ctx = s;
    rc = bcda__call_new(&s->auth.call, s, &spec);
    bcda__secret_free(&basic);
    return rc;
}

static int ask_provider(bcda_session *s)
{
    const struct bcda__registration *p = s->config->provider;
    bcda_token_request *r = bcda__calloc(1, sizeof *r);

    if (!r)
        return BCDA_ERR_NOMEM;
    r->s = s;
    s->auth.asked = r;
    bcda__session_enter_callback(s);
    ((bcda_token_provider_cb)p->cb)(r, p->userdata);
    bcda__session_leave_callback(s);
    return 0;
}

int bcda__auth_get(bcda_session *s, struct bcda__auth_wait *w, struct bcda_error *err)
{
    struct bcda__auth *a = &s->auth;
    int rc = 0;

    if (a->header.data && bcda__engine_now(s->engine) < a->renew_at)
        return 1;
    w->waiting = 1;
    w->round = a->round; /* the line is in order, so newer ones stand behind all older */
    w->next = &a->waits;
    w->prev = a->waits.prev;
    w->prev->next = w;
    a->waits.prev = w;
    if (a->call || a->asked || a->timer.set)
        return 0;
    rc = s->config->provider ? ask_provider(s) : request_token(s);
    if (rc) {
        bcda__auth_leave(w);
        return bcda__err_set(err, rc, "no token could be asked for: %s", bcda_error_string(rc));
    }
    return 0;
}

int bcda__auth_refused(bcda_session *s, unsigned generation)
{
    struct bcda__auth *a = &s->auth;

    if (a->fixed)
        return 0;
    if (a->generation == generation)
        bcda__secret_free(&a->header);
    return 1;
}

/* ---- the application's provider ---- */

static void deliver_provider_answer(void *ctx)
{
    bcda_session *s = ctx;
    struct bcda__auth *a = &s->auth;

    if (a->answer.code)
        notify_waiting(s, a->answer.code, &a->answer);
    else
        notify_waiting(s, 0, NULL);
}

/* The request is used up. The session that waits for it, or NULL. */
static bcda_session *take_request(bcda_token_request *r)
{
    bcda_session *s = r->s;

    bcda__free(r);
    if (s) {
        s->auth.asked = NULL;
        (void)bcda__session_is_forked(s);
    }
    return s;
}

static void schedule_provider_answer(bcda_session *s)
{
    bcda__timer_set(s->engine, &s->auth.timer, 0, deliver_provider_answer, s);
}

int bcda_token_request_answer(bcda_token_request *r, const char *token, int64_t lifetime_seconds)
{
    struct bcda__auth *a;
    bcda_session *s;
    int rc = 0;

    if (!r)
        return BCDA_ERR_INVALID;
    s = take_request(r);
    if (s && s->forked)
        return BCDA_ERR_FORKED; /* the parent answers its own */
    if (!token || !bcda__config_is_token(token))
        rc = BCDA_ERR_INVALID;
    if (!s)
        return rc;
    a = &s->auth;
    bcda__err_clear(&a->answer);
    if (rc)
        bcda__err_set(&a->answer, BCDA_ERR_TOKEN, "the token provider gave no usable token");
    else if (set_bearer(a, token, strlen(token)))
        rc = bcda__err_nomem(&a->answer);
    else if (lifetime_seconds > 0 && lifetime_seconds < INT64_MAX / 1000)
        a->renew_at = bcda__token_renew_at(bcda__engine_now(s->engine), lifetime_seconds * 1000);
    else
        a->renew_at = INT64_MAX;
    if (!rc)
        s->stat[BCDA_STAT_TOKENS]++;
    schedule_provider_answer(s);
    return s->forked ? BCDA_ERR_FORKED : rc; /* in the application's watch_timer */
}

void bcda_token_request_fail(bcda_token_request *r)
{
    bcda_session *s;

    if (!r)
        return;
    s = take_request(r);
    if (!s || s->forked)
        return;
    bcda__err_set(&s->auth.answer, BCDA_ERR_AUTH, "the token provider has no token");
    schedule_provider_answer(s);
}
