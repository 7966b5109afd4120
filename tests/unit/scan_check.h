/* Checks the line scanner against yajl: its verdict, and the whole index that it makes of a line.
 */
#ifndef BCDA_TESTS_SCAN_CHECK_H
#define BCDA_TESTS_SCAN_CHECK_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "bcda/error.h"
#include "codec/json.h"
#include "codec/scan.h"
#include "line_pair.h"
#include "suite.h"

enum {
    CHECK_LINE_MAX = 512 * 1024,
    CHECK_OFFSETS = 70,
    /* The scanner notes so many strings with escapes. If there are more, it searches all names. */
    CHECK_ESCAPED_MAX = 64,
    /* The room for quotes that the first pass needs after the last quote that it has found. */
    CHECK_QUOTES_MORE = 68,
};

/* ---- what yajl says of a line ---- */

enum part_kind { PART_NAME, PART_STRING, PART_OBJECT, PART_ARRAY, PART_SCALAR, PART_END };

/* A member name, a value, or the end of an object or array. */
struct part {
    enum part_kind kind;
    uint32_t start; /* the offset of the first byte: of a string, of its quote */
    uint32_t end;   /* the offset of the last byte; of an object or array, 0 */
};

struct parts {
    struct part *at;
    size_t count;
};

struct truth {
    const char *line;
    yajl_handle yajl;
    uint32_t end; /* the end of the last token */
    struct parts parts;
    struct bcda__container *containers;
    uint32_t *quotes;
    uint32_t container_count, quote_count;
    uint32_t open[BCDA__SCAN_DEPTH_MAX + 2]; /* the numbers of the open containers */
    int depth, deepest;
    uint32_t escaped; /* strings with escapes */
    int escaped_key;
};

static inline void add_part(struct parts *parts, enum part_kind kind, uint32_t start, uint32_t end)
{
    struct part *p = &parts->at[parts->count++];

    p->kind = kind;
    p->start = start;
    p->end = end;
}

/* Returns the start of the token that yajl has just read. */
static inline uint32_t begin_token(struct truth *t)
{
    uint32_t start = t->end;

    while (memchr(" \t\r,:", t->line[start], 5))
        start++;
    t->end = (uint32_t)yajl_get_bytes_consumed(t->yajl);
    return start;
}

static inline int truth_scalar(struct truth *t)
{
    uint32_t start = begin_token(t);

    add_part(&t->parts, PART_SCALAR, start, t->end - 1);
    return 1;
}

static inline int truth_on_null(void *ctx)
{
    return truth_scalar(ctx);
}

static inline int truth_on_boolean(void *ctx, int value)
{
    (void)value;
    return truth_scalar(ctx);
}

static inline int truth_on_number(void *ctx, const char *text, size_t len)
{
    struct truth *t = ctx;

    truth_scalar(t);
    return t->line + t->parts.at[t->parts.count - 1].start == text &&
           t->end == (size_t)(text - t->line) + len;
}

static inline int truth_string(struct truth *t, enum part_kind kind)
{
    uint32_t start = begin_token(t);

    add_part(&t->parts, kind, start, t->end - 1);
    t->quotes[t->quote_count++] = start;
    t->quotes[t->quote_count++] = t->end - 1;
    if (memchr(t->line + start, '\\', t->end - start)) {
        t->escaped++;
        t->escaped_key |= kind == PART_NAME;
    }
    return t->line[start] == '"' && t->line[t->end - 1] == '"';
}

static inline int truth_on_string(void *ctx, const unsigned char *text, size_t len)
{
    (void)text;
    (void)len;
    return truth_string(ctx, PART_STRING);
}

static inline int truth_on_name(void *ctx, const unsigned char *text, size_t len)
{
    (void)text;
    (void)len;
    return truth_string(ctx, PART_NAME);
}

static inline int truth_open(struct truth *t, enum part_kind kind)
{
    struct bcda__container *c = &t->containers[t->container_count];

    if (t->depth > BCDA__SCAN_DEPTH_MAX)
        return 0;
    c->start = begin_token(t);
    c->first_quote = t->quote_count;
    t->open[t->depth++] = t->container_count++;
    t->deepest = t->deepest < t->depth ? t->depth : t->deepest;
    add_part(&t->parts, kind, c->start, 0);
    return 1;
}

