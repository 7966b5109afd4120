/* Decodes files that are plain, compressed, encrypted or both, and are given in pieces of any size.
 * The rows and invalid lines must always be the same. Each file is made together with a log of the
 * expected rows and invalid lines. */
#include <dirent.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/buf.h"
#include "bcda/error.h"
#include "codec/crypto.h"
#include "codec/decoder.h"
#include "codec/json.h"
#include "helper.h"
#include "suite.h"

/* ---- making files ---- */

struct bytes {
    uint8_t *at;
    size_t len, cap;
};

static void add(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->at = realloc(b->at, b->cap);
    }
    if (len)
        memcpy(b->at + b->len, data, len);
    b->len += len;
}

static void drop(struct bytes *b)
{
    free(b->at);
    memset(b, 0, sizeof *b);
}

/* GZIP and CRYPT are bits: whether a file is compressed, encrypted or both. */
enum { GZIP = 1, CRYPT = 2, WRAPPINGS = 4 };

static const uint8_t key[32] = "0123456789abcdefghijklmnopqrstu";

static void gzip_member(struct bytes *to, const uint8_t *data, size_t len)
{
    z_stream z = {0};
    uint8_t out[4096], none = 0;
    int rc;

    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = len ? (uint8_t *)(uintptr_t)data : &none;
    z.avail_in = (uInt)len;
    do {
        z.next_out = out;
        z.avail_out = sizeof out;
        rc = deflate(&z, Z_FINISH);
        add(to, out, sizeof out - z.avail_out);
    } while (rc == Z_OK);
    ck_assert_int_eq(rc, Z_STREAM_END);
    deflateEnd(&z);
}

/* Compresses as the server does: a gzip member for each write, and an empty one at the end. */
static struct bytes gzip(const struct bytes *plain)
{
    struct bytes out = {0};
    size_t half = plain->len / 3;

    gzip_member(&out, plain->at, half);
    gzip_member(&out, half ? plain->at + half : plain->at, plain->len - half);
    gzip_member(&out, NULL, 0);
    return out;
}

/* Encrypts with OpenSSL, because the library under test decrypts with libgcrypt. */
static struct bytes encrypt(const struct bytes *plain)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t nonce[12] = "nonce-twelve";
    struct bytes out = {0};
    uint8_t *text = malloc(plain->len + 16), tag[16];
    int n = 0, m = 0;

    ck_assert_int_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce), 1);
    if (plain->len)
        ck_assert_int_eq(EVP_EncryptUpdate(ctx, text, &n, plain->at, (int)plain->len), 1);
    ck_assert_int_eq(EVP_EncryptFinal_ex(ctx, text + n, &m), 1);
    ck_assert_int_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, tag), 1);
    EVP_CIPHER_CTX_free(ctx);
    add(&out, nonce, 12);
    add(&out, text, (size_t)(n + m));
    add(&out, tag, 16);
    free(text);
    return out;
}

static struct bytes wrap(const struct bytes *plain, int how)
{
    struct bytes a = {0}, b;

    if (how & CRYPT)
        a = encrypt(plain);
    else
        add(&a, plain->at, plain->len);
    if (!(how & GZIP))
        return a;
    b = gzip(&a);
    drop(&a);
    return b;
}

/* ---- the log of rows and invalid lines ---- */

static void note_row(struct bytes *log, int64_t number, int64_t offset, const char *type,
                     const char *id, const char *json, size_t json_len, const char *line,
                     size_t line_len)
{
    char head[600];

    snprintf(head, sizeof head, "\n%lld @%lld %s/%s ", (long long)number, (long long)offset, type,
             id);
    add(log, head, strlen(head));
    add(log, json, json_len);
    add(log, " of ", 4);
    add(log, line, line_len);
}

/* Adds an invalid line to the log. The log does not get the text of a line over the limit: how much
 * of that line the decoder keeps depends on the sizes of the pieces. */
static void note_bad(struct bytes *log, int code, int64_t number, int64_t offset, const char *line,
                     size_t len)
{
    char head[100];

    snprintf(head, sizeof head, "\n%lld @%lld %s ", (long long)number, (long long)offset,
             bcda_error_name(code));
    add(log, head, strlen(head));
    if (code != BCDA_ERR_LINE_TOO_LONG)
        add(log, line, len);
}

struct file {
    struct bytes plain;
    struct bytes want; /* the log that a run must give, see note_row() and note_bad() */
    int64_t lines;
};

static void add_line(struct file *f, const char *line, size_t len, int code, const char *type,
                     const char *id)
{
    int64_t offset = (int64_t)f->plain.len;

    add(&f->plain, line, len);
    add(&f->plain, "\n", 1);
    f->lines++;
    if (code)
        note_bad(&f->want, code, f->lines, offset, line, len);
    else if (type)
        note_row(&f->want, f->lines, offset, type, id, line, len, line, len);
}

static void add_text(struct file *f, const char *line, int code, const char *type, const char *id)
{
    add_line(f, line, strlen(line), code, type, id);
}

/* Removes the LF at the end of the file. `want` does not change, because the log has no LFs of
 * lines. */
static void cut_lf(struct file *f)
{
    f->plain.len--;
}

static void drop_file(struct file *f)
{
    drop(&f->plain);
    drop(&f->want);
}

/* ---- one run of the decoder ---- */

enum { PIECE_RANDOM = 0 };

struct run {
    struct bcda__decoder_options o;
    size_t step;  /* size of the pieces, or PIECE_RANDOM */
    size_t split; /* offset of one more cut; 0 = none */
    int hold;     /* the test keeps a reference to every batch until the end of the run */
    int eager;    /* the test takes a batch as soon as the decoder has one, full or not */
    /* results of the run: */
    struct bytes log;
    struct bcda_error err;
    int rc;
    int64_t bytes, lines;
    size_t largest; /* size of the largest batch */
    int batches;
    struct bcda_batch *held[20000];
    char *held_bytes[20000];
    size_t held_count;
};

static void note_batch(struct run *r, struct bcda_batch *b)
{
    size_t row, bad = 0;

    ck_assert(!bcda__batch_is_empty(b));
    for (row = 0; row <= b->rows; row++) {
        const bcda_resource *res;
        const char *json, *line;
        size_t json_len, line_len;

        for (; bad < b->bad_count && b->bad[bad].before == row; bad++) {
            const struct bcda_bad_line *x = &b->bad[bad];

            ck_assert_ptr_eq(x->batch, b);
            ck_assert_int_eq(x->kept, x->code != BCDA_ERR_LINE_TOO_LONG);
            note_bad(&r->log, x->code, x->line_number, x->offset, b->bytes + x->at,
                     (size_t)x->length);
            if (x->code == BCDA_ERR_LINE_TOO_LONG)
                ck_assert_uint_gt((uint64_t)x->length, r->o.line_max);
            ck_assert_uint_le(x->bad_at, (uint64_t)x->length);
        }
        if (row == b->rows)
            break;
        res = bcda_batch_resource(b, row);
        json = bcda_resource_json(res, &json_len);
        line = bcda_resource_line(res, &line_len);
        note_row(&r->log, bcda_resource_line_number(res), bcda_resource_offset(res),
                 bcda_resource_type(res), bcda_resource_id(res), json, json_len, line, line_len);
        ck_assert_int_eq(bcda_resource_is_provisional(res), b->provisional);
    }
    ck_assert_uint_eq(bad, b->bad_count);
}

