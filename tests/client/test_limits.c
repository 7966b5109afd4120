/* Exports with very many invalid lines, values of a field, files that fail at once, or bytes that a
 * small gzip body expands to. One step or one batch must handle only a limited number of them. */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

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
    struct run *r;
    size_t seen = 0;
    int index;

    fixture_open_scripted(&fx, 0);
    add_values(&body, 65536);
    add_values(&body, 65537);
    scripted_reply(fx.server, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, 1);
    fixture_session(&fx);
    ck_assert_ok(bcda_export_add_field(fx.x, "v", &index));
    r = fixture_run_hook(&fx, BY_RESOURCE, count_values, &seen);
    fixture_check_came(r, 1);
    ck_assert_uint_eq(seen, 65536);
    ck_assert_uint_eq(r->bad_count, 1);
    ck_assert_int_eq(r->bad[0].code, BCDA_ERR_LINE_TOO_LONG);
    ck_assert_int_eq(r->bad[0].number, 2);
    buf_free(&body);
    fixture_close(&fx);
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

/* _i: invalid lines are taken by bcda_job_next() (0) or delivered to a callback (1). */
START_TEST(many_bad_lines)
{
    bcda_handlers *handlers;
    struct buf body = {0};
    bcda_job *job;
    size_t i;

    fixture_open_scripted(&fx, 0);
    for (i = 0; i < TINY; i++)
        buf_str(&body, "x\n");
    scripted_reply(fx.server, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_session(&fx);
    tiny_seen = 0;
    ck_assert_ok(bcda_handlers_new(&handlers));
    if (_i) {
        ck_assert_ok(bcda_handlers_on_batch(handlers, on_no_batch, NULL, NULL));
        ck_assert_ok(bcda_handlers_on_bad_line(handlers, on_tiny, NULL, NULL));
    }
    ck_assert_ok(bcda_job_start(fx.session, fx.x, handlers, &job));
    bcda_handlers_free(handlers);
    while (bcda_job_result(job) == BCDA_ERR_AGAIN) {
        ck_assert(fixture_step(&fx));
        if (!_i)
            pull_tiny(job);
    }
    ck_assert_int_eq(bcda_job_result(job), 0);
    ck_assert_int_eq(tiny_seen, TINY);
    ck_assert_int_eq(bcda_job_bad_lines(job), TINY);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(job, 0)), BCDA_VERDICT_COMPLETE_BAD_LINES);
    bcda_job_unref(job);
    buf_free(&body);
    fixture_close(&fx);
}
END_TEST

START_TEST(many_fail_at_once)
{
    enum { MANY = 1000, MOST = 200 };
    char key[513];
    bcda_job *job;
    size_t before = 0, now;

    fixture_open_scripted(&fx, 0);
    memset(key, 'a', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    fixture_export_many(&fx, MANY, key);
    fixture_session(&fx);
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    while (bcda_job_result(job) == BCDA_ERR_AGAIN) {
        ck_assert(fixture_step(&fx));
        now = bcda_job_files_ended(job);
        ck_assert_msg(now - before <= MOST, "%zu files failed in one step", now - before);
        before = now;
    }
    ck_assert_int_eq(bcda_job_result(job), BCDA_ERR_KEY_MISSING);
    ck_assert_uint_eq(bcda_job_files_ended(job), MANY);
    bcda_job_unref(job);
    fixture_close(&fx);
}
END_TEST

/* ---- a small body that expands to many bytes ---- */

/* Counts the lines received by a callback or by bcda_job_next(). All lines are equal. */
struct received {
    size_t line; /* length of each line, with LF */
    size_t lines;
};

static int count_lines(bcda_job *job, bcda_batch *batch, void *userdata)
{
    struct received *r = userdata;
    size_t n = bcda_batch_count(batch), len;

    (void)job;
    ck_assert_uint_gt(n, 0);
    (void)bcda_resource_line(bcda_batch_resource(batch, n - 1), &len);
    ck_assert_uint_eq(len + 1, r->line);
    r->lines += n;
    return BCDA_CONTINUE;
}

static void pull_lines(bcda_job *job, struct received *r)
{
    bcda_batch *b;

    while (bcda_job_next(job, &b) == 0) {
        (void)count_lines(job, b, r);
        bcda_batch_unref(b);
    }
}

/* Starts a job that delivers to `on_batch`. If that is NULL, bcda_job_next() takes the batches. */
static bcda_job *start_counting(bcda_batch_cb on_batch, struct received *r)
{
    bcda_handlers *handlers;
    bcda_job *job;

    ck_assert_int_eq(bcda_handlers_new(&handlers), 0);
    if (on_batch)
        ck_assert_int_eq(bcda_handlers_on_batch(handlers, on_batch, r, NULL), 0);
    ck_assert_int_eq(bcda_job_start(fx.session, fx.x, handlers, &job), 0);
    bcda_handlers_free(handlers);
    return job;
}

static void check_counted(bcda_job *job, const struct received *r, size_t lines)
{
    ck_assert_int_eq(bcda_job_result(job), 0);
    ck_assert_uint_eq(r->lines, lines);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(job, 0)), BCDA_VERDICT_COMPLETE);
    ck_assert_int_eq(bcda_file_bytes(bcda_job_file(job, 0)), (int64_t)(lines * r->line));
}

