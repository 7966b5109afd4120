/* The line scanner, with many lines: all short texts in each position, generated lines, changed
 * lines, sample files, and lines in front of a page that cannot be read. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "helper.h"
#include "sample.h"
#include "scan_check.h"
#include "suite.h"

enum { DEPTH = 64 };

static void open_checker(void)
{
    seed = (uint32_t)sample_seed();
    checker_open(DEPTH);
}

/* The line that a test makes. */
static char line[CHECK_LINE_MAX];
static size_t line_len;

static void put_bytes(const char *text, size_t len)
{
    memcpy(line + line_len, text, len);
    line_len += len;
}

static void put(const char *text)
{
    put_bytes(text, strlen(text));
}

/* ---- all short texts ---- */

enum { LETTERS = 14, TEXT_MAX = 6, TEXT_ALWAYS = 4 };

/* Members in which `letters` take the place of the text. */
static const struct position {
    const char *before, *letters, *after;
} positions[] = {
    /* a string */
    {"\"a\":\"", "\"\\u08DdCn,:}\x80\xC3", "\""},
    /* a name */
    {"\"", "\"\\u08Dda,: }\x80\xC3", "\":1"},
    /* a number */
    {"\"a\":", "0129-+.eE ,\"]a", ""},
    /* a literal */
    {"\"a\":", "truefalsn ,}1\"", ""},
    /* an escape */
    {"\"a\":\"\\", "\"\\/bu09afAFDg:", "\""},
    /* the second half of a pair of surrogates */
    {"\"a\":\"\\uD83D\\u", "\\uDdCcF8bB\"U E", "\""},
    {"\"a\":\"\\uD83D", "\\uDdCcF8b/\"U E", "\""},
    /* values, and what may follow them */
    {"\"a\":", "{}[],:\"1 a\t\\-\x80", ""},
    {"\"a\":[{\"b\":\"c\"", "{}[],:\"1 a\t\\-\x80", "}]"}};

/* Checks the text that has the letters with these numbers, at one of 70 offsets. */
static void check_text(const struct position *p, int len, uint32_t number)
{
    char text[64];
    size_t at = strlen(p->before), after = strlen(p->after);
    int shift = (int)((number * 2654435761u >> 16) % CHECK_OFFSETS);

    memcpy(text, p->before, at);
    for (; len; len--, number /= LETTERS)
        text[at++] = p->letters[number % LETTERS];
    memcpy(text + at, p->after, after);
    check_scan(line, shift_members(line, text, at + after, shift));
}

START_TEST(short_texts)
{
    const struct position *p = &positions[_i];
    uint32_t count = 1, rounds, i;
    int len;

    ck_assert_uint_eq(strlen(p->letters), LETTERS);
    for (len = 0; len <= TEXT_MAX; len++, count *= LETTERS) {
        rounds = len <= TEXT_ALWAYS || sample_is_exhaustive() ? count : 2000;
        for (i = 0; i < rounds; i++)
            check_text(p, len, rounds == count ? i : roll(count));
    }
}
END_TEST

/* ---- generated lines ---- */

/* With `spaces` there are spaces between the tokens, with `tabs` also tabs and carriage returns. */
enum { SPACES = 1, TABS = 2 };

static void put_space(int spaces)
{
    static const char *const space[] = {"", " ", "  ", "    ", "\t", "\r", " \t "};

    if (spaces)
        put(space[roll(spaces & TABS ? 7 : 4)]);
}

static void put_string(void)
{
    static const char *const special[] = {
        /* escapes */
        "\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\uD83D\\uDE00", "\\u0000", "\\\\\\\"",
        /* characters */
        "\x7F", "\xC3\xA9", "\xE2\x80\x99", "\xF0\x9F\x98\x80", "{", "}", "[", "]", ",", ":"};
    static const char plain[] =
        "0123456789 abcdefghijklmnopqrstuvwxyz-./'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint32_t is_plain = roll(3), parts = roll(4);

    put("\"");
    while (parts--) {
        size_t from = roll(sizeof plain - 2);

        if (is_plain || roll(2))
            put_bytes(plain + from, 1 + roll((uint32_t)(sizeof plain - 1 - from)));
        else
            put(special[roll(COUNT(special))]);
    }
    put("\"");
}

