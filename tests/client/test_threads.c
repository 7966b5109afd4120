/* Files decoded by workers: how many threads there are and when, and what cancelling, freeing,
 * stopping and pausing do while they work. The other suites, which also run with
 * BCDA_TEST_DECODE_THREADS, show that the same data is delivered. Linked with wraps of the
 * allocator, to count and refuse allocations; of pthread_create; of bcda__decoder_write and
 * bcda__config_unwrap, to hold a worker before them; and of a function of each stage, to slow it
 * down. */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tempdir.h"
#include "base/mem.h"
#include "client/config.h"
#include "client/pipe.h"
#include "client/spool.h"
#include "codec/decoder.h"
#include "codec/inflate.h"
#include "codec/line.h"
#include "fixture.h"
#include "net/loop.h"

static struct fixture fx;

enum { LOOK_TIMES = 60000 };

static pthread_t session_thread;

static int is_host(void)
{
    return pthread_equal(pthread_self(), session_thread);
}

/* ---- the allocator ---- */

static atomic_llong live_bytes, live_blocks, most_bytes;
static atomic_int worker_calls, refused;
static int refuse_at; /* number of the worker allocation to refuse, from 1; 0 = none */

void *__real_bcda__alloc(size_t size);
void *__real_bcda__calloc(size_t count, size_t size);
void *__real_bcda__realloc(void *ptr, size_t size);
void __real_bcda__free(void *ptr);
void *__wrap_bcda__alloc(size_t size);
void *__wrap_bcda__calloc(size_t count, size_t size);
void *__wrap_bcda__realloc(void *ptr, size_t size);
void __wrap_bcda__free(void *ptr);

static int refuse(void)
{
    if (!refuse_at || is_host() || atomic_fetch_add(&worker_calls, 1) + 1 != refuse_at)
        return 0;
    atomic_fetch_add(&refused, 1);
    return 1;
}

static void *made(void *ptr)
{
    long long now, most;

    if (!ptr)
        return NULL;
    atomic_fetch_add(&live_blocks, 1);
    now = atomic_fetch_add(&live_bytes, (long long)malloc_usable_size(ptr));
    now += (long long)malloc_usable_size(ptr);
    most = atomic_load(&most_bytes);
    while (now > most && !atomic_compare_exchange_weak(&most_bytes, &most, now))
        ;
    return ptr;
}

static void gone(void *ptr)
{
    if (!ptr)
        return;
    atomic_fetch_sub(&live_blocks, 1);
    atomic_fetch_sub(&live_bytes, (long long)malloc_usable_size(ptr));
}

void *__wrap_bcda__alloc(size_t size)
{
    return refuse() ? NULL : made(__real_bcda__alloc(size));
}

void *__wrap_bcda__calloc(size_t count, size_t size)
{
    return refuse() ? NULL : made(__real_bcda__calloc(count, size));
}

void *__wrap_bcda__realloc(void *ptr, size_t size)
{
    void *grown;

    if (refuse())
        return NULL;
    gone(ptr);
    grown = __real_bcda__realloc(ptr, size);
    (void)made(grown ? grown : ptr);
    return grown;
}

void __wrap_bcda__free(void *ptr)
{
    gone(ptr);
    __real_bcda__free(ptr);
}

/* ---- threads ---- */

static int threads_left = -1; /* how many the session's thread may create; -1 = no limit */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg)
{
    if (is_host() && threads_left == 0)
        return EAGAIN;
    if (is_host() && threads_left > 0)
        threads_left--;
    return __real_pthread_create(thread, attr, start, arg);
}

/* ---- the time that each stage takes ---- */

enum stage { HASH, INFLATE, DECRYPT, PARSE, SPOOL, STAGES };

static int64_t stage_ns; /* added to the time of each call */
static atomic_int stage_calls[STAGES], hashed_by_host;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void spin(int64_t ns)
{
    int64_t until = now_ns() + ns;

    while (now_ns() < until)
        ;
}

static void take_longer(enum stage stage)
{
    if (!stage_ns)
        return;
    atomic_fetch_add(&stage_calls[stage], 1);
    spin(stage_ns);
}

#define PROTOTYPES(type, name, ...)  \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

PROTOTYPES(void, bcda__mac_add, struct bcda__mac *m, const void *data, size_t len);
PROTOTYPES(int, bcda__inflate_run, struct bcda__inflate *z, const uint8_t *in, size_t len,
           size_t *used, uint8_t *out, size_t cap, size_t *made);
PROTOTYPES(int, bcda__gcm_open, struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used,
           uint8_t *out, size_t cap, size_t *made);
PROTOTYPES(int, bcda__line_read, struct bcda__line_reader *r, const char *line, size_t len,
           struct bcda__line_info *info);
PROTOTYPES(int, bcda__ctr_apply, struct bcda__ctr *c, const uint8_t *in, uint8_t *out, size_t len);

