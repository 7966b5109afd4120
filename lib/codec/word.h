/* Eight bytes of a text as one number, to compare them at once. */
#ifndef BCDA_CODEC_WORD_H
#define BCDA_CODEC_WORD_H

#include <stdint.h>
#include <string.h>

/* Returns the eight bytes at `p`; the first one is the least significant. */
static inline uint64_t bcda__load_word(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

#endif
