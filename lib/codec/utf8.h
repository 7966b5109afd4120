/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. yajl accepts
 * all three. */
#ifndef BCDA_CODEC_UTF8_H
#define BCDA_CODEC_UTF8_H

#include <stddef.h>

/* Returns the offset of the first byte that is not UTF-8, or `len` if there is none. */
size_t bcda__utf8_check(const char *text, size_t len);
/* Returns the same offset, and in the same pass sets *special to 1 if there is a byte below 0x20 or
 * a backslash before that offset, else to 0. */
size_t bcda__utf8_scan(const char *text, size_t len, int *special);
/* Returns the length of the valid character outside ASCII at the start of `text`, or 0 if there is
 * none. `len` must not be 0. */
size_t bcda__utf8_char_len(const char *text, size_t len);
/* Returns 1 if `text` is the start of a valid character whose last bytes are missing. */
int bcda__utf8_is_cut(const char *text, size_t len);

#endif
