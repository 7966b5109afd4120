/* Compares the most memory that a file's decoder allocates with the formula in the guide. The
 * linker replaces the library's allocator with the functions below, which count the bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bcda/error.h"
#include "codec/decoder.h"
#include "codec/json.h"
#include "helper.h"
#include "sample.h"
#include "suite.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

/* ---- the allocator that counts ---- */

static size_t live, peak;

union head {
    size_t size;
    max_align_t align;
};

void *__wrap_bcda__alloc(size_t size);
void *__wrap_bcda__calloc(size_t count, size_t size);
void *__wrap_bcda__realloc(void *ptr, size_t size);
void __wrap_bcda__free(void *ptr);

void *__wrap_bcda__calloc(size_t count, size_t size)
{
    union head *h = calloc(1, sizeof *h + count * size);

    if (!h)
        abort();
    h->size = count * size;
    live += h->size;
    peak = live > peak ? live : peak;
    return h + 1;
}

void *__wrap_bcda__alloc(size_t size)
{
    return __wrap_bcda__calloc(1, size);
}

void __wrap_bcda__free(void *ptr)
{
    if (!ptr)
        return;
    live -= ((union head *)ptr - 1)->size;
    free((union head *)ptr - 1);
}

/* realloc() as an allocation, a copy and a free: the peak includes the old and the new block, since
 * both exist during the copy. */
void *__wrap_bcda__realloc(void *ptr, size_t size)
{
    void *grown = __wrap_bcda__alloc(size);
    size_t old = ptr ? ((union head *)ptr - 1)->size : 0;

    if (old)
        memcpy(grown, ptr, old < size ? old : size);
    __wrap_bcda__free(ptr);
    return grown;
}

/* ---- the formula of the guide ---- */

static struct {
    double batch, line, line_fields, fields;
} formula;

/* Reads the factors of the formula from the guide. */
static void read_formula(void)
{
    FILE *guide = fopen(SOURCE_ROOT "/doc/guide/memory-and-limits.md", "r");
    char line[1000];
    int found = 0;

    ck_assert_ptr_nonnull(guide);
    while (fgets(line, sizeof line, guide)) {
        found += sscanf(line, " batch = %lf * BCDA_OPT_BATCH_SIZE", &formula.batch) == 1;
        found += sscanf(line, " line without fields = %lf * longest line", &formula.line) == 1;
        found += sscanf(line, " line with fields = %lf * longest line + %lf MiB",
                        &formula.line_fields, &formula.fields) == 2;
    }
    fclose(guide);
    ck_assert_int_eq(found, 3);
}

/* ---- lines ---- */

static void add_many(struct bcda__buf *to, const char *unit, size_t size)
{
    size_t i, n = strlen(unit);

    ck_assert_int_eq(bcda__buf_reserve(to, size), 0);
    for (i = 0; i < size / n; i++, to->len += n)
        memcpy(to->data + to->len, unit, n);
}

#define START "{\"resourceType\":\"Patient\","

/* A kind of line: `before`, about `size` bytes of repeated `unit`, and `after`, which has the LF.
 */
struct kind {
    const char *name, *before, *unit, *after;
};

