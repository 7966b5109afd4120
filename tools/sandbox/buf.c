#include "buf.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_TEXT = 64 }; /* longer text is formatted twice by buf_printf() */

static void out_of_memory(void)
{
    fputs("bcda-sandbox: out of memory\n", stderr);
    abort();
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        out_of_memory();
    return p;
}

void *xrealloc(void *p, size_t size)
{
    p = realloc(p, size);
    if (!p)
        out_of_memory();
    return p;
}

char *xstrndup(const char *s, size_t n)
{
    char *copy = xcalloc(1, n + 1);

    memcpy(copy, s, n);
    return copy;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xasprintf(const char *format, ...)
{
    va_list ap;
    char *s = NULL;

    va_start(ap, format);
    if (vasprintf(&s, format, ap) < 0)
        out_of_memory();
    va_end(ap);
    return s;
}

static void buf_reserve(struct buf *b, size_t n)
{
    size_t need = b->len + n + 1;

    if (need <= b->cap)
        return;
    if (need < b->cap * 2)
        need = b->cap * 2;
    b->p = xrealloc(b->p, need);
    b->cap = need;
}

void buf_add(struct buf *b, const void *data, size_t n)
{
    buf_reserve(b, n);
    if (n)
        memcpy(b->p + b->len, data, n);
    b->len += n;
    b->p[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_fill(struct buf *b, char c, size_t n)
{
    buf_reserve(b, n);
    memset(b->p + b->len, c, n);
    b->len += n;
    b->p[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, format);
    va_copy(again, ap);
    buf_reserve(b, SHORT_TEXT);
    n = vsnprintf(b->p + b->len, SHORT_TEXT + 1, format, ap);
    if (n < 0)
        out_of_memory();
    if (n > SHORT_TEXT) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->p + b->len, (size_t)n + 1, format, again);
    }
    b->len += (size_t)n;
    va_end(again);
    va_end(ap);
}

void buf_twice(struct buf *b)
{
    char *copy = xstrndup(b->p, b->len);

    buf_add(b, copy, b->len);
    free(copy);
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

static bool is_escaped(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c == '&' || c == '<' || c == '>';
}

static void add_escaped(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        buf_printf(b, "\\%c", c);
        break;
    case '\n':
        buf_str(b, "\\n");
        break;
    case '\r':
        buf_str(b, "\\r");
        break;
    case '\t':
        buf_str(b, "\\t");
        break;
    default:
        buf_printf(b, "\\u%04x", c);
        break;
    }
}

void buf_json_text(struct buf *b, const char *s)
{
    size_t n;

    for (;; s++) {
        for (n = 0; !is_escaped((unsigned char)s[n]); n++)
            ;
        buf_add(b, s, n);
        s += n;
        if (!*s)
            return;
        add_escaped(b, (unsigned char)*s);
    }
}

/* 25000 -> 250, 25010 -> 250.1, 25013 -> 250.13: the shortest form, as Go writes a float64. */
static void add_amount(struct buf *b, int cents)
{
    if (cents < 0) {
        buf_str(b, "-");
        cents = -cents;
    }
    buf_printf(b, "%d", cents / 100);
    if (cents % 100 == 0)
        return;
    if (cents % 10 == 0)
        buf_printf(b, ".%d", cents % 100 / 10);
    else
        buf_printf(b, ".%02d", cents % 100);
}

/* A macro, because a function would have to be given `ap`: after such a call the caller may no
 * longer read from its va_list. */
#define CONVERT(b, c, ap)                                      \
    switch (c) {                                               \
    case 's':                                                  \
        buf_json_text(b, va_arg(ap, const char *));            \
        break;                                                 \
    case 'r':                                                  \
        buf_str(b, va_arg(ap, const char *));                  \
        break;                                                 \
    case 'd':                                                  \
        buf_printf(b, "%d", va_arg(ap, int));                  \
        break;                                                 \
    case 'u':                                                  \
        buf_printf(b, "%u", va_arg(ap, unsigned));             \
        break;                                                 \
    case 'L':                                                  \
        buf_printf(b, "%llu", va_arg(ap, unsigned long long)); \
        break;                                                 \
    case 'm':                                                  \
        add_amount(b, va_arg(ap, int));                        \
        break;                                                 \
    case 'b':                                                  \
        buf_str(b, va_arg(ap, int) ? "true" : "false");        \
        break;                                                 \
    default:                                                   \
        buf_add(b, format, 1);                                 \
        break;                                                 \
    }

void json_fmt(struct buf *b, const char *format, ...)
{
    va_list ap;
    size_t n;

    va_start(ap, format);
    for (; *format; format++) {
        if (*format == '\'') {
            buf_add(b, "\"", 1);
        } else if (*format == '%') {
            format++;
            CONVERT(b, *format, ap)
        } else {
            for (n = 1; format[n] && format[n] != '\'' && format[n] != '%'; n++)
                ;
            buf_add(b, format, n);
            format += n - 1;
        }
    }
    va_end(ap);
}
