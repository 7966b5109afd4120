/* The scanner has two passes. The first looks at 64 bytes at a time and notes the offset of each
 * quote; it also checks escapes and characters outside ASCII, which are rare. The second goes from
 * quote to quote and checks what stands between the strings. So a string costs the same, whatever
 * its length.
 *
 * The first pass does not know whether a byte is inside a string. It need not: outside of strings,
 * the second pass accepts no backslash and nothing outside ASCII. So a quote is never skipped as
 * escaped there. */
#include "codec/scan.h"

#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/scan_block.h"
#include "codec/utf8.h"

enum {
    /* The number of quotes that are written at once for each block, whether or not there are as
     * many. */
    QUOTES_AT_ONCE = 5,
    /* So many entries after the last quote have the length of the line. The second pass does not
     * need them, because the number of quotes is even. If it had a fault and went too far, it would
     * find the end of the line there, where every comparison fails. */
    SENTINELS = 4,
    /* The first pass notes so many strings that have escapes. If there are more, all names of the
     * line are searched for escapes. */
    ESCAPED_MAX = 64,
};

/* The result of a pass. */
enum pass {
    PASS_OK,
    PASS_NOT_SURE,
    PASS_FULL, /* the memory of the index is full */
};

#define NO_CONTAINER UINT32_MAX

/* For the loops in which nearly all time is spent: they begin on a cache line, so that their speed
 * does not depend on the size of the functions before them. */
#define HOT __attribute__((aligned(64)))

struct bcda__scan {
    struct bcda__index index;
    /* The memory of the index: first the quotes, then, behind the sentinels, the containers. */
    void *memory;
    size_t size;
    size_t room; /* bytes of it that this line may use */
    int depth_max;
    int unsure; /* 1 = the first pass found something wrong */

    /* The state of the first pass: */
    uint32_t pair_end;                 /* the end of the last surrogate pair */
    uint32_t character_end;            /* the end of the last character outside ASCII */
    uint64_t escaped_first;            /* 1 = the first byte of the next block is escaped */
    uint32_t escaped[ESCAPED_MAX + 1]; /* numbers of strings that have escapes */
    uint32_t escaped_count;            /* above ESCAPED_MAX = there are more */
};

/* ---- the memory of the index ---- */

static size_t index_limit(uint32_t len)
{
    uint64_t size = (uint64_t)len * BCDA__SCAN_INDEX_PERCENT / 100;

    return size < BCDA__SCAN_INDEX_MIN ? BCDA__SCAN_INDEX_MIN : (size_t)size;
}

/* Gives the index more memory; what is in it is lost. Returns 0, BCDA_ERR_NOMEM, or
 * BCDA__SCAN_NOT_SURE if it would exceed the limit. */
static int grow_index(struct bcda__scan *s, size_t limit)
{
    size_t size = 2 * s->size;

    if (s->size >= limit)
        return BCDA__SCAN_NOT_SURE;
    size = size < BCDA__SCAN_INDEX_MIN ? BCDA__SCAN_INDEX_MIN : size;
    size = size < limit ? size : limit;
    bcda__free(s->memory);
    s->memory = bcda__alloc(size);
    s->size = s->memory ? size : 0;
    return s->memory ? 0 : BCDA_ERR_NOMEM;
}

/* ---- first pass: quotes, escapes and characters ---- */

/* Returns a bit for each byte of a block that a backslash before it escapes. `slash` has the
 * backslashes; *first has a bit if the first byte that is looked at is escaped, and is set to 1 if
 * the first byte after the block is. In a run of backslashes, every second one is escaped. */
static uint64_t find_escaped(uint64_t slash, uint64_t *first)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    uint64_t escaped = *first, after, odd_starts, ends;

    slash &= ~escaped;
    after = slash << 1;
    odd_starts = slash & ~even & ~after; /* runs that begin at an odd bit */
    *first = (uint64_t)__builtin_add_overflow(odd_starts, slash, &ends);
    return escaped | ((even ^ ends << 1) & after);
}

