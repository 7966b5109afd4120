#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bcda/error.h"
#include "codec/inflate.h"
#include "helper.h"
#include "suite.h"

/* The empty gzip member with which the server ends every file (bcda-api 6.1). */
static const uint8_t empty_member[23] = {0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff, 0x01, 0,
                                         0,    0xff, 0xff, 0, 0, 0, 0, 0, 0, 0,    0};

struct bytes {
    uint8_t at[400000];
    size_t len;
};

static struct bytes packed, text, got;

/* Adds a gzip member. Its uncompressed data has `len` bytes, partly random, so that it compresses
 * only a little. */
static void add_member(size_t len, int level)
{
    z_stream z = {0};
    size_t i;

    for (i = 0; i < len; i++)
        text.at[text.len + i] = (uint8_t)(roll(4) ? 'a' + roll(3) : roll(256));
    ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = text.at + text.len;
    z.avail_in = (uInt)len;
    z.next_out = packed.at + packed.len;
    z.avail_out = (uInt)(sizeof packed.at - packed.len);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.len = sizeof packed.at - z.avail_out;
    deflateEnd(&z);
    text.len += len;
}

static void add_raw(const void *data, size_t len)
{
    memcpy(packed.at + packed.len, data, len);
    packed.len += len;
}

static void start(void)
{
    packed.len = text.len = got.len = 0;
}

/* Inflates `len` bytes, given in pieces of at most `in_max` bytes, with outputs of at most `cap`
 * bytes; 0 for either means random sizes. */
static int unpack(const uint8_t *in, size_t len, size_t in_max, size_t cap)
{
    struct bcda__inflate *z;
    size_t at = 0, piece, room, used, made;
    int rc = 0;

    got.len = 0;
    ck_assert_int_eq(bcda__inflate_new(&z), 0);
    do {
        piece = in_max ? in_max : roll(300);
        piece = piece < len - at ? piece : len - at;
        do {
            uint8_t *exact;

            room = cap ? cap : 1 + roll(300);
            exact = malloc(room); /* no spare byte, so that ASan detects a write beyond it */
            rc = bcda__inflate_run(z, piece ? in + at : NULL, piece, &used, exact, room, &made);
            ck_assert_uint_le(used, piece);
            ck_assert_uint_le(made, room);
            ck_assert(rc || used == piece || made == room);
            ck_assert_uint_le(got.len + made, sizeof got.at);
            memcpy(got.at + got.len, exact, made);
            free(exact);
            got.len += made;
            at += used;
            piece -= used;
        } while (!rc && (piece || made == room));
    } while (!rc && at < len);
    if (rc) {
        ck_assert_int_eq(bcda__inflate_run(z, NULL, 0, &used, NULL, 0, &made), rc);
        ck_assert_int_eq(bcda__inflate_run(z, in, len, &used, NULL, 0, &made), rc);
        ck_assert_uint_eq(used, 0);
        ck_assert_int_eq(bcda__inflate_finish(z), rc);
    } else {
        rc = bcda__inflate_finish(z);
        ck_assert_int_eq(bcda__inflate_finish(z), rc);
    }
    bcda__inflate_free(z);
    return rc;
}

static void expect_text(int rc)
{
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_eq(got.len, text.len);
    ck_assert_int_eq(memcmp(got.at, text.at, text.len), 0);
}

START_TEST(test_members)
{
    int level;

    for (level = 0; level <= 9; level += 3) {
        int i;

        start();
        for (i = 0; i < _i; i++)
            add_member(roll(2) ? roll(3000) : roll(20), level);
        expect_text(unpack(packed.at, packed.len, packed.len, sizeof got.at));
        expect_text(unpack(packed.at, packed.len, 1, 1000));
        expect_text(unpack(packed.at, packed.len, packed.len, 1));
        expect_text(unpack(packed.at, packed.len, 1, 1));
        expect_text(unpack(packed.at, packed.len, 0, 0));
        add_member(60000 + roll(1000), level); /* longer than the window of deflate */
        expect_text(unpack(packed.at, packed.len, packed.len, sizeof got.at));
        expect_text(unpack(packed.at, packed.len, 0, 0));
    }
}
END_TEST

START_TEST(test_empty_members)
{
    start();
    add_raw(empty_member, sizeof empty_member);
    expect_text(unpack(packed.at, packed.len, 1, 1));
    add_member(1000, 9);
    add_raw(empty_member, sizeof empty_member);
    expect_text(unpack(packed.at, packed.len, 1, 1));
    expect_text(
        unpack(packed.at, packed.len, packed.len, 1000)); /* the 1000 bytes just fit the output */
    add_raw(empty_member, sizeof empty_member);
    add_member(0, 9);
    expect_text(unpack(packed.at, packed.len, 0, 0));
}
END_TEST

