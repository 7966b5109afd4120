/* Incremental raw deflate (RFC 1951), without the header and trailer of gzip. A build uses either
 * inflate_zlib.c or inflate_isal.c (build option `inflate`). Only these files include zlib and
 * ISA-L. */
#ifndef BCDA_CODEC_INFLATE_RAW_H
#define BCDA_CODEC_INFLATE_RAW_H

#include <stddef.h>
#include <stdint.h>

/* The maximum number of bytes that are taken beyond the end of the stream. A gzip trailer has this
 * length, so bytes of the next member are never taken. */
#define BCDA__RAW_REST 8

struct bcda__raw;
int bcda__raw_new(struct bcda__raw **out); /* 0, BCDA_ERR_NOMEM or LIBRARY */
int bcda__raw_reset(struct bcda__raw *r);  /* prepares for another stream; 0 or BCDA_ERR_LIBRARY */
/* Takes *used bytes, up to `len`, from `in`, and writes *made bytes, up to `cap`, to `out`. If both
 * are 0, the function needs more input or a larger `out` to continue. Sets *ended to 1 if the
 * stream has ended and all output was returned. The caller then calls bcda__raw_rest(), and, before
 * another stream, bcda__raw_reset(). Output that was decompressed before an error is still
 * returned, at the latest by the call that returns the error. Returns 0, BCDA_ERR_GZIP or NOMEM. */
int bcda__raw_run(struct bcda__raw *r, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                  size_t cap, size_t *made, int *ended);
/* Copies the bytes that were taken beyond the end of the stream to `rest`. Returns the number of
 * these bytes. */
size_t bcda__raw_rest(const struct bcda__raw *r, uint8_t rest[BCDA__RAW_REST]);
void bcda__raw_free(struct bcda__raw *r); /* wipes the state, which contains decompressed data */

/* Returns gzip's CRC-32 of the earlier bytes, whose CRC is `crc`, and these `len` bytes. For the
 * first bytes, `crc` is 0. */
uint32_t bcda__raw_crc(uint32_t crc, const uint8_t *at, size_t len);

#endif