static inline int is_short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return 1;
    default:
        return 0;
    }
}

/* Returns the UTF-16 code unit that the escape at offset `at` stands for (a backslash, "u" and four
 * hexadecimal digits), or -1 if no such escape is there. */
static int escaped_unit(const struct bcda__scan *s, uint32_t at)
{
    const char *p = s->index.line + at;
    uint8_t unit[2];
    size_t size;

    if (at > s->index.len || s->index.len - at < 6 || p[0] != '\\' || p[1] != 'u' ||
        bcda__text_hex_decode(p + 2, 4, unit, sizeof unit, &size))
        return -1;
    return unit[0] << 8 | unit[1];
}

/* Checks the escape of a code unit at offset `at`. The first half of a surrogate pair must be
 * followed by the second. */
static int check_unit(struct bcda__scan *s, uint32_t at)
{
    int unit;

    if (at < s->pair_end)
        return 1; /* the second half of a pair that was checked with the first */
    unit = escaped_unit(s, at);
    if (unit < 0 || unit >> 10 == 0xDC00 >> 10)
        return 0;
    if (unit >> 10 != 0xD800 >> 10)
        return 1;
    s->pair_end = at + 12;
    return escaped_unit(s, at + 6) >> 10 == 0xDC00 >> 10;
}

/* Notes that a string has an escape, which is at `bit` of a block. `count` quotes are before the
 * block, and `quotes` has those in the block. Returns bits of the block that are in the same
 * string, where no other escape needs to be noted. */
static uint64_t note_escape(struct bcda__scan *s, uint32_t count, uint64_t quotes, unsigned bit)
{
    uint64_t before = (UINT64_C(1) << bit) - 1, later = quotes & ~before;
    uint32_t string = (count + (uint32_t)__builtin_popcountll(quotes & before)) / 2;
    uint32_t n = s->escaped_count;

    s->index.has_escapes = 1;
    if (n <= ESCAPED_MAX && (!n || s->escaped[n - 1] != string))
        s->escaped[s->escaped_count++] = string;
    return ((later & -later) - 1) & ~before; /* up to the next quote */
}

/* Checks the escapes of the block at `base`: `escaped` has their second bytes. */
static void check_escapes(struct bcda__scan *s, uint32_t base, uint64_t escaped, uint64_t quotes,
                          uint32_t count)
{
    uint64_t noted = 0;

    for (; escaped; escaped &= escaped - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(escaped);
        char c = s->index.line[base + bit];

        if (!(noted >> bit & 1))
            noted = note_escape(s, count, quotes, bit);
        if (!is_short_escape(c) && (c != 'u' || !check_unit(s, base + bit - 1)))
            s->unsure = 1;
    }
}

/* Checks the control characters, which JSON does not allow, and the characters outside ASCII. */
static void check_characters(struct bcda__scan *s, uint32_t base, uint64_t special)
{
    for (; special; special &= special - 1) {
        uint32_t at = base + (uint32_t)__builtin_ctzll(special);
        size_t n;

        if (at < s->character_end)
            continue; /* a later byte of a character */
        n = bcda__utf8_char_len(s->index.line + at, s->index.len - at);
        s->character_end = at + (uint32_t)n;
        if (!n)
            s->unsure = 1;
    }
}

/* Checks the special bytes of the block at `base`, without its first `done` bytes. `quotes` has a
 * bit for each quote in the block; those before the block end at `out`. Returns `quotes` without
 * the escaped ones and those in the first `done` bytes. Sets s->unsure if there is something wrong.
 */
static __attribute__((noinline)) uint64_t check_special(struct bcda__scan *s, const char *block,
                                                        uint32_t base, unsigned done,
                                                        uint64_t quotes, const uint32_t *out)
{
    uint64_t slash, special = block_special(block, &slash), todo = ~UINT64_C(0) << done, escaped;

    s->escaped_first <<= done;
    escaped = find_escaped(slash & todo, &s->escaped_first);
    quotes &= todo & ~escaped;
    check_escapes(s, base, escaped, quotes, (uint32_t)(out - s->index.quotes));
    check_characters(s, base, special & todo & ~slash);
    return quotes;
}