START_TEST(test_every_header_field)
{
    gz_header head = {0};
    z_stream z = {0};

    start();
    head.text = 1;
    head.time = 7;
    head.extra = (Bytef *)(uintptr_t) "extra";
    head.extra_len = 5;
    head.name = (Bytef *)(uintptr_t) "a name.ndjson";
    head.comment = (Bytef *)(uintptr_t) "a comment";
    head.hcrc = 1;
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflateSetHeader(&z, &head), Z_OK);
    memcpy(text.at, "abc", text.len = 3);
    z.next_in = text.at;
    z.avail_in = 3;
    z.next_out = packed.at;
    z.avail_out = sizeof packed.at;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.len = sizeof packed.at - z.avail_out;
    deflateEnd(&z);
    expect_text(unpack(packed.at, packed.len, 1, 1));
    add_raw(packed.at, packed.len);
    memcpy(text.at + 3, "abc", 3);
    text.len = 6;
    expect_text(unpack(packed.at, packed.len, 1, 1));
    expect_text(unpack(packed.at, packed.len, 0, 0));
}
END_TEST

/* An empty file, and a file that ends inside a gzip member, give BCDA_ERR_GZIP_CUT. Only the end of
 * a member can be the end of a file. */
START_TEST(test_every_cut)
{
    size_t ends[3], cut, i;

    start();
    add_member(200, 9);
    ends[0] = packed.len;
    add_member(60, 9);
    ends[1] = packed.len;
    add_raw(empty_member, sizeof empty_member);
    ends[2] = packed.len;
    for (cut = 0; cut <= packed.len; cut++) {
        int want = BCDA_ERR_GZIP_CUT;

        for (i = 0; i < 3; i++)
            want = cut == ends[i] ? 0 : want;
        ck_assert_int_eq(unpack(packed.at, cut, packed.len, 1000), want);
        ck_assert_int_eq(unpack(packed.at, cut, 1, 1), want);
        ck_assert_int_eq(unpack(packed.at, cut, 0, 0), want);
        ck_assert_int_eq(memcmp(got.at, text.at, got.len), 0);
    }
}
END_TEST

START_TEST(test_trailer_flips)
{
    size_t end, i;
    int bit;

    start();
    add_member(300, 9);
    end = packed.len;
    add_raw(empty_member, sizeof empty_member);
    for (i = end - 8; i < end; i++) {
        for (bit = 0; bit < 8; bit++) {
            packed.at[i] ^= (uint8_t)(1 << bit);
            ck_assert_int_eq(unpack(packed.at, packed.len, packed.len, 1000), BCDA_ERR_GZIP);
            ck_assert_int_eq(unpack(packed.at, packed.len, 1, 1), BCDA_ERR_GZIP);
            packed.at[i] ^= (uint8_t)(1 << bit);
        }
    }
}
END_TEST

/* Flipping any one bit gives an error, unless the decompressed output is the same (for example,
 * a bit of the gzip header's MTIME field). */
START_TEST(test_any_flip)
{
    size_t i;
    int bit;

    start();
    add_member(300, 9);
    add_member(20, 9);
    for (i = 0; i < packed.len; i++) {
        for (bit = 0; bit < 8; bit++) {
            int rc;

            packed.at[i] ^= (uint8_t)(1 << bit);
            rc = unpack(packed.at, packed.len, 0, 0);
            if (rc == 0)
                expect_text(rc);
            else
                ck_assert(rc == BCDA_ERR_GZIP || rc == BCDA_ERR_GZIP_CUT);
            packed.at[i] ^= (uint8_t)(1 << bit);
        }
    }
}
END_TEST

START_TEST(test_behind_the_last)
{
    static const uint8_t zeros[600];
    size_t whole;

    start();
    add_member(300, 9);
    whole = packed.len;
    add_raw(zeros, sizeof zeros);
    expect_text(unpack(packed.at, packed.len, packed.len, 1000));
    expect_text(unpack(packed.at, packed.len, 1, 1));
    expect_text(unpack(packed.at, whole + 1, 1, 1));
    packed.at[packed.len - 1] = 1; /* zeros, then another byte */
    ck_assert_int_eq(unpack(packed.at, packed.len, 0, 0), BCDA_ERR_GZIP);
    packed.at[packed.len - 1] = 0;
    add_raw(empty_member, sizeof empty_member); /* zeros, then a member */
    ck_assert_int_eq(unpack(packed.at, packed.len, 0, 0), BCDA_ERR_GZIP);

    packed.len = whole;
    add_raw("{\"resourceType\"", 15);
    ck_assert_int_eq(unpack(packed.at, packed.len, packed.len, 1000), BCDA_ERR_GZIP);
    ck_assert_int_eq(unpack(packed.at, packed.len, 1, 1), BCDA_ERR_GZIP);
    packed.len = whole;
    add_raw("\x1f\x8c", 2);
    ck_assert_int_eq(unpack(packed.at, packed.len, 1, 1), BCDA_ERR_GZIP);
}
END_TEST

