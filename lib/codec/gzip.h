/* The header and the trailer of a gzip member (RFC 1952), before and after its deflate stream. */
#ifndef BCDA_CODEC_GZIP_H
#define BCDA_CODEC_GZIP_H

#include <stddef.h>
#include <stdint.h>

#define BCDA__GZIP_TRAILER 8

/* The state of a header that is being parsed. It is zeroed before the first byte. */
struct bcda__gzip_head {
    int step;
    size_t count; /* bytes of this step so far */
    size_t extra; /* the length of the field FEXTRA */
    uint32_t crc; /* of all bytes before the field CRC16 */
    uint32_t sum; /* the field CRC16, as far as it was received */
    uint8_t flags;
    uint8_t last; /* the previous byte */
};

/* Takes *used bytes, up to `len`, and none after the header. *whole = the header is complete. 0, or
 * BCDA_ERR_GZIP: not gzip, an undefined method or flag, or a wrong header checksum. */
int bcda__gzip_head_run(struct bcda__gzip_head *h, const uint8_t *in, size_t len, size_t *used,
                        int *whole);
/* Compares the first `len` bytes of a trailer with the CRC-32 and the length (modulo 2^32) of the
 * text. Each of the two fields is compared once it is complete. 0 or BCDA_ERR_GZIP. */
int bcda__gzip_check(const uint8_t trailer[BCDA__GZIP_TRAILER], size_t len, uint32_t crc,
                     uint32_t size);

#endif
