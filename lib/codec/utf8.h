/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. yajl passes
 * all three. */
#ifndef BCDA_CODEC_UTF8_H
#define BCDA_CODEC_UTF8_H

#include <stddef.h>

/* The offset of the first byte that is not UTF-8, or `len` where all is well. */
size_t bcda__utf8_check(const char *text, size_t len);
/* The same; in the same pass *special is set to 1 where a byte below 0x20 or a backslash is met
 * before that offset, else to 0. */
size_t bcda__utf8_scan(const char *text, size_t len, int *special);
/* 1 where `text` is the beginning of one character whose end is missing. */
int bcda__utf8_is_cut(const char *text, size_t len);

#endif
