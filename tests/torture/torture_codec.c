/* Refuses every allocation of the base and codec layers, and of assertions, in turn, and checks
 * every block that the library frees: the block must not contain data of a file or key.
 *
 * For each scenario, a run without refusals counts the allocations. Then for every N one run
 * refuses only the N-th allocation, and another run refuses all from the N-th on. Each run must end
 * in success or BCDA_ERR_NOMEM, with no block left. yajl does not check for failed allocations: if
 * the library called yajl again after a refusal, the run would crash. */
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "bcda/error.h"
#include "codec/crypto.h"
#include "codec/decoder.h"
#include "codec/json.h"
#include "codec/key.h"
#include "codec/line.h"
#include "codec/signing_key.h"
#include "mapped.h"
#include "marked_key.h"
#include "protocol/assertion.h"
#include "refuse.h"
#include "signature.h"
#include "suite.h"

/* ---- the loop over all allocations ---- */

typedef int (*scenario_fn)(void);

static int attempt(scenario_fn fn, long at, int all)
{
    int rc;

    refuse_from(at, all);
    mapped = 0;
    rc = fn();
    refuse_at = 0;
    ck_assert_msg(live == 0, "%ld blocks are left, %s", live, refusal());
    check_mapped();
    return rc;
}

static void torture(scenario_fn fn)
{
    long total, at;
    int all, rc;

    ck_assert_int_eq(attempt(fn, 0, 0), 0);
    total = calls;
    ck_assert_int_gt(total, 0);
    for (all = 0; all < 2; all++)
        for (at = 1; at <= total; at++) {
            rc = attempt(fn, at, all);
            ck_assert_int_ge(refused, 1);
            ck_assert_msg(rc == 0 || rc == BCDA_ERR_NOMEM, "%d, %s of %ld", rc, refusal(), total);
        }
    ck_assert_int_eq(attempt(fn, 0, 0), 0); /* an undisturbed run still succeeds */
    ck_assert_int_eq(calls, total);
}

/* ---- base ---- */

static int base_scenario(void)
{
    struct bcda__secret a = {0}, b = {0};
    struct bcda__buf buf;
    struct bcda__url url;
    struct bcda_error *e;
    char *copy, *stolen;
    int i, rc = 0;

    bcda__buf_init(&buf, 100000);
    for (i = 0; !rc && i < 300; i++) {
        size_t before = buf.len;

        rc = bcda__buf_adds(&buf, MARK);
        rc = rc ? rc : bcda__buf_addf(&buf, "%d %s", i, MARK);
        if (rc) /* the call that failed, adds() or addf(), has added nothing */
            ck_assert(buf.len == before || buf.len == before + sizeof MARK - 1);
        if (i == 100)
            bcda__buf_clear(&buf); /* MARK stays in memory, and growing must wipe it */
    }
    bcda__buf_clear(&buf);
    rc = rc ? rc : bcda__url_parse("https://h:8443/x", &url);
    rc = rc ? rc : bcda__url_add_origin(&buf, &url);
    rc = rc ? rc : bcda__url_add_escaped(&buf, "a b", "");
    bcda__buf_free_secret(&buf);
    bcda__buf_init(&buf, 100);
    rc = rc ? rc : bcda__json_add_string(&buf, "a\"\n");
    stolen = bcda__buf_steal(&buf);
    bcda__free(stolen);
    rc = rc ? rc : bcda__secret_set(&a, MARK, sizeof MARK);
    rc = rc ? rc : bcda__secret_copy(&b, &a);
    if (!rc) {
        rc = bcda__secret_set(&a, MARK MARK, sizeof MARK);
        if (rc)
            ck_assert_str_eq(a.data, MARK); /* after an error the old value remains */
    }
    bcda__secret_free(&a);
    bcda__secret_free(&b);
    copy = bcda__strdup("text");
    e = bcda__err_new();
    if (!copy || !e)
        rc = rc ? rc : BCDA_ERR_NOMEM;
    bcda__free(copy);
    bcda_error_unref(e);
    return rc;
}

