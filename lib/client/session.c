#include "client/session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/job.h"
#include "client/origin.h"
#include "client/request.h"
#include "client/workers.h"

void bcda__session_enter_callback(bcda_session *s)
{
    s->in_callback++;
}

void bcda__session_leave_callback(bcda_session *s)
{
    s->in_callback--;
    (void)bcda__session_is_forked(s);
}

int64_t bcda__session_option(const bcda_session *s, int option)
{
    return bcda__option(&s->config->options, option);
}

int64_t bcda__session_next_timer_ms(const bcda_session *s)
{
    int64_t at = bcda__engine_next_timer(s->engine);
    int64_t left = at - bcda__engine_now(s->engine);

    return at == INT64_MAX ? -1 : left < 0 ? 0 : left;
}

void bcda__session_adapt(bcda_session *s, int well)
{
    int64_t most = bcda__session_option(s, BCDA_OPT_PARALLEL);

    if (well && s->parallel < most)
        s->parallel++;
    else if (!well && s->parallel > 1)
        s->parallel /= 2;
}

/* ---- the log ---- */

static void call_log(int level, const char *component, const char *message, void *userdata)
{
    bcda_session *s = userdata;
    const struct bcda__log to = bcda__config_log(s->config);

    bcda__session_enter_callback(s);
    to.cb(level, component, message, to.userdata);
    bcda__session_leave_callback(s);
}

static void set_log(bcda_session *s)
{
    s->log = bcda__config_log(s->config);
    if (!s->log.cb)
        return;
    s->log.cb = call_log;
    s->log.userdata = s;
}

/* ---- the application's loop ---- */

static void enter_loop_callback(bcda_session *s)
{
    s->in_loop_callback++;
}

static void leave_loop_callback(bcda_session *s)
{
    s->in_loop_callback--;
    (void)bcda__session_is_forked(s);
}

static int watch_fd(void *ctx, int fd, int events)
{
    bcda_session *s = ctx;
    int rc;

    enter_loop_callback(s);
    rc = s->watch_fd(s, fd, events, s->loop->userdata);
    leave_loop_callback(s);
    return rc;
}

static int watch_timer(void *ctx, int64_t delay_ms)
{
    bcda_session *s = ctx;
    int rc;

    enter_loop_callback(s);
    rc = s->watch_timer(s, delay_ms, s->loop->userdata);
    leave_loop_callback(s);
    return rc;
}

int bcda__session_set_loop(bcda_session *s, bcda_watch_fd_cb fd_cb, bcda_watch_timer_cb timer_cb,
                           void *userdata, bcda_destroy_cb destroy)
{
    struct bcda__host_loop host = {watch_fd, watch_timer, s};
    int rc;

    s->loop = bcda__registration_new(NULL, userdata, NULL);
    if (!s->loop)
        return BCDA_ERR_NOMEM;
    s->watch_fd = fd_cb;
    s->watch_timer = timer_cb;
    rc = bcda__engine_set_host(s->engine, &host);
    if (!rc && s->forked)
        rc = BCDA_ERR_FORKED;
    if (rc) {
        bcda__registration_unref(s->loop);
        s->loop = NULL;
        return rc;
    }
    s->loop->destroy = destroy; /* only now: on failure the userdata is still the caller's */
    return 0;
}

/* ---- decode threads ---- */

/* Where the system gives no thread at all, files come all the same, inline. */
struct bcda__workers *bcda__session_workers(bcda_session *s)
{
    int count = (int)bcda__session_option(s, BCDA_OPT_DECODE_THREADS);

    if (!count || s->workers || !bcda__workers_new(&s->workers, s->engine, count, &s->log))
        return s->workers;
    if (!s->told_threadless) /* each file asks again, and may get some */
        bcda__log(&s->log, BCDA_LOG_WARNING, "client",
                  "no decode thread could be made: files are decoded without, until one can");
    s->told_threadless = 1;
    return NULL;
}

int bcda__session_is_decoding(bcda_session *s)
{
    return s->workers && bcda__workers_are_busy(s->workers);
}

/* ---- making ---- */

static int check_config(bcda_config *c)
{
    struct bcda_error *err = &c->err;
    size_t i;
    int rc;

    if (!c->fhir_url)
        return bcda__err_set(err, BCDA_ERR_CONFIG, "no FHIR URL is set");
    rc = bcda__origin_check(c, "the FHIR URL", c->fhir_url, err);
    if (!rc && c->token_url)
        rc = bcda__origin_check(c, "the token URL", c->token_url, err);
    for (i = 1; !rc && i < c->rewrites.count; i += 2)
        rc = bcda__origin_check(c, "a rewritten URL", c->rewrites.at[i], err);
    if (rc)
        return rc;
    if (!c->client_id && !c->bearer.data && !c->provider)
        return bcda__err_set(err, BCDA_ERR_CONFIG,
                             "no identity is set: client credentials, a bearer token or a token "
                             "provider is needed");
    if (bcda__option(&c->options, BCDA_OPT_DELIVERY) == BCDA_DELIVERY_VERIFIED &&
        !c->spool_directory)
        return bcda__err_set(err, BCDA_ERR_CONFIG,
                             "verified delivery needs a spool directory, and none is set");
    return 0;
}

static int check_file(bcda_config *c, const char *path)
{
    char words[128] = "";

    if (!path || access(path, R_OK) == 0)
        return 0;
    return bcda__err_set(&c->err, BCDA_ERR_IO, "%s: %s", path,
                         strerror_r(errno, words, sizeof words));
}

