/* Each of these failed once: what a review found by reading, played by a server that does exactly
 * what is wanted. Linked with -Wl,--wrap=bcda__loop_watch. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "net/loop.h"
#include "scene.h"

/* ---- content ---- */

static void add_lines(struct buf *b, size_t first, size_t count)
{
    size_t i;

    for (i = first; i < first + count; i++)
        buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\",\"x\":\"%040zu\"}\n", i,
                   i % 1000);
}

static void reply_lines(struct scene *c, const char *path, size_t first, size_t count)
{
    struct buf b = {0};

    add_lines(&b, first, count);
    scripted_reply(c->s, path, "200 OK", "", b.p, b.len);
    buf_free(&b);
}

/* The resources of this file are those of add_lines(), each once and in order. */
static void check_lines(const struct run *r, size_t file, size_t first, size_t count)
{
    size_t i, seen = 0;
    char id[32];

    for (i = 0; i < r->count; i++) {
        if (r->got[i].file != file)
            continue;
        snprintf(id, sizeof id, "p%zu", first + seen++);
        ck_assert_str_eq(r->got[i].id, id);
    }
    ck_assert_uint_eq(seen, count);
}

static void check_result(const struct run *r, int code)
{
    ck_assert_int_eq(r->done, 1);
    ck_assert_msg(r->result == code, "%s (%s), not %s", bcda_error_name(r->result),
                  bcda_error_text(bcda_job_error(r->job)), bcda_error_name(code));
}

static const struct scripted_entry one_file[] = {{"Patient", "/data/a.ndjson", NULL, 0}};
static const struct scripted_entry two_files[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                                  {"Patient", "/data/b.ndjson", NULL, 0}};

/* An answer that says nothing of where it ends. */
static void endless(struct scene *c, const char *match, const char *headers, const struct buf *body,
                    enum scripted_end how)
{
    struct scripted_answer *a = scripted_on(c->s, match, 0);

    scripted_text(a, "HTTP/1.1 200 OK\r\nConnection: close\r\n");
    scripted_text(a, headers);
    scripted_text(a, "\r\n");
    scripted_send(a, body->p, body->len);
    scripted_finish(a, how);
}

/* ---- 1: the end of a body that names none ---- */

static const enum scripted_end ends[] = {SCRIPTED_CLOSE, SCRIPTED_CUT};

static void check_endless(const char *headers, const struct buf *body, const char *key_hex,
                          enum scripted_end how, int code)
{
    struct scripted_entry e = {"Patient", "/data/a.ndjson", NULL, 0};
    struct scene c;
    struct run *r;

    scene_open(&c, 1);
    e.key_hex = key_hex;
    endless(&c, "/data/", headers, body, how);
    scripted_export(c.s, &e, 1);
    scene_config(&c);
    scene_key(&c);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    check_result(r, code);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)),
                     code ? BCDA_VERDICT_FAILED : BCDA_VERDICT_COMPLETE);
    if (!code)
        check_lines(r, 0, 0, 3);
    scene_close(&c);
}

START_TEST(test_endless_plain)
{
    struct buf body = {0};

    add_lines(&body, 0, 3);
    check_endless("", &body, NULL, ends[_i], BCDA_ERR_TRUNCATED);
    buf_free(&body);
}
END_TEST

START_TEST(test_endless_gzip)
{
    struct buf plain = {0}, body = {0};

    add_lines(&plain, 0, 3);
    scripted_gzip(&body, plain.p, plain.len);
    check_endless("Content-Encoding: gzip\r\n", &body, NULL, ends[_i], BCDA_ERR_TRUNCATED);
    buf_free(&plain);
    buf_free(&body);
}
END_TEST

START_TEST(test_endless_encrypted)
{
    struct buf plain = {0}, body = {0};
    char *key;

    add_lines(&plain, 0, 3);
    key = scripted_encrypt(&body, plain.p, plain.len, "a.ndjson");
    check_endless("", &body, key, ends[_i], 0);
    body.len -= 9; /* the tag proves the end */
    check_endless("", &body, key, ends[_i], BCDA_ERR_TAG);
    free(key);
    buf_free(&plain);
    buf_free(&body);
}
END_TEST

