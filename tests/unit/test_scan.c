/* The line scanner, with cases that are chosen for what it does: blocks of 64 bytes, escapes and
 * characters at their borders, the forms of members that it compares at once, its limits. Nearly
 * every case is tested at 70 offsets, so that it falls on each byte of a block. */
#include <ctype.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "sample.h"
#include "scan_check.h"
#include "suite.h"

enum { DEPTH = 64 };

static void open_checker(void)
{
    checker_open(DEPTH);
}

/* The line that a test makes. */
static char line[CHECK_LINE_MAX];
static size_t line_len;

static void put(const char *text)
{
    size_t len = strlen(text);

    memcpy(line + line_len, text, len);
    line_len += len;
}

/* ---- values and members ---- */

struct text {
    enum verdict want;
    const char *text;
    size_t len;
};

#define TEXT(want, text)             \
    {                                \
        want, text, sizeof(text) - 1 \
    }
#define YES(text) TEXT(SURE, text)
#define TAB(text) TEXT(VALID, text)
#define NO(text)  TEXT(INVALID, text)

static const struct text values[] = {
    /* empty */
    YES("\"\""), YES("{}"), YES("[]"), YES("[[]]"), YES("[{}]"), YES("{\"\":{}}"),
    YES("[\"\",\"\"]"), YES("{\"\":\"\",\"\":\"\"}"), YES("[[],[],[[]],{}]"), YES("{\"\":[]}"),
    YES("[{\"\":[{}]}]"),
    /* with spaces */
    YES(" \"a\""), YES("   {  }"), YES("[  ]"), YES("[ [ ] , [ ] ]"),
    YES("{ \"a\" : \"b\" , \"c\" : 1 }"), YES("[ 1 , 2 ]"), YES("[ true , \"a\" ]"),
    YES("{\"a\": {\"b\": [ {\"c\": 1} ] } }"), YES("1   "), YES("{\"a\" :{\"b\":1}}"),
    YES("{\"a\": [{\"b\":1}]}"), YES("{\"a\":[ {\"b\":1}]}"), YES("{\"a\":\"b\" ,\"c\":\"d\"}"),
    YES("{\"a\":\"b\", \"c\":\"d\"}"),
    /* tabs and carriage returns between the tokens */
    TAB("\t\"a\""), TAB("[\t]"), TAB("{\"a\"\t:1}"), TAB("{\"a\":\r1}"), TAB("[1\r,2]"),
    TAB("[1,\t2]"), TAB("\"a\"\r"), TAB("{\r}"),
    /* numbers and literals */
    YES("0"), YES("-0"), YES("1"), YES("-1"), YES("10"), YES("1234567890"), YES("0.0"), YES("1.50"),
    YES("0e0"), YES("1E+5"), YES("1e-5"), YES("-0.1e10"), YES("123456789012345678901234567890e400"),
    YES("true"), YES("false"), YES("null"), YES("[true,false,null]"), YES("[0,-0,1.5e3]"), NO("01"),
    NO("-01"), NO("00"), NO("-"), NO("+1"), NO(".1"), NO("1."), NO("-."), NO("1.e1"), NO("1e"),
    NO("1e+"), NO("1E-"), NO("1e1.5"), NO("0x1"), NO("1a"), NO("- 1"), NO("1 2"), NO("--1"),
    NO("0e"), NO("1,"), NO("1.1.1"), NO("/"), NO(":"), NO("1:"), NO("Infinity"), NO("NaN"),
    NO("trues"), NO("tru"), NO("True"), NO("truefalse"), NO("falses"), NO("fals"), NO("nulll"),
    NO("nul"), NO("tr ue"), NO("true1"), NO("1true"), NO("nullnull"), NO("t"), NO("f"), NO("n"),
    /* commas and colons */
    NO("[1,]"), NO("[,1]"), NO("[,]"), NO("[1,,2]"), NO("[1 ,]"), NO("{\"a\":1,}"), NO("{,}"),
    NO("{,\"a\":1}"), NO("{\"a\":1,,\"b\":2}"), NO("{\"a\":\"b\",}"), NO("[\"a\",]"),
    NO("[\"a\"\"b\"]"), NO("{\"a\":\"b\"\"c\":1}"), NO("{\"a\"}"), NO("{\"a\":}"), NO("{\"a\" 1}"),
    NO("{\"a\"\"b\"}"), NO("{\"a\",\"b\"}"), NO("{\"a\"::1}"), NO("{\"a\":\"b\":\"c\"}"),
    NO("[\"a\":1]"), NO("[\"a\":\"b\"]"), NO("{1:1}"), NO("{a:1}"), NO("{\"a\":1 \"b\":2}"),
    NO("[1 \"b\"]"), NO("{\"a\":[{\"b\":1},]}"), NO("{\"a\":{\"b\":1},}"), NO("{\"a\":{}\"b\":1}"),
    NO("[[]1]"), NO("[{}{}]"), NO("[[][]]"), NO("{\"a\";1}"), NO(","), NO(""), NO(" "),
    NO("{\"a\":{,}}"),
    /* brackets */
    NO("["), NO("]"), NO("{"), NO("}"), NO("[}"), NO("{]"), NO("{\"a\":1]"), NO("[1}"), NO("[{]}"),
    NO("{\"a\":[}]"), NO("[[1]"), NO("[1]]"), NO("{}}"), NO("{\"a\":{\"b\":1]}"), NO("[\"a\"}"),
    NO("{\"a\":\"b\"]"), NO("[{\"a\":[{\"b\":1]}]"), NO("[|]"), NO("(1)"), NO("[)"),
    NO("{\"a\":[{\"b\":\"c\"}}"),
    /* after the end */
    NO("1}{"), NO("1}}"), NO("1}1"), NO("1}\"\""), NO("1},\"b\":1"), NO("1} true"), NO("1}]"),
    NO("1}\x80"),
    /* quotes and backslashes */
    NO("\""), NO("\"a"), NO("\"a\"b\""), NO("\"a\"\""), NO("\"\\\""), NO("\"\\"), NO("\\"),
    NO("\\\"a\""), NO("[\\\"a\"]"), NO("1\\"), NO("\"a\"\\"), NO("\"a\"\\,\"b\""),
    NO("{\\\"a\":1}"), NO("{\"a\\\":1}"), NO("\"a\\\",\"b"), NO("a\""), NO("'a'"), NO("\"\"\""),
    YES("\"\\\"\""), YES("\"\\\\\""), YES("\"\\\\\\\"\""), YES("[\"\\\\\",\"\\\"\"]"),
    YES("{\"a\":\"b\\\\\",\"c\":\"\\\"\"}"), YES("\"\\\",\\\"\""), YES("\"\\\":\\\"{}[]\""),
    /* '#' and ']' differ from a quote and a backslash in the lowest bit */
    YES("\"#\""), YES("\"#\\\"#]\\\\]\""), YES("{\"#\":\"]\"}"), YES("[\"]\\\\\",\"#\"]"),
    YES("[\"\\\"\",\"\\\"\",\"\\\"\",\"\\\"\",\"\\\"\"]"),
    /* escapes */
    YES("\"\\/\\b\\f\\n\\r\\t\""), YES("\"\\u0041\""), YES("\"\\u0000\""),
    YES("\"\\uFFFF\\uffff\""), YES("\"\\uD83D\\uDE00\""), YES("\"\\ud83d\\ude00\""),
    YES("\"\\\\u12\""), YES("\"\\\\uD800\""), NO("\"\\a\""), NO("\"\\x41\""), NO("\"\\0\""),
    NO("\"\\'\""), NO("\"\\U0041\""), NO("\"\\\0\""), NO("\"\\ \""), NO("\"\\\x80\""),
    NO("\"\\u\""), NO("\"\\u1\""), NO("\"\\u12\""), NO("\"\\u123\""), NO("\"\\u123 \""),
    NO("\"\\u 123\""), NO("\"\\u-123\""), NO("\"\\u\\u0041\""), NO("\"\\u004\\\""),
    NO("\"\\u00\",\"00\""), NO("\"\\uD83D\""), NO("\"\\uDE00\""), NO("\"\\uD83D \\uDE00\""),
    NO("\"\\uD83D\\n\""), NO("\"\\uD83D\\\\uDE00\""), NO("\"\\uD83D\",\"\\uDE00\""),
    NO("\"\\uD83D\\uDE0\""), NO("\"\\uD83DuDE00\""), NO("\"\\uD83D/uDE00\""),
    NO("\"\\uD83D\\UDE00\""), NO("\"\\uD83D\\u0041\""),
    /* characters */
    YES("\"\x7F\""), YES("\"\xC3\xA9\""), YES("\"\xE2\x80\x99\""), YES("\"\xF0\x9F\x98\x80\""),
    YES("\"\xC3\xA9\xE2\x80\x99\xF0\x9F\x98\x80\""), YES("\"\xC3\xA9\\\"\xC3\xA9\""),
    NO("\xC3\xA9"), NO("1\xC3\xA9"), NO("[\xC2\xA0]"), NO("\"a\"\xE2\x80\x99"), NO("{\xC3\xA9:1}"),
    NO("\"\xC3\""), NO("\"\xC3\\u0041\""), NO("\"\xE2\x80\""), NO("\"\xF0\x9F\x98\""),
    NO("\"\xA9\""), NO("\"\xC3\xA9\xA9\""), NO("\"\xFF\""), NO("\"\xED\xA0\x80\xED\xB0\x80\"")};

