#include "client/session.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/origin.h"
#include "client/workers.h"

/* ---- the application's event loop ---- */

static void enter_loop_callback(bcda_session *s)
{
    s->cx.in_loop_callback++;
}

static void leave_loop_callback(bcda_session *s)
{
    s->cx.in_loop_callback--;
    (void)bcda__context_is_forked(&s->cx);
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
    struct bcda__app_loop loop = {watch_fd, watch_timer, s};
    int rc;

    s->loop = bcda__registration_new(NULL, userdata, NULL);
    if (!s->loop)
        return BCDA_ERR_NOMEM;
    s->watch_fd = fd_cb;
    s->watch_timer = timer_cb;
    rc = bcda__engine_set_app_loop(s->cx.engine, &loop);
    if (!rc && s->cx.forked)
        rc = BCDA_ERR_FORKED;
    if (rc) {
        bcda__registration_unref(s->loop);
        s->loop = NULL;
        return rc;
    }
    s->loop->destroy = destroy; /* set last: after a failure the caller still owns the userdata */
    return 0;
}

/* ---- for tests ---- */

int bcda__session_is_decoding(bcda_session *s)
{
    return s->cx.workers && bcda__workers_are_busy(s->cx.workers);
}

int bcda__session_runs_command(const bcda_session *s)
{
    return s->auth.command != NULL;
}

int64_t bcda__session_next_timer_ms(const bcda_session *s)
{
    int64_t at = bcda__engine_next_timer(s->cx.engine);
    int64_t left = at - bcda__engine_now(s->cx.engine);

    return at == INT64_MAX ? -1 : left < 0 ? 0 : left;
}

/* ---- creation ---- */

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
    rc = bcda__config_check_sign_in(c);
    if (rc)
        return rc;
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

/* While the engine is freed, the application's loop is still called, and may fork. */
static void free_session(bcda_session *s)
{
    bcda__context_close(&s->cx);
    bcda__registration_unref(s->loop);
    bcda_config_free(s->cx.config);
    /* In a child of fork(), libcurl may hold resources of the parent, so its cleanup is left
     * out. */
    if (!bcda__process_is_child(&s->cx.process))
        bcda_global_cleanup();
    bcda__process_free(&s->cx.process);
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
    s->cx.auth = &s->auth;
    bcda__jobs_init(&s->jobs);
    rc = bcda__context_open(&s->cx, config, &config->err);
    if (!rc && bcda__auth_init(&s->auth, &s->cx))
        rc = bcda__err_nomem(&config->err);
    if (rc) {
        bcda__auth_free(&s->auth);
        free_session(s);
        return rc;
    }
    *out = s;
    return 0;
}

/* ---- the end ---- */

static void end_all(bcda_session *s)
{
    struct bcda_error err;

    bcda__err_set(&err, BCDA_ERR_CANCELLED, "the session was freed");
    bcda__jobs_end(&s->jobs, &err);
    while (s->requests)
        bcda__request_end(s->requests, BCDA_ERR_CANCELLED, &err);
}

void bcda__session_destroy(bcda_session *s)
{
    s->cx.closing = s->cx.ending = 1;
    s->cx.in_call++; /* makes bcda_session_free() in the last callbacks have no effect */
    end_all(s);
    bcda__auth_free(&s->auth);
    free_session(s);
}
