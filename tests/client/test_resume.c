/* Transfers that are cut at any byte, once or many times: every resource is delivered once, byte
 * for byte, or the file fails and nothing is delivered after that. BCDA_TEST_ROUNDS sets how many
 * offsets are tested. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../sample.h"
#include "../tempdir.h"
#include "fixture.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

enum { SMALL_BATCH = 4096, PER_SESSION = 20 };

/* Opens a session with small batches. Delivery then starts early, so that a cut of the response
 * comes in the middle of the delivery. */
static void begin(const char *era)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = era));
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, SMALL_BATCH);
    fixture_session(&fx);
    fixture_export_eob(&fx, era);
}

static int64_t stored_size_of(const char *type)
{
    struct stat st;

    ck_assert_int_eq(stat(sandbox_stored_file(fx.sandbox, type, 0), &st), 0);
    return st.st_size;
}

static int64_t stored_size(void)
{
    return stored_size_of(EOB);
}

/* ---- faults that are set after the first delivery ---- */

struct later {
    const char *const *faults;
    int set, every; /* `every`: pauses at each n-th resource or batch; 0 = never */
    int calls, pauses;
};

static int set_later(struct run *r, enum where where, void *object)
{
    struct later *l = r->arg;
    const char *const *f;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH)
        return BCDA_CONTINUE;
    for (f = l->faults; !l->set && *f; f++)
        fixture_fault(&fx, *f);
    l->set = 1;
    if (l->every && ++l->calls % l->every == 0) {
        l->pauses++;
        return BCDA_PAUSE;
    }
    return BCDA_CONTINUE;
}

/* The first response is cut at the offset FIRST_CUT. The faults of a case are set once some lines
 * of that response were delivered. BY_PART: see `data` below. */
enum { FIRST_CUT = 50000, BY_PART = -1 };

struct later_case {
    const char *faults[4];
    /* Expected results by the form of the file. With `packed_anew` the server compresses the stored
     * file for each response: the offsets of a 206 do not fit those of the first response, so the
     * client refuses each 206. Faults in the stored file are then inside the gzip stream. */
    int plain, encrypted, gzip, packed_anew;
    int data; /* requests for the plain file; BY_PART: calculated from `part` */
    int part; /* BY_PART: bytes in each response after the first, with the overlap */
    int lost; /* requests that the server dropped before it counted them */
};

/* Short names, so that a case fits on a line. */
enum {
    CHANGED = BCDA_ERR_CHANGED,
    TRUNCATED = BCDA_ERR_TRUNCATED,
    TRANSFER = BCDA_ERR_TRANSFER,
    SERVER = BCDA_ERR_SERVER,
    NOT_JSON = BCDA_ERR_NOT_JSON,
    GZIP = BCDA_ERR_GZIP,
    LINE_UTF8 = BCDA_ERR_LINE_UTF8,
};