START_TEST(test_endless_manifest)
{
    struct scene c;
    struct buf manifest = {0};
    struct run *r;

    scene_open(&c, 1);
    reply_lines(&c, "/data/", 0, 3);
    scripted_manifest(c.s, &manifest, one_file, 1);
    endless(&c, "/jobs/1", "", &manifest, ends[_i]);
    scripted_export(c.s, NULL, 0);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    check_result(r, 0);
    check_lines(r, 0, 0, 3);
    buf_free(&manifest);
    scene_close(&c);
}
END_TEST

/* ---- 2: batches that the host keeps ---- */

struct seen_batches {
    size_t counts[64], n;
};

static int note_batch(struct run *r, enum where where, void *object)
{
    struct seen_batches *seen = r->arg;

    if (where == AT_BATCH) {
        ck_assert_uint_lt(seen->n, 64);
        seen->counts[seen->n++] = bcda_batch_count(object);
    }
    return BCDA_CONTINUE;
}

static void check_held(struct run *r, bcda_batch *b, size_t first, size_t count)
{
    const uint64_t *offsets, *lengths, *numbers = bcda_batch_line_numbers(b);
    const char *base;
    size_t i, len;

    ck_assert_uint_eq(bcda_batch_count(b), count);
    ck_assert_int_eq(bcda_batch_column(b, BCDA_COLUMN_ID, &base, &offsets, &lengths), 0);
    for (i = 0; i < count; i++) {
        const struct got *g = &r->got[first + i];
        const bcda_resource *resource = bcda_batch_resource(b, i);
        const char *json = bcda_resource_json(resource, &len);

        ck_assert_uint_eq(len, g->json_len);
        ck_assert_mem_eq(json, g->json, len);
        ck_assert_str_eq(bcda_resource_id(resource), g->id);
        ck_assert_uint_eq(lengths[i], strlen(g->id));
        ck_assert_mem_eq(base + offsets[i], g->id, lengths[i]);
        ck_assert_int_eq((int64_t)numbers[i], g->number);
    }
    ck_assert_ptr_null(bcda_batch_resource(b, count));
}

START_TEST(test_held_batches)
{
    struct seen_batches seen = {{0}, 0};
    struct scene c;
    struct run *r;
    size_t i, at = 0;

    scene_open(&c, 0);
    reply_lines(&c, "/data/", 0, 300);
    scripted_export(c.s, one_file, 1);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_session(&c);
    r = harness_start_hook(&c.h, DOOR_BATCH, note_batch, &seen);
    r->hold = 1;
    scene_finish(&c);
    check_result(r, 0);
    check_lines(r, 0, 0, 300);
    ck_assert_uint_gt(seen.n, 3);
    ck_assert_uint_eq(r->batch_count, seen.n);
    for (i = 0; i < seen.n; i++) {
        check_held(r, r->batches[i], at, seen.counts[i]);
        at += seen.counts[i];
    }
    ck_assert_uint_eq(at, 300);
    scene_close(&c);
}
END_TEST

/* ---- 3: what a save remembers ---- */

struct saving {
    int answer, cancel;
    char *in_done;
};

static int end_and_save(struct run *r, enum where where, void *object)
{
    struct saving *s = r->arg;

    (void)object;
    if (where == AT_DONE)
        ck_assert_int_eq(bcda_job_save(r->job, &s->in_done), 0);
    if (where != AT_END)
        return BCDA_CONTINUE;
    if (s->cancel)
        ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    return s->answer;
}

