/* The UTF-8 check, compared with tables (Markus Kuhn's stress test) and with a slow check that
 * works on code points instead of bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/utf8.h"
#include "helper.h"
#include "suite.h"

/* Returns the offset of the first byte that does not begin a valid character. It decodes each
 * character, then checks that the code point exists and is written in the shortest form. */
static size_t slow_check(const unsigned char *p, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t ones = 0, need, i;
        uint32_t c;

        while (ones < 8 && p[at] & 0x80 >> ones)
            ones++;
        if (ones == 1 || ones > 6)
            return at;
        need = ones ? ones : 1;
        if (len - at < need)
            return at;
        c = ones ? p[at] & ((1u << (7 - ones)) - 1) : p[at];
        for (i = 1; i < need; i++) {
            if (p[at + i] >> 6 != 2)
                return at;
            c = c << 6 | (p[at + i] & 63);
        }
        if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            return at;
        if (need != (c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u))
            return at;
        at += need;
    }
    return len;
}

/* Checks a copy on the heap, of exact size, so that a sanitizer detects a read beyond its end. */
static size_t check_exact(const void *text, size_t len)
{
    char *copy = malloc(len + (len == 0));
    size_t at;

    memcpy(copy, text, len);
    at = bcda__utf8_check(copy, len);
    free(copy);
    return at;
}

struct row {
    const char *text;
    long bad_at; /* offset of the invalid character; -1 = all is valid */
};

#define INVALID(text, at) \
    {                     \
        text, at          \
    }
#define VALID(text) INVALID(text, -1)

static const struct row rows[] = {
    VALID(""), VALID("plain"),
    /* The numbers are those of the stress test. 1: κόσμε */
    VALID("\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5"),
    /* 2.1: the first character of each length */
    VALID("\x01"), VALID("\xC2\x80"), VALID("\xE0\xA0\x80"), VALID("\xF0\x90\x80\x80"),
    INVALID("\xF8\x88\x80\x80\x80", 0), INVALID("\xFC\x84\x80\x80\x80\x80", 0),
    /* 2.2: the last character of each length */
    VALID("\x7F"), VALID("\xDF\xBF"), VALID("\xEF\xBF\xBF"), INVALID("\xF7\xBF\xBF\xBF", 0),
    INVALID("\xFB\xBF\xBF\xBF\xBF", 0), INVALID("\xFD\xBF\xBF\xBF\xBF\xBF", 0),
    /* 2.3: characters next to the surrogates, and around the last code point */
    VALID("\xED\x9F\xBF"), VALID("\xEE\x80\x80"), VALID("\xEF\xBF\xBD"), VALID("\xF4\x8F\xBF\xBF"),
    INVALID("\xF4\x90\x80\x80", 0),
    /* 3.1: continuation bytes without a first byte */
    INVALID("\x80", 0), INVALID("\xBF", 0), INVALID("\x80\xBF", 0), INVALID("a\x80\xBF\x80", 1),
    /* 3.2: first bytes without a continuation byte */
    INVALID("\xC0 ", 0), INVALID("\xC2 ", 0), INVALID("\xDF ", 0), INVALID("\xE0 ", 0),
    INVALID("\xEF ", 0), INVALID("\xF0 ", 0), INVALID("\xF4 ", 0), INVALID("\xF8 ", 0),
    INVALID("\xFC ", 0),
    /* 3.3: the last byte is missing */
    INVALID("\xC2", 0), INVALID("\xE0\xA0", 0), INVALID("\xE2\x82", 0), INVALID("\xE2", 0),
    INVALID("\xF0\x90\x80", 0), INVALID("\xF0\x90", 0), INVALID("\xF0", 0),
    INVALID("\xF4\x8F\xBF", 0), INVALID("ab\xDF", 2), INVALID("\xC3\xA9\xEF\xBF", 2),
    /* 3.4: several incomplete characters in a row */
    INVALID("\xE2\x82\xE2\x82\xAC", 0), INVALID("\xF0\x9F\x98\xC3\xA9", 0),
    /* 3.5: bytes that never occur */
    INVALID("\xFE", 0), INVALID("\xFF", 0), INVALID("\xFE\xFE\xFF\xFF", 0),
    /* 4.1: overlong slash */
    INVALID("\xC0\xAF", 0), INVALID("\xE0\x80\xAF", 0), INVALID("\xF0\x80\x80\xAF", 0),
    INVALID("\xF8\x80\x80\x80\xAF", 0), INVALID("\xFC\x80\x80\x80\x80\xAF", 0),
    /* 4.2: the greatest overlong character of each length */
    INVALID("\xC1\xBF", 0), INVALID("\xE0\x9F\xBF", 0), INVALID("\xF0\x8F\xBF\xBF", 0),
    INVALID("\xF8\x87\xBF\xBF\xBF", 0),
    /* 4.3: overlong NUL */
    INVALID("\xC0\x80", 0), INVALID("\xE0\x80\x80", 0), INVALID("\xF0\x80\x80\x80", 0),
    /* 5.1: lone surrogates */
    INVALID("\xED\xA0\x80", 0), INVALID("\xED\xAD\xBF", 0), INVALID("\xED\xAE\x80", 0),
    INVALID("\xED\xAF\xBF", 0), INVALID("\xED\xB0\x80", 0), INVALID("\xED\xBE\x80", 0),
    INVALID("\xED\xBF\xBF", 0),
    /* 5.2: surrogate pairs */
    INVALID("\xED\xA0\x80\xED\xB0\x80", 0), INVALID("\xED\xAF\xBF\xED\xBF\xBF", 0),
    /* 5.3: noncharacters, which are valid UTF-8 */
    VALID("\xEF\xBF\xBE"), VALID("\xEF\xB7\x90"), VALID("\xF0\x9F\xBF\xBE"), VALID("\xEF\xBB\xBF"),
    INVALID("\xF5\x80\x80\x80", 0)};

