#include "codec/json.h"

#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/fields.h"
#include "codec/utf8.h"

/* ---- the arena that yajl allocates from ---- */

/* The header of every block. Its size is a multiple of 16, so the memory after it is aligned for
 * any type. */
struct block {
    struct block *prev, *next; /* links in the list of large blocks */
    size_t size;
    size_t large; /* 0 = the block is in arena.first; else its allocated size */
};

enum {
    ARENA_FIRST = 16 * 1024, /* enough for a parser and its first buffers */
    DOCUMENT_BUDGET = 4 * 1024 * 1024,
    GATHER = 4 * 1024, /* a document is passed to yajl in pieces of at least this length */
    /* The budget for a line if no fields are requested. It is enough for the longest member that is
     * allowed, and for the copies that yajl makes of it when it doubles its buffers. LEVEL_BUDGET
     * is for yajl's stack, which has a byte for each level. */
    LINE_BUDGET = 32 * 1024,
    LEVEL_BUDGET = 4,
};

struct arena {
    char *first;
    size_t used;
    struct block large; /* list head */
    size_t live;        /* the total size of the large blocks */
    size_t budget;      /* the maximum of `live`; SIZE_MAX = the caller limits the input */
    jmp_buf *escape;    /* the target of arena_fail() */
    int code;           /* set by arena_fail() */
};

static void *arena_fail(struct arena *a, int code)
{
    a->code = code;
    longjmp(*a->escape, 1);
}

static void *arena_alloc(void *ctx, size_t size)
{
    struct arena *a = ctx;
    struct block *b;
    size_t whole;

    if (size > SIZE_MAX / 2)
        return arena_fail(a, BCDA_ERR_NOMEM);
    whole = sizeof *b + (size + 15) / 16 * 16;
    if (whole <= ARENA_FIRST - a->used) {
        b = (struct block *)(void *)(a->first + a->used);
        a->used += whole;
        b->large = 0;
    } else {
        if (whole > a->budget - a->live)
            return arena_fail(a, BCDA_ERR_BODY_TOO_LARGE);
        b = bcda__alloc(whole);
        if (!b)
            return arena_fail(a, BCDA_ERR_NOMEM);
        a->live += whole;
        b->large = whole;
        b->prev = &a->large;
        b->next = a->large.next;
        a->large.next->prev = b;
        a->large.next = b;
    }
    b->size = size;
    return b + 1;
}

static void field_arena_free(void *ctx, void *ptr)
{
    struct arena *a = ctx;
    struct block *b;

    if (!ptr)
        return;
    b = (struct block *)ptr - 1;
    if (!b->large)
        return; /* the block is freed with the arena */
    b->prev->next = b->next;
    b->next->prev = b->prev;
    a->live -= b->large;
    bcda__wipe(b + 1, b->size); /* may contain patient data */
    bcda__free(b);
}

static void *arena_realloc(void *ctx, void *ptr, size_t size)
{
    void *grown;
    size_t old;

    if (!ptr)
        return arena_alloc(ctx, size);
    old = ((struct block *)ptr - 1)->size;
    if (size <= old)
        return ptr;
    grown = arena_alloc(ctx, size);
    memcpy(grown, ptr, old);
    field_arena_free(ctx, ptr);
    return grown;
}

static int arena_init(struct arena *a, size_t budget)
{
    memset(a, 0, sizeof *a);
    a->first = bcda__alloc(ARENA_FIRST);
    if (!a->first)
        return BCDA_ERR_NOMEM;
    a->large.next = a->large.prev = &a->large;
    a->budget = budget;
    return 0;
}

/* Frees everything that yajl has allocated, including its handle. */
static void arena_reset(struct arena *a)
{
    while (a->large.next && a->large.next != &a->large)
        field_arena_free(a, a->large.next + 1);
    a->used = 0;
}

static void arena_destroy(struct arena *a)
{
    arena_reset(a);
    if (a->first)
        bcda__wipe(a->first, ARENA_FIRST);
    bcda__free(a->first);
}

static yajl_alloc_funcs arena_funcs(struct arena *a)
{
    yajl_alloc_funcs f = {arena_alloc, arena_realloc, field_arena_free, a};

    return f;
}

/* ---- checks that yajl does not make ---- */

