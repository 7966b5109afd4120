/* Many of something: invalid lines, values of a field, files that fail at once. What one step or
 * one batch has of them is bounded. */
#include <string.h>

#include "scene.h"

static int count_values(struct run *r, enum where where, void *object)
{
    if (where == AT_RESOURCE)
        *(size_t *)r->arg = bcda_resource_field_count(object, 0);
    return BCDA_CONTINUE;
}

static void add_values(struct buf *b, size_t count)
{
    size_t i;

    buf_str(b, "{\"resourceType\":\"Patient\",\"id\":\"p0\",\"v\":[");
    for (i = 0; i < count; i++)
        buf_str(b, i ? ",1" : "1");
    buf_str(b, "]}\n");
}

START_TEST(many_values)
{
    struct buf body = {0};
    struct scene c;
    struct run *r;
    size_t seen = 0;
    int index;

    scene_open(&c, 0);
    add_values(&body, 65536);
    add_values(&body, 65537);
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(c.s, scene_files, 1);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BAD_LINES_MAX, 1);
    scene_session(&c);
    ck_assert_int_eq(bcda_export_add_field(c.h.x, "v", &index), 0);
    r = harness_start_hook(&c.h, DOOR_RESOURCE, count_values, &seen);
    scene_finish(&c);
    scene_check_result(r, 0);
    ck_assert_uint_eq(r->count, 1);
    ck_assert_uint_eq(seen, 65536);
    ck_assert_uint_eq(r->bad_count, 1);
    ck_assert_int_eq(r->bad[0].code, BCDA_ERR_LINE_TOO_LONG);
    ck_assert_int_eq(r->bad[0].number, 2);
    buf_free(&body);
    scene_close(&c);
}
END_TEST

enum { TINY = 200000, TINY_MOST = 32768 };

static int64_t tiny_seen;

static void check_tiny(const bcda_bad_line *line)
{
    ck_assert_int_eq(bcda_bad_line_code(line), BCDA_ERR_LINE_JSON);
    ck_assert_int_eq(bcda_bad_line_number(line), ++tiny_seen);
    ck_assert_int_eq(bcda_bad_line_offset(line), (tiny_seen - 1) * 2);
}

static int on_tiny(bcda_job *job, const bcda_bad_line *line, void *userdata)
{
    (void)job;
    (void)userdata;
    check_tiny(line);
    return BCDA_CONTINUE;
}

static int on_no_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    (void)job;
    (void)batch;
    (void)userdata;
    ck_abort_msg("there is no resource");
    return BCDA_STOP;
}

static void pull_tiny(bcda_job *job)
{
    bcda_batch *b;
    size_t i, n;

    while (bcda_job_next(job, &b) == 0) {
        n = bcda_batch_bad_line_count(b);
        ck_assert_msg(n > 0 && n <= TINY_MOST, "%zu bad lines in one batch", n);
        for (i = 0; i < n; i++)
            check_tiny(bcda_batch_bad_line(b, i));
        bcda_batch_unref(b);
    }
}

/* _i: pulled, or by callbacks. */
START_TEST(many_bad_lines)
{
    bcda_handlers *handlers;
    struct buf body = {0};
    struct scene c;
    bcda_job *job;
    size_t i;

    scene_open(&c, 0);
    for (i = 0; i < TINY; i++)
        buf_str(&body, "x\n");
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(c.s, scene_files, 1);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BAD_LINES_MAX, -1);
    scene_session(&c);
    tiny_seen = 0;
    ck_assert_int_eq(bcda_handlers_new(&handlers), 0);
    if (_i) {
        ck_assert_int_eq(bcda_handlers_on_batch(handlers, on_no_batch, NULL, NULL), 0);
        ck_assert_int_eq(bcda_handlers_on_bad_line(handlers, on_tiny, NULL, NULL), 0);
    }
    ck_assert_int_eq(bcda_job_start(c.h.session, c.h.x, handlers, &job), 0);
    bcda_handlers_free(handlers);
    while (bcda_job_result(job) == BCDA_ERR_AGAIN) {
        ck_assert(scene_turn(&c));
        if (!_i)
            pull_tiny(job);
    }
    ck_assert_int_eq(bcda_job_result(job), 0);
    ck_assert_int_eq(tiny_seen, TINY);
    ck_assert_int_eq(bcda_job_bad_lines(job), TINY);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(job, 0)), BCDA_VERDICT_COMPLETE_BAD_LINES);
    bcda_job_unref(job);
    buf_free(&body);
    scene_close(&c);
}
END_TEST

START_TEST(many_fail_at_once)
{
    enum { MANY = 1000, MOST = 200 };
    char key[513];
    struct scene c;
    bcda_job *job;
    size_t before = 0, now;

    scene_open(&c, 0);
    memset(key, 'a', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    scene_export_many(&c, MANY, key);
    scene_session(&c);
    ck_assert_int_eq(bcda_job_start(c.h.session, c.h.x, NULL, &job), 0);
    while (bcda_job_result(job) == BCDA_ERR_AGAIN) {
        ck_assert(scene_turn(&c));
        now = bcda_job_files_ended(job);
        ck_assert_msg(now - before <= MOST, "%zu files failed in one step", now - before);
        before = now;
    }
    ck_assert_int_eq(bcda_job_result(job), BCDA_ERR_KEY_MISSING);
    ck_assert_uint_eq(bcda_job_files_ended(job), MANY);
    bcda_job_unref(job);
    scene_close(&c);
}
END_TEST

SUITE("limits")
{
    suite_case("limits");
    suite_test(many_values);
    suite_loop(many_bad_lines, 0, 2);
    suite_test(many_fail_at_once);
}