/* Writes the offsets of `count` quotes of one block, and up to QUOTES_AT_ONCE other numbers after
 * them. Returns the end of the offsets. */
static inline __attribute__((always_inline)) uint32_t *write_quotes(uint32_t *out, uint32_t base,
                                                                    uint64_t quotes, unsigned count)
{
    uint32_t *end = out + count;
    int i;

    do {
#pragma GCC unroll 5
        for (i = 0; i < QUOTES_AT_ONCE; i++) {
            out[i] = base + lowest_bit(quotes);
            quotes &= quotes - 1;
        }
        out += QUOTES_AT_ONCE;
    } while (__builtin_expect(out < end, 0));
    return end;
}

/* Scans the bytes from `at` on, which are less than a block. The block that ends with the line is
 * laid over the one before. A line that is shorter than a block is copied, so that no byte after it
 * is read. Returns the end of the quotes. */
static uint32_t *scan_rest(struct bcda__scan *s, uint32_t at, uint32_t *out)
{
    uint32_t len = s->index.len, base = len < SCAN_BLOCK ? 0 : len - SCAN_BLOCK;
    char copy[SCAN_BLOCK];
    const char *block = s->index.line + base;
    unsigned count;
    int special;
    uint64_t quotes;

    if (at == len)
        return out;
    if (len < SCAN_BLOCK) {
        memset(copy, ' ', sizeof copy);
        memcpy(copy, block, len);
        block = copy;
    }
    quotes = block_quotes(block, &count, &special);
    if (special || s->escaped_first)
        quotes = check_special(s, block, base, at - base, quotes, out);
    if (block == copy)
        bcda__wipe(copy, sizeof copy);
    quotes &= ~UINT64_C(0) << (at - base);
    for (; quotes; quotes &= quotes - 1)
        *out++ = base + lowest_bit(quotes);
    return out;
}

/* Prepares the first pass. Returns the last place at which the quotes of a block are written, so
 * that it and the sentinels have room after it. */
static uint32_t *begin_quotes(struct bcda__scan *s)
{
    s->pair_end = s->character_end = s->escaped_count = 0;
    s->escaped_first = 0;
    s->unsure = s->index.has_escapes = s->index.escaped_key = 0;
    s->index.quotes = s->memory;
    return s->index.quotes + s->room / sizeof *s->index.quotes - SCAN_BLOCK - SENTINELS;
}

static void end_quotes(struct bcda__scan *s, uint32_t *out)
{
    int i;

    s->index.quote_count = (uint32_t)(out - s->index.quotes);
    for (i = 0; i < SENTINELS; i++)
        *out++ = s->index.len;
    s->index.containers = (struct bcda__container *)(void *)out;
}

static HOT enum pass find_quotes(struct bcda__scan *s)
{
    const char *line = s->index.line;
    uint32_t *limit = begin_quotes(s), *out = s->index.quotes;
    uint32_t at, blocks_end = s->index.len / SCAN_BLOCK * SCAN_BLOCK;
    unsigned count;
    int special;

    for (at = 0; at < blocks_end && out <= limit; at += SCAN_BLOCK) {
        uint64_t quotes = block_quotes(line + at, &count, &special);

        if (__builtin_expect(special || s->escaped_first, 0)) {
            quotes = check_special(s, line + at, at, 0, quotes, out);
            if (s->unsure)
                return PASS_NOT_SURE;
            count = (unsigned)__builtin_popcountll(quotes);
        }
        out = write_quotes(out, at, quotes, count);
    }
    if (out > limit)
        return PASS_FULL;
    out = scan_rest(s, at, out);
    end_quotes(s, out);
    return s->unsure || s->index.quote_count % 2 ? PASS_NOT_SURE : PASS_OK;
}

