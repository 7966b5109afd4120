/* What a job reports while it runs: how often on_progress is called, and counters that never go
 * back while a file is not restarted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tempdir.h"
#include "scene.h"

/* ---- how often ---- */

enum { PIECES = 12, PIECE_LINES = 50, EVERY_MS = 100 };

/* The file, of which each piece waits for the gate of its number. */
static size_t reply_pieces(struct scene *c)
{
    struct scripted_answer *a = scripted_on(c->s, "/data/", 0);
    struct buf body = {0};
    char head[64];
    size_t len, i;

    scene_add_patients(&body, 1000, PIECES * PIECE_LINES); /* lines of one length */
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

static void take_piece(struct scene *c, const struct run *r, unsigned number, size_t len)
{
    int64_t wanted = (int64_t)((size_t)number * len);

    scripted_open_gate(c->s, number);
    scene_until(c, bcda_job_bytes_received(r->job) == wanted);
    harness_drain(&c->h);
}

/* Ten times a second at most, and not at all where nothing has moved. */
START_TEST(ten_times_a_second)
{
    struct scene c;
    struct run *r;
    unsigned i;
    size_t len;

    scene_open(&c, 0);
    len = reply_pieces(&c);
    scripted_export(c.s, scene_files, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_until(&c, scripted_count(c.s, "/data/") == 1);
    harness_drain(&c.h);
    ck_assert_int_eq(r->progress, 0);

    for (i = 1; i <= 5; i++) /* all of them within one tenth of a second */
        take_piece(&c, r, i, len);
    harness_advance(&c.h, EVERY_MS / 2);
    ck_assert_int_eq(r->progress, 0);
    harness_advance(&c.h, EVERY_MS / 2);
    ck_assert_int_eq(r->progress, 1);
    harness_advance(&c.h, 5 * EVERY_MS);
    ck_assert_int_eq(r->progress, 1);

    for (; i < PIECES; i++) { /* one in each tenth of a second */
        take_piece(&c, r, i, len);
        harness_advance(&c.h, EVERY_MS);
        ck_assert_int_eq(r->progress, (int)i - 4);
    }
    scripted_open_gate(c.s, PIECES);
    scene_finish(&c);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(r->count, PIECES * PIECE_LINES);
    i = (unsigned)r->progress;
    harness_advance(&c.h, 10 * EVERY_MS); /* on_done was the last */
    ck_assert_int_eq(r->progress, (int)i);
    scene_close(&c);
}
END_TEST

/* What comes all the time does not put the report off. */
START_TEST(steady_flow)
{
    struct scene c;
    struct run *r;
    unsigned i;
    size_t len;

    scene_open(&c, 0);
    len = reply_pieces(&c);
    scripted_export(c.s, scene_files, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    for (i = 1; i < PIECES; i++) {
        take_piece(&c, r, i, len);
        ck_assert_int_eq(r->progress, (int)(i - 1) / 2);
        harness_advance(&c.h, EVERY_MS / 2);
    }
    scripted_open_gate(c.s, PIECES);
    scene_finish(&c);
    ck_assert_int_eq(r->result, 0);
    scene_close(&c);
}
END_TEST

/* ---- never back ---- */

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

/* _i: streaming and verified, without and with decode threads. Verified delivery decodes a file
 * twice, and counts it once. */
START_TEST(never_back)
{
    int verified = _i % 2, threads = _i / 2 * 2;
    struct counters k = {{0}, {0}, 0, 0};
    struct buf body = {0};
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    scene_add_patients(&body, 0, LINES);
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(c.s, scene_files, 1);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_set(&c, BCDA_OPT_DECODE_THREADS, threads);
    if (verified) {
        scene_set(&c, BCDA_OPT_DELIVERY, BCDA_DELIVERY_VERIFIED);
        ck_assert_int_eq(bcda_config_set_spool_directory(c.h.config, tempdir()), 0);
    }
    scene_session(&c);
    r = harness_start_hook(&c.h, DOOR_BATCH, watch_counters, &k);
    scene_finish(&c);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(r->count, LINES);
    ck_assert_int_gt(k.delivered, LINES / 100);
    ck_assert_int_eq(bcda_job_bytes(r->job), (int64_t)body.len);
    ck_assert_int_eq(harness_stat(&c.h, BCDA_STAT_BYTES_DECODED), (int64_t)body.len);
    buf_free(&body);
    scene_close(&c);
}
END_TEST

SUITE("progress")
{
    unsetenv("BCDA_TEST_DECODE_THREADS"); /* each test sets its own */
    suite_case("rate");
    suite_test(ten_times_a_second);
    suite_test(steady_flow);
    suite_case("counters");
    suite_loop(never_back, 0, 4);
}