static void take(struct run *r, struct bcda__decoder *d, int provisional)
{
    struct bcda_batch *b;

    ck_assert_int_eq(bcda__decoder_take(d, &b), 0);
    ck_assert_int_eq(bcda__decoder_is_full(d), 0);
    /* a batch with invalid lines is provisional too: because of them, the file may fail */
    ck_assert_int_eq(bcda_batch_is_provisional(b), provisional || b->bad_count > 0);
    ck_assert_int_eq(bcda__batch_is_shared(b), 0);
    note_batch(r, b);
    ck_assert_uint_le(bcda__batch_index_size(b), r->o.batch_size + 1000);
    r->batches++;
    r->largest = b->cap > r->largest ? b->cap : r->largest;
    if (r->hold && r->held_count < COUNT(r->held)) {
        r->held[r->held_count] = bcda_batch_ref(b);
        r->held_bytes[r->held_count] = malloc(b->cap + 1);
        memcpy(r->held_bytes[r->held_count++], b->bytes, b->fill);
    }
    if (roll(4)) /* otherwise the test releases the batch, as an application does */
        bcda__decoder_give_back(d, b);
    else
        bcda_batch_unref(b);
}

static void check_held(struct run *r)
{
    size_t i;

    for (i = 0; i < r->held_count; i++) {
        struct bcda_batch *b = r->held[i];

        ck_assert_int_eq(bcda__batch_is_shared(b), 0); /* the test has the only reference */
        ck_assert_int_eq(memcmp(b->bytes, r->held_bytes[i], b->fill), 0);
        ck_assert(b->rows + b->bad_count > 0);
        bcda_batch_unref(b);
        free(r->held_bytes[i]);
    }
    r->held_count = 0;
}

static int write_piece(struct run *r, struct bcda__decoder *d, const uint8_t *data, size_t len)
{
    uint8_t *piece = malloc(len + !len);
    size_t at = 0, used;
    int rc = 0;

    if (len)
        memcpy(piece, data, len);
    while (at < len && !rc) {
        rc = bcda__decoder_write(d, piece + at, len - at, &used, &r->err);
        ck_assert_uint_le(used, len - at);
        at += used;
        if (!rc && at < len) /* a full batch is the only reason to stop early */
            ck_assert_int_eq(bcda__decoder_is_full(d), 1);
        if (bcda__decoder_is_full(d) || (r->eager && bcda__decoder_has_batch(d)))
            take(r, d, 1);
    }
    free(piece);
    return rc;
}

static void finish(struct run *r, struct bcda__decoder *d)
{
    while ((r->rc = bcda__decoder_finish(d, &r->err)) == BCDA_ERR_AGAIN) {
        ck_assert_int_eq(bcda__decoder_is_full(d), 1);
        take(r, d, 1);
    }
    ck_assert_int_eq(bcda__decoder_finish(d, &r->err), r->rc);
}

/* Runs `data` through a new decoder. */
static void run(struct run *r, const struct bytes *data)
{
    struct bcda_batch *none;
    struct bcda__decoder *d;
    size_t at, n;

    r->log.len = 0;
    r->batches = 0;
    r->largest = 0;
    r->o.name = "file.ndjson";
    ck_assert_int_eq(bcda__decoder_new(&d, &r->o, &r->err), 0);
    ck_assert_int_eq(bcda__decoder_take(d, &none), BCDA_ERR_END);
    r->rc = 0;
    for (at = 0; at < data->len && !r->rc; at += n) {
        n = r->step == PIECE_RANDOM ? roll(roll(4) ? 20 : 3000) : r->step;
        if (r->split > at)
            n = r->split - at;
        n = n < data->len - at ? n : data->len - at;
        r->rc = write_piece(r, d, data->at + at, n);
    }
    if (!r->rc)
        finish(r, d);
    r->bytes = bcda__decoder_bytes(d);
    r->lines = bcda__decoder_lines(d);
    while (bcda__decoder_has_batch(d)) /* after an error the rows decoded before it remain */
        take(r, d, r->rc != 0);
    ck_assert_int_eq(bcda__decoder_take(d, &none), BCDA_ERR_END);
    bcda__decoder_free(d);
    check_held(r);
}

static struct run the_run;

static struct run *new_run(int how, size_t batch_size, size_t line_max)
{
    struct run *r = &the_run;

    drop(&r->log);
    memset(r, 0, sizeof *r);
    r->o.coding = how & GZIP ? &bcda__coding_gzip : NULL;
    r->o.key = how & CRYPT ? key : NULL;
    r->o.line_max = line_max;
    r->o.depth_max = 6;
    r->o.batch_size = batch_size;
    r->step = SIZE_MAX / 2;
    return r;
}

static void check_run(struct run *r, const struct file *f, const struct bytes *data)
{
    run(r, data);
    ck_assert_msg(r->rc == 0, "%d %s (batch %zu, step %zu, split %zu)", r->rc, r->err.text,
                  r->o.batch_size, r->step, r->split);
    add(&r->log, "", 1);
    ck_assert_msg(r->log.len - 1 == f->want.len &&
                      (f->want.len == 0 || memcmp(r->log.at, f->want.at, f->want.len) == 0),
                  "batch %zu, step %zu, split %zu, gzip %d, key %d\n%s\ninstead of%.*s",
                  r->o.batch_size, r->step, r->split, r->o.coding != NULL, r->o.key != NULL,
                  r->log.at, (int)f->want.len, f->want.at);
    ck_assert_int_eq(r->bytes, (int64_t)f->plain.len);
    ck_assert_int_eq(r->lines, f->lines);
    /* no batch is larger than the greater of the batch size and the longest line */
    ck_assert_uint_le(r->largest,
                      r->o.batch_size > r->o.line_max + 2 ? r->o.batch_size : r->o.line_max + 2);
}

static const size_t batch_sizes[] = {1, 7, 64, 300, 8192};

/* Decodes the file plain, compressed, encrypted and both, with every batch size, and in pieces of
 * many sizes. Each run must give the log `want`. */
