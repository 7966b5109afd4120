/* A growing buffer and a JSON writer that writes as Go's encoder does. Out of memory ends the
 * process. */
#ifndef SANDBOX_BUF_H
#define SANDBOX_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *p; /* always NUL-terminated once something was added */
    size_t len;
    size_t cap;
};

void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

void buf_add(struct buf *b, const void *data, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_fill(struct buf *b, char c, size_t n);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a copy of the content. */
void buf_twice(struct buf *b);
void buf_free(struct buf *b);

/* The inside of a JSON string: quotes, backslash, controls, and & < > as \u0026 \u003c \u003e. */
void buf_json_text(struct buf *b, const char *s);

/*
 * JSON by format. In the format, ' means ". Conversions: %s text to be escaped, %r raw text, %d
 * int, %u unsigned, %L unsigned long long, %m an amount in cents (int) as Go writes a float64, %b
 * true or false, %% itself.
 */
void json_fmt(struct buf *b, const char *format, ...);

#endif
