/* What counts as an attempt of a request. A redirect that is followed does not count, and neither
 * does a wait for the rate limiter. (For a 401, see test_auth.c.) */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

static void reply_busy(const char *match, unsigned times)
{
    scripted_text(scripted_on(fx.server, match, times),
                  "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
}

static struct run *finish(void)
{
    scripted_export(fx.server, fixture_files, 1);
    return fixture_run(&fx, BY_RESOURCE);
}

/* In each test, the server answers 503 two times (_i = 0) or three times (_i = 1) before it sends
 * the file, and 3 attempts are allowed. The job fails only with _i = 1. */
static void check_end(struct run *r, int failed)
{
    if (failed) {
        ck_assert_int_eq(bcda_error_http_status(fixture_check_failed(r, BCDA_ERR_SERVER)), 503);
        return;
    }
    fixture_check_came(r, 3);
}

START_TEST(plain)
{

    fixture_open_scripted(&fx, 0);
    reply_busy("/data/", 2 + (unsigned)_i);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    check_end(finish(), _i);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 3);
    fixture_close(&fx);
}
END_TEST

START_TEST(redirected)
{

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/data/", "302 Found", "Location: /one\r\n", "", 0);
    scripted_reply(fx.server, "/one", "302 Found", "Location: /two\r\n", "", 0);
    reply_busy("/two", 2 + (unsigned)_i);
    fixture_reply_patients(&fx, "/two", 0, 3);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    check_end(finish(), _i);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /two"), 3);
    fixture_close(&fx);
}
END_TEST

START_TEST(limited)
{

    fixture_open_scripted(&fx, 0);
    reply_busy("/data/", 2 + (unsigned)_i);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    fixture_set(&fx, BCDA_OPT_REQUESTS_BURST, 1);
    fixture_set(&fx, BCDA_OPT_REQUESTS_PER_SECOND, 1);
    fixture_set(&fx, BCDA_OPT_RETRY_MAX_MS, 100); /* shorter than the wait for the rate limiter */
    check_end(finish(), _i);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 3);
    ck_assert_int_ge(fixture_stat(&fx, BCDA_STAT_WAITS), 3);
    fixture_close(&fx);
}
END_TEST

SUITE("attempts")
{
    suite_case("attempts");
    suite_loop(plain, 0, 2);
    suite_loop(redirected, 0, 2);
    suite_loop(limited, 0, 2);
}