static const struct later_case laters[] = {
    {{NULL}, 0, 0, 0, 0, 2, 0, 0},
    {{"data-cut:20000", NULL}, 0, 0, 0, TRUNCATED, BY_PART, 20000, 0},
    {{"data-cut:20000*7", NULL}, 0, 0, 0, 0, 9, 0, 0},
    {{"range-wrong*1", NULL}, 0, 0, 0, 0, 3, 0, 0},
    {{"range-wrong", NULL}, 0, 0, 0, 0, 3, 0, 0},
    {{"no-range", NULL}, 0, 0, 0, 0, 2, 0, 0},
    {{"no-range*1", "data-cut:200000*1", NULL}, 0, 0, 0, 0, 3, 0, 0},
    {{"range-max:4096", NULL}, 0, 0, 0, 0, BY_PART, 4096, 0},
    {{"range-max:4096", "data-cut:3000", NULL}, 0, 0, 0, TRUNCATED, BY_PART, 3000, 0},
    /* the eighth attempt brings a 206; if the client refuses it, there is no ninth attempt */
    {{"data-503-once*7", NULL}, 0, 0, 0, TRANSFER, 9, 0, 0},
    {{"data-401-once", NULL}, 0, 0, 0, 0, 3, 0, 0},
    {{"reset*7", NULL}, 0, 0, 0, TRANSFER, 2, 0, 7},
    {{"data-404-once", NULL}, 0, 0, 0, 0, 3, 0, 0},
    /* another Last-Modified: the server sends the whole file, which repeats the bytes received
     * before */
    {{"changed", NULL}, 0, 0, 0, 0, 2, 0, 0},
    {{"changed", "data-cut:150000*1", NULL}, 0, 0, 0, 0, 3, 0, 0},
    /* the server sends the whole file with other bytes, with and without another Last-Modified */
    {{"changed", "data-flip:50", NULL}, CHANGED, CHANGED, CHANGED, CHANGED, 2, 0, 0},
    {{"no-range", "data-flip:0", NULL}, CHANGED, CHANGED, CHANGED, CHANGED, 2, 0, 0},
    /* the file has another length */
    {{"data-extra:10", NULL}, CHANGED, CHANGED, GZIP, LINE_UTF8, 3, 0, 0},
    {{"no-range", "data-extra:10", NULL}, CHANGED, CHANGED, GZIP, LINE_UTF8, 2, 0, 0},
    {{"data-short:5000", NULL}, CHANGED, CHANGED, TRUNCATED, TRUNCATED, 3, 0, 0},
    /* a range request repeats the last 64 bytes received (the overlap), so a response of 64 bytes
     * has no new byte; eight such responses in a row fail the file */
    {{"data-cut:64", NULL}, TRUNCATED, TRUNCATED, TRUNCATED, TRUNCATED, 9, 0, 0},
    {{"data-cut:65*20", NULL}, 0, 0, 0, TRUNCATED, 22, 0, 0},
    {{"data-cut:0", NULL}, TRUNCATED, TRUNCATED, TRUNCATED, TRUNCATED, 9, 0, 0},
    {{"range-max:64", NULL}, TRUNCATED, TRUNCATED, TRUNCATED, 0, 9, 0, 0},
    {{"range-max:63", NULL}, TRUNCATED, TRUNCATED, TRUNCATED, 0, 9, 0, 0},
    {{"no-range", "data-cut:30000", NULL}, TRUNCATED, TRUNCATED, TRUNCATED, TRUNCATED, 9, 0, 0},
    {{"data-503-once*8", NULL}, SERVER, SERVER, SERVER, SERVER, 9, 0, 0},
    {{"data-html", NULL}, NOT_JSON, CHANGED, NOT_JSON, NOT_JSON, 2, 0, 0},
};

enum { LATERS = sizeof laters / sizeof *laters };

static void check_provisional(const struct run *r)
{
    size_t i;

    for (i = 0; i < r->count; i++)
        ck_assert_int_eq(r->got[i].provisional, 1);
}

/* For plain and encrypted files: checks that no line was delivered that ends after FIRST_CUT. */
static void check_nothing_more(struct run *r)
{
    size_t len;
    char *plain = fixture_read(sandbox_plain_file(fx.sandbox, EOB, 0), &len);
    const struct got *last = r->count ? &r->got[r->count - 1] : NULL;

    ck_assert_uint_gt(len, FIRST_CUT);
    if (last)
        ck_assert_int_le(last->offset + (int64_t)last->line_len, FIRST_CUT);
    free(plain);
}

static const char *const eras[] = {"2019-12", "2019-04", "current", "2021"};

/* Returns how many requests for the plain file the server must have counted at the end. */
static int64_t requests_of(const struct later_case *c)
{
    int64_t left = stored_size() - FIRST_CUT, brings = c->part - 64;

    return c->data == BY_PART ? 1 + (left + brings - 1) / brings : c->data;
}

