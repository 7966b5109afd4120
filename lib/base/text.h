/* Small pure functions on text. */
#ifndef BCDA_BASE_TEXT_H
#define BCDA_BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

char *bcda__strdup(const char *text); /* NULL where memory is refused, or text is NULL */
char *bcda__strndup(const char *text, size_t len);
/* Replaces the allocated string in *slot by a copy of `text`; NULL = none. NOMEM: *slot stays. */
int bcda__text_replace(char **slot, const char *text);

/* Copies and appends that cut (at a whole UTF-8 character) instead of running over. */
void bcda__text_copy(char *to, size_t size, const char *from);
void bcda__text_append(char *to, size_t size, const char *from);
/* For people: one line that ends with "..." where it was cut. `show` copies, the others are as
 * snprintf() and vsnprintf(). */
void bcda__text_show(char *to, size_t size, const char *from);
void bcda__text_format(char *to, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
void bcda__text_print(char *to, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bcda__text_cut_utf8(char *text); /* drops a character that was cut at the end */
void bcda__text_one_line(char *text); /* control characters become spaces */

/* ASCII only, whatever the locale is. */
int bcda__text_equal_nocase(const char *a, size_t a_len, const char *b);
int bcda__text_starts_nocase(const char *text, const char *prefix);
int bcda__text_contains_nocase(const char *text, const char *word);
int bcda__text_is_alpha(const char *text, size_t len);

/* Decimal digits only (no sign, no space), 1 to 18 of them; 0, or -1. */
int bcda__text_to_int64(const char *text, size_t len, int64_t *out);

/* "0aFF" → bytes. Either case; 0, or -1 where a character is not hex, the count is odd or `size`
 * too small. */
int bcda__text_hex_decode(const char *hex, size_t len, uint8_t *out, size_t size, size_t *out_len);

size_t bcda__text_base64_size(size_t len); /* with the NUL */
void bcda__text_base64(const void *data, size_t len, char *out);

#endif
