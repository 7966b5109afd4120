/* bcda__inflate_end_at() declares that a file ends before the last byte given to the inflater. The
 * end must be that of a gzip member, and the inflater must not have output data of a later member.
 */
#include <string.h>
#include <zlib.h>

#include "bcda/error.h"
#include "codec/inflate.h"
#include "suite.h"

static uint8_t packed[4096];
static size_t packed_len;

static size_t add_member(const char *text)
{
    z_stream z = {0};
    size_t begin = packed_len;

    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = packed + packed_len;
    z.avail_out = (uInt)(sizeof packed - packed_len);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed_len += z.total_out;
    deflateEnd(&z);
    return packed_len - begin;
}

/* Inflates the first `len` bytes of `packed`. Returns 1 if bcda__inflate_end_at() then accepts
 * offset `at` as the end of the file. */
static int can_end(size_t len, size_t at)
{
    struct bcda__inflate *z;
    uint8_t out[4096];
    size_t used, made;
    int rc;

    ck_assert_int_eq(bcda__inflate_new(&z), 0);
    ck_assert_int_eq(bcda__inflate_run(z, packed, len, &used, out, sizeof out, &made), 0);
    ck_assert_uint_eq(used, len);
    rc = bcda__inflate_end_at(z, (int64_t)at);
    if (rc)
        ck_assert_int_eq(rc, BCDA_ERR_GZIP_CUT);
    else
        ck_assert_int_eq(bcda__inflate_finish(z), 0);
    bcda__inflate_free(z);
    return !rc;
}

START_TEST(behind_a_member)
{
    size_t first = add_member("the first member"), second = add_member("");

    ck_assert_int_eq(can_end(first, first), 1);
    ck_assert_int_eq(can_end(first, first - 1), 0);
    ck_assert_int_eq(can_end(first - 1, first - 1), 0);
    ck_assert_int_eq(can_end(first + 5, first), 1); /* within the header of the empty member */
    ck_assert_int_eq(can_end(first + second - 1, first), 1);
    ck_assert_int_eq(can_end(first + second, first + second), 1);
}
END_TEST

/* The file cannot end after the first gzip member once the inflater has output decompressed data of
 * the second one. */
START_TEST(not_before_text)
{
    size_t first = add_member("the first member"), second = add_member("the second");

    ck_assert_int_eq(can_end(first + 5, first), 1);
    ck_assert_int_eq(can_end(first + second - 8, first),
                     0); /* 8: the trailer (CRC32, ISIZE) of the second member is missing */
    ck_assert_int_eq(can_end(first + second, first), 0);
    ck_assert_int_eq(can_end(first + second, first + second), 1);
}
END_TEST

SUITE("inflate end")
{
    suite_case("inflate end");
    suite_test(behind_a_member, not_before_text);
}