static void check_save(int answer, int cancel, int code, int listed)
{
    struct saving s = {answer, cancel, NULL};
    struct scene c;
    struct run *r;
    char *later;

    scene_open(&c, 0);
    reply_lines(&c, "/data/a", 0, 3);
    reply_lines(&c, "/data/b", 3, 3);
    scripted_export(c.s, two_files, 2);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_PARALLEL, 1);
    scene_session(&c);
    r = harness_start_hook(&c.h, DOOR_RESOURCE, end_and_save, &s);
    scene_finish(&c);
    check_result(r, code);
    ck_assert_int_eq(bcda_job_save(r->job, &later), 0);
    ck_assert_str_eq(later, s.in_done);
    ck_assert_msg((strstr(later, "/data/a.ndjson") != NULL) == listed, "saved: %s", later);
    ck_assert_ptr_null(strstr(later, "/data/b.ndjson"));

    r = harness_restore(&c.h, DOOR_RESOURCE, later);
    scene_finish(&c);
    check_result(r, 0);
    check_lines(r, 0, 0, listed ? 0 : 3);
    check_lines(r, 1, 3, 3);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)),
                     listed ? BCDA_VERDICT_SKIPPED : BCDA_VERDICT_COMPLETE);
    bcda_free(later);
    bcda_free(s.in_done);
    scene_close(&c);
}

START_TEST(test_save_after_stop)
{
    check_save(BCDA_STOP, 0, BCDA_ERR_STOPPED, 0);
    check_save(99, 0, BCDA_ERR_CALLBACK, 0);
}
END_TEST

START_TEST(test_save_after_cancel)
{
    check_save(BCDA_CONTINUE, 1, BCDA_ERR_CANCELLED, 1);
}
END_TEST

/* ---- 5: places to download ---- */

static void add_job(struct scene *c, const char *path, const struct scripted_entry *e, size_t n)
{
    struct buf manifest = {0};

    scripted_manifest(c->s, &manifest, e, n);
    scripted_reply(c->s, path, "200 OK", "", manifest.p, manifest.len);
    buf_free(&manifest);
}

static const struct scripted_entry other_file[] = {{"Patient", "/other/o.ndjson", NULL, 0}};

static void reply_gated(struct scene *c, const char *path, unsigned gate, size_t first,
                        size_t count)
{
    struct scripted_answer *a = scripted_on(c->s, path, 0);
    struct buf body = {0}, head = {0};

    add_lines(&body, first, count);
    buf_printf(&head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body.len);
    scripted_gate(a, gate);
    scripted_send(a, head.p, head.len);
    scripted_send(a, body.p, body.len);
    buf_free(&head);
    buf_free(&body);
}

/* A job whose last file hangs gives the place of its other file to the job that waits. */
START_TEST(test_free_place_is_offered)
{
    struct scene c;
    struct run *a, *b;

    scene_open(&c, 0);
    reply_gated(&c, "/data/a", 1, 0, 3);
    reply_gated(&c, "/data/b", 2, 3, 3);
    reply_lines(&c, "/other/", 0, 5);
    add_job(&c, "/jobs/7", two_files, 2);
    add_job(&c, "/jobs/8", other_file, 1);
    scripted_export(c.s, NULL, 0);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_PARALLEL, 2);
    scene_session(&c);
    a = scene_attach(&c, DOOR_RESOURCE, "/api/v1/jobs/7", NULL, NULL);
    scene_until(&c, scripted_count(c.s, "/data/a") && scripted_count(c.s, "/data/b"));
    b = scene_attach(&c, DOOR_RESOURCE, "/api/v1/jobs/8", NULL, NULL);
    scene_until(&c, bcda_job_state(b->job) == BCDA_JOB_DOWNLOADING);
    harness_drain(&c.h);
    ck_assert_uint_eq(scripted_count(c.s, "/other/"), 0);
    scripted_open_gate(c.s, 1);
    scene_until(&c, b->done);
    check_result(b, 0);
    check_lines(b, 0, 0, 5);
    ck_assert_int_eq(a->done, 0);
    check_lines(a, 0, 0, 3);
    scripted_open_gate(c.s, 2);
    scene_finish(&c);
    check_result(a, 0);
    check_lines(a, 1, 3, 3);
    scene_close(&c);
}
END_TEST

struct pausing {
    int by_call, on; /* `on`: it pauses */
};

