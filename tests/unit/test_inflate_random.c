/* Compares the inflater of this build with zlib's own gzip reader on random files: both must return
 * the same code and the same decompressed data, whatever the sizes of the pieces. BCDA_TEST_ROUNDS
 * sets the number of files, BCDA_TEST_SEED the first seed. A failure names the file's seed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../sample.h"
#include "bcda/error.h"
#include "codec/inflate.h"
#include "suite.h"

enum { SIZE = 1 << 20, PART = 150000 };

/* Result of zlib_says() if the decompressed data of a damaged file exceeds SIZE bytes. The test
 * then skips the file. */
enum { TOO_LONG = 1 };

#ifdef WITH_ISAL
enum { ISAL = 1 };
#else
enum { ISAL = 0 };
#endif

struct bytes {
    uint8_t at[SIZE];
    size_t len;
};

static struct bytes text;  /* uncompressed data of the current gzip member */
static struct bytes whole; /* uncompressed data of all members, before the file was damaged */
static struct bytes packed, want, got;
static uint64_t seed, file_seed;
static enum harm { NONE, CUT, HURT } harm; /* damage to the current file */

static uint32_t roll(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- making random files ---- */

static void fill_text(size_t len)
{
    static const char line[] = "{\"resourceType\":\"Patient\",\"id\":\"";
    uint32_t kind = roll(5), i;

    for (i = 0; i < len; i++) {
        uint8_t c = 0; /* kind 0: all zeros, which deflate can pack as matches of 258 bytes */

        if (kind == 1)
            c = (uint8_t)roll(256);
        else if (kind == 2)
            c = (uint8_t)(roll(4) ? 'a' + roll(3) : roll(256));
        else if (kind == 3)
            c = (uint8_t)(line[i % (sizeof line - 1)] + (roll(9) == 0));
        else if (kind == 4) /* deflate can find matches 29,000 bytes back */
            c = i < 30000 ? (uint8_t)roll(256) : text.at[i - 29000];
        text.at[i] = c;
    }
    text.len = len;
}

static size_t roll_size(void)
{
    switch (roll(8)) {
    case 0:
        return 0;
    case 1:
        return PART - roll(50000);
    case 2:
        return 32768 + roll(3) - 1;
    default:
        return roll(roll(2) ? 40 : 5000);
    }
}

static void set_header(z_stream *z, gz_header *head)
{
    static uint8_t extra[3000];

    memset(head, 0, sizeof *head);
    head->hcrc = roll(2) == 0;
    head->text = (int)roll(2);
    head->time = roll(1000000);
    head->extra = roll(2) ? extra : NULL;
    head->extra_len = roll(2) ? roll(4) : roll(sizeof extra);
    head->name = roll(2) ? (Bytef *)(uintptr_t) "a name" : NULL;
    head->comment = roll(2) ? (Bytef *)(uintptr_t) "" : NULL;
    ck_assert_int_eq(deflateSetHeader(z, head), Z_OK);
}

/* Adds a member with a random level, strategy and window size; its blocks end in various ways. */
static void add_member(void)
{
    static const int flushes[] = {Z_NO_FLUSH, Z_PARTIAL_FLUSH, Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_BLOCK};
    z_stream z = {0};
    gz_header head;
    size_t at, len;
    int rc;

    fill_text(roll_size());
    memcpy(whole.at + whole.len, text.at, text.len);
    whole.len += text.len;
    ck_assert_int_eq(deflateInit2(&z, (int)roll(10), Z_DEFLATED, 16 + 9 + (int)roll(7),
                                  1 + (int)roll(9), (int)roll(5)),
                     Z_OK);
    if (roll(3) == 0)
        set_header(&z, &head);
    z.next_out = packed.at + packed.len;
    z.avail_out = (uInt)(SIZE - packed.len);
    for (at = 0; roll(2) && at < text.len; at += len) {
        len = 1 + roll((uint32_t)(text.len - at));
        z.next_in = text.at + at;
        z.avail_in = (uInt)len;
        rc = deflate(&z, flushes[roll(5)]);
        ck_assert(rc == Z_OK || rc == Z_BUF_ERROR);
        ck_assert_uint_eq(z.avail_in, 0);
    }
    z.next_in = text.at + at;
    z.avail_in = (uInt)(text.len - at);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.len = SIZE - z.avail_out;
    deflateEnd(&z);
}

static void add_bytes(size_t len, int value)
{
    while (len--)
        packed.at[packed.len++] = (uint8_t)(value < 0 ? (int)roll(256) : value);
}

/* Damages the file as networks, disks and other programs do. */
static enum harm damage(void)
{
    size_t at = packed.len ? roll((uint32_t)packed.len) : 0;
    uint32_t n;

    switch (roll(10)) {
    case 0:
    case 1:
        packed.len = at;
        return CUT;
    case 2:
        add_bytes(1 + roll(30), roll(2) ? 0 : -1);
        return HURT;
    case 3: /* some bytes are lost */
        n = 1 + roll(9);
        if (at + n < packed.len) {
            memmove(packed.at + at, packed.at + at + n, packed.len - at - n);
            packed.len -= n;
        }
        return HURT;
    case 4: /* some bytes are overwritten */
        for (n = roll(20); n && at < packed.len; n--)
            packed.at[at++] = (uint8_t)roll(256);
        return HURT;
    case 5:
    case 6: /* a bit is flipped, anywhere or near the first header */
        at = packed.len > 40 && roll(2) ? roll(40) : at;
        if (packed.len)
            packed.at[at] ^= (uint8_t)(1 << roll(8));
        return HURT;
    default:
        return NONE;
    }
}

static void make_file(void)
{
    uint32_t members = roll(4) ? 1 + roll(2) : roll(5);

    packed.len = whole.len = 0;
    while (members--)
        add_member();
    harm = damage();
    if (harm == HURT && roll(3) == 0)
        damage();
}

/* ---- the result of zlib ---- */

static int zlib_says(void)
{
    z_stream z = {0};
    int rc = Z_OK, members = 0, full;

    ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = packed.at;
    z.avail_in = (uInt)packed.len;
    z.next_out = want.at;
    z.avail_out = SIZE;
    while (z.avail_in) {
        if (members && *z.next_in == 0) {
            while (z.avail_in && *z.next_in == 0) {
                z.next_in++;
                z.avail_in--;
            }
            rc = z.avail_in ? Z_DATA_ERROR : rc;
            break;
        }
        inflateReset(&z);
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc != Z_STREAM_END)
            break;
        members++;
    }
    want.len = SIZE - z.avail_out;
    full = z.avail_out == 0;
    inflateEnd(&z);
    if (full)
        return TOO_LONG;
    if (rc == Z_STREAM_END)
        return 0;
    return rc == Z_OK || rc == Z_BUF_ERROR ? BCDA_ERR_GZIP_CUT : BCDA_ERR_GZIP;
}

