/* Incremental raw deflate (RFC 1951), without the header and trailer of gzip. A build has either
 * inflate_zlib.c or inflate_isal.c (option `inflate`). Each is the only file that includes its
 * library. */
#ifndef BCDA_CODEC_INFLATE_RAW_H
#define BCDA_CODEC_INFLATE_RAW_H

#include <stddef.h>
#include <stdint.h>

/* The maximum number of bytes that are taken beyond the end of the stream. A gzip trailer has as
 * many, so bytes of the next member are never among them. */
#define BCDA__RAW_REST 8

struct bcda__raw;
int bcda__raw_new(struct bcda__raw **out); /* BCDA_ERR_NOMEM, LIBRARY */
int bcda__raw_reset(struct bcda__raw *r);  /* before another stream; BCDA_ERR_LIBRARY */
/* Takes *used bytes, up to `len`, from `in`, and writes *made bytes, up to `cap`, to `out`. If both
 * are 0, there is no progress without more input or room. *ended = the end of the stream was
 * reached and all text was returned. The caller then calls bcda__raw_rest(), and bcda__raw_reset()
 * before the next run. Text that was decoded before an error is returned before the error. 0,
 * BCDA_ERR_GZIP, NOMEM. */
int bcda__raw_run(struct bcda__raw *r, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                  size_t cap, size_t *made, int *ended);
/* Copies the bytes that were taken beyond the end of the stream. Returns their number. */
size_t bcda__raw_rest(const struct bcda__raw *r, uint8_t rest[BCDA__RAW_REST]);
void bcda__raw_free(struct bcda__raw *r); /* wipes the state, which contains text */

/* Continues gzip's CRC-32. The first call has `crc` 0. */
uint32_t bcda__raw_crc(uint32_t crc, const uint8_t *at, size_t len);

#endif
