#include "client/auth.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "client/command.h"
#include "client/context.h"
#include "client/token_cache.h"
#include "protocol/scope.h"

enum {
    CACHE_POLL_MS = 100,      /* how often the cache is looked at while another process fetches */
    CACHE_WAIT_MAX_MS = 60000 /* then this process fetches its own token */
};

struct bcda_token_request {
    struct bcda__auth *auth; /* NULL if the session no longer waits for this request */
};

/* The server accepts only this spelling, with a capital B and one space (bcda-api 1). */
static const char scheme[] = "Bearer ";
enum { SCHEME_LEN = sizeof scheme - 1 };

/* The only function that changes the state. */
static void change_auth_state(struct bcda__auth *a, enum bcda__auth_state to)
{
    static const char *const names[] = {"IDLE",     "SHARED",  "ENDPOINT",
                                        "PROVIDER", "COMMAND", "REPORTING"};

    if (a->state != to)
        BCDA__TRANSITION("auth", names[a->state], names[to]);
    a->state = to;
}

static const struct bcda__credentials *auth_credentials(const struct bcda__auth *a)
{
    return &a->cx->config->credentials;
}

/* ---- the queue ---- */

static void release_cache_lock(struct bcda__auth *a)
{
    if (a->has_cache_lock)
        bcda__token_cache_release(a->cx->token_cache);
    a->has_cache_lock = 0;
}

static void free_command(struct bcda__auth *a)
{
    if (a->command)
        bcda__command_free(a->command, a->cx->forked);
    a->command = NULL;
}

static void stop_getting(struct bcda__auth *a)
{
    if (a->state == BCDA__AUTH_SHARED)
        bcda__timer_clear(&a->timer);
    else if (a->state == BCDA__AUTH_ENDPOINT)
        bcda__token_endpoint_cancel(&a->endpoint);
    else if (a->state == BCDA__AUTH_COMMAND)
        free_command(a);
    else
        return;
    release_cache_lock(a);
    change_auth_state(a, BCDA__AUTH_IDLE);
}

void bcda__auth_leave(struct bcda__auth_wait *w)
{
    struct bcda__auth *a = w->auth;

    if (!w->waiting)
        return;
    w->waiting = 0;
    w->prev->next = w->next;
    w->next->prev = w->prev;
    if (a->waits.next == &a->waits)
        stop_getting(a);
}

static void enter_queue(struct bcda__auth *a, struct bcda__auth_wait *w)
{
    w->auth = a;
    w->waiting = 1;
    w->round = a->round; /* the queue is sorted: entries of this round are last */
    w->next = &a->waits;
    w->prev = a->waits.prev;
    w->prev->next = w;
    a->waits.prev = w;
}

static int has_live_token(const struct bcda__auth *a)
{
    return a->header.data && bcda__engine_now(a->cx->engine) < a->expires_at;
}

/* Reports the result to all calls that are in the queue now. A call that joins the queue again
 * during its notification waits for the next round. */
static void notify_waiting(struct bcda__auth *a, int code, const struct bcda_error *err)
{
    struct bcda__auth_wait *w;

    change_auth_state(a, BCDA__AUTH_IDLE);
    a->round++;
    while (!a->cx->forked && (w = a->waits.next) != &a->waits && w->round != a->round) {
        bcda__auth_leave(w);
        if (code && !w->was_refused && has_live_token(a))
            w->ready(w->ctx, 0, NULL); /* only other calls were refused */
        else
            w->ready(w->ctx, code, err);
    }
}

static void fail_waiting(struct bcda__auth *a, const struct bcda_error *err)
{
    release_cache_lock(a);
    a->has_failed = !err->retryable;
    bcda__err_copy(&a->answer, err);
    notify_waiting(a, err->code, err);
}

/* ---- the token ---- */

static int set_bearer(struct bcda__auth *a, const char *token, size_t len)
{
    struct bcda__secret h = {0};

    if (bcda__secret_set(&h, NULL, SCHEME_LEN + len))
        return BCDA_ERR_NOMEM;
    memcpy(h.data, scheme, SCHEME_LEN);
    memcpy(h.data + SCHEME_LEN, token, len);
    bcda__secret_free(&a->header);
    a->header = h;
    a->has_failed = 0;
    a->generation++;
    return 0;
}

