#include "client/start.h"

#include <inttypes.h>

#include "client/origin.h"
#include "codec/crypto.h"
#include "protocol/joblist.h"
#include "protocol/retry.h"

/* ---- an identical export is already running (429) ---- */

static void send_kickoff(void *ctx);

/* Ever less often. What a server asks for by Retry-After is heeded. */
static void kick_off_later(bcda_job *job)
{
    uint32_t random = 0;
    int64_t delay;

    (void)bcda__crypto_random(&random, sizeof random); /* without it, no jitter */
    delay = bcda__retry_delay(++job->refusals, job->asked,
                              bcda__session_option(job->s, BCDA_OPT_RETRY_MAX_MS),
                              bcda__session_option(job->s, BCDA_OPT_RETRY_AFTER_MAX_MS), random);
    bcda__job_log(job, BCDA_LOG_WARNING,
                  "an identical export is already running, or there are too many requests (429); "
                  "kick-off again in %" PRId64 " ms",
                  delay);
    job->s->stat[BCDA_STAT_RETRIES]++;
    bcda__timer_set(job->s->engine, &job->poll, delay, send_kickoff, job);
}

/* A URL below the FHIR URL. */
static int make_url(const bcda_job *job, const char *path, const char *last, struct bcda__buf *out)
{
    int rc = bcda__url_add_base(out, job->s->config->fhir_url);

    if (!rc)
        rc = bcda__buf_adds(out, path);
    return rc ? rc : bcda__buf_adds(out, last);
}

static void take_over(bcda_job *job, const char *id)
{
    struct bcda__buf url;

    bcda__job_log(job, BCDA_LOG_INFO, "an identical export is already running: job %s, taken over",
                  id);
    job->taken_over = 1;
    bcda__buf_init(&url, 64 * 1024);
    if (make_url(job, "/jobs/", id, &url))
        bcda__job_fail_nomem(job);
    else
        bcda__job_accepted(job, url.data, 0);
    bcda__buf_free(&url);
}

static void on_joblist(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                       const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;
    char id[BCDA__JOB_ID_MAX + 1];
    int found = 0;

    job->call = NULL;
    if (verdict == BCDA__OK)
        found = bcda__joblist_twin(a->body, a->body_len, job->kickoff_url, id);
    if (found == BCDA_ERR_NOMEM)
        bcda__job_fail_nomem(job);
    else if (found == 1)
        take_over(job, id);
    else if (verdict == BCDA__FAIL && (err->code == BCDA_ERR_AUTH || err->code == BCDA_ERR_NOMEM))
        bcda__job_fail(job, err);
    else /* there is no such list, or none in it that is like ours */
        kick_off_later(job);
    bcda__call_free(call);
}

/* With the headers of an export (bcda-api 5.4). */
static void request_job_list(bcda_job *job)
{
    struct bcda__call_spec spec = {0};
    struct bcda__buf url;
    int rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = make_url(job, "/jobs", "?_status=Pending,In%20Progress", &url);
    spec.what = "job list";
    spec.about = bcda__job_asks(job, "job list");
    spec.method = "GET";
    spec.url = url.data;
    spec.accept = "application/fhir+json";
    spec.prefer = "respond-async";
    spec.with_token = 1;
    spec.retries = &job->retries;
    spec.judge = bcda__answer_plain;
    spec.body_max = (size_t)bcda__session_option(job->s, BCDA_OPT_ANSWER_MAX);
    spec.end = on_joblist;
    spec.ctx = job;
    if (rc || bcda__call_new(&job->call, job->s, &spec))
        bcda__job_fail_nomem(job);
    bcda__buf_free(&url);
}

/* See BCDA_OPT_DUPLICATE_JOB. */
static void on_identical_export(bcda_job *job, const struct bcda_error *err)
{
    int64_t what = bcda__session_option(job->s, BCDA_OPT_DUPLICATE_JOB);
    struct bcda_error own;

    job->asked = err->retry_after;
    if (what == BCDA_DUPLICATE_REFUSE) {
        bcda__err_copy(&own, err);
        bcda__err_context(&own, "kick-off");
        bcda__job_fail(job, &own);
    } else if (what == BCDA_DUPLICATE_TAKE_OVER) {
        request_job_list(job);
    } else {
        kick_off_later(job);
    }
}

/* ---- kick-off ---- */

/* The server has accepted the job; where it is to be asked for is checked before a token goes
 * there. */
static void take_kickoff_answer(bcda_job *job, const char *location)
{
    struct bcda_error err;
    struct bcda__buf url;
    int same, rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__origin_adopt(job->s, location, &url, &same, &err);
    if (!rc && !same)
        rc = bcda__err_set(&err, BCDA_ERR_ORIGIN,
                           "the server names a status URL of another origin, which may not get the "
                           "token");
    if (rc)
        bcda__job_fail(job, &err);
    else
        bcda__job_accepted(
            job, url.data,
            bcda__poll_delay(0, -1, bcda__session_option(job->s, BCDA_OPT_POLL_MAX_MS), 1000));
    bcda__buf_free(&url);
}

static void on_kickoff(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                       const struct bcda_error *err)
{
    bcda_job *job = ctx;
    struct bcda__call *call = job->call;

    job->call = NULL;
    if (verdict == BCDA__OK)
        take_kickoff_answer(job, a->content_location);
    else if (verdict == BCDA__WAIT)
        on_identical_export(job, err);
    else
        bcda__job_fail(job, err);
    bcda__call_free(call);
}

static void send_kickoff(void *ctx)
{
    bcda_job *job = ctx;
    struct bcda__call_spec spec = {0};

    spec.what = "kick-off";
    spec.about = bcda__job_asks(job, "kick-off");
    spec.method = "GET";
    spec.url = job->kickoff_url;
    spec.accept = "application/fhir+json"; /* exactly, and nothing else (bcda-api 4.1) */
    spec.prefer = "respond-async";
    spec.with_token = 1;
    spec.retries = &job->retries;
    spec.judge = bcda__answer_kickoff;
    spec.body_max = (size_t)bcda__session_option(job->s, BCDA_OPT_ANSWER_MAX);
    spec.end = on_kickoff;
    spec.ctx = job;
    if (bcda__call_new(&job->call, job->s, &spec))
        bcda__job_fail_nomem(job);
}

void bcda__start(bcda_job *job)
{
    send_kickoff(job);
}
