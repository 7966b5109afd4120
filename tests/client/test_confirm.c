/* Lines that the application confirms: a restored job delivers only what follows them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "tempdir.h"

static struct fixture fx;

enum { LINES = 400, BAD_LINE = 50 };

/* Makes `count` lines. Line BAD_LINE is invalid if `bad` is 1, and the id of line `other` differs.
 */
static void make_lines(struct buf *out, int count, int bad, int other)
{
    int i;

    for (i = 1; i <= count; i++) {
        if (bad && i == BAD_LINE)
            buf_printf(out, "{\"no\":1}\n");
        else
            buf_printf(out, "{\"resourceType\":\"Patient\",\"id\":\"%c%d\",\"x\":\"%040d\"}\n",
                       i == other ? 'q' : 'p', i, i);
    }
}

/* Serves the file in an export. */
static void open_with(enum scripted_form form, int bad)
{
    struct scripted_entry entry = {"Patient", "/data/a.ndjson", NULL, 0};
    struct buf plain = {0};
    char *key;

    fixture_open_scripted(&fx, 0);
    make_lines(&plain, LINES, bad, 0);
    key = scripted_reply_file(fx.server, "/data/a.ndjson", form, &plain);
    entry.key_hex = key;
    scripted_export(fx.server, &entry, 1);
    buf_free(&plain);
    free(key);
}

/* Makes a session that confirms lines. */
static void open_session(int confirm, int threads, int64_t batch_size)
{
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, batch_size);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, 10);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, confirm);
    if (confirm == BCDA_CONFIRM_VERIFIED)
        fixture_set_verified(&fx, tempdir());
    fixture_session(&fx);
}

/* ---- one line is confirmed, and the job is cancelled ---- */

struct confirming {
    int64_t line;
    int64_t confirmed; /* the line that was confirmed; for batches the last one of its batch */
    char *saved;
};

static void confirm_and_cancel(struct run *r, struct confirming *c, int64_t line)
{
    const bcda_file *f = bcda_job_file(r->job, 0);

    ck_assert_ok(bcda_job_confirm(r->job, f, line));
    ck_assert_int_eq(bcda_file_confirmed_line(f), line);
    ck_assert_ok(bcda_job_save(r->job, &c->saved));
    c->confirmed = line;
    ck_assert_ok(bcda_job_cancel(r->job));
}

static int confirm_once(struct run *r, enum where where, void *object)
{
    struct confirming *c = r->arg;
    bcda_batch *b = object;

    if (c->saved)
        return BCDA_CONTINUE;
    if (where == AT_RESOURCE && bcda_resource_line_number(object) == c->line)
        confirm_and_cancel(r, c, c->line);
    if (where == AT_BATCH) {
        const uint64_t *lines = bcda_batch_line_numbers(b);

        if ((int64_t)lines[bcda_batch_count(b) - 1] >= c->line)
            confirm_and_cancel(r, c, (int64_t)lines[bcda_batch_count(b) - 1]);
    }
    return BCDA_CONTINUE;
}

/* What is delivered now is what follows the line. */
static void check_rest(const struct run *r, int64_t line, int bad)
{
    size_t i, k = 0;

    for (i = (size_t)line + 1; i <= LINES; i++) {
        if (bad && i == BAD_LINE)
            continue;
        ck_assert_uint_lt(k, r->count);
        ck_assert_int_eq(r->got[k++].number, (int64_t)i);
    }
    ck_assert_uint_eq(k, r->count);
    ck_assert_uint_eq(r->bad_count, (size_t)(bad && line < BAD_LINE));
    /* The invalid line counts, whether it was confirmed or not. */
    ck_assert_int_eq(bcda_file_bad_lines(bcda_job_file(r->job, 0)), bad);
}

static const int64_t confirmed_lines[] = {1, 51, 200, 400};
enum { CONFIRMED_LINES = sizeof confirmed_lines / sizeof confirmed_lines[0], WAYS = 36 };

/* In each form, each way of delivery, verified or not, with threads or not. The restored job also
 * has another size of batches. */