/* ---- second pass: what stands between the strings ---- */

/* The state of the second pass. It is a local variable, and no function keeps its address, so that
 * the compiler holds it in registers. */
struct walk {
    const char *line;
    const uint32_t *quotes;
    struct bcda__container *containers;
    /* The next two are offsets and numbers of 32 bits. As size_t they need no conversion when they
     * are used as an index. */
    size_t at;    /* the offset of the next byte to check, unless it is that of the next quote */
    size_t quote; /* the number of the next quote */
    uint32_t count, cap; /* of the containers */
    uint32_t open;       /* the number of the innermost open container, or NO_CONTAINER */
    /* For each open container a bit: 1 = object; bit 0 is the innermost. Above them is a bit that
     * is always set. */
    uint64_t objects;
    uint64_t objects_limit; /* `objects` has this value or a larger one if no more may be opened */
};

/* What comes next in the line. */
enum next {
    NEXT_FAIL,    /* the line is not sure */
    NEXT_NAME,    /* the string at `quote`, which is the name of a member */
    NEXT_ELEMENT, /* an element of an array, at `at` */
    NEXT_END,     /* the end of the line, at `at` */
    NEXT_FULL,    /* there is no room for another container */
};

#define WORD3(a, b, c)       ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16)
#define WORD4(a, b, c, d)    (WORD3(a, b, c) | (uint64_t)(d) << 24)
#define WORD5(a, b, c, d, e) (WORD4(a, b, c, d) | (uint64_t)(e) << 32)
#define MASK(n)              ((UINT64_C(1) << 8 * (n)) - 1)
#define INLINE               static inline __attribute__((always_inline))

INLINE void open_container(struct walk *w, size_t at, unsigned is_object)
{
    struct bcda__container *c = &w->containers[w->count];

    c->start = (uint32_t)at;
    c->first_quote = (uint32_t)w->quote;
    c->next = w->open; /* the parent, until the container is closed */
    w->open = w->count++;
    w->objects = w->objects << 1 | is_object;
}

/* Returns NEXT_FAIL or NEXT_FULL if `levels` more containers cannot be opened, else NEXT_NAME. */
INLINE enum next check_room(const struct walk *w, unsigned levels)
{
    if (__builtin_expect(w->cap - w->count < levels, 0))
        return NEXT_FULL;
    return w->objects >= w->objects_limit >> (levels - 1) ? NEXT_FAIL : NEXT_NAME;
}

INLINE void close_container(struct walk *w)
{
    struct bcda__container *c = &w->containers[w->open];

    c->end = (uint32_t)w->at++;
    c->end_quote = (uint32_t)w->quote;
    w->open = c->next;
    c->next = w->count;
    w->objects >>= 1;
}

INLINE size_t skip_spaces(const char *line, size_t at)
{
    while (line[at] == ' ')
        at++;
    return at;
}

/* Returns the offset after the digits at `at`, or 0 if there is none. */
INLINE size_t skip_digits(const char *line, size_t at)
{
    size_t from = at;

    while (line[at] >= '0' && line[at] <= '9')
        at++;
    return at > from ? at : 0;
}

/* Returns the offset after the number at `at`, or 0 if it is invalid. */
static size_t skip_number(const char *line, size_t at)
{
    at += line[at] == '-';
    at = line[at] == '0' ? at + 1 : skip_digits(line, at);
    if (at && line[at] == '.')
        at = skip_digits(line, at + 1);
    if (at && (line[at] | 0x20) == 'e') {
        at++;
        at += line[at] == '+' || line[at] == '-';
        at = skip_digits(line, at);
    }
    return at;
}

/* Returns the offset after the number, true, false or null at `at`, or 0 if there is none. */
static size_t skip_scalar(const char *line, size_t at)
{
    uint64_t word;

    if (line[at] <= '9') /* no literal begins with such a byte */
        return skip_number(line, at);
    word = bcda__load_word(line + at);
    if ((word & MASK(4)) == WORD4('t', 'r', 'u', 'e') ||
        (word & MASK(4)) == WORD4('n', 'u', 'l', 'l'))
        return at + 4;
    if ((word & MASK(5)) == WORD5('f', 'a', 'l', 's', 'e'))
        return at + 5;
    return 0;
}