void __wrap_bcda__mac_add(struct bcda__mac *m, const void *data, size_t len)
{
    if (is_host())
        atomic_fetch_add(&hashed_by_host, 1);
    take_longer(HASH);
    __real_bcda__mac_add(m, data, len);
}

int __wrap_bcda__inflate_run(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                             uint8_t *out, size_t cap, size_t *made)
{
    take_longer(INFLATE);
    return __real_bcda__inflate_run(z, in, len, used, out, cap, made);
}

int __wrap_bcda__gcm_open(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used,
                          uint8_t *out, size_t cap, size_t *made)
{
    take_longer(DECRYPT);
    return __real_bcda__gcm_open(g, in, len, used, out, cap, made);
}

int __wrap_bcda__line_read(struct bcda__line_reader *r, const char *line, size_t len,
                           struct bcda__line_info *info)
{
    take_longer(PARSE);
    return __real_bcda__line_read(r, line, len, info);
}

/* The library calls this function for bytes that it writes to the spool, and for bytes that it
 * reads from there. */
int __wrap_bcda__ctr_apply(struct bcda__ctr *c, const uint8_t *in, uint8_t *out, size_t len)
{
    take_longer(SPOOL);
    return __real_bcda__ctr_apply(c, in, out, len);
}

/* ---- gates that hold workers ---- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static int closed[2], held[2]; /* by gate: is it closed, and how many workers wait */
static atomic_int unwraps_by_host;

enum gate { SLICES, KEYS };

int __real_bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                               struct bcda_error *err);
int __wrap_bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                               struct bcda_error *err);

static void pass(enum gate gate)
{
    pthread_mutex_lock(&gate_lock);
    held[gate]++;
    pthread_cond_broadcast(&gate_moved);
    while (closed[gate])
        pthread_cond_wait(&gate_moved, &gate_lock);
    held[gate]--;
    pthread_mutex_unlock(&gate_lock);
}

int __wrap_bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                               struct bcda_error *err)
{
    if (!is_host())
        pass(SLICES);
    return __real_bcda__decoder_write(d, data, len, used, err);
}

PROTOTYPES(int, bcda__config_unwrap, const bcda_config *c, const char *hex, const char *name,
           uint8_t out[32], struct bcda_error *err);

int __wrap_bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name,
                               uint8_t out[32], struct bcda_error *err)
{
    if (is_host())
        atomic_fetch_add(&unwraps_by_host, 1);
    else
        pass(KEYS);
    take_longer(DECRYPT);
    return __real_bcda__config_unwrap(c, hex, name, out, err);
}

static void set_gate(enum gate gate, int is_closed)
{
    pthread_mutex_lock(&gate_lock);
    closed[gate] = is_closed;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate_lock);
}

static int count_held(enum gate gate)
{
    int n;

    pthread_mutex_lock(&gate_lock);
    n = held[gate];
    pthread_mutex_unlock(&gate_lock);
    return n;
}

static void wait_for_held(enum gate gate, int count)
{
    pthread_mutex_lock(&gate_lock);
    while (held[gate] < count)
        pthread_cond_wait(&gate_moved, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

static void *open_soon(void *ctx)
{
    struct timespec t = {0, 30000000};

    nanosleep(&t, NULL);
    set_gate(*(enum gate *)ctx, 0);
    return NULL;
}

/* ---- the decode threads ---- */

/* Returns the number of decode threads. Checks that each blocks all signals that can be blocked. */
static int count_threads(void)
{
    const unsigned long long needed =
        ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1) | 3ULL << 31); /* 32, 33: the C library's */
    DIR *tasks = opendir("/proc/self/task");
    unsigned long long blocked = 0;
    struct dirent *e;
    char path[320], line[128];
    int n = 0;

    ck_assert_ptr_nonnull(tasks);
    while ((e = readdir(tasks))) {
        FILE *f;
        int ours = 0;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
        f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (f && fgets(line, sizeof line, f)) {
            ours |= strcmp(line, "Name:\tbcda-decode\n") == 0;
            if (ours && sscanf(line, "SigBlk: %llx", &blocked) == 1)
                ck_assert_msg((blocked & needed) == needed, "blocked: %llx", blocked);
        }
        if (f)
            fclose(f);
        n += ours;
    }
    closedir(tasks);
    return n;
}

/* Checks that there are no decode threads. The system may list a thread for a moment after it was
 * joined. */
static void check_no_threads(void)
{
    struct timespec moment = {0, 1000000};
    int i;

    for (i = 0; count_threads() > 0; i++) {
        ck_assert_int_lt(i, LOOK_TIMES);
        nanosleep(&moment, NULL);
    }
}

/* ---- what the server answers ---- */

enum { FILES = 6, LINES = 900 };

static const char *const paths[FILES] = {"/data/a", "/data/b", "/data/c",
                                         "/data/d", "/data/e", "/data/f"};