/* Whether the server has refused this token. */
static int auth_has_refused(const struct bcda__auth *a, const struct bcda__secret *token)
{
    return a->refused.data && a->refused.len == SCHEME_LEN + token->len &&
           memcmp(a->refused.data + SCHEME_LEN, token->data, token->len) == 0;
}

/* `lifetime_ms` -1 = unknown. */
static void set_lifetime(struct bcda__auth *a, int64_t lifetime_ms)
{
    int64_t now = bcda__engine_now(a->cx->engine);

    a->renew_at = bcda__token_renew_at(now, lifetime_ms);
    if (lifetime_ms <= 0 || __builtin_add_overflow(now, lifetime_ms, &a->expires_at))
        a->expires_at = INT64_MAX;
}

/* Makes the token the one that requests carry. `lifetime_ms` as above. */
static int use_token(struct bcda__auth *a, const char *token, size_t len, int64_t lifetime_ms,
                     struct bcda_error *err)
{
    if (set_bearer(a, token, len))
        return bcda__err_nomem(err);
    set_lifetime(a, lifetime_ms);
    a->cx->stat[BCDA_STAT_TOKENS]++;
    bcda__log(&a->cx->log, BCDA_LOG_INFO, "auth", "token received");
    return 0;
}

static void warn_missing_scope(struct bcda__auth *a)
{
    if (a->missing_scope[0])
        bcda__log(&a->cx->log, BCDA_LOG_WARNING, "auth",
                  "the server grants less than was asked for; not granted: %s", a->missing_scope);
}

/* ---- the cache ---- */

/* From now on the session works without the cache. */
static void drop_cache(struct bcda__auth *a, const struct bcda_error *err)
{
    a->has_cache_lock = 0;
    bcda__context_drop_token_cache(a->cx, err);
}

static void store_token(struct bcda__auth *a, const struct bcda__token *token)
{
    struct bcda_error err;
    int64_t expires = bcda__engine_wall(a->cx->engine) + token->lifetime_ms;

    if (!a->has_cache_lock)
        return;
    a->has_cache_lock = 0;
    bcda__token_cache_set_missing(a->cx->token_cache, a->missing_scope);
    if (token->lifetime_ms < 0)
        bcda__token_cache_release(a->cx->token_cache);
    else if (bcda__token_cache_store(a->cx->token_cache, token->bearer.data, token->bearer.len,
                                     expires, &err))
        drop_cache(a, &err);
}

/* Uses the token of the cache. Returns 1 if there is one, 0 if not, or an error code. */
static int take_cached(struct bcda__auth *a, const struct bcda__secret *token, int64_t expires_ms,
                       struct bcda_error *err)
{
    int64_t wall = bcda__engine_wall(a->cx->engine);
    int rc = set_bearer(a, token->data, token->len);

    if (rc)
        return bcda__err_nomem(err);
    set_lifetime(a, expires_ms - wall);
    bcda__text_copy(a->missing_scope, sizeof a->missing_scope,
                    bcda__token_cache_missing(a->cx->token_cache));
    bcda__log(&a->cx->log, BCDA_LOG_INFO, "auth", "token taken from the cache");
    warn_missing_scope(a);
    return 1;
}

/* How long a token of the cache must be valid to be of use. It replaces a token that this session
 * still has, so it must expire later, by more than the two clocks may differ. Otherwise a second is
 * enough: half of it, and the token is renewed. */
static int64_t cache_margin(const struct bcda__auth *a)
{
    int64_t now = bcda__engine_now(a->cx->engine);

    if (!a->header.data || a->expires_at == INT64_MAX || a->expires_at <= now)
        return 1000;
    return a->expires_at - now + 1000;
}

/* Looks into the cache. Returns one of bcda__cache_result, after HIT with the token in use, or
 * BCDA_ERR_NOMEM. Without a usable cache it returns MISS. */
