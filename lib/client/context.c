#include "client/context.h"

#include "client/budget.h"
#include "client/token_cache.h"
#include "client/workers.h"
#include "codec/crypto.h"

void bcda__context_enter_callback(struct bcda__context *cx)
{
    cx->in_callback++;
}

void bcda__context_leave_callback(struct bcda__context *cx)
{
    cx->in_callback--;
    (void)bcda__context_is_forked(cx);
}

int64_t bcda__context_option(const struct bcda__context *cx, int option)
{
    return bcda__option(&cx->config->options, option);
}

void bcda__context_adapt(struct bcda__context *cx, int succeeded)
{
    int64_t most = bcda__context_option(cx, BCDA_OPT_PARALLEL);

    if (succeeded && cx->parallel < most)
        cx->parallel++;
    else if (!succeeded && cx->parallel > 1)
        cx->parallel /= 2;
}

int64_t bcda__context_take_request(struct bcda__context *cx)
{
    struct bcda_error err;
    uint32_t random = 0;
    int64_t wait;

    if (!cx->budget)
        return bcda__limiter_take(&cx->limiter, bcda__engine_now(cx->engine));
    (void)bcda__crypto_random(&random, sizeof random); /* it only spreads the waits */
    wait = bcda__budget_take(cx->budget, bcda__engine_wall(cx->engine),
                             bcda__context_option(cx, BCDA_OPT_REQUESTS_BURST),
                             bcda__context_option(cx, BCDA_OPT_REQUESTS_PER_SECOND), random, &err);
    if (wait >= 0)
        return wait;
    bcda__log(&cx->log, BCDA_LOG_WARNING, "client", "the request budget is not shared any more: %s",
              err.text);
    bcda__budget_free(cx->budget);
    cx->budget = NULL;
    return bcda__context_take_request(cx);
}

/* ---- the log ---- */

static void call_log(int level, const char *component, const char *message, void *userdata)
{
    struct bcda__context *cx = userdata;
    const struct bcda__log to = bcda__config_log(cx->config);

    bcda__context_enter_callback(cx);
    to.cb(level, component, message, to.userdata);
    bcda__context_leave_callback(cx);
}

static void set_log(struct bcda__context *cx)
{
    cx->log = bcda__config_log(cx->config);
    if (!cx->log.cb)
        return;
    cx->log.cb = call_log;
    cx->log.userdata = cx;
}

/* ---- decode threads ---- */

/* If the system cannot create any thread, files are decoded inline. */
struct bcda__workers *bcda__context_workers(struct bcda__context *cx)
{
    int count = (int)bcda__context_option(cx, BCDA_OPT_DECODE_THREADS);

    if (!count || cx->workers || !bcda__workers_new(&cx->workers, cx->engine, count, &cx->log))
        return cx->workers;
    /* each further file tries again to create threads, but warns no more */
    if (!cx->warned_no_threads)
        bcda__log(&cx->log, BCDA_LOG_WARNING, "client",
                  "no decode thread could be made: files are decoded without, until one can");
    cx->warned_no_threads = 1;
    return NULL;
}

/* ---- fork() ---- */

static void set_forked(struct bcda__context *cx)
{
    cx->forked = 1;
    cx->log.cb = NULL;
    if (cx->engine)
        bcda__engine_set_forked(cx->engine);
    if (cx->workers)
        bcda__workers_set_forked(cx->workers);
    if (cx->budget)
        bcda__budget_set_forked(cx->budget);
    if (cx->token_cache)
        bcda__token_cache_set_forked(cx->token_cache);
}

int bcda__context_is_forked(struct bcda__context *cx)
{
    if (!cx->forked && bcda__process_is_child(&cx->process))
        set_forked(cx);
    return cx->forked;
}

/* ---- opening and closing ---- */