static const struct kind kinds[] = {
    {"a string", START "\"x\":\"", "text", "\"}\n"},
    {"a string with an escape", START "\"x\":\"\\n", "text", "\"}\n"},
    {"a string of escapes", START "\"x\":\"", "\\n", "\"}\n"},
    {"an id with an escape", START "\"id\":\"\\n", "text", "\"}\n"},
    {"an id of escapes", START "\"id\":\"", "\\u0041", "\"}\n"},
    {"a resourceType with an escape", "{\"resourceType\":\"\\n", "text", "\"}\n"},
    {"a lastUpdated with an escape", START "\"meta\":{\"lastUpdated\":\"\\n", "text", "\"}}\n"},
    {"a fullUrl with an escape", "{\"fullUrl\":\"\\/", "text",
     "\",\"resource\":{\"resourceType\":\"Patient\"}}\n"},
    {"meta with an escape", START "\"meta\":\"\\n", "text", "\"}\n"},
    {"resource with an escape", START "\"resource\":\"\\n", "text", "\"}\n"},
    {"a name", START "\"", "text", "\":1}\n"},
    {"a name with an escape", START "\"\\n", "text", "\":1}\n"},
    {"a name with an escape, deep", START "\"x\":{\"y\":{\"\\n", "text", "\":1}}}\n"},
    {"ids with an escape", START "\"id\":\"\\n", "a\",\"id\":\"\\n", "\"}\n"},
    {"a value", START "\"v\":\"", "text", "\"}\n"},
    {"a value with an escape", START "\"v\":\"\\n", "text", "\"}\n"},
    {"a value of escapes", START "\"v\":\"", "\\u2019", "\"}\n"},
    {"a value in a resource", "{\"fullUrl\":\"x\",\"resource\":{\"resourceType\":\"P\",\"v\":\"\\n",
     "text", "\"}}\n"},
    {"values", START "\"v\":[\"", "text text text text text text text text text text \",\"",
     "\"]}\n"},
    {"values with an escape", START "\"v\":[\"",
     "text text text text text text text text text text \\n\",\"", "\"]}\n"},
    {"short values", START "\"v\":[1", ",1", "]}\n"},
    {"a string without an end", START "\"x\":\"", "text", "\n"},
    {"a name without an end", START "\"\\n", "text", "\n"},
    {"no JSON", "x", "text", "\n"},
    {"a scalar", "\"\\n", "text", "\"\n"},
    {"two scalars", "\"\\n", "text", "\"\"\n"},
    {"white space", "{ ", "    ", "\"resourceType\":\"Patient\"}\n"},
};

static void drain(struct bcda__decoder *d)
{
    struct bcda_batch *b;

    if (!bcda__decoder_has_batch(d))
        return;
    ck_assert_int_eq(bcda__decoder_take(d, &b), 0);
    bcda__decoder_give_back(d, b);
}

/* Decodes a file and returns the peak of allocated bytes. */
static size_t decode(const char *text, size_t len, const struct bcda__decoder_options *o)
{
    struct bcda__decoder *d;
    struct bcda_error err;
    size_t used, before = live;

    peak = live;
    ck_assert_int_eq(bcda__decoder_new(&d, o, &err), 0);
    while (len) {
        if (bcda__decoder_write(d, text, len < 128 * KIB ? len : 128 * KIB, &used, &err))
            ck_abort_msg("%s", err.text);
        text += used;
        len -= used;
        if (bcda__decoder_is_full(d))
            drain(d);
    }
    while (bcda__decoder_finish(d, &err) == BCDA_ERR_AGAIN)
        drain(d);
    drain(d);
    bcda__decoder_free(d);
    ck_assert_uint_eq(live, before);
    return peak - before;
}

enum { STATES = 128 * KIB };

static double allowed(const struct bcda__decoder_options *o, size_t longest)
{
    double batches = 2 * formula.batch * (double)o->batch_size;

    if (o->fields)
        return STATES + batches + formula.line_fields * (double)longest + formula.fields * MIB;
    return STATES + batches + formula.line * (double)longest;
}

static const char *const paths[] = {"v", "w", "v", "id"};

static struct bcda__decoder_options options_of(size_t batch_size, size_t fields)
{
    struct bcda__field_set *set = NULL;
    size_t i;
    int index;

    if (fields) {
        ck_assert_int_eq(bcda__field_set_new(&set), 0);
        for (i = 0; i < fields; i++)
            ck_assert_int_eq(bcda__field_set_add(set, paths[i], &index), 0);
    }
    return (struct bcda__decoder_options){.name = "f.ndjson",
                                          .line_max = 64 * MIB,
                                          .depth_max = 64,
                                          .batch_size = batch_size,
                                          .fields = set};
}

/* Decodes a file of a short line, the same long line twice, and a short line. Returns the peak of
 * allocated bytes, divided by the limit that the formula gives. */
static double check_kind(const struct kind *k, size_t size, const struct bcda__decoder_options *o)
{
    struct bcda__buf file;
    size_t used, longest, at;
    double most;

    bcda__buf_init(&file, SIZE_MAX);
    bcda__buf_reserve(&file, 2 * (size + 500));
    bcda__buf_adds(&file, START "\"id\":\"1\"}\n");
    at = file.len;
    bcda__buf_adds(&file, k->before);
    add_many(&file, k->unit, size);
    bcda__buf_adds(&file, k->after);
    longest = file.len - at;
    bcda__buf_add(&file, file.data + at, longest);
    bcda__buf_adds(&file, START "\"id\":\"2\"}\n");
    used = decode(file.data, file.len, o);
    most = allowed(o, longest < o->line_max ? longest : o->line_max);
    bcda__buf_free(&file);
    ck_assert_msg((double)used <= most, "%s, %zu bytes, %s fields: %zu bytes, not %.0f (%.2f)",
                  k->name, size, o->fields ? "with" : "without", used, most,
                  (double)used / (double)longest);
    return (double)used / most;
}