START_TEST(test_base)
{
    torture(base_scenario);
}
END_TEST

/* ---- documents ---- */

static char document[200000];
static size_t document_len;

static int on_event(void *ctx, enum bcda__json_event event, int depth, const char *text, size_t len)
{
    (void)event;
    (void)depth;
    (void)text;
    *(size_t *)ctx += len;
    return 0;
}

static void make_document(void)
{
    char *p = document;
    int i;

    p += sprintf(p, "{\"output\":[");
    for (i = 0; i < 20; i++) {
        p += sprintf(
            p, "%s{\"a\":[[[[[[{\"url\":\"https:\\/\\/h\\/%s\",\"n\":%d.50}]]]]]],\"long\":\"",
            i ? "," : "", MARK, i);
        memset(p, 'x', 6000);
        memcpy(p + 500, MARK "\\n" MARK, 2 * sizeof MARK);
        p += 6000;
        p += sprintf(p, "\"}");
    }
    p += sprintf(p, "]}");
    document_len = (size_t)(p - document);
}

/* Gives the parser the document in pieces, so that yajl must allocate a buffer for tokens that span
 * pieces. The document has escapes, so that yajl must also allocate one for decoded strings. */
static int document_scenario(void)
{
    struct bcda__json *j;
    size_t at, n, seen = 0;
    int rc = bcda__json_new(&j, 64, on_event, &seen), last;

    if (rc)
        return rc;
    for (at = 0; !rc && at < document_len; at += n) {
        n = document_len - at < 1777 ? document_len - at : 1777;
        rc = bcda__json_write(j, document + at, n);
    }
    last = bcda__json_finish(j);
    ck_assert_int_eq(last, rc);
    bcda__json_free(j);
    return rc ? rc : bcda__json_parse(document, document_len, 64, on_event, &seen);
}

START_TEST(test_document)
{
    make_document();
    torture(document_scenario);
}
END_TEST

/* ---- lines ---- */

static int line_scenario(void)
{
    static const char incomplete[6 + BCDA__LINE_PADDING] = "{\"a\":[\n";
    static char line[60000];
    struct bcda__field_set *fields = NULL, *copy = NULL;
    struct bcda__line_reader *s = NULL;
    struct bcda__line_info info;
    int rc, i, index;
    char *p = line;

    p += sprintf(
        p, "{\"fullUrl\":\"\\u0041\",\"resource\":{\"resourceType\":\"\\u0050\",\"id\":\"" MARK
           "\\n" MARK "\",\"meta\":{\"lastUpdated\":\"\\u0032\"},\"x\":[");
    for (i = 0; i < 300; i++)
        p += sprintf(p, "\"" MARK "\\n%d\",{\"y\":\"" MARK "\"},%d,true,", i, i);
    p += sprintf(p, "[[[[[[[[[[[[[[[[[[[[[[[[{\"y\":\"\\t");
    memset(p, 'z', 20000);
    p += 20000;
    p += sprintf(p, "\"}]]]]]]]]]]]]]]]]]]]]]]]]]}}");
    *p = '\n';
    rc = bcda__field_set_new(&fields);
    rc = rc ? rc : bcda__field_set_add(fields, "x", &index);
    rc = rc ? rc : bcda__field_set_add(fields, "x.y", &index);
    rc = rc ? rc : bcda__field_set_copy(&copy, fields);
    rc = rc ? rc : bcda__line_reader_new(&s, 64, copy, 0);
    for (i = 0; !rc && i < 3; i++) {
        int bad = bcda__line_read(s, incomplete, 6, &info);

        ck_assert(bad || info.code == BCDA_ERR_LINE_JSON);
        rc = bcda__line_read(s, line, (size_t)(p - line), &info);
        if (!rc) {
            ck_assert_int_eq(info.code, 0);
            ck_assert_uint_eq(info.value_count, 300 * 4 + 1);
            ck_assert_uint_eq(info.id.len, 2 * sizeof MARK - 1);
        } else { /* a reader can be used again after a refusal */
            int before = refuse_all;

            if (!before)
                ck_assert_int_eq(bcda__line_read(s, line, (size_t)(p - line), &info), 0);
        }
    }
    bcda__line_reader_free(s);
    bcda__field_set_free(copy);
    bcda__field_set_free(fields);
    return rc;
}

