/* How the end of a header or a body is recognized: bodies without a length, blanks after header
 * values, and connections that are reset. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

/* Fields after a chunked body (trailers) are not headers: they have no effect. */
static const char *const trailers[] = {
    "",
    "X-Checked: yes\r\n",
    "Content-Length: 5\r\n",
    "Content-Encoding: gzip\r\nContent-Type: text/html\r\n",
    "Location: http://127.0.0.1:9/\r\nRetry-After: 100\r\n",
};

START_TEST(trailer)
{
    struct scripted_answer *a;
    struct buf body = {0}, size = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_add_patients(&body, 0, 50);
    a = scripted_on(fx.server, "/data/", 0);
    scripted_text(a, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    buf_printf(&size, "%zx\r\n", body.len);
    scripted_send(a, size.p, size.len);
    scripted_send(a, body.p, body.len);
    scripted_text(a, "\r\n0\r\n");
    scripted_text(a, trailers[_i]);
    scripted_text(a, "\r\n");
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 50);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1);
    buf_free(&body);
    buf_free(&size);
    fixture_close(&fx);
}
END_TEST

/* ---- bodies without a length ---- */

/* Adds an answer with neither Content-Length nor chunks: only the end of the connection ends the
 * body. */
static void endless(const char *match, const char *headers, const struct buf *body,
                    enum scripted_end how)
{
    struct scripted_answer *a = scripted_on(fx.server, match, 0);

    scripted_text(a, "HTTP/1.1 200 OK\r\nConnection: close\r\n");
    scripted_text(a, headers);
    scripted_text(a, "\r\n");
    scripted_send(a, body->p, body->len);
    scripted_finish(a, how);
}

static const enum scripted_end ends[] = {SCRIPTED_CLOSE, SCRIPTED_CUT};

static void check_endless(const char *headers, const struct buf *body, const char *key_hex,
                          enum scripted_end how, int code)
{
    struct scripted_entry e = {"Patient", "/data/a.ndjson", NULL, 0};
    struct run *r;

    fixture_open_scripted(&fx, 1);
    e.key_hex = key_hex;
    endless("/data/", headers, body, how);
    scripted_export(fx.server, &e, 1);
    fixture_add_key(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, code);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)),
                     code ? BCDA_VERDICT_FAILED : BCDA_VERDICT_COMPLETE);
    if (!code)
        fixture_check_patients(r, 0, 0, 3);
    fixture_close(&fx);
}

START_TEST(endless_plain)
{
    struct buf body = {0};

    fixture_add_patients(&body, 0, 3);
    check_endless("", &body, NULL, ends[_i], BCDA_ERR_TRUNCATED);
    buf_free(&body);
}
END_TEST

START_TEST(endless_gzip)
{
    struct buf plain = {0}, body = {0};

    fixture_add_patients(&plain, 0, 3);
    scripted_gzip(&body, plain.p, plain.len);
    check_endless("Content-Encoding: gzip\r\n", &body, NULL, ends[_i], BCDA_ERR_TRUNCATED);
    buf_free(&plain);
    buf_free(&body);
}
END_TEST

START_TEST(endless_encrypted)
{
    struct buf plain = {0}, body = {0};
    char *key;

    fixture_add_patients(&plain, 0, 3);
    key = scripted_encrypt(&body, plain.p, plain.len, "a.ndjson");
    check_endless("", &body, key, ends[_i], 0);
    body.len -= 9; /* the cut is noticed, since the authentication tag is incomplete */
    check_endless("", &body, key, ends[_i], BCDA_ERR_TAG);
    free(key);
    buf_free(&plain);
    buf_free(&body);
}
END_TEST

START_TEST(endless_manifest)
{
    struct buf manifest = {0};
    struct run *r;

    fixture_open_scripted(&fx, 1);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_manifest(fx.server, &manifest, fixture_files, 1);
    endless("/jobs/1", "", &manifest, ends[_i]);
    scripted_export(fx.server, NULL, 0);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 3);
    buf_free(&manifest);
    fixture_close(&fx);
}
END_TEST

/* ---- headers and connections ---- */

START_TEST(blanks_behind_headers)
{
    struct buf plain = {0}, packed = {0}, head = {0};
    struct scripted_answer *a;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_add_patients(&plain, 0, 3);
    scripted_gzip(&packed, plain.p, plain.len);
    a = scripted_on(fx.server, "/data/", 0);
    buf_printf(&head,
               "HTTP/1.1 200 OK\r\nContent-Encoding: gzip \r\nContent-Length: %zu \t \r\n"
               "Connection: close\r\n\r\n",
               packed.len);
    scripted_send(a, head.p, head.len);
    scripted_send(a, packed.p, packed.len);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 3);
    ck_assert_int_eq(bcda_file_bytes_expected(bcda_job_file(r->job, 0)), (int64_t)packed.len);
    buf_free(&plain);
    buf_free(&packed);
    buf_free(&head);
    fixture_close(&fx);
}
END_TEST

/* If the connection is reset in the middle of a file, the file is never complete, not even when its
 * length is unknown. The retries resume TLS sessions, since every answer ends its connection. */
START_TEST(reset_and_resumed)
{
    struct scripted_answer *a;
    struct buf body = {0};
    struct run *r;

    fixture_open_scripted(&fx, 1);
    fixture_add_patients(&body, 0, 3);
    a = scripted_on(fx.server, "/data/", 0);
    scripted_text(a, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n");
    scripted_send(a, body.p, 16);
    scripted_finish(a, SCRIPTED_RESET);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_lt(r->result, 0);
    ck_assert_int_eq(bcda_error_is_retryable(bcda_job_error(r->job)), 1);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_gt(scripted_connections(fx.server), 4);
    ck_assert_uint_gt(scripted_resumed(fx.server), 0);
    buf_free(&body);
    fixture_close(&fx);
}
END_TEST

SUITE("framing")
{
    suite_case("framing");
    suite_loop(trailer, 0, 5);
    suite_case("endless");
    suite_loop(endless_plain, 0, 2);
    suite_loop(endless_gzip, 0, 2);
    suite_loop(endless_encrypted, 0, 2);
    suite_loop(endless_manifest, 0, 2);
    suite_case("connections");
    suite_test(blanks_behind_headers);
    suite_test(reset_and_resumed);
}