START_TEST(broken_later)
{
    const struct later_case *c = &laters[_i % LATERS];
    int form = _i / LATERS % 4, slow = _i >= LATERS * 4; /* `slow`: the application pauses often */
    const int codes[] = {c->plain, c->encrypted, c->gzip, c->packed_anew};
    int code = codes[form];
    struct sandbox_options o = {0};
    struct later l = {0};
    const bcda_error *e;
    struct run *r;
    char spec[64];

    o.era = eras[form];
    o.file_bytes = form >= 2 ? 1500000 : 0; /* large enough for half of it to fill a batch */
    fixture_open_sandbox(&fx, &o);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, SMALL_BATCH);
    fixture_session(&fx);
    fixture_export_eob(&fx, o.era);
    snprintf(spec, sizeof spec, "data-cut:%d*1", FIRST_CUT);
    fixture_fault(&fx, spec);
    l.faults = c->faults;
    r = fixture_start_hook(&fx, _i % 2 ? BY_RESOURCE : BY_BATCH, set_later, &l);
    l.every = slow ? 10 : 0;
    while (slow && !r->done) {
        fixture_idle(&fx);
        if (!r->done)
            ck_assert_ok(bcda_job_resume(r->job));
    }
    ck_assert_int_eq(l.pauses > 0, slow);
    fixture_finish(&fx);
    ck_assert_int_eq(l.set, 1);
    if (code == 0) {
        fixture_check_export(r);
        if (form < 2)
            ck_assert_int_eq(bcda_job_bytes_received(r->job), stored_size());
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_BYTES_DECODED), bcda_job_bytes(r->job));
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RESOURCES), (int64_t)r->count);
        ck_assert_int_ge(fixture_stat(&fx, BCDA_STAT_BYTES_WIRE), bcda_job_bytes_received(r->job));
    } else {
        e = fixture_check_failed(r, code);
        ck_assert_str_eq(bcda_error_file(e), bcda_file_name(fixture_file(r, EOB, 0)));
        ck_assert_uint_gt(r->count, 0);
        (void)fixture_check_file(r, fixture_file(r, EOB, 0), 0);
        check_provisional(r);
        if (form < 2)
            check_nothing_more(r);
    }
    if (form == 0) {
        ck_assert_int_eq((int64_t)sandbox_count(fx.sandbox, "data"), requests_of(c));
        ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_RETRIES), requests_of(c) - 1 + c->lost);
    }
    fixture_close(&fx);
}
END_TEST

/* A transfer that stalls is aborted, and resumed by a second request. */
START_TEST(stalled)
{
    int64_t start;
    struct run *r;

    begin(eras[_i]);
    fixture_fault(&fx, "stall*1");
    start = fx.now;
    r = fixture_start(&fx, BY_BATCH);
    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    fixture_stall(&fx, r, 1000);
    fixture_finish(&fx);
    fixture_check_export(r);
    ck_assert_int_ge(fx.now - start, 60000);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 2);
    fixture_close(&fx);
}
END_TEST

/* Lets the tokens expire when the file begins, and again at its first resource. Two requests are
 * refused then, with data between them. After each 401 the client fetches a new token, and neither
 * 401 fails the file. */
static int end_tokens(struct run *r, enum where where, void *object)
{
    int *ended = r->arg;

    (void)object;
    if (where == AT_BEGIN || (where == AT_RESOURCE && !*ended)) {
        *ended = where == AT_RESOURCE;
        sandbox_expire_tokens(fx.sandbox);
    }
    return BCDA_CONTINUE;
}

START_TEST(tokens_end_twice)
{
    struct run *r;
    int ended = 0;

    begin("2019-12");
    fixture_fault(&fx, "data-cut:300000*1");
    r = fixture_run_hook(&fx, BY_RESOURCE, end_tokens, &ended);
    fixture_check_export(r);
    ck_assert_uint_ge(sandbox_count(fx.sandbox, "401"), 2);
    fixture_close(&fx);
}
END_TEST

/* Cuts before the first batch is full. If no more than 64 bytes were received, which a range
 * request would repeat, the client requests no range. Seven attempts that bring no new byte do not
 * fail the file. */
START_TEST(cut_early)
{
    static const char *const cuts[] = {"data-cut:0*7", "data-cut:1*7", "data-cut:40*7",
                                       "data-cut:1000*7"};
    struct run *r;

    begin(eras[_i / 4]);
    fixture_fault(&fx, cuts[_i % 4]);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_export(r);
    if (_i < 8) /* the other forms are not sent as stored */
        ck_assert_int_eq(bcda_job_bytes_received(r->job), stored_size());
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_BYTES_DECODED), bcda_job_bytes(r->job));
    if (_i % 4 < 3)
        ck_assert_uint_eq(sandbox_count(fx.sandbox, "range"), 0);
    else
        ck_assert_uint_gt(sandbox_count(fx.sandbox, "range"), 0);
    /* With a file that is compressed for each response, a 206 does not fit the first response: the
     * client requests the whole file once more. */
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), _i == 15 ? 9 : 8);
    fixture_close(&fx);
}
END_TEST