/* Goes to the name of a member, which must be at `at`, if necessary after spaces. */
INLINE enum next expect_name(struct walk *w)
{
    if (__builtin_expect(w->line[w->at] == '"', 1))
        return NEXT_NAME;
    w->at = skip_spaces(w->line, w->at);
    return w->line[w->at] == '"' ? NEXT_NAME : NEXT_FAIL;
}

/* Continues at `at` after a value. Closes the containers that end here. */
INLINE enum next after_value(struct walk *w)
{
    for (;;) {
        char c = w->line[w->at];

        if (c == ',') {
            w->at++;
            if (w->objects & 1)
                return expect_name(w);
            return NEXT_ELEMENT;
        }
        if (__builtin_expect(c == ' ', 0)) {
            w->at++;
            continue;
        }
        /* The two closing brackets differ in this one bit. */
        if (c != ((int)(w->objects & 1) * ('}' - ']') | ']'))
            return NEXT_FAIL;
        close_container(w);
        if (w->objects == 1)
            return NEXT_END;
    }
}

/* Enters the object or array at `at`. */
INLINE enum next enter_container(struct walk *w, unsigned is_object)
{
    enum next room = check_room(w, 1);

    if (room != NEXT_NAME)
        return room;
    open_container(w, w->at, is_object);
    w->at = skip_spaces(w->line, w->at + 1);
    if (w->line[w->at] == (is_object ? '}' : ']'))
        return after_value(w);
    return is_object ? expect_name(w) : NEXT_ELEMENT;
}

/* Reads the value at `at`, if necessary after spaces. */
INLINE enum next scan_value(struct walk *w)
{
    size_t at = skip_spaces(w->line, w->at);
    char c = w->line[at];

    w->at = at;
    if (c == '{')
        return enter_container(w, 1);
    if (c == '[')
        return enter_container(w, 0);
    if (c == '"') {
        w->at = w->quotes[w->quote + 1] + 1;
        w->quote += 2;
    } else {
        w->at = skip_scalar(w->line, at);
        if (!w->at)
            return NEXT_FAIL;
    }
    return after_value(w);
}

/* Reads the name at `quote` and the value after it. Nearly all members of FHIR resources have one
 * of the three forms that are compared first. */
INLINE enum next scan_member(struct walk *w)
{
    size_t at = w->quotes[w->quote + 1];
    uint64_t word = bcda__load_word(w->line + at);
    enum next room;

    w->quote += 2;
    if ((word & MASK(3)) == WORD3('"', ':', '"')) { /* "name":"value" */
        at = w->quotes[w->quote + 1];
        w->quote += 2;
        if ((bcda__load_word(w->line + at) & MASK(3)) == WORD3('"', ',', '"'))
            return NEXT_NAME;
        w->at = at + 1;
        return after_value(w);
    }
    if ((word & MASK(4)) == WORD4('"', ':', '{', '"')) { /* "name":{"name" */
        room = check_room(w, 1);
        if (room == NEXT_NAME)
            open_container(w, at + 2, 1);
        return room;
    }
    if ((word & MASK(5)) == WORD5('"', ':', '[', '{', '"')) { /* "name":[{"name" */
        room = check_room(w, 2);
        if (room == NEXT_NAME) {
            open_container(w, at + 2, 0);
            open_container(w, at + 3, 1);
        }
        return room;
    }
    w->at = skip_spaces(w->line, at + 1);
    if (w->line[w->at++] != ':')
        return NEXT_FAIL;
    return scan_value(w);
}

static int is_name(const struct bcda__index *index, uint32_t string)
{
    uint32_t end = index->quotes[2 * string + 1];

    return index->line[skip_spaces(index->line, end + 1)] == ':';
}