/* ---- the result of this build ---- */

/* Inflates the file with inputs of at most `in_max` bytes and outputs of at most `cap` bytes; 0 for
 * either means random sizes. */
static int we_say(size_t in_max, size_t cap)
{
    struct bcda__inflate *z;
    size_t at = 0, used, made, len, room;
    int rc, over;

    got.len = 0;
    ck_assert_int_eq(bcda__inflate_new(&z), 0);
    do {
        uint8_t *in, *out; /* without spare bytes, so that a sanitizer detects an overrun */

        len = in_max ? in_max : roll(roll(2) ? 20 : 70000);
        len = len < packed.len - at ? len : packed.len - at;
        room = cap ? cap : roll(roll(2) ? 20 : 70000);
        in = malloc(len ? len : 1);
        out = malloc(room ? room : 1);
        ck_assert(in && out);
        memcpy(in, packed.at + at, len);
        rc = bcda__inflate_run(z, in, len, &used, out, room, &made);
        ck_assert_uint_le(used, len);
        ck_assert_uint_le(made, room);
        ck_assert(rc || used == len || made == room);
        over = got.len + made > SIZE;
        ck_assert(!over || (ISAL && harm == HURT));
        memcpy(got.at + got.len, out, over ? 0 : made);
        got.len += over ? 0 : made;
        at += used;
        free(in);
        free(out);
    } while (!rc && !over && (at < packed.len || made == room));
    rc = bcda__inflate_finish(z);
    bcda__inflate_free(z);
    return rc;
}

/*
 * Compares the inflater with zlib. If the inflater returns 0, its output is the beginning of
 * `whole`. As far as both have output, the outputs are equal. The return codes are equal, except
 * with ISA-L for a file with changed bytes that zlib refuses. The lengths of the outputs are equal,
 * except with ISA-L for any file that zlib refuses.
 *
 * ISA-L may differ from zlib as follows. It decodes up to three symbols at once, so one or two
 * bytes of output before a cut may be missing. It may report changed bytes earlier or later than
 * zlib, or reach the end of the file before it notices them. It accepts an incomplete Huffman code,
 * which zlib refuses; the CRC32 then shows whether the output is right.
 */
static void compare(int verdict, size_t in_max, size_t cap)
{
    int rc = we_say(in_max, cap);
    size_t both = got.len < want.len ? got.len : want.len;
    char where[100];

    snprintf(where, sizeof where, "seed %llu, %zu in, %zu out", (unsigned long long)file_seed,
             in_max, cap);
    if (rc == 0)
        ck_assert_msg(got.len <= whole.len && memcmp(got.at, whole.at, got.len) == 0,
                      "%s: not what was packed", where);
    if (ISAL && verdict && harm == HURT)
        ck_assert_msg(rc == 0 || rc == BCDA_ERR_GZIP || rc == BCDA_ERR_GZIP_CUT, "%s: %d", where,
                      rc);
    else
        ck_assert_msg(rc == verdict, "%s: %d and not %d", where, rc, verdict);
    if (!ISAL || !verdict)
        ck_assert_msg(got.len == want.len, "%s: %zu bytes and not %zu", where, got.len, want.len);
    else if (harm == CUT)
        ck_assert_msg(want.len - both <= 2 && got.len == both, "%s: %zu bytes and not %zu", where,
                      got.len, want.len);
    ck_assert_msg(memcmp(got.at, want.at, both) == 0, "%s: other text", where);
}

START_TEST(test_files)
{
    uint64_t left = sample_rounds(100, 1500);

    seed = sample_seed();
    while (left--) {
        int verdict;

        file_seed = seed;
        make_file();
        verdict = zlib_says();
        if (verdict == TOO_LONG)
            continue;
        compare(verdict, SIZE, SIZE);
        compare(verdict, 0, 0);
        if (packed.len > 3000 || want.len > 20000)
            continue;
        compare(verdict, 1, SIZE);
        compare(verdict, SIZE, 1);
        compare(verdict, 1, 1);
    }
}
END_TEST

SUITE("inflate random")
{
    suite_case("inflate random");
    suite_timeout(120);
    suite_test(test_files);
}