static void add_lines(struct buf *b, size_t file, size_t lines, size_t pad)
{
    size_t i;

    for (i = 0; i < lines; i++)
        buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"f%zu-%zu\",\"x\":\"%0*zu\"}\n", file,
                   i, (int)pad, i);
}

/* The files are plain, encrypted and gzip in turn. */
static void serve(size_t files, size_t lines, size_t pad)
{
    struct scripted_entry e[FILES] = {{0}};
    char *keys[FILES] = {NULL}, name[FILES][32];
    size_t i;

    for (i = 0; i < files; i++) {
        struct buf plain = {0};

        add_lines(&plain, i, lines, pad);
        snprintf(name[i], sizeof name[i], "%s.ndjson", paths[i]);
        keys[i] = scripted_reply_file(fx.server, name[i], (enum scripted_form)(i % 3), &plain);
        e[i].type = "Patient";
        e[i].path = name[i];
        e[i].key_hex = keys[i];
        buf_free(&plain);
    }
    scripted_export(fx.server, e, files);
    for (i = 0; i < files; i++)
        free(keys[i]);
}

static void prepare(int threads, size_t files, size_t lines, size_t pad)
{
    session_thread = pthread_self();
    fixture_open_scripted(&fx, 0);
    serve(files, lines, pad);
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    fixture_set(&fx, BCDA_OPT_PARALLEL, FILES);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, pad > 500 ? 256 * 1024 : 4096);
}

static void begin(int threads, size_t files, size_t lines, size_t pad)
{
    prepare(threads, files, lines, pad);
    fixture_session(&fx);
}

/* Checks that each file's lines were delivered once and in order. */
static void check_all(const struct run *r, size_t files, size_t lines)
{
    size_t next[FILES] = {0}, i;
    char id[64];

    ck_assert_int_eq(r->done, 1);
    fixture_check_result(r, 0);
    for (i = 0; i < r->count; i++) {
        snprintf(id, sizeof id, "f%zu-%zu", r->got[i].file, next[r->got[i].file]++);
        ck_assert_str_eq(r->got[i].id, id);
    }
    for (i = 0; i < files; i++)
        ck_assert_uint_eq(next[i], lines);
}

/* ---- the number of threads ---- */

static int see_threads(struct run *r, enum where where, void *object)
{
    int *seen = r->arg, now;

    (void)object;
    if (where != AT_STATE && where != AT_RESOURCE && where != AT_DONE)
        return BCDA_CONTINUE;
    now = count_threads();
    if (where == AT_STATE && bcda_job_state(r->job) <= BCDA_JOB_DOWNLOADING)
        ck_assert_int_eq(now, 0); /* no thread before a file needs one */
    if (now > *seen)
        *seen = now;
    return BCDA_CONTINUE;
}

START_TEST(counts)
{
    static const int wanted[] = {0, 1, 2, 5};
    struct run *r;
    int seen = 0;

    begin(wanted[_i], 3, 40, 40);
    ck_assert_int_eq(count_threads(), 0);
    r = fixture_run_hook(&fx, BY_RESOURCE, see_threads, &seen);
    check_all(r, 3, 40);
    ck_assert_int_eq(seen, wanted[_i]);
    ck_assert_int_eq(count_threads(), wanted[_i]); /* the threads stay until the session is freed */
    ck_assert_int_eq(fx.session->cx.workers != NULL, wanted[_i] > 0);
    fixture_close(&fx);
    check_no_threads();
}
END_TEST

static int warnings;

static void count_warnings(int level, const char *component, const char *message, void *userdata)
{
    (void)component;
    (void)userdata;
    warnings += level == BCDA_LOG_WARNING && strstr(message, "thread");
}

/* Only _i of the two decode threads can be created. The files are delivered all the same, and one
 * warning is logged. */
START_TEST(too_few)
{
    struct run *r;

    prepare(2, 6, LINES, 40);
    ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_WARNING, count_warnings, NULL, NULL));
    fixture_session(&fx);
    warnings = 0;
    threads_left = _i;
    r = fixture_run(&fx, BY_BATCH);
    threads_left = -1;
    check_all(r, 6, LINES);
    ck_assert_int_eq(warnings, 1);
    ck_assert_int_eq(count_threads(), _i);
    fixture_close(&fx);
}
END_TEST

/* During the first job no thread can be created. During the second job both can. */
START_TEST(some_later)
{
    struct run *r;

    begin(2, 3, LINES, 40);
    threads_left = 0;
    r = fixture_run(&fx, BY_BATCH);
    threads_left = -1;
    check_all(r, 3, LINES);
    ck_assert_int_eq(count_threads(), 0);
    r = fixture_run(&fx, BY_BATCH);
    check_all(r, 3, LINES);
    ck_assert_int_eq(count_threads(), 2);
    fixture_close(&fx);
}
END_TEST

