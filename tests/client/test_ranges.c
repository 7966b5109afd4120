/* Range requests for the rest of a file: which validator they carry, and when no range is
 * requested. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

#define DATE "Wed, 01 Jul 2026 00:00:00 GMT"

enum { LINES = 400 };

/* Scripts a 200 response that is cut after `part` bytes of the body. */
static void reply_cut(const struct buf *body, const char *headers, size_t part)
{
    struct scripted_answer *a = scripted_on(fx.server, "/data/", 1);
    struct buf head = {0};

    buf_printf(&head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nAccept-Ranges: bytes\r\n%s\r\n",
               body->len, headers);
    scripted_send(a, head.p, head.len);
    scripted_send(a, body->p, part);
    scripted_finish(a, SCRIPTED_CUT);
    buf_free(&head);
}

static void open_cut(struct buf *body, const char *headers)
{
    fixture_open_scripted(&fx, 1);
    fixture_add_patients(body, 0, LINES);
    reply_cut(body, headers, body->len / 2);
}

static void finish(struct buf *body, const char *headers)
{
    struct run *r;

    scripted_reply(fx.server, "/data/", "200 OK", headers, body->p, body->len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, LINES);
    buf_free(body);
}

struct validators {
    const char *headers,
        *if_range; /* `if_range`: header that the range request must have; NULL = none */
};

/* A weak ETag does not promise identical bytes, so If-Range never carries one. */
START_TEST(validator)
{
    static const struct validators cases[] = {
        {"ETag: \"strong\"\r\nLast-Modified: " DATE "\r\n", "If-Range: \"strong\"\r\n"},
        {"ETag: W/\"weak\"\r\nLast-Modified: " DATE "\r\n", "If-Range: " DATE "\r\n"},
        {"Last-Modified: " DATE "\r\n", "If-Range: " DATE "\r\n"},
        {"ETag: W/\"weak\"\r\n", NULL},
        {"", NULL},
    };
    const struct validators *v = &cases[_i];
    struct buf body = {0};

    open_cut(&body, v->headers);
    finish(&body, v->headers);
    ck_assert_uint_eq(scripted_count(fx.server, "\r\nRange: bytes="), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "If-Range:"), v->if_range != NULL);
    if (v->if_range)
        ck_assert_uint_eq(scripted_count(fx.server, v->if_range), 1);
    fixture_close(&fx);
}
END_TEST

/* If the server answers a range request with the whole file (200), the client sends it no second
 * range request. */
START_TEST(ignored_range)
{
    struct buf body = {0};

    open_cut(&body, "Last-Modified: " DATE "\r\n");
    reply_cut(&body, "Last-Modified: " DATE "\r\n", body.len * 3 / 4);
    finish(&body, "Last-Modified: " DATE "\r\n");
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 3);
    ck_assert_uint_eq(scripted_count(fx.server, "\r\nRange: bytes="), 1);
    fixture_close(&fx);
}
END_TEST

/* ---- bytes that a range request repeats and that differ, and 416 ---- */

enum { FIRST = 60000 }; /* length at which the first response is cut */

static void reply_part(const struct buf *body, size_t first)
{
    struct scripted_answer *x = scripted_on(fx.server, "/data/", 1);
    struct buf head = {0};

    buf_printf(&head,
               "HTTP/1.1 206 Part\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n"
               "Connection: close\r\n\r\n",
               first, body->len - 1, body->len, body->len - first);
    scripted_send(x, head.p, head.len);
    scripted_send(x, body->p + first, body->len - first);
    buf_free(&head);
}

/* A range request repeats the last 64 bytes received (the overlap). In the 206 response, one of
 * these bytes differs, so the client requests the whole file. If that repeats all bytes received
 * before, the file is complete; otherwise nothing more is delivered. */
START_TEST(overlap)
{
    static const size_t at[] = {FIRST - 64, FIRST - 33, FIRST - 1};
    struct buf body = {0};
    struct run *r;
    size_t i, n;

    fixture_open_scripted(&fx, 1);
    for (i = 0; i < 3000; i++)
        buf_printf(&body, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\"}\n", i);
    reply_cut(&body, "Last-Modified: Wed, 01 Jul 2026 00:00:00 GMT\r\n", FIRST);
    body.p[at[_i / 2]] ^= 1;
    reply_part(&body, FIRST - 64);
    if (_i % 2 == 0)
        body.p[at[_i / 2]] ^= 1;
    scripted_reply(fx.server, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_uint_eq(scripted_count(fx.server, "Range: bytes=59936-"), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "If-Range: Wed, 01 Jul 2026 00:00:00 GMT"), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 3);
    if (_i % 2)
        (void)fixture_check_failed(r, BCDA_ERR_CHANGED);
    else
        fixture_check_result(r, 0);
    if (_i % 2 == 0)
        ck_assert_uint_eq(r->count, 3000);
    for (n = 0; n < r->count; n++) {
        ck_assert_int_eq(r->got[n].number, (int64_t)n + 1);
        ck_assert_int_eq(_i % 2 && r->got[n].offset + (int64_t)r->got[n].line_len > FIRST, 0);
    }
    buf_free(&body);
    fixture_close(&fx);
}
END_TEST

/* The Content-Range of a 416 or 206 response names a file length that is smaller than what was
 * already received. If a gzip member with a verified trailer ends at that length, the file is
 * complete. Otherwise the client requests the whole file. */
START_TEST(past_the_end)
{
    struct buf plain = {0}, body = {0}, range = {0};
    struct scripted_answer *x;
    size_t i, stored, cut;
    struct run *r;

    fixture_open_scripted(&fx, 1);
    for (i = 0; i < 3000; i++)
        buf_printf(&plain, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\"}\n", i);
    scripted_gzip(&body, plain.p, plain.len);
    stored = body.len;
    /* an empty gzip member with a file name of 100 letters; the response is cut within that name */
    buf_add(&body, "\x1f\x8b\x08\x08\0\0\0\0\0\xff", 10);
    for (i = 0; i < 100; i++)
        buf_add(&body, "n", 1);
    cut = _i % 2 ? 80 : 30;
    x = scripted_on(fx.server, "/data/", 1);
    scripted_text(x, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Encoding: gzip\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n");
    buf_printf(&range, "%zx\r\n", stored + 200);
    scripted_send(x, range.p, range.len);
    scripted_send(x, body.p, stored + cut);
    scripted_finish(x, SCRIPTED_CUT);
    x = scripted_on(fx.server, "/data/", 1);
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
    /* the second 200 response: the same body, now with the complete empty gzip member */
    buf_add(&body, "\0\x03\0\0\0\0\0\0\0\0\0", 11);
    scripted_reply(fx.server, "/data/", "200 OK", "Content-Encoding: gzip\r\n", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 3000);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), _i / 2 ? 3 : 2);
    buf_free(&plain);
    buf_free(&body);
    buf_free(&range);
    fixture_close(&fx);
}
END_TEST

SUITE("ranges")
{
    suite_case("ranges");
    suite_loop(validator, 0, 5);
    suite_test(ignored_range);
    suite_case("overlap");
    suite_loop(overlap, 0, 6);
    suite_loop(past_the_end, 0, 4);
}
