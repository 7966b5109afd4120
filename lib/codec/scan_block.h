/* What the scanner asks about 64 bytes of a line: where are quotes, and are there special bytes. A
 * byte is special if it is below 0x20, above 0x7F, or a backslash. There are three versions of the
 * same functions: for SSE2, for NEON, and for any other machine. */
#ifndef BCDA_CODEC_SCAN_BLOCK_H
#define BCDA_CODEC_SCAN_BLOCK_H

#include <stdint.h>
#include <string.h>

#include "codec/word.h"

enum { SCAN_BLOCK = 64 };

#if !defined BCDA_SCAN_WORDS && defined __SSE2__
#include <emmintrin.h>

/* Returns the number of the lowest bit that is set; any number if none is set. In C this needs one
 * more instruction, because __builtin_ctzll(0) is undefined. BSF with this prefix is TZCNT on newer
 * processors, which is faster, and BSF on older ones. */
static inline uint32_t lowest_bit(uint64_t bits)
{
    uint64_t n;

    __asm__("rep bsfq %1, %0" : "=r"(n) : "r"(bits) : "cc");
    return (uint32_t)n;
}

/* Returns a bit for each byte that is 0xFF, from vectors whose bytes are 0 or 0xFF. */
static inline uint64_t bits_of_vectors(__m128i a, __m128i b, __m128i c, __m128i d)
{
    uint64_t low = (unsigned)_mm_movemask_epi8(a) | (unsigned)_mm_movemask_epi8(b) << 16;
    uint64_t high = (unsigned)_mm_movemask_epi8(c) | (unsigned)_mm_movemask_epi8(d) << 16;

    return low | high << 32;
}

/* Finds the bytes below 0x20 and above 0x7F. The comparison is signed, so it includes the latter.
 */
static inline __m128i beyond_ascii(__m128i v)
{
    return _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
}

/* Returns a bit for each quote. Sets *count to their number, and *special to 1 if there is a
 * special byte, else to 0. */
static inline uint64_t block_quotes(const char *block, unsigned *count, int *special)
{
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i zero = _mm_setzero_si128();
    __m128i v0 = _mm_loadu_si128((const __m128i *)(const void *)block);
    __m128i v1 = _mm_loadu_si128((const __m128i *)(const void *)(block + 16));
    __m128i v2 = _mm_loadu_si128((const __m128i *)(const void *)(block + 32));
    __m128i v3 = _mm_loadu_si128((const __m128i *)(const void *)(block + 48));
    __m128i low = _mm_min_epu8(_mm_min_epu8(v0, v1), _mm_min_epu8(v2, v3));
    __m128i any = _mm_or_si128(_mm_or_si128(v0, v1), _mm_or_si128(v2, v3));
    __m128i q0 = _mm_cmpeq_epi8(v0, quote), q1 = _mm_cmpeq_epi8(v1, quote);
    __m128i q2 = _mm_cmpeq_epi8(v2, quote), q3 = _mm_cmpeq_epi8(v3, quote);
    __m128i sum = _mm_add_epi8(_mm_add_epi8(q0, q1), _mm_add_epi8(q2, q3));

    sum = _mm_sad_epu8(_mm_sub_epi8(zero, sum), zero); /* two sums, one for each half */
    *count = (unsigned)_mm_cvtsi128_si32(sum) + (unsigned)_mm_extract_epi16(sum, 4);
    /* Only the highest bit of each byte of `any` is used. It is set for a byte above 0x7F, and, by
     * the subtraction, for a byte below 0x20. */
    any = _mm_or_si128(any, _mm_sub_epi8(low, _mm_set1_epi8(0x20)));
    any = _mm_or_si128(any, _mm_or_si128(_mm_cmpeq_epi8(v0, slash), _mm_cmpeq_epi8(v1, slash)));
    any = _mm_or_si128(any, _mm_or_si128(_mm_cmpeq_epi8(v2, slash), _mm_cmpeq_epi8(v3, slash)));
    *special = _mm_movemask_epi8(any) != 0;
    return bits_of_vectors(q0, q1, q2, q3);
}

/* Returns a bit for each special byte, and in *slash a bit for each backslash. */
static inline uint64_t block_special(const char *block, uint64_t *slash)
{
    const __m128i backslash = _mm_set1_epi8('\\');
    __m128i v[4];

    memcpy(v, block, sizeof v);
    *slash = bits_of_vectors(_mm_cmpeq_epi8(v[0], backslash), _mm_cmpeq_epi8(v[1], backslash),
                             _mm_cmpeq_epi8(v[2], backslash), _mm_cmpeq_epi8(v[3], backslash));
    return *slash | bits_of_vectors(beyond_ascii(v[0]), beyond_ascii(v[1]), beyond_ascii(v[2]),
                                    beyond_ascii(v[3]));
}