static inline int truth_on_object(void *ctx)
{
    return truth_open(ctx, PART_OBJECT);
}

static inline int truth_on_array(void *ctx)
{
    return truth_open(ctx, PART_ARRAY);
}

static inline int truth_on_end(void *ctx)
{
    struct truth *t = ctx;
    struct bcda__container *c = &t->containers[t->open[--t->depth]];

    c->end = begin_token(t);
    c->end_quote = t->quote_count;
    c->next = t->container_count;
    add_part(&t->parts, PART_END, c->end, 0);
    return 1;
}

/* Reads a line by yajl. Returns 1 if it is valid and has no more than BCDA__SCAN_DEPTH_MAX + 1
 * nested levels. */
static inline int truth_read(struct truth *t, const char *line, size_t len)
{
    static const yajl_callbacks callbacks = {
        truth_on_null,   truth_on_boolean, NULL,          NULL,         truth_on_number,
        truth_on_string, truth_on_object,  truth_on_name, truth_on_end, truth_on_array,
        truth_on_end,
    };
    int ok;

    t->line = line;
    t->end = t->container_count = t->quote_count = t->escaped = 0;
    t->parts.count = 0;
    t->depth = t->deepest = t->escaped_key = 0;
    t->yajl = yajl_alloc(&callbacks, NULL, t);
    ok = yajl_parse(t->yajl, (const unsigned char *)line, len) == yajl_status_ok &&
         yajl_complete_parse(t->yajl) == yajl_status_ok;
    yajl_free(t->yajl);
    return ok;
}

/* ---- the same from the index ---- */

static inline void index_parts(const struct bcda__index *index, const struct bcda__container *c,
                               struct parts *parts);

static inline void index_value(const struct bcda__index *index, const struct bcda__index_value *v,
                               struct parts *parts)
{
    if (v->kind == BCDA__KIND_STRING)
        add_part(parts, PART_STRING, v->at - 1, v->end);
    else if (v->kind == BCDA__KIND_SCALAR)
        add_part(parts, PART_SCALAR, v->at, bcda__index_scalar_end(index, v->at) - 1);
    else
        index_parts(index, v->container, parts);
}

/* Adds the parts of an object or array, in their order in the line. */
static inline void index_parts(const struct bcda__index *index, const struct bcda__container *c,
                               struct parts *parts)
{
    int is_object = index->line[c->start] == '{';
    struct bcda__index_walk walk, skipped;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t len;

    add_part(parts, is_object ? PART_OBJECT : PART_ARRAY, c->start, 0);
    bcda__index_walk_init(&walk, index, c);
    if (is_object) {
        while (bcda__index_next_name(&walk, &name, &len)) {
            uint32_t start = (uint32_t)(name - index->line);

            skipped = walk;
            bcda__index_skip_value(&skipped);
            bcda__index_member_value(&walk, &value);
            if (skipped.quote != walk.quote || skipped.inner != walk.inner)
                ck_abort_msg("a value that is skipped ends elsewhere: %.*s", (int)index->len,
                             index->line);
            add_part(parts, PART_NAME, start - 1, start + len);
            index_value(index, &value, parts);
        }
    } else {
        while (bcda__index_next_element(&walk, &value))
            index_value(index, &value, parts);
    }
    add_part(parts, PART_END, c->end, 0);
}

/* ---- the checks ---- */

enum verdict { INVALID, VALID, SURE };

static struct {
    int depth;
    struct bcda__scan *scan;
    struct bcda__json_line *json;
    struct line_pair pair;
    struct truth truth;
    struct parts parts; /* of the index */
    char *buffer;       /* its last bytes are the line and the padding */
    uint32_t noise;
    uint64_t lines, sure; /* counts */
} checker;

