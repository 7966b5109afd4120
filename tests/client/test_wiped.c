/* What was secret is wiped before its memory is freed: tokens, the client secret, private keys, and
 * patient data in every form of a file and both ways of delivery. Linked with wraps of the
 * allocator: new blocks are zero to their end, so that what a freed one holds was written by the
 * library. */
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tempdir.h"
#include "base/mem.h"
#include "fixture.h"

static struct fixture fx;

/* In every value of a line that a callback can ask for. */
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
            abort(); /* for a debugger */
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

/* Each moves the block, and leaves the old one behind. */
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

/* ---- an export that meets everything ---- */

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

static void serve(int cut)
{
    struct scripted_entry e[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                 {"Patient", "/data/b.ndjson", NULL, 0},
                                 {"Patient", "/data/c.ndjson", NULL, 0},
                                 {"OperationOutcome", "/data/e.ndjson", NULL, 1}};
    struct buf plain = {0};
    struct scripted_answer *a;
    char head[64], *key;

    add_lines(&plain, 1);
    if (cut) {
        a = scripted_on(fx.server, "/data/a", 1);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", plain.len);
        scripted_text(a, head);
        scripted_send(a, plain.p, plain.len / 2);
        scripted_finish(a, SCRIPTED_CUT);
    }
    scripted_reply(fx.server, "/data/a", "200 OK", "", plain.p, plain.len);
    plain.len = 0;
    add_lines(&plain, 0);
    (void)scripted_reply_file(fx.server, e[1].path, SCRIPTED_GZIP, &plain);
    key = scripted_reply_file(fx.server, e[2].path, SCRIPTED_ENCRYPTED, &plain);
    scripted_reply(fx.server, "/data/e", "200 OK", "", issues, sizeof issues - 1);
    e[2].key_hex = key;
    scripted_export(fx.server, e, 4);
    free(key);
    buf_free(&plain);
}

/* A part of the private key's text, which is base64. */
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
    if (where == AT_BATCH) /* makes the index of a field */
        ck_assert_ok(bcda_batch_field_column(object, 1, &base, &first, &offsets, &lengths));
    return BCDA_CONTINUE;
}

/* _i: how it is delivered, with and without threads, with a transfer that was cut; by resource, by
 * batch and pulled; ended well, or cancelled in the middle. */
START_TEST(whole_export)
{
    int verified = _i & 1, threads = _i & 2, cancel = _i & 4;
    enum delivery_way way = (enum delivery_way)(_i / 8);
    char part[33];
    struct run *r;
    int index;

    fixture_open_scripted(&fx, 0);
    serve(!cancel);
    know_key(part, sizeof part);
    fixture_add_key(&fx);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, threads);
    if (verified)
        fixture_set_verified(&fx, tempdir());
    patterns[0] = "tok.en";
    patterns[1] = "a-secret";
    patterns[2] = "bWU6YS1zZWNyZXQ"; /* the same, with the client id, in base64 */
    patterns[3] = part;
    patterns[4] = MARK;
    fixture_session(&fx);
    ck_assert_ok(bcda_export_add_field(fx.x, "name", &index));
    ck_assert_ok(bcda_export_add_field(fx.x, "v", &index));
    r = fixture_start_hook(&fx, way, read_fields, NULL);
    if (cancel) {
        fixture_until(&fx, r->count > 0);
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

/* A copy of an error has its texts, and nothing of what lay behind them. */
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
    unsetenv("BCDA_TEST_DECODE_THREADS"); /* each test sets its own */
    suite_case("wiped");
    suite_loop(whole_export, 0, 24);
    suite_test(error_copies);
}
