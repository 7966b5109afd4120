/* Redirects: which of them are followed, how many, and which requests carry the token. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture fx;         /* a session with the FHIR server */
static struct scripted_server *b; /* another server */

static void stop_at_exit(void)
{
    scripted_stop(b);
    b = NULL;
}

static void open_servers(int second_tls)
{
    fixture_open_scripted(&fx, 1);
    b = scripted_start(second_tls);
    ck_assert_ptr_nonnull(b);
    atexit(stop_at_exit);
}

static struct run *go(void)
{
    scripted_export(fx.server, fixture_files, 1);
    return fixture_run(&fx, BY_RESOURCE);
}

static void close_servers(void)
{
    fixture_close(&fx);
    stop_at_exit();
}

static void redirect(struct scripted_server *s, const char *match, const char *status,
                     const char *origin, const char *path)
{
    char headers[256];

    snprintf(headers, sizeof headers, "Location: %s%s\r\n", origin, path);
    scripted_reply(s, match, status, headers, "gone", 4);
}

static void reply_lines(struct scripted_server *s, const char *match)
{
    static const char lines[] = "{\"resourceType\":\"Patient\",\"id\":\"p0\"}\n"
                                "{\"resourceType\":\"Patient\",\"id\":\"p1\"}\n";

    scripted_reply(s, match, "200 OK", "", lines, sizeof lines - 1);
}

static void check_came(const struct run *r)
{
    fixture_check_came(r, 2);
    ck_assert_str_eq(r->got[1].id, "p1");
}

/* Checks that all requests whose head contains `text` have a token, or that none has one if
 * `wanted` is 0. Returns the number of these requests. */
static unsigned with_token(struct scripted_server *s, const char *text, int wanted)
{
    unsigned i, n = 0;
    char *head;

    for (i = 0; (head = scripted_request(s, i)); i++) {
        if (strstr(head, text)) {
            n++;
            ck_assert_msg((strstr(head, "tok.en") != NULL) == wanted, "%s", head);
            ck_assert_msg((strcasestr(head, "\r\nAuthorization:") != NULL) == wanted, "%s", head);
        }
        free(head);
    }
    return n;
}

static const char *const statuses[] = {"301 Moved", "302 Found", "303 See Other",
                                       "307 Temporary Redirect", "308 Permanent Redirect"};

/* A redirect within the origin, given as a full URL or as a path: the token is sent. */
START_TEST(own_origin)
{
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/data/", statuses[_i / 2], _i % 2 ? scripted_origin(fx.server) : "",
             "/moved/a?x=1");
    reply_lines(fx.server, "/moved/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(fx.server, "GET /data/", 1), 1);
    ck_assert_uint_eq(with_token(fx.server, "GET /moved/a?x=1", 1), 1);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 0);
    close_servers();
}
END_TEST

