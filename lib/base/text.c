#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"

char *bcda__strndup(const char *text, size_t len)
{
    char *copy = bcda__alloc(len + 1);

    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

int bcda__text_replace(char **slot, const char *text)
{
    char *copy = NULL;

    if (text && !(copy = bcda__strdup(text)))
        return BCDA_ERR_NOMEM;
    bcda__free(*slot);
    *slot = copy;
    return 0;
}

char *bcda__strdup(const char *text)
{
    return text ? bcda__strndup(text, strlen(text)) : NULL;
}

void bcda__text_copy(char *to, size_t size, const char *from)
{
    to[0] = '\0';
    bcda__text_append(to, size, from);
}

void bcda__text_append(char *to, size_t size, const char *from)
{
    size_t have = strlen(to);
    size_t len = strlen(from);
    int cut = len > size - 1 - have;

    if (cut)
        len = size - 1 - have;
    memcpy(to + have, from, len);
    to[have + len] = '\0';
    if (cut)
        bcda__text_cut_utf8(to);
}

/* Replaces the end of `text`, which was cut to fit `size`, with "...". */
static void mark_cut(char *text, size_t size)
{
    static const char mark[] = "...";

    if (size > sizeof mark && strlen(text) > size - sizeof mark)
        text[size - sizeof mark] = '\0';
    bcda__text_cut_utf8(text);
    if (size > sizeof mark)
        bcda__text_append(text, size, mark);
}

void bcda__text_show(char *to, size_t size, const char *from)
{
    bcda__text_copy(to, size, from);
    if (strlen(from) >= size)
        mark_cut(to, size);
    bcda__text_one_line(to);
}

void bcda__text_format(char *to, size_t size, const char *format, va_list args)
{
    int n;

    to[0] = '\0';
    n = vsnprintf(to, size, format, args);
    if (n >= 0 && (size_t)n >= size)
        mark_cut(to, size);
    bcda__text_one_line(to);
}

void bcda__text_print(char *to, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bcda__text_format(to, size, format, args);
    va_end(args);
}

void bcda__text_cut_utf8(char *text)
{
    size_t len = strlen(text);
    size_t i = len;
    unsigned char lead;
    size_t need;

    while (i > 0 && len - i < 3 && ((unsigned char)text[i - 1] & 0xC0) == 0x80)
        i--;
    if (i == 0)
        return;
    lead = (unsigned char)text[i - 1];
    need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (need > len - (i - 1))
        text[i - 1] = '\0';
}

void bcda__text_one_line(char *text)
{
    unsigned char *p;

    for (p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7F)
            *p = ' ';
    while (p > (unsigned char *)text && p[-1] == ' ')
        *--p = '\0';
}

static int ascii_lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

int bcda__text_equal_nocase(const char *a, size_t a_len, const char *b)
{
    size_t i;

    for (i = 0; i < a_len; i++)
        if (!b[i] || ascii_lower((unsigned char)a[i]) != ascii_lower((unsigned char)b[i]))
            return 0;
    return b[a_len] == '\0';
}

int bcda__text_starts_nocase(const char *text, const char *prefix)
{
    for (; *prefix; text++, prefix++)
        if (ascii_lower((unsigned char)*text) != ascii_lower((unsigned char)*prefix))
            return 0;
    return 1;
}

int bcda__text_contains_nocase(const char *text, const char *word)
{
    for (; *text; text++)
        if (bcda__text_starts_nocase(text, word))
            return 1;
    return 0;
}

int bcda__text_is_alpha(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        int c = ascii_lower((unsigned char)text[i]);
        if (c < 'a' || c > 'z')
            return 0;
    }
    return len > 0;
}

int bcda__text_to_int64(const char *text, size_t len, int64_t *out)
{
    int64_t value = 0;
    size_t i;

    if (len == 0 || len > 18)
        return -1;
    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    *out = value;
    return 0;
}

int bcda__text_to_whole(const char *text, size_t len, int64_t *out)
{
    size_t digits = 0;
    size_t i;

    while (digits < len && text[digits] != '.')
        digits++;
    for (i = digits + 1; i < len; i++)
        if (text[i] < '0' || text[i] > '9')
            return -1;
    return bcda__text_to_int64(text, digits, out);
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bcda__text_hex_decode(const char *hex, size_t len, uint8_t *out, size_t size, size_t *out_len)
{
    size_t i;

    if (len % 2 || len / 2 > size)
        return -1;
    for (i = 0; i < len / 2; i++) {
        int high = hex_digit((unsigned char)hex[2 * i]);
        int low = hex_digit((unsigned char)hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    *out_len = len / 2;
    return 0;
}

/* Writes the characters of the last group, which has 1 or 2 bytes. Returns the end of the text. */
static char *encode_rest(const char *alphabet, const uint8_t *p, size_t len, char *out)
{
    *out++ = alphabet[p[0] >> 2];
    *out++ = alphabet[(p[0] & 3) << 4 | (len > 1 ? p[1] >> 4 : 0)];
    if (len > 1)
        *out++ = alphabet[(p[1] & 15) << 2];
    return out;
}

/* Writes base64 without padding. Returns the end of the text. */
static char *encode_base64(const char *alphabet, const uint8_t *p, size_t len, char *out)
{
    for (; len >= 3; p += 3, len -= 3) {
        *out++ = alphabet[p[0] >> 2];
        *out++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
        *out++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
        *out++ = alphabet[p[2] & 63];
    }
    return len ? encode_rest(alphabet, p, len, out) : out;
}

size_t bcda__text_base64_size(size_t len)
{
    return (len + 2) / 3 * 4 + 1;
}

void bcda__text_base64(const void *data, size_t len, char *out)
{
    char *end = encode_base64("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                              data, len, out);

    while ((end - out) % 4)
        *end++ = '=';
    *end = '\0';
}

size_t bcda__text_base64url_size(size_t len)
{
    return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0) + 1;
}

void bcda__text_base64url(const void *data, size_t len, char *out)
{
    *encode_base64("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", data, len,
                   out) = '\0';
}

size_t bcda__text_base64url_decoded(size_t len)
{
    return len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
}

static int base64url_digit(int c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int bcda__text_base64url_decode(const char *text, size_t len, uint8_t *out, size_t size,
                                size_t *out_len)
{
    uint32_t bits = 0; /* those read but not yet written, in the lowest `have` bits */
    unsigned have = 0;
    size_t i, n = 0;

    if (len % 4 == 1 || len / 4 * 3 + len % 4 * 3 / 4 > size)
        return -1;
    for (i = 0; i < len; i++) {
        int digit = base64url_digit((unsigned char)text[i]);

        if (digit < 0)
            return -1;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
            bits &= (UINT32_C(1) << have) - 1;
        }
    }
    if (bits)
        return -1;
    *out_len = n;
    return 0;
}