START_TEST(test_table)
{
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].text);
        size_t want = rows[i].bad_at < 0 ? len : (size_t)rows[i].bad_at;

        ck_assert_msg(check_exact(rows[i].text, len) == want, "row %zu", i);
        ck_assert_msg(slow_check((const unsigned char *)rows[i].text, len) == want, "slow %zu", i);
    }
    ck_assert_uint_eq(check_exact("a\0b", 3), 3);
    ck_assert_uint_eq(check_exact("\0\xC0", 2), 1);
}
END_TEST

/* Checks each row of the table at each alignment in memory, after ASCII or other characters, and
 * followed by more text. */
START_TEST(test_positions)
{
    static const char *fillers[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    unsigned char *block = malloc(400), *p;
    size_t align, before, after, i, f, k;

    for (i = 0; i < COUNT(rows); i++)
        for (align = 0; align <= 40; align++)
            for (f = 0; f < COUNT(fillers); f++)
                for (before = 0; before <= 70; before += 1 + f) {
                    size_t fill = strlen(fillers[f]), len = strlen(rows[i].text), want;

                    p = block + align;
                    for (k = 0; k < before; k++)
                        memcpy(p + k * fill, fillers[f], fill);
                    memcpy(p + before * fill, rows[i].text, len);
                    after = (align + before) % 37;
                    memset(p + before * fill + len, 'z', after);
                    want = rows[i].bad_at < 0 ? before * fill + len + after
                                              : before * fill + (size_t)rows[i].bad_at;
                    if (bcda__utf8_check((char *)p, before * fill + len + after) != want)
                        ck_abort_msg("row %zu align %zu filler %zu before %zu", i, align, f,
                                     before);
                }
    free(block);
}
END_TEST

/* Checks each row of the table at the end of a text, after up to 99 bytes of ASCII. The check must
 * not read beyond the end of the text. */
START_TEST(test_ends)
{
    size_t len, i;
    char text[140];

    for (i = 0; i < COUNT(rows); i++)
        for (len = 0; len < 100; len++) {
            size_t n = strlen(rows[i].text);

            memset(text, 'a', len);
            memcpy(text + len, rows[i].text, n);
            ck_assert_uint_eq(check_exact(text, len + n),
                              rows[i].bad_at < 0 ? len + n : len + (size_t)rows[i].bad_at);
        }
}
END_TEST

static void compare(const unsigned char *p, size_t len)
{
    size_t want = slow_check(p, len), is = bcda__utf8_check((const char *)p, len);

    if (is != want)
        ck_abort_msg("%zu instead of %zu: %02x %02x %02x %02x (%zu)", is, want, p[0],
                     len > 1 ? p[1] : 0, len > 2 ? p[2] : 0, len > 3 ? p[3] : 0, len);
}

START_TEST(test_all_short)
{
    unsigned char p[3];
    unsigned a, b, c;

    for (a = 0; a < 256; a++) {
        p[0] = (unsigned char)a;
        compare(p, 1);
        for (b = 0; b < 256; b++) {
            p[1] = (unsigned char)b;
            compare(p, 2);
            if (a >= 0x80 || b % 64 == 0)
                for (c = 0; c < 256; c++) {
                    p[2] = (unsigned char)c;
                    compare(p, 3);
                }
        }
    }
}
END_TEST

START_TEST(test_four)
{
    static const unsigned char edge[] = {0x00, 0x22, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F,
                                         0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xF0, 0xFF};
    unsigned char p[4];
    unsigned lead;
    size_t b, c, d;
    int i;

    for (lead = 0xE0; lead < 256; lead++)
        for (b = 0; b < 256; b++)
            for (c = 0; c < COUNT(edge); c++)
                for (d = 0; d < COUNT(edge); d++) {
                    p[0] = (unsigned char)lead;
                    p[1] = (unsigned char)b;
                    p[2] = edge[c];
                    p[3] = edge[d];
                    compare(p, 4);
                }
    for (i = 0; i < 1000000; i++) {
        p[0] = (unsigned char)(0xE8 + roll(24));
        p[1] = (unsigned char)roll(256);
        p[2] = (unsigned char)(roll(4) ? 0x80 + roll(64) : roll(256));
        p[3] = (unsigned char)(roll(4) ? 0x80 + roll(64) : roll(256));
        compare(p, 4);
    }
}
END_TEST

/* Checks every code point, first alone and then all of them in one text. */
START_TEST(test_all_code_points)
{
    unsigned char *all = malloc(4500000), *p = all;
    uint32_t c;

    for (c = 0; c <= 0x10FFFF; c++) {
        unsigned char *from = p;

        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        if (c < 0x80) {
            *p++ = (unsigned char)c;
        } else {
            int tails = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
            static const unsigned char leads[] = {0, 0xC0, 0xE0, 0xF0};

            *p++ = (unsigned char)(leads[tails] | c >> (6 * tails));
            while (tails-- > 0)
                *p++ = (unsigned char)(0x80 | (c >> (6 * tails) & 63));
        }
        if (bcda__utf8_check((char *)from, (size_t)(p - from)) != (size_t)(p - from))
            ck_abort_msg("U+%04X", (unsigned)c);
    }
    ck_assert_uint_eq(bcda__utf8_check((char *)all, (size_t)(p - all)), (size_t)(p - all));
    free(all);
}
END_TEST

/* Checks valid text in which a few bytes were changed, removed or moved, as in damaged files. */
START_TEST(test_random)
{
    static const char *pieces[] = {"a",
                                   "bcdefgh",
                                   "\xC3\xA9",
                                   "\xE2\x80\x99",
                                   "\xF0\x9F\x98\x80",
                                   "0123456789012345678901234567890123456789"};
    unsigned char text[400];
    int round;

    seed = (uint32_t)_i + 1;
    for (round = 0; round < 100000; round++) {
        size_t len = 0, want = roll(300), i;
        uint32_t changes = roll(3);

        while (len < want) {
            const char *piece = pieces[roll(COUNT(pieces))];

            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        for (i = 0; len && i < changes; i++)
            text[roll((uint32_t)len)] = (unsigned char)(roll(2) ? roll(256) : 0x80 + roll(64));
        i = len ? roll((uint32_t)len) : 0;
        i = roll(2) ? 0 : i;
        compare(text + i, len - i - (len > i && roll(2)));
    }
    for (round = 0; round < 100000; round++) {
        size_t len = roll(12), i;

        for (i = 0; i < len; i++)
            text[i] = (unsigned char)roll(256);
        compare(text, len);
    }
}
END_TEST

/* Returns true if one of the first `len` bytes is special: a control character or a backslash. */
static int slow_special(const unsigned char *p, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (p[i] < 0x20 || p[i] == '\\')
            return 1;
    return 0;
}

static void expect_scan(const char *text, size_t len)
{
    char *exact = malloc(len ? len : 1); /* no spare bytes: a sanitizer detects a read beyond */
    size_t good;
    int special = 2;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, text, len);
    good = bcda__utf8_scan(exact, len, &special);
    ck_assert_uint_eq(good, bcda__utf8_check(exact, len));
    ck_assert_int_eq(special, slow_special((unsigned char *)exact, good));
    free(exact);
}

/* Checks texts of many lengths with every byte value at every offset. The rest of the text is
 * ASCII, or has another character in the middle. */
START_TEST(test_special)
{
    char text[160];
    size_t at, len;
    int c;

    for (len = 0; len <= sizeof text; len += len < 70 ? 1 : 13)
        for (at = 0; at < len; at++)
            for (c = 0; c < 256; c += c < 0x24 || c == '[' || c == '\\' ? 1 : 7) {
                memset(text, 'x', sizeof text);
                text[at] = (char)c;
                expect_scan(text, len);
                memcpy(text + len / 2, "\xc3\xa9", len > 2 ? 2 : 0);
                expect_scan(text, len);
            }
}
END_TEST

/* bcda__utf8_is_cut(): whether more bytes could make the end of a text valid. */
START_TEST(test_is_cut)
{
    static const char *const cut[] = {
        "\xC2",     "\xDF", "\xE0",     "\xE0\xA0",     "\xE2\x82",     "\xED\x9F", "\xED",
        "\xEF\xBF", "\xF0", "\xF0\x90", "\xF0\x90\x80", "\xF4\x8F\xBF", "\xF4",     "\xF1\x80"};
    static const char *const not_cut[] = {
        /* whole characters */
        "", "a", "\xC2\x80", "\xE2\x82\xAC",
        /* bytes that do not begin a character */
        "\xC0", "\xC1", "\xE0\x9F", "\xED\xA0", "\xF0\x8F", "\xF4\x90", "\xF5", "\xFF", "\x80",
        /* another byte follows, or nothing is missing */
        "\xE2\x22", "\xF0\x90\x22", "\xC2\x22", "\xFF\"}", "\xE2\"}", "\xF0\x90\x80\x80",
        "\xF0\x90\x80\x22", "\xE2\x82\xC2"};
    size_t i;

    for (i = 0; i < COUNT(cut); i++)
        ck_assert_msg(bcda__utf8_is_cut(cut[i], strlen(cut[i])) == 1, "%zu", i);
    for (i = 0; i < COUNT(not_cut); i++)
        ck_assert_msg(bcda__utf8_is_cut(not_cut[i], strlen(not_cut[i])) == 0, "%zu", i);
}
END_TEST

SUITE("utf8")
{
    suite_case("utf8");
    suite_timeout(300);
    suite_test(test_table, test_positions, test_ends, test_all_short, test_four,
               test_all_code_points);
    suite_loop(test_random, 0, 4);
    suite_test(test_special, test_is_cut);
}