/* Returns the offset of the first vertical tab or form feed, or `len`. yajl accepts both as white
 * space. JSON does not allow them anywhere. */
static size_t find_wrong_space(const char *text, size_t len)
{
    const char *tab = memchr(text, '\v', len), *feed;

    len = tab ? (size_t)(tab - text) : len;
    feed = memchr(text, '\f', len);
    return feed ? (size_t)(feed - text) : len;
}

/* 'h' if `text` begins with an escaped high surrogate, 'l' for a low one, else 0. */
static int surrogate_half(const char *text, size_t len)
{
    uint8_t unit[2];
    size_t size;

    if (len < 6 || text[0] != '\\' || text[1] != 'u' ||
        bcda__text_hex_decode(text + 2, 4, unit, sizeof unit, &size) || unit[0] >> 3 != 0xD8 >> 3)
        return 0;
    return unit[0] & 4 ? 'l' : 'h';
}

/* Returns the offset of the first escaped surrogate that is not part of a pair, or `len`. Such a
 * surrogate cannot be written in UTF-8. yajl accepts it and replaces it with other text. */
static size_t find_lone_surrogate(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len) {
        const char *p = memchr(text + i, '\\', len - i);
        int half;

        if (!p)
            return len;
        i = (size_t)(p - text);
        half = surrogate_half(p, len - i);
        if (half == 'l' || (half == 'h' && surrogate_half(p + 6, len - i - 6) != 'l'))
            return i;
        i += half ? 12 : 2;
    }
    return len;
}

/* ---- documents ---- */

/* A document is parsed in pieces. With each piece, yajl would read an incomplete token again from
 * its start. To avoid this, the input is collected until there are a few KiB, and only complete
 * tokens are then passed to yajl. */
struct bcda__json {
    struct arena arena;
    yajl_alloc_funcs funcs;
    yajl_handle yajl;
    bcda__json_cb cb;
    void *ctx;
    int depth;
    int max_depth;
    int ended;      /* the top value is complete */
    int first_only; /* bytes after the top value are ignored */
    int code;       /* the first error; later calls return it */

    struct bcda__buf kept; /* input that was not passed to yajl yet; may contain secrets */
    size_t seen;           /* bytes of `kept` that were searched for tokens */
    size_t whole;          /* the end of the last complete token in `kept` */
    int quoted, escaped;   /* at `seen`: whether a string is open; whether a backslash precedes */
};

static int emit_event(struct bcda__json *j, enum bcda__json_event event, const void *text,
                      size_t len)
{
    if (text && bcda__utf8_check(text, len) != len)
        j->code = BCDA_ERR_NOT_JSON;
    else
        j->code = j->cb(j->ctx, event, j->depth, text, len);
    if (j->depth == 0)
        j->ended = 1;
    return j->code == 0;
}

static int open_level(struct bcda__json *j, enum bcda__json_event event)
{
    int ok;

    if (j->depth >= j->max_depth) {
        j->code = BCDA_ERR_NOT_JSON;
        return 0;
    }
    ok = emit_event(j, event, NULL, 0);
    j->ended = 0;
    j->depth++;
    return ok;
}

static int close_level(struct bcda__json *j, enum bcda__json_event event)
{
    j->depth--;
    return emit_event(j, event, NULL, 0);
}

static int on_null(void *ctx)
{
    return emit_event(ctx, BCDA__JSON_NULL, NULL, 0);
}

static int on_boolean(void *ctx, int value)
{
    return emit_event(ctx, value ? BCDA__JSON_TRUE : BCDA__JSON_FALSE, NULL, 0);
}

static int on_number(void *ctx, const char *text, size_t len)
{
    return emit_event(ctx, BCDA__JSON_NUMBER, text, len);
}

static int json_on_string(void *ctx, const unsigned char *text, size_t len)
{
    return emit_event(ctx, BCDA__JSON_STRING, len ? (const char *)text : "", len);
}

static int json_on_key(void *ctx, const unsigned char *text, size_t len)
{
    return emit_event(ctx, BCDA__JSON_KEY, len ? (const char *)text : "", len);
}

static int on_object(void *ctx)
{
    return open_level(ctx, BCDA__JSON_OBJECT);
}