/* If there is a worker for each file, the session's thread decodes none of them. */
START_TEST(readers)
{
    struct run *r;

    begin(_i ? 3 : 0, 3, LINES, 40);
    atomic_store(&hashed_by_host, 0);
    r = fixture_run(&fx, BY_RESOURCE);
    check_all(r, 3, LINES);
    ck_assert_int_eq(atomic_load(&hashed_by_host) == 0, _i);
    fixture_close(&fx);
}
END_TEST

/* ---- actions at different points of the delivery ---- */

enum act { CANCEL, FREE, STOP, PAUSE, PAUSE_JOB, ACTS };

struct acting {
    enum act act;
    int after, calls;
};

static int act(struct run *r, enum where where, void *object)
{
    struct acting *a = r->arg;

    (void)object;
    if ((where != AT_RESOURCE && where != AT_BATCH) || a->calls++ != a->after)
        return BCDA_CONTINUE;
    switch (a->act) {
    case CANCEL:
        ck_assert_ok(bcda_job_cancel(r->job));
        return BCDA_CONTINUE;
    case FREE:
        bcda_session_free(r->fixture->session);
        return BCDA_CONTINUE;
    case STOP:
        return BCDA_STOP;
    case PAUSE_JOB:
        ck_assert_ok(bcda_job_pause(r->job));
        return BCDA_CONTINUE;
    default:
        return BCDA_PAUSE;
    }
}

/* Checks that the workers finish and that no callback is called while the job is paused. Then
 * resumes the job. */
static void check_pause(struct run *r)
{
    size_t count;
    int i;

    fixture_until(&fx, r->job && bcda__session_is_decoding(fx.session) == 0);
    count = r->count;
    for (i = 0; i < 5; i++)
        (void)fixture_step(&fx);
    ck_assert_uint_eq(r->count, count);
    ck_assert_int_eq(r->done, 0);
    ck_assert_ok(bcda_job_resume(r->job));
}

static void check_end(struct run *r, const struct acting *a)
{
    if (a->act == PAUSE || a->act == PAUSE_JOB) {
        check_pause(r);
        fixture_finish(&fx);
        check_all(r, FILES, LINES);
        return;
    }
    fixture_finish(&fx);
    ck_assert_int_eq(r->done, 1);
    ck_assert_int_eq(r->result, a->act == STOP ? BCDA_ERR_STOPPED : BCDA_ERR_CANCELLED);
}

/* One round of the event loop. The step is the last call, since it may have freed the session. */
static void bare_round(void)
{
    struct pollfd p = {-1, POLLIN, 0};
    int64_t left = bcda__session_next_timer_ms(fx.session);
    int busy = fixture_stat(&fx, BCDA_STAT_TRANSFERS) > 0 || bcda__session_is_decoding(fx.session);

    p.fd = bcda_session_fd(fx.session); /* -1 in a build on poll() */
    if ((p.fd < 0 || poll(&p, 1, busy ? 5 : 0) == 0) && !busy && left > 0)
        fx.now += left;
    fixture_bare_step(&fx);
}

START_TEST(acts)
{
    static const int after[] = {0, 1, 9, 400, 3000};
    struct acting a = {(enum act)(_i % ACTS), after[_i / ACTS % 5], 0};
    enum delivery_way way = _i / ACTS / 5 ? BY_BATCH : BY_RESOURCE;
    struct run *r;

    if (way == BY_BATCH && a.after > 9)
        return;
    begin(2, FILES, LINES, 40);
    r = fixture_start_hook(&fx, way, act, &a);
    while (a.calls <= a.after)
        bare_round();
    if (a.act == FREE) { /* the step that freed the session has ended the job */
        ck_assert_int_eq(r->done, 1);
        fx.session = NULL;
        ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    } else {
        check_end(r, &a);
    }
    fixture_close(&fx);
}
END_TEST

/* ---- while a worker is held ---- */

/* Steps until a worker is held at the gate, just before it decodes a slice of a file (SLICES) or
 * unwraps a key (KEYS). */
static void until_held(enum gate gate)
{
    int i;

    set_gate(gate, 1);
    for (i = 0; i < 100000 && !count_held(gate); i++)
        bare_round();
    ck_assert_int_ge(count_held(gate), 1);
}

START_TEST(end_while_held)
{
    enum gate gate = _i & 4 ? KEYS : SLICES;
    pthread_t opener;
    struct run *r;

    begin(2, FILES, LINES, 40);
    r = fixture_start(&fx, _i & 1 ? BY_PULL : BY_RESOURCE);
    until_held(gate);
    ck_assert_int_eq(bcda__session_is_decoding(fx.session), 1);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_soon, &gate), 0);
    if (_i & 2) {
        ck_assert_ok(bcda_job_cancel(r->job));
        fixture_finish(&fx);
        ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    }
    fixture_close(&fx); /* waits for the slice, and joins the workers */
    ck_assert_int_eq(pthread_join(opener, NULL), 0);
    check_no_threads();
}
END_TEST

