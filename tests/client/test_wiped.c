/* Secrets are wiped before their memory is freed: tokens, the client secret, private keys, and
 * patient data in every form of a file and both ways of delivery. Linked with wraps of the
 * allocator. They clear new blocks to their end, so that whatever a freed block holds was written
 * by the library. */
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tempdir.h"
#include "base/mem.h"
#include "fixture.h"

static struct fixture fx;

/* This text is in every value of a line that a callback can ask for. */
#define MARK "zebra"

static const char *patterns[8];
static atomic_int frees, found;
static const char *first_found;

static void check_block(void *ptr)
{
    size_t i, len = ptr ? malloc_usable_size(ptr) : 0;

    atomic_fetch_add(&frees, ptr != NULL);
    for (i = 0; i < 8 && patterns[i] && len; i++) {
        if (!memmem(ptr, len, patterns[i], strlen(patterns[i])))
            continue;
        if (atomic_fetch_add(&found, 1) == 0)
            first_found = patterns[i];
        if (getenv("BCDA_TEST_ABORT"))
            abort(); /* to find the place in a debugger */
    }
}

void *__real_bcda__alloc(size_t size);
void *__real_bcda__calloc(size_t count, size_t size);
void __real_bcda__free(void *ptr);
void *__wrap_bcda__alloc(size_t size);
void *__wrap_bcda__calloc(size_t count, size_t size);
void *__wrap_bcda__realloc(void *ptr, size_t size);
void __wrap_bcda__free(void *ptr);

static void *cleared(void *ptr)
{
    if (ptr)
        memset(ptr, 0, malloc_usable_size(ptr));
    return ptr;
}

void *__wrap_bcda__alloc(size_t size)
{
    return cleared(__real_bcda__alloc(size));
}

void *__wrap_bcda__calloc(size_t count, size_t size)
{
    return cleared(__real_bcda__calloc(count, size));
}

/* Always moves the block, so that the old block is freed and checked. */
void *__wrap_bcda__realloc(void *ptr, size_t size)
{
    size_t old = ptr ? malloc_usable_size(ptr) : 0;
    void *grown = cleared(__real_bcda__alloc(size));

    if (!grown)
        return NULL;
    if (ptr)
        memcpy(grown, ptr, old < size ? old : size);
    check_block(ptr);
    __real_bcda__free(ptr);
    return grown;
}

void __wrap_bcda__free(void *ptr)
{
    check_block(ptr);
    __real_bcda__free(ptr);
}

/* ---- an export with every kind of file ---- */

enum { LINES = 300 };

static void add_lines(struct buf *b, int enveloped)
{
    int i;

    for (i = 0; i < LINES; i++) {
        if (enveloped)
            buf_printf(b, "{\"fullUrl\":\"https://x/" MARK "%d\",\"resource\":", i);
        buf_printf(b,
                   "{\"resourceType\":\"Patient\",\"id\":\"" MARK "%d\",\"meta\":{\"lastUpdated\":"
                   "\"2020" MARK "\"},\"name\":\"\\u0041" MARK "\",\"v\":[\"" MARK "\",1]}",
                   i);
        buf_str(b, enveloped ? "}\n" : "\n");
        if (i % 50 == 7)
            buf_str(b, "{\"" MARK "\": no JSON\n");
    }
    buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"" MARK "\",\"long\":\"%020000d\"}\n", 0);
}

static const char issues[] =
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"x\","
    "\"details\":{\"text\":\"" MARK "\"},\"diagnostics\":\"\\u0041" MARK "\"}]}\n";

enum { GATE = 1 };

/* Answers the first request with half of the body. Then the server cuts the connection or, without
 * `cut`, waits until the test opens a gate. Returns the size of that half. */
static int64_t serve_half(const char *match, const char *headers, const struct buf *body, int cut)
{
    struct scripted_answer *a = scripted_on(fx.server, match, 1);
    char head[128];

    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", headers,
             body->len);
    scripted_text(a, head);
    scripted_send(a, body->p, body->len / 2);
    if (cut)
        scripted_finish(a, SCRIPTED_CUT);
    else
        scripted_gate(a, GATE);
    return (int64_t)(body->len / 2);
}

/* With `hold`, the server stops in the middle of two files, and held[] is set to the number of
 * bytes of each file that it sends until then. Without `hold`, one transfer is cut. */
static void serve(int hold, int64_t held[3])
{
    struct scripted_entry e[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                 {"Patient", "/data/b.ndjson", NULL, 0},
                                 {"Patient", "/data/c.ndjson", NULL, 0},
                                 {"OperationOutcome", "/data/e.ndjson", NULL, 1}};
    struct buf plain = {0}, packed = {0}, sealed = {0};
    char *key;

    add_lines(&plain, 1);
    held[0] = 0;
    if (!hold)
        (void)serve_half("/data/a", "", &plain, 1);
    scripted_reply(fx.server, "/data/a", "200 OK", "", plain.p, plain.len);
    plain.len = 0;
    add_lines(&plain, 0);
    scripted_gzip(&packed, plain.p, plain.len);
    key = scripted_encrypt(&sealed, plain.p, plain.len, "c.ndjson");
    if (hold) {
        held[1] = serve_half("/data/b", "Content-Encoding: gzip\r\n", &packed, 0);
        held[2] = serve_half("/data/c", "", &sealed, 0);
    }
    scripted_reply(fx.server, "/data/b", "200 OK", "Content-Encoding: gzip\r\n", packed.p,
                   packed.len);
    scripted_reply(fx.server, "/data/c", "200 OK", "", sealed.p, sealed.len);
    scripted_reply(fx.server, "/data/e", "200 OK", "", issues, sizeof issues - 1);
    e[2].key_hex = key;
    scripted_export(fx.server, e, 4);
    free(key);
    buf_free(&plain);
    buf_free(&packed);
    buf_free(&sealed);
}

