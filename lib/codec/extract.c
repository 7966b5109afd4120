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

/* The members of a resource, or of the envelope around it, that are read from every line. */
struct members {
    struct bcda__span type, id, last_updated, full_url;
    uint32_t meta, resource; /* numbers of objects; 0 = none */
    unsigned seen;           /* a bit for each member that was met */
};

enum member { TYPE, ID, META, RESOURCE, FULL_URL, LAST_UPDATED, OTHER };

#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)

static inline enum member member_of(const char *name, uint32_t len)
{
    switch (len) {
    case 2:
        return IS("id") ? ID : OTHER;
    case 4:
        return IS("meta") ? META : OTHER;
    case 7:
        return IS("fullUrl") ? FULL_URL : OTHER;
    case 8:
        return IS("resource") ? RESOURCE : OTHER;
    case 12:
        return IS("resourceType") ? TYPE : OTHER;
    default:
        return OTHER;
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
    uint32_t object = value->kind == BCDA__KIND_OBJECT ? value->container : 0;

    if (m->seen & 1U << member)
        return NOT_SURE; /* the member stands twice */
    m->seen |= 1U << member;
    switch (member) {
    case TYPE:
        return read_text(index, value, &m->type);
    case ID:
        return read_text(index, value, &m->id);
    case FULL_URL:
        return read_text(index, value, &m->full_url);
    case LAST_UPDATED:
        return read_text(index, value, &m->last_updated);
    case META:
        m->meta = object;
        return SURE;
    default:
        m->resource = object;
        return SURE;
    }
}

/* Reads meta.lastUpdated. */
static int read_meta(const struct bcda__index *index, struct members *m)
{
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t len;

    bcda__index_walk_init(&walk, index, m->meta);
    while (bcda__index_next_member(&walk, &name, &len, &value)) {
        if (len > BCDA__MEMBER_MAX)
            return NOT_SURE;
        if (len == 11 && memcmp(name, "lastUpdated", 11) == 0 &&
            read_member(index, LAST_UPDATED, &value, m) == NOT_SURE)
            return NOT_SURE;
    }
    return SURE;
}

static int read_members(const struct bcda__index *index, uint32_t object, struct members *m)
{
    struct bcda__index_walk walk;
    struct bcda__index_value value = {0};
    const char *name;
    uint32_t len;

    bcda__index_walk_init(&walk, index, object);
    while (bcda__index_next_member(&walk, &name, &len, &value)) {
        enum member member = member_of(name, len);

        if (len > BCDA__MEMBER_MAX)
            return NOT_SURE;
        if (member != OTHER && read_member(index, member, &value, m) == NOT_SURE)
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

static int add_field(struct extract *x, int field, const struct bcda__index_value *value)
{
    const char *text = x->index->line + value->at;
    int is_string = value->kind == BCDA__KIND_STRING, rc = 0;
    uint32_t end = is_string ? value->end : bcda__index_scalar_end(x->index, value->at);
    struct bcda__span span = {value->at, end - value->at, 0};

    if (!is_string && *text == 'n') /* null */
        return SURE;
    if (is_string && x->index->has_escapes && memchr(text, '\\', span.len))
        rc = unescape_text(x, text, span.len, &span);
    if (!rc)
        rc = bcda__values_add(x->values, field, &span, 0);
    return rc == BCDA_ERR_LINE_TOO_LONG ? NOT_SURE : rc ? rc : SURE;
}

/* Reads the fields below `node` of the tree of paths, from the value that the path to this node
 * leads to. The recursion is not deeper than the line, which has BCDA__SCAN_DEPTH_MAX levels at
 * most. */
static int read_fields(struct extract *x, int node, const struct bcda__index_value *value)
{
    const struct bcda__field_node *at = &x->fields->nodes[node];
    struct bcda__index_walk walk;
    struct bcda__index_value inner;
    const char *name;
    uint32_t len;
    int rc = SURE;

    if (value->kind == BCDA__KIND_OBJECT && at->first_child) {
        bcda__index_walk_init(&walk, x->index, value->container);
        while (rc == SURE && bcda__index_next_member(&walk, &name, &len, &inner)) {
            /* most names differ from all wanted ones in length */
            int child =
                at->lengths >> (len & 63) & 1 ? bcda__field_child(x->fields, node, name, len) : 0;

            if (child)
                rc = read_fields(x, child, &inner);
        }
    } else if (value->kind == BCDA__KIND_ARRAY) {
        bcda__index_walk_init(&walk, x->index, value->container);
        while (rc == SURE && bcda__index_next_element(&walk, &inner))
            rc = read_fields(x, node, &inner);
    } else if (value->kind != BCDA__KIND_OBJECT && at->field >= 0) {
        rc = add_field(x, at->field, value);
    }
    return rc;
}

/* An envelope has no resourceType and the member `resource` (bcda-api 6.5). */
int bcda__extract(const struct bcda__index *index, size_t len, const struct bcda__field_set *fields,
                  struct bcda__values *values, struct bcda__line_info *info)
{
    struct extract x = {index, fields, values};
    struct members m = {0};
    struct bcda__index_value value = {.kind = BCDA__KIND_OBJECT};
    int rc = SURE;

    if (index->escaped_key || read_members(index, 0, &m) == NOT_SURE)
        return NOT_SURE;
    if (!m.type.len == !m.resource) /* both or none of the two */
        return NOT_SURE;
    info->resource.len = len;
    if (m.resource) {
        value.container = m.resource;
        info->resource.at = index->containers[m.resource].start;
        info->resource.len = index->containers[m.resource].end + 1 - info->resource.at;
        info->full_url = m.full_url;
        memset(&m, 0, sizeof m);
        if (read_members(index, value.container, &m) == NOT_SURE || !m.type.len)
            return NOT_SURE;
    }
    info->type = m.type;
    info->id = m.id;
    info->last_updated = m.last_updated;
    if (fields) {
        rc = read_fields(&x, 0, &value);
        bcda__values_report(values, info);
        /* json.c also counts the values outside of `resource`, each of which takes two bytes. */
        if (rc == SURE && values->count + (len - info->resource.len) / 2 > BCDA__VALUES_MAX)
            rc = NOT_SURE;
    }
    return rc;
}
