/* What is read from a line: spans of the wanted members, and the values of the fields. */
#ifndef BCDA_CODEC_VALUES_H
#define BCDA_CODEC_VALUES_H

#include <stddef.h>
#include <stdint.h>

/* The position of a text in the line. If `copy` is 1, the text has escapes in the line, and the
 * position is that of the unescaped text in the side buffer. */
struct bcda__span {
    size_t at;
    size_t len;
    int copy;
};

struct bcda__field_value {
    int field;
    struct bcda__span span;
};

/* The result of reading a line. A member that was not found has a span with `at` 0 and `len` 0. */
struct bcda__line_info {
    struct bcda__span resource; /* the whole line, or the `resource` of an envelope */
    struct bcda__span type;     /* resourceType */
    struct bcda__span id;
    struct bcda__span last_updated; /* meta.lastUpdated */
    struct bcda__span full_url;     /* fullUrl, which only an envelope has */
    const struct bcda__field_value *values;
    size_t value_count;
    const char *side; /* the side buffer, for spans with `copy` 1 */
    size_t side_len;
    int code; /* 0, or BCDA_ERR_LINE_JSON, _LINE_UTF8, _LINE_DEPTH, _LINE_TYPE, _LINE_TOO_LONG */
    /* The approximate offset of the error in the line. With LINE_JSON it is the length of the line
     * if the only error is that the line is incomplete. */
    size_t bad_at;
};

enum {
    /* The maximum length of resourceType, id, meta.lastUpdated and fullUrl, unescaped, and of all
     * member names in the objects that contain them. */
    BCDA__MEMBER_MAX = 4 * 1024,
    /* The maximum number of values of all fields in one line. Without it, the server's data could
     * take any amount of memory. */
    BCDA__VALUES_MAX = 65536,
};

/* The values of the fields of one line, and the side buffer. The arrays are used again for the next
 * line. */
struct bcda__values {
    struct bcda__field_value *values;
    uint32_t *groups; /* for each value: a number of the caller's choice */
    size_t count, cap;
    char *side;
    size_t side_len, side_cap;
};

/* Removes all values. */
void bcda__values_clear(struct bcda__values *v);
/* Makes room for one more value. Returns the same codes as bcda__values_add(). */
int bcda__values_grow(struct bcda__values *v);
/* Adds a value. Returns 0, BCDA_ERR_NOMEM, or BCDA_ERR_LINE_TOO_LONG if there are too many. */
static inline int bcda__values_add(struct bcda__values *v, int field, const struct bcda__span *span,
                                   uint32_t group)
{
    int rc = v->count == v->cap ? bcda__values_grow(v) : 0;

    if (rc)
        return rc;
    v->values[v->count].field = field;
    v->values[v->count].span = *span;
    v->groups[v->count++] = group;
    return 0;
}
/* Makes room for `len` more bytes in the side buffer, for a line of `line_len` bytes. All texts of
 * a line together are shorter than the line. Returns 0 and sets *out to the place, or
 * BCDA_ERR_NOMEM. */
int bcda__values_reserve_text(struct bcda__values *v, size_t len, size_t line_len, char **out);
/* Copies a text to the side buffer and sets *at to its position. Returns 0 or BCDA_ERR_NOMEM. */
int bcda__values_add_text(struct bcda__values *v, const void *text, size_t len, size_t line_len,
                          size_t *at);
/* Removes the values of other groups. */
void bcda__values_keep(struct bcda__values *v, uint32_t group);
/* Sets the pointers in *info, which are valid until the next change of `v`. */
void bcda__values_report(const struct bcda__values *v, struct bcda__line_info *info);
/* Frees the arrays that are larger than `keep` bytes. Removes all values. */
void bcda__values_trim(struct bcda__values *v, size_t keep);
void bcda__values_free(struct bcda__values *v);

#endif