/* While workers unwrap the keys of some files, the other files are delivered, and the files that
 * need these keys are not requested. */
START_TEST(keys)
{
    int threads = _i;
    struct run *r;
    size_t i;

    begin(threads, FILES, LINES, 40);
    atomic_store(&unwraps_by_host, 0);
    set_gate(KEYS, 1);
    r = fixture_start(&fx, BY_RESOURCE);
    if (threads) {
        while (r->count < 4 * LINES) /* fixture_step() could wait for a held worker */
            bare_round();
        wait_for_held(KEYS, threads < 2 ? threads : 2); /* two files are encrypted */
        ck_assert_int_eq(count_held(KEYS), threads < 2 ? threads : 2);
        for (i = 0; i < FILES; i++)
            ck_assert_uint_eq(scripted_count(fx.server, paths[i]), i % 3 != 1);
    }
    set_gate(KEYS, 0);
    fixture_finish(&fx);
    check_all(r, FILES, LINES);
    ck_assert_int_eq(atomic_load(&unwraps_by_host), threads ? 0 : 2);
    fixture_close(&fx);
}
END_TEST

/* Serves a gzip file whose first response is cut inside a second gzip member. The answer to the
 * range request names a file length below that: the end of the first member or, with `elsewhere`,
 * another offset. */
static void serve_past_the_end(int by_416, int elsewhere)
{
    struct buf plain = {0}, body = {0}, head = {0};
    struct scripted_entry e = {0};
    struct scripted_answer *x;
    size_t stored, cut = by_416 ? 80 : 30, i;

    add_lines(&plain, 0, LINES, 40);
    scripted_gzip(&body, plain.p, plain.len);
    stored = body.len;
    buf_add(&body, "\x1f\x8b\x08\x08\0\0\0\0\0\xff", 10);
    for (i = 0; i < 100; i++)
        buf_add(&body, "n", 1); /* file name of the second member */
    x = scripted_on(fx.server, paths[0], 1);
    buf_printf(&head,
               "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Encoding: gzip\r\n"
               "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
               stored + 200);
    scripted_send(x, head.p, head.len);
    scripted_send(x, body.p, stored + cut);
    scripted_finish(x, SCRIPTED_CUT);
    x = scripted_on(fx.server, paths[0], 1);
    head.len = 0;
    if (by_416)
        buf_printf(&head, "HTTP/1.1 416 No\r\nContent-Range: bytes */%zu\r\n",
                   stored - (size_t)elsewhere);
    else
        buf_printf(&head,
                   "HTTP/1.1 206 Part\r\nContent-Encoding: gzip\r\n"
                   "Content-Range: bytes %zu-%zu/%zu\r\n",
                   stored + cut - 64, stored - 1, stored + (size_t)elsewhere);
    buf_printf(&head, "Content-Length: 0\r\nConnection: close\r\n\r\n");
    scripted_send(x, head.p, head.len);
    /* The second 200 response has the complete second member. */
    buf_add(&body, "\0\x03\0\0\0\0\0\0\0\0\0", 11);
    scripted_reply(fx.server, paths[0], "200 OK", "Content-Encoding: gzip\r\n", body.p, body.len);
    e.type = "Patient";
    e.path = paths[0];
    scripted_export(fx.server, &e, 1);
    buf_free(&plain);
    buf_free(&body);
    buf_free(&head);
}

/* The Content-Range of a 206 or 416 names a file length that is smaller than what was already
 * received. Tested without and with workers, in streaming and verified delivery. In verified
 * delivery, bytes received after that length must not be delivered from the spool. */
START_TEST(end_named)
{
    int verified = _i / 4 % 2, threads = _i / 8;
    struct run *r;

    session_thread = pthread_self();
    fixture_open_scripted(&fx, 0);
    serve_past_the_end(_i % 2, _i & 2);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    r = fixture_run(&fx, BY_RESOURCE);
    check_all(r, 1, LINES);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), _i & 2 ? 3 : 2);
    fixture_close(&fx);
}
END_TEST

/* ---- slow files ---- */

static int pause_first(struct run *r, enum where where, void *object)
{
    int *paused = r->arg;

    (void)object;
    return where == AT_RESOURCE && !(*paused)++ ? BCDA_PAUSE : BCDA_CONTINUE;
}

enum { PARTS = 4, WINDOW_MS = 60000, A_SECOND = 16 };

/* Serves one plain file in PARTS parts, of which each but the first waits for a gate. Returns the
 * length of the file. */
