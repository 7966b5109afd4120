/* Parses the header and checks the trailer of a gzip member (RFC 1952). The deflate stream between
 * them is read by inflate_raw.h. */
#ifndef BCDA_CODEC_GZIP_H
#define BCDA_CODEC_GZIP_H

#include <stddef.h>
#include <stdint.h>

#define BCDA__GZIP_TRAILER 8

/* The state of a header that is being parsed. It is zeroed before the first byte. */
struct bcda__gzip_head {
    int step;
    size_t count; /* bytes so far of the header field that is being read */
    size_t extra; /* the length of the field FEXTRA */
    uint32_t crc; /* CRC-32 of all header bytes before the field CRC16 */
    uint32_t sum; /* the bytes of the field CRC16 that were received so far */
    uint8_t flags;
    uint8_t last; /* the previous byte */
};

/* Takes *used bytes of the header, up to `len`, and no bytes after the header. Sets *whole to 1 if
 * the header is complete. Returns 0, or BCDA_ERR_GZIP if the bytes are not a gzip header, or if the
 * header has an undefined method or flag, or a wrong checksum. */
int bcda__gzip_head_run(struct bcda__gzip_head *h, const uint8_t *in, size_t len, size_t *used,
                        int *whole);
/* Compares the first `len` bytes of a trailer with the CRC-32 and the length (modulo 2^32) of the
 * decompressed data. Each of the two fields is compared as soon as it is complete. Returns 0, or
 * BCDA_ERR_GZIP if one is wrong. */
int bcda__gzip_check(const uint8_t trailer[BCDA__GZIP_TRAILER], size_t len, uint32_t crc,
                     uint32_t size);

#endif
