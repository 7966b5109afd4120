/* What a job reports while it runs: how often on_progress is called, and counters that never
 * decrease unless a file is restarted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tempdir.h"
#include "fixture.h"

static struct fixture fx;

/* ---- how often ---- */

enum { PIECES = 12, PIECE_LINES = 50, EVERY_MS = 100 };

/* Serves the file in PIECES pieces of the same length. Piece n, counted from 1, is sent once gate n
 * is open. Returns the length of a piece. */
static size_t reply_pieces(void)
{
    struct scripted_answer *a = scripted_on(fx.server, "/data/", 0);
    struct buf body = {0};
    char head[64];
    size_t len, i;

    /* From number 1000 on, all lines have the same length. */
    fixture_add_patients(&body, 1000, PIECES * PIECE_LINES);
    len = body.len / PIECES;
    ck_assert_uint_eq(len * PIECES, body.len);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body.len);
    scripted_text(a, head);
    for (i = 0; i < PIECES; i++) {
        scripted_gate(a, (unsigned)i + 1);
        scripted_send(a, body.p + i * len, len);
    }
    buf_free(&body);
    return len;
}

static void take_piece(const struct run *r, unsigned number, size_t len)
{
    int64_t wanted = (int64_t)((size_t)number * len);

    scripted_open_gate(fx.server, number);
    fixture_until(&fx, bcda_job_bytes_received(r->job) == wanted);
    fixture_drain(&fx);
}

/* on_progress is called at most ten times a second, and not at all while no counter moves. */
START_TEST(ten_times_a_second)
{
    struct run *r;
    unsigned i;
    size_t len;

    fixture_open_scripted(&fx, 0);
    len = reply_pieces();
    scripted_export(fx.server, fixture_files, 1);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "/data/") == 1);
    fixture_drain(&fx);
    ck_assert_int_eq(r->progress, 0);

    for (i = 1; i <= 5; i++) /* five pieces within one tenth of a second */
        take_piece(r, i, len);
    fixture_advance(&fx, EVERY_MS / 2);
    ck_assert_int_eq(r->progress, 0);
    fixture_advance(&fx, EVERY_MS / 2);
    ck_assert_int_eq(r->progress, 1);
    fixture_advance(&fx, 5 * EVERY_MS);
    ck_assert_int_eq(r->progress, 1);

    for (; i < PIECES; i++) { /* one piece in each tenth of a second */
        take_piece(r, i, len);
        fixture_advance(&fx, EVERY_MS);
        ck_assert_int_eq(r->progress, (int)i - 4);
    }
    scripted_open_gate(fx.server, PIECES);
    fixture_finish(&fx);
    fixture_check_came(r, PIECES * PIECE_LINES);
    i = (unsigned)r->progress;
    fixture_advance(&fx, 10 * EVERY_MS); /* on_progress is not called after on_done */
    ck_assert_int_eq(r->progress, (int)i);
    fixture_close(&fx);
}
END_TEST

/* Data that keeps arriving does not postpone the call of on_progress. */
START_TEST(steady_flow)
{
    struct run *r;
    unsigned i;
    size_t len;

    fixture_open_scripted(&fx, 0);
    len = reply_pieces();
    scripted_export(fx.server, fixture_files, 1);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    for (i = 1; i < PIECES; i++) {
        take_piece(r, i, len);
        ck_assert_int_eq(r->progress, (int)(i - 1) / 2);
        fixture_advance(&fx, EVERY_MS / 2);
    }
    scripted_open_gate(fx.server, PIECES);
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, 0);
    fixture_close(&fx);
}
END_TEST

/* ---- counters never decrease ---- */

enum { LINES = 20000 };

struct counters {
    int64_t job[4], file[3];
    int calls, delivered;
};

static void check_not_less(int64_t *before, int64_t now, const char *what)
{
    ck_assert_msg(now >= *before, "%s went back from %lld to %lld", what, (long long)*before,
                  (long long)now);
    *before = now;
}

static int watch_counters(struct run *r, enum where where, void *object)
{
    struct counters *k = r->arg;
    const bcda_file *f = bcda_job_file(r->job, 0);

    (void)object;
    k->calls++;
    k->delivered += where == AT_RESOURCE || where == AT_BATCH;
    check_not_less(&k->job[0], bcda_job_bytes_received(r->job), "bytes received");
    check_not_less(&k->job[1], bcda_job_bytes(r->job), "bytes");
    check_not_less(&k->job[2], bcda_job_resources(r->job), "resources");
    check_not_less(&k->job[3], (int64_t)bcda_job_files_ended(r->job), "files ended");
    if (!f)
        return BCDA_CONTINUE;
    check_not_less(&k->file[0], bcda_file_bytes_received(f), "bytes received of the file");
    check_not_less(&k->file[1], bcda_file_bytes(f), "bytes of the file");
    check_not_less(&k->file[2], bcda_file_resources(f), "resources of the file");
    return BCDA_CONTINUE;
}

/* _i % 2: verified delivery. _i / 2: decode threads. Verified delivery decodes a file twice, but
 * counts it once. */
START_TEST(never_back)
{
    int verified = _i % 2, threads = _i / 2 * 2;
    struct counters k = {{0}, {0}, 0, 0};
    struct buf body = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_add_patients(&body, 0, LINES);
    scripted_reply(fx.server, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    r = fixture_run_hook(&fx, BY_BATCH, watch_counters, &k);
    fixture_check_came(r, LINES);
    ck_assert_int_gt(k.delivered, LINES / 100);
    ck_assert_int_eq(bcda_job_bytes(r->job), (int64_t)body.len);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_BYTES_DECODED), (int64_t)body.len);
    buf_free(&body);
    fixture_close(&fx);
}
END_TEST

SUITE("progress")
{
    unsetenv("BCDA_TEST_DECODE_THREADS"); /* each test sets its own number of threads */
    suite_case("rate");
    suite_test(ten_times_a_second);
    suite_test(steady_flow);
    suite_case("counters");
    suite_loop(never_back, 0, 4);
}