static inline void checker_open(int depth)
{
    size_t max = CHECK_LINE_MAX;

    memset(&checker, 0, sizeof checker);
    checker.depth = depth;
    ck_assert_int_eq(bcda__scan_new(&checker.scan, depth), 0);
    ck_assert_int_eq(bcda__json_line_new(&checker.json, depth, NULL), 0);
    line_pair_open(&checker.pair, depth, NULL);
    checker.truth.quotes = malloc(max * sizeof *checker.truth.quotes);
    checker.truth.containers = malloc(max * sizeof *checker.truth.containers);
    checker.truth.parts.at = malloc(max * sizeof *checker.parts.at);
    checker.parts.at = malloc(max * sizeof *checker.parts.at);
    checker.buffer = malloc(max + BCDA__SCAN_PADDING);
    memset(checker.buffer, '"', max + BCDA__SCAN_PADDING);
}

static inline void checker_close(void)
{
    bcda__scan_free(checker.scan);
    bcda__json_line_free(checker.json);
    line_pair_close(&checker.pair);
    free(checker.truth.quotes);
    free(checker.truth.containers);
    free(checker.truth.parts.at);
    free(checker.parts.at);
    free(checker.buffer);
}

static inline void check_fails(const char *what, const char *line, size_t len)
{
    ck_abort_msg("depth %d, length %zu: %s: %.*s", checker.depth, len, what,
                 (int)(len < 2000 ? len : 2000), line);
}

/* Compares the whole index with what yajl has read. */
static inline void check_index(const struct bcda__index *index, const char *line, size_t len)
{
    struct truth *t = &checker.truth;
    struct parts *parts = &checker.parts;

    if (!truth_read(t, line, len))
        check_fails("sure, but invalid", line, len);
    if (t->deepest > checker.depth || t->deepest > BCDA__SCAN_DEPTH_MAX)
        check_fails("sure, but too deep", line, len);
    if (index->line != line || index->len != t->end || index->quote_count != t->quote_count ||
        memcmp(index->quotes, t->quotes, t->quote_count * sizeof *t->quotes) != 0)
        check_fails("wrong quotes", line, len);
    if (index->container_count != t->container_count ||
        memcmp(index->containers, t->containers, t->container_count * sizeof *t->containers) != 0)
        check_fails("wrong containers", line, len);
    parts->count = 0;
    index_parts(index, index->containers, parts);
    if (parts->count != t->parts.count ||
        memcmp(parts->at, t->parts.at, parts->count * sizeof *parts->at) != 0)
        check_fails("wrong members or elements", line, len);
    if (index->has_escapes != (t->escaped > 0) || index->escaped_key != t->escaped_key)
        check_fails("wrong notes on escapes", line, len);
}

/* Returns 1 if the scanner must be sure of this line, which is valid. */
static inline int must_be_sure(const char *line, size_t len)
{
    struct truth *t = &checker.truth;
    size_t room, used;

    while (memchr(" \t\r", line[len - 1], 3))
        len--;
    if (line[0] != '{' || memchr(line, '\t', len) || memchr(line, '\r', len) ||
        !truth_read(t, line, len) || t->deepest > BCDA__SCAN_DEPTH_MAX)
        return 0;
    room = len * BCDA__SCAN_INDEX_PERCENT / 100;
    used = (t->quote_count + CHECK_QUOTES_MORE) * sizeof *t->quotes +
           t->container_count * sizeof *t->containers;
    return used <= (room < BCDA__SCAN_INDEX_MIN ? BCDA__SCAN_INDEX_MIN : room);
}

/* Copies a line to the end of the buffer. Random bytes follow its LF. */
static inline const char *copy_line(const char *line, size_t len)
{
    static const char noise[] = "\"\":,\":\"{}[]0\\e  truefalsenull\x80\n";
    char *end = checker.buffer + CHECK_LINE_MAX;
    int i;

    memmove(end - len, line, len);
    *end = '\n';
    for (i = 1; i <= 8; i++) {
        checker.noise = checker.noise * 1103515245 + 12345;
        end[i] = noise[(checker.noise >> 16) % (sizeof noise - 1)];
    }
    return end - len;
}

/* Checks what the scanner says of a line: it may be sure only if the line is valid, and then the
 * index must be right; it must be sure of all valid lines that are plain. */