/* ---- a gzip member that a 200 response has and a 206 lacks ---- */

/* Today's server appends an empty gzip member of 23 bytes to a file in a 200 response, but not in a
 * 206. If the file is small, or a proxy buffers it, the Content-Length of the 200 includes this
 * member. The Content-Range of each 206 names the length of the file without the member. */
enum { MEMBER = 23, PATIENTS = 20 };

struct member_case {
    const char *type;
    int part;     /* percentage of the stored file at which the first response is cut */
    int64_t more; /* bytes added to that offset */
    int requests; /* expected requests for the file */
    int pauses;
};

/* Sets where the first response is cut, once the file exists. If the case has pauses, pauses at
 * every fourth resource. */
static int cut_small(struct run *r, enum where where, void *object)
{
    struct member_case *c = r->arg;
    char spec[64];

    (void)object;
    if (where == AT_BEGIN) {
        snprintf(spec, sizeof spec, "data-cut:%lld*1",
                 (long long)(stored_size_of(c->type) * c->part / 100 + c->more));
        fixture_fault(&fx, spec);
    }
    return where == AT_RESOURCE && c->pauses && c->pauses++ % 4 == 0 ? BCDA_PAUSE : BCDA_CONTINUE;
}

/* After a 206 that brings the last byte of the stored file, the client sends one more request,
 * whose answer shows that no byte was missing. */
static const struct member_case members[] = {
    {NULL, 0, 0, 2, 0},   {NULL, 50, 0, 3, 0},   {NULL, 100, -1, 3, 0},
    {NULL, 100, 0, 2, 0}, {NULL, 100, 10, 2, 0}, {NULL, 100, 22, 2, 0},
};

enum { MEMBERS = sizeof members / sizeof *members };

/* Tests each cut with and without a proxy that buffers, in streaming and verified delivery, and
 * once more with an application that pauses. */
START_TEST(added_member)
{
    struct member_case c = members[_i % MEMBERS];
    int buffered = _i / MEMBERS % 2, verified = _i / MEMBERS / 2 % 2;
    int64_t start;
    struct run *r;

    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .patients = PATIENTS));
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, SMALL_BATCH);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    fixture_session(&fx);
    c.type = buffered ? EOB : "Patient";
    c.pauses = _i >= MEMBERS * 4;
    fixture_export(&fx, BCDA_LEVEL_PATIENT, c.type, NULL);
    if (buffered)
        fixture_fault(&fx, "buffered");
    start = fx.now;
    r = fixture_start_hook(&fx, BY_RESOURCE, cut_small, &c);
    while (c.pauses && !r->done) {
        fixture_idle(&fx);
        if (!r->done)
            ck_assert_ok(bcda_job_resume(r->job));
    }
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_export(r);
    ck_assert_int_eq(stored_size_of(c.type) + MEMBER <= 2048, !buffered);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), (unsigned)c.requests);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "range"), c.part ? (unsigned)c.requests - 1 : 0);
    ck_assert_int_le(fx.now - start, 10000);
    fixture_close(&fx);
}
END_TEST

/* ---- lengths that contradict one another ---- */

/* A scripted response. `len`, `from` and `total` are relative to the length of the stored file. A
 * whole file as the server sends it has EXTRA bytes more: a gzip member or a line. */
enum how { NO_MORE, WHOLE, WHOLE_CUT, CHUNKED_CUT, PART, PART_CUT, UNSATISFIED };

struct reply {
    enum how how;
    int64_t len;  /* WHOLE, WHOLE_CUT and CHUNKED_CUT: the length that is announced */
    int64_t from; /* where the new bytes of a 206 start, or where a 200 is cut */
    int64_t total;
};

/* HALF stands for half the stored file in place of a relative length. In a plain file, a line ends
 * there. */
enum { HALF = -1000000 };

struct contradiction {
    int gzip;
    struct reply replies[5];
    int code;     /* expected result of the job */
    int requests; /* expected requests for the file */
};

