/* How many transfers run at once: the files of jobs that share a session, adaptive parallelism, and
 * the limit of requests per second. */
#include <stdlib.h>
#include <string.h>

#include "client/job.h"
#include "fixture.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

/* ---- jobs that share a session ---- */

struct sharing {
    struct run *first, *second;
    /* `both`: files that the second job began while the first still had files to begin */
    int open[2], begun[2], both;
};

enum { SHARED_FILES = 40, SHARED_SLOTS = 4 };

static int share(struct run *r, enum where where, void *object)
{
    struct sharing *s = r->arg;
    int i = r == s->second;

    (void)object;
    if (where == AT_BEGIN) {
        s->open[i]++;
        s->begun[i]++;
        ck_assert_int_le(s->open[0] + s->open[1], SHARED_SLOTS);
        s->both += i && s->begun[0] < SHARED_FILES;
    } else if (where == AT_END) {
        s->open[i]--;
    }
    return BCDA_CONTINUE;
}

static struct run *attach_sharing(const struct run *done, struct sharing *s)
{
    return fixture_attach(&fx, BY_RESOURCE, bcda_job_url(done->job), share, s);
}

/* A job that starts later gets its share of the download slots, not only those that an earlier job
 * leaves free. */
START_TEST(fair_jobs)
{
    struct sharing s = {0};
    struct run *done;

    fixture_open_sandbox(&fx, SANDBOX(.era = "2019-12", .files = SHARED_FILES,
                                      .patients = SHARED_FILES, .no_polls = 1));
    fixture_set(&fx, BCDA_OPT_PARALLEL, SHARED_SLOTS);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    done = fixture_run(&fx, BY_RESOURCE);
    s.first = attach_sharing(done, &s);
    while (s.begun[0] < SHARED_SLOTS)
        ck_assert(fixture_step(&fx));
    s.second = attach_sharing(done, &s);
    fixture_finish(&fx);
    ck_assert_int_eq(s.first->result, 0);
    ck_assert_int_eq(s.second->result, 0);
    ck_assert_int_eq(s.begun[0], SHARED_FILES);
    ck_assert_int_eq(s.begun[1], SHARED_FILES);
    ck_assert_uint_eq(s.first->count, s.second->count);
    /* Once the second job has its manifest, it gets about every second slot. */
    ck_assert_int_ge(s.both, SHARED_FILES / 4);
    fixture_close(&fx);
}
END_TEST

static void add_job(const char *path, const struct scripted_entry *e, size_t n)
{
    struct buf manifest = {0};

    scripted_manifest(fx.server, &manifest, e, n);
    scripted_reply(fx.server, path, "200 OK", "", manifest.p, manifest.len);
    buf_free(&manifest);
}

static const struct scripted_entry other_file[] = {{"Patient", "/other/o.ndjson", NULL, 0}};

static void reply_gated(const char *path, unsigned gate, size_t first, size_t count)
{
    struct scripted_answer *a = scripted_on(fx.server, path, 0);
    struct buf body = {0}, head = {0};

    fixture_add_patients(&body, first, count);
    buf_printf(&head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body.len);
    scripted_gate(a, gate);
    scripted_send(a, head.p, head.len);
    scripted_send(a, body.p, body.len);
    buf_free(&head);
    buf_free(&body);
}

/* When one of a job's two files is complete and the other hangs, the free slot goes to another job,
 * which waits for one. */
START_TEST(free_slot_is_offered)
{
    struct run *a, *b;

    fixture_open_scripted(&fx, 0);
    reply_gated("/data/a", 1, 0, 3);
    reply_gated("/data/b", 2, 3, 3);
    fixture_reply_patients(&fx, "/other/", 0, 5);
    add_job("/jobs/7", fixture_files, 2);
    add_job("/jobs/8", other_file, 1);
    scripted_export(fx.server, NULL, 0);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 2);
    fixture_session(&fx);
    a = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/7", NULL, NULL);
    fixture_until(&fx,
                  scripted_count(fx.server, "/data/a") && scripted_count(fx.server, "/data/b"));
    b = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/8", NULL, NULL);
    fixture_until(&fx, bcda_job_state(b->job) == BCDA_JOB_DOWNLOADING);
    fixture_drain(&fx);
    ck_assert_uint_eq(scripted_count(fx.server, "/other/"), 0);
    scripted_open_gate(fx.server, 1);
    fixture_until(&fx, b->done);
    fixture_check_result(b, 0);
    fixture_check_patients(b, 0, 0, 5);
    ck_assert_int_eq(a->done, 0);
    fixture_check_patients(a, 0, 0, 3);
    scripted_open_gate(fx.server, 2);
    fixture_finish(&fx);
    fixture_check_result(a, 0);
    fixture_check_patients(a, 1, 3, 3);
    fixture_close(&fx);
}
END_TEST

struct pausing {
    /* `by_call`: the job pauses by bcda_job_pause(), otherwise by BCDA_PAUSE; `on`: it still pauses
     */
    int by_call, on;
};

static int pause_at_once(struct run *r, enum where where, void *object)
{
    struct pausing *p = r->arg;

    (void)object;
    if (where != AT_RESOURCE || !p->on)
        return BCDA_CONTINUE;
    if (!p->by_call)
        return BCDA_PAUSE;
    ck_assert_ok(bcda_job_pause(r->job));
    p->on = 0;
    return BCDA_CONTINUE;
}

