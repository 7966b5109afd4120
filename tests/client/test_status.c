/* From the kick-off to the manifest: when an export is refused, at which URL the job's status is
 * requested, and which answers are accepted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

static const char empty[] =
    "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"requiresAccessToken\":true,\"output\":[]}";

static unsigned count_polls(void)
{
    return scripted_count(fx.server, "GET /api/v1/jobs/1");
}

static void reply_empty(unsigned times)
{
    struct scripted_answer *a = scripted_on(fx.server, "/jobs/1", times);
    char head[64];

    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof empty - 1);
    scripted_text(a, head);
    scripted_text(a, empty);
}

/* ---- manifests ---- */

/* A manifest without files right after the kick-off is requested again after a second, at most
 * three times. The last answer is accepted. */
START_TEST(empty_manifest)
{
    int64_t began;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    if (_i)
        reply_empty((unsigned)_i);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, fixture_files, 1);
    fixture_session(&fx);
    began = fx.now;
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(count_polls(), _i < 4 ? (unsigned)_i + 1 : 4);
    ck_assert_uint_eq(r->count, _i < 4 ? 3 : 0);
    ck_assert_int_ge(fx.now - began, 1000 * (_i < 4 ? _i : 3));
    fixture_close(&fx);
}
END_TEST

/* For a job that was started earlier an empty manifest is accepted at once. */
START_TEST(empty_manifest_of_an_old_job)
{
    struct run *r;

    fixture_open_scripted(&fx, 0);
    reply_empty(1);
    scripted_export(fx.server, fixture_files, 1);
    fixture_session(&fx);
    r = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/1", NULL, NULL);
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(count_polls(), 1);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 0);
    fixture_close(&fx);
}
END_TEST

/* When the response with the manifest is cut, the client requests the manifest again and reads it
 * from its beginning. */
START_TEST(cut_manifest)
{
    struct buf m = {0}, head = {0};
    struct scripted_answer *a;
    struct run *r;

    fixture_open_scripted(&fx, 1);
    scripted_manifest(fx.server, &m, fixture_files, 1);
    a = scripted_on(fx.server, "/jobs/1", 2);
    buf_printf(&head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", m.len);
    scripted_send(a, head.p, head.len);
    scripted_send(a, m.p, m.len * (size_t)(1 + _i) / 3);
    scripted_finish(a, SCRIPTED_CUT);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, 0);
    ck_assert_uint_eq(count_polls(), 3);
    ck_assert_uint_eq(bcda_job_file_count(r->job), 1);
    ck_assert_uint_eq(r->count, 3);
    fixture_close(&fx);
    buf_free(&m);
    buf_free(&head);
}
END_TEST

/* ---- limits ---- */

enum { LIMIT = 2048 };

static void pad_to_limit(struct buf *b)
{
    ck_assert_uint_lt(b->len, LIMIT);
    while (b->len < LIMIT)
        buf_str(b, " ");
}

/* Sets the limit to LIMIT - 1 + `above` bytes for an answer of LIMIT bytes: one byte too few (0),
 * exactly enough (1), or one byte more (2). */
static void check_limit(int option, const char *match, struct buf *body, int above)
{
    struct run *r;

    pad_to_limit(body);
    scripted_reply(fx.server, match, "200 OK", "", body->p, body->len);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, option, LIMIT - 1 + above);
    r = fixture_run(&fx, BY_RESOURCE);
    if (above == 0)
        (void)fixture_check_failed(r, BCDA_ERR_BODY_TOO_LARGE);
    else
        ck_assert_int_eq(r->result, 0);
    fixture_close(&fx);
    buf_free(body);
}

START_TEST(manifest_limit)
{
    struct buf m = {0};

    fixture_open_scripted(&fx, 0);
    scripted_manifest(fx.server, &m, fixture_files, 1);
    check_limit(BCDA_OPT_MANIFEST_MAX, "/jobs/1", &m, _i);
}
END_TEST

/* The limit for JSON answers other than the manifest: an answer above the limit is refused, not
 * truncated. */
START_TEST(answer_limit)
{
    struct buf token = {0};

    fixture_open_scripted(&fx, 0);
    buf_str(&token, "{\"access_token\":\"tok.en\",\"token_type\":\"bearer\"}");
    check_limit(BCDA_OPT_ANSWER_MAX, "/auth/token", &token, _i);
}
END_TEST

/* ---- the kick-off ---- */

/* The server answers the kick-off with 429, since an identical export is running: the client
 * retries the kick-off with growing delays. */
START_TEST(refusals)
{
    int64_t began;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    scripted_text(scripted_on(fx.server, "$export", 5),
                  "HTTP/1.1 429 Busy\r\nContent-Length: 0\r\n\r\n");
    fixture_reply_patients(&fx, "/data/", 0, 3);
    scripted_export(fx.server, fixture_files, 1);
    fixture_session(&fx);
    began = fx.now;
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(scripted_count(fx.server, "$export"), 6);
    ck_assert_int_ge(fx.now - began, (1000 + 2000 + 4000 + 8000 + 16000) / 2);
    fixture_close(&fx);
}
END_TEST

/* A status URL of another origin is refused, and not requested: the token would be sent there. */
START_TEST(status_url_elsewhere)
{
    struct scripted_server *other = scripted_start(0);
    struct run *r;
    char header[128];

    ck_assert_ptr_nonnull(other);
    fixture_open_scripted(&fx, 0);
    snprintf(header, sizeof header, "Content-Location: %s/api/v1/jobs/1\r\n",
             scripted_origin(other));
    scripted_reply(fx.server, "$export", "202 Accepted", header, "", 0);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, BCDA_ERR_ORIGIN);
    ck_assert_uint_eq(scripted_count(other, NULL), 0);
    fixture_close(&fx);
    scripted_stop(other);
}
END_TEST

SUITE("status")
{
    suite_case("manifest");
    suite_loop(empty_manifest, 0, 6);
    suite_test(empty_manifest_of_an_old_job);
    suite_loop(cut_manifest, 0, 2);
    suite_loop(manifest_limit, 0, 3);
    suite_loop(answer_limit, 0, 3);
    suite_case("kick-off");
    suite_test(refusals);
    suite_test(status_url_elsewhere);
}
