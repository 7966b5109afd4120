/* What is one of a request's attempts, and what is not: a redirect that is followed and a wait for
 * the limiter cost none. (A 401: test_auth.c.) */
#include <stdio.h>
#include <string.h>

#include "scene.h"

static void reply_busy(struct scene *c, const char *match, unsigned times)
{
    struct scripted_answer *a = scripted_on(c->s, match, times);

    scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
}

static struct run *finish(struct scene *c)
{
    struct run *r;

    scripted_export(c->s, scene_files, 1);
    scene_session(c);
    r = harness_start(&c->h, DOOR_RESOURCE);
    scene_finish(c);
    return r;
}

/* _i: one failure fewer than there are attempts, and as many. */
static void check_end(struct run *r, int failed)
{
    if (failed) {
        ck_assert_int_eq(bcda_error_http_status(harness_check_failed(r, BCDA_ERR_SERVER)), 503);
        return;
    }
    ck_assert_msg(r->result == 0, "%s", bcda_error_text(bcda_job_error(r->job)));
    ck_assert_uint_eq(r->count, 3);
}

START_TEST(plain)
{
    struct scene c;

    scene_open(&c, 0);
    reply_busy(&c, "/data/", 2 + (unsigned)_i);
    scene_reply_patients(&c, "/data/", 0, 3);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_ATTEMPTS, 3);
    check_end(finish(&c), _i);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 3);
    scene_close(&c);
}
END_TEST

START_TEST(redirected)
{
    struct scene c;

    scene_open(&c, 0);
    scripted_reply(c.s, "/data/", "302 Found", "Location: /one\r\n", "", 0);
    scripted_reply(c.s, "/one", "302 Found", "Location: /two\r\n", "", 0);
    reply_busy(&c, "/two", 2 + (unsigned)_i);
    scene_reply_patients(&c, "/two", 0, 3);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_ATTEMPTS, 3);
    check_end(finish(&c), _i);
    ck_assert_uint_eq(scripted_count(c.s, "GET /two"), 3);
    scene_close(&c);
}
END_TEST

START_TEST(limited)
{
    struct scene c;

    scene_open(&c, 0);
    reply_busy(&c, "/data/", 2 + (unsigned)_i);
    scene_reply_patients(&c, "/data/", 0, 3);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_ATTEMPTS, 3);
    scene_set(&c, BCDA_OPT_REQUESTS_BURST, 1);
    scene_set(&c, BCDA_OPT_REQUESTS_PER_SECOND, 1);
    scene_set(&c, BCDA_OPT_RETRY_MAX_MS, 100); /* sooner than the limiter */
    check_end(finish(&c), _i);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 3);
    ck_assert_int_ge(harness_stat(&c.h, BCDA_STAT_WAITS), 3);
    scene_close(&c);
}
END_TEST

SUITE("attempts")
{
    suite_case("attempts");
    suite_loop(plain, 0, 2);
    suite_loop(redirected, 0, 2);
    suite_loop(limited, 0, 2);
}