static int on_object_end(void *ctx)
{
    return close_level(ctx, BCDA__JSON_OBJECT_END);
}

static int on_array(void *ctx)
{
    return open_level(ctx, BCDA__JSON_ARRAY);
}

static int on_array_end(void *ctx)
{
    return close_level(ctx, BCDA__JSON_ARRAY_END);
}

static const yajl_callbacks document_callbacks = {
    on_null,   on_boolean,  NULL,          NULL,     on_number,    json_on_string,
    on_object, json_on_key, on_object_end, on_array, on_array_end,
};

/* When an allocation fails, arena_fail() jumps back to this function. All stack frames between it
 * and the allocation are yajl's, so longjmp() skips no cleanup of this library. */
static int guarded_start(struct bcda__json *j)
{
    jmp_buf escape;

    j->arena.escape = &escape;
    if (setjmp(escape))
        return j->arena.code;
    j->yajl = yajl_alloc(&document_callbacks, &j->funcs, j);
    /* The bytes after the top value are left to check_rest(), because yajl would accept the start
     * of a token there. */
    yajl_config(j->yajl, yajl_allow_trailing_garbage, 1);
    return 0;
}

static int guarded_parse(struct bcda__json *j, const void *data, size_t len, int end)
{
    jmp_buf escape;
    yajl_status status;

    j->arena.escape = &escape;
    if (setjmp(escape))
        return j->arena.code;
    status = end ? yajl_complete_parse(j->yajl) : yajl_parse(j->yajl, data, len);
    if (j->code)
        return j->code;
    return status == yajl_status_ok ? 0 : BCDA_ERR_NOT_JSON;
}

/* Checks the bytes after the top value. */
static int check_rest(const struct bcda__json *j, const char *rest, size_t len)
{
    size_t i;

    if (j->first_only)
        return 0;
    for (i = 0; i < len; i++)
        if (!memchr(" \t\r\n", rest[i], 4))
            return BCDA_ERR_NOT_JSON;
    return 0;
}

/* Takes one byte of a string. `size` is the number of bytes of the string before it, including the
 * opening quote. */
static int pass_quoted(struct bcda__json *j, char c, size_t size)
{
    if (c == '"' && !j->escaped) {
        j->quoted = 0;
        j->whole += size + 1;
        return 0;
    }
    j->escaped = c == '\\' && !j->escaped;
    return size > BCDA__JSON_STRING_MAX ? BCDA_ERR_BODY_TOO_LARGE : 0;
}

/* Finds the end of the last complete token. Returns an error code if the incomplete token after it
 * exceeds its limit. */
static int find_tokens(struct bcda__json *j)
{
    int rc = 0;

    for (; j->seen < j->kept.len && !rc; j->seen++) {
        char c = j->kept.data[j->seen];
        size_t size = j->seen - j->whole;

        if (j->quoted)
            rc = pass_quoted(j, c, size);
        else if (c == '"')
            j->quoted = 1;
        else if (memchr("{}[]:, \t\r\n", c, 10))
            j->whole += size + 1;
        else if (size >= BCDA__JSON_NUMBER_MAX)
            rc = BCDA_ERR_NOT_JSON;
    }
    return rc;
}

static void drop_kept(struct bcda__json *j, size_t len)
{
    if (!len)
        return;
    memmove(j->kept.data, j->kept.data + len, j->kept.len - len);
    j->kept.len -= len;
    j->seen -= len;
    j->whole = 0;
}

/* Passes the complete tokens of `kept` to yajl, or all of `kept` if `last` is set. */
static int read_kept(struct bcda__json *j, int last)
{
    const char *text = j->kept.data;
    int over = find_tokens(j);
    size_t len = last && !over ? j->kept.len : j->whole;
    size_t good = find_lone_surrogate(text, find_wrong_space(text, len));
    int rc = good ? guarded_parse(j, text, good, 0) : 0;

    if (rc)
        return rc;
    if (j->ended) {
        good = yajl_get_bytes_consumed(j->yajl);
        return check_rest(j, text + good, j->kept.len - good);
    }
    if (over || good < len)
        return over ? over : BCDA_ERR_NOT_JSON;
    drop_kept(j, len);
    return 0;
}