static void check_file(const struct file *f, size_t line_max, int every_split)
{
    size_t i, split;
    int how, n;

    for (how = 0; how < WRAPPINGS; how++) {
        struct bytes data = wrap(&f->plain, how);

        for (i = 0; i < COUNT(batch_sizes); i++) {
            struct run *r = new_run(how, batch_sizes[i], line_max);

            check_run(r, f, &data);
            r->step = 1;
            check_run(r, f, &data);
            r->hold = 1;
            r->step = 5;
            check_run(r, f, &data);
            r->eager = 1;
            check_run(r, f, &data);
            for (n = 0; n < 8; n++) {
                r->hold = n & 1;
                r->eager = n & 2;
                r->step = PIECE_RANDOM;
                check_run(r, f, &data);
            }
            r->eager = r->hold = 0;
            r->step = SIZE_MAX / 2;
            for (split = 1; every_split && split < data.len; split++) {
                r->split = split;
                check_run(r, f, &data);
            }
        }
        drop(&data);
    }
}

#define P(id) "{\"resourceType\":\"Patient\",\"id\":\"" id "\"}"

/* ---- complete files ---- */

START_TEST(test_small)
{
    static const char envelope[] =
        "{ \"fullUrl\" : \"u\" , \"resource\" : {\"resourceType\":\"Coverage\",\"id\":\"c\"} }";
    static const char bare[] = "{\"resourceType\":\"Coverage\",\"id\":\"c\"}";
    struct file f = {0};
    int64_t offset;

    add_text(&f, P("1"), 0, "Patient", "1");
    add_text(&f, "", 0, NULL, NULL);
    offset = (int64_t)f.plain.len;
    add(&f.plain, envelope, strlen(envelope));
    add(&f.plain, "\n", 1);
    note_row(&f.want, ++f.lines, offset, "Coverage", "c", bare, strlen(bare), envelope,
             strlen(envelope));
    add_text(&f, P("\\u00e9") "\r", 0, "Patient", "é");
    add_text(&f, "nonsense", BCDA_ERR_LINE_JSON, NULL, NULL);
    add_text(&f, P("2"), 0, "Patient", "2");
    if (_i)
        cut_lf(&f);
    check_file(&f, 1000, 1);
    drop_file(&f);
}
END_TEST

START_TEST(test_blank_lines)
{
    struct file f = {0};
    int i;

    for (i = 0; i < 40; i++)
        add_text(&f, i % 3 ? "" : i % 2 ? "\r" : " \t\r", 0, NULL, NULL);
    add_text(&f, P("1"), 0, "Patient", "1");
    for (i = 0; i < 3; i++)
        add_text(&f, "", 0, NULL, NULL);
    add_text(&f, P("2") "\r", 0, "Patient", "2");
    add_text(&f, "\r", 0, NULL, NULL);
    if (_i == 1) {
        add_text(&f, "  ", 0, NULL, NULL);
        cut_lf(&f);
    }
    check_file(&f, 1000, _i == 0);
    drop_file(&f);
}
END_TEST

START_TEST(test_empty)
{
    struct file f = {0};

    check_file(&f, 1000, 1); /* an empty file */
    add_text(&f, "", 0, NULL, NULL);
    check_file(&f, 1000, 1); /* a file of one LF */
    add_text(&f, "", 0, NULL, NULL);
    add_text(&f, "\r", 0, NULL, NULL);
    cut_lf(&f);
    check_file(&f, 1000, 1);
    drop_file(&f);
}
END_TEST

/* Writes a resource of `len` bytes. */
static void make_line(char *line, size_t len)
{
    static const char head[] = "{\"resourceType\":\"Patient\",\"id\":\"x\",\"pad\":\"";

    memset(line, 'p', len);
    memcpy(line, head, sizeof head - 1);
    memcpy(line + len - 2, "\"}", 2);
}

START_TEST(test_line_limit)
{
    enum { LIMIT = 100 };
    static const size_t lengths[] = {LIMIT - 1, LIMIT,     LIMIT + 1, 60,        LIMIT + 1,
                                     LIMIT + 2, LIMIT + 3, LIMIT * 2, LIMIT,     LIMIT * 50,
                                     LIMIT,     60,        LIMIT + 1, LIMIT * 90};
    struct file f = {0};
    char *line = malloc(LIMIT * 90);
    size_t i;

    for (i = 0; i < COUNT(lengths); i++) {
        make_line(line, lengths[i]);
        add_line(&f, line, lengths[i], lengths[i] > LIMIT ? BCDA_ERR_LINE_TOO_LONG : 0, "Patient",
                 "x");
        if (i % 4 == 2)
            add_text(&f, "", 0, NULL, NULL);
    }
    if (_i == 0) { /* the file ends with the longest line, without LF */
        cut_lf(&f);
    } else { /* more lines follow: a line of blanks or NUL bytes can be too long as well */
        memset(line, ' ', LIMIT + 1);
        add_line(&f, line, LIMIT + 1, BCDA_ERR_LINE_TOO_LONG, NULL, NULL);
        memset(line, '\0', LIMIT + 1);
        add_line(&f, line, LIMIT + 1, BCDA_ERR_LINE_TOO_LONG, NULL, NULL);
        add_line(&f, line, 10, BCDA_ERR_LINE_JSON, NULL, NULL);
        make_line(line, LIMIT);
        add_line(&f, line, LIMIT, 0, "Patient", "x");
        if (_i == 2)
            cut_lf(&f);
    }
    check_file(&f, LIMIT, 0);
    drop_file(&f);
    free(line);
}
END_TEST

/* Decodes a file of one line whose length is near the limit, with and without LF, in two pieces
 * that are cut at each offset in turn. */
START_TEST(test_line_limit_alone)
{
    enum { LIMIT = 70 };
    struct file f = {0};
    char line[LIMIT + 3];
    size_t len;

    for (len = LIMIT - 1; len <= LIMIT + 2; len++) {
        make_line(line, len);
        add_line(&f, line, len, len > LIMIT ? BCDA_ERR_LINE_TOO_LONG : 0, "Patient", "x");
        if (_i)
            cut_lf(&f);
        check_file(&f, LIMIT, 1);
        drop_file(&f);
        f.lines = 0;
    }
}
END_TEST

/* Decodes each kind of invalid line between valid lines. The decoder must report the invalid line
 * with the right error code, line number and offset, and must return all other lines. */