static int check_files(bcda_config *c)
{
    int rc = check_file(c, c->ca_file);

    if (!rc)
        rc = check_file(c, c->cert_file);
    return rc ? rc : check_file(c, c->key_file);
}

/* "/auth/token" at the origin of the FHIR URL, as BCDA has it (bcda-api 3). */
static int choose_token_url(bcda_session *s)
{
    struct bcda__buf url;
    int rc = 0;

    if (s->config->token_url) {
        s->token_url = bcda__strdup(s->config->token_url);
        return s->token_url ? 0 : BCDA_ERR_NOMEM;
    }
    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__url_add_origin(&url, &s->fhir);
    if (!rc)
        rc = bcda__buf_adds(&url, "/auth/token");
    if (rc)
        bcda__buf_free(&url);
    s->token_url = bcda__buf_steal(&url);
    return rc;
}

static int open_engine(bcda_session *s, struct bcda_error *err)
{
    const bcda_config *c = s->config;
    struct bcda__http_options o = {0};

    o.ca_file = c->ca_file;
    o.cert_file = c->cert_file;
    o.key_file = c->key_file;
    o.key_passphrase = &c->key_passphrase;
    o.proxy = c->proxy;
    o.proxy_user = c->proxy_user;
    o.proxy_password = &c->proxy_password;
    bcda__options_get_str(&c->options, BCDA_OPT_USER_AGENT, &o.user_agent);
    o.allow_http = (int)bcda__session_option(s, BCDA_OPT_ALLOW_HTTP_LOOPBACK);
    o.headers_max = (size_t)bcda__session_option(s, BCDA_OPT_HEADERS_MAX);
    return bcda__engine_new(&s->engine, &o, &c->clock, &s->log, err);
}

static int fill_session(bcda_session *s, const bcda_config *config, struct bcda_error *err)
{
    int rc = bcda__config_copy(&s->config, config);

    if (!rc && bcda__url_parse(s->config->fhir_url, &s->fhir))
        rc = BCDA_ERR_URL;
    if (!rc)
        rc = choose_token_url(s);
    if (rc)
        return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    set_log(s);
    s->parallel = bcda__session_option(s, BCDA_OPT_PARALLEL);
    rc = open_engine(s, err);
    if (!rc)
        bcda__limiter_init(&s->limiter, bcda__session_option(s, BCDA_OPT_REQUESTS_BURST),
                           bcda__session_option(s, BCDA_OPT_REQUESTS_PER_SECOND),
                           bcda__engine_now(s->engine));
    if (!rc && bcda__auth_init(s))
        rc = bcda__err_nomem(err);
    return rc;
}

/* The application's loop is still called while its engine is freed, and may fork. */
static void free_session(bcda_session *s)
{
    struct bcda__workers *workers = s->workers;

    s->workers = NULL;
    bcda__workers_free(workers);
    bcda__engine_free(s->engine);
    s->engine = NULL;
    bcda__registration_unref(s->loop);
    bcda_config_free(s->config);
    bcda__free(s->token_url);
    if (!bcda__process_is_child(&s->process)) /* libcurl still holds what is the parent's */
        bcda_global_cleanup();
    bcda__process_free(&s->process);
    bcda__free(s);
}

int bcda__session_create(bcda_session **out, bcda_config *config)
{
    bcda_session *s;
    int rc;

    bcda__err_clear(&config->err);
    rc = check_config(config);
    if (!rc)
        rc = check_files(config);
    if (rc)
        return rc;
    rc = bcda_global_init(0);
    if (rc)
        return bcda__err_set(&config->err, rc,
                             "libcurl or libgcrypt is too old or lacks TLS or "
                             "asynchronous name lookup");
    s = bcda__calloc(1, sizeof *s);
    if (!s) {
        bcda_global_cleanup();
        return bcda__err_nomem(&config->err);
    }
    bcda__process_init(&s->process);
    bcda__err_clear(&s->err);
    s->auth.waits.prev = s->auth.waits.next = &s->auth.waits;
    rc = fill_session(s, config, &config->err);
    if (rc) {
        if (s->engine)
            bcda__auth_free(s);
        free_session(s);
        return rc;
    }
    *out = s;
    return 0;
}

/* ---- the end ---- */

static void set_forked(bcda_session *s)
{
    s->forked = 1;
    s->log.cb = NULL;
    if (s->engine)
        bcda__engine_set_forked(s->engine);
    if (s->workers)
        bcda__workers_set_forked(s->workers);
}

int bcda__session_is_forked(bcda_session *s)
{
    if (!s->forked && bcda__process_is_child(&s->process))
        set_forked(s);
    return s->forked;
}

void bcda__session_poke(bcda_session *s)
{
    bcda_job *job;

    for (job = s->jobs; job; job = job->next)
        bcda__job_poke(job);
}

void bcda__session_sweep(bcda_session *s)
{
    while (s->ended) {
        bcda_job *job = s->ended;

        s->ended = job->next;
        job->next = NULL;
        bcda_job_unref(job);
    }
}

static void end_all(bcda_session *s)
{
    struct bcda_error err;

    bcda__err_set(&err, BCDA_ERR_CANCELLED, "the session was freed");
    while (s->jobs)
        bcda__job_end(s->jobs, BCDA_ERR_CANCELLED, &err);
    bcda__session_sweep(s);
    while (s->requests)
        bcda__request_end(s->requests, BCDA_ERR_CANCELLED, &err);
}

void bcda__session_destroy(bcda_session *s)
{
    s->closing = s->ending = 1;
    s->in_call++; /* a free from the last callbacks finds it closing */
    end_all(s);
    bcda__auth_free(s);
    free_session(s);
}
