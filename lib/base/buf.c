#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"

void bcda__buf_init(struct bcda__buf *b, size_t max)
{
    memset(b, 0, sizeof *b);
    b->max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2; /* so no sum in this file can overflow */
}

int bcda__buf_reserve(struct bcda__buf *b, size_t extra)
{
    size_t want, cap;
    char *grown;

    if (extra > b->max - b->len)
        return BCDA_ERR_BODY_TOO_LARGE;
    want = b->len + extra + 1; /* 1 for the NUL */
    if (want <= b->cap)
        return 0;
    cap = b->cap < 32 ? 64 : b->cap > SIZE_MAX / 2 ? want : b->cap * 2;
    cap = cap > b->max ? b->max + 1 : cap;
    cap = cap < want ? want : cap;
    /* Not realloc(): the content may be secret, so the old block is wiped before it is freed. */
    grown = bcda__alloc(cap);
    if (!grown)
        return BCDA_ERR_NOMEM;
    if (b->len)
        memcpy(grown, b->data, b->len);
    if (b->data)
        bcda__wipe(b->data, b->cap); /* bcda__buf_clear() leaves bytes beyond `len` */
    bcda__free(b->data);
    b->data = grown;
    b->cap = cap;
    return 0;
}

int bcda__buf_add(struct bcda__buf *b, const void *data, size_t len)
{
    int rc = bcda__buf_reserve(b, len);

    if (rc)
        return rc;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int bcda__buf_adds(struct bcda__buf *b, const char *text)
{
    return bcda__buf_add(b, text, strlen(text));
}

int bcda__buf_addf(struct bcda__buf *b, const char *format, ...)
{
    va_list args;
    int need, rc;

    va_start(args, format);
    need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0)
        return BCDA_ERR_INVALID;
    rc = bcda__buf_reserve(b, (size_t)need);
    if (rc)
        return rc;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)need + 1, format, args);
    va_end(args);
    b->len += (size_t)need;
    return 0;
}

void bcda__buf_clear(struct bcda__buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void bcda__buf_free(struct bcda__buf *b)
{
    bcda__free(b->data);
    bcda__buf_init(b, b->max);
}

void bcda__buf_free_secret(struct bcda__buf *b)
{
    if (b->data)
        bcda__wipe(b->data, b->cap);
    bcda__buf_free(b);
}

char *bcda__buf_steal(struct bcda__buf *b)
{
    char *text = b->data;

    bcda__buf_init(b, b->max);
    return text;
}
