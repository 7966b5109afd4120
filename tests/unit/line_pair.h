/* Reads each line twice: as the library does, and by yajl alone. Both must find the same. */
#ifndef BCDA_TESTS_LINE_PAIR_H
#define BCDA_TESTS_LINE_PAIR_H

#include <stdlib.h>
#include <string.h>

#include "bcda/error.h"
#include "codec/line.h"
#include "suite.h"

struct line_pair {
    struct bcda__line_reader *fast, *yajl;
    char *copy; /* the current line; the sanitizer detects reads beyond the padding */
    unsigned noise;
};

static inline void line_pair_open(struct line_pair *p, int depth,
                                  const struct bcda__field_set *fields)
{
    memset(p, 0, sizeof *p);
    ck_assert_int_eq(bcda__line_reader_new(&p->fast, depth, fields, 0), 0);
    ck_assert_int_eq(bcda__line_reader_new(&p->yajl, depth, fields, 1), 0);
}

static inline void line_pair_close(struct line_pair *p)
{
    bcda__line_reader_free(p->fast);
    bcda__line_reader_free(p->yajl);
    free(p->copy);
    memset(p, 0, sizeof *p);
}

/* Copies a line. Whatever stands in the padding after its end must have no influence, so it is
 * filled with bytes that could continue a line; or it is left uninitialized, so that valgrind
 * detects whether a decision depends on it. */
static inline char *line_pair_copy(struct line_pair *p, const char *line, size_t len)
{
    static const char noise[] = "\"\":,\":\"{}[]0\\e truefalsenull\x80\n";
    size_t i, noisy = getenv("BCDA_TEST_VALGRIND") ? 1 : BCDA__LINE_PADDING;

    free(p->copy);
    p->copy = malloc(len + BCDA__LINE_PADDING);
    ck_assert_ptr_nonnull(p->copy);
    if (len)
        memcpy(p->copy, line, len);
    p->copy[len] = '\n';
    for (i = 1; i < noisy; i++) {
        p->noise = p->noise * 1103515245 + 12345;
        p->copy[len + i] = noise[(p->noise >> 16) % (sizeof noise - 1)];
    }
    return p->copy;
}

static inline int is_same_span(const char *line, const struct bcda__line_info *a,
                               const struct bcda__span *sa, const struct bcda__line_info *b,
                               const struct bcda__span *sb)
{
    const char *ta = (sa->copy ? a->side : line) + sa->at;
    const char *tb = (sb->copy ? b->side : line) + sb->at;

    return sa->len == sb->len && (!sa->len || memcmp(ta, tb, sa->len) == 0);
}

static inline int is_same_info(const char *line, const struct bcda__line_info *a,
                               const struct bcda__line_info *b)
{
    size_t i;

    if (a->code != b->code || (a->code && a->bad_at != b->bad_at) ||
        a->value_count != b->value_count || a->resource.at != b->resource.at ||
        a->resource.len != b->resource.len || !is_same_span(line, a, &a->type, b, &b->type) ||
        !is_same_span(line, a, &a->id, b, &b->id) ||
        !is_same_span(line, a, &a->last_updated, b, &b->last_updated) ||
        !is_same_span(line, a, &a->full_url, b, &b->full_url))
        return 0;
    for (i = 0; i < a->value_count; i++)
        if (a->values[i].field != b->values[i].field ||
            !is_same_span(line, a, &a->values[i].span, b, &b->values[i].span))
            return 0;
    return 1;
}

/* Reads a line both ways. The result is that of the library's way. Returns info->code. */
static inline int line_pair_read(struct line_pair *p, const char *line, size_t len,
                                 struct bcda__line_info *info)
{
    struct bcda__line_info slow;
    const char *copy = line_pair_copy(p, line, len);

    memset(info, 0x77, sizeof *info);
    ck_assert_int_eq(bcda__line_read(p->fast, copy, len, info), 0);
    ck_assert_int_eq(bcda__line_read(p->yajl, copy, len, &slow), 0);
    if (!is_same_info(copy, info, &slow))
        ck_abort_msg("%d at %zu, by yajl %d at %zu: %.*s", info->code, info->bad_at, slow.code,
                     slow.bad_at, (int)(len < 2000 ? len : 2000), copy);
    return info->code;
}

#endif
