/* Fields behind a chunked body (trailers) are no headers: they change nothing. */
#include <stdio.h>
#include <string.h>

#include "scene.h"

static const struct scripted_entry one_file[] = {{"Patient", "/data/a.ndjson", NULL, 0}};

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
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    scene_add_patients(&body, 0, 50);
    a = scripted_on(c.s, "/data/", 0);
    scripted_text(a, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    buf_printf(&size, "%zx\r\n", body.len);
    scripted_send(a, size.p, size.len);
    scripted_send(a, body.p, body.len);
    scripted_text(a, "\r\n0\r\n");
    scripted_text(a, trailers[_i]);
    scripted_text(a, "\r\n");
    scripted_export(c.s, one_file, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    ck_assert_msg(r->result == 0, "%s", bcda_error_text(bcda_job_error(r->job)));
    ck_assert_uint_eq(r->count, 50);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 1);
    buf_free(&body);
    buf_free(&size);
    scene_close(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("framing");
    TCase *t = tcase_create("framing");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, trailer, 0, 5);
    suite_add_tcase(s, t);
    return harness_main(s);
}