/* Copies a part of the private key's text, which is base64. */
static void know_key(char *part, size_t size)
{
    size_t len;
    char *pem = fixture_read(scripted_key_file(fx.server), &len);

    ck_assert_uint_gt(len, 800);
    memcpy(part, pem + 600, size - 1);
    part[size - 1] = '\0';
    if (strchr(part, '\n'))
        *strchr(part, '\n') = '\0';
    ck_assert_uint_ge(strlen(part), 10);
    free(pem);
}

static int read_fields(struct run *r, enum where where, void *object)
{
    const char *base;
    const uint64_t *first, *offsets, *lengths;

    (void)r;
    if (where == AT_BATCH) /* makes the library build its index of a field */
        ck_assert_ok(bcda_batch_field_column(object, 1, &base, &first, &offsets, &lengths));
    return BCDA_CONTINUE;
}

static int has_come(struct run *r, const int64_t held[3])
{
    size_t i;

    for (i = 0; i < 3; i++)
        if (bcda_file_bytes_received(bcda_job_file(r->job, i)) < held[i])
            return 0;
    return r->count > 0;
}

/* _i & 1: verified delivery; _i & 2: with decode threads; _i & 4: cancelled in the middle, and
 * otherwise with a transfer that is cut; _i / 8: by resource, by batch or pulled. A single step may
 * deliver all files and end the job, so two files stay incomplete until the job is cancelled. */
START_TEST(whole_export)
{
    int verified = _i & 1, threads = _i & 2, cancel = _i & 4;
    enum delivery_way way = (enum delivery_way)(_i / 8);
    int64_t held[3];
    char part[33];
    struct run *r;
    int index;

    fixture_open_scripted(&fx, 0);
    serve(cancel, held);
    know_key(part, sizeof part);
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    if (verified) {
        fixture_set(&fx, BCDA_OPT_DELIVERY, BCDA_DELIVERY_VERIFIED);
        ck_assert_ok(bcda_config_set_spool_directory(fx.config, tempdir()));
    }
    patterns[0] = "tok.en";
    patterns[1] = "a-secret";
    patterns[2] = "bWU6YS1zZWNyZXQ"; /* the client id and that secret, in base64 */
    patterns[3] = part;
    patterns[4] = MARK;
    fixture_session(&fx);
    ck_assert_ok(bcda_export_add_field(fx.x, "name", &index));
    ck_assert_ok(bcda_export_add_field(fx.x, "v", &index));
    r = fixture_start_hook(&fx, way, read_fields, NULL);
    if (cancel) {
        fixture_until(&fx, has_come(r, held));
        ck_assert_int_eq(r->done, 0);
        ck_assert_ok(bcda_job_cancel(r->job));
    }
    fixture_finish(&fx);
    ck_assert_int_eq(r->result, cancel ? BCDA_ERR_CANCELLED : 0);
    if (!cancel)
        ck_assert_uint_eq(r->count, 3 * (LINES + 1));
    fixture_close(&fx);
    ck_assert_int_gt(atomic_load(&frees), 100);
    ck_assert_msg(atomic_load(&found) == 0, "%d blocks were freed with a secret in them, first: %s",
                  atomic_load(&found), first_found);
    memset(patterns, 0, sizeof patterns);
}
END_TEST

/* A copy of an error has the texts of the original, but not the older bytes that the original still
 * has after the end of each text. */
START_TEST(error_copies)
{
    struct bcda_error *copy = bcda__err_new(), from;
    size_t i;

    for (i = 0; i + sizeof MARK <= sizeof from.text; i += sizeof MARK - 1)
        memcpy(from.text + i, MARK, sizeof MARK - 1);
    memcpy(from.file, from.text, sizeof from.file);
    memset(from.server, 0, sizeof from.server);
    memcpy(from.server, from.text, sizeof from.text);
    bcda__err_set(&from, BCDA_ERR_HTTP, "text");
    bcda__err_copy(copy, &from);
    ck_assert_str_eq(bcda_error_text(copy), "text");
    ck_assert_str_eq(bcda_error_file(copy), "");
    ck_assert_ptr_null(memmem(copy, sizeof *copy, MARK, sizeof MARK - 1));
    bcda__err_copy(copy, copy);
    ck_assert_str_eq(bcda_error_text(copy), "text");
    bcda_error_unref(copy);
}
END_TEST

SUITE("wiped")
{
    unsetenv("BCDA_TEST_DECODE_THREADS"); /* each test sets its own number of threads */
    suite_case("wiped");
    suite_loop(whole_export, 0, 24);
    suite_test(error_copies);
}