static int pause_at_once(struct run *r, enum where where, void *object)
{
    struct pausing *p = r->arg;

    (void)object;
    if (where != AT_RESOURCE || !p->on)
        return BCDA_CONTINUE;
    if (!p->by_call)
        return BCDA_PAUSE;
    ck_assert_int_eq(bcda_job_pause(r->job), 0);
    p->on = 0;
    return BCDA_CONTINUE;
}

/* _i: PARALLEL 1 and 2, by BCDA_PAUSE and by bcda_job_pause(). */
START_TEST(test_paused_job_starves_nobody)
{
    struct pausing p = {_i >= 2, 1};
    struct scene c;
    struct run *a, *b;

    scene_open(&c, 0);
    reply_lines(&c, "/data/a", 0, 50);
    reply_lines(&c, "/data/b", 50, 50);
    reply_lines(&c, "/other/", 0, 5);
    add_job(&c, "/jobs/7", two_files, 2);
    add_job(&c, "/jobs/8", other_file, 1);
    scripted_export(c.s, NULL, 0);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_PARALLEL, 1 + _i % 2);
    scene_session(&c);
    a = scene_attach(&c, DOOR_RESOURCE, "/api/v1/jobs/7", pause_at_once, &p);
    b = scene_attach(&c, DOOR_RESOURCE, "/api/v1/jobs/8", NULL, NULL);
    scene_until(&c, b->done);
    check_result(b, 0);
    check_lines(b, 0, 0, 5);
    ck_assert_int_eq(a->done, 0);
    ck_assert_uint_le(a->count, 1);
    p.on = 0;
    ck_assert_int_eq(bcda_job_resume(a->job), 0);
    scene_finish(&c);
    check_result(a, 0);
    check_lines(a, 0, 0, 50);
    check_lines(a, 1, 50, 50);
    scene_close(&c);
}
END_TEST

/* ---- 6: lines that wait through a pause ---- */