static int look_into_cache(struct bcda__auth *a, struct bcda_error *err)
{
    struct bcda__secret token = {0};
    int64_t expires = 0;
    int rc;

    if (!a->cx->token_cache)
        return BCDA__CACHE_MISS;
    rc = bcda__token_cache_look(a->cx->token_cache, bcda__engine_wall(a->cx->engine),
                                cache_margin(a), &token, &expires, err);
    if (rc == BCDA__CACHE_HIT && take_cached(a, &token, expires, err) < 0)
        rc = BCDA_ERR_NOMEM;
    bcda__secret_free(&token);
    a->has_cache_lock = rc == BCDA__CACHE_MISS;
    if (rc >= 0 || rc == BCDA_ERR_NOMEM)
        return rc;
    drop_cache(a, err);
    return BCDA__CACHE_MISS;
}

static int begin_endpoint(struct bcda__auth *a, struct bcda_error *err)
{
    int rc = bcda__token_endpoint_begin(&a->endpoint);

    if (!rc) {
        change_auth_state(a, BCDA__AUTH_ENDPOINT);
        return 0;
    }
    release_cache_lock(a);
    return bcda__err_set(err, rc, "no token could be asked for: %s", bcda_error_string(rc));
}

static void look_again(void *ctx);

static void look_later(struct bcda__auth *a)
{
    change_auth_state(a, BCDA__AUTH_SHARED);
    bcda__timer_set(a->cx->engine, &a->timer, CACHE_POLL_MS, look_again, a);
}

static void look_again(void *ctx)
{
    struct bcda__auth *a = ctx;
    struct bcda_error err;
    int rc = look_into_cache(a, &err);

    if (rc == BCDA__CACHE_HIT) {
        notify_waiting(a, 0, NULL);
    } else if (rc == BCDA__CACHE_BUSY && bcda__engine_now(a->cx->engine) < a->shared_until) {
        look_later(a);
    } else {
        rc = rc < 0 ? rc : begin_endpoint(a, &err);
        if (rc)
            fail_waiting(a, &err);
    }
}

/* ---- the token URL ---- */

/* Notes which scopes the server has not granted. RFC 6749 (5.1): without "scope" in the answer, all
 * were granted. */
static void compare_scopes(struct bcda__auth *a, const struct bcda__token *token)
{
    a->missing_scope[0] = '\0';
    if (token->has_scope)
        bcda__scope_missing(bcda__token_endpoint_scope(&a->endpoint), token->scope,
                            a->missing_scope, sizeof a->missing_scope);
    warn_missing_scope(a);
}

/* The token could not be renewed before it expires. Returns 1 if it is used meanwhile: the next
 * attempt is after half of the time that is left. */
static int keep_token(struct bcda__auth *a, const struct bcda_error *err)
{
    int64_t now = bcda__engine_now(a->cx->engine);
    int64_t left = a->expires_at - now;

    if (!a->header.data || left <= 0)
        return 0;
    a->renew_at = now + (left > 2000 ? left / 2 : left);
    bcda__log(&a->cx->log, BCDA_LOG_WARNING, "auth",
              "the token is used until it expires, because there is no other: %s", err->text);
    return 1;
}

static void on_endpoint_token(void *ctx, struct bcda__token *token, const struct bcda_error *err)
{
    struct bcda__auth *a = ctx;
    struct bcda_error own;

    if (token && !use_token(a, token->bearer.data, token->bearer.len, token->lifetime_ms, &own)) {
        compare_scopes(a, token);
        store_token(a, token);
        notify_waiting(a, 0, NULL);
        return;
    }
    if (token)
        err = &own;
    if (keep_token(a, err)) {
        release_cache_lock(a);
        notify_waiting(a, 0, NULL);
    } else {
        fail_waiting(a, err);
    }
}

