/* A piece of text or of a binary structure, which another object owns. */
#ifndef BCDA_CODEC_BYTES_H
#define BCDA_CODEC_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bcda__bytes {
    const uint8_t *at;
    size_t len;
};

static inline int bcda__bytes_starts(struct bcda__bytes s, const char *text)
{
    size_t len = strlen(text);

    return s.len >= len && memcmp(s.at, text, len) == 0;
}

static inline int bcda__bytes_is(struct bcda__bytes s, const char *text)
{
    return s.len == strlen(text) && bcda__bytes_starts(s, text);
}

static inline int bcda__bytes_ends(struct bcda__bytes s, const char *text)
{
    size_t len = strlen(text);

    return s.len >= len && memcmp(s.at + s.len - len, text, len) == 0;
}

/* Returns `s` without its first `n` bytes. */
static inline struct bcda__bytes bcda__bytes_skip(struct bcda__bytes s, size_t n)
{
    struct bcda__bytes rest = {s.at + n, s.len - n};

    return rest;
}

#endif