/* _i % 2: PARALLEL is 1 or 2. _i / 2: the job pauses by BCDA_PAUSE or by bcda_job_pause(). */
START_TEST(paused_job_starves_nobody)
{
    struct pausing p = {_i >= 2, 1};
    struct run *a, *b;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/a", 0, 50);
    fixture_reply_patients(&fx, "/data/b", 50, 50);
    fixture_reply_patients(&fx, "/other/", 0, 5);
    add_job("/jobs/7", fixture_files, 2);
    add_job("/jobs/8", other_file, 1);
    scripted_export(fx.server, NULL, 0);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1 + _i % 2);
    fixture_session(&fx);
    a = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/7", pause_at_once, &p);
    fixture_until(&fx, a->job->downloads.is_paused);
    b = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/8", NULL, NULL);
    fixture_until(&fx, b->done);
    fixture_check_result(b, 0);
    fixture_check_patients(b, 0, 0, 5);
    ck_assert_int_eq(a->done, 0);
    ck_assert_uint_le(a->count, 1);
    p.on = 0;
    ck_assert_ok(bcda_job_resume(a->job));
    fixture_finish(&fx);
    fixture_check_result(a, 0);
    fixture_check_patients(a, 0, 0, 50);
    fixture_check_patients(a, 1, 50, 50);
    fixture_close(&fx);
}
END_TEST

/* ---- adaptive parallelism ---- */

static void setup_many(void)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = "2019-04", .files = 10, .allow_duplicates = 1));
    fixture_config(&fx);
    fixture_export(&fx, BCDA_LEVEL_RESOURCE, EOB, NULL);
}

static int note_least(struct run *r, enum where where, void *object)
{
    int64_t *least = r->arg, now = r->fixture->session->cx.parallel;

    (void)where;
    (void)object;
    if (now < *least)
        *least = now;
    return BCDA_CONTINUE;
}

START_TEST(adapts)
{
    static const int64_t down[] = {5, 2, 1, 1}, up[] = {1, 2, 3, 4, 5, 5};
    int64_t least = 5;
    struct run *r;
    int i;

    setup_many();
    fixture_session(&fx);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(fx.session->cx.parallel, down[i]);
        bcda__context_adapt(&fx.session->cx, 0);
    }
    for (i = 0; i < 6; i++) {
        ck_assert_int_eq(fx.session->cx.parallel, up[i]);
        bcda__context_adapt(&fx.session->cx, 1);
    }
    if (_i)
        fixture_fault(&fx, "data-503-once*3");
    r = fixture_run_hook(&fx, BY_BATCH, note_least, &least);
    fixture_check_export(r);
    ck_assert_int_eq(fx.session->cx.parallel, 5);
    if (_i)
        ck_assert_int_le(least, 3);
    else
        ck_assert_int_eq(least, 5);
    fixture_close(&fx);
}
END_TEST

/* A 429 for a file halves the number of parallel downloads. A 429 for another request (_i is 0)
 * does not change that number. */
START_TEST(adapts_to_429)
{
    struct run *r;

    fixture_open_scripted(&fx, 1);
    scripted_text(scripted_on(fx.server, _i ? "/data/" : "$export", 1),
                  "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    fixture_reply_patients(&fx, "/data/", 0, 2);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 2);
    /* The 429 halves 5 to 2, and the success of the file afterwards adds 1. */
    ck_assert_int_eq(fx.session->cx.parallel, _i ? 3 : 5);
    fixture_close(&fx);
}
END_TEST

/* ---- the limit of requests per second ---- */

START_TEST(limited)
{
    int64_t start, requests;
    struct run *r, *other = NULL;

    setup_many();
    if (_i) {
        fixture_set(&fx, BCDA_OPT_REQUESTS_BURST, 3);
        fixture_set(&fx, BCDA_OPT_REQUESTS_PER_SECOND, 1);
    }
    fixture_session(&fx);
    start = fx.now;
    r = fixture_start(&fx, BY_BATCH);
    if (_i == 2) /* all jobs of a session share one limiter */
        other = fixture_start(&fx, BY_RESOURCE);
    fixture_finish(&fx);
    if (other) {
        ck_assert_int_eq(r->result, 0);
        ck_assert_int_eq(other->result, 0);
        ck_assert_uint_eq(r->count, other->count);
    } else {
        fixture_check_export(r);
    }
    requests = fixture_stat(&fx, BCDA_STAT_REQUESTS);
    ck_assert_int_ge(requests, other ? 25 : 13);
    if (_i) {
        ck_assert_int_ge(fx.now - start, (requests - 3) * 1000);
        ck_assert_int_gt(fixture_stat(&fx, BCDA_STAT_WAITS), 3);
    } else {
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_WAITS), 0);
    }
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0); /* waiting is no retry */
    fixture_close(&fx);
}
END_TEST

SUITE("parallel")
{
    suite_case("share");
    suite_test(fair_jobs);
    suite_test(free_slot_is_offered);
    suite_loop(paused_job_starves_nobody, 0, 4);
    suite_case("adapts");
    suite_loop(adapts, 0, 2);
    suite_loop(adapts_to_429, 0, 2);
    suite_case("limiter");
    suite_loop(limited, 0, 3);
}