START_TEST(test_lines)
{
    torture(line_scenario);
}
END_TEST

/* ---- batches ---- */

/* Repeats each step that failed because of a refusal. The batch must then be the same as without
 * refusals. */
static int batch_scenario(void)
{
    struct bcda__field_set *fields = NULL;
    struct bcda__line_reader *s = NULL;
    struct bcda_batch *b = NULL;
    struct bcda__line_info info;
    struct bcda_bad_line bad = {0};
    const char *base;
    const uint64_t *first, *offsets, *lengths;
    char line[300], want[30];
    int rc, index, i, failed = 0;

    rc = bcda__field_set_new(&fields);
    rc = rc ? rc : bcda__field_set_add(fields, "x", &index);
    rc = rc ? rc : bcda__line_reader_new(&s, 64, fields, 0);
    rc = rc ? rc : bcda__batch_new(&b, 16, 1);
    for (i = 0; !rc && i < 300; i++) {
        int len = snprintf(line, sizeof line,
                           "{\"resourceType\":\"Type%d\",\"id\":\"" MARK "%d\",\"x\":[\"" MARK
                           "\",\"\\n%d\",1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}",
                           i / 40, i, i);
        size_t at = b->fill, text_before = b->text.len;
        int attempts;

        for (attempts = 0; attempts < 2; attempts++) {
            rc = b->cap < at + 300 ? bcda__batch_reserve(b, at * 2 + 300) : 0;
            if (rc)
                continue;
            memcpy(b->bytes + at, line, (size_t)len);
            b->bytes[at + (size_t)len] = '\n';
            rc = bcda__line_read(s, b->bytes + at, (size_t)len, &info);
            rc = rc ? rc : bcda__batch_add_row(b, &info, at, (size_t)len, i, (int64_t)at);
            ck_assert_uint_eq(bcda_batch_count(b), (size_t)i + !rc);
            if (rc)
                ck_assert_uint_eq(b->text.len, text_before);
            if (!rc)
                break;
            failed = 1;
        }
        if (!rc)
            bcda__batch_add_bytes(b, (size_t)len);
        if (!rc && i % 10 == 0)
            rc = bcda__batch_add_bad(b, &bad);
    }
    for (i = 0; b && i < (int)bcda_batch_count(b); i++) {
        const bcda_resource *r = bcda_batch_resource(b, (size_t)i);

        snprintf(want, sizeof want, "Type%d", i / 40);
        ck_assert_str_eq(bcda_resource_type(r), want);
        snprintf(want, sizeof want, MARK "%d", i);
        ck_assert_str_eq(bcda_resource_id(r), want);
        ck_assert_uint_eq(bcda_resource_field_count(r, 0), 18);
    }
    if (!rc) {
        rc = bcda_batch_field_column(b, 0, &base, &first, &offsets, &lengths);
        if (rc && !refuse_all)
            rc = bcda_batch_field_column(b, 0, &base, &first, &offsets, &lengths);
        if (!rc)
            ck_assert_uint_eq(first[300], 300 * 18);
    }
    if (b && !rc)
        bcda__batch_clear(b);
    bcda_batch_unref(b);
    bcda__line_reader_free(s);
    bcda__field_set_free(fields);
    ck_assert(!failed || refused);
    return rc;
}

START_TEST(test_batches)
{
    torture(batch_scenario);
}
END_TEST

/* ---- the decoder ---- */

static const uint8_t key[32] = "0123456789abcdefghijklmnopqrstu";
static uint8_t file[300000];
static size_t file_len;

