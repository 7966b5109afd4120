/* A growing buffer, and a JSON writer whose output is the same as that of Go's encoder. All
 * functions end the process if there is no memory. */
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
/* Appends the buffer's content to itself, so that the buffer then holds it twice. */
void buf_twice(struct buf *b);
void buf_free(struct buf *b);

/* Appends the text as the inside of a JSON string: quotes, backslashes and controls are escaped,
 * and & < > become \u0026 \u003c \u003e. */
void buf_json_text(struct buf *b, const char *s);

/*
 * Appends JSON by a format, in which ' stands for ". Conversions: %s text to be escaped, %r raw
 * text, %d int, %u unsigned, %L unsigned long long, %m an amount in cents (int) as Go writes a
 * float64, %b true or false, %% a percent sign.
 */
void json_fmt(struct buf *b, const char *format, ...);

#endif