START_TEST(each_way)
{
    int confirm = _i % 2 ? BCDA_CONFIRM_VERIFIED : BCDA_CONFIRM_STAGED, threads = _i / 2 % 2 * 2;
    enum scripted_form form = (enum scripted_form)(_i / 4 % 3);
    enum delivery_way way = (enum delivery_way)(_i / 12);
    size_t k;

    for (k = 0; k < CONFIRMED_LINES; k++) {
        struct confirming c = {confirmed_lines[k], 0, NULL};
        struct run *r;

        open_with(form, 1);
        open_session(confirm, threads, 4096);
        r = fixture_run_hook(&fx, way == BY_PULL ? BY_RESOURCE : way, confirm_once, &c);
        fixture_check_result(r, BCDA_ERR_CANCELLED);
        ck_assert_ptr_nonnull(c.saved);
        fixture_end(&fx);
        open_session(confirm, threads, k % 2 ? 65536 : 4096);
        r = fixture_restore(&fx, way, c.saved);
        fixture_finish(&fx);
        fixture_check_result(r, 0);
        check_rest(r, c.confirmed, 1);
        ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)),
                         BCDA_VERDICT_COMPLETE_BAD_LINES);
        bcda_free(c.saved);
        fixture_close(&fx);
    }
}
END_TEST

/* ---- a file that is not the same any more ---- */

/* Serves the file once as it was, and then with other lines. */
static void open_changed(int count, int other)
{
    struct scripted_answer *a;
    struct buf first = {0}, later = {0};
    char head[100];

    fixture_open_scripted(&fx, 0);
    make_lines(&first, LINES, 0, 0);
    make_lines(&later, count, 0, other);
    a = scripted_on(fx.server, "/data/a.ndjson", 1);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", first.len);
    scripted_text(a, head);
    scripted_send(a, first.p, first.len);
    scripted_reply(fx.server, "/data/a.ndjson", "200 OK", "", later.p ? later.p : "", later.len);
    scripted_export(fx.server, fixture_files, 1);
    buf_free(&first);
    buf_free(&later);
}

static const struct {
    int count, other;
} changed[] = {{LINES, 199}, {LINES, 1}, {150, 0}, {0, 0}};
enum { CHANGED = sizeof changed / sizeof changed[0] };

/* The restored file has one other byte before the confirmed line, or is cut there, or is empty. It
 * fails before anything is delivered, and is then loaded from its first line. */
START_TEST(changed_file)
{
    struct confirming c = {200, 0, NULL};
    struct run *r;
    char *saved;

    open_changed(changed[_i].count, changed[_i].other);
    open_session(BCDA_CONFIRM_STAGED, 0, 4096);
    r = fixture_run_hook(&fx, BY_RESOURCE, confirm_once, &c);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    r = fixture_restore(&fx, BY_RESOURCE, c.saved);
    fixture_finish(&fx);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(fixture_check_failed(r, BCDA_ERR_CHANGED)),
                                 "a.ndjson: the file differs from the one that was loaded up to "
                                 "line 200: remove what was loaded"));
    ck_assert_uint_eq(r->count, 0);
    ck_assert_int_eq(bcda_file_confirmed_line(bcda_job_file(r->job, 0)), 0);
    ck_assert_ok(bcda_job_save(r->job, &saved));
    r = fixture_restore(&fx, BY_RESOURCE, saved);
    fixture_finish(&fx);
    fixture_check_came(r, (size_t)changed[_i].count);
    bcda_free(saved);
    bcda_free(c.saved);
    fixture_close(&fx);
}
END_TEST

/* A line that changed behind the batch of the confirmed line is not compared: it is delivered. */
START_TEST(changed_behind)
{
    struct confirming c = {200, 0, NULL};
    struct run *r;

    open_changed(LINES, LINES);
    open_session(BCDA_CONFIRM_STAGED, 0, 4096);
    r = fixture_run_hook(&fx, BY_RESOURCE, confirm_once, &c);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    r = fixture_restore(&fx, BY_RESOURCE, c.saved);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    check_rest(r, 200, 0);
    bcda_free(c.saved);
    fixture_close(&fx);
}
END_TEST

/* ---- what is refused ---- */

static int confirm_early(struct run *r, enum where where, void *object)
{
    const bcda_file *f = bcda_job_file(r->job, 0);
    int code = *(const int *)r->arg;

    if (where == AT_RESOURCE && bcda_resource_line_number(object) == 3) {
        ck_assert_int_eq(bcda_job_confirm(r->job, f, 2), code);
        if (code)
            ck_assert_ptr_nonnull(
                strstr(bcda_error_text(bcda_session_error(r->fixture->session)), "confirm_lines"));
    }
    if (where == AT_END) /* the file is complete: nothing is left to confirm */
        ck_assert_int_eq(bcda_job_confirm(r->job, f, 2), 0);
    return BCDA_CONTINUE;
}