/* Returns 1 if the cache has a token, 0 if one is being fetched, or an error code. */
static int begin_fetch(struct bcda__auth *a, struct bcda_error *err)
{
    int rc = look_into_cache(a, err);

    if (rc == BCDA__CACHE_HIT)
        return 1;
    if (rc < 0)
        return rc;
    if (rc == BCDA__CACHE_MISS)
        return begin_endpoint(a, err);
    a->shared_until = bcda__engine_now(a->cx->engine) + CACHE_WAIT_MAX_MS;
    look_later(a);
    return 0;
}

/* ---- the token file and the token command ---- */

/* Uses a token that another program has written. `name` is what error texts call its source. */
static int take_written(struct bcda__auth *a, const char *name, const char *text, size_t len,
                        struct bcda_error *err)
{
    struct bcda__token token = {0};
    int rc = bcda__token_read(&token, text, len, bcda__engine_wall(a->cx->engine), err);

    if (rc)
        bcda__err_context(err, "%s", name);
    else if (auth_has_refused(a, &token.bearer))
        rc = bcda__err_set(err, BCDA_ERR_AUTH,
                           "%s: the server refused this token, and there is "
                           "no other yet",
                           name);
    else
        rc = use_token(a, token.bearer.data, token.bearer.len, token.lifetime_ms, err);
    bcda__token_free(&token);
    return rc;
}

/* There is no token in place of the one that the server has refused. A server may refuse a request
 * with 401 although the token is good, as BCDA does for a job of another organization (bcda-api
 * 5.1). So only the refused requests fail, and others still carry the token. */
static void restore_refused(struct bcda__auth *a)
{
    if (a->header.data)
        return;
    a->header = a->refused;
    memset(&a->refused, 0, sizeof a->refused);
}

static int read_token_file(struct bcda__auth *a, struct bcda_error *err)
{
    const char *path = auth_credentials(a)->source;
    struct bcda__secret text = {0};
    char shown[BCDA__PATH_SHOWN];
    int rc = bcda__config_read_file(path, &text, err);

    bcda__config_show_path(shown, path);
    if (!rc)
        rc = take_written(a, shown, text.data, text.len, err);
    bcda__secret_free(&text);
    if (!rc || keep_token(a, err))
        return 1;
    restore_refused(a);
    return rc;
}

static void on_command_end(void *ctx, const char *output, size_t len, const struct bcda_error *err)
{
    struct bcda__auth *a = ctx;
    struct bcda__command *command = a->command;
    struct bcda_error own;

    a->command = NULL;
    if (!err && take_written(a, "the token command", output, len, &own))
        err = &own;
    if (err && !keep_token(a, err)) {
        restore_refused(a);
        fail_waiting(a, err);
    } else {
        notify_waiting(a, 0, NULL);
    }
    bcda__command_free(command, a->cx->forked);
}

static int run_token_command(struct bcda__auth *a, struct bcda_error *err)
{
    struct bcda__command_spec spec = {
        .text = auth_credentials(a)->source,
        .time_max_ms = bcda__context_option(a->cx, BCDA_OPT_TOKEN_COMMAND_TIMEOUT_MS),
        .done = on_command_end,
        .ctx = a,
    };
    int rc = bcda__command_start(&a->command, a->cx->engine, &spec, err);

    if (!rc)
        change_auth_state(a, BCDA__AUTH_COMMAND);
    return rc;
}

/* ---- the application's provider ---- */

static int ask_provider(struct bcda__auth *a, struct bcda_error *err)
{
    const struct bcda__registration *p = auth_credentials(a)->provider;
    bcda_token_request *r = bcda__calloc(1, sizeof *r);

    if (!r)
        return bcda__err_nomem(err);
    r->auth = a;
    a->asked = r;
    change_auth_state(a, BCDA__AUTH_PROVIDER);
    bcda__context_enter_callback(a->cx);
    ((bcda_token_provider_cb)p->cb)(r, p->userdata);
    bcda__context_leave_callback(a->cx);
    return 0;
}

static void deliver_provider_answer(void *ctx)
{
    struct bcda__auth *a = ctx;

    notify_waiting(a, a->answer.code, a->answer.code ? &a->answer : NULL);
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
    change_auth_state(a, BCDA__AUTH_REPORTING);
    bcda__timer_set(a->cx->engine, &a->timer, 0, deliver_provider_answer, a);
}