START_TEST(test_flush_during_pause)
{
    struct scripted_answer *a;
    struct buf body = {0};
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    add_lines(&body, 0, 2);
    a = scripted_on(c.s, "/data/", 0);
    scripted_text(a, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    scripted_send(a, body.p, body.len);
    scripted_finish(a, SCRIPTED_STAY);
    scripted_export(c.s, one_file, 1);
    scene_session(&c);
    r = harness_start(&c.h, _i ? DOOR_BATCH : DOOR_RESOURCE);
    scene_until(&c, bcda_job_bytes_received(r->job) == (int64_t)body.len);
    ck_assert_uint_eq(r->count, 0); /* they wait for more */
    ck_assert_int_eq(bcda_job_pause(r->job), 0);
    harness_advance(&c.h, 5000);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_int_eq(bcda_job_resume(r->job), 0);
    harness_advance(&c.h, 5000);
    check_lines(r, 0, 0, 2);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    scene_finish(&c);
    check_result(r, BCDA_ERR_CANCELLED);
    buf_free(&body);
    scene_close(&c);
}
END_TEST

/* ---- 8: run gives the time back although there is always something to do ---- */

static int work_slowly(struct run *r, enum where where, void *object)
{
    struct timespec t = {0, 150000};

    (void)r;
    (void)object;
    if (where == AT_RESOURCE)
        nanosleep(&t, NULL);
    return BCDA_CONTINUE;
}

START_TEST(test_run_ends_on_a_steady_flow)
{
    struct scene c;
    struct run *r;
    bcda_config *config;
    int rc = 0;

    scene_open(&c, 0);
    reply_lines(&c, "/data/", 0, 50000); /* some 10 s of work */
    scripted_export(c.s, one_file, 1);
    config = scene_config(&c);
    config->clock = bcda__clock_system(); /* nothing is waited for */
    scene_set(&c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_session(&c);
    r = harness_start_hook(&c.h, DOOR_RESOURCE, work_slowly, NULL);
    c.h.inside = 1;
    while (!r->count && (rc == 0 || rc == BCDA_ERR_TIMEOUT))
        rc = bcda_session_run(c.h.session, 20);
    ck_assert_uint_gt(r->count, 0);
    ck_assert_int_eq(bcda_session_run(c.h.session, 50), BCDA_ERR_TIMEOUT);
    c.h.inside = 0;
    ck_assert_int_eq(bcda_job_result(r->job), BCDA_ERR_AGAIN);
    ck_assert_uint_lt(r->count, 50000);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    scene_finish(&c);
    check_result(r, BCDA_ERR_CANCELLED);
    scene_close(&c);
}
END_TEST

/* ---- 9: the system refuses to watch a descriptor ---- */

static int watches, refuse_watch;

int __real_bcda__loop_watch(struct bcda__loop *l, int fd, int events);
int __wrap_bcda__loop_watch(struct bcda__loop *l, int fd, int events);

int __wrap_bcda__loop_watch(struct bcda__loop *l, int fd, int events)
{
    if (events && ++watches == refuse_watch)
        return BCDA_ERR_SYSTEM;
    return __real_bcda__loop_watch(l, fd, events);
}

START_TEST(test_refused_watch)
{
    struct scene c;
    struct run *r;

    scene_open(&c, _i % 2);
    reply_lines(&c, "/data/a", 0, 3);
    reply_lines(&c, "/data/b", 3, 3);
    scripted_export(c.s, two_files, 2);
    scene_session(&c);
    watches = 0;
    refuse_watch = 1 + _i / 2;
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    ck_assert(refuse_watch > 4 || watches >= refuse_watch); /* four requests, at least */
    if (watches >= refuse_watch) {
        (void)harness_check_failed(r, BCDA_ERR_SYSTEM);
    } else { /* there were not so many */
        ck_assert_int_eq(r->result, 0);
        check_lines(r, 0, 0, 3);
        check_lines(r, 1, 3, 3);
    }
    refuse_watch = 0;
    scene_close(&c);
}
END_TEST

/* ---- 12: many files ---- */

static void add_many(struct scene *c, size_t n, const char *key)
{
    struct scripted_entry *e = calloc(n, sizeof *e);
    char(*paths)[40] = calloc(n, sizeof *paths);
    size_t i;

    ck_assert(e && paths);
    for (i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], "/data/%zu.ndjson", i);
        e[i].type = "Patient";
        e[i].path = paths[i];
        e[i].key_hex = key;
    }
    scripted_export(c->s, e, n);
    free(paths);
    free(e);
}

START_TEST(test_restore_of_many)
{
    enum { MANY = 60000 };
    struct buf saved = {0};
    struct scene c;
    struct run *r;
    size_t i;

    scene_open(&c, 0);
    add_many(&c, MANY, NULL);
    scene_session(&c);
    buf_printf(&saved, "{\"bcda\":1,\"url\":\"%s/api/v1/jobs/1\",\"done\":[", scripted_origin(c.s));
    for (i = MANY; i-- > 0;)
        buf_printf(&saved, "\"/data/%zu.ndjson\"%s", i, i ? "," : "]}");
    r = harness_restore(&c.h, DOOR_RESOURCE, saved.p);
    scene_finish(&c);
    check_result(r, 0);
    ck_assert_uint_eq(bcda_job_file_count(r->job), MANY);
    ck_assert_uint_eq(bcda_job_files_ended(r->job), MANY);
    for (i = 0; i < MANY; i++)
        ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, i)), BCDA_VERDICT_SKIPPED);
    ck_assert_uint_eq(scripted_count(c.s, "/data/"), 0);
    buf_free(&saved);
    scene_close(&c);
}
END_TEST

