#include "codec/utf8.h"

#include <stdint.h>
#include <string.h>

/* Claims are nearly all ASCII, so 32 bytes at a time are tested for the high bit. */
static size_t skip_ascii(const unsigned char *p, size_t len)
{
    size_t i = 0;

    while (len - i >= 32) {
        uint64_t w[4];

        memcpy(w, p + i, sizeof w);
        if ((w[0] | w[1] | w[2] | w[3]) & UINT64_C(0x8080808080808080))
            break;
        i += 32;
    }
    while (i < len && p[i] < 0x80)
        i++;
    return i;
}

static int is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* The length of the character at `p`, or 0 where there is none (table 3-7 of the Unicode standard).
 */
static size_t multibyte(const unsigned char *p, size_t len)
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

size_t bcda__utf8_check(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;

    for (;;) {
        size_t n;

        i += skip_ascii(p + i, len - i);
        if (i == len)
            return len;
        n = multibyte(p + i, len - i);
        if (!n)
            return i;
        i += n;
    }
}

int bcda__utf8_is_cut(const char *text, size_t len)
{
    /* Whatever the lead, one of these two is a tail that may follow it. */
    unsigned char low[4] = {0x80, 0x80, 0x80, 0x80}, high[4] = {0xBF, 0xBF, 0xBF, 0xBF};

    if (len == 0 || len > 3)
        return 0;
    memcpy(low, text, len);
    memcpy(high, text, len);
    return multibyte(low, sizeof low) > len || multibyte(high, sizeof high) > len;
}