int bcda__json_new(struct bcda__json **out, int max_depth, bcda__json_cb cb, void *ctx)
{
    struct bcda__json *j = bcda__calloc(1, sizeof *j);
    int rc;

    if (!j)
        return BCDA_ERR_NOMEM;
    rc = arena_init(&j->arena, DOCUMENT_BUDGET);
    if (rc)
        goto fail;
    j->funcs = arena_funcs(&j->arena);
    j->cb = cb;
    j->ctx = ctx;
    j->max_depth = max_depth;
    bcda__buf_init(&j->kept, BCDA__JSON_STRING_MAX + 3 * GATHER);
    rc = guarded_start(j);
    if (rc)
        goto fail;
    *out = j;
    return 0;
fail:
    bcda__json_free(j);
    return rc;
}

int bcda__json_write(struct bcda__json *j, const void *data, size_t len)
{
    const char *p = data;

    while (!j->code && !j->ended && len) {
        size_t n = len < GATHER ? len : GATHER;

        j->code = bcda__buf_add(&j->kept, p, n);
        if (!j->code && j->kept.len >= GATHER)
            j->code = read_kept(j, 0);
        p += n;
        len -= n;
    }
    if (!j->code && len)
        j->code = check_rest(j, p, len);
    return j->code;
}

int bcda__json_finish(struct bcda__json *j)
{
    if (!j->code && !j->ended && j->kept.len)
        j->code = read_kept(j, 1);
    if (!j->code && !j->ended)
        j->code = guarded_parse(j, NULL, 0, 1);
    if (!j->code && !j->ended)
        j->code = BCDA_ERR_NOT_JSON;
    return j->code;
}

int bcda__json_has_ended(const struct bcda__json *j)
{
    return j->ended;
}

void bcda__json_free(struct bcda__json *j)
{
    if (!j)
        return;
    arena_destroy(&j->arena); /* frees yajl's handle, too */
    bcda__buf_free_secret(&j->kept);
    bcda__free(j);
}

static int parse_document(const void *data, size_t len, int max_depth, int first_only,
                          bcda__json_cb cb, void *ctx)
{
    struct bcda__json *j;
    int rc = bcda__json_new(&j, max_depth, cb, ctx);

    if (rc)
        return rc;
    j->first_only = first_only;
    rc = bcda__json_write(j, data, len);
    if (!rc)
        rc = bcda__json_finish(j);
    bcda__json_free(j);
    return rc;
}

int bcda__json_parse(const void *data, size_t len, int max_depth, bcda__json_cb cb, void *ctx)
{
    return parse_document(data, len, max_depth, 0, cb, ctx);
}

int bcda__json_parse_first(const void *data, size_t len, int max_depth, bcda__json_cb cb, void *ctx)
{
    return parse_document(data, len, max_depth, 1, cb, ctx);
}

int bcda__json_add_string(struct bcda__buf *to, const char *text)
{
    const unsigned char *p;
    int rc = bcda__buf_adds(to, "\"");

    for (p = (const unsigned char *)text; *p && !rc; p++) {
        if (*p == '"' || *p == '\\')
            rc = bcda__buf_addf(to, "\\%c", *p);
        else if (*p < 0x20)
            rc = bcda__buf_addf(to, "\\u%04x", *p);
        else
            rc = bcda__buf_add(to, p, 1);
    }
    return rc ? rc : bcda__buf_adds(to, "\"");
}

/* ---- one line ---- */

/* The object that is being read: TOP is the top object, WITHIN the value of its member `resource`,
 * and TOP_META and WITHIN_META the values of their members `meta`. */
enum place { ELSEWHERE, TOP, TOP_META, WITHIN, WITHIN_META };
/* The meaning of the next value. TYPE and the constants after it want the value only if it is a
 * string. */
enum wanted { NOTHING, META, RESOURCE, TYPE, ID, LAST_UPDATED, FULL_URL };

/* The state of matching the paths of the fields: one frame for each open object or array. `keys`
 * and `values` are sets of fields, one bit each. */
struct frame {
    uint64_t keys;   /* the fields that may match a key of this object */
    uint64_t values; /* the fields whose components match down to the next value */
    int level;       /* the number of components matched before this object or array */
    int is_array;
};

