#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    va_list ap;
    char *s = NULL;

    va_start(ap, format);
    if (vasprintf(&s, format, ap) < 0)
        out_of_memory();
    va_end(ap);
    buf_str(b, s);
    free(s);
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

void buf_json_text(struct buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_str(b, "\\n");
        else if (c == '\r')
            buf_str(b, "\\r");
        else if (c == '\t')
            buf_str(b, "\\t");
        else if (c < 0x20 || c == '&' || c == '<' || c == '>')
            buf_printf(b, "\\u%04x", c);
        else
            buf_add(b, s, 1);
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

    va_start(ap, format);
    for (; *format; format++) {
        if (*format == '\'') {
            buf_add(b, "\"", 1);
        } else if (*format == '%') {
            format++;
            CONVERT(b, *format, ap)
        } else {
            size_t n = strcspn(format, "'%");

            buf_add(b, format, n);
            format += n - 1;
        }
    }
    va_end(ap);
}
