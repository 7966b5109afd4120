/* What a request for the rest of a file says: by which validator, and whether it is asked for at
 * all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static const struct scripted_entry one_file[] = {{"Patient", "/data/a.ndjson", NULL, 0}};

#define DATE "Wed, 01 Jul 2026 00:00:00 GMT"

enum { LINES = 400 };

/* The first `part` bytes of a whole answer. */
static void reply_cut(struct scene *c, const struct buf *body, const char *headers, size_t part)
{
    struct scripted_answer *a = scripted_on(c->s, "/data/", 1);
    struct buf head = {0};

    buf_printf(&head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nAccept-Ranges: bytes\r\n%s\r\n",
               body->len, headers);
    scripted_send(a, head.p, head.len);
    scripted_send(a, body->p, part);
    scripted_finish(a, SCRIPTED_CUT);
    buf_free(&head);
}

static void open_cut(struct scene *c, struct buf *body, const char *headers)
{
    scene_open(c, 1);
    scene_add_patients(body, 0, LINES);
    reply_cut(c, body, headers, body->len / 2);
}

static void finish(struct scene *c, struct buf *body, const char *headers)
{
    struct run *r;

    scripted_reply(c->s, "/data/", "200 OK", headers, body->p, body->len);
    scripted_export(c->s, one_file, 1);
    scene_config(c);
    scene_set(c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_session(c);
    r = harness_start(&c->h, DOOR_RESOURCE);
    scene_finish(c);
    ck_assert_msg(r->result == 0, "%s", bcda_error_text(bcda_job_error(r->job)));
    ck_assert_uint_eq(r->count, LINES);
    buf_free(body);
}

struct validators {
    const char *headers, *if_range; /* NULL = none is sent */
};

/* A weak ETag says nothing about bytes: it is not sent. */
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
    struct scene c;

    open_cut(&c, &body, v->headers);
    finish(&c, &body, v->headers);
    ck_assert_uint_eq(scripted_count(c.s, "\r\nRange: bytes="), 1);
    ck_assert_uint_eq(scripted_count(c.s, "If-Range:"), v->if_range != NULL);
    if (v->if_range)
        ck_assert_uint_eq(scripted_count(c.s, v->if_range), 1);
    scene_close(&c);
}
END_TEST

/* A server that answers a range with the whole file is not asked for a range again. */
START_TEST(ignored_range)
{
    struct buf body = {0};
    struct scene c;

    open_cut(&c, &body, "Last-Modified: " DATE "\r\n");
    reply_cut(&c, &body, "Last-Modified: " DATE "\r\n", body.len * 3 / 4);
    finish(&c, &body, "Last-Modified: " DATE "\r\n");
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/"), 3);
    ck_assert_uint_eq(scripted_count(c.s, "\r\nRange: bytes="), 1);
    scene_close(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ranges");
    TCase *t = tcase_create("ranges");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, validator, 0, 5);
    tcase_add_test(t, ignored_range);
    suite_add_tcase(s, t);
    return harness_main(s);
}