static size_t serve_parts(void)
{
    struct scripted_entry e = {"Patient", paths[0], NULL, 0};
    struct scripted_answer *x = scripted_on(fx.server, paths[0], 0);
    struct buf text = {0}, head = {0};
    size_t each, len, i;

    add_lines(&text, 0, PARTS * 40, 40);
    each = text.len / PARTS;
    buf_printf(&head, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: %zu\r\n\r\n",
               text.len);
    scripted_send(x, head.p, head.len);
    for (i = 0; i < PARTS; i++) {
        if (i)
            scripted_gate(x, (unsigned)i);
        scripted_send(x, text.p + i * each, i + 1 < PARTS ? each : text.len - i * each);
    }
    scripted_export(fx.server, &e, 1);
    len = text.len;
    buf_free(&text);
    buf_free(&head);
    return len;
}

/* Moves the clock by the time after which the library checks the speed of a transfer, and lets that
 * check take effect. */
static void pass_window(void)
{
    int i;

    fx.now += WINDOW_MS;
    for (i = 0; i < 20; i++)
        bare_round();
}

/* A file that arrives slowly, but not too slowly, needs only one request, whichever thread reads
 * it. So does a file that workers decode while its job is paused for longer than a server may be
 * silent. */
START_TEST(speed)
{
    int paused = _i >= 3, threads = paused ? _i - 2 : _i, was_paused = 0;
    struct run *r;
    size_t len, i;

    session_thread = pthread_self();
    fixture_open_scripted(&fx, 0);
    len = serve_parts();
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    fixture_set(&fx, BCDA_OPT_LOW_SPEED_TIME_MS, WINDOW_MS);
    fixture_set(&fx, BCDA_OPT_LOW_SPEED_BYTES, A_SECOND);
    fixture_session(&fx);
    r = fixture_start_hook(&fx, BY_RESOURCE, paused ? pause_first : NULL, &was_paused);
    for (i = 1; i <= PARTS; i++) {
        while (bcda_job_bytes_received(r->job) < (int64_t)(len / PARTS * i))
            bare_round();
        ck_assert_uint_ge(len / PARTS, A_SECOND * WINDOW_MS / 1000);
        while (paused && !was_paused) { /* let time pass until the unfilled batch is delivered */
            fx.now += 1000;
            bare_round();
        }
        if (paused)
            break;
        pass_window();
        scripted_open_gate(fx.server, (unsigned)i);
    }
    for (i = 1; paused && i < PARTS; i++) {
        pass_window();
        scripted_open_gate(fx.server, (unsigned)i);
    }
    if (paused)
        ck_assert_ok(bcda_job_resume(r->job));
    fixture_finish(&fx);
    check_all(r, 1, (size_t)PARTS * 40);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 1);
    fixture_close(&fx);
}
END_TEST

/* ---- memory ---- */

/* The limit that doc/guide/memory-and-limits.md gives for a download, with lines of 1 KB and
 * batches of 256 KiB: 1,280 KiB of bytes and four batches, each of less than 512 KiB with its
 * index. */
START_TEST(memory)
{
    enum { BIG = 4000, EACH = (1280 + 4 * 512) * 1024, SESSION = 1024 * 1024 };
    struct run *r;
    int paused = 0;

    begin(2, FILES, BIG, 1000);
    atomic_store(&most_bytes, 0);
    r = fixture_start_hook(&fx, BY_RESOURCE, pause_first, &paused);
    fixture_until(&fx, paused);
    check_pause(r);
    fixture_finish(&fx);
    check_all(r, FILES, BIG);
    ck_assert_msg(atomic_load(&most_bytes) < FILES * EACH + SESSION, "%lld bytes were held",
                  atomic_load(&most_bytes));
    fixture_close(&fx);
}
END_TEST

/* Refuses each of a worker's first 40 allocations, one in each round. Which allocation is the n-th
 * depends on the timing of the threads, so a run cannot be repeated exactly. The checks hold for
 * any timing. */
START_TEST(no_memory)
{
    long long blocks;
    struct run *r;
    int n, hits = 0;

    for (n = 1; n <= 40; n++) {
        begin(1, 3, 200, 40);
        blocks = atomic_load(&live_blocks);
        atomic_store(&worker_calls, 0);
        atomic_store(&refused, 0);
        refuse_at = n;
        r = fixture_start(&fx, n % 2 ? BY_RESOURCE : BY_BATCH);
        fixture_until(&fx, r->done);
        refuse_at = 0;
        hits += atomic_load(&refused);
        if (r->result)
            ck_assert_int_eq(r->result, BCDA_ERR_NOMEM);
        else
            check_all(r, 3, 200);
        fixture_close(&fx);
        ck_assert_int_lt(atomic_load(&live_blocks), blocks);
    }
    ck_assert_int_gt(hits, 3);
}
END_TEST

/* ---- time in each stage ---- */

enum { CALLBACK_NS = 200000, STAGE_NS = 300000 };