#elif !defined BCDA_SCAN_WORDS && defined __aarch64__ && defined __ARM_NEON && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_neon.h>

/* Returns the number of the lowest bit that is set; any number if none is set. */
static inline uint32_t lowest_bit(uint64_t bits)
{
    return (uint32_t)__builtin_ctzll(bits | UINT64_C(1) << 63);
}

static inline uint64_t bits_of_vectors(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d)
{
    static const uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t weight = vld1q_u8(bit);
    uint8x16_t ab = vpaddq_u8(vandq_u8(a, weight), vandq_u8(b, weight));
    uint8x16_t cd = vpaddq_u8(vandq_u8(c, weight), vandq_u8(d, weight));
    uint8x16_t all = vpaddq_u8(ab, cd);

    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

static inline uint8x16_t special_of_vector(uint8x16_t v)
{
    /* The comparison is signed, so it includes the bytes above 0x7F. */
    return vorrq_u8(vcltq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(0x20)),
                    vceqq_u8(v, vdupq_n_u8('\\')));
}

static inline uint64_t block_quotes(const char *block, unsigned *count, int *special)
{
    const uint8_t *p = (const uint8_t *)block;
    const uint8x16_t quote = vdupq_n_u8('"');
    uint8x16_t v0 = vld1q_u8(p), v1 = vld1q_u8(p + 16), v2 = vld1q_u8(p + 32),
               v3 = vld1q_u8(p + 48);
    uint8x16_t any = vorrq_u8(vorrq_u8(special_of_vector(v0), special_of_vector(v1)),
                              vorrq_u8(special_of_vector(v2), special_of_vector(v3)));
    uint64_t bits = bits_of_vectors(vceqq_u8(v0, quote), vceqq_u8(v1, quote), vceqq_u8(v2, quote),
                                    vceqq_u8(v3, quote));

    *count = (unsigned)__builtin_popcountll(bits);
    *special = vmaxvq_u8(any) != 0;
    return bits;
}

static inline uint64_t block_special(const char *block, uint64_t *slash)
{
    const uint8_t *p = (const uint8_t *)block;
    const uint8x16_t backslash = vdupq_n_u8('\\');

    *slash = bits_of_vectors(
        vceqq_u8(vld1q_u8(p), backslash), vceqq_u8(vld1q_u8(p + 16), backslash),
        vceqq_u8(vld1q_u8(p + 32), backslash), vceqq_u8(vld1q_u8(p + 48), backslash));
    return bits_of_vectors(special_of_vector(vld1q_u8(p)), special_of_vector(vld1q_u8(p + 16)),
                           special_of_vector(vld1q_u8(p + 32)),
                           special_of_vector(vld1q_u8(p + 48)));
}

#elif defined BCDA_SCAN_VECTORS
#error "the option -Dscanner=vectors needs SSE2, or NEON on a little-endian aarch64"
#else

/* Returns the number of the lowest bit that is set; any number if none is set. */
static inline uint32_t lowest_bit(uint64_t bits)
{
    return (uint32_t)__builtin_ctzll(bits | UINT64_C(1) << 63);
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Returns 0x80 in each byte of `w` that is equal to `value`. */
static inline uint64_t equal_bytes(uint64_t w, unsigned char value)
{
    uint64_t x = w ^ EACH_BYTE(value);

    return ~(((x & EACH_BYTE(0x7F)) + EACH_BYTE(0x7F)) | x) & EACH_BYTE(0x80);
}

/* Returns 0x80 in each byte of `w` that is special. */
static inline uint64_t special_of_word(uint64_t w)
{
    uint64_t printable = (w & EACH_BYTE(0x7F)) + EACH_BYTE(0x60); /* 0x80 = not below 0x20 */

    return ((~printable | w) & EACH_BYTE(0x80)) | equal_bytes(w, '\\');
}

/* Returns one bit for each byte that is 0x80; the others are 0. */
static inline uint64_t bits_of_word(uint64_t w)
{
    return (w >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static inline uint64_t block_quotes(const char *block, unsigned *count, int *special)
{
    uint64_t bits = 0, any = 0;
    int i;

    for (i = 0; i < 8; i++) {
        uint64_t w = bcda__load_word(block + 8 * i);

        any |= special_of_word(w);
        bits |= bits_of_word(equal_bytes(w, '"')) << 8 * i;
    }
    *count = (unsigned)__builtin_popcountll(bits);
    *special = any != 0;
    return bits;
}

static inline uint64_t block_special(const char *block, uint64_t *slash)
{
    uint64_t bits = 0;
    int i;

    *slash = 0;
    for (i = 0; i < 8; i++) {
        uint64_t w = bcda__load_word(block + 8 * i);

        bits |= bits_of_word(special_of_word(w)) << 8 * i;
        *slash |= bits_of_word(equal_bytes(w, '\\')) << 8 * i;
    }
    return bits;
}

#endif
#endif
