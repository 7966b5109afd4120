/* Secrets are wiped before their memory is freed: tokens, the client secret, private keys,
 * assertions, and patient data in every form of a file and both ways of delivery. Linked with wraps
 * of the allocator. They clear new blocks to their end, so that whatever a freed block holds was
 * written by the library. */
#include <malloc.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tempdir.h"
#include "base/mem.h"
#include "base/text.h"
#include "fixture.h"

static struct fixture fx;

/* This text is in every value of a line that a callback can ask for. It is too long to be in random
 * bytes, such as ciphertext. */
#define MARK "zebrafish"

enum { PATTERNS = 16 };

static struct {
    const void *at;
    size_t len;
    const char *what;
} patterns[PATTERNS];
static size_t pattern_count;
static atomic_int frees, found;
static const char *first_found;

static void look_for_bytes(const char *what, const void *at, size_t len)
{
    ck_assert_uint_lt(pattern_count, PATTERNS);
    patterns[pattern_count].at = at;
    patterns[pattern_count].len = len;
    patterns[pattern_count++].what = what;
}

static void look_for(const char *text)
{
    look_for_bytes(text, text, strlen(text));
}

static void check_bytes(const void *ptr, size_t len)
{
    size_t i;

    atomic_fetch_add(&frees, ptr != NULL);
    for (i = 0; i < pattern_count && len; i++) {
        if (!memmem(ptr, len, patterns[i].at, patterns[i].len))
            continue;
        if (atomic_fetch_add(&found, 1) == 0)
            first_found = patterns[i].what;
        if (getenv("BCDA_TEST_ABORT"))
            abort(); /* to find the place in a debugger */
    }
}

static void check_block(void *ptr)
{
    check_bytes(ptr, ptr ? malloc_usable_size(ptr) : 0);
}

/* Checks that no pattern was found, and forgets the patterns. */
static void check_wiped(void)
{
    ck_assert_int_gt(atomic_load(&frees), 100);
    ck_assert_msg(atomic_load(&found) == 0, "%d blocks were freed with a secret in them, first: %s",
                  atomic_load(&found), first_found);
    pattern_count = 0;
}

void *__real_bcda__alloc(size_t size);
void *__real_bcda__calloc(size_t count, size_t size);
void __real_bcda__free(void *ptr);
void *__wrap_bcda__alloc(size_t size);
void *__wrap_bcda__calloc(size_t count, size_t size);
void *__wrap_bcda__realloc(void *ptr, size_t size);
void __wrap_bcda__free(void *ptr);
int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);

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

/* Secrets have pages of their own. */
int __wrap_munmap(void *at, size_t len)
{
    check_bytes(at, len);
    return __real_munmap(at, len);
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
    look_for("tok.en");
    look_for("a-secret");
    look_for("bWU6YS1zZWNyZXQ"); /* the client id and that secret, in base64 */
    look_for_bytes("the private key", part, strlen(part));
    look_for(MARK);
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
    check_wiped();
}
END_TEST

/* ---- the ways to sign in ---- */

enum { D_LEN = 48 };

/* The forms in which the library has the signing key's private value or its text. */
static struct {
    uint8_t d[D_LEN];
    char hex[2 * D_LEN + 1], base64url[2 * D_LEN];
    char *pem, part[41]; /* a part of the text that has a part of the value */
} signing_key;

static void make_signing_key(void)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-384");
    BIO *bio = BIO_new(BIO_s_mem());
    BIGNUM *d = NULL;
    char *text;
    long len;
    size_t i;

    ck_assert(pkey && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d));
    ck_assert_int_eq(BN_bn2binpad(d, signing_key.d, D_LEN), D_LEN);
    for (i = 0; i < D_LEN; i++)
        sprintf(signing_key.hex + 2 * i, "%02x", signing_key.d[i]);
    bcda__text_base64url(signing_key.d, D_LEN, signing_key.base64url);
    ck_assert(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
    len = BIO_get_mem_data(bio, &text);
    signing_key.pem = calloc(1, (size_t)len + 1);
    ck_assert_ptr_nonnull(signing_key.pem);
    memcpy(signing_key.pem, text, (size_t)len);
    /* the value begins 35 bytes after the beginning of a PKCS#8 document */
    snprintf(signing_key.part, sizeof signing_key.part, "%s", strchr(signing_key.pem, '\n') + 50);
    *strchr(signing_key.part, '\n') = '\0';
    ck_assert_uint_ge(strlen(signing_key.part), 10);
    BN_clear_free(d);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
}

/* The client id and the scope are in no pattern by themselves, because they are no secrets. */
static void look_for_assertion(void)
{
    look_for_bytes("the private value", signing_key.d, D_LEN);
    look_for_bytes("the private value", signing_key.hex, 2 * D_LEN);
    look_for_bytes("the private value", signing_key.base64url, strlen(signing_key.base64url));
    look_for_bytes("the private key", signing_key.part, strlen(signing_key.part));
    look_for("eyJhbGciOiJFUzM4NCIs"); /* {"alg":"ES384", in base64url: how an assertion begins */
    look_for("{\"iss\":\"me\",");
    look_for("client_assertion=");
}

static void serve_smart(void)
{
    char text[200];

    snprintf(text, sizeof text, "{\"token_endpoint\":\"%s/auth/token\"}",
             scripted_origin(fx.server));
    scripted_reply(fx.server, "smart-configuration", "200 OK", "Content-Type: application/json\r\n",
                   text, strlen(text));
    fixture_reply_two_files(&fx);
}

/* _i & 1: with a token cache, from which a second session takes the token; _i / 2: with a signing
 * key as text, one from a file, or with a token command. */
START_TEST(signed_in)
{
    int cached = _i & 1, way = _i / 2, session;
    char cache[300], key[300];
    FILE *f;

    snprintf(cache, sizeof cache, "%s/bcda-wiped-cache-%ld", tempdir(), (long)getpid());
    snprintf(key, sizeof key, "%s/bcda-wiped-key-%ld", tempdir(), (long)getpid());
    make_signing_key();
    f = fopen(key, "w");
    ck_assert(f && fputs(signing_key.pem, f) >= 0 && fclose(f) == 0);
    fixture_open_scripted(&fx, 0);
    serve_smart();
    look_for("tok.en");
    look_for_assertion();
    for (session = 0; session <= cached; session++) {
        fixture_config(&fx);
        fx.jump_open = 1;
        fx.max_jump = 20000; /* the clock does not jump to the end of the command's time */
        if (way == 0)
            ck_assert_ok(bcda_config_set_signing_key(fx.config, "me", signing_key.pem,
                                                     strlen(signing_key.pem), NULL, "my-key"));
        else if (way == 1)
            ck_assert_ok(bcda_config_set_signing_key_file(fx.config, "me", key, NULL, "my-key"));
        else
            ck_assert_ok(bcda_config_set_token_command(fx.config, "printf 'tok%sen' ."));
        if (cached)
            ck_assert_ok(bcda_config_set_token_cache(fx.config, cache));
        fixture_check_came(fixture_run(&fx, BY_RESOURCE), 6);
        fixture_end(&fx);
    }
    ck_assert_uint_eq(scripted_count(fx.server, "client_assertion=eyJ"), way < 2);
    ck_assert_uint_eq(scripted_count(fx.server, "Bearer tok.en"), cached ? 8 : 4);
    fixture_close(&fx);
    check_wiped();
    free(signing_key.pem);
    unlink(cache);
    unlink(key);
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
    suite_loop(signed_in, 0, 5); /* a token command has no cache */
    suite_test(error_copies);
}