static int spin_in_callback(struct run *r, enum where where, void *object)
{
    (void)object;
    if (where == AT_RESOURCE) {
        ++*(int *)r->arg;
        spin(CALLBACK_NS);
    }
    return BCDA_CONTINUE;
}

static int64_t check_stages(int verified)
{
    static const int stats[STAGES] = {BCDA_STAT_HASH_NS, BCDA_STAT_INFLATE_NS, BCDA_STAT_DECRYPT_NS,
                                      BCDA_STAT_PARSE_NS, BCDA_STAT_SPOOL_NS};
    int64_t sum = 0, spent;
    int i, calls;

    for (i = 0; i < STAGES; i++) {
        calls = atomic_load(&stage_calls[i]);
        spent = fixture_stat(&fx, stats[i]);
        sum += spent;
        ck_assert_int_eq(calls > 0, verified || i != SPOOL);
        ck_assert_msg(spent >= calls * (int64_t)STAGE_NS, "%d: %lld for %d calls", stats[i],
                      (long long)spent, calls);
        ck_assert_int_eq(spent > 0, calls > 0);
    }
    return sum;
}

/* The statistic of each stage is at least the time that the wraps added to that stage. Without
 * decode threads, no time is counted twice. */
START_TEST(stages)
{
    int calls = 0, threads = _i % 3, verified = _i / 3, i;
    int64_t began, transport, deliver, slept, codec;
    struct run *r;

    prepare(threads, 3, 40, 40);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    fixture_session(&fx);
    for (i = 0; i < STAGES; i++)
        atomic_store(&stage_calls[i], 0);
    stage_ns = STAGE_NS;
    began = now_ns();
    for (i = BCDA_STAT_TRANSPORT_NS; i <= BCDA_STAT_SLEEP_NS; i++)
        ck_assert_int_eq(fixture_stat(&fx, i), 0);
    r = fixture_start_hook(&fx, BY_RESOURCE, spin_in_callback, &calls);
    while (bcda_job_state(r->job) < BCDA_JOB_DOWNLOADING)
        bare_round();
    /* So far all waiting was done by bare_round(), not by the library. */
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_SLEEP_NS), 0);
    fx.inside = 1;
    ck_assert_ok(bcda_session_run(fx.session, 60000));
    fx.inside = 0;
    stage_ns = 0;
    check_all(r, 3, 40);
    transport = fixture_stat(&fx, BCDA_STAT_TRANSPORT_NS);
    deliver = fixture_stat(&fx, BCDA_STAT_DELIVER_NS);
    slept = fixture_stat(&fx, BCDA_STAT_SLEEP_NS);
    codec = check_stages(verified);
    ck_assert_int_gt(transport, 0);
    ck_assert_int_gt(slept, 0);
    ck_assert_int_eq(calls, 120);
    ck_assert_int_ge(deliver, (int64_t)calls * CALLBACK_NS);
    if (!threads)
        ck_assert_int_le(transport + deliver + slept + codec, now_ns() - began);
    fixture_close(&fx);
}
END_TEST

/* ---- notifications within a step ---- */

static int reports_come_late;    /* let a worker finish after a step has read its descriptors */
static bcda_session *woken_late; /* session to wake up at that point */

PROTOTYPES(int, bcda__loop_take, struct bcda__loop *l, struct bcda__loop_ready *out, int max,
           int *timer, int *woken);

int __wrap_bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                           int *woken)
{
    struct pollfd poked = {-1, POLLIN, 0};
    int n = __real_bcda__loop_take(l, out, max, timer, woken);

    if (reports_come_late && count_held(SLICES)) {
        reports_come_late = 0;
        set_gate(SLICES, 0);
        /* A due timer makes the loop ready as well: only the wake-up descriptor shows the poke. */
        poked.fd = bcda__loop_wake_fd(l);
        ck_assert_int_eq(poll(&poked, 1, 20000), 1);
        if (woken_late)
            ck_assert_ok(bcda_session_wakeup(woken_late));
        woken_late = NULL;
    }
    return n;
}

/* Returns whether a step would make progress. Does not use the session's descriptor, which a build
 * on poll() does not have. */
static int is_step_due(int timeout_ms)
{
    return bcda__engine_wait(fx.session->cx.engine, timeout_ms) == 0;
}

/* A notification by a worker that arrives while a step reads its descriptors is handled in that
 * step, and causes no further step. */