START_TEST(test_many_fail_at_once)
{
    enum { MANY = 1000, MOST = 200 };
    char key[513];
    struct scene c;
    bcda_job *job;
    size_t before = 0, now;

    scene_open(&c, 0);
    memset(key, 'a', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    add_many(&c, MANY, key);
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

/* ---- 13: who goes through the proxy ---- */

START_TEST(test_proxy)
{
    struct scripted *proxy = scripted_start(0);
    struct scene c;
    struct run *r;
    char *head;
    unsigned i;

    ck_assert_ptr_nonnull(proxy);
    scripted_reply(proxy, " ", "502 Bad Gateway", "", "", 0);
    scene_open(&c, _i);
    reply_lines(&c, "/data/", 0, 3);
    scripted_export(c.s, one_file, 1);
    scene_config(&c);
    ck_assert_int_eq(
        bcda_config_set_proxy(c.h.config, scripted_origin(proxy), "someone", "proxy-secret"), 0);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    if (_i == 0) { /* http, to this very machine: the proxy hears nothing */
        check_result(r, 0);
        check_lines(r, 0, 0, 3);
        ck_assert_uint_eq(scripted_connections(proxy), 0);
    } else {
        ck_assert_int_lt(r->result, 0);
        ck_assert_uint_eq(scripted_connections(c.s), 0);
        ck_assert_uint_gt(scripted_count(proxy, NULL), 0);
        for (i = 0; (head = scripted_request(proxy, i)); i++) {
            ck_assert_msg(strncmp(head, "CONNECT 127.0.0.1:", 18) == 0, "%s", head);
            ck_assert_ptr_null(strstr(head, "\r\nAuthorization:"));
            free(head);
        }
    }
    scripted_stop(proxy);
    scene_close(&c);
}
END_TEST

/* ---- 16: what a server may put into a file ---- */

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

START_TEST(test_many_values)
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
    scripted_export(c.s, one_file, 1);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BAD_LINES_MAX, 1);
    scene_session(&c);
    ck_assert_int_eq(bcda_export_add_field(c.h.x, "v", &index), 0);
    r = harness_start_hook(&c.h, DOOR_RESOURCE, count_values, &seen);
    scene_finish(&c);
    check_result(r, 0);
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
START_TEST(test_many_bad_lines)
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
    scripted_export(c.s, one_file, 1);
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

/* ---- 17: a pause from inside ---- */

struct inner_pause {
    enum where at;
    unsigned calls, every;
    int paused;
};

static int pause_inside(struct run *r, enum where where, void *object)
{
    struct inner_pause *p = r->arg;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH && where != AT_BAD_LINE)
        return BCDA_CONTINUE;
    ck_assert_msg(!p->paused, "data right behind bcda_job_pause()");
    if (where == p->at && ++p->calls % p->every == 0) {
        ck_assert_int_eq(bcda_job_pause(r->job), 0);
        p->paused = 1;
    }
    return BCDA_CONTINUE;
}

static void check_inner_pause(enum door door, enum where at, unsigned every, size_t least)
{
    struct inner_pause p = {at, 0, every, 0};
    struct buf body = {0};
    struct scene c;
    struct run *r;
    size_t i, pauses = 0;

    scene_open(&c, 0);
    for (i = 0; i < 300; i++) {
        add_lines(&body, i, 1);
        if (i % 5 == 2)
            buf_str(&body, "no json\n");
    }
    scripted_reply(c.s, "/data/", "200 OK", "", body.p, body.len);
    scripted_export(c.s, one_file, 1);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_BAD_LINES_MAX, -1);
    scene_set(&c, BCDA_OPT_BATCH_SIZE, 4096);
    scene_session(&c);
    r = harness_start_hook(&c.h, door, pause_inside, &p);
    while (!r->done) {
        if (p.paused) {
            size_t count = r->count, bad = r->bad_count;

            for (i = 0; i < 20; i++) {
                c.h.inside = 1;
                ck_assert_int_ge(bcda_session_step(c.h.session), 0);
                c.h.inside = 0;
            }
            ck_assert_uint_eq(r->count, count);
            ck_assert_uint_eq(r->bad_count, bad);
            p.paused = 0;
            pauses++;
            ck_assert_int_eq(bcda_job_resume(r->job), 0);
        }
        ck_assert(scene_turn(&c));
    }
    check_result(r, 0);
    check_lines(r, 0, 0, 300);
    ck_assert_uint_eq(r->bad_count, 60);
    for (i = 0; i < 60; i++)
        ck_assert_int_eq(r->bad[i].number, (int64_t)(6 * i + 4));
    ck_assert_uint_ge(pauses, least);
    buf_free(&body);
    scene_close(&c);
}