START_TEST(test_invalid_lines)
{
    static const struct {
        const char *line;
        int code;
    } rows[] = {
        {"{", BCDA_ERR_LINE_JSON},
        {"x", BCDA_ERR_LINE_JSON},
        {"{\"resourceType\":\"Patient\"", BCDA_ERR_LINE_JSON},
        {P("1") P("2"), BCDA_ERR_LINE_JSON},
        {P("1") "\"", BCDA_ERR_LINE_JSON},
        {P("\xFF"), BCDA_ERR_LINE_UTF8},
        {P("\xED\xA0\x80"), BCDA_ERR_LINE_UTF8},
        {P("\\uD800"), BCDA_ERR_LINE_UTF8},
        {"\xE2\x82", BCDA_ERR_LINE_UTF8},
        {"{\"resourceType\":\"A\",\"a\":[[[[[[1]]]]]]}", BCDA_ERR_LINE_DEPTH},
        {"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}", BCDA_ERR_LINE_DEPTH},
        {"{}", BCDA_ERR_LINE_TYPE},
        {"[]", BCDA_ERR_LINE_TYPE},
        {"5", BCDA_ERR_LINE_TYPE},
        {"{\"id\":\"1\"}", BCDA_ERR_LINE_TYPE},
    };
    struct file f = {0};
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        if (i % 3)
            add_text(&f, P("ok"), 0, "Patient", "ok");
        if (i % 4 == 0)
            add_text(&f, "", 0, NULL, NULL);
        add_text(&f, rows[i].line, rows[i].code, NULL, NULL);
    }
    add_line(&f, P("\0"), strlen(P("")) + 1, BCDA_ERR_LINE_JSON, NULL, NULL);
    add_text(&f, "{\"resourceType\":\"A\",\"id\":\"at the limit\",\"a\":[[[[[1]]]]]}", 0, "A",
             "at the limit");
    check_file(&f, 1000, 0);
    drop_file(&f);
}
END_TEST

/* The last line has no LF, and no further bytes could make it valid. So the decoder reports an
 * invalid line, not a cut file. */
START_TEST(test_invalid_last_line)
{
    static const struct {
        const char *line;
        int code;
    } rows[] = {
        {P("1") "}", BCDA_ERR_LINE_JSON},    {P("1") "\"", BCDA_ERR_LINE_JSON},
        {P("1") ",", BCDA_ERR_LINE_JSON},    {P("1") "tru", BCDA_ERR_LINE_JSON},
        {P("1") " x", BCDA_ERR_LINE_JSON},   {"{]", BCDA_ERR_LINE_JSON},
        {"x", BCDA_ERR_LINE_JSON},           {P("\xFF"), BCDA_ERR_LINE_UTF8},
        {P("\xE2\x82"), BCDA_ERR_LINE_UTF8}, {P("1") "\x80", BCDA_ERR_LINE_UTF8},
        {P("1") "\xC0", BCDA_ERR_LINE_UTF8}, {"{}", BCDA_ERR_LINE_TYPE},
        {"12", BCDA_ERR_LINE_TYPE},          {"\"a\"", BCDA_ERR_LINE_TYPE},
    };
    struct file f = {0};
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        f.lines = 0;
        add_text(&f, P("0"), 0, "Patient", "0");
        add_text(&f, rows[i].line, rows[i].code, NULL, NULL);
        cut_lf(&f);
        check_file(&f, 1000, 0);
        drop_file(&f);
    }
}
END_TEST

/* Decodes lines of many lengths. Some cross the end of a batch, and some make a batch grow. */
START_TEST(test_many)
{
    struct file f = {0};
    char *line = malloc(20000), type[20], id[40];
    int i;

    seed = (uint32_t)_i + 1;
    for (i = 0; i < 150; i++) {
        size_t len;

        if (roll(20) == 0) {
            add_text(&f, "", 0, NULL, NULL);
            add_text(&f, "{\"id\":", BCDA_ERR_LINE_JSON, NULL, NULL);
        }
        snprintf(type, sizeof type, "T%d", i / 50);
        snprintf(id, sizeof id, "id-%d-é", i);
        len = (size_t)snprintf(line, 200, "{\"resourceType\":\"%s\",\"id\":\"%s\",\"x\":\"", type,
                               id);
        memset(line + len, '.', 19000);
        len += roll(30) ? roll(100) : roll(9) ? roll(2000) : roll(15000);
        memcpy(line + len, "\"}", 2);
        add_line(&f, line, len + 2, 0, type, id);
    }
    check_file(&f, 17000, 0);
    drop_file(&f);
    free(line);
}
END_TEST

/* The lines are so short that the index of the rows needs more bytes than the lines. A batch is
 * then full because of its index, while complete lines are still in the decoder. The next batch
 * must begin with those lines. */
START_TEST(test_tiny)
{
    static const char tiny[] = "{\"resourceType\":\"P\"}";
    struct file f = {0};
    char line[300];
    int i;

    for (i = 0; i < 600; i++) {
        if (i % 50 == 10)
            add_text(&f, "", 0, NULL, NULL);
        if (i % 7 == 3)
            add_text(&f, "{}", BCDA_ERR_LINE_TYPE, NULL, NULL);
        if (i % 100 == 95) {
            make_line(line, 201);
            add_line(&f, line, 201, BCDA_ERR_LINE_TOO_LONG, NULL, NULL);
            make_line(line, 200);
            add_line(&f, line, 200, 0, "Patient", "x");
        }
        add_text(&f, tiny, 0, "P", "");
    }
    if (_i)
        cut_lf(&f);
    check_file(&f, 200, 0);
    drop_file(&f);
}
END_TEST

/* ---- files that are cut or damaged ---- */

/* Cutting the file at any byte of its last line gives an error. The decoder still gives the rows of
 * all lines before that one. */
START_TEST(test_line_cut)
{
    static const char last[] =
        "{\"resourceType\":\"P\",\"id\":\"é\xF0\x9F\x98\x80\\u00e9\",\"n\":[1.5,true,null,{\"a\":"
        "\"\"}]}";
    struct file f = {0};
    size_t len;
    int how;

    add_text(&f, P("1"), 0, "Patient", "1");
    add_text(&f, P("2"), 0, "Patient", "2");
    for (len = 1; len < strlen(last); len++)
        for (how = 0; how < WRAPPINGS; how++) {
            struct bytes plain = {0}, data;
            struct run *r = new_run(how, batch_sizes[len % COUNT(batch_sizes)], 1000);

            add(&plain, f.plain.at, f.plain.len);
            add(&plain, last, len);
            data = wrap(&plain, how);
            r->step = len % 2 ? 3 : PIECE_RANDOM;
            run(r, &data);
            ck_assert_msg(r->rc == BCDA_ERR_LINE_CUT, "%d: %.*s", r->rc, (int)len, last);
            ck_assert_uint_eq(r->log.len, f.want.len);
            ck_assert_int_eq(memcmp(r->log.at, f.want.at, f.want.len), 0);
            ck_assert_int_eq(r->err.code, BCDA_ERR_LINE_CUT);
            ck_assert_int_eq(r->err.line, 3);
            ck_assert_int_eq(r->err.offset, (int64_t)f.plain.len);
            ck_assert_str_eq(r->err.file, "file.ndjson");
            ck_assert_ptr_null(strstr(r->err.text, "resourceType")); /* no patient data */
            drop(&data);
            drop(&plain);
        }
    drop_file(&f);
}
END_TEST

