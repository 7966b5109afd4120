/* Small pure functions on text. */
#ifndef BCDA_BASE_TEXT_H
#define BCDA_BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

char *bcda__strdup(const char *text); /* NULL if out of memory, or if `text` is NULL */
char *bcda__strndup(const char *text, size_t len);
/* Replaces the allocated string in *slot with a copy of `text`, or with NULL if `text` is NULL.
 * Returns 0, or BCDA_ERR_NOMEM, which leaves *slot unchanged. */
int bcda__text_replace(char **slot, const char *text);

/* Copy `from` to `to`, or append it to `to`. A text that does not fit in `size` bytes is cut after
 * a whole UTF-8 character. */
void bcda__text_copy(char *to, size_t size, const char *from);
void bcda__text_append(char *to, size_t size, const char *from);
/* Write a text for people to read: one line, which ends with "..." if it was cut. bcda__text_show()
 * copies `from`; bcda__text_format() and bcda__text_print() format like vsnprintf() and
 * snprintf(). */
void bcda__text_show(char *to, size_t size, const char *from);
void bcda__text_format(char *to, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
void bcda__text_print(char *to, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bcda__text_cut_utf8(char *text); /* removes an incomplete UTF-8 character at the end */
void bcda__text_one_line(char *text); /* replaces control characters with spaces */

/* These functions treat only ASCII letters as letters, and do not depend on the locale. */
int bcda__text_equal_nocase(const char *a, size_t a_len, const char *b);
int bcda__text_starts_nocase(const char *text, const char *prefix);
int bcda__text_contains_nocase(const char *text, const char *word);
int bcda__text_is_alpha(const char *text, size_t len);

/* Parses 1 to 18 decimal digits, without a sign and without spaces. Returns 0, or -1 if the text is
 * anything else. */
int bcda__text_to_int64(const char *text, size_t len, int64_t *out);
/* Parses such digits, and ignores a fraction that may follow: a dot and any number of digits. */
int bcda__text_to_whole(const char *text, size_t len, int64_t *out);

/* Decodes hexadecimal digits of either case. Returns 0, or -1 if a character is not a hexadecimal
 * digit, `len` is odd, or `size` is too small. */
int bcda__text_hex_decode(const char *hex, size_t len, uint8_t *out, size_t size, size_t *out_len);

size_t bcda__text_base64_size(size_t len); /* including the NUL */
void bcda__text_base64(const void *data, size_t len, char *out);
/* base64url without padding (RFC 4648 5), as JSON Web Tokens have it. */
size_t bcda__text_base64url_size(size_t len); /* of the text, including the NUL */
void bcda__text_base64url(const void *data, size_t len, char *out);
size_t bcda__text_base64url_decoded(size_t len); /* of the bytes that `len` characters decode to */
/* Decodes such a text. Returns 0, or -1 if a character is not in the alphabet (such as '=', '+' and
 * white space), `len` is not the length of any encoding, unused bits are not zero, or `size` is too
 * small. `out` may be written even then.
 */
int bcda__text_base64url_decode(const char *text, size_t len, uint8_t *out, size_t size,
                                size_t *out_len);

#endif