static const struct contradiction contradictions[] = {
    /* plain file: nothing shows that the 206 brings the last byte of the file, so the client
     * requests the whole file, whose length decides */
    {0, {{WHOLE_CUT, 23, HALF, 0}, {PART, 0, HALF, 0}, {PART, 0, 0, 0}, {WHOLE, 23, 0, 0}}, 0, 4},
    {0, {{WHOLE_CUT, 23, 0, 0}, {PART, 0, 0, 0}, {WHOLE, 23, 0, 0}}, 0, 3},
    {0, {{WHOLE_CUT, 23, 0, 0}, {PART, 0, 0, 0}, {WHOLE, 0, 0, 0}}, BCDA_ERR_CHANGED, 3},
    {0, {{WHOLE_CUT, 23, HALF, 0}, {UNSATISFIED, 0, 0, HALF}, {WHOLE, 23, 0, 0}}, 0, 3},
    {0, {{WHOLE_CUT, 23, 0, 0}, {UNSATISFIED, 0, 0, 0}, {WHOLE, 23, 0, 0}}, 0, 3},
    /* gzip: the trailer shows that the bytes already received are the complete file */
    {1, {{WHOLE_CUT, 23, HALF, 0}, {PART, 0, HALF, 0}, {PART, 0, 0, 0}}, 0, 3},
    {1, {{WHOLE_CUT, 23, 0, 0}, {UNSATISFIED, 0, 0, 0}}, 0, 2},
    {1, {{WHOLE_CUT, 23, 7, 0}, {UNSATISFIED, 0, 0, 0}}, 0, 2},
    /* gzip: no trailer ends at the length that the server names, so the whole file is requested */
    {1, {{WHOLE_CUT, 23, 0, 0}, {PART, 0, 0, -10}, {WHOLE, 23, 0, 0}}, 0, 3},
    {1, {{WHOLE_CUT, 23, -10, 0}, {PART, 0, -10, -10}, {WHOLE, 23, 0, 0}}, 0, 3},
    {1, {{WHOLE_CUT, 23, 0, 0}, {UNSATISFIED, 0, 0, -10}, {WHOLE, 23, 0, 0}}, 0, 3},
    {1, {{WHOLE_CUT, 23, 7, 0}, {PART, 0, 7, 1}, {WHOLE, 23, 0, 0}}, 0, 3},
    /* the total in the Content-Range of a 206 is not taken for the length of a 200 */
    {1,
     {{CHUNKED_CUT, 23, HALF, 0},
      {PART_CUT, 0, HALF, 0},
      {UNSATISFIED, 0, 0, 500000},
      {WHOLE, 23, 0, 0}},
     0,
     4},
};

enum { CONTRADICTIONS = sizeof contradictions / sizeof *contradictions, EXTRA = 23, EXCESS = 100 };

static const char date[] = "Last-Modified: Wed, 01 Jul 2026 00:00:00 GMT\r\n";

static size_t place(int64_t at, size_t stored, size_t half)
{
    return at == HALF ? half : (size_t)((int64_t)stored + at);
}