static void make_hundred(struct file *f)
{
    char line[200], id[20];
    int i;

    for (i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "id%d", i);
        snprintf(line, sizeof line, "{\"resourceType\":\"Patient\",\"id\":\"%s\",\"n\":%d}", id,
                 i * i);
        add_text(f, line, 0, "Patient", id);
    }
}

/* Checks that the rows of a file that fails are the first rows of the undamaged file. */
static void check_prefix(const struct run *r, const struct file *f)
{
    ck_assert_uint_le(r->log.len, f->want.len);
    if (r->log.len)
        ck_assert_int_eq(memcmp(r->log.at, f->want.at, r->log.len), 0);
}

START_TEST(test_tag)
{
    struct file f = {0};
    struct bytes good;
    int how, n;

    make_hundred(&f);
    for (how = CRYPT; how < WRAPPINGS; how++) {
        struct bytes cipher = encrypt(&f.plain);

        for (n = 0; n < 60; n++) {
            struct run *r = new_run(how, batch_sizes[n % 5], 1000);
            size_t at = n < 16   ? cipher.len - 1 - (size_t)n /* the tag */
                        : n < 28 ? (size_t)n - 16             /* the nonce */
                                 : roll((uint32_t)cipher.len);

            cipher.at[at] ^= 0x10;
            good.at = cipher.at;
            if (how & GZIP)
                good = gzip(&cipher);
            else
                good.len = cipher.len;
            r->step = PIECE_RANDOM;
            run(r, &good);
            ck_assert_int_eq(r->rc, BCDA_ERR_TAG);
            ck_assert_int_eq(r->err.code, BCDA_ERR_TAG);
            ck_assert_str_eq(r->err.file, "file.ndjson");
            if (n < 16) { /* only the tag is wrong, so all rows came, as provisional (see take()) */
                ck_assert_uint_eq(r->log.len, f.want.len);
                check_prefix(r, &f);
            }
            if (how & GZIP)
                free(good.at);
            cipher.at[at] ^= 0x10;
        }
        drop(&cipher);
    }
    drop_file(&f);
}
END_TEST

/* An encrypted file that is cut anywhere is refused. With fewer than 28 bytes it is too short to be
 * an encrypted file. */
START_TEST(test_cipher_cut)
{
    struct file f = {0};
    struct bytes cipher;
    size_t len, whole;

    make_hundred(&f);
    cipher = encrypt(&f.plain);
    whole = cipher.len;
    for (len = 0; len < whole; len += len < 60 ? 1 : 97) {
        struct run *r = new_run(CRYPT, 300, 1000);

        cipher.len = len;
        r->step = PIECE_RANDOM;
        run(r, &cipher);
        ck_assert_int_eq(r->rc, len < 28 ? BCDA_ERR_CIPHER_SHORT : BCDA_ERR_TAG);
        check_prefix(r, &f);
    }
    drop(&cipher);
    drop_file(&f);
}
END_TEST

START_TEST(test_gzip_cut)
{
    struct file f = {0};
    struct bytes zipped = {0};
    size_t len, whole, step;
    int how;

    make_hundred(&f);
    for (how = GZIP; how < WRAPPINGS; how += CRYPT) {
        struct bytes inner = {0};

        zipped.len = 0;
        if (how & CRYPT)
            inner = encrypt(&f.plain);
        else
            add(&inner, f.plain.at, f.plain.len);
        gzip_member(&zipped, inner.at, inner.len);
        whole = zipped.len;
        for (len = 0; len < whole; len += len < 40 || len > whole - 40 ? 1 : 13) {
            struct run *r = new_run(how, 300, 1000);

            zipped.len = len;
            for (step = 0; step < 2; step++) {
                r->step = step;
                run(r, &zipped);
                ck_assert_msg(r->rc == BCDA_ERR_GZIP_CUT, "%d at %zu of %zu", r->rc, len, whole);
                check_prefix(r, &f);
            }
        }
        drop(&inner);
    }
    drop(&zipped);
    drop_file(&f);
}
END_TEST

START_TEST(test_gzip_garbage)
{
    struct file f = {0};
    struct bytes data;
    struct run *r;
    int n;

    make_hundred(&f);
    for (n = 0; n < 5; n++) {
        r = new_run(GZIP, 64, 1000);
        r->step = PIECE_RANDOM;
        data = gzip(&f.plain);
        if (n == 0) /* the file is not gzip */
            data.at[0] = '{';
        else if (n == 1) /* a wrong CRC32 in the trailer of the last member but one */
            data.at[data.len - 20 - 8] ^= 1;
        else if (n == 2) /* other bytes follow the last member */
            add(&data, "garbage", 7);
        else if (n == 3)
            add(&data, "\x1f\x8c\x08", 3);
        else
            data.at[2] = 7;
        run(r, &data);
        ck_assert_msg(r->rc == BCDA_ERR_GZIP, "%d: %d", n, r->rc);
        ck_assert_int_eq(r->err.code, BCDA_ERR_GZIP);
        check_prefix(r, &f);
        drop(&data);
    }
    /* a plain file decoded as gzip, then a gzip file decoded as plain */
    r = new_run(GZIP, 64, 1000);
    run(r, &f.plain);
    ck_assert_int_eq(r->rc, BCDA_ERR_GZIP);
    ck_assert_uint_eq(r->log.len, 0);
    r = new_run(0, 64, 100000);
    data = gzip(&f.plain);
    run(r, &data);
    ck_assert(r->rc == 0 || r->rc == BCDA_ERR_LINE_CUT);
    ck_assert_ptr_null(r->log.len ? memmem(r->log.at, r->log.len, "Patient", 7) : NULL);
    drop(&data);
    drop_file(&f);
}
END_TEST

/* ---- details ---- */

static struct bcda_batch *take_batch(struct bcda__decoder *d)
{
    struct bcda_batch *b;

    ck_assert_int_eq(bcda__decoder_take(d, &b), 0);
    return b;
}

static struct bcda__decoder *open_decoder(const struct bcda__decoder_options *o)
{
    struct bcda__decoder *d;

    ck_assert_int_eq(bcda__decoder_new(&d, o, NULL), 0);
    return d;
}

static size_t put(struct bcda__decoder *d, const void *data, size_t len)
{
    size_t used;

    ck_assert_int_eq(bcda__decoder_write(d, data, len, &used, NULL), 0);
    return used;
}

/* Rows are provisional until bcda__decoder_finish() has succeeded. A batch taken after that is not
 * provisional, even if it was filled before. */