static const struct text member_texts[] = {
    /* short and empty names, and names that look like others */
    YES("\"\":\"\""), YES("\"a\":\"b\""), YES("\"\":1"), YES("\"\":{}"), YES("\"\":[]"),
    YES("\"\":{\"\":\"\"}"), YES("\"\":[{\"\":\"\"}]"), YES("\"i\":\"a\""), YES("\"ID\":\"a\""),
    YES("\"end\":\"a\""), YES("\"me\":\"a\",\"metb\":{}"), YES("\":\":\":\""), YES("\",\":\",\""),
    YES("\"{\":\"}\",\"[\":\"]\""), YES("\"\\u0069d\":\"a\""), YES("\"\\\"\":\"\\\"\""),
    YES("\"a\\\\\":\"b\""), YES("\"\xC3\xA9\":\"\xC3\xA9\""), YES("\"\\uD83D\\uDE00\" : 1"),
    YES("\"a\\n\"  :{\"b\":1}"),
    /* the forms that are compared at once, and what resembles them */
    YES("\"a\":{\"b\":{\"c\":\"d\"}}"), YES("\"a\":[{\"b\":\"c\"},{\"d\":\"e\"}]"),
    YES("\"a\":[{\"b\":[{\"c\":[{}]}]}]"), YES("\"a\":[[{\"b\":1}]]"), YES("\"a\":[{}]"),
    YES("\"a\":{ \"b\":1}"), YES("\"a\":[\"b\"]"), YES("\"a\":[1]"), NO("\"a\":{\"b\":\"c\""),
    NO("\"a\":[{\"b\":\"c\"}"), NO("\"a\":{\"b\""), NO("\"a\":[{\"b\""), NO("\"a\":{\""),
    NO("\"a\":\""), NO("\"a\":[{\""), NO("\"a\":[{"), NO("\"a\":{"), NO("\"a\":["), NO("\"a\":"),
    NO("\"a\""), NO("\"a"), NO("\""), NO(""), NO("\"a\":\"b\","), NO("\"a\":\"b\", "),
    NO("\"a\":\"b\",c"), NO("\"a\":\"b\",\""), NO("\"a\":\"b\",1"), NO("\"a\":{\"b\"}"),
    NO("\"a\":[{\"b\"}]"), NO("\"a\\u00\":1"), NO("\"\x80\":1"), NO("\"a\":\"b\" \"c\":1"),
    NO("{\"a\":1}"), NO("[]"), NO("1")};

