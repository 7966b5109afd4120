/* Where requests go, and how many: redirects and the token that goes along, the limiter, and how
 * many files come at once. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EOB "ExplanationOfBenefit"

static struct scene c;     /* at the FHIR server */
static struct scripted *b; /* another one */

static void stop_at_exit(void)
{
    scripted_stop(b);
    b = NULL;
}

static void open_servers(int second_tls)
{
    scene_open(&c, 1);
    b = scripted_start(second_tls);
    ck_assert_ptr_nonnull(b);
    atexit(stop_at_exit);
}

static void set(int option, int64_t value)
{
    scene_set(&c, option, value);
}

static const struct scripted_entry one_file[] = {{"Patient", "/data/a.ndjson", NULL, 0}};

static struct run *go(void)
{
    struct run *r;

    scripted_export(c.s, one_file, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    return r;
}

static void close_servers(void)
{
    scene_close(&c);
    stop_at_exit();
}

static void redirect(struct scripted *s, const char *match, const char *status, const char *origin,
                     const char *path)
{
    char headers[256];

    snprintf(headers, sizeof headers, "Location: %s%s\r\n", origin, path);
    scripted_reply(s, match, status, headers, "gone", 4);
}

static void reply_lines(struct scripted *s, const char *match)
{
    static const char lines[] = "{\"resourceType\":\"Patient\",\"id\":\"p0\"}\n"
                                "{\"resourceType\":\"Patient\",\"id\":\"p1\"}\n";

    scripted_reply(s, match, "200 OK", "", lines, sizeof lines - 1);
}

static void check_came(const struct run *r)
{
    ck_assert_msg(r->result == 0, "%s", bcda_error_text(bcda_job_error(r->job)));
    ck_assert_uint_eq(r->count, 2);
    ck_assert_str_eq(r->got[1].id, "p1");
}

/* Each request whose head contains `text` has a token, or none has; how many there are. */
static unsigned with_token(struct scripted *s, const char *text, int wanted)
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

/* Within the origin, by URL or by path: with the token. */
START_TEST(own_origin)
{
    struct run *r;

    open_servers(1);
    redirect(c.s, "/data/", statuses[_i / 2], _i % 2 ? scripted_origin(c.s) : "", "/moved/a?x=1");
    reply_lines(c.s, "/moved/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(c.s, "GET /data/", 1), 1);
    ck_assert_uint_eq(with_token(c.s, "GET /moved/a?x=1", 1), 1);
    ck_assert_int_eq(harness_stat(&c.h, BCDA_STAT_RETRIES), 0);
    close_servers();
}
END_TEST

START_TEST(other_origin)
{
    struct run *r;

    open_servers(1);
    redirect(c.s, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    reply_lines(b, "/moved/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(b, "GET", 0), 1);
    close_servers();
}
END_TEST

/* Who wants a token there gets none, and the error does not say that one was refused. */
START_TEST(other_origin_wants_token)
{
    const bcda_error *e;
    struct run *r;

    open_servers(1);
    redirect(c.s, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    scripted_reply(b, "/moved/", "401 Unauthorized", "", "no", 2);
    r = go();
    e = harness_check_failed(r, BCDA_ERR_AUTH);
    ck_assert_int_eq(bcda_error_http_status(e), 401);
    ck_assert_msg(strstr(bcda_error_text(e), "none was sent") != NULL, "%s", bcda_error_text(e));
    ck_assert_msg(!strstr(bcda_error_text(e), "refused"), "%s", bcda_error_text(e));
    ck_assert_uint_eq(with_token(b, "GET", 0), 1);
    close_servers();
}
END_TEST

/* What an OAuth server of another kind says comes through, with either status. */
START_TEST(token_refused)
{
    static const char *const bodies[] = {
        "{\"error\":\"invalid_request\",\"error_description\":\"Missing grant_type\"}",
        "{\"error\":\"invalid_client\",\"error_description\":\"Unknown client\"}"};
    const bcda_error *e;
    struct run *r;

    scene_open(&c, 1);
    scripted_reply(c.s, "/auth/token", _i / 2 ? "200 OK" : "400 Bad Request",
                   "Content-Type: application/json\r\n", bodies[_i % 2], strlen(bodies[_i % 2]));
    r = go();
    e = harness_check_failed(r, _i / 2   ? BCDA_ERR_TOKEN
                                : _i % 2 ? BCDA_ERR_AUTH
                                         : BCDA_ERR_BAD_REQUEST);
    ck_assert_str_eq(bcda_error_server_text(e), _i % 2 ? "invalid_client: Unknown client"
                                                       : "invalid_request: Missing grant_type");
    ck_assert_msg(!strstr(bcda_error_text(e), "refused the client id") == (_i != 1), "%s",
                  bcda_error_text(e));
    scene_close(&c);
}
END_TEST

/* There and back: it is the origin that counts, and a path is one of where it stands. */
START_TEST(there_and_back)
{
    struct run *r;

    open_servers(1);
    redirect(c.s, "/data/", "302 Found", scripted_origin(b), "/one");
    redirect(b, "/one", "302 Found", "", "/two");
    redirect(b, "/two", "302 Found", scripted_origin(c.s), "/three");
    reply_lines(c.s, "/three");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(b, "GET", 0), 2);
    ck_assert_uint_eq(with_token(c.s, "GET /three", 1), 1);
    ck_assert_uint_eq(scripted_count(c.s, "GET /two"), 0);
    close_servers();
}
END_TEST

/* As many as the option says, and not one more. */
START_TEST(chain)
{
    int most = _i / 2 == 0 ? 5 : _i / 2 == 1 ? 0 : 1, n = most + _i % 2, i;
    struct run *r;
    char from[32], to[32];

    open_servers(1);
    for (i = 0; i < n; i++) {
        snprintf(from, sizeof from, i ? "/r/%d" : "/data/", i);
        snprintf(to, sizeof to, "/r/%d", i + 1);
        redirect(c.s, from, "302 Found", "", to);
    }
    snprintf(from, sizeof from, n ? "/r/%d" : "/data/", n);
    reply_lines(c.s, from);
    scene_config(&c);
    if (most != 5)
        set(BCDA_OPT_REDIRECTS_MAX, most);
    r = go();
    if (_i % 2) {
        (void)harness_check_failed(r, BCDA_ERR_REDIRECT);
        ck_assert_uint_eq(scripted_count(c.s, from), 0);
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
    redirect(c.s, "/data/", "302 Found", "", cases[_i].location);
    r = go();
    (void)harness_check_failed(r, cases[_i].code);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 1); /* nothing is mended by repeating */
    ck_assert_uint_eq(r->count, 0);
    close_servers();
}
END_TEST

/* http, of this machine, is refused; where the option allows it, the token does not go along. */
START_TEST(clear_loopback)
{
    struct run *r;

    open_servers(0);
    redirect(c.s, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    reply_lines(b, "/moved/");
    scene_config(&c);
    set(BCDA_OPT_ALLOW_HTTP_LOOPBACK, _i);
    r = go();
    if (_i) {
        check_came(r);
        ck_assert_uint_eq(with_token(b, "GET", 0), 1);
    } else {
        (void)harness_check_failed(r, BCDA_ERR_INSECURE_URL);
        ck_assert_uint_eq(scripted_count(b, NULL), 0);
    }
    close_servers();
}
END_TEST

/* A new try begins where the first one did: what a redirect pointed to may have been for once. */
START_TEST(again_from_the_start)
{
    struct scripted_answer *busy;
    struct run *r;

    open_servers(1);
    redirect(c.s, "/data/", "302 Found", scripted_origin(b), "/moved/a");
    busy = scripted_on(b, "/moved/", 3);
    scripted_text(busy, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reply_lines(b, "/moved/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 4);
    ck_assert_uint_eq(scripted_count(b, "GET /moved/"), 4);
    ck_assert_int_eq(harness_stat(&c.h, BCDA_STAT_RETRIES), 3);
    close_servers();
}
END_TEST

/* The secret goes to the token URL and nowhere else. */
START_TEST(token_request)
{
    struct run *r;

    open_servers(1);
    redirect(c.s, "/auth/token", statuses[_i], scripted_origin(b), "/auth/token");
    r = go();
    (void)harness_check_failed(r, BCDA_ERR_REDIRECT);
    ck_assert_uint_eq(scripted_count(b, NULL), 0);
    ck_assert_uint_eq(scripted_count(c.s, NULL), 1);
    close_servers();
}
END_TEST

START_TEST(kickoff_and_status)
{
    char headers[160];
    struct run *r;

    open_servers(1);
    redirect(c.s, "/api/v1/Patient", "307 Temporary Redirect", "", "/elsewhere/start");
    snprintf(headers, sizeof headers, "Content-Location: %s/elsewhere/status\r\n",
             scripted_origin(c.s));
    scripted_reply(c.s, "/elsewhere/start", "202 Accepted", headers, "", 0);
    redirect(c.s, "/elsewhere/status", "302 Found", scripted_origin(c.s), "/api/v1/jobs/1");
    reply_lines(c.s, "/data/");
    r = go();
    check_came(r);
    ck_assert_uint_eq(with_token(c.s, "GET", 1), 5);
    close_servers();
}
END_TEST

/* ---- resuming against a script: 416, and what the overlap shows ---- */

enum { FIRST = 60000 };

/* A first answer that is cut after FIRST bytes. */
static void cut_answer(const char *headers, const struct buf *body)
{
    struct scripted_answer *x = scripted_on(c.s, "/data/", 1);
    struct buf head = {0};

    buf_printf(&head, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: %zu\r\n%s\r\n",
               body->len, headers);
    scripted_send(x, head.p, head.len);
    scripted_send(x, body->p, FIRST);
    scripted_finish(x, SCRIPTED_CUT);
    buf_free(&head);
}

static void part_answer(const struct buf *body, size_t first)
{
    struct scripted_answer *x = scripted_on(c.s, "/data/", 1);
    struct buf head = {0};

    buf_printf(&head,
               "HTTP/1.1 206 Part\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n"
               "Connection: close\r\n\r\n",
               first, body->len - 1, body->len, body->len - first);
    scripted_send(x, head.p, head.len);
    scripted_send(x, body->p + first, body->len - first);
    buf_free(&head);
}

/* One byte of the overlap is another one: the whole is asked for. If that is the same as before,
 * all is well; else nothing more is delivered. */
START_TEST(overlap)
{
    static const size_t at[] = {FIRST - 64, FIRST - 33, FIRST - 1};
    struct buf body = {0};
    struct run *r;
    size_t i, n;

    open_servers(1);
    for (i = 0; i < 3000; i++)
        buf_printf(&body, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\"}\n", i);
    cut_answer("Last-Modified: Wed, 01 Jul 2026 00:00:00 GMT\r\n", &body);
    body.p[at[_i / 2]] ^= 1;
    part_answer(&body, FIRST - 64);
    if (_i % 2 == 0)
        body.p[at[_i / 2]] ^= 1;
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scene_config(&c);
    set(BCDA_OPT_BATCH_SIZE, 4096);
    r = go();
    ck_assert_uint_eq(scripted_count(c.s, "Range: bytes=59936-"), 1);
    ck_assert_uint_eq(scripted_count(c.s, "If-Range: Wed, 01 Jul 2026 00:00:00 GMT"), 1);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 3);
    if (_i % 2)
        (void)harness_check_failed(r, BCDA_ERR_CHANGED);
    else
        ck_assert_msg(r->result == 0, "%s", bcda_error_text(bcda_job_error(r->job)));
    if (_i % 2 == 0)
        ck_assert_uint_eq(r->count, 3000);
    for (n = 0; n < r->count; n++) {
        ck_assert_int_eq(r->got[n].number, (int64_t)n + 1);
        ck_assert_int_eq(_i % 2 && r->got[n].offset + (int64_t)r->got[n].line_len > FIRST, 0);
    }
    buf_free(&body);
    close_servers();
}
END_TEST

/* What came is already more than the stored file: 416, or a total that says so, is the end where a
 * member was verified there, and otherwise the whole is asked for. */
START_TEST(past_the_end)
{
    struct buf plain = {0}, body = {0}, range = {0};
    struct scripted_answer *x;
    size_t i, stored, cut;
    struct run *r;

    open_servers(1);
    for (i = 0; i < 3000; i++)
        buf_printf(&plain, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\"}\n", i);
    scripted_gzip(&body, plain.p, plain.len);
    stored = body.len;
    /* an empty member with a name of 100 letters, cut within it */
    buf_add(&body, "\x1f\x8b\x08\x08\0\0\0\0\0\xff", 10);
    for (i = 0; i < 100; i++)
        buf_add(&body, "n", 1);
    cut = _i % 2 ? 80 : 30;
    x = scripted_on(c.s, "/data/", 1);
    scripted_text(x, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Encoding: gzip\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n");
    buf_printf(&range, "%zx\r\n", stored + 200);
    scripted_send(x, range.p, range.len);
    scripted_send(x, body.p, stored + cut);
    scripted_finish(x, SCRIPTED_CUT);
    x = scripted_on(c.s, "/data/", 1);
    range.len = 0;
    if (_i % 2)
        buf_printf(&range, "HTTP/1.1 416 No\r\nContent-Range: bytes */%zu\r\n",
                   _i / 2 ? stored - 1 : stored);
    else
        buf_printf(&range,
                   "HTTP/1.1 206 Part\r\nContent-Encoding: gzip\r\nContent-Range: bytes "
                   "%zu-%zu/%zu\r\n",
                   stored + cut - 64, stored - 1, _i / 2 ? stored + 1 : stored);
    buf_printf(&range, "Content-Length: 0\r\nConnection: close\r\n\r\n");
    scripted_send(x, range.p, range.len);
    /* once more the whole, with the member that it ends with here */
    buf_add(&body, "\0\x03\0\0\0\0\0\0\0\0\0", 11);
    scripted_reply(c.s, "/data/", "200 OK", "Content-Encoding: gzip\r\n", body.p, body.len);
    scene_config(&c);
    set(BCDA_OPT_BATCH_SIZE, 4096);
    r = go();
    ck_assert_msg(r->result == 0, "%s", bcda_error_text(bcda_job_error(r->job)));
    ck_assert_uint_eq(r->count, 3000);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), _i / 2 ? 3 : 2);
    buf_free(&plain);
    buf_free(&body);
    buf_free(&range);
    close_servers();
}
END_TEST

/* ---- how many ---- */

static void begin_many(void)
{
    struct sandbox_options o = {0};

    o.era = "2019-04";
    o.files = 10;
    o.allow_duplicates = 1;
    harness_open(&c.h, &o);
    harness_config(&c.h, 1);
    harness_export(&c.h, BCDA_LEVEL_RESOURCE, EOB, NULL);
}

START_TEST(limited)
{
    int64_t start, requests;
    struct run *r, *other = NULL;

    begin_many();
    if (_i) {
        set(BCDA_OPT_REQUESTS_BURST, 3);
        set(BCDA_OPT_REQUESTS_PER_SECOND, 1);
    }
    harness_session(&c.h);
    start = c.h.now;
    r = harness_start(&c.h, DOOR_BATCH);
    if (_i == 2) /* all jobs of a session share one limiter */
        other = harness_start(&c.h, DOOR_RESOURCE);
    harness_run(&c.h);
    if (other) {
        ck_assert_int_eq(r->result, 0);
        ck_assert_int_eq(other->result, 0);
        ck_assert_uint_eq(r->count, other->count);
    } else {
        harness_check_export(r);
    }
    requests = harness_stat(&c.h, BCDA_STAT_REQUESTS);
    ck_assert_int_ge(requests, other ? 25 : 13);
    if (_i) {
        ck_assert_int_ge(c.h.now - start, (requests - 3) * 1000);
        ck_assert_int_gt(harness_stat(&c.h, BCDA_STAT_WAITS), 3);
    } else {
        ck_assert_int_eq(harness_stat(&c.h, BCDA_STAT_WAITS), 0);
    }
    ck_assert_int_eq(harness_stat(&c.h, BCDA_STAT_RETRIES), 0); /* waiting is no try */
    harness_close(&c.h);
}
END_TEST

static int note_least(struct run *r, enum where where, void *object)
{
    int64_t *least = r->arg, now = r->h->session->parallel;

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

    begin_many();
    harness_session(&c.h);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(c.h.session->parallel, down[i]);
        bcda__session_adapt(c.h.session, 0);
    }
    for (i = 0; i < 6; i++) {
        ck_assert_int_eq(c.h.session->parallel, up[i]);
        bcda__session_adapt(c.h.session, 1);
    }
    if (_i)
        ck_assert_int_eq(sandbox_set_fault(c.h.sb, "data-503-once*3"), 0);
    r = harness_start_hook(&c.h, DOOR_BATCH, note_least, &least);
    harness_run(&c.h);
    harness_check_export(r);
    ck_assert_int_eq(c.h.session->parallel, 5);
    if (_i)
        ck_assert_int_le(least, 3);
    else
        ck_assert_int_eq(least, 5);
    harness_close(&c.h);
}
END_TEST

/* A 429 for the file, and one for another request, which says nothing of files. */
START_TEST(adapts_to_429)
{
    struct scripted_answer *busy;
    struct run *r;

    open_servers(1);
    busy = scripted_on(c.s, _i ? "/data/" : "$export", 1);
    scripted_text(busy, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reply_lines(c.s, "/data/");
    r = go();
    check_came(r);
    ck_assert_int_eq(c.h.session->parallel, _i ? 3 : 5); /* 5, half of it, and the file went well */
    close_servers();
}
END_TEST

static Suite *redirect_suite(void)
{
    Suite *s = suite_create("redirect");
    TCase *t = tcase_create("redirects");

    tcase_add_loop_test(t, own_origin, 0, 10);
    tcase_add_test(t, other_origin);
    tcase_add_test(t, other_origin_wants_token);
    tcase_add_loop_test(t, token_refused, 0, 4);
    tcase_add_test(t, there_and_back);
    tcase_add_loop_test(t, chain, 0, 6);
    tcase_add_loop_test(t, refused, 0, 7);
    tcase_add_loop_test(t, clear_loopback, 0, 2);
    tcase_add_test(t, again_from_the_start);
    tcase_add_loop_test(t, token_request, 0, 5);
    tcase_add_test(t, kickoff_and_status);
    suite_add_tcase(s, t);

    t = tcase_create("ranges");
    tcase_add_loop_test(t, overlap, 0, 6);
    tcase_add_loop_test(t, past_the_end, 0, 4);
    suite_add_tcase(s, t);

    t = tcase_create("how_many");
    tcase_add_loop_test(t, limited, 0, 3);
    tcase_add_loop_test(t, adapts, 0, 2);
    tcase_add_loop_test(t, adapts_to_429, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return harness_main(redirect_suite());
}