START_TEST(test_provisional)
{
    struct run *r = new_run(_i, 10000, 1000);
    struct bcda__decoder *d = open_decoder(&r->o);
    struct bytes plain = {0}, data;
    struct bcda_batch *b;
    int i;

    for (i = 0; i < 3; i++)
        add(&plain, P("1") "\n", strlen(P("1")) + 1);
    data = wrap(&plain, _i);
    ck_assert_uint_eq(put(d, data.at, data.len), data.len);
    ck_assert_int_eq(bcda__decoder_is_full(d), 0);
    ck_assert_int_eq(bcda__decoder_has_batch(d), 1);
    b = take_batch(d);
    ck_assert_int_eq(bcda_batch_is_provisional(b), 1);
    bcda_batch_unref(b);
    bcda__decoder_free(d);

    d = open_decoder(&r->o);
    put(d, data.at, data.len);
    ck_assert_int_eq(bcda__decoder_finish(d, NULL), 0);
    b = take_batch(d);
    ck_assert_uint_eq(bcda_batch_count(b), 3);
    ck_assert_int_eq(bcda_batch_is_provisional(b), 0);
    bcda_batch_unref(b);
    bcda__decoder_free(d);

    if (_i & CRYPT) { /* if finish() finds a wrong tag, rows stay provisional */
        drop(&data);
        data = encrypt(&plain);
        data.at[data.len - 1] ^= 1;
        r->o.coding = NULL;
        d = open_decoder(&r->o);
        put(d, data.at, data.len);
        ck_assert_int_eq(bcda__decoder_finish(d, NULL), BCDA_ERR_TAG);
        b = take_batch(d);
        ck_assert_int_eq(bcda_batch_is_provisional(b), 1);
        bcda__decoder_give_back(d, b);
        ck_assert_int_eq(bcda__decoder_finish(d, NULL), BCDA_ERR_TAG);
        bcda__decoder_free(d);
    }
    drop(&data);
    drop(&plain);
}
END_TEST

/* bcda__decoder_refuse_line() makes the file fail because of an invalid line: the decoder gives no
 * more rows. It still reads a compressed or encrypted file to its end, because a wrong tag is the
 * better error. */
START_TEST(test_refused_line)
{
    struct run *r = new_run(_i % 4, batch_sizes[_i / 4 % 5], 200);
    struct bcda__decoder *d = open_decoder(&r->o);
    struct file f = {0};
    struct bytes data;
    size_t at = 0, refuse_at;
    int tagged = _i % 4 & CRYPT, batches = 0, kept = 0;
    struct bcda_error line_err, seen;
    char *line = malloc(3000);

    make_hundred(&f);
    make_line(line, 3000); /* too long; some runs refuse a line while the decoder skips this one */
    add_line(&f, line, 3000, BCDA_ERR_LINE_TOO_LONG, NULL, NULL);
    make_hundred(&f);
    if (_i % 2)
        add(&f.plain, "{\"cut", 5);
    data = wrap(&f.plain, _i % 4);
    bcda__err_clear(&line_err);
    bcda__err_set(&line_err, BCDA_ERR_LINE_TOO_LONG, "a line");
    refuse_at = (size_t)(_i / 4) * data.len / 15;
    if (tagged && _i % 3 == 0 && !(_i % 4 & GZIP))
        data.at[data.len - 1] ^= 1;
    while (at < data.len) {
        size_t n = data.len - at < 37 ? data.len - at : 37;

        if (at >= refuse_at) {
            kept = bcda__decoder_refuse_line(d, &line_err) == 0;
            ck_assert_int_eq(kept, _i % 4 != 0);
            ck_assert_int_eq(bcda__decoder_refused_line(d, &seen), kept ? line_err.code : 0);
            ck_assert_int_eq(bcda__decoder_has_batch(d), 0);
            ck_assert_int_eq(bcda__decoder_is_full(d), 0);
            refuse_at = SIZE_MAX;
            batches = -1;
        }
        at += put(d, data.at + at, n);
        if (batches < 0) {
            ck_assert_int_eq(bcda__decoder_has_batch(d), 0);
        } else if (bcda__decoder_is_full(d) &&
                   at < refuse_at) { /* otherwise the batch is still full at the refusal */
            bcda__decoder_give_back(d, take_batch(d));
        }
    }
    ck_assert_int_eq(bcda__decoder_finish(d, &r->err), tagged && _i % 3 == 0 && !(_i % 4 & GZIP)
                                                           ? BCDA_ERR_TAG
                                                       : kept ? BCDA_ERR_LINE_TOO_LONG
                                                              : 0);
    ck_assert_int_eq(bcda__decoder_has_batch(d), 0);
    ck_assert_int_eq(bcda__decoder_bytes(d), (int64_t)f.plain.len);
    bcda__decoder_free(d);
    drop(&data);
    drop_file(&f);
    free(line);
}
END_TEST

/* ---- what the manifest states ---- */

static const struct {
    int length, count, sum,
        code; /* the first three: difference from the true value, or UNSAID (not in the manifest) */
} expectations[] = {
#define UNSAID 9
    {0, 0, 0, 0},
    {UNSAID, UNSAID, UNSAID, 0},
    {UNSAID, 0, UNSAID, 0},
    {UNSAID, UNSAID, 0, 0},
    {1, 0, 0, BCDA_ERR_LENGTH},
    {-1, 1, 1, BCDA_ERR_LENGTH},
    {0, 1, 1, BCDA_ERR_COUNT},
    {UNSAID, -1, 0, BCDA_ERR_COUNT},
    {0, 0, 1, BCDA_ERR_CHECKSUM},
    {UNSAID, UNSAID, 1, BCDA_ERR_CHECKSUM},
};

/* Decodes all data with one decoder. Returns the result of bcda__decoder_finish(). */
static int decode_all(struct bcda__decoder *d, const struct bytes *data, size_t step,
                      struct bcda_error *e)
{
    size_t at = 0, used;
    int rc = 0;

    while (!rc && at < data->len) {
        rc = bcda__decoder_write(d, data->at + at, step < data->len - at ? step : data->len - at,
                                 &used, e);
        at += used;
        if (bcda__decoder_is_full(d)) {
            bcda__decoder_give_back(d, take_batch(d));
        }
    }
    while (!rc && (rc = bcda__decoder_finish(d, e)) == BCDA_ERR_AGAIN) {
        bcda__decoder_give_back(d, take_batch(d));
        rc = 0;
    }
    return rc;
}

