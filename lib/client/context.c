#include "client/context.h"

#include "client/workers.h"

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
    return 0;
}

/* While the engine is freed, the application's loop is still called, and may fork. */
void bcda__context_close(struct bcda__context *cx)
{
    struct bcda__workers *workers = cx->workers;

    cx->workers = NULL;
    bcda__workers_free(workers);
    bcda__engine_free(cx->engine);
    cx->engine = NULL;
}