static void add_reply(struct scripted_server *s, const struct contradiction *c,
                      const struct reply *r, const struct buf *body, size_t half)
{
    size_t stored = body->len - EXTRA, from = place(r->from, stored, half);
    size_t total = place(r->total, stored, half), len = place(r->len, stored, half);
    int cut = r->how == WHOLE_CUT || r->how == CHUNKED_CUT || r->how == PART_CUT;
    struct scripted_answer *a = scripted_on(s, "/data/", 1);
    const char *coding = c->gzip ? "Content-Encoding: gzip\r\n" : "";
    struct buf head = {0};

    if (r->how == UNSATISFIED)
        buf_printf(&head, "HTTP/1.1 416 No\r\nContent-Range: bytes */%zu\r\nContent-Length: 0\r\n",
                   total);
    else if (r->how == CHUNKED_CUT)
        buf_printf(&head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s", coding);
    else if (r->how == PART || r->how == PART_CUT)
        buf_printf(&head,
                   "HTTP/1.1 206 Part\r\nContent-Range: bytes %zu-%zu/%zu\r\n"
                   "Content-Length: %zu\r\n%s",
                   from - 64, total - 1, total, total - from + 64, coding);
    else
        buf_printf(&head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s", len, coding);
    buf_printf(&head, "Accept-Ranges: bytes\r\n%s\r\n", date);
    if (r->how == CHUNKED_CUT)
        buf_printf(&head, "%zx\r\n", len);
    scripted_send(a, head.p, head.len);
    if (r->how == PART || r->how == PART_CUT)
        scripted_send(a, body->p + from - 64, (cut ? from + EXCESS : total) - from + 64);
    else if (r->how != UNSATISFIED)
        scripted_send(a, body->p, cut ? from : len);
    scripted_finish(a, cut ? SCRIPTED_CUT : SCRIPTED_CLOSE);
    buf_free(&head);
}

/* Makes a file of lines, whose last line has EXTRA bytes; with `gzip`, an empty member of EXTRA
 * bytes takes the place of that line. Returns the offset that HALF stands for. */
static size_t make_body(int gzip, struct buf *body)
{
    static const char member[EXTRA + 1] =
        "\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\0\0\xff\xff\0\0\0\0\0\0\0\0";
    struct buf plain = {0};
    size_t i, half = 0;

    for (i = 0; i < 3000; i++) {
        if (i == 1500)
            half = plain.len;
        buf_printf(&plain, "{\"resourceType\":\"Patient\",\"id\":\"%08zx\"}\n", i * 2654435761u);
    }
    if (gzip) {
        scripted_gzip(body, plain.p, plain.len);
        half = body->len / 2;
        buf_add(body, member, EXTRA);
    } else {
        buf_add(body, plain.p, plain.len);
        buf_add(body, "{\"resourceType\":\"Abc\"}\n", EXTRA);
    }
    buf_free(&plain);
    return half;
}

START_TEST(contradicted)
{
    const struct contradiction *k = &contradictions[_i % CONTRADICTIONS];
    int verified = _i >= CONTRADICTIONS;
    struct buf body = {0};
    struct run *r;
    size_t half, i;

    fixture_open_scripted(&fx, 1);
    half = make_body(k->gzip, &body);
    for (i = 0; k->replies[i].how != NO_MORE; i++)
        add_reply(fx.server, k, &k->replies[i], &body, half);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, SMALL_BATCH);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_msg(r->result == k->code, "%s", bcda_error_text(bcda_job_error(r->job)));
    if (!k->code)
        ck_assert_uint_eq(r->count, k->gzip ? 3000 : 3001);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), (unsigned)k->requests);
    fixture_close(&fx);
    buf_free(&body);
}
END_TEST

/* Eight responses in a row bring no new byte. The client sends the first repeated request at once,
 * and each later one after a delay that grows. */
START_TEST(pauses_after_nothing)
{
    static const char *const faults[] = {"range-max:64", NULL};
    struct later l = {0};
    int64_t start;
    struct run *r;

    begin("2019-12");
    fixture_fault(&fx, "data-cut:100000*1");
    l.faults = faults;
    r = fixture_start_hook(&fx, BY_RESOURCE, set_later, &l);
    fixture_until_count(&fx, r, 1);
    start = fx.now;
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_TRUNCATED);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "range"), 8);
    /* nominal delays: 1 s after the cut, then 1 + 2 + 4 + 8 + 16 + 32 s; each real delay is at
     * least half of that */
    ck_assert_int_ge(fx.now - start, 32000);
    ck_assert_int_le(fx.now - start, 64000);
    fixture_close(&fx);
}
END_TEST

/* ---- a job that expires while its files are downloaded ---- */

enum { FILES = 18, SERVED = 5, FILE_ATTEMPTS = 4 };

/* What is done when the first file begins, and when the first file has failed. */
struct gone {
    const char *begun;  /* fault to set when a file begins; NULL = none */
    const char *failed; /* fault to set when a file has failed; NULL = none */
    int set;
    unsigned status; /* status requests counted when the first file began */
    int answer;      /* returned at the end of the first file that failed */
    int cancel;      /* whether to cancel the job when that file ends */
};

static int note_gone(struct run *r, enum where where, void *object)
{
    struct gone *g = r->arg;

    if (where == AT_BEGIN && !g->set) {
        g->set = 1;
        g->status = sandbox_count(fx.sandbox, "status");
        if (g->begun)
            fixture_fault(&fx, g->begun);
    }
    if (where != AT_END || bcda_file_verdict(object) != BCDA_VERDICT_FAILED || g->set > 1)
        return BCDA_CONTINUE;
    g->set = 2;
    if (g->failed)
        fixture_fault(&fx, g->failed);
    if (g->cancel)
        ck_assert_ok(bcda_job_cancel(r->job));
    return g->answer;
}

