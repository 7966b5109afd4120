/* A strict reader of JSON (RFC 8259) for assertions and key sets. */
#include "json.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH = 16 };

struct reader {
    const char *at, *end;
    int depth;
};

static struct json *read_json_value(struct reader *r);

static void skip_space(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

static bool take_char(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_hex(struct reader *r, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = r->at < r->end && *r->at ? strchr(digits, *r->at) : NULL;

        if (!found)
            return false;
        *code = *code << 4 | (unsigned)((found - digits) & 15);
    }
    return true;
}

static void add_utf8(struct buf *b, unsigned code)
{
    char out[4];
    size_t n = 0;

    if (code < 0x80) {
        out[n++] = (char)code;
    } else if (code < 0x800) {
        out[n++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        out[n++] = (char)(0xe0 | code >> 12);
        out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        out[n++] = (char)(0xf0 | code >> 18);
        out[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        out[n++] = (char)(0x80 | (code & 0x3f));
    buf_add(b, out, n);
}

/* Reads what follows \u. NUL is refused, because texts are C strings here. */
static bool read_code(struct reader *r, struct buf *b)
{
    unsigned code, low;

    if (!read_hex(r, &code) || code == 0 || (code >= 0xdc00 && code < 0xe000))
        return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
            return false;
        r->at += 2;
        if (!read_hex(r, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    add_utf8(b, code);
    return true;
}

static bool read_escape(struct reader *r, struct buf *b)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (r->at == r->end || !*r->at)
        return false;
    if (*r->at == 'u') {
        r->at++;
        return read_code(r, b);
    }
    found = strchr(names, *r->at++);
    if (found)
        buf_add(b, values + (found - names), 1);
    return found != NULL;
}

/* Returns the text of a string, or NULL. */
static char *read_string(struct reader *r)
{
    struct buf b = {0};

    buf_str(&b, "");
    if (!take_char(r, '"'))
        goto wrong;
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at++;

        if (c < 0x20)
            goto wrong;
        if (c != '\\')
            buf_add(&b, r->at - 1, 1);
        else if (!read_escape(r, &b))
            goto wrong;
    }
    if (r->at < r->end) {
        r->at++;
        return b.p;
    }
wrong:
    buf_free(&b);
    return NULL;
}

static size_t digits_at(const struct reader *r, const char *s)
{
    size_t n = 0;

    while (s + n < r->end && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

/* Returns a number as it is written, or NULL. */
static char *read_json_number(struct reader *r)
{
    const char *s = r->at;
    size_t n;

    s += s < r->end && *s == '-';
    n = digits_at(r, s);
    if (n == 0 || (*s == '0' && n > 1))
        return NULL;
    s += n;
    if (s < r->end && *s == '.') {
        n = digits_at(r, s + 1);
        if (n == 0)
            return NULL;
        s += n + 1;
    }
    if (s < r->end && (*s == 'e' || *s == 'E')) {
        s++;
        s += s < r->end && (*s == '+' || *s == '-');
        n = digits_at(r, s);
        if (n == 0)
            return NULL;
        s += n;
    }
    n = (size_t)(s - r->at);
    r->at = s;
    return xstrndup(s - n, n);
}

static bool read_word(struct reader *r, struct json *v, const char *word, enum json_kind kind)
{
    size_t n = strlen(word);

    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return false;
    r->at += n;
    v->kind = kind;
    v->text = xstrdup(word);
    return true;
}

/* Reads the elements of an array or the members of an object. */
static bool read_children(struct reader *r, struct json *v, char close)
{
    struct json **tail = &v->child;

    if (take_char(r, close))
        return true;
    do {
        char *name = v->kind == JSON_OBJECT ? read_string(r) : NULL;
        bool named = v->kind == JSON_ARRAY || (name && !json_member(v, name) && take_char(r, ':'));

        *tail = named ? read_json_value(r) : NULL;
        if (!*tail) {
            free(name);
            return false;
        }
        (*tail)->name = name;
        tail = &(*tail)->next;
    } while (take_char(r, ','));
    return take_char(r, close);
}

static bool read_json_content(struct reader *r, struct json *v)
{
    skip_space(r);
    if (r->at == r->end)
        return false;
    switch (*r->at) {
    case '{':
        v->kind = JSON_OBJECT;
        r->at++;
        return read_children(r, v, '}');
    case '[':
        v->kind = JSON_ARRAY;
        r->at++;
        return read_children(r, v, ']');
    case '"':
        v->kind = JSON_STRING;
        v->text = read_string(r);
        return v->text != NULL;
    case 't':
        return read_word(r, v, "true", JSON_BOOL);
    case 'f':
        return read_word(r, v, "false", JSON_BOOL);
    case 'n':
        return read_word(r, v, "null", JSON_NULL);
    default:
        v->kind = JSON_NUMBER;
        v->text = read_json_number(r);
        return v->text != NULL;
    }
}

static struct json *read_json_value(struct reader *r)
{
    struct json *v = xcalloc(1, sizeof *v);
    bool good = ++r->depth <= JSON_DEPTH && read_json_content(r, v);

    r->depth--;
    if (good)
        return v;
    json_free(v);
    return NULL;
}

struct json *json_parse(const char *text, size_t n)
{
    struct reader r = {text, text + n, 0};
    struct json *v = read_json_value(&r);

    skip_space(&r);
    if (v && r.at == r.end)
        return v;
    json_free(v);
    return NULL;
}

void json_free(struct json *v)
{
    while (v) {
        struct json *next = v->next;

        json_free(v->child);
        free(v->name);
        free(v->text);
        free(v);
        v = next;
    }
}

const struct json *json_member(const struct json *object, const char *name)
{
    const struct json *v = object && object->kind == JSON_OBJECT ? object->child : NULL;

    while (v && strcmp(v->name, name) != 0)
        v = v->next;
    return v;
}

const char *json_string(const struct json *object, const char *name)
{
    const struct json *v = json_member(object, name);

    return v && v->kind == JSON_STRING ? v->text : NULL;
}