static inline enum verdict check_scan(const char *line, size_t len)
{
    const char *copy = copy_line(line, len);
    const struct bcda__index *index;
    struct bcda__line_info info;
    int rc = bcda__scan_line(checker.scan, copy, len, &index), valid;

    if (bcda__json_line_read(checker.json, copy, len, &info))
        check_fails("failed", copy, len);
    valid = info.code == 0 || info.code == BCDA_ERR_LINE_TYPE;
    checker.lines++;
    if (rc == BCDA__SCAN_SURE) {
        checker.sure++;
        if (!valid && info.code != BCDA_ERR_LINE_TOO_LONG)
            check_fails("sure, but json.c refuses it", copy, len);
        check_index(index, copy, len);
        return SURE;
    }
    if (rc != BCDA__SCAN_NOT_SURE)
        check_fails("failed", copy, len);
    if (valid && must_be_sure(copy, len))
        check_fails("not sure, but valid and plain", copy, len);
    return valid ? VALID : INVALID;
}

/* As check_scan(). The line readers must find the same, too. */
static inline enum verdict check_line(const char *line, size_t len)
{
    struct bcda__line_info info;

    line_pair_read(&checker.pair, line, len, &info);
    return check_scan(line, len);
}

static inline void expect_verdict(enum verdict verdict, enum verdict want, const char *line,
                                  size_t len)
{
    static const char *const names[] = {"invalid", "valid", "sure"};

    if (verdict != want)
        ck_abort_msg("depth %d, length %zu: %s, not %s: %.*s", checker.depth, len, names[verdict],
                     names[want], (int)(len < 2000 ? len : 2000), line);
}

/* Checks a line of which the verdict is known. */
static inline void expect_line(enum verdict want, const char *line, size_t len)
{
    expect_verdict(check_line(line, len), want, line, len);
}

/* As expect_line(), without the line readers. */
static inline void expect_scan(enum verdict want, const char *line, size_t len)
{
    expect_verdict(check_scan(line, len), want, line, len);
}

/* Makes a line that begins with `shift` bytes more than needed, and then has these members and the
 * closing brace. Returns its length. */
static inline size_t shift_members(char *out, const char *members, size_t len, int shift)
{
    static const char head[] = "{\"p\":\"", mid[] = "\",";
    char *to = out;

    to = (char *)memcpy(to, head, sizeof head - 1) + sizeof head - 1;
    to = (char *)memset(to, '.', (size_t)shift) + shift;
    to = (char *)memcpy(to, mid, sizeof mid - 1) + sizeof mid - 1;
    to = (char *)memcpy(to, members, len) + len;
    *to++ = '}';
    return (size_t)(to - out);
}

/* Checks a line that has these members, at CHECK_OFFSETS offsets: near the end of the line, and
 * with more members behind them. `check` is expect_line() or a function like it. */
static inline void expect_members_by(void (*check)(enum verdict want, const char *line, size_t len),
                                     enum verdict want, const char *members, size_t len)
{
    static const char more[] =
        ",\"resourceType\":\"Patient\",\"more\":\"0123456789012345678901234567"
        "890123456789012345678901234567890123456789\"";
    char *line = malloc(len + 256), *with_more = malloc(len + sizeof more);
    int i;

    memcpy(with_more, members, len);
    memcpy(with_more + len, more, sizeof more - 1);
    for (i = 0; i < CHECK_OFFSETS; i++) {
        check(want, line, shift_members(line, members, len, i));
        check(want, line, shift_members(line, with_more, len + sizeof more - 1, i));
    }
    free(line);
    free(with_more);
}

/* Checks lines that have this value, at CHECK_OFFSETS offsets. */
static inline void expect_value_by(void (*check)(enum verdict want, const char *line, size_t len),
                                   enum verdict want, const char *value, size_t len)
{
    char *member = malloc(len + 4);

    memcpy(member, "\"x\":", 4);
    memcpy(member + 4, value, len);
    expect_members_by(check, want, member, len + 4);
    free(member);
}

static inline void expect_value(enum verdict want, const char *value, size_t len)
{
    expect_value_by(expect_line, want, value, len);
}

#endif