/* The members that were found in a resource. */
struct found {
    struct bcda__span type, id, last_updated;
};

struct bcda__json_line {
    struct arena arena;
    yajl_alloc_funcs funcs;
    yajl_callbacks callbacks;
    yajl_handle yajl;
    int max_depth;
    const struct bcda__field_set *fields; /* NULL = none are requested */

    /* The state of the current line: */
    const char *line;
    size_t len;
    int depth;
    int code; /* 0, BCDA_ERR_LINE_* or BCDA_ERR_NOMEM */
    int over; /* 1 = yajl has read the whole line */
    /* the offset after the top object or array; 0 = it has not ended, or there is none */
    size_t end;
    enum place place;
    enum wanted wanted;
    unsigned char *places; /* for each depth: `place` of the enclosing object */
    struct frame *frames;  /* used only with fields */
    struct found found[2]; /* [0] = in the top object, [1] = in the value of `resource` */
    struct bcda__span resource, full_url;
    int within;         /* 1 = inside the value of `resource` */
    uint32_t resources; /* the number of members `resource` so far; only the last one is used */

    /* The values of the fields. Their `group` is the number of the member `resource` that they are
     * in, from 1; 0 = none. */
    struct bcda__values values;
};

static int line_fail(struct bcda__json_line *s, int code)
{
    s->code = code;
    return 0;
}

/* Sets *out to a text of yajl. If the text is not in the line, because yajl has unescaped it, it is
 * first copied to the side buffer. */
static int take_span(struct bcda__json_line *s, const void *text, size_t len,
                     struct bcda__span *out)
{
    uintptr_t at = (uintptr_t)text, line = (uintptr_t)s->line;
    int rc;

    out->len = len;
    out->copy = !(at >= line && at - line <= s->len);
    if (!out->copy) {
        out->at = (size_t)(at - line);
        return 1;
    }
    rc = bcda__values_add_text(&s->values, text, len, s->len, &out->at);
    return rc ? line_fail(s, rc) : 1;
}

static int add_value(struct bcda__json_line *s, int field, const struct bcda__span *span)
{
    int rc = bcda__values_add(&s->values, field, span, s->within ? s->resources : 0);

    return rc ? line_fail(s, rc) : 1;
}

/* Returns the field, as a bit, to which a scalar at this place belongs: the field whose path ends
 * here. All paths are different, so there is at most one. Returns 0 if there is none. */
static uint64_t field_hit(const struct bcda__json_line *s)
{
    const struct frame *f = &s->frames[s->depth];

    return f->values & ~s->fields->longer[f->level + 1];
}

static int take_value(struct bcda__json_line *s, uint64_t hit, const struct bcda__span *span)
{
    return !hit || add_value(s, __builtin_ctzll(hit), span);
}

static void field_open(struct bcda__json_line *s, int is_array)
{
    const struct frame *f = &s->frames[s->depth];
    struct frame *child = &s->frames[s->depth + 1];

    memset(child, 0, sizeof *child);
    child->is_array = is_array;
    if (is_array) {
        child->values = f->values;
        child->level = f->level;
    } else if (s->depth == 0 || (s->place == TOP && s->wanted == RESOURCE)) {
        child->keys = s->fields->longer[0]; /* paths start at a resource */
    } else if (f->level + 1 < BCDA__FIELD_DEPTH_MAX) {
        child->keys = f->values & s->fields->longer[f->level + 1];
        child->level = f->level + 1;
    }
}

static void field_key(struct bcda__json_line *s, const char *text, size_t len)
{
    struct frame *f = &s->frames[s->depth];
    uint64_t left = f->keys;

    f->values = 0;
    while (left) {
        int field = __builtin_ctzll(left);
        const char *want = s->fields->fields[field].component[f->level];

        if (strlen(want) == len && memcmp(want, text, len) == 0)
            f->values |= UINT64_C(1) << field;
        left &= left - 1;
    }
}

static int is_text(const unsigned char *text, size_t len, const char *want, size_t want_len)
{
    return len == want_len && memcmp(text, want, want_len) == 0;
}

/* If there is a callback for a string or a name, yajl copies each one that has escapes to a buffer.
 * The memory of a line would then depend on its longest string, which need not be a wanted one.
 * yajl reads the table of callbacks again for each value, so this file changes the table during
 * parsing: without fields, the callback for strings is set only when a string is wanted, and the
 * callback for names only in the objects that can have wanted members. */