static void make_file(void)
{
    static char plain[200000];
    static uint8_t cipher[200100];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t nonce[12] = "nonce-twelve";
    z_stream z = {0};
    char *p = plain;
    int i, n = 0;

    for (i = 0; i < 60; i++) {
        p += sprintf(p,
                     "{\"resourceType\":\"Patient\",\"id\":\"" MARK "-%d\",\"x\":\"" MARK
                     "\\u00e9\",\"pad\":\"",
                     i);
        memset(p, 'p', i == 30 ? 9000 : 40);
        p += i == 30 ? 9000 : 40;
        p += sprintf(p, "\"}\n%s", i % 9 ? "" : "{\"x\":\"" MARK "\"\n");
    }
    memcpy(cipher, nonce, 12);
    ck_assert_int_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce), 1);
    ck_assert_int_eq(EVP_EncryptUpdate(ctx, cipher + 12, &n, (uint8_t *)plain, (int)(p - plain)),
                     1);
    ck_assert_int_eq(EVP_EncryptFinal_ex(ctx, cipher + 12 + n, &i), 1);
    ck_assert_int_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, cipher + 12 + n), 1);
    EVP_CIPHER_CTX_free(ctx);
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = cipher;
    z.avail_in = (uInt)n + 28;
    z.next_out = file;
    z.avail_out = sizeof file;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    file_len = sizeof file - z.avail_out;
    deflateEnd(&z);
}

struct totals {
    size_t rows, bad;
    struct bcda_batch *held;
};

static int take_all(struct bcda__decoder *d, struct totals *t)
{
    struct bcda_batch *b;
    int rc = bcda__decoder_take(d, &b);

    if (rc == BCDA_ERR_NOMEM && !refuse_all)
        rc = bcda__decoder_take(d, &b); /* the batch is still there after the refusal */
    if (rc)
        return rc;
    t->rows += bcda_batch_count(b);
    t->bad += bcda_batch_bad_line_count(b);
    if (!t->held)
        t->held = bcda_batch_ref(b);
    bcda__decoder_give_back(d, b);
    return 0;
}

static int decoder_scenario(void)
{
    static const uint8_t sum[32] = {0};
    struct bcda__expected expected = {-1, -1, sum};
    struct bcda__decoder_options o = {.name = "f.ndjson",
                                      .coding = &bcda__coding_gzip,
                                      .key = key,
                                      .line_max = 20000,
                                      .depth_max = 64,
                                      .batch_size = 500,
                                      .expected = &expected};
    struct bcda__field_set *fields = NULL;
    struct bcda__decoder *d = NULL;
    struct bcda_error err;
    struct totals t = {0};
    size_t at = 0, used;
    int rc, index;

    rc = bcda__field_set_new(&fields);
    rc = rc ? rc : bcda__field_set_add(fields, "x", &index);
    o.fields = fields;
    rc = rc ? rc : bcda__decoder_new(&d, &o, &err);
    while (!rc && at < file_len) {
        rc = bcda__decoder_write(d, file + at, file_len - at < 700 ? file_len - at : 700, &used,
                                 &err);
        at += used;
        if (rc) {
            ck_assert_int_eq(err.code, rc);
            ck_assert_int_eq(bcda__decoder_finish(d, &err), rc); /* every later call fails, too */
        } else if (bcda__decoder_is_full(d)) {
            rc = take_all(d, &t);
        }
    }
    while (!rc && (rc = bcda__decoder_finish(d, &err)) == BCDA_ERR_AGAIN)
        rc = take_all(d, &t);
    if (rc == BCDA_ERR_CHECKSUM) /* expected: `sum` is not the checksum of the file */
        rc = 0;
    while (!rc && bcda__decoder_has_batch(d))
        rc = take_all(d, &t);
    if (!rc) {
        ck_assert_uint_eq(t.rows, 60);
        ck_assert_uint_eq(t.bad, 7);
    }
    bcda__decoder_free(d);
    bcda_batch_unref(t.held);
    bcda__field_set_free(fields);
    return rc;
}