START_TEST(late_report)
{
    struct run *r;
    int late = 0;

    prepare(1, 1, 200, 40);
    fx.config->clock = bcda__clock_system();
    fixture_session(&fx);
    set_gate(SLICES, 1);
    r = fixture_start(&fx, BY_RESOURCE);
    while (!r->done) {
        int is_late;

        if (!late && bcda__session_is_decoding(fx.session))
            wait_for_held(SLICES, 1); /* else the session's thread might decode the whole file */
        is_late = !late && count_held(SLICES) && !is_step_due(100);
        if (is_late)
            late = reports_come_late = 1;
        else
            ck_assert_int_eq(is_step_due(60000), 1);
        fx.inside = 1;
        if (is_late)
            ck_assert_int_ge(bcda_session_step(fx.session), 0);
        else
            ck_assert_int_eq(bcda_session_step(fx.session), 1);
        fx.inside = 0;
    }
    ck_assert_int_eq(late, 1);
    ck_assert_int_eq(is_step_due(0), 0);
    check_all(r, 1, 200);
    fixture_close(&fx);
}
END_TEST

/* A wake-up that arrives during a step is not lost when the step clears the notifications of
 * workers. */
START_TEST(late_wake_up)
{
    struct run *r;

    prepare(1, 1, 200, 40);
    fx.config->clock = bcda__clock_system();
    fixture_session(&fx);
    set_gate(SLICES, 1);
    r = fixture_start(&fx, BY_RESOURCE);
    while (!count_held(SLICES))
        if (is_step_due(10))
            fixture_bare_step(&fx);
    ck_assert_ok(bcda_job_resume(r->job)); /* so that a step is due while the worker is held */
    reports_come_late = 1;
    woken_late = fx.session;
    fx.inside = 1;
    ck_assert_int_eq(bcda_session_run(fx.session, -1), BCDA_ERR_INTERRUPTED);
    ck_assert_ok(bcda_session_run(fx.session, -1));
    fx.inside = 0;
    check_all(r, 1, 200);
    fixture_close(&fx);
}
END_TEST

/* ---- several jobs and long runs ---- */

START_TEST(many_jobs)
{
    enum { JOBS = 5 };
    struct run *r[JOBS];
    int i;

    begin(3, FILES, LINES, 40);
    for (i = 0; i < JOBS; i++)
        r[i] = fixture_start(&fx, (enum delivery_way)(i % 3));
    fixture_finish(&fx);
    for (i = 0; i < JOBS; i++)
        check_all(r[i], FILES, LINES);
    fixture_close(&fx);
}
END_TEST

/* A notification by a worker does not interrupt bcda_session_run(), but a wake-up by the
 * application would. */
START_TEST(run_is_not_interrupted)
{
    struct run *r;

    begin(2, FILES, LINES, 40);
    r = fixture_start(&fx, BY_RESOURCE);
    while (bcda_job_state(r->job) < BCDA_JOB_DOWNLOADING)
        bare_round();
    fx.inside = 1;
    ck_assert_ok(bcda_session_run(fx.session, 60000));
    fx.inside = 0;
    check_all(r, FILES, LINES);
    fixture_close(&fx);
}
END_TEST

/* ---- the worker is ahead of the session ---- */

static int wait_for_workers; /* bcda__pipe_state() waits until no worker runs a slice of the pipe */

PROTOTYPES(enum bcda__pipe_state, bcda__pipe_state, struct bcda__pipe *p);

enum bcda__pipe_state __wrap_bcda__pipe_state(struct bcda__pipe *p)
{
    enum bcda__pipe_state state = __real_bcda__pipe_state(p);

    while (wait_for_workers && state == BCDA__PIPE_BUSY) {
        usleep(100);
        state = __real_bcda__pipe_state(p);
    }
    return state;
}

/* Between the session's question whether a batch is finished, and its question for the state of the
 * pipe, the worker finishes as many batches as can wait. The file is not over then, and all of it
 * must be delivered. */
START_TEST(finished_in_between)
{
    enum { LINES_OF_FILE = 2000 };
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/a", 0, LINES_OF_FILE);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, 2);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    if (_i)
        fixture_set_verified(&fx, tempdir());
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    wait_for_workers = 1;
    r = fixture_run(&fx, BY_BATCH);
    wait_for_workers = 0;
    fixture_check_result(r, 0);
    ck_assert_int_eq(bcda_job_resources(r->job), LINES_OF_FILE);
    fixture_close(&fx);
}
END_TEST

SUITE("threads")
{
    unsetenv("BCDA_TEST_DECODE_THREADS"); /* each test sets its own number of threads */
    suite_case("threads");
    suite_loop(counts, 0, 4);
    suite_loop(too_few, 0, 2);
    suite_test(some_later);
    suite_loop(readers, 0, 2);
    suite_loop(acts, 0, ACTS * 5 * 2);
    suite_loop(end_while_held, 0, 8);
    suite_loop(keys, 0, 4);
    suite_loop(end_named, 0, 16);
    suite_loop(speed, 0, 5);
    suite_test(memory);
    suite_test(no_memory);
    suite_loop(stages, 0, 6);
    suite_test(many_jobs);
    suite_test(run_is_not_interrupted);
    suite_case("reports");
    suite_test(late_report);
    suite_test(late_wake_up);
    suite_loop(finished_in_between, 0, 2);
}