START_TEST(known_values)
{
    size_t i;

    for (i = 0; i < COUNT(values); i++)
        expect_value(values[i].want, values[i].text, values[i].len);
}
END_TEST

START_TEST(known_members)
{
    size_t i;

    for (i = 0; i < COUNT(member_texts); i++)
        expect_members_by(expect_line, member_texts[i].want, member_texts[i].text,
                          member_texts[i].len);
}
END_TEST

/* ---- escapes and characters ---- */

START_TEST(hexadecimal_digits)
{
    static const char digits[] = "/09:@AFG`afg";
    size_t place, i;

    for (place = 0; place < 4; place++)
        for (i = 0; digits[i]; i++) {
            char value[] = "\"\\u0041\"";

            value[3 + place] = digits[i];
            expect_value(isxdigit((unsigned char)digits[i]) ? SURE : INVALID, value,
                         sizeof value - 1);
        }
}
END_TEST

START_TEST(surrogates)
{
    static const char *const units[] = {"D7FF", "D800", "dbff", "DC00", "DfFF", "E000"};
    int i, k;

    for (i = 0; i < 6 * 6 * 6; i++) {
        int unit[] = {i / 36, i / 6 % 6, i % 6};
        int half = 0, ok = 1; /* half = 1: a high surrogate precedes */
        char value[32];

        for (k = 0; k < 3; k++) {
            int high = unit[k] == 1 || unit[k] == 2, low = unit[k] == 3 || unit[k] == 4;

            ok &= low == half;
            half = high;
        }
        snprintf(value, sizeof value, "\"\\u%s\\u%s\\u%s\"", units[unit[0]], units[unit[1]],
                 units[unit[2]]);
        expect_value(ok && !half ? SURE : INVALID, value, strlen(value));
    }
}
END_TEST