int bcda_token_request_answer(bcda_token_request *r, const char *token, int64_t lifetime_seconds)
{
    int knows_end = lifetime_seconds > 0 && lifetime_seconds < INT64_MAX / 1000;
    struct bcda__auth *a;
    int rc = 0;

    if (!r)
        return BCDA_ERR_INVALID;
    a = take_request(r);
    if (a && a->cx->forked)
        /* in a child of fork(); the parent process has its own copy of the request */
        return BCDA_ERR_FORKED;
    if (!token || !bcda__token_is_valid(token, strlen(token)))
        rc = BCDA_ERR_INVALID;
    if (!a)
        return rc;
    bcda__err_clear(&a->answer);
    if (rc)
        bcda__err_set(&a->answer, BCDA_ERR_TOKEN, "the token provider gave no usable token");
    else
        rc = use_token(a, token, strlen(token), knows_end ? lifetime_seconds * 1000 : -1,
                       &a->answer);
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

/* ---- getting a token ---- */

/* Returns 1 if there is a token now, 0 if the session is getting one, or an error code. */
static int begin_getting(struct bcda__auth *a, struct bcda_error *err)
{
    switch (auth_credentials(a)->way) {
    case BCDA__SIGN_IN_PROVIDER:
        return ask_provider(a, err);
    case BCDA__SIGN_IN_FILE:
        return read_token_file(a, err);
    case BCDA__SIGN_IN_COMMAND:
        return run_token_command(a, err);
    default:
        return begin_fetch(a, err);
    }
}

int bcda__auth_get(struct bcda__auth *a, struct bcda__auth_wait *w, struct bcda_error *err)
{
    int renews = w->was_refused = w->renews;
    int rc;

    w->renews = 0;
    if (a->header.data && bcda__engine_now(a->cx->engine) < a->renew_at)
        return 1;
    if (renews && !a->header.data && a->has_failed && a->state == BCDA__AUTH_IDLE) {
        bcda__err_copy(err, &a->answer);
        return err->code;
    }
    enter_queue(a, w);
    if (a->state != BCDA__AUTH_IDLE)
        return 0;
    rc = begin_getting(a, err);
    if (rc)
        bcda__auth_leave(w);
    return rc;
}

int bcda__auth_refused(struct bcda__auth *a, unsigned generation)
{
    if (auth_credentials(a)->way == BCDA__SIGN_IN_BEARER)
        return 0;
    if (a->generation != generation || !a->header.data)
        return 1;
    if (a->cx->token_cache)
        bcda__token_cache_refuse(a->cx->token_cache, a->header.data + SCHEME_LEN,
                                 a->header.len - SCHEME_LEN);
    bcda__secret_free(&a->refused);
    a->refused = a->header;
    memset(&a->header, 0, sizeof a->header);
    return 1;
}

/* ---- creation ---- */

int bcda__auth_init(struct bcda__auth *a, struct bcda__context *cx)
{
    const struct bcda__credentials *credentials = &cx->config->credentials;

    a->cx = cx;
    a->waits.prev = a->waits.next = &a->waits;
    a->renew_at = a->expires_at = INT64_MAX;
    bcda__err_clear(&a->answer);
    a->has_tokens = credentials->way != BCDA__SIGN_IN_OPEN;
    a->endpoint.done = on_endpoint_token;
    a->endpoint.ctx = a;
    if (bcda__token_endpoint_init(&a->endpoint, cx))
        return BCDA_ERR_NOMEM;
    return credentials->bearer.data
               ? set_bearer(a, credentials->bearer.data, credentials->bearer.len)
               : 0;
}

void bcda__auth_free(struct bcda__auth *a)
{
    bcda__token_endpoint_free(&a->endpoint);
    if (a->asked)
        a->asked->auth = NULL; /* the application will still answer this request */
    a->asked = NULL;
    free_command(a);
    bcda__timer_clear(&a->timer);
    bcda__secret_free(&a->header);
    bcda__secret_free(&a->refused);
}