static int string_has_escape(const struct bcda__index *index, uint32_t string)
{
    const uint32_t *quotes = index->quotes + 2 * (size_t)string;

    return memchr(index->line + quotes[0], '\\', quotes[1] - quotes[0]) != NULL;
}

/* Returns 1 if a name of a member has an escape. */
static int has_escaped_key(const struct bcda__scan *s)
{
    const struct bcda__index *index = &s->index;
    uint32_t i;

    if (s->escaped_count > ESCAPED_MAX) { /* not all were noted */
        for (i = 0; i < index->quote_count / 2; i++)
            if (is_name(index, i) && string_has_escape(index, i))
                return 1;
        return 0;
    }
    for (i = 0; i < s->escaped_count; i++)
        if (is_name(index, s->escaped[i]))
            return 1;
    return 0;
}

static HOT enum next walk_line(struct bcda__scan *s)
{
    struct walk w = {
        .line = s->index.line,
        .quotes = s->index.quotes,
        .containers = s->index.containers,
        .cap = (uint32_t)(((char *)s->memory + s->room - (char *)s->index.containers) /
                          (ptrdiff_t)sizeof *s->index.containers),
        .open = NO_CONTAINER,
        .objects = 1,
        .objects_limit = UINT64_C(1) << s->depth_max,
    };
    enum next next = w.line[0] == '{' ? enter_container(&w, 1) : NEXT_FAIL;

    while (next == NEXT_NAME || next == NEXT_ELEMENT)
        next = next == NEXT_NAME ? scan_member(&w) : scan_value(&w);
    s->index.container_count = w.count;
    return next == NEXT_END && w.at != s->index.len ? NEXT_FAIL : next;
}

static enum pass check_grammar(struct bcda__scan *s)
{
    enum next next = walk_line(s);

    if (next != NEXT_END)
        return next == NEXT_FULL ? PASS_FULL : PASS_NOT_SURE;
    s->index.escaped_key = has_escaped_key(s);
    return PASS_OK;
}

/* ---- entry points ---- */

int bcda__scan_new(struct bcda__scan **out, int max_depth)
{
    struct bcda__scan *s = bcda__calloc(1, sizeof *s);

    if (!s)
        return BCDA_ERR_NOMEM;
    s->depth_max = max_depth < BCDA__SCAN_DEPTH_MAX ? max_depth : BCDA__SCAN_DEPTH_MAX;
    *out = s;
    return 0;
}

/* Makes the index of the current line. */
static enum pass scan_index(struct bcda__scan *s, size_t limit)
{
    enum pass pass;

    s->room = s->size < limit ? s->size : limit;
    pass = find_quotes(s);
    return pass == PASS_OK ? check_grammar(s) : pass;
}

static inline int is_white_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

int bcda__scan_line(struct bcda__scan *s, const char *line, size_t len,
                    const struct bcda__index **index)
{
    enum pass pass = PASS_FULL;
    size_t limit;
    int rc = 0;

    while (len && is_white_space(line[len - 1]))
        len--;
    if (!len || len > INT32_MAX)
        return BCDA__SCAN_NOT_SURE;
    s->index.line = line;
    s->index.len = (uint32_t)len;
    limit = index_limit(s->index.len);
    if (s->memory)
        pass = scan_index(s, limit);
    while (pass == PASS_FULL && !rc) {
        rc = grow_index(s, limit);
        if (!rc)
            pass = scan_index(s, limit);
    }
    *index = &s->index;
    if (rc)
        return rc;
    return pass == PASS_OK ? BCDA__SCAN_SURE : BCDA__SCAN_NOT_SURE;
}

void bcda__scan_trim(struct bcda__scan *s, size_t keep)
{
    if (s->size <= keep)
        return;
    bcda__free(s->memory);
    s->memory = NULL;
    s->size = 0;
}

void bcda__scan_free(struct bcda__scan *s)
{
    if (s)
        bcda__free(s->memory);
    bcda__free(s);
}