/* Provisional lines are confirmed only if the application stages them. */
START_TEST(option_decides)
{
    static const struct {
        int confirm, verified, code;
    } rows[] = {
        {BCDA_CONFIRM_NONE, 0, BCDA_ERR_STATE},
        {BCDA_CONFIRM_NONE, 1, BCDA_ERR_STATE},
        {BCDA_CONFIRM_VERIFIED, 0, BCDA_ERR_STATE},
        {BCDA_CONFIRM_VERIFIED, 1, 0},
        {BCDA_CONFIRM_STAGED, 0, 0},
        {BCDA_CONFIRM_STAGED, 1, 0},
    };
    int code = rows[_i].code;
    struct run *r;

    open_with(SCRIPTED_PLAIN, 0);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, rows[_i].confirm);
    if (rows[_i].verified)
        fixture_set_verified(&fx, tempdir());
    r = fixture_run_hook(&fx, BY_RESOURCE, confirm_early, &code);
    fixture_check_result(r, 0);
    fixture_check_came(r, LINES);
    fixture_close(&fx);
}
END_TEST

static int confirm_wrong(struct run *r, enum where where, void *object)
{
    const bcda_file *f = bcda_job_file(r->job, 0);
    bcda_job *other = r->arg;

    if (where == AT_END)
        ck_assert_int_eq(bcda_job_confirm(r->job, f, 300), BCDA_ERR_STATE);
    if (where != AT_RESOURCE || bcda_resource_line_number(object) != 10)
        return BCDA_CONTINUE;
    ck_assert_int_eq(bcda_job_confirm(NULL, f, 1), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_confirm(r->job, NULL, 1), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_confirm(other, f, 1), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_confirm(r->job, f, 0), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_confirm(r->job, f, LINES), BCDA_ERR_INVALID);
    ck_assert_ok(bcda_job_confirm(r->job, f, 9));
    ck_assert_ok(bcda_job_confirm(r->job, f, 9));
    ck_assert_int_eq(bcda_job_confirm(r->job, f, 8), BCDA_ERR_INVALID);
    return BCDA_CONTINUE;
}

/* Lines that were not delivered or are out of order, and lines of a file that has failed because of
 * its content: nothing of it is confirmed any more. */
START_TEST(wrong_lines)
{
    struct run *r, *other;

    open_with(SCRIPTED_PLAIN, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, BCDA_CONFIRM_STAGED);
    other = fixture_run(&fx, BY_PULL);
    (void)fixture_check_failed(other, BCDA_ERR_LINE_TYPE);
    r = fixture_start_hook(&fx, BY_RESOURCE, confirm_wrong, other->job);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_LINE_TYPE);
    ck_assert_int_eq(bcda_file_confirmed_line(bcda_job_file(r->job, 0)), 0);
    fixture_close(&fx);
}
END_TEST

static int stop_at_end(struct run *r, enum where where, void *object)
{
    (void)r;
    (void)object;
    return where == AT_END ? BCDA_STOP : BCDA_CONTINUE;
}

/* The application could not store the file at its END, and stops the job. It can still confirm the
 * lines that it has stored, or all of them. */
START_TEST(confirmed_after_stop)
{
    struct run *r;
    char *saved;

    open_with(SCRIPTED_PLAIN, 0);
    open_session(BCDA_CONFIRM_STAGED, 0, 4096);
    r = fixture_run_hook(&fx, BY_RESOURCE, stop_at_end, NULL);
    fixture_check_result(r, BCDA_ERR_STOPPED);
    ck_assert_ok(bcda_job_confirm(r->job, bcda_job_file(r->job, 0), _i ? LINES : 200));
    ck_assert_ok(bcda_job_save(r->job, &saved));
    ck_assert_int_eq(strstr(saved, "\"verdict\":\"complete\"") != NULL, _i);
    r = fixture_restore(&fx, BY_RESOURCE, saved);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    check_rest(r, _i ? LINES : 200, 0);
    bcda_free(saved);
    fixture_close(&fx);
}
END_TEST

/* ---- batches that are pulled ---- */

