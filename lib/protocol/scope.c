#include "protocol/scope.h"

#include <string.h>

/* ---- one SMART scope ---- */

enum permission { /* the letters of version 2 */
                  PERMISSION_C = 1,
                  PERMISSION_R = 2,
                  PERMISSION_U = 4,
                  PERMISSION_D = 8,
                  PERMISSION_S = 16,
};

/* A part of a text. */
struct scope_part {
    const char *text;
    size_t len;
};

struct smart_scope {
    struct scope_part context, type;
    unsigned permissions; /* a set of enum permission */
    int is_v2;
    int has_query;
};

static int scope_part_is(struct scope_part s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.text, word, s.len) == 0;
}

static int scope_parts_equal(struct scope_part a, struct scope_part b)
{
    return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* Removes the text before the first `end`, and `end`, from `from`, and returns this text. If there
 * is no `end`, returns all of `from`, and sets `from` to a NULL text. */
static struct scope_part take_until(struct scope_part *from, char end)
{
    const char *at = from->len ? memchr(from->text, end, from->len) : NULL;
    struct scope_part taken = *from;

    if (!at) {
        from->text = NULL;
        from->len = 0;
        return taken;
    }
    taken.len = (size_t)(at - from->text);
    from->text = at + 1;
    from->len -= taken.len + 1;
    return taken;
}

/* Letters of "cruds", in this order, each at most once. Returns the set of them, or 0 if the text
 * is anything else. */
static unsigned permission_letters(struct scope_part s)
{
    static const char letters[] = "cruds";
    unsigned set = 0;
    size_t i, n = 0;

    for (i = 0; i < sizeof letters - 1 && n < s.len; i++)
        if (s.text[n] == letters[i]) {
            set |= 1u << i;
            n++;
        }
    return n == s.len ? set : 0;
}

static unsigned permission_words(struct scope_part s)
{
    if (scope_part_is(s, "read"))
        return PERMISSION_R | PERMISSION_S;
    if (scope_part_is(s, "write"))
        return PERMISSION_C | PERMISSION_U | PERMISSION_D;
    if (scope_part_is(s, "*"))
        return PERMISSION_C | PERMISSION_R | PERMISSION_U | PERMISSION_D | PERMISSION_S;
    return 0;
}

static int is_resource_type(struct scope_part s)
{
    size_t i;

    if (scope_part_is(s, "*"))
        return 1;
    for (i = 0; i < s.len; i++)
        if (!((s.text[i] >= 'A' && s.text[i] <= 'Z') || (s.text[i] >= 'a' && s.text[i] <= 'z')))
            return 0;
    return s.len > 0;
}

/* Returns 1 and fills `out` if the text is a SMART scope. */
static int scope_parse(struct scope_part text, struct smart_scope *out)
{
    struct scope_part rest = text;
    struct smart_scope s = {0};
    struct scope_part permissions;

    s.context = take_until(&rest, '/');
    s.type = take_until(&rest, '.');
    permissions = take_until(&rest, '?');
    if (!scope_part_is(s.context, "patient") && !scope_part_is(s.context, "user") &&
        !scope_part_is(s.context, "system"))
        return 0;
    if (!is_resource_type(s.type) || !permissions.text)
        return 0;
    s.has_query = rest.text != NULL;
    s.permissions = permission_letters(permissions);
    s.is_v2 = s.permissions != 0;
    if (!s.is_v2 && !s.has_query) /* version 1 has no queries */
        s.permissions = permission_words(permissions);
    *out = s;
    return s.permissions != 0;
}

int bcda__scope_is_v2(const char *scope, size_t len)
{
    struct smart_scope s;

    return scope_parse((struct scope_part){scope, len}, &s) && s.is_v2;
}

/* ---- lists ---- */

/* Returns the next scope of a list, and removes it and the spaces around it from `list`. An empty
 * one is the end. */
static struct scope_part next_scope(const char **list)
{
    struct scope_part s;

    *list += strspn(*list, " ");
    s.text = *list;
    s.len = strcspn(*list, " ");
    *list += s.len;
    return s;
}

static int is_covered(struct scope_part asked, const char *granted)
{
    struct smart_scope want, have;
    int is_smart = scope_parse(asked, &want);
    unsigned permissions = 0;
    struct scope_part one;

    while ((one = next_scope(&granted)).len) {
        if (scope_parts_equal(one, asked))
            return 1;
        if (is_smart && scope_parse(one, &have) && !have.has_query &&
            scope_parts_equal(have.context, want.context) &&
            (scope_part_is(have.type, "*") || scope_parts_equal(have.type, want.type)))
            permissions |= have.permissions;
    }
    return is_smart && !(want.permissions & ~permissions);
}

void bcda__scope_missing(const char *asked, const char *granted, char *out, size_t size)
{
    static const char more[] = "...";
    size_t used = 0;
    struct scope_part one;

    out[0] = '\0';
    while ((one = next_scope(&asked)).len) {
        size_t space = used > 0;

        if (is_covered(one, granted))
            continue;
        /* Room for " ..." is kept, because it is not known whether another one is missing. */
        if (one.len > size || used + space + one.len + 1 + sizeof more > size) {
            out[used] = ' ';
            memcpy(out + used + space, more, sizeof more);
            return;
        }
        out[used] = ' ';
        memcpy(out + used + space, one.text, one.len);
        used += space + one.len;
        out[used] = '\0';
    }
}

int bcda__scope_is_valid(const char *scope)
{
    const unsigned char *p = (const unsigned char *)scope;

    for (; *p; p++) {
        if (*p == ' ' ? p == (const unsigned char *)scope || p[-1] == ' '
                      : *p < 0x21 || *p > 0x7E || *p == '"' || *p == '\\')
            return 0;
    }
    return p > (const unsigned char *)scope && p[-1] != ' ';
}