START_TEST(test_not_gzip)
{
    uint8_t *plain = (uint8_t *)strdup("{\"resourceType\":\"Patient\"}\n");
    uint8_t zlib_form[64];
    uLongf zlib_len = sizeof zlib_form;

    start();
    ck_assert_int_eq(unpack(plain, strlen((char *)plain), 1, 1), BCDA_ERR_GZIP);
    ck_assert_int_eq(compress(zlib_form, &zlib_len, plain, 5), Z_OK);
    ck_assert_int_eq(unpack(zlib_form, zlib_len, 64, 64), BCDA_ERR_GZIP);
    memset(plain, 0, 20);
    ck_assert_int_eq(unpack(plain, 20, 20, 64), BCDA_ERR_GZIP);
    ck_assert_int_eq(unpack(plain, 0, 1, 1), BCDA_ERR_GZIP_CUT);
    ck_assert_int_eq(unpack((const uint8_t *)"\x1f", 1, 1, 1), BCDA_ERR_GZIP_CUT);
    free(plain);
}
END_TEST

START_TEST(test_no_room)
{
    struct bcda__inflate *z;
    size_t used, made, at = 0;
    uint8_t c;

    start();
    add_member(5, 9);
    ck_assert_int_eq(bcda__inflate_new(&z), 0);
    ck_assert_int_eq(bcda__inflate_run(z, NULL, 0, &used, NULL, 0, &made), 0);
    while (text.len > got.len) {
        ck_assert_int_eq(
            bcda__inflate_run(z, packed.at + at, packed.len - at, &used, NULL, 0, &made), 0);
        at += used;
        ck_assert_int_eq(bcda__inflate_run(z, packed.at + at, packed.len - at, &used, &c, 1, &made),
                         0);
        ck_assert_uint_eq(made, 1);
        at += used;
        got.at[got.len++] = c;
    }
    ck_assert_uint_eq(at, packed.len);
    expect_text(bcda__inflate_finish(z));
    bcda__inflate_free(z);
    bcda__inflate_free(NULL);
}
END_TEST

static size_t read_shared(const char *dir, const char *name, uint8_t *out, size_t size)
{
    char path[1000];
    FILE *f;
    size_t len;

    snprintf(path, sizeof path, "%s/data/gzip/%s", dir, name);
    f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s is missing", path);
    len = fread(out, 1, size, f);
    fclose(f);
    return len;
}

/* Decodes sample files of the BCDA server. They are not in this tree: the environment variable
 * BCDA_SHARED names a folder in which data/ has them. */
START_TEST(test_samples)
{
    const char *dir = getenv("BCDA_SHARED");

    ck_assert_ptr_nonnull(dir);
    packed.len = read_shared(dir, "test_gzip_encoded.ndjson", packed.at, sizeof packed.at);
    text.len = read_shared(dir, "test_no_encoding.ndjson", text.at, sizeof text.at);
    text.at[text.len++] = '\n';
    expect_text(unpack(packed.at, packed.len, 0, 0));
    /* a gzip header whose compression method is 0 */
    packed.len = read_shared(dir, "corrupt_gz_file.ndjson", packed.at, sizeof packed.at);
    ck_assert_int_eq(unpack(packed.at, packed.len, 1, 1), BCDA_ERR_GZIP);
    packed.len = read_shared(dir, "test_no_encoding.ndjson", packed.at, sizeof packed.at);
    ck_assert_int_eq(unpack(packed.at, packed.len, 0, 0), BCDA_ERR_GZIP);
}
END_TEST

SUITE("inflate")
{
    suite_case("inflate");
    suite_timeout(120);
    suite_loop(test_members, 1, 6);
    suite_test(test_empty_members, test_every_header_field, test_every_cut, test_trailer_flips,
               test_any_flip, test_behind_the_last, test_not_gzip, test_no_room);
    if (getenv("BCDA_SHARED")) /* the samples are not in this tree */
        suite_test(test_samples);
}