static int open_engine(struct bcda__context *cx, struct bcda_error *err)
{
    const bcda_config *c = cx->config;
    struct bcda__http_options o = {0};

    o.ca_file = c->ca_file;
    o.cert_file = c->cert_file;
    o.key_file = c->key_file;
    o.key_passphrase = &c->key_passphrase;
    o.proxy = c->proxy;
    o.proxy_user = c->proxy_user;
    o.proxy_password = &c->proxy_password;
    bcda__options_get_str(&c->options, BCDA_OPT_USER_AGENT, &o.user_agent);
    o.allow_http = (int)bcda__context_option(cx, BCDA_OPT_ALLOW_HTTP_LOOPBACK);
    o.headers_max = (size_t)bcda__context_option(cx, BCDA_OPT_HEADERS_MAX);
    return bcda__engine_new(&cx->engine, &o, &c->clock, &cx->log, err);
}

void bcda__context_drop_token_cache(struct bcda__context *cx, const struct bcda_error *why)
{
    bcda__log(&cx->log, BCDA_LOG_WARNING, "auth", "the token cache is not used any more: %s",
              why->text);
    bcda__token_cache_free(cx->token_cache);
    cx->token_cache = NULL;
}

/* A token of the cache is bound to the FHIR URL's origin, the token URL, the client and the scope.
 * If the server announces the token URL, the whole FHIR URL stands for it: a server with several
 * tenants has one for each. */
static int open_token_cache(struct bcda__context *cx, struct bcda_error *err)
{
    const bcda_config *c = cx->config;
    struct bcda__buf origins;
    int rc;

    if (!c->token_cache)
        return 0;
    bcda__buf_init(&origins, 64 * 1024);
    rc = bcda__url_add_origin(&origins, &cx->fhir);
    if (!rc)
        rc = bcda__buf_adds(&origins, " ");
    if (!rc && c->token_url)
        rc = bcda__buf_adds(&origins, c->token_url);
    else if (!rc && c->credentials.way == BCDA__SIGN_IN_SIGNING_KEY)
        rc = bcda__url_add_base(&origins, c->fhir_url);
    if (!rc)
        rc = bcda__token_cache_new(&cx->token_cache, c->token_cache, origins.data,
                                   c->credentials.client_id, c->scope);
    bcda__buf_free(&origins);
    return rc ? bcda__err_nomem(err) : bcda__token_cache_check(cx->token_cache, err);
}

static int open_budget(struct bcda__context *cx, struct bcda_error *err)
{
    if (!cx->config->request_budget)
        return 0;
    if (bcda__budget_new(&cx->budget, cx->config->request_budget))
        return bcda__err_nomem(err);
    return bcda__budget_check(cx->budget, err);
}

int bcda__context_open(struct bcda__context *cx, const bcda_config *config, struct bcda_error *err)
{
    int rc;

    bcda__process_init(&cx->process);
    bcda__err_clear(&cx->err);
    rc = bcda__config_copy(&cx->config, config);
    if (!rc && bcda__url_parse(cx->config->fhir_url, &cx->fhir))
        rc = BCDA_ERR_URL;
    if (rc)
        return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    set_log(cx);
    cx->parallel = bcda__context_option(cx, BCDA_OPT_PARALLEL);
    rc = open_engine(cx, err);
    if (rc)
        return rc;
    bcda__limiter_init(&cx->limiter, bcda__context_option(cx, BCDA_OPT_REQUESTS_BURST),
                       bcda__context_option(cx, BCDA_OPT_REQUESTS_PER_SECOND),
                       bcda__engine_now(cx->engine));
    rc = open_budget(cx, err);
    return rc ? rc : open_token_cache(cx, err);
}

/* While the engine is freed, the application's loop is still called, and may fork. */
void bcda__context_close(struct bcda__context *cx)
{
    struct bcda__workers *workers = cx->workers;

    cx->workers = NULL;
    bcda__workers_free(workers);
    bcda__budget_free(cx->budget);
    cx->budget = NULL;
    bcda__token_cache_free(cx->token_cache);
    cx->token_cache = NULL;
    bcda__engine_free(cx->engine);
    cx->engine = NULL;
}
