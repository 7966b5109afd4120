#include "client/start.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/context.h"
#include "client/origin.h"
#include "codec/crypto.h"
#include "protocol/joblist.h"
#include "protocol/retry.h"

static void fail_start(struct bcda__start *st, const struct bcda_error *err)
{
    struct bcda__start_result result = {.err = err};

    st->done(st->ctx, &result);
}

static void fail_start_nomem(struct bcda__start *st)
{
    struct bcda_error err;

    bcda__err_nomem(&err);
    fail_start(st, &err);
}

/* Sends a request with the headers of an export (bcda-api 5.4). */
static void request_start(struct bcda__start *st, struct bcda__call_spec *spec, const char *step)
{
    spec->prefer = "respond-async";
    spec->with_token = 1;
    spec->retries = st->retries;
    spec->ctx = st;
    snprintf(spec->about, sizeof spec->about, "%s, %s", st->label, step);
    if (bcda__call_new(&st->call, st->cx, spec))
        fail_start_nomem(st);
}

/* ---- an identical export is already running (429) ---- */

static void send_kickoff(void *ctx);

/* Sends the kick-off again after a delay, which grows each time. A Retry-After of the server is
 * obeyed. */
static void kick_off_later(struct bcda__start *st)
{
    struct bcda__context *cx = st->cx;
    uint32_t random = 0;
    int64_t delay;

    (void)bcda__crypto_random(&random, sizeof random); /* if this fails, there is no jitter */
    delay = bcda__retry_delay(++st->refusals, st->retry_after,
                              bcda__context_option(cx, BCDA_OPT_RETRY_MAX_MS),
                              bcda__context_option(cx, BCDA_OPT_RETRY_AFTER_MAX_MS), random);
    bcda__log(&cx->log, BCDA_LOG_WARNING, "client",
              "%s: an identical export is already running, or there are too many requests (429); "
              "kick-off again in %" PRId64 " ms",
              st->label, delay);
    cx->stat[BCDA_STAT_RETRIES]++;
    bcda__timer_set(cx->engine, &st->timer, delay, send_kickoff, st);
}

/* Writes a URL below the FHIR URL. */
static int make_url(const struct bcda__start *st, const char *path, const char *last,
                    struct bcda__buf *out)
{
    int rc = bcda__url_add_base(out, st->cx->config->fhir_url);

    if (!rc)
        rc = bcda__buf_adds(out, path);
    return rc ? rc : bcda__buf_adds(out, last);
}

static void take_over(struct bcda__start *st, const char *id)
{
    struct bcda__start_result result = {.is_taken_over = 1};
    struct bcda__buf url;

    bcda__log(&st->cx->log, BCDA_LOG_INFO, "client",
              "%s: an identical export is already running: job %s, taken over", st->label, id);
    bcda__buf_init(&url, 64 * 1024);
    if (make_url(st, "/jobs/", id, &url)) {
        fail_start_nomem(st);
    } else {
        result.url = url.data;
        st->done(st->ctx, &result);
    }
    bcda__buf_free(&url);
}

static void on_joblist(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                       const struct bcda_error *err)
{
    struct bcda__start *st = ctx;
    struct bcda__call *call = st->call;
    char id[BCDA__JOB_ID_MAX + 1];
    int found = 0;

    st->call = NULL;
    if (verdict == BCDA__OK)
        found = bcda__joblist_twin(a->body, a->body_len, st->url, id);
    if (found == BCDA_ERR_NOMEM)
        fail_start_nomem(st);
    else if (found == 1)
        take_over(st, id);
    else if (verdict == BCDA__FAIL && (err->code == BCDA_ERR_AUTH || err->code == BCDA_ERR_NOMEM))
        fail_start(st, err);
    else /* the server's job list is not available, or has no identical export */
        kick_off_later(st);
    bcda__call_free(call);
}

static void request_job_list(struct bcda__start *st)
{
    struct bcda__call_spec spec;
    struct bcda__buf url;

    bcda__buf_init(&url, 64 * 1024);
    if (make_url(st, "/jobs", "?_status=Pending,In%20Progress", &url)) {
        fail_start_nomem(st);
    } else {
        bcda__call_spec_init(&spec, "job list", "GET", url.data);
        spec.end = on_joblist;
        request_start(st, &spec, "job list");
    }
    bcda__buf_free(&url);
}

/* Does what BCDA_OPT_DUPLICATE_JOB says. */
static void on_identical_export(struct bcda__start *st, const struct bcda_error *err)
{
    int64_t what = bcda__context_option(st->cx, BCDA_OPT_DUPLICATE_JOB);
    struct bcda_error own;

    st->retry_after = err->retry_after;
    if (what == BCDA_DUPLICATE_REFUSE) {
        bcda__err_copy(&own, err);
        bcda__err_context(&own, "kick-off");
        fail_start(st, &own);
    } else if (what == BCDA_DUPLICATE_TAKE_OVER) {
        request_job_list(st);
    } else {
        kick_off_later(st);
    }
}

/* ---- kick-off ---- */

/* Checks the status URL before a token is sent to it. */
static void take_kickoff_answer(struct bcda__start *st, const char *location)
{
    struct bcda__start_result result = {0};
    struct bcda_error err;
    struct bcda__buf url;
    int same, rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__origin_adopt(st->cx, location, &url, &same, &err);
    if (!rc && !same)
        rc = bcda__err_set(&err, BCDA_ERR_ORIGIN,
                           "the server names a status URL of another origin, which may not get the "
                           "token");
    if (rc) {
        fail_start(st, &err);
    } else {
        result.url = url.data;
        result.delay_ms =
            bcda__poll_delay(0, -1, bcda__context_option(st->cx, BCDA_OPT_POLL_MAX_MS), 1000);
        st->done(st->ctx, &result);
    }
    bcda__buf_free(&url);
}

static void on_kickoff(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                       const struct bcda_error *err)
{
    struct bcda__start *st = ctx;
    struct bcda__call *call = st->call;

    st->call = NULL;
    if (verdict == BCDA__OK)
        take_kickoff_answer(st, a->content_location);
    else if (verdict == BCDA__WAIT)
        on_identical_export(st, err);
    else
        fail_start(st, err);
    bcda__call_free(call);
}

static void send_kickoff(void *ctx)
{
    struct bcda__start *st = ctx;
    struct bcda__call_spec spec;

    bcda__call_spec_init(&spec, "kick-off", "GET", st->url);
    spec.judge = bcda__answer_kickoff;
    spec.end = on_kickoff;
    request_start(st, &spec, "kick-off");
}

void bcda__start_begin(struct bcda__start *st)
{
    send_kickoff(st);
}

void bcda__start_stop(struct bcda__start *st)
{
    bcda__call_free(st->call);
    st->call = NULL;
    bcda__timer_clear(&st->timer);
}
