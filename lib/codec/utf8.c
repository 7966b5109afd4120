#include "codec/utf8.h"

#include <stdint.h>
#include <string.h>

/* Claims are nearly all ASCII, so 64 bytes are tested at a time. The compiler maps these vectors to
 * the vector instructions of the machine. */
typedef signed char vec __attribute__((vector_size(16)));

enum { BLOCK = 4 * sizeof(vec) };

#define EACH(c)                                        \
    {                                                  \
        c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c \
    }

static inline vec load_vector(const unsigned char *p)
{
    vec v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t fold_vector(vec v)
{
    uint64_t w[2];

    memcpy(w, &v, sizeof w);
    return w[0] | w[1];
}

static inline int is_special(unsigned char c)
{
    return c < 0x20 || c == '\\';
}

/* Returns the number of ASCII bytes at the start of `p`. Sets *special to 1 if is_special() is true
 * for one of them. The function is always inlined, so that the compiler removes this test where
 * `special` is NULL. */
static inline __attribute__((always_inline)) size_t skip_ascii(const unsigned char *p, size_t len,
                                                               int *special)
{
    static const vec space = EACH(0x20), backslash = EACH('\\');
    vec met = {0};
    size_t i = 0;

    for (; len - i >= BLOCK; i += BLOCK) {
        vec a = load_vector(p + i), b = load_vector(p + i + 16), c = load_vector(p + i + 32),
            d = load_vector(p + i + 48);

        if (fold_vector(a | b | c | d) & UINT64_C(0x8080808080808080))
            break;
        if (special) /* all bytes are ASCII, so the signed comparison is correct */
            met |= (a < space) | (b < space) | (c < space) | (d < space) | (a == backslash) |
                   (b == backslash) | (c == backslash) | (d == backslash);
    }
    if (special && fold_vector(met))
        *special = 1;
    for (; i < len && p[i] < 0x80; i++)
        if (special && is_special(p[i]))
            *special = 1;
    return i;
}

static int is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Returns the length of the multibyte character at `p`, or 0 if it is invalid (table 3-7 of the
 * Unicode standard). */
static size_t multibyte_len(const unsigned char *p, size_t len)
{
    unsigned char low = 0x80, high = 0xBF;

    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        return len >= 2 && is_tail(p[1]) ? 2 : 0;
    if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        low = p[0] == 0xE0 ? 0xA0 : low;
        high = p[0] == 0xED ? 0x9F : high;
        return len >= 3 && p[1] >= low && p[1] <= high && is_tail(p[2]) ? 3 : 0;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        low = p[0] == 0xF0 ? 0x90 : low;
        high = p[0] == 0xF4 ? 0x8F : high;
        return len >= 4 && p[1] >= low && p[1] <= high && is_tail(p[2]) && is_tail(p[3]) ? 4 : 0;
    }
    return 0;
}

static inline __attribute__((always_inline)) size_t check_utf8(const char *text, size_t len,
                                                               int *special)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;

    for (;;) {
        size_t n;

        i += skip_ascii(p + i, len - i, special);
        if (i == len)
            return len;
        n = multibyte_len(p + i, len - i);
        if (!n)
            return i;
        i += n;
    }
}

size_t bcda__utf8_check(const char *text, size_t len)
{
    return check_utf8(text, len, NULL);
}

size_t bcda__utf8_scan(const char *text, size_t len, int *special)
{
    int met = 0;
    size_t good = check_utf8(text, len, &met);

    *special = met;
    return good;
}

size_t bcda__utf8_char_len(const char *text, size_t len)
{
    return multibyte_len((const unsigned char *)text, len);
}

int bcda__utf8_is_cut(const char *text, size_t len)
{
    /* Complete the text with 0x80 bytes, and with 0xBF bytes: after any start of a valid character,
     * at least one of them is valid. */
    unsigned char low[4] = {0x80, 0x80, 0x80, 0x80}, high[4] = {0xBF, 0xBF, 0xBF, 0xBF};

    if (len == 0 || len > 3)
        return 0;
    memcpy(low, text, len);
    memcpy(high, text, len);
    return multibyte_len(low, sizeof low) > len || multibyte_len(high, sizeof high) > len;
}