START_TEST(other_origin)
{
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    reply_lines(b, "/moved/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(b, "GET", 0), 1);
    close_servers();
}
END_TEST

/* A server on another origin that demands a token gets none. The error does not claim that a token
 * was refused. */
START_TEST(other_origin_wants_token)
{
    const bcda_error *e;
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    scripted_reply(b, "/moved/", "401 Unauthorized", "", "no", 2);
    r = go();
    e = fixture_check_failed(r, BCDA_ERR_AUTH);
    ck_assert_int_eq(bcda_error_http_status(e), 401);
    ck_assert_msg(strstr(bcda_error_text(e), "none was sent") != NULL, "%s", bcda_error_text(e));
    ck_assert_msg(!strstr(bcda_error_text(e), "refused"), "%s", bcda_error_text(e));
    ck_assert_uint_eq(with_token(b, "GET", 0), 1);
    close_servers();
}
END_TEST

/* A chain of redirects to another origin and back. The origin of each request decides whether the
 * token is sent, and a Location that is only a path means that path on the server that sent it. */
START_TEST(there_and_back)
{
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/data/", "302 Found", scripted_origin(b), "/one");
    redirect(b, "/one", "302 Found", "", "/two");
    redirect(b, "/two", "302 Found", scripted_origin(fx.server), "/three");
    reply_lines(fx.server, "/three");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(b, "GET", 0), 2);
    ck_assert_uint_eq(with_token(fx.server, "GET /three", 1), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /two"), 0);
    close_servers();
}
END_TEST

/* As many redirects are followed as BCDA_OPT_REDIRECTS_MAX says, and not one more. */
START_TEST(chain)
{
    int most = _i / 2 == 0 ? 5 : _i / 2 == 1 ? 0 : 1, n = most + _i % 2, i;
    struct run *r;
    char from[32], to[32];

    open_servers(1);
    for (i = 0; i < n; i++) {
        snprintf(from, sizeof from, i ? "/r/%d" : "/data/", i);
        snprintf(to, sizeof to, "/r/%d", i + 1);
        redirect(fx.server, from, "302 Found", "", to);
    }
    snprintf(from, sizeof from, n ? "/r/%d" : "/data/", n);
    reply_lines(fx.server, from);
    fixture_config(&fx);
    if (most != 5)
        fixture_set(&fx, BCDA_OPT_REDIRECTS_MAX, most);
    r = go();
    if (_i % 2) {
        (void)fixture_check_failed(r, BCDA_ERR_REDIRECT);
        ck_assert_uint_eq(scripted_count(fx.server, from), 0);
    } else {
        check_came(r);
    }
    close_servers();
}
END_TEST

struct refused {
    const char *location;
    int code;
};

START_TEST(refused)
{
    static const struct refused cases[] = {
        {"http://127.0.0.1:9/x", BCDA_ERR_INSECURE_URL},
        {"http://localhost/", BCDA_ERR_INSECURE_URL},
        {"file:///etc/passwd", BCDA_ERR_REDIRECT},
        {"relative", BCDA_ERR_REDIRECT},
        {"//127.0.0.1:9/x", BCDA_ERR_REDIRECT},
        {"https://user:pass@127.0.0.1:9/", BCDA_ERR_REDIRECT},
        {"?x", BCDA_ERR_REDIRECT},
    };
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/data/", "302 Found", "", cases[_i].location);
    r = go();
    (void)fixture_check_failed(r, cases[_i].code);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1); /* a repetition would not help */
    ck_assert_uint_eq(r->count, 0);
    close_servers();
}
END_TEST

/* A redirect from https to http on this machine is refused, unless BCDA_OPT_ALLOW_HTTP_LOOPBACK
 * allows it. Even then no token is sent there. */
START_TEST(clear_loopback)
{
    struct run *r;

    open_servers(0);
    redirect(fx.server, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    reply_lines(b, "/moved/");
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, _i);
    r = go();
    if (_i) {
        check_came(r);
        ck_assert_uint_eq(with_token(b, "GET", 0), 1);
    } else {
        (void)fixture_check_failed(r, BCDA_ERR_INSECURE_URL);
        ck_assert_uint_eq(scripted_count(b, NULL), 0);
    }
    close_servers();
}
END_TEST

/* A retry starts at the original URL, since the target of a redirect may have been valid only once.
 */
START_TEST(again_from_the_start)
{
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    scripted_text(scripted_on(b, "/moved/", 3),
                  "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reply_lines(b, "/moved/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 4);
    ck_assert_uint_eq(scripted_count(b, "GET /moved/"), 4);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), 3);
    close_servers();
}
END_TEST

/* A redirect of the token request is not followed: the client secret goes to the token URL only. */
START_TEST(token_request)
{
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/auth/token", statuses[_i], scripted_origin(b), "/auth/token");
    r = go();
    (void)fixture_check_failed(r, BCDA_ERR_REDIRECT);
    ck_assert_uint_eq(scripted_count(b, NULL), 0);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 1);
    close_servers();
}
END_TEST

START_TEST(kickoff_and_status)
{
    char headers[160];
    struct run *r;

    open_servers(1);
    redirect(fx.server, "/api/v1/Patient", "307 Temporary Redirect", "", "/elsewhere/start");
    snprintf(headers, sizeof headers, "Content-Location: %s/elsewhere/status\r\n",
             scripted_origin(fx.server));
    scripted_reply(fx.server, "/elsewhere/start", "202 Accepted", headers, "", 0);
    redirect(fx.server, "/elsewhere/status", "302 Found", scripted_origin(fx.server),
             "/api/v1/jobs/1");
    reply_lines(fx.server, "/data/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(fx.server, "GET", 1), 5);
    close_servers();
}
END_TEST

SUITE("redirect")
{
    suite_case("redirects");
    suite_loop(own_origin, 0, 10);
    suite_test(other_origin);
    suite_test(other_origin_wants_token);
    suite_test(there_and_back);
    suite_loop(chain, 0, 6);
    suite_loop(refused, 0, 7);
    suite_loop(clear_loopback, 0, 2);
    suite_test(again_from_the_start);
    suite_loop(token_request, 0, 5);
    suite_test(kickoff_and_status);
}
