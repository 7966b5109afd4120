#include "codec/extract.h"

#include <string.h>

#include "base/text.h"
#include "bcda/error.h"
#include "codec/scan.h"

enum { NOT_SURE = BCDA__SCAN_NOT_SURE, SURE = BCDA__SCAN_SURE };

struct extract {
    const struct bcda__index *index;
    const struct bcda__field_set *fields;
    struct bcda__values *values;
};

enum member { TYPE, ID, FULL_URL, LAST_UPDATED, META, RESOURCE, OTHER };

/* The members of a resource, or of the envelope around it, that are read from every line. */
struct members {
    struct bcda__span text[META];                  /* by enum member */
    const struct bcda__container *meta, *resource; /* objects; NULL = none */
    unsigned seen;                                 /* a bit for each member that was met */
};

/* The lengths of the names, one bit each. */
enum { MEMBER_LENGTHS = 1 << 2 | 1 << 4 | 1 << 7 | 1 << 8 | 1 << 12, MEMBER_LENGTH_MAX = 12 };

#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)

static inline enum member member_of(const char *name, uint32_t len)
{
    if (len > MEMBER_LENGTH_MAX || !(MEMBER_LENGTHS >> len & 1)) /* most members */
        return OTHER;
    switch (len) {
    case 2:
        return IS("id") ? ID : OTHER;
    case 4:
        return IS("meta") ? META : OTHER;
    case 7:
        return IS("fullUrl") ? FULL_URL : OTHER;
    case 8:
        return IS("resource") ? RESOURCE : OTHER;
    default:
        return IS("resourceType") ? TYPE : OTHER;
    }
}

#undef IS

/* Sets *span to a string. It is not sure if the string has an escape or exceeds its limit. A value
 * that is not a string is ignored. */
static int read_text(const struct bcda__index *index, const struct bcda__index_value *value,
                     struct bcda__span *span)
{
    size_t len = value->end - value->at;

    if (value->kind != BCDA__KIND_STRING)
        return SURE;
    if (len > BCDA__MEMBER_MAX ||
        (index->has_escapes && memchr(index->line + value->at, '\\', len)))
        return NOT_SURE;
    span->at = value->at;
    span->len = len;
    return SURE;
}

static int read_member(const struct bcda__index *index, enum member member,
                       const struct bcda__index_value *value, struct members *m)
{
    const struct bcda__container *object =
        value->kind == BCDA__KIND_OBJECT ? value->container : NULL;

    if (m->seen & 1U << member)
        return NOT_SURE; /* the member stands twice */
    m->seen |= 1U << member;
    if (member < META)
        return read_text(index, value, &m->text[member]);
    if (member == META)
        m->meta = object;
    else
        m->resource = object;
    return SURE;
}

/* Reads meta.lastUpdated. */
static int read_meta(const struct bcda__index *index, struct members *m)
{
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t len;

    bcda__index_walk_init(&walk, index, m->meta);
    while (bcda__index_next_name(&walk, &name, &len)) {
        if (len > BCDA__MEMBER_MAX)
            return NOT_SURE;
        bcda__index_member_value(&walk, &value);
        if (len == 11 && memcmp(name, "lastUpdated", 11) == 0 &&
            read_member(index, LAST_UPDATED, &value, m) == NOT_SURE)
            return NOT_SURE;
    }
    return SURE;
}

static int read_members(const struct bcda__index *index, const struct bcda__container *object,
                        struct members *m)
{
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t len;

    bcda__index_walk_init(&walk, index, object);
    while (bcda__index_next_name(&walk, &name, &len)) {
        enum member member = member_of(name, len);

        if (member == OTHER) {
            if (len > BCDA__MEMBER_MAX)
                return NOT_SURE;
            bcda__index_skip_value(&walk);
            continue;
        }
        bcda__index_member_value(&walk, &value);
        if (read_member(index, member, &value, m) == NOT_SURE)
            return NOT_SURE;
    }
    return m->meta ? read_meta(index, m) : SURE;
}

/* ---- fields ---- */

/* Returns the UTF-16 code unit of the valid escape at `p`: a backslash, "u" and four digits. */
static unsigned read_unit(const char *p)
{
    uint8_t unit[2] = {0};
    size_t size;

    (void)bcda__text_hex_decode(p + 2, 4, unit, sizeof unit, &size);
    return (unsigned)unit[0] << 8 | unit[1];
}