static int line_string(void *ctx, const unsigned char *text, size_t len);
static int line_key(void *ctx, const unsigned char *text, size_t len);

static void add_wanted(struct bcda__json_line *s, enum wanted wanted)
{
    s->wanted = wanted;
    s->callbacks.yajl_string = wanted < TYPE && !s->fields ? NULL : line_string;
}

static void set_place(struct bcda__json_line *s, enum place place)
{
    s->place = place;
    s->callbacks.yajl_map_key = place == ELSEWHERE && !s->fields ? NULL : line_key;
    add_wanted(s, NOTHING);
}

#define IS(want) is_text(text, len, want, sizeof(want) - 1)

static enum wanted key_of(enum place place, const unsigned char *text, size_t len)
{
    if (place == TOP_META || place == WITHIN_META)
        return IS("lastUpdated") ? LAST_UPDATED : NOTHING;
    if (IS("resourceType"))
        return TYPE;
    if (IS("id"))
        return ID;
    if (IS("meta"))
        return META;
    if (place == TOP && IS("resource"))
        return RESOURCE;
    if (place == TOP && IS("fullUrl"))
        return FULL_URL;
    return NOTHING;
}

static int line_key(void *ctx, const unsigned char *text, size_t len)
{
    struct bcda__json_line *s = ctx;

    if (s->place != ELSEWHERE) {
        if (len > BCDA__MEMBER_MAX)
            return line_fail(s, BCDA_ERR_LINE_TOO_LONG);
        add_wanted(s, key_of(s->place, text, len));
    }
    if (s->wanted == RESOURCE) { /* replaces an earlier `resource`, whatever this one's value is */
        s->resources++;
        memset(&s->resource, 0, sizeof s->resource);
        memset(&s->found[1], 0, sizeof s->found[1]);
    }
    if (s->fields)
        field_key(s, (const char *)text, len);
    return 1;
}

static int line_string(void *ctx, const unsigned char *text, size_t len)
{
    struct bcda__json_line *s = ctx;
    uint64_t hit = s->fields ? field_hit(s) : 0;
    enum wanted wanted = s->wanted;
    struct found *found = &s->found[s->within];
    struct bcda__span span;

    add_wanted(s, NOTHING);
    if (wanted < TYPE && !hit)
        return 1;
    if (wanted >= TYPE && len > BCDA__MEMBER_MAX)
        return line_fail(s, BCDA_ERR_LINE_TOO_LONG);
    if (!take_span(s, text, len, &span) || !take_value(s, hit, &span))
        return 0;
    if (wanted == TYPE)
        found->type = span;
    else if (wanted == ID)
        found->id = span;
    else if (wanted == LAST_UPDATED)
        found->last_updated = span;
    else if (wanted == FULL_URL)
        s->full_url = span;
    return 1;
}

/* Receives a number, or a boolean from line_boolean(). yajl calls this function only if fields are
 * requested. */
static int line_number(void *ctx, const char *text, size_t len)
{
    struct bcda__json_line *s = ctx;
    uint64_t hit = field_hit(s);
    struct bcda__span span;

    s->wanted = NOTHING;
    return !hit || (take_span(s, text, len, &span) && take_value(s, hit, &span));
}

static int line_boolean(void *ctx, int value)
{
    return line_number(ctx, value ? "true" : "false", value ? 4 : 5);
}

static enum place child_place(const struct bcda__json_line *s)
{
    if (s->depth == 0)
        return TOP;
    if (s->wanted == META)
        return s->place == TOP ? TOP_META : WITHIN_META;
    if (s->wanted == RESOURCE)
        return WITHIN;
    return ELSEWHERE;
}

static __attribute__((noinline)) int close_top(struct bcda__json_line *s)
{
    s->end = yajl_get_bytes_consumed(s->yajl);
    return 1;
}

static int close_value(struct bcda__json_line *s)
{
    s->depth--;
    set_place(s, (enum place)s->places[s->depth]);
    return s->depth > 0 ? 1 : close_top(s);
}