static void put_name(void)
{
    static const char *const names[] = {
        "id",   "a",           "b",        "c",       "ab",
        "meta", "lastUpdated", "resource", "fullUrl", "resourceType",
        "",     "end",         "\\u0069d", "\\\"",    "\xC3\xA9"};

    if (roll(4) == 0) {
        put_string();
        return;
    }
    put("\"");
    put(names[roll(roll(8) ? 9 : COUNT(names))]);
    put("\"");
}

static void put_value(int spaces, int levels);

/* Adds members of an object or elements of an array. */
static void put_content(int spaces, int levels, uint32_t count, int is_object)
{
    put_space(spaces);
    while (count--) {
        if (is_object) {
            put_name();
            put_space(spaces);
            put(":");
            put_space(spaces);
        }
        put_value(spaces, levels);
        put_space(spaces);
        if (count) {
            put(",");
            put_space(spaces);
        }
    }
}

static void put_value(int spaces, int levels)
{
    static const char *const scalars[] = {"0",    "-0",    "1",      "-12.50",
                                          "1e5",  "1E+05", "0.1e-3", "12345678901234567890123",
                                          "true", "false", "null"};
    uint32_t kind = roll(10);

    if (kind < 5 && levels < 50) {
        put_string();
    } else if (kind < 7 || levels == 0) {
        put(scalars[roll(COUNT(scalars))]);
    } else {
        put(kind < 9 ? "{" : "[");
        put_content(spaces, levels - 1, roll(5), kind < 9);
        put(kind < 9 ? "}" : "]");
    }
}

/* Makes a valid line. */
static void make_line(int spaces)
{
    static const char *const heads[] = {
        "{", "{\"resourceType\":\"Patient\",",
        "{\"fullUrl\":\"a\",\"resource\":{\"resourceType\":\"Patient\",\"id\":\"1\",\"a\":\"b\"},",
        "{\"resourceType\":\"Patient\",\"id\":\"1\",\"meta\":{\"lastUpdated\":\"2020\"},"};

    line_len = 0;
    put(heads[roll(4)]);
    put_content(spaces, roll(8) ? 6 : 62, 1 + roll(roll(4) ? 5 : 40), 1);
    put("}");
    put_space(roll(8) ? spaces : TABS);
}

/* Opens the checker, and, for the line readers, fields with the names above if `fields` is 1. */
static struct bcda__field_set *open_with_fields(int fields)
{
    static const char *const paths[] = {
        "id",           "a",        "a.b",  "b",   "b.a.c",
        "c.ab",         "ab",       "a.id", "end", "meta.lastUpdated",
        "resourceType", "\xC3\xA9", "\""};
    struct bcda__field_set *set;
    size_t i;
    int index;

    open_checker();
    ck_assert_int_eq(bcda__field_set_new(&set), 0);
    for (i = 0; fields && i < COUNT(paths); i++)
        ck_assert_int_eq(bcda__field_set_add(set, paths[i], &index), 0);
    line_pair_close(&checker.pair);
    line_pair_open(&checker.pair, DEPTH, set);
    return set;
}

static void close_with_fields(struct bcda__field_set *set)
{
    checker_close();
    bcda__field_set_free(set);
}

/* The scanner must be sure of every line that has no tabs. With `_i` 1, fields are requested. */
START_TEST(generated)
{
    struct bcda__field_set *set = open_with_fields(_i);
    uint64_t rounds = sample_rounds(10000, 250000), i, with_tabs = 0, unsure = 0;

    for (i = 0; i < rounds; i++) {
        enum verdict verdict;

        make_line((int)roll(4));
        while (line_len && memchr(" \t\r", line[line_len - 1], 3) && roll(2))
            line_len--;
        verdict = check_line(line, line_len);
        if (verdict == INVALID)
            ck_abort_msg("invalid: %.*s", (int)(line_len < 2000 ? line_len : 2000), line);
        while (memchr(" \t\r", line[line_len - 1], 3))
            line_len--;
        with_tabs += memchr(line, '\t', line_len) != NULL || memchr(line, '\r', line_len) != NULL;
        unsure += verdict != SURE;
    }
    ck_assert_uint_eq(unsure, with_tabs);
    ck_assert_uint_eq(checker.sure, rounds - with_tabs);
    close_with_fields(set);
}
END_TEST