/* Returns 1 if the bytes are one character of UTF-8 outside ASCII. */
static int is_character(const unsigned char *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = len == 2 ? p[0] & 0x1F : len == 3 ? p[0] & 0x0F : p[0] & 0x07;
    size_t i;

    if (len < 2 || len > 4 || p[0] >> (7 - len) != (0xFF00 >> len & 0xFF) >> (7 - len))
        return 0;
    for (i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    return c >= least[len] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
}

/* All bytes above 0x7F, and the bytes at the borders of their ranges after them. */
START_TEST(characters)
{
    static const unsigned char next[] = {0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0};
    static const unsigned char last[] = {0x7F, 0x80, 0xBF, 0xC0};
    unsigned char value[8] = "\"";
    size_t len, i, n = 0;

    for (value[1] = 0x80; value[1]; value[1]++)
        for (len = 1; len <= 4; len++)
            for (i = 0; i < (len == 1 ? 1 : len == 2 ? 8 : len == 3 ? 32 : 128); i++) {
                if ((len == 3 && value[1] < 0xE0) || (len == 4 && value[1] < 0xF0) ||
                    !sample_takes(n++, 4096, 1024))
                    continue;
                value[2] = next[i % 8];
                value[3] = last[i / 8 % 4];
                value[4] = last[i / 32];
                value[1 + len] = '"';
                expect_value_by(expect_scan, is_character(value + 1, len) ? SURE : INVALID,
                                (char *)value, len + 2);
            }
}
END_TEST

/* From 1 to 70 backslashes before a quote. */
START_TEST(backslashes)
{
    char value[80];
    int n;

    value[0] = '"';
    for (n = 1; n <= 70; n++) {
        memset(value + 1, '\\', (size_t)n);
        value[n + 1] = value[n + 2] = '"';
        expect_value(n % 2 ? INVALID : SURE, value, (size_t)n + 2);
        expect_value(n % 2 ? SURE : INVALID, value, (size_t)n + 3);
    }
}
END_TEST

/* An escaped quote, and the next quote up to 140 bytes after it. */
START_TEST(escaped_quotes)
{
    char value[160] = "\"\\\"";
    size_t n;

    for (n = 0; n <= 140; n++) {
        memset(value + 3, 'x', n);
        value[n + 3] = '"';
        expect_value(SURE, value, n + 4);
    }
}
END_TEST

/* ---- bytes at every position of a line ---- */

static const char sample[] = "{\"resourceType\":\"Patient\",\"id\":\"-1\",\"meta\":{"
                             "\"lastUpdated\":\"2020\"},\"a\":[{\"b\":1.5e3},"
                             "{\"c\":\"x\\\"\\u00e9\\\\\"}],\"\xC3\xA9\":[true,false, "
                             "null,-0],\"name\":[{\"given\":[\"A\",\"B\\n\"]}],"
                             "\"d\":{\"e\":{},\"f\":[]}}";

enum { SAMPLE_LEN = sizeof sample - 1 };

/* Each control character, and some others, inserted at each position and in place of each byte. The
 * only change that is always valid is white space at the end. */
START_TEST(any_byte)
{
    static const char others[] = " \"\\,:{}[]0\x7F\x80\xC3";
    size_t at, i, count = 0x20 + sizeof others - 1;
    int replace;

    expect_line(SURE, sample, SAMPLE_LEN);
    for (i = 0; i < count; i++)
        for (at = 0; at <= SAMPLE_LEN; at++)
            for (replace = 0; replace < 2; replace++) {
                char c = i < 0x20 ? (char)i : others[i - 0x20];
                int is_space = c == ' ' || c == '\t' || c == '\r';
                enum verdict verdict;

                if (c == '\n' || (replace && (at == SAMPLE_LEN || c == sample[at])))
                    continue;
                memcpy(line, sample, at);
                line[at] = c;
                memcpy(line + at + 1, sample + at + replace, SAMPLE_LEN - at - (size_t)replace);
                verdict = check_line(line, SAMPLE_LEN + 1 - (size_t)replace);
                if ((at == SAMPLE_LEN && verdict != (is_space ? SURE : INVALID)) ||
                    (at == 0 && verdict != (is_space && !replace ? VALID : INVALID)) ||
                    (i < 0x20 && !is_space && verdict != INVALID))
                    ck_abort_msg("byte %d at %zu, replaces: %d", c, at, replace);
            }
}
END_TEST

/* White space before and after a line, of many lengths. */
START_TEST(white_space)
{
    static const char spaces[] = " \t\r \r\t\t  \r";
    size_t n, i;

    for (n = 1; n < 100; n++) {
        memcpy(line, sample, SAMPLE_LEN);
        for (i = 0; i < n; i++)
            line[SAMPLE_LEN + i] = spaces[(i + n) % (sizeof spaces - 1)];
        expect_line(SURE, line, SAMPLE_LEN + n);
        memmove(line + n, line, SAMPLE_LEN);
        memset(line, ' ', n);
        expect_line(VALID, line, SAMPLE_LEN + n);
        expect_line(INVALID, line, n); /* a blank line */
    }
}
END_TEST

/* Lines of every length, and the beginnings of a line. */
START_TEST(lengths)
{
    static const struct {
        const char *head, *fill, *tail;
    } forms[] = {{"{", " ", "}"},
                 {"{\"a\":\"", "x", "\"}"},
                 {"{\"a\":1", "1", "}"},
                 {"{\"a\":", " ", "true}"},
                 {"{\"\\\"", "x", "\":[]}"}};
    size_t i, len;

    for (len = 0; len <= 200; len++) {
        for (i = 0; i < COUNT(forms); i++) {
            line_len = 0;
            put(forms[i].head);
            while (line_len + strlen(forms[i].tail) < len)
                put(forms[i].fill);
            put(forms[i].tail);
            expect_line(SURE, line, line_len);
        }
        if (len < SAMPLE_LEN)
            expect_line(INVALID, sample, len);
    }
}
END_TEST

/* ---- limits ---- */

/* Makes a member whose value has `levels` nested objects and arrays, of these kinds in turn. */
static void nest(int levels, const char *kinds, const char *space)
{
    size_t count = strlen(kinds);
    int i;

    line_len = 0;
    put("\"x\":");
    for (i = 0; i < levels; i++) {
        put(space);
        put(kinds[(size_t)i % count] == '{' ? "{\"a\":" : "[");
    }
    put("\"b\"");
    while (i-- > 0)
        put(kinds[(size_t)i % count] == '{' ? "}" : "]");
}

START_TEST(depth)
{
    static const int limits[] = {63, 64, 65, 10, 1};
    static const char *const kinds[] = {"{", "[", "[{", "{["};
    int limit = limits[_i], max = limit < 63 ? limit : 63, levels, i;

    checker_close();
    checker_open(limit);
    for (levels = 1; levels <= 66; levels++) {
        if (abs(levels - limit) > 1 && abs(levels - 63) > 2)
            continue;
        for (i = 0; i < 8; i++) {
            nest(levels - 1, kinds[i / 2], i % 2 ? " " : "");
            expect_members_by(expect_line,
                              levels <= max     ? SURE
                              : levels <= limit ? VALID
                                                : INVALID,
                              line, line_len);
        }
    }
}
END_TEST

/* Members with objects and arrays, which need much of the index. */
static const struct dense {
    const char *member;
    size_t quotes, containers;
} dense[] = {{"\"\":[],", 2, 1}, {"\"\":[{\"\":1}],", 4, 2}};

/* Makes a line with `count` such members and a string, which is as long as necessary. */
static void make_dense(const struct dense *d, size_t len, size_t count)
{
    line_len = 0;
    put("{\"a\":{");
    while (count--)
        put(d->member);
    put("\"c\":0},\"b\":\"");
    ck_assert_uint_lt(line_len + 2, len);
    memset(line + line_len, 'x', len - line_len - 2);
    line_len = len - 2;
    put("\"}");
}

/* The size of the index of this line: its quotes, 4 sentinels, and its containers. */
static size_t dense_index(const struct dense *d, size_t count)
{
    return (8 + count * d->quotes + 4) * sizeof(uint32_t) +
           (2 + count * d->containers) * sizeof(struct bcda__container);
}

static size_t dense_len(const struct dense *d, size_t count)
{
    return 40 + count * strlen(d->member);
}

/* The index just below its limit, at it and above it. */
START_TEST(index_limit)
{
    const struct dense *d = &dense[_i];
    size_t count, len, least;

    for (count = 100; count < 4000; count += 1 + roll(200)) {
        size_t size = dense_index(d, count);

        least = (size * 100 + BCDA__SCAN_INDEX_PERCENT - 1) / BCDA__SCAN_INDEX_PERCENT;
        if (size <= BCDA__SCAN_INDEX_MIN)
            least = dense_len(d, count);
        for (len = least - (size > BCDA__SCAN_INDEX_MIN ? 4 : 0); len < least + 4; len++) {
            make_dense(d, len, count);
            expect_line(len < least ? VALID : SURE, line, len);
        }
    }
}
END_TEST

/* Many quotes: 4 for each 6 bytes. */
START_TEST(many_quotes)
{
    size_t count, i;

    for (count = 1; count < 4000; count += 1 + count / 20) {
        size_t quotes = 4 * (count + 1), used, room;

        line_len = 0;
        put("{");
        for (i = 0; i < count; i++)
            put("\"\":\"\",");
        put("\"\":\"\"}");
        room = line_len * BCDA__SCAN_INDEX_PERCENT / 100;
        room = room < BCDA__SCAN_INDEX_MIN ? BCDA__SCAN_INDEX_MIN : room;
        used = (quotes + 4) * sizeof(uint32_t) + sizeof(struct bcda__container);
        if (used > room)
            expect_line(VALID, line, line_len);
        else if (used + 64 * sizeof(uint32_t) <= room)
            expect_line(SURE, line, line_len);
        else
            check_line(line, line_len);
    }
}
END_TEST

/* Large lines and small ones, one after the other. The result must not depend on the lines before,
 * nor on bcda__scan_trim(). */
START_TEST(growth)
{
    int i;

    for (i = 0; i < 300; i++) {
        const struct dense *d = &dense[roll(COUNT(dense))];
        size_t count = 1 + roll(i % 3 ? 100 : 3000), size = dense_index(d, count);
        size_t len = dense_len(d, count) + roll((uint32_t)(roll(2) ? 40 : 2 * size));
        size_t room = len * BCDA__SCAN_INDEX_PERCENT / 100;

        room = room < BCDA__SCAN_INDEX_MIN ? BCDA__SCAN_INDEX_MIN : room;
        make_dense(d, len, count);
        expect_line(size <= room ? SURE : VALID, line, len);
        if (roll(4) == 0)
            bcda__scan_trim(checker.scan, roll(3) * BCDA__SCAN_INDEX_MIN);
        if (roll(4) == 0)
            bcda__line_reader_trim(checker.pair.fast);
        expect_line(SURE, sample, SAMPLE_LEN);
    }
}
END_TEST

/* ---- which lines yajl reads ---- */

/* Checks the line readers. yajl reads the line if `want` is VALID or INVALID. */
static void expect_reader(enum verdict want, const char *text, size_t len)
{
    struct bcda__line_info info;
    int64_t lines;

    check_line(text, len);
    bcda__line_reader_take_yajl_lines(checker.pair.fast);
    line_pair_read(&checker.pair, text, len, &info);
    lines = bcda__line_reader_take_yajl_lines(checker.pair.fast);
    if (lines != (want != SURE) || (want == SURE && info.code))
        ck_abort_msg("%d, read by yajl: %d: %.*s", info.code, (int)lines, (int)len, text);
}

#define PATIENT "\"resourceType\":\"Patient\""

/* Members of resources, which are shifted but have nothing behind them. */
static const struct text resources[] = {
    YES(PATIENT),
    YES(PATIENT
        ",\"id\":\"1\",\"meta\":{\"lastUpdated\":\"2020\",\"a\":[{\"lastUpdated\":\"1\"}]}"),
    YES("\"fullUrl\":\"a\",\"resource\":{" PATIENT
        ",\"id\":\"1\",\"meta\":{\"lastUpdated\":\"2\"}}"),
    YES("\"resource\":{" PATIENT ",\"resource\":{},\"fullUrl\":\"b\"},\"id\":\"outside\""),
    YES("\"resource\": { \"a\":[{}], " PATIENT " } "),
    YES(PATIENT ",\"id\":1,\"meta\":\"x\",\"fullUrl\":[]"),
    YES(PATIENT ",\"a\":{\"id\":\"1\",\"id\":\"2\"},\"b\":1,\"b\":2"),
    YES(PATIENT ",\"a\":\"\\u0069d\""), YES(PATIENT ",\"resource\":1"), YES(PATIENT ",\"meta\":{}"),
    YES(PATIENT ",\"meta\":[{\"lastUpdated\":\"1\"}]"),
    /* twice */
    TAB(PATIENT "," PATIENT), TAB(PATIENT ",\"resourceType\":1"),
    TAB("\"resourceType\":1," PATIENT), TAB(PATIENT ",\"id\":\"1\",\"id\":\"2\""),
    TAB(PATIENT ",\"id\":1,\"id\":\"2\""), TAB(PATIENT ",\"id\":\"2\",\"id\":{}"),
    TAB(PATIENT ",\"meta\":{\"lastUpdated\":\"1\"},\"meta\":{}"),
    TAB(PATIENT ",\"meta\":1,\"meta\":{\"lastUpdated\":\"1\"}"),
    TAB(PATIENT ",\"meta\":{\"lastUpdated\":\"1\",\"lastUpdated\":\"2\"}"),
    TAB(PATIENT ",\"meta\":{\"lastUpdated\":1,\"lastUpdated\":\"2\"}"),
    TAB("\"resource\":{" PATIENT "},\"resource\":{" PATIENT ",\"id\":\"2\"}"),
    TAB("\"resource\":{" PATIENT "},\"resource\":1"),
    TAB("\"resource\":1,\"resource\":{" PATIENT "}"),
    TAB("\"fullUrl\":\"a\",\"fullUrl\":\"b\",\"resource\":{" PATIENT "}"),
    TAB("\"resource\":{" PATIENT ",\"id\":\"1\",\"id\":\"2\"}"),
    TAB("\"resource\":{" PATIENT "," PATIENT "}"),
    /* neither a resource nor an envelope, or both */
    TAB("\"a\":1"), TAB("\"resourceType\":\"\""), TAB("\"resourceType\":1"), TAB("\"resource\":[]"),
    TAB("\"resource\":{}"), TAB("\"resource\":{\"resourceType\":\"\"}"),
    TAB("\"resource\":{\"resource\":{" PATIENT "}}"), TAB(PATIENT ",\"resource\":{" PATIENT "}"),
    TAB("\"a\":{" PATIENT "}"), TAB("\"resource\":[{" PATIENT "}]"),
    /* escapes */
    TAB(PATIENT ",\"\\u0069d\":\"1\""), TAB(PATIENT ",\"a\":{\"\\u0062\":1}"),
    TAB(PATIENT ",\"id\":\"\\u0031\""), TAB("\"resourceType\":\"Pat\\u0069ent\""),
    TAB(PATIENT ",\"meta\":{\"lastUpdated\":\"\\n\"}"),
    TAB("\"resource\":{" PATIENT "},\"fullUrl\":\"a\\/b\""),
    TAB("\"resourceTyp\\u0065\":\"Patient\""), TAB("\"r\\u0065source\":{" PATIENT "}"),
    TAB(PATIENT ",\"\\\"\":\"1\""), TAB(PATIENT ",\"a\":[{\"\\\\\" : 1}]"),
    TAB(PATIENT ",\"m\\u0065ta\":{\"lastUpdated\":\"1\"}"),
    YES(PATIENT ",\"a\":\"\\u0069d\",\"id\":\"1\"")};

START_TEST(resource_members)
{
    size_t i;
    int shift;

    for (i = 0; i < COUNT(resources); i++)
        for (shift = 0; shift < CHECK_OFFSETS; shift++)
            expect_reader(resources[i].want, line,
                          shift_members(line, resources[i].text, resources[i].len, shift));
}
END_TEST

/* Makes a line with `count` strings that have an escape. That with the number `key` is a name. */
static void make_escaped(int count, int key)
{
    int i;

    line_len = 0;
    put("{" PATIENT ",\"a\":[\"\"");
    for (i = 0; i < count; i++)
        put(i == key ? ",{\"\\u0061\":\"\"}" : i % 3 ? ",\"a\\n\\\"b\\\\\"" : ",\"a\\n\"");
    put("]}");
}

/* More strings with escapes than the scanner notes. */
START_TEST(many_escapes)
{
    int count, key;

    for (count = 1; count < CHECK_ESCAPED_MAX + 10; count++)
        for (key = -1; key < count; key++) {
            make_escaped(count, key);
            expect_reader(key >= 0 ? VALID : SURE, line, line_len);
        }
}
END_TEST

/* Texts of the lengths that json.c limits. */
START_TEST(member_limits)
{
    static const struct {
        const char *before, *after;
    } forms[] = {
        {"{" PATIENT ",\"id\":\"", "\"}"},
        {"{\"resourceType\":\"", "\"}"},
        {"{" PATIENT ",\"meta\":{\"lastUpdated\":\"", "\"}}"},
        {"{\"fullUrl\":\"", "\",\"resource\":{" PATIENT "}}"},
        {"{" PATIENT ",\"", "\":1}"},
        {"{" PATIENT ",\"meta\":{\"", "\":1}}"},
        {"{\"resource\":{" PATIENT ",\"", "\":1}}"},
        {"{\"", "\":1,\"resource\":{" PATIENT "}}"},
        {"{" PATIENT ",\"a\":{\"", "\":1}}"},
        {"{" PATIENT ",\"a\":\"", "\"}"},
    };
    char text[BCDA__MEMBER_MAX + 2];
    size_t i, len;

    for (i = 0; i < COUNT(forms); i++)
        for (len = BCDA__MEMBER_MAX - 1; len <= BCDA__MEMBER_MAX + 1; len++) {
            memset(text, 'a', len);
            text[len] = '\0';
            line_len = 0;
            put(forms[i].before);
            put(text);
            put(forms[i].after);
            expect_reader(i < 8 && len > BCDA__MEMBER_MAX ? INVALID : SURE, line, line_len);
        }
}
END_TEST

static void put_values(size_t count)
{
    put("\"a\":[0");
    while (--count) {
        memcpy(line + line_len, ",1", 2);
        line_len += 2;
    }
    put("]");
}

/* The values of a field in an envelope, inside and outside of `resource`. json.c counts all of
 * them. */
START_TEST(values_limit)
{
    static const size_t inside[] = {1, 2, 1000, BCDA__VALUES_MAX - 1, BCDA__VALUES_MAX};
    struct bcda__field_set *fields;
    struct bcda__line_info info;
    struct line_pair pair;
    size_t i, more;
    int index, code;

    ck_assert_int_eq(bcda__field_set_new(&fields), 0);
    ck_assert_int_eq(bcda__field_set_add(fields, "a", &index), 0);
    line_pair_open(&pair, DEPTH, fields);
    for (i = 0; i < COUNT(inside); i++)
        for (more = 0; more < 2; more++) {
            line_len = 0;
            put("{\"resource\":{" PATIENT ",");
            put_values(inside[i]);
            put("},\"b\":0");
            if (inside[i] < BCDA__VALUES_MAX + more) {
                put(",");
                put_values(BCDA__VALUES_MAX - inside[i] + more);
            }
            put("}");
            code = line_pair_read(&pair, line, line_len, &info);
            ck_assert_int_eq(code, more ? BCDA_ERR_LINE_TOO_LONG : 0);
        }
    line_pair_close(&pair);
    bcda__field_set_free(fields);
}
END_TEST

/* ---- JSONTestSuite: BCDA_SHARED names a directory that has it in data/json-suite ---- */

/* A case as the value of a member. JSONTestSuite names valid texts y_..., and invalid ones n_... Of
 * the others, the library accepts numbers of any size. Returns 1 if the case fits in a line. */
static int check_suite_case(const char *dir, const char *name)
{
    static char text[CHECK_LINE_MAX];
    int is_valid = name[0] == 'y' || strncmp(name, "i_number", 8) == 0, has_tab;
    char path[1300];
    FILE *file;
    size_t len;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    len = fread(text, 1, sizeof text, file);
    fclose(file);
    ck_assert_uint_lt(len, sizeof text - 1000);
    if (memchr(text, '\n', len))
        return 0;
    has_tab = memchr(text, '\t', len) || memchr(text, '\r', len);
    expect_value(!is_valid ? INVALID : has_tab ? VALID : SURE, text, len);
    return 1;
}

START_TEST(json_test_suite)
{
    const char *shared = getenv("BCDA_SHARED");
    struct dirent *entry;
    char dir[1000];
    int count = 0;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/data/json-suite", shared ? shared : "");
    d = opendir(dir);
    while (d && (entry = readdir(d)))
        if (strlen(entry->d_name) > 2 && entry->d_name[1] == '_')
            count += check_suite_case(dir, entry->d_name);
    if (d) { /* else only the cases above are tested */
        closedir(d);
        ck_assert_int_ge(count, 300);
    }
}
END_TEST

SUITE("scan")
{
    suite_case("values");
    suite_checked(open_checker, checker_close);
    suite_test(known_values, known_members, json_test_suite);
    suite_case("escapes");
    suite_checked(open_checker, checker_close);
    suite_test(hexadecimal_digits, surrogates, characters, backslashes, escaped_quotes);

    suite_case("bytes");
    suite_checked(open_checker, checker_close);
    suite_test(any_byte, white_space, lengths);
    suite_case("limits");
    suite_checked(open_checker, checker_close);
    suite_loop(depth, 0, 5);
    suite_loop(index_limit, 0, (int)COUNT(dense));
    suite_test(many_quotes, growth, many_escapes, member_limits, values_limit);
    suite_case("resources");
    suite_checked(open_checker, checker_close);
    suite_test(resource_members);
}