static struct run *go_gone(const char *era, enum delivery_way way, struct gone *g)
{
    fixture_setup(&fx, SANDBOX(.era = era, .files = FILES, .patients = FILES), 1);
    fixture_export_eob(&fx, era);
    return fixture_start_hook(&fx, way, note_gone, g);
}

static int count_verdicts(const struct run *r, int verdict)
{
    size_t i;
    int n = 0;

    for (i = 0; i < bcda_job_file_count(r->job); i++)
        n += bcda_file_verdict(bcda_job_file(r->job, i)) == verdict;
    return n;
}

static const struct {
    const char *era;
    int status;
} gone_eras[] = {{"current", 404}, {"2021", 410}, {"2019-04", 410}};

/* When the first file is still answered with 404 at its last attempt, the client requests the job's
 * status once. According to the answer the job is gone, so the job fails, and files that had not
 * begun never begin. */
START_TEST(job_expires)
{
    struct gone g = {"job-expires-after:5", NULL, 0, 0, BCDA_CONTINUE, 0};
    const bcda_error *e;
    struct run *r = go_gone(gone_eras[_i % 3].era, (enum delivery_way)(_i / 3), &g);
    int64_t start;

    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    start = fx.now;
    fixture_finish(&fx);
    e = fixture_check_failed(r, BCDA_ERR_GONE);
    ck_assert_int_eq(bcda_error_http_status(e), gone_eras[_i % 3].status);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "the job is gone"));
    ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "start a new one"));
    ck_assert_uint_eq(bcda_job_file_count(r->job), FILES);
    ck_assert_int_eq(count_verdicts(r, BCDA_VERDICT_COMPLETE), SERVED);
    ck_assert_int_le(count_verdicts(r, BCDA_VERDICT_FAILED), 5);
    ck_assert_int_ge(count_verdicts(r, BCDA_VERDICT_NONE), FILES - SERVED - 5);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "status"), g.status + 1);
    ck_assert_uint_le(sandbox_count(fx.sandbox, "data"), SERVED + 5 * FILE_ATTEMPTS);
    ck_assert_int_le(fx.now - start, 7000); /* delays of 1, 2 and 4 s at most */
    fixture_close(&fx);
}
END_TEST

/* If the job still exists, each file has its usual attempts, and the status is requested only once.
 * An answer such as 503 says nothing about the job and does not count: the status is requested
 * again after the next file that is missing. */
START_TEST(job_is_there)
{
    struct gone g = {"data-404", _i ? "status-503:1*1" : NULL, 0, 0, BCDA_CONTINUE, 0};
    struct run *r = go_gone("current", BY_RESOURCE, &g);
    const bcda_error *e;

    fixture_finish(&fx);
    e = fixture_check_failed(r, BCDA_ERR_NOT_FOUND);
    ck_assert_str_ne(bcda_error_file(e), "");
    ck_assert_int_eq(count_verdicts(r, BCDA_VERDICT_FAILED), FILES);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), FILES * FILE_ATTEMPTS);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "status"), g.status + (_i ? 2 : 1));
    fixture_close(&fx);
}
END_TEST

/* The job's status is requested even if the missing file is the only one. */
START_TEST(only_file)
{
    struct run *r;

    fixture_setup(&fx, SANDBOX(.era = "current"), 1);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, NULL);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_DOWNLOADING);
    fixture_fault(&fx, _i ? "job-expired" : "data-404");
    fixture_finish(&fx);
    (void)fixture_check_failed(r, _i ? BCDA_ERR_GONE : BCDA_ERR_NOT_FOUND);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), FILE_ATTEMPTS);
    fixture_close(&fx);
}
END_TEST

/* The application ends the job just before the status would be requested, or during that
 * request. */
START_TEST(ended_while_asked)
{
    struct gone g = {"data-404", NULL, 0, 0, _i == 0 ? BCDA_STOP : BCDA_CONTINUE, _i == 1};
    struct run *r = go_gone("current", BY_RESOURCE, &g);

    while (_i > 1 && (!g.set || sandbox_count(fx.sandbox, "status") <= g.status))
        ck_assert_int_eq(fixture_step(&fx), 1);
    if (_i == 2)
        ck_assert_ok(bcda_job_cancel(r->job));
    if (_i == 3) { /* fixture_close() checks that the job ends */
        fixture_close(&fx);
        return;
    }
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, _i == 0 ? BCDA_ERR_STOPPED : BCDA_ERR_CANCELLED);
    ck_assert_uint_le(sandbox_count(fx.sandbox, "status"), g.status + (_i > 1));
    fixture_close(&fx);
}
END_TEST