/* ---- sample files: BCDA_SHARED names a directory that has them in data ---- */

static struct sample {
    const char *text;
    size_t len;
} samples[4096];
static size_t sample_count;

static int ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Adds the lines of a file to `samples`. */
static void read_lines(const char *path)
{
    static char bytes[16 * 1024 * 1024];
    static size_t used;
    FILE *file = fopen(path, "rb");
    char *end = bytes + used, *text;

    if (file) {
        end += fread(end, 1, sizeof bytes - used, file);
        fclose(file);
    }
    for (text = bytes + used; text < end && sample_count < COUNT(samples);) {
        char *lf = memchr(text, '\n', (size_t)(end - text));
        char *line_end = lf ? lf : end;

        samples[sample_count].text = text;
        samples[sample_count++].len = (size_t)(line_end - text);
        text = line_end + 1;
    }
    used = (size_t)(end - bytes);
}

/* Reads the files in a folder and in the folders in it. */
static void read_folder(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *entry;
    char inner[1000];

    while (d && (entry = readdir(d))) {
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (ends_with(inner, ".ndjson") || ends_with(inner, ".bundle.json"))
            read_lines(inner);
        else if (entry->d_name[0] != '.')
            read_folder(inner);
    }
    if (d)
        closedir(d);
}

int suite_prepare(void)
{
    const char *shared = getenv("BCDA_SHARED");
    char path[900];

    if (shared) {
        snprintf(path, sizeof path, "%s/data", shared);
        read_folder(path);
    }
    return 0;
}

/* A set of the paths of all values in the samples. */
enum { PATH_SLOTS = 1 << 14, PATH_SIZE = 400 };
static char *paths[PATH_SLOTS];

static void add_path(const char *path)
{
    uint32_t slot = 5381;
    const char *p;

    for (p = path; *p; p++)
        slot = slot * 33 + (unsigned char)*p;
    for (slot %= PATH_SLOTS; paths[slot]; slot = (slot + 1) % PATH_SLOTS)
        if (strcmp(paths[slot], path) == 0)
            return;
    paths[slot] = strdup(path);
}

/* Adds the paths in an object or array. `path` is its own path, with a point behind it, and has
 * `len` bytes and `components` components. Returns without a path that cannot be requested. */
static void add_paths(const struct bcda__index *index, const struct bcda__container *c, char *path,
                      size_t len, int components)
{
    int is_object = index->line[c->start] == '{';
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t name_len;

    bcda__index_walk_init(&walk, index, c);
    while (is_object ? bcda__index_next_name(&walk, &name, &name_len)
                     : bcda__index_next_element(&walk, &value)) {
        size_t end = len;

        if (is_object) {
            bcda__index_member_value(&walk, &value);
            if (components == BCDA__FIELD_DEPTH_MAX || memchr(name, '.', name_len) || !name_len ||
                len + name_len + 2 > PATH_SIZE)
                continue;
            memcpy(path + len, name, name_len);
            end += name_len;
            path[end++] = '.';
        }
        if (value.kind == BCDA__KIND_OBJECT || value.kind == BCDA__KIND_ARRAY) {
            add_paths(index, value.container, path, end, components + is_object);
        } else if (index->line[value.at] != 'n' || value.kind == BCDA__KIND_STRING) {
            path[end - 1] = '\0';
            add_path(path);
            path[end - 1] = '.';
        }
    }
}

/* Reads all valid samples. The scanner must be sure of each. Returns the fields that have values,
 * one bit each. */