START_TEST(test_decoder)
{
    make_file();
    torture(decoder_scenario);
}
END_TEST

/* ---- keys ---- */

static char pem[10000];
static const char *passphrase;

static int key_scenario(void)
{
    struct bcda__key *k = NULL;
    struct bcda_error err;
    int rc = bcda__key_new(&k, "the key", pem, strlen(pem), passphrase, &err);

    ck_assert_int_eq(rc ? err.code : 0, rc);
    bcda__key_free(k);
    return rc;
}

START_TEST(test_key)
{
    EVP_PKEY *pkey = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());

    ck_assert_ptr_nonnull(pkey);
    if (_i == 0)
        ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    else if (_i == 1)
        ck_assert_int_eq(PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL),
                         1);
    else
        ck_assert_int_eq(
            PEM_write_bio_PKCS8PrivateKey(bio, pkey, EVP_aes_256_cbc(), "pass", 4, NULL, NULL), 1);
    passphrase = _i == 2 ? "pass" : NULL;
    ck_assert_int_gt(BIO_read(bio, pem, sizeof pem - 1), 0);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    torture(key_scenario);
}
END_TEST

/* ---- keys that sign ---- */

static char key_text[10000];
static const char *key_id;

static int signing_scenario(void)
{
    struct bcda__signing_key *k = NULL;
    struct bcda__secret jws = {0}, form = {0};
    struct bcda_error err;
    struct bcda__assertion a = {.client_id = MARK, .audience = "https://server.example/token"};
    int rc =
        bcda__signing_key_new(&k, "the key", key_text, strlen(key_text), passphrase, key_id, &err);

    ck_assert_int_eq(rc ? err.code : 0, rc);
    a.key = k;
    rc = rc ? rc : bcda__assertion_make(&jws, &a);
    rc = rc ? rc : bcda__assertion_form(&form, &jws, MARK " " MARK);
    bcda__signing_key_free(k);
    bcda__secret_free(&jws);
    bcda__secret_free(&form);
    return rc;
}

/* Writes the key in form `form` to key_text. */
static void write_key(const EVP_PKEY *ec, const EVP_PKEY *rsa, int form)
{
    char *of_ec = jwk_of(ec, "\"kid\":\"e\"", 1), *of_rsa = jwk_of(rsa, "\"kid\":\"r\"", form != 2);
    unsigned char pass[] = "pass";
    BIO *bio = BIO_new(BIO_s_mem());

    passphrase = form == 6 ? "pass" : NULL;
    key_id = form == 3 ? "e" : NULL;
    if (form < 2)
        strcpy(key_text, form ? of_rsa : of_ec);
    else if (form < 4)
        sprintf(key_text, "{\"keys\":[%s,%s]}", of_rsa, of_ec);
    else if (form == 4)
        ck_assert(PEM_write_bio_PrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL));
    else
        ck_assert(PEM_write_bio_PrivateKey_traditional(
            bio, ec, form == 6 ? EVP_aes_128_cbc() : NULL, pass, form == 6 ? 4 : 0, NULL, NULL));
    if (form >= 4)
        ck_assert_int_gt(BIO_read(bio, key_text, sizeof key_text - 1), 0);
    BIO_free(bio);
    free(of_ec);
    free(of_rsa);
}

START_TEST(test_signing)
{
    EVP_PKEY *ec = marked_pkey(), *rsa = EVP_RSA_gen(2048);

    write_key(ec, rsa, _i);
    ck_assert(_i == 1 || _i >= 4 || strstr(key_text, MARK));
    torture(signing_scenario);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
}
END_TEST

int suite_prepare(void)
{
    return bcda__crypto_init(0, NULL);
}

SUITE("torture_codec")
{
    suite_case("torture_codec");
    suite_timeout(600);
    suite_test(test_base, test_document, test_lines, test_batches, test_decoder);
    suite_loop(test_key, 0, 3);
    suite_loop(test_signing, 0, 7);
}