START_TEST(test_pause_in_resource)
{
    check_inner_pause(DOOR_RESOURCE, AT_RESOURCE, 7, 42);
}
END_TEST

START_TEST(test_pause_in_batch)
{
    check_inner_pause(DOOR_BATCH, AT_BATCH, 1, 4);
}
END_TEST

START_TEST(test_pause_in_bad_line)
{
    check_inner_pause(DOOR_RESOURCE, AT_BAD_LINE, 3, 20);
    check_inner_pause(DOOR_BATCH, AT_BAD_LINE, 3, 19); /* behind the last one nothing is left */
}
END_TEST

/* ---- 18: smaller things ---- */

START_TEST(test_blanks_behind_headers)
{
    struct buf plain = {0}, packed = {0}, head = {0};
    struct scripted_answer *a;
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    add_lines(&plain, 0, 3);
    scripted_gzip(&packed, plain.p, plain.len);
    a = scripted_on(c.s, "/data/", 0);
    buf_printf(&head,
               "HTTP/1.1 200 OK\r\nContent-Encoding: gzip \r\nContent-Length: %zu \t \r\n"
               "Connection: close\r\n\r\n",
               packed.len);
    scripted_send(a, head.p, head.len);
    scripted_send(a, packed.p, packed.len);
    scripted_export(c.s, one_file, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    check_result(r, 0);
    check_lines(r, 0, 0, 3);
    ck_assert_int_eq(bcda_file_bytes_expected(bcda_job_file(r->job, 0)), (int64_t)packed.len);
    buf_free(&plain);
    buf_free(&packed);
    buf_free(&head);
    scene_close(&c);
}
END_TEST

static const char issues[] =
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"x\"},"
    "{\"severity\":\"warning\",\"code\":\"y\"},{\"severity\":\"error\",\"code\":\"z\"}]}\n"
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"fatal\",\"code\":\"x\"},"
    "{\"severity\":\"information\",\"code\":\"y\"},{\"severity\":\"odd\",\"code\":\"z\"}]}\n";

START_TEST(test_issue_counts)
{
    static const struct scripted_entry files[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                                  {"OperationOutcome", "/data/e.ndjson", NULL, 1}};
    static const enum door doors[] = {DOOR_PULL, DOOR_RESOURCE, DOOR_BATCH};
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    reply_lines(&c, "/data/a", 0, 3);
    scripted_reply(c.s, "/data/e", "200 OK", "", issues, sizeof issues - 1);
    scripted_export(c.s, files, 2);
    scene_session(&c);
    r = harness_start(&c.h, doors[_i]);
    scene_finish(&c);
    check_result(r, 0);
    check_lines(r, 0, 0, 3);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_ERROR), 2);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_WARNING), 1);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_FATAL), 1);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_INFORMATION), 1);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_UNKNOWN), 1);
    ck_assert_uint_eq(r->issue_count, 6); /* by the handler, at every door */
    scene_close(&c);
}
END_TEST