static void check_expectation(struct run *r, const struct bytes *data, int code)
{
    struct bcda__decoder *d;
    struct bcda_batch *b;

    r->o.name = "file.ndjson";
    ck_assert_int_eq(bcda__decoder_new(&d, &r->o, &r->err), 0);
    ck_assert_int_eq(decode_all(d, data, r->step, &r->err), code);
    if (code) {
        ck_assert_int_eq(r->err.code, code);
        ck_assert_msg(strstr(r->err.text, "file.ndjson: the manifest") != NULL, "%s", r->err.text);
    }
    ck_assert(!r->o.check_only || !bcda__decoder_has_batch(d));
    if (bcda__decoder_has_batch(d)) { /* if the file failed, the remaining rows are provisional */
        b = take_batch(d);
        ck_assert_int_eq(b->provisional, code || b->bad_count);
        bcda_batch_unref(b);
    }
    bcda__decoder_free(d);
}

/* The decoder compares a file with the length, count and checksum that the manifest states. It does
 * so for plain, compressed and encrypted files, with check_only or without, in pieces of any size.
 */
START_TEST(test_expected)
{
    static const struct {
        const char *text;
        int64_t count;
    } files[] = {
        {P("a") "\n\n" P("b") "\n \r\n", 2},
        {P("a") "\nbad\n" P("b"), 3},
        {"\n" P("0123456789012345678901234567890123456789012345678901234567890123456789") "\n \n",
         1}};
    int which = _i % 3;
    struct run *r = new_run(_i / 3 % 4, _i / 12 % 2 ? 64 : 8192, 50);
    struct bytes plain = {0}, data;
    struct bcda__expected e;
    uint8_t sum[32];
    size_t i;

    add(&plain, files[which].text, strlen(files[which].text));
    data = wrap(&plain, _i / 3 % 4);
    r->step = _i / 24 % 2 ? 1 : SIZE_MAX / 2;
    r->o.check_only = _i / 48 % 2;
    r->o.expected = &e;
    for (i = 0; i < COUNT(expectations); i++) {
        int length = expectations[i].length, count = expectations[i].count;

        EVP_Digest(plain.at, plain.len, sum, NULL, EVP_sha256(), NULL);
        sum[31] ^= expectations[i].sum == 1;
        e.length = length == UNSAID ? -1 : (int64_t)plain.len + length;
        e.count = count == UNSAID ? -1 : files[which].count + count;
        e.checksum = expectations[i].sum == UNSAID ? NULL : sum;
        if (which == 2 && count == -1)
            e.count = 7; /* so that the wrong count is not 1 - 1 = 0 */
        check_expectation(r, &data, expectations[i].code);
    }
    drop(&data);
    drop(&plain);
}
END_TEST

/* One long line makes its batch grow. That memory is freed when the batch is released. */
START_TEST(test_memory)
{
    struct run *r = new_run(0, 4096, 1 << 20);
    struct bcda__decoder *d = open_decoder(&r->o);
    size_t len = 1000000, at;
    char *line = malloc(len + 1);
    struct bcda_batch *b;
    int i, large = 0;

    make_line(line, len);
    line[len] = '\n';
    for (i = 0; i < 6; i++)
        for (at = 0; at < (i == 2 ? len + 1 : 9000);) {
            static const char small[] = P("1") "\n";
            size_t n = i == 2 ? len + 1 - at : strlen(small);

            at += i == 2 ? put(d, line + at, n) : put(d, small, n);
            if (!bcda__decoder_is_full(d) && !(i == 2 && at == len + 1))
                continue;
            b = take_batch(d);
            ck_assert_uint_lt(b->cap, 2 * len + 4096);
            large += b->cap > len;
            bcda__decoder_give_back(d, b);
        }
    ck_assert_int_eq(large, 1);
    ck_assert_int_eq(bcda__decoder_finish(d, NULL), 0);
    b = take_batch(d);
    ck_assert_uint_le(b->cap, 4096);
    bcda__decoder_give_back(d, b);
    bcda__decoder_free(d);
    free(line);
}
END_TEST

START_TEST(test_reuse)
{
    struct run *r = new_run(0, 256, 1000);
    struct bcda__decoder *d = open_decoder(&r->o);
    struct bcda_batch *seen[500], *b, *held = NULL;
    char copy[256];
    size_t n = 0, i, k, different = 0, held_fill = 0;

    bcda__decoder_give_back(d, NULL);
    for (i = 0; i < 500; i++) {
        put(d, P("1") "\n", strlen(P("1")) + 1);
        if (!bcda__decoder_is_full(d))
            continue;
        b = take_batch(d);
        if (n == 5) { /* the test keeps a reference, so the decoder must not reuse this batch */
            held = bcda_batch_ref(b);
            held_fill = b->fill;
            memcpy(copy, b->bytes, b->fill);
        } else if (n > 5) {
            ck_assert_ptr_ne(b, held);
        }
        seen[n++] = b;
        bcda__decoder_give_back(d, b);
    }
    ck_assert_uint_gt(n, 20);
    for (i = 6; i < n; i++) {
        for (k = 6; k < i && seen[k] != seen[i]; k++)
            ;
        different += k == i;
    }
    ck_assert_uint_eq(different, 1); /* given back at once: filled again at once */
    ck_assert_int_eq(memcmp(held->bytes, copy, held_fill), 0);
    bcda__decoder_free(d);
    ck_assert_int_eq(memcmp(held->bytes, copy, held_fill), 0); /* a batch outlives its decoder */
    ck_assert_str_eq(bcda_resource_id(bcda_batch_resource(held, 0)), "1");
    bcda_batch_unref(held);
}
END_TEST

/* A batch that is given back at once is filled again, and the start of the next line moves into it,
 * unless that start is long. */
START_TEST(test_same_batch)
{
    enum { SIZE = 4096, LINES = 4000 };
    struct run *r = new_run(0, SIZE, SIZE);
    struct bcda__decoder *d = open_decoder(&r->o);
    struct bcda_batch *b, *last = NULL;
    static const char start[] = "{\"resourceType\":\"Patient\",\"id\":\"";
    struct bytes text = {0};
    int same = 0, other = 0;
    size_t i, at = 0, row = 0;
    char id[32];

    for (i = 0; i < LINES; i++) {
        snprintf(id, sizeof id, "%zu", i);
        add(&text, start, strlen(start));
        add(&text, id, strlen(id));
        add(&text, "\",\"x\":\"", 7);
        for (size_t k = 0; k < (i < LINES / 2 ? 10 : 1000); k++)
            add(&text, "-", 1);
        add(&text, "\"}\n", 3);
    }
    while (at < text.len) {
        at += put(d, text.at + at, text.len - at < 1000 ? text.len - at : 1000);
        if (!bcda__decoder_is_full(d))
            continue;
        b = take_batch(d);
        for (i = 0; i < bcda_batch_count(b); i++, row++) {
            snprintf(id, sizeof id, "%zu", row);
            ck_assert_str_eq(bcda_resource_id(bcda_batch_resource(b, i)), id);
        }
        same += b == last;
        other += last && b != last;
        last = b;
        bcda__decoder_give_back(d, b);
    }
    ck_assert_int_gt(same, 10);
    ck_assert_int_gt(other, 10);
    ck_assert_int_eq(bcda__decoder_finish(d, NULL), 0);
    b = take_batch(d);
    row += bcda_batch_count(b);
    ck_assert_uint_eq(row, LINES);
    bcda__decoder_give_back(d, b);
    bcda__decoder_free(d);
    drop(&text);
}
END_TEST