/* Writes a character as UTF-8 and returns the end. */
static char *put_character(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* Writes the character of the valid escape at *p, which is then moved to its end. Returns the end
 * of the character. */
static char *put_escape(char *out, const char **p)
{
    static const char names[] = "bfnrt", characters[] = "\b\f\n\r\t";
    const char *name = strchr(names, (*p)[1]);
    unsigned c;

    if ((*p)[1] != 'u') {
        *out++ = name ? characters[name - names] : (*p)[1];
        *p += 2;
        return out;
    }
    c = read_unit(*p);
    *p += 6;
    if (c >> 10 == 0xD800 >> 10) {
        c = 0x10000 + ((c & 0x3FF) << 10 | (read_unit(*p) & 0x3FF));
        *p += 6;
    }
    return put_character(out, c);
}

/* Copies a valid string without its escapes to the side buffer. */
static int unescape_text(struct extract *x, const char *text, size_t len, struct bcda__span *span)
{
    const char *p = text, *end = text + len;
    char *out, *to;
    int rc = bcda__values_reserve_text(x->values, len, x->index->len, &out);

    if (rc)
        return rc;
    for (to = out; p < end;) {
        if (*p == '\\')
            to = put_escape(to, &p);
        else
            *to++ = *p++;
    }
    span->at = x->values->side_len;
    span->len = (size_t)(to - out);
    span->copy = 1;
    x->values->side_len += span->len;
    return 0;
}

static int add_escaped_field(struct extract *x, int field, const struct bcda__index_value *value)
{
    struct bcda__span span;
    int rc = unescape_text(x, x->index->line + value->at, value->end - value->at, &span);

    return rc ? rc : bcda__values_add(x->values, field, &span, 0);
}

/* Adds a string or scalar, except null. */
static inline int add_field(struct extract *x, int field, const struct bcda__index_value *value)
{
    const char *text = x->index->line + value->at;
    int is_string = value->kind == BCDA__KIND_STRING, rc;
    uint32_t end = is_string ? value->end : bcda__index_scalar_end(x->index, value->at);
    struct bcda__span span = {value->at, end - value->at, 0};

    if (!is_string && *text == 'n')
        return SURE;
    if (is_string && x->index->has_escapes && memchr(text, '\\', span.len))
        rc = add_escaped_field(x, field, value);
    else
        rc = bcda__values_add(x->values, field, &span, 0);
    if (!rc)
        return SURE;
    return rc == BCDA_ERR_LINE_TOO_LONG ? NOT_SURE : rc;
}

/* The next functions read the fields below a node of the tree of paths, from a value that the path
 * to this node leads to. The recursion is not deeper than the line, which has BCDA__SCAN_DEPTH_MAX
 * levels at most. */
static int read_object(struct extract *x, const struct bcda__field_node *node,
                       const struct bcda__container *object);
static int read_array(struct extract *x, const struct bcda__field_node *node,
                      const struct bcda__container *array);

static inline int read_value(struct extract *x, const struct bcda__field_node *node,
                             const struct bcda__index_value *value)
{
    if (value->kind == BCDA__KIND_OBJECT)
        return node->lengths ? read_object(x, node, value->container) : SURE;
    if (value->kind == BCDA__KIND_ARRAY)
        return read_array(x, node, value->container);
    return node->field >= 0 ? add_field(x, node->field, value) : SURE;
}

static int read_object(struct extract *x, const struct bcda__field_node *node,
                       const struct bcda__container *object)
{
    const struct bcda__field_node *child;
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t len;
    int rc = SURE;

    bcda__index_walk_init(&walk, x->index, object);
    while (rc == SURE && bcda__index_next_name(&walk, &name, &len)) {
        child = bcda__field_child(x->fields, node, name, len);
        if (child) {
            bcda__index_member_value(&walk, &value);
            rc = read_value(x, child, &value);
        } else {
            bcda__index_skip_value(&walk);
        }
    }
    return rc;
}

/* Reads the objects and arrays in an array. Its strings and scalars are not wanted. */
static int read_containers(struct extract *x, const struct bcda__field_node *node,
                           const struct bcda__container *array)
{
    const struct bcda__index *index = x->index;
    const struct bcda__container *c = array + 1, *end = index->containers + array->next;
    int rc = SURE;

    for (; rc == SURE && c < end; c = index->containers + c->next)
        rc = index->line[c->start] == '{' ? read_object(x, node, c) : read_array(x, node, c);
    return rc;
}

static int read_array(struct extract *x, const struct bcda__field_node *node,
                      const struct bcda__container *array)
{
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    int rc = SURE;

    if (node->field < 0)
        return read_containers(x, node, array);
    bcda__index_walk_init(&walk, x->index, array);
    while (rc == SURE && bcda__index_next_element(&walk, &value))
        rc = read_value(x, node, &value);
    return rc;
}

/* An envelope has no resourceType and the member `resource` (bcda-api 6.5). */
int bcda__extract(const struct bcda__index *index, size_t len, const struct bcda__field_set *fields,
                  struct bcda__values *values, struct bcda__line_info *info)
{
    struct extract x = {index, fields, values};
    struct members m = {0};
    const struct bcda__container *object, *root = index->containers;
    int rc = SURE;

    if (index->escaped_key || read_members(index, root, &m) == NOT_SURE)
        return NOT_SURE;
    object = m.resource;
    if (!m.text[TYPE].len == !object) /* both or none of the two */
        return NOT_SURE;
    info->resource.len = len;
    if (object) {
        info->resource.at = object->start;
        info->resource.len = object->end + 1 - object->start;
        info->full_url = m.text[FULL_URL];
        memset(&m, 0, sizeof m);
        if (read_members(index, object, &m) == NOT_SURE || !m.text[TYPE].len)
            return NOT_SURE;
    }
    info->type = m.text[TYPE];
    info->id = m.text[ID];
    info->last_updated = m.text[LAST_UPDATED];
    if (fields) {
        rc = read_object(&x, &fields->nodes[0], object ? object : root);
        bcda__values_report(values, info);
        /* json.c also counts the values outside of `resource`, each of which takes two bytes. */
        if (rc == SURE && values->count + (len - info->resource.len) / 2 > BCDA__VALUES_MAX)
            rc = NOT_SURE;
    }
    return rc;
}