/* ---- cuts at any offset ---- */

static uint32_t seed;

static int64_t roll(int64_t below)
{
    if (!seed)
        seed = (uint32_t)sample_seed();
    seed = seed * 1664525u + 1013904223u;
    return (int64_t)((uint64_t)seed * (uint64_t)below >> 32);
}

static void session_again(void)
{
    static const int batches[] = {4096, 16384, 65536, 262144};

    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, batches[roll(4)]);
    fixture_session(&fx);
}

static char *whole_first(const char *era, int64_t *wire)
{
    struct run *r;
    char *url;

    fixture_open_sandbox_http(&fx, SANDBOX(.era = era, .patients = 3, .claims = 12));
    fx.no_log = 1;
    session_again();
    fixture_export_eob(&fx, era);
    r = fixture_run(&fx, BY_BATCH);
    fixture_check_export(r);
    *wire = bcda_file_bytes_received(fixture_file(r, EOB, 0));
    url = strdup(bcda_job_url(r->job));
    fixture_end(&fx);
    return url;
}

/* The first cuts are at the last bytes of the file, one byte earlier each time: 40 cuts, or a
 * quarter of all cuts where these are few. The others are at random offsets, in one response or in
 * several. */
static void set_cuts(int i, int cuts, int64_t wire)
{
    int last = cuts < 160 && !sample_is_exhaustive() ? cuts / 4 : 40;
    int64_t at = i < last ? wire - i : roll(wire);
    int n = i % 3 == 0 || i < last ? 0 : 1 + (int)roll(5);
    char spec[64];

    sandbox_clear_faults(fx.sandbox);
    snprintf(spec, sizeof spec, "data-cut:%lld*1", (long long)at);
    fixture_fault(&fx, spec);
    while (n-- > 0) {
        snprintf(spec, sizeof spec, "data-cut:%lld*1", (long long)roll(wire / 2));
        fixture_fault(&fx, spec);
    }
    if (i % 7 == 6)
        fixture_fault(&fx, "no-range");
    if (i % 11 == 10)
        fixture_fault(&fx, "range-max:5000");
}

START_TEST(cut_anywhere)
{
    int64_t wire;
    char *url = whole_first(eras[_i], &wire);
    int i, cuts = (int)sample_rounds(30, 150);

    for (i = 0; i < cuts; i++) {
        struct run *r;

        if (i % PER_SESSION == 0) {
            if (i)
                fixture_end(&fx);
            session_again();
        }
        set_cuts(i, cuts, wire);
        r = fixture_attach(&fx, (enum delivery_way)(i % 3), url, NULL, NULL);
        fixture_finish(&fx);
        ck_assert_msg(r->result == 0, "cut %d of %s: %s", i, eras[_i],
                      bcda_error_text(bcda_job_error(r->job)));
        fixture_check_export(r);
        if (_i < 2)
            ck_assert_int_eq(bcda_job_bytes_received(r->job), wire);
    }
    free(url);
    fixture_close(&fx);
}
END_TEST

SUITE("resume")
{
    suite_case("later");
    suite_sample(broken_later, 0, LATERS * 4, 40);
    suite_loop(broken_later, LATERS * 4, LATERS * 4 + 4);
    suite_loop(stalled, 0, 3);
    suite_test(tokens_end_twice);
    suite_loop(cut_early, 0, 16);
    suite_case("member");
    suite_loop(added_member, 0, MEMBERS * 5);
    suite_loop(contradicted, 0, CONTRADICTIONS * 2);
    suite_test(pauses_after_nothing);
    suite_case("gone");
    suite_loop(job_expires, 0, 9);
    suite_loop(job_is_there, 0, 2);
    suite_loop(only_file, 0, 2);
    suite_loop(ended_while_asked, 0, 4);
    suite_case("anywhere");
    suite_timeout(80);
    suite_loop(cut_anywhere, 0, 4);
}