/* Lengths of lines: near powers of two, and near the steps in which a batch grows, a buffer has the
 * most unused bytes. */
static const size_t sizes[] = {100 * KIB, 1 * MIB + 100, 2 * MIB - 4000, 3 * MIB + 200 * KIB};

/* Decodes lines that are far longer than a batch. The export requests no field, one field, or
 * several. If all kinds and sizes are run, some line must need more than 75% of what the formula
 * allows. */
START_TEST(long_lines)
{
    size_t fields = _i < 2 ? (size_t)_i : COUNT(paths), i, n;
    struct bcda__decoder_options o = options_of(64 * KIB, fields);
    double part, most = 0;

    for (i = 0; i < COUNT(kinds); i++)
        for (n = 0; n < COUNT(sizes); n++) {
            if (!sample_takes(i * COUNT(sizes) + n, COUNT(kinds) * COUNT(sizes), 30))
                continue;
            part = check_kind(&kinds[i], sizes[n], &o);
            most = part > most ? part : most;
        }
    ck_assert_msg(most > 0.75 || !sample_is_exhaustive(), "%.2f", most);
    bcda__field_set_free((struct bcda__field_set *)(uintptr_t)o.fields);
}
END_TEST

/* Decodes lines just below, at and above the limit `line_max`, and a line far above it. */
START_TEST(line_limit)
{
    size_t fields = (size_t)_i, i;
    long over;
    struct bcda__decoder_options o = options_of(16 * KIB, fields);
    struct kind k = {"a string", START "\"x\":\"", "t", "\"}\n"};

    for (i = 0; i < COUNT(sizes); i++)
        for (over = -1; over <= 1; over++) {
            o.line_max = sizes[i] + (size_t)(over + 33);
            check_kind(&k, sizes[i], &o);
        }
    o.line_max = 1 * MIB;
    check_kind(&k, 20 * MIB, &o);
    bcda__field_set_free((struct bcda__field_set *)(uintptr_t)o.fields);
}
END_TEST

/* Decodes a file of 5 * `size` bytes of the same line, in batches of `size` bytes. */
static void check_short(const char *line, size_t size, size_t fields)
{
    struct bcda__decoder_options o = options_of(size, fields);
    struct bcda__buf file;
    size_t used;

    bcda__buf_init(&file, SIZE_MAX);
    add_many(&file, line, 5 * size);
    used = decode(file.data, file.len, &o);
    ck_assert_msg((double)used <= allowed(&o, 0), "%zu of %zu: %s", used, size, line);
    bcda__buf_free(&file);
    bcda__field_set_free((struct bcda__field_set *)(uintptr_t)o.fields);
}

/* Decodes lines that are so short that the index of the rows fills a batch before the bytes of the
 * lines do. */
START_TEST(short_lines)
{
    static const char *const lines[] = {
        "\n",
        "{\"resourceType\":\"P\"}\n",
        "{\"resourceType\":\"P\",\"id\":\"\\u0041\"}\n",
        "{\"resourceType\":\"P\",\"v\":[1,2,3,4,5,6,7,8,9]}\n",
        "{}\n",
        "x\n",
        "{\"resourceType\":\"P\",\"v\":\"text text text text text text text text text text\"}\n",
    };
    static const size_t batches[] = {4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB};
    size_t i;

    for (i = 0; i < COUNT(batches) * COUNT(lines); i++)
        if (sample_takes(i, COUNT(batches) * COUNT(lines), 12))
            check_short(lines[i % COUNT(lines)], batches[i / COUNT(lines)], (size_t)_i);
}
END_TEST

SUITE("memory")
{
    suite_case("memory");
    suite_timeout(120);
    suite_checked(read_formula, NULL);
    suite_loop(long_lines, 0, 3);
    suite_loop(line_limit, 0, 2);
    suite_loop(short_lines, 0, 2);
}