static int open_value(struct bcda__json_line *s, enum place place)
{
    s->places[s->depth] = (unsigned char)s->place;
    s->depth++;
    set_place(s, place);
    return 1;
}

static int line_object(void *ctx)
{
    struct bcda__json_line *s = ctx;
    enum place place = child_place(s);

    if (s->depth >= s->max_depth)
        return line_fail(s, BCDA_ERR_LINE_DEPTH);
    if (s->fields)
        field_open(s, 0);
    if (place == WITHIN) {
        s->within = 1;
        /* The bytes consumed include the opening brace. */
        s->resource.at = yajl_get_bytes_consumed(s->yajl) - 1;
    }
    return open_value(s, place);
}

static int line_object_end(void *ctx)
{
    struct bcda__json_line *s = ctx;

    if (s->place == WITHIN) {
        s->within = 0;
        s->resource.len = yajl_get_bytes_consumed(s->yajl) - s->resource.at;
    }
    return close_value(s);
}

static int line_array(void *ctx)
{
    struct bcda__json_line *s = ctx;

    if (s->depth >= s->max_depth)
        return line_fail(s, BCDA_ERR_LINE_DEPTH);
    if (s->fields)
        field_open(s, 1);
    return open_value(s, ELSEWHERE);
}

static int line_array_end(void *ctx)
{
    return close_value(ctx);
}

/* Sets the callbacks that do not change during parsing. */
static void set_line_callbacks(struct bcda__json_line *s)
{
    s->callbacks.yajl_start_map = line_object;
    s->callbacks.yajl_end_map = line_object_end;
    s->callbacks.yajl_start_array = line_array;
    s->callbacks.yajl_end_array = line_array_end;
    if (s->fields) { /* without fields, yajl need not report numbers and booleans */
        s->callbacks.yajl_number = line_number;
        s->callbacks.yajl_boolean = line_boolean;
    }
}

int bcda__json_line_new(struct bcda__json_line **out, int max_depth,
                        const struct bcda__field_set *fields)
{
    struct bcda__json_line *s = bcda__calloc(1, sizeof *s);

    if (!s)
        return BCDA_ERR_NOMEM;
    s->max_depth = max_depth;
    s->fields = bcda__field_set_count(fields) ? fields : NULL;
    /* With fields, a value may be as long as the line. No budget is needed then, because the length
     * of the line is limited. */
    if (arena_init(&s->arena,
                   s->fields ? SIZE_MAX : LINE_BUDGET + LEVEL_BUDGET * (size_t)max_depth))
        goto fail;
    s->funcs = arena_funcs(&s->arena);
    set_line_callbacks(s);
    s->places = bcda__alloc((size_t)max_depth + 2);
    s->frames = bcda__calloc((size_t)max_depth + 2, sizeof *s->frames);
    if (!s->places || !s->frames)
        goto fail;
    *out = s;
    return 0;
fail:
    bcda__json_line_free(s);
    return BCDA_ERR_NOMEM;
}

void bcda__json_line_free(struct bcda__json_line *s)
{
    if (!s)
        return;
    arena_destroy(&s->arena);
    bcda__free(s->places);
    bcda__free(s->frames);
    bcda__values_free(&s->values);
    bcda__free(s);
}

void bcda__json_line_trim(struct bcda__json_line *s, size_t keep)
{
    bcda__values_trim(&s->values, keep);
}

static void begin_line(struct bcda__json_line *s, const char *line, size_t len)
{
    s->line = line;
    s->len = len;
    s->depth = s->code = s->over = s->within = 0;
    s->resources = 0;
    s->end = 0;
    set_place(s, ELSEWHERE);
    memset(s->found, 0, sizeof s->found);
    memset(&s->resource, 0, sizeof s->resource);
    memset(&s->full_url, 0, sizeof s->full_url);
    bcda__values_clear(&s->values);
    if (s->fields)
        memset(&s->frames[0], 0, sizeof s->frames[0]);
}

/* Chooses the error code after yajl has exceeded the budget of a line. The cause is either a member
 * that exceeds its limit, or a token that is incomplete at the end of the line. */
static void judge_budget(struct bcda__json_line *s, size_t *consumed)
{
    *consumed = s->over ? s->len : yajl_get_bytes_consumed(s->yajl);
    s->code = *consumed == s->len ? BCDA_ERR_LINE_JSON : BCDA_ERR_LINE_TOO_LONG;
}

