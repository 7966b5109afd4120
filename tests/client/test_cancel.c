/* Cancelling a job: at the server, which may not answer as it should (the application waits for the
 * end, so it comes soon), and from inside callbacks. */
#include <stdio.h>
#include <string.h>

#include "scene.h"

enum { ATTEMPTS = 3 };

/* A job that runs for ever, behind what was said of the DELETE. */
static void begin_running(struct scene *c)
{
    struct scripted_answer *a = scripted_on(c->s, "GET /api/v1/jobs/1", 0);

    scripted_text(a, "HTTP/1.1 202 Accepted\r\nX-Progress: 10%\r\nContent-Length: 0\r\n\r\n");
    scripted_export(c->s, NULL, 0);
    scene_config(c);
    scene_set(c, BCDA_OPT_CANCEL_AT_SERVER, 1);
    scene_session(c);
}

static struct run *cancel_running(struct scene *c)
{
    struct run *r = harness_start(&c->h, DOOR_RESOURCE);

    scene_until(c, scripted_count(c->s, "GET /api/v1/jobs/1") >= 2);
    harness_drain(&c->h);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    return r;
}

/* A server that does not take the DELETE is asked three times, within seconds. */
START_TEST(server_is_busy)
{
    struct scripted_answer *a;
    struct scene c;
    int64_t began;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 0);
    if (_i)
        scripted_finish(a, SCRIPTED_RESET);
    else
        scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    begin_running(&c);
    r = cancel_running(&c);
    began = c.h.now;
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), ATTEMPTS);
    ck_assert_int_le(c.h.now - began, 3000);
    scene_close(&c);
}
END_TEST

/* One that takes it at the second attempt is not asked again. */
START_TEST(second_attempt)
{
    struct scripted_answer *a;
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 1);
    scripted_text(a, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    scripted_reply(c.s, "DELETE", "202 Accepted", "", "", 0);
    begin_running(&c);
    r = cancel_running(&c);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), 2);
    scene_close(&c);
}
END_TEST

/* No status is asked for once the DELETE is under way. */
START_TEST(no_polling_meanwhile)
{
    struct scripted_answer *a;
    struct scene c;
    unsigned polls;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 1);
    scripted_gate(a, 1);
    scripted_text(a, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    begin_running(&c);
    r = cancel_running(&c);
    polls = scripted_count(c.s, "GET /api/v1/jobs/1");
    scene_until(&c, scripted_count(c.s, "DELETE") == 1);
    harness_advance(&c.h, 20000);
    ck_assert_int_eq(r->done, 0);
    ck_assert_uint_eq(scripted_count(c.s, "GET /api/v1/jobs/1"), polls);
    scripted_open_gate(c.s, 1);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), 1);
    scene_close(&c);
}
END_TEST

/* Cancelled once more while the DELETE is under way: it is not sent again. */
START_TEST(twice)
{
    struct scripted_answer *a;
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    a = scripted_on(c.s, "DELETE", 0);
    scripted_gate(a, 1);
    scripted_text(a, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    begin_running(&c);
    r = cancel_running(&c);
    scene_until(&c, scripted_count(c.s, "DELETE") == 1);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    harness_drain(&c.h);
    ck_assert_int_eq(r->done, 0);
    scripted_open_gate(c.s, 1);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_uint_eq(scripted_count(c.s, "DELETE"), 1);
    scene_close(&c);
}
END_TEST

/* ---- from inside ---- */

static int cancel_at(struct run *r, enum where where, void *object)
{
    int *calls = r->arg;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH && where != AT_BAD_LINE)
        return BCDA_CONTINUE;
    if (++*calls == 2)
        ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    ck_assert_int_le(*calls, 2);
    return BCDA_CONTINUE;
}

/* Cancelled in a data callback: no data comes after it, of this file or another. _i: resources;
 * invalid lines; batches. */
START_TEST(in_a_callback)
{
    static const struct scripted_entry e[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                              {"Patient", "/data/b.ndjson", NULL, 0}};
    struct buf body = {0};
    struct scene c;
    int i, calls = 0;
    struct run *r;

    scene_open(&c, 0);
    for (i = 0; i < 300; i++) {
        if (_i == 1)
            buf_str(&body, "no JSON\n");
        else
            scene_add_patients(&body, (size_t)i, 1);
    }
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(c.s, e, 2);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BAD_LINES_MAX, -1);
    scene_set(&c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_session(&c);
    r = harness_start_hook(&c.h, _i == 2 ? DOOR_BATCH : DOOR_RESOURCE, cancel_at, &calls);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_CANCELLED);
    ck_assert_int_eq(calls, 2);
    scene_close(&c);
    buf_free(&body);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cancel");
    TCase *t = tcase_create("at the server");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, server_is_busy, 0, 2);
    tcase_add_test(t, second_attempt);
    tcase_add_test(t, no_polling_meanwhile);
    tcase_add_test(t, twice);
    suite_add_tcase(s, t);
    t = tcase_create("inside");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, in_a_callback, 0, 3);
    suite_add_tcase(s, t);
    return harness_main(s);
}