static uint64_t read_all_samples(const struct bcda__field_set *fields)
{
    const struct bcda__index *index;
    struct bcda__line_info info;
    struct line_pair pair;
    char path[PATH_SIZE];
    uint64_t met = 0;
    size_t i, k;

    line_pair_open(&pair, DEPTH, fields);
    for (i = 0; i < sample_count; i++) {
        const char *text = samples[i].text;
        int code = line_pair_read(&pair, text, samples[i].len, &info);

        if (bcda__line_reader_take_yajl_lines(pair.fast) != (code != 0))
            check_fails("a sample that the scanner is not sure of", text, samples[i].len);
        for (k = 0; k < info.value_count; k++)
            met |= UINT64_C(1) << info.values[k].field;
        if (code || fields)
            continue;
        check_scan(text, samples[i].len);
        text = copy_line(text + info.resource.at, info.resource.len);
        if (bcda__scan_line(checker.scan, text, info.resource.len, &index) != BCDA__SCAN_SURE)
            check_fails("the scanner is not sure of this resource", text, info.resource.len);
        add_paths(index, index->containers, path, 0, 0);
    }
    line_pair_close(&pair);
    return met;
}

/* All samples, without fields, and then with all paths that occur in them as fields. */
START_TEST(sample_files)
{
    struct bcda__field_set *set = NULL;
    int slot, last, index, count = 0;

    read_all_samples(NULL);
    ck_assert_uint_gt(checker.sure, 600);
    for (last = PATH_SLOTS; last-- > 0 && !paths[last];)
        ;
    for (slot = 0; slot <= last; slot++) {
        if (!paths[slot])
            continue;
        if (!set)
            ck_assert_int_eq(bcda__field_set_new(&set), 0);
        ck_assert_int_eq(bcda__field_set_add(set, paths[slot], &index), 0);
        count++;
        if (index < BCDA__FIELDS_MAX - 1 && slot < last)
            continue;
        ck_assert_uint_eq(read_all_samples(set), UINT64_MAX >> (63 - index));
        bcda__field_set_free(set);
        set = NULL;
    }
    ck_assert_int_gt(count, 300);
    for (slot = 0; slot < PATH_SLOTS; slot++)
        free(paths[slot]);
}
END_TEST

/* ---- changed lines ---- */

/* Makes a line: a sample that is not long, or a generated one. */
static void take_line(void)
{
    const struct sample *s = sample_count ? &samples[roll((uint32_t)sample_count)] : NULL;

    if (!s || roll(2) || s->len > (roll(50) ? 1500 : 40000)) {
        make_line((int)roll(4));
    } else {
        line_len = 0;
        put_bytes(s->text, s->len);
    }
}

/* Lines in which one to four bytes were changed. With `_i` 1, fields are requested. */
START_TEST(changed)
{
    static const char letters[] = "\"\"\"\\\\u,,::{}[]01-.eEtfn \t\r\x01\x7F\x80\xBF\xC3\xE2\xF0";
    struct bcda__field_set *set = open_with_fields(_i);
    uint64_t rounds = sample_rounds(10000, 1000000), i;

    for (i = 0; i < rounds; i++) {
        uint32_t changes = 1 + roll(4);

        take_line();
        while (changes-- && line_len) {
            size_t at = roll((uint32_t)line_len);
            char c = roll(4) ? letters[roll(sizeof letters - 1)] : (char)roll(256);

            if (roll(8) == 0) /* remove a byte */
                memmove(line + at, line + at + 1, --line_len - at);
            else if (c != '\n')
                line[at] = c;
        }
        check_line(line, line_len);
    }
    ck_assert_uint_gt(checker.sure, rounds / 20);
    ck_assert_uint_lt(checker.sure, rounds - rounds / 20);
    close_with_fields(set);
}
END_TEST

/* ---- the end of the readable memory ---- */