static void guarded_line(struct bcda__json_line *s, size_t *consumed)
{
    jmp_buf escape;

    s->arena.escape = &escape;
    if (setjmp(escape)) {
        s->code = s->arena.code;
        if (s->code == BCDA_ERR_BODY_TOO_LARGE)
            judge_budget(s, consumed);
        return;
    }
    s->yajl = yajl_alloc(&s->callbacks, &s->funcs, s);
    yajl_config(s->yajl, yajl_dont_validate_strings, 1); /* bcda__utf8_scan() is stricter */
    if (yajl_parse(s->yajl, (const unsigned char *)s->line, s->len) != yajl_status_ok) {
        s->code = s->code ? s->code : BCDA_ERR_LINE_JSON;
        *consumed = yajl_get_bytes_consumed(s->yajl);
        if (*consumed == s->len)
            --*consumed; /* the last byte is wrong; `len` would mean an incomplete line */
        return;
    }
    s->over = 1;
    if (yajl_complete_parse(s->yajl) != yajl_status_ok) {
        s->code = BCDA_ERR_LINE_JSON;
        *consumed = s->end ? s->end : s->len;
    }
}

/* Returns the offset of a string that begins after a scalar, or `len` if there is none. yajl
 * accepts the start of such a string. */
static size_t find_second_string(const char *line, size_t len)
{
    const char *p;
    size_t i = 0;

    while (i < len && memchr(" \t\r", line[i], 3))
        i++;
    if (i < len && line[i] == '"') { /* the scalar is a string, which yajl has checked */
        for (i++; line[i] != '"'; i++)
            i += line[i] == '\\';
        i++;
    }
    p = memchr(line + i, '"', len - i);
    return p ? (size_t)(p - line) : len;
}

/* Finds errors that yajl accepts: an incomplete token after the value, vertical tabs and form feeds
 * as white space, and surrogates that are not in a pair. */
static void check_laxity(struct bcda__json_line *s, int special, size_t *bad_at)
{
    size_t at = special ? find_wrong_space(s->line, s->len) : s->len;
    size_t i = s->end;

    if (!i && at == s->len)
        at = i = find_second_string(s->line, s->len);
    for (; i < s->len && at == s->len; i++)
        at = memchr(" \t\r", s->line[i], 3) ? s->len : i;
    if (at < s->len) {
        s->code = BCDA_ERR_LINE_JSON;
        *bad_at = at;
        return;
    }
    at = special ? find_lone_surrogate(s->line, s->len) : s->len;
    if (at < s->len) {
        s->code = BCDA_ERR_LINE_UTF8;
        *bad_at = at;
    }
}

static void judge_line(struct bcda__json_line *s, struct bcda__line_info *info)
{
    /* An envelope always has `resource` and no resourceType (bcda-api 6.5). */
    int within = !s->found[0].type.len && s->resource.len;
    const struct found *found = &s->found[within];

    if (!found->type.len) {
        info->code = BCDA_ERR_LINE_TYPE;
        info->bad_at = 0;
        return;
    }
    info->resource.len = s->len;
    if (within) {
        info->resource = s->resource;
        info->full_url = s->full_url;
    }
    info->type = found->type;
    info->id = found->id;
    info->last_updated = found->last_updated;
    bcda__values_keep(&s->values, within ? s->resources : 0);
    bcda__values_report(&s->values, info);
}

int bcda__json_line_read(struct bcda__json_line *s, const char *line, size_t len,
                         struct bcda__line_info *info)
{
    int special;

    memset(info, 0, sizeof *info);
    begin_line(s, line, len);
    info->bad_at = bcda__utf8_scan(line, len, &special);
    if (info->bad_at != len) {
        info->code = BCDA_ERR_LINE_UTF8;
        return 0;
    }
    guarded_line(s, &info->bad_at);
    arena_reset(&s->arena);
    if (!s->code)
        check_laxity(s, special, &info->bad_at);
    if (s->code == BCDA_ERR_NOMEM)
        return BCDA_ERR_NOMEM;
    info->code = s->code;
    if (!info->code)
        judge_line(s, info);
    return 0;
}