static void confirm_batch(bcda_job *job, const bcda_batch *b)
{
    ck_assert_ok(bcda_job_confirm(job, bcda_batch_file(b),
                                  (int64_t)bcda_batch_line_numbers(b)[bcda_batch_count(b) - 1]));
}

/* Takes all batches. Confirms every batch but the last one, if `last` is 0. */
static void pull_all(bcda_job *job, int last)
{
    bcda_batch *b, *held = NULL;
    int rc;

    while ((rc = bcda_job_next(job, &b)) != BCDA_ERR_END) {
        if (rc == BCDA_ERR_AGAIN) {
            (void)fixture_step(&fx);
            continue;
        }
        ck_assert_ok(rc);
        if (held)
            confirm_batch(job, held);
        bcda_batch_unref(held);
        held = b;
    }
    if (last)
        confirm_batch(job, held);
    bcda_batch_unref(held);
}

/* A file whose batches are pulled is complete when its last line is confirmed, not before. */
START_TEST(pulled_batches)
{
    bcda_job *job;
    struct run *r;
    char *saved;

    open_with(SCRIPTED_PLAIN, 0);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    open_session(BCDA_CONFIRM_STAGED, 0, 4096);
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    pull_all(job, _i);
    ck_assert_ok(bcda_job_result(job));
    ck_assert_ok(bcda_job_save(job, &saved));
    bcda_job_unref(job);
    ck_assert_int_eq(strstr(saved, "\"verdict\":\"complete\"") != NULL, _i);
    r = fixture_restore(&fx, BY_RESOURCE, saved);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    if (_i)
        fixture_check_came(r, 0);
    else
        check_rest(r, LINES - (int64_t)r->count, 0);
    ck_assert_int_eq(r->count > 0 && r->count < 100, !_i);
    bcda_free(saved);
    fixture_close(&fx);
}
END_TEST

/* The file ends with blank lines, which the application does not see. */
START_TEST(pulled_with_blank_end)
{
    static const char lines[] = "{\"resourceType\":\"Patient\",\"id\":\"p1\"}\n\n \r\n";
    bcda_job *job;
    char *saved;

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/data/a.ndjson", "200 OK", "", lines, sizeof lines - 1);
    scripted_export(fx.server, fixture_files, 1);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    open_session(BCDA_CONFIRM_STAGED, _i * 2, 4096);
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    pull_all(job, 1);
    ck_assert_ok(bcda_job_result(job));
    ck_assert_ok(bcda_job_save(job, &saved));
    bcda_job_unref(job);
    ck_assert_ptr_nonnull(strstr(saved, "\"verdict\":\"complete\""));
    bcda_free(saved);
    fixture_close(&fx);
}
END_TEST

/* An error file whose lines are pulled is complete when its last line is confirmed, too. */
START_TEST(pulled_error_file)
{
    static const struct scripted_entry entry = {"OperationOutcome", "/data/e.ndjson", NULL,
                                                SCRIPTED_ERROR};
    static const char outcome[] = "{\"resourceType\":\"OperationOutcome\",\"issue\":[]}\n";
    bcda_job *job;
    char *saved;

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/data/e", "200 OK", "", outcome, sizeof outcome - 1);
    scripted_export(fx.server, &entry, 1);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    open_session(BCDA_CONFIRM_STAGED, 0, 4096);
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    pull_all(job, _i);
    ck_assert_ok(bcda_job_result(job));
    ck_assert_ok(bcda_job_save(job, &saved));
    ck_assert_int_eq(strstr(saved, "\"verdict\":\"complete\"") != NULL, _i);
    bcda_free(saved);
    bcda_job_unref(job);
    fixture_close(&fx);
}
END_TEST

SUITE("confirm")
{
    suite_case("ways");
    suite_timeout(60);
    suite_loop(each_way, 0, WAYS);
    suite_case("changed");
    suite_loop(changed_file, 0, CHANGED);
    suite_test(changed_behind);
    suite_case("refused");
    suite_loop(option_decides, 0, 6);
    suite_test(wrong_lines);
    suite_loop(confirmed_after_stop, 0, 2);
    suite_case("pulled");
    suite_loop(pulled_batches, 0, 2);
    suite_loop(pulled_error_file, 0, 2);
    suite_loop(pulled_with_blank_end, 0, 2);
}