/* The error for an invalid line names the file, the line number and the cause. It must not contain
 * text of the line, which may be patient data. */
START_TEST(test_invalid_line_error)
{
    struct run *r = new_run(0, 1000, 1000);
    struct bcda__decoder *d = open_decoder(&r->o);
    static const char text[] = P("1") "\n{\"resourceType\":\"SECRET\",}\n";
    struct bcda_error err;
    struct bcda_batch *b;

    put(d, text, strlen(text));
    ck_assert_int_eq(bcda__decoder_finish(d, NULL), 0);
    b = take_batch(d);
    ck_assert_uint_eq(bcda_batch_bad_line_count(b), 1);
    ck_assert_int_eq(bcda__bad_line_error(bcda_batch_bad_line(b, 0), "f.ndjson", &err),
                     BCDA_ERR_LINE_JSON);
    ck_assert_int_eq(err.code, BCDA_ERR_LINE_JSON);
    ck_assert_int_eq(err.line, 2);
    ck_assert_int_eq(err.offset, (int64_t)strlen(P("1")) + 1);
    ck_assert_str_eq(err.file, "f.ndjson");
    ck_assert_ptr_nonnull(strstr(err.text, "f.ndjson, line 2"));
    ck_assert_ptr_null(strstr(err.text, "SECRET"));
    bcda_batch_unref(b);
    bcda__decoder_free(d);
}
END_TEST

/* ---- sample files of BCDA, which are not in this tree: BCDA_SHARED names their directory ---- */

static int read_whole(const char *path, struct bytes *to)
{
    FILE *f = fopen(path, "rb");
    char part[65536];
    size_t n;

    if (!f)
        return -1;
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        add(to, part, n);
    fclose(f);
    return 0;
}

/* Finds a string member at the top level of a JSON document. Uses bcda__json_parse(), because the
 * decoder under test finds the same members with the line reader. */
struct member {
    const char *key;
    int right, found;
    char value[200];
};

static int on_member(void *ctx, enum bcda__json_event event, int depth, const char *text,
                     size_t len)
{
    struct member *m = ctx;

    if (depth == 1 && event == BCDA__JSON_KEY)
        m->right = len == strlen(m->key) && memcmp(text, m->key, len) == 0;
    else if (depth == 1 && event == BCDA__JSON_STRING && m->right) {
        ck_assert_uint_lt(len, sizeof m->value);
        memcpy(m->value, text, len);
        m->value[len] = '\0';
        m->found = 1;
    }
    return 0;
}

static const char *member_of(struct member *m, const char *json, size_t len, const char *key_name)
{
    memset(m, 0, sizeof *m);
    m->key = key_name;
    ck_assert_int_eq(bcda__json_parse(json, len, 64, on_member, m), 0);
    return m->value;
}

/* Makes the log that a run over the sample must give. In a line with an envelope
 * ({"fullUrl":...,"resource":...}) the samples have `resource` last, with no space around it. */
static void expect_sample(struct file *f)
{
    static const char before[] = ",\"resource\":";
    const char *at = (const char *)f->plain.at, *end = at + f->plain.len;

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf ? lf : end, *json = at;
        size_t len = (size_t)(stop - at);
        struct member type, id;

        f->lines++;
        if (strncmp(at, "{\"fullUrl\":", 11) == 0) {
            json = (const char *)memmem(at, len, before, strlen(before)) + strlen(before);
            len = (size_t)(stop - 1 - json);
        }
        if (len) {
            member_of(&type, json, len, "resourceType");
            member_of(&id, json, len, "id");
            note_row(&f->want, f->lines, at - (const char *)f->plain.at, type.value, id.value, json,
                     len, at, (size_t)(stop - at));
        }
        at = stop + 1;
    }
}

static int check_sample(const char *path)
{
    struct file f = {0};
    static const size_t sizes[] = {64, 5000, 256 * 1024};
    size_t i;
    int how;

    ck_assert_int_eq(read_whole(path, &f.plain), 0);
    expect_sample(&f);
    for (how = 0; how < WRAPPINGS; how++) {
        struct bytes data = wrap(&f.plain, how);

        for (i = 0; i < COUNT(sizes); i++) {
            struct run *r = new_run(how, sizes[i], 64 << 20);

            r->o.depth_max = 9; /* no line of the samples is nested deeper */
            r->step = i == 1 ? 16384 : PIECE_RANDOM;
            check_run(r, &f, &data);
        }
        drop(&data);
    }
    drop_file(&f);
    return 1;
}

static int check_samples_in(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char path[1000];
    int count = 0;

    if (!d)
        return 0;
    while ((entry = readdir(d))) {
        size_t len = strlen(entry->d_name);
        struct stat st;

        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "gzip") == 0 || stat(path, &st))
            continue;
        if (S_ISDIR(st.st_mode))
            count += check_samples_in(path);
        else if (len > 7 && strcmp(entry->d_name + len - 7, ".ndjson") == 0)
            count += check_sample(path);
    }
    closedir(d);
    return count;
}

START_TEST(test_samples)
{
    const char *shared = getenv("BCDA_SHARED");
    char dir[900];

    ck_assert_ptr_nonnull(shared);
    snprintf(dir, sizeof dir, "%s/data", shared);
    ck_assert_int_ge(check_samples_in(dir), 15);
}
END_TEST

int suite_prepare(void)
{
    return bcda__crypto_init(0, NULL);
}

SUITE("decoder")
{
    suite_case("lines");
    suite_timeout(600);
    suite_loop(test_small, 0, 2);
    suite_loop(test_blank_lines, 0, 2);
    suite_test(test_empty);
    suite_test(test_invalid_lines, test_invalid_last_line);
    suite_case("files");
    suite_timeout(600);
    suite_loop(test_line_limit, 0, 3);
    suite_loop(test_line_limit_alone, 0, 2);
    suite_loop(test_many, 0, 2);
    suite_loop(test_tiny, 0, 2);
    suite_test(test_line_cut, test_tag, test_cipher_cut, test_gzip_cut, test_gzip_garbage);
    suite_loop(test_provisional, 0, WRAPPINGS);
    suite_loop(test_refused_line, 0, 60);
    suite_loop(test_expected, 0, 96);
    suite_test(test_memory, test_reuse, test_same_batch, test_invalid_line_error);
    if (getenv("BCDA_SHARED")) /* the samples are not in this tree */
        suite_test(test_samples);
}