START_TEST(test_page_in_place_of_data)
{
    static const char page[] = "{\"resourceType\":\"Patient\",\"id\":\"a-login-page\"}\n";
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    scripted_reply(c.s, "/data/", "200 OK", "Content-Type: text/html; charset=utf-8\r\n", page,
                   sizeof page - 1);
    scripted_export(c.s, one_file, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    check_result(r, BCDA_ERR_NOT_JSON);
    ck_assert_uint_eq(r->count, 0);
    scene_close(&c);
}
END_TEST

struct first_saved {
    char *text;
};

static int save_at_first_end(struct run *r, enum where where, void *object)
{
    struct first_saved *s = r->arg;

    (void)object;
    if (where != AT_END || s->text)
        return BCDA_CONTINUE;
    ck_assert_int_eq(bcda_job_save(r->job, &s->text), 0);
    ck_assert_int_eq(bcda_job_cancel(r->job), 0);
    return BCDA_CONTINUE;
}

/* Two files that differ only before, or behind, what looks like their name. */
START_TEST(test_save_knows_files_by_path)
{
    static const struct scripted_entry files[][2] = {
        {{"Patient", "/data/1/f.ndjson", NULL, 0}, {"Patient", "/data/2/f.ndjson", NULL, 0}},
        {{"Patient", "/data/f?n=1", NULL, 0}, {"Patient", "/data/f?n=2", NULL, 0}}};
    struct first_saved saved = {NULL};
    struct scene c;
    struct run *r;

    scene_open(&c, 0);
    reply_lines(&c, files[_i][0].path, 0, 3);
    reply_lines(&c, files[_i][1].path, 3, 3);
    scripted_export(c.s, files[_i], 2);
    scene_config(&c);
    scene_set(&c, BCDA_OPT_PARALLEL, 1);
    scene_session(&c);
    r = harness_start_hook(&c.h, DOOR_RESOURCE, save_at_first_end, &saved);
    scene_finish(&c);
    check_result(r, BCDA_ERR_CANCELLED);
    r = harness_restore(&c.h, DOOR_RESOURCE, saved.text);
    scene_finish(&c);
    check_result(r, 0);
    check_lines(r, 0, 0, 0);
    check_lines(r, 1, 3, 3);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_SKIPPED);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 1)), BCDA_VERDICT_COMPLETE);
    bcda_free(saved.text);
    scene_close(&c);
}
END_TEST

/* ---- the connections themselves ---- */

/* A connection that is reset in the middle is never a whole file, whatever was said of its length;
 * and TLS sessions are resumed, since each connection is closed after its answer. */
START_TEST(test_reset_and_resumed)
{
    struct scripted_answer *a;
    struct buf body = {0};
    struct scene c;
    struct run *r;

    scene_open(&c, 1);
    add_lines(&body, 0, 3);
    a = scripted_on(c.s, "/data/", 0);
    scripted_text(a, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n");
    scripted_send(a, body.p, 16);
    scripted_finish(a, SCRIPTED_RESET);
    scripted_export(c.s, one_file, 1);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    ck_assert_int_lt(r->result, 0);
    ck_assert_int_eq(bcda_error_is_retryable(bcda_job_error(r->job)), 1);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_gt(scripted_connections(c.s), 4);
    ck_assert_uint_gt(scripted_resumed(c.s), 0);
    buf_free(&body);
    scene_close(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("review");
    TCase *t = tcase_create("review");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_endless_plain, 0, 2);
    tcase_add_loop_test(t, test_endless_gzip, 0, 2);
    tcase_add_loop_test(t, test_endless_encrypted, 0, 2);
    tcase_add_loop_test(t, test_endless_manifest, 0, 2);
    tcase_add_test(t, test_held_batches);
    tcase_add_test(t, test_save_after_stop);
    tcase_add_test(t, test_save_after_cancel);
    tcase_add_test(t, test_free_place_is_offered);
    tcase_add_loop_test(t, test_paused_job_starves_nobody, 0, 4);
    tcase_add_loop_test(t, test_flush_during_pause, 0, 2);
    tcase_add_test(t, test_run_ends_on_a_steady_flow);
    tcase_add_loop_test(t, test_refused_watch, 0, 24);
    tcase_add_test(t, test_restore_of_many);
    tcase_add_test(t, test_many_fail_at_once);
    tcase_add_loop_test(t, test_proxy, 0, 2);
    tcase_add_test(t, test_many_values);
    tcase_add_loop_test(t, test_many_bad_lines, 0, 2);
    tcase_add_test(t, test_pause_in_resource);
    tcase_add_test(t, test_pause_in_batch);
    tcase_add_test(t, test_pause_in_bad_line);
    tcase_add_test(t, test_blanks_behind_headers);
    tcase_add_loop_test(t, test_issue_counts, 0, 3);
    tcase_add_test(t, test_page_in_place_of_data);
    tcase_add_loop_test(t, test_save_knows_files_by_path, 0, 2);
    tcase_add_test(t, test_reset_and_resumed);
    suite_add_tcase(s, t);
    return harness_main(s);
}