/* Appends `count` lines of `len` bytes, compressed with gzip. */
static void add_gzip_of_lines(struct buf *out, size_t len, size_t count)
{
    static const char begin[] = "{\"resourceType\":\"Patient\"", end[] = "}\n";
    char *text = malloc(len * count), *line = text;
    size_t i;

    ck_assert_ptr_nonnull(text);
    memset(text, ' ', len * count);
    for (i = 0; i < count; i++, line += len) {
        memcpy(line, begin, sizeof begin - 1);
        memcpy(line + len - (sizeof end - 1), end, sizeof end - 1);
    }
    scripted_gzip(out, text, len * count);
    free(text);
}

/* A step handles 1 MiB (net/step.h), and then still finishes the slice (256 KiB) and the batch (by
 * default 256 KiB) that it has begun. _i: without decode threads (0) or with two (1). */
START_TEST(few_bytes_inflate_to_many)
{
    enum { KIB = 1024, LINES = 64 * KIB, MOST = (1024 + 256 + 256) * KIB };
    struct received received = {KIB, 0};
    struct buf body = {0};
    size_t before = 0, now;
    bcda_job *job;

    fixture_open_scripted(&fx, 0);
    add_gzip_of_lines(&body, KIB, LINES);
    ck_assert_uint_lt(body.len, 512 * KIB); /* the whole body fits into one receive buffer */
    scripted_reply(fx.server, "/data/", "200 OK", "Content-Encoding: gzip\r\n", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_config(&fx);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, _i ? 2 : 0);
    fixture_session(&fx);
    job = start_counting(count_lines, &received);
    while (bcda_job_result(job) == BCDA_ERR_AGAIN) {
        ck_assert(fixture_step(&fx));
        now = received.lines * KIB;
        ck_assert_msg(now - before <= MOST, "%zu bytes delivered in one step", now - before);
        before = now;
    }
    check_counted(job, &received, LINES);
    bcda_job_unref(job);
    buf_free(&body);
    fixture_close(&fx);
}
END_TEST

enum { SMALL_LINE = 27, SMALL_LINES = 60000, BATCH = 2 * 1024 * 1024 };

/* Sends the file except the last 4 bytes of the gzip trailer. These 4 bytes follow when the test
 * opens a gate of the scripted server. */
static void reply_in_two_parts(void)
{
    struct scripted_answer *a = scripted_on(fx.server, "/data/", 1);
    struct buf body = {0}, head = {0};

    add_gzip_of_lines(&body, SMALL_LINE, SMALL_LINES);
    buf_printf(&head,
               "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n"
               "Connection: close\r\n\r\n",
               body.len);
    scripted_send(a, head.p, head.len);
    scripted_send(a, body.p, body.len - 4);
    scripted_gate(a, 0);
    scripted_send(a, body.p + body.len - 4, 4);
    buf_free(&head);
    buf_free(&body);
}

enum taking { BY_CALLBACK, PULLED, AFTER_PAUSES };

static int pause_and_count(bcda_job *job, bcda_batch *batch, void *userdata)
{
    ck_assert_int_eq(bcda_job_pause(job), 0);
    return count_lines(job, batch, userdata);
}

static void receive(bcda_job *job, enum taking way, struct received *r)
{
    size_t before = r->lines;

    ck_assert_msg(fixture_step(&fx), "stuck after %zu lines", r->lines);
    if (way == PULLED)
        pull_lines(job, r);
    else if (way == AFTER_PAUSES && r->lines > before)
        ck_assert_int_eq(bcda_job_resume(job), 0);
}

/* The bytes of all lines fit into one batch, but the batch's index of lines is too small for them.
 * When the decoder has read the last byte that the server sends, it still has lines for another
 * batch. These lines must be delivered although the server sends nothing more. _i % 3: enum taking;
 * from 3 on, with decode threads. */
START_TEST(decoder_has_the_rest)
{
    static const bcda_batch_cb on_batch[] = {count_lines, NULL, pause_and_count};
    struct received received = {SMALL_LINE, 0};
    enum taking way = (enum taking)(_i % 3);
    bcda_job *job;

    fixture_open_scripted(&fx, 0);
    reply_in_two_parts();
    scripted_export(fx.server, fixture_files, 1);
    fixture_config(&fx);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, _i >= 3 ? 2 : 0);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, BATCH);
    fixture_set(&fx, BCDA_OPT_BATCH_DELAY_MS, 0);
    fixture_session(&fx);
    job = start_counting(on_batch[way], &received);
    while (received.lines < SMALL_LINES)
        receive(job, way, &received);
    scripted_open_gate(fx.server, 0);
    while (bcda_job_result(job) == BCDA_ERR_AGAIN)
        receive(job, way, &received);
    check_counted(job, &received, SMALL_LINES);
    bcda_job_unref(job);
    fixture_close(&fx);
}
END_TEST

SUITE("limits")
{
    suite_case("limits");
    suite_test(many_values);
    suite_loop(many_bad_lines, 0, 2);
    suite_test(many_fail_at_once);
    suite_loop(few_bytes_inflate_to_many, 0, 2);
    suite_loop(decoder_has_the_rest, 0, 6);
}
