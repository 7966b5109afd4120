/* Access tokens: which requests carry one, and what happens when the server refuses one with 401:
 * which request fetches a new token, how often, and how many attempts that costs. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

static void reply_status(const char *match, unsigned times, unsigned gate, const char *status)
{
    struct scripted_answer *a = scripted_on(fx.server, match, times);
    char head[96];

    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status);
    if (gate)
        scripted_gate(a, gate);
    scripted_text(a, head);
}

static unsigned count_tokens(void)
{
    return scripted_count(fx.server, "POST /auth/token");
}

static void check_both(struct run *r)
{
    fixture_check_came(r, 6);
}

/* Two requests carry the same token, and the server answers both with 401. After the first 401 the
 * client fetches a new token. The second 401 arrives later, but it refuses the old token, so the
 * client keeps the new one. */
START_TEST(late_refusal)
{
    struct run *r;

    fixture_open_scripted(&fx, 0);
    reply_status("/data/a", 1, 0, "401 Unauthorized");
    reply_status("/data/b", 1, 1, "401 Unauthorized");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/b") == 1);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/a") == 2);
    ck_assert_uint_eq(count_tokens(), 2);
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    check_both(r);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/b"), 2);
    ck_assert_uint_eq(count_tokens(), 2);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TOKENS), 2);
    fixture_close(&fx);
}
END_TEST

/* The server answers two requests with 401 before the client has a new token: both requests wait
 * for the same new token. */
START_TEST(both_refused)
{
    struct run *r;

    fixture_open_scripted(&fx, 0);
    reply_status("/data/", 2, 1, "401 Unauthorized");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/") == 2);
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    check_both(r);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 4);
    ck_assert_uint_eq(count_tokens(), 2);
    fixture_close(&fx);
}
END_TEST

/* A 401 that leads to a new token does not count as an attempt: the request has as many attempts
 * left as before. */
START_TEST(refusal_costs_no_attempt)
{
    struct run *r;
    int busy =
        2 -
        _i; /* number of answers with status 503; if it is 2, the third and last attempt succeeds */

    fixture_open_scripted(&fx, 0);
    reply_status("/data/a", 1, 0, "401 Unauthorized");
    reply_status("/data/a", (unsigned)busy, 0, "503 Busy");
    fixture_reply_two_files(&fx);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 3);
    r = fixture_run(&fx, BY_RESOURCE);
    check_both(r);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/a"), (unsigned)busy + 2);
    fixture_close(&fx);
}
END_TEST

/* The server refuses the new token as well: the request fails with the second 401. */
START_TEST(refused_twice)
{
    struct run *r;

    fixture_open_scripted(&fx, 0);
    reply_status("/data/a", 0, 0, "401 Unauthorized");
    fixture_reply_patients(&fx, "/data/b", 3, 3);
    scripted_export(fx.server, fixture_files, 2);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_error_http_status(fixture_check_failed(r, BCDA_ERR_AUTH)), 401);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/a"), 2);
    ck_assert_uint_eq(count_tokens(), 2);
    fixture_close(&fx);
}
END_TEST

/* ---- which requests carry a token ---- */

/* If the manifest has "requiresAccessToken": false, the requests for its files carry no token. If
 * the member is null, they carry one. */
START_TEST(files_without_token)
{
    static const char *const says[] = {"true", "false", "null"};
    struct buf m = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    buf_printf(&m,
               "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"requiresAccessToken\":%s,"
               "\"output\":[{\"type\":\"Patient\",\"url\":\"%s/data/a.ndjson\"}]}",
               says[_i], scripted_origin(fx.server));
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", m.p, m.len);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, NULL, 0);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "Authorization: Bearer"), _i == 1 ? 2 : 3);
    buf_free(&m);
    fixture_close(&fx);
}
END_TEST

/* ---- the token request is refused ---- */

/* The application sees the error that an OAuth server other than BCDA's reports in the body, with
 * the status 400 as well as 200. */
START_TEST(token_refused)
{
    static const char *const bodies[] = {
        "{\"error\":\"invalid_request\",\"error_description\":\"Missing grant_type\"}",
        "{\"error\":\"invalid_client\",\"error_description\":\"Unknown client\"}"};
    const bcda_error *e;
    struct run *r;

    fixture_open_scripted(&fx, 1);
    scripted_reply(fx.server, "/auth/token", _i / 2 ? "200 OK" : "400 Bad Request",
                   "Content-Type: application/json\r\n", bodies[_i % 2], strlen(bodies[_i % 2]));
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    e = fixture_check_failed(r, _i / 2   ? BCDA_ERR_TOKEN
                                : _i % 2 ? BCDA_ERR_AUTH
                                         : BCDA_ERR_BAD_REQUEST);
    ck_assert_str_eq(bcda_error_server_text(e), _i % 2 ? "invalid_client: Unknown client"
                                                       : "invalid_request: Missing grant_type");
    ck_assert_msg(!strstr(bcda_error_text(e), "refused the client id") == (_i != 1), "%s",
                  bcda_error_text(e));
    fixture_close(&fx);
}
END_TEST

SUITE("auth")
{
    suite_case("refused");
    suite_test(late_refusal);
    suite_test(both_refused);
    suite_loop(refusal_costs_no_attempt, 0, 2);
    suite_test(refused_twice);
    suite_case("where");
    suite_loop(files_without_token, 0, 3);
    suite_case("token");
    suite_loop(token_refused, 0, 4);
}