/* The last members of a line, complete and not. */
static const char *const tails[] = {
    /* complete */
    "\"b\":\"c\"}", "\"b\":1}", "\"b\":true}", "\"b\":false}", "\"b\":null}", "\"b\":[]}",
    "\"b\":{}}", "\"b\":[{\"c\":\"d\"}]}", "\"b\":{\"c\":\"d\"}}", "\"b\":[1]}", "\"b\":[\"c\"]}",
    "\"b\":\"\\n\"}", "\"b\":\"\\\"\"}", "\"b\":\"\xF0\x9F\x98\x80\"}", "\"b\":1} ",
    "\"b\":1}\t\r  ",
    /* incomplete or invalid */
    "\"b\":{}", "\"b\":[{}", "\"b\":1.5e3", "\"b\":tru", "\"b\":fals", "\"b\":nul", "\"b\":t",
    "\"b\":true", "\"b\":false", "\"b\":null", "\"b\":-", "\"b\":1.", "\"b\":1e", "\"b\":1e+",
    "\"b\":0", "\"b\":1", "\"b\":\"c\"", "\"b\":\"c", "\"b\":\"", "\"b\":\"\\", "\"b\":\"\\u",
    "\"b\":\"\\u00e", "\"b\":\"\\u00e9", "\"b\":\"\\uD83D", "\"b\":\"\\uD83D\\",
    "\"b\":\"\\uD83D\\u", "\"b\":\"\\uD83D\\uDE0", "\"b\":\"\xC3", "\"b\":\"\xE2\x80",
    "\"b\":\"\xF0\x9F\x98", "\"b\":\"\\\"", "\"b\":", "\"b\":  ", "\"b\"", "\"b\" ", "\"b", "\"",
    "\"b\":{", "\"b\":[", "\"b\":[{", "\"b\":{\"", "\"b\":[{\"", "\"b\":{\"c", "\"b\":[{\"c",
    "\"b\":[{\"c\"", "\"b\":1,", "\"b\":\"c\",", "\"b\":\"c\", ", "\"b\":\"c\",\"", "\"b\":[1,",
    "\"b\":[1", "\"b\":[]", "\"b\":1 ", "\"b\":1\\", "\"b\":1\x80"};

/* Lines of every length whose padding is followed by a page that cannot be read. The padding has
 * BCDA__SCAN_PADDING bytes or the 8 that the scanner may read, and random values. */
START_TEST(last_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), i, k, len;
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct bcda__index *index;
    int padding;

    ck_assert_ptr_ne(memory, MAP_FAILED);
    ck_assert_int_eq(mprotect(memory + page, page, PROT_NONE), 0);
    for (len = 1; len <= 300; len++)
        for (i = 0; i < COUNT(tails); i++)
            for (padding = 8; padding <= BCDA__SCAN_PADDING; padding += BCDA__SCAN_PADDING - 8) {
                size_t tail = strlen(tails[i]), shift = len > tail + 8 ? len - tail - 8 : 0;
                char *at = memory + page - (size_t)padding - len;
                struct bcda__line_info info;
                int sure;

                line_len = 0;
                put("{\"a\":\"");
                memset(line + line_len, 'x', shift);
                line_len += shift;
                put("\",");
                put(tails[i]);
                sure = check_scan(line, len) == SURE; /* of a short line, the end is cut */
                memcpy(at, line, len);
                at[len] = '\n';
                for (k = len + 1; k < len + (size_t)padding; k++)
                    at[k] = "\"\"\"\",:{}[] \\"[roll(11)];
                if ((bcda__scan_line(checker.scan, at, len, &index) == BCDA__SCAN_SURE) != sure)
                    check_fails("another result at the end of a page", line, len);
                if (padding == BCDA__SCAN_PADDING)
                    ck_assert_int_eq(bcda__line_read(checker.pair.fast, at, len, &info), 0);
            }
    munmap(memory, 2 * page);
}
END_TEST

SUITE("scan random")
{
    suite_case("texts");
    suite_timeout(600);
    suite_checked(open_checker, checker_close);
    suite_loop(short_texts, 0, (int)COUNT(positions));
    suite_case("last_bytes");
    suite_checked(open_checker, checker_close);
    suite_test(last_bytes);
    suite_case("generated");
    suite_timeout(600);
    suite_loop(generated, 0, 2);
    suite_loop(changed, 0, 2);
    if (sample_count) {
        suite_case("samples");
        suite_timeout(600);
        suite_checked(open_checker, checker_close);
        suite_test(sample_files);
    }
}
