/* What gzip puts around a member's deflate stream (RFC 1952): a header and a trailer. */
#ifndef BCDA_CODEC_GZIP_H
#define BCDA_CODEC_GZIP_H

#include <stddef.h>
#include <stdint.h>

#define BCDA__GZIP_TRAILER 8

/* A header as it comes; zeroed before its first byte. */
struct bcda__gzip_head {
    int step;
    size_t count; /* bytes of this step so far */
    size_t extra; /* the length of the field FEXTRA */
    uint32_t crc; /* of all before the header's own checksum */
    uint32_t sum; /* that checksum, as far as it has come */
    uint8_t flags;
    uint8_t last; /* the byte before */
};

/* Takes up to `len` bytes (*used), and none behind the header; *whole = it has ended. 0, or
 * BCDA_ERR_GZIP: no gzip, a method or flag that nobody has defined, or its checksum is wrong. */
int bcda__gzip_head_run(struct bcda__gzip_head *h, const uint8_t *in, size_t len, size_t *used,
                        int *whole);
/* Whether it is the trailer of text with this CRC-32 and this length (modulo 2^32), as far as its
 * `len` bytes can say: 0, or BCDA_ERR_GZIP. */
int bcda__gzip_check(const uint8_t trailer[BCDA__GZIP_TRAILER], size_t len, uint32_t crc,
                     uint32_t size);

#endif
