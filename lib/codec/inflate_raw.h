/* Raw deflate (RFC 1951) as a stream; what gzip puts around it is read by inflate.c and gzip.c. One
 * of inflate_zlib.c and inflate_isal.c is in a build (option `inflate`), and each is the only
 * includer of its library. */
#ifndef BCDA_CODEC_INFLATE_RAW_H
#define BCDA_CODEC_INFLATE_RAW_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that may have been taken though they lie behind the end: no more than a gzip trailer has,
 * so that what follows a member is never among them. */
#define BCDA__RAW_REST 8

struct bcda__raw;
int bcda__raw_new(struct bcda__raw **out); /* BCDA_ERR_NOMEM, LIBRARY */
int bcda__raw_reset(struct bcda__raw *r);  /* another stream begins; BCDA_ERR_LIBRARY */
/* Takes up to `len` bytes of `in` (*used) and writes up to `cap` bytes to `out` (*made). Nothing
 * used and nothing made means that no more can be done. *ended = the stream is over and all of its
 * text was given; then comes bcda__raw_rest(), and a reset before the next run. What was decoded
 * before an error is given before it is told. 0, BCDA_ERR_GZIP, NOMEM. */
int bcda__raw_run(struct bcda__raw *r, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                  size_t cap, size_t *made, int *ended);
/* The bytes that were taken and lie behind the end, in their order; gives their number. */
size_t bcda__raw_rest(const struct bcda__raw *r, uint8_t rest[BCDA__RAW_REST]);
void bcda__raw_free(struct bcda__raw *r); /* wiped: it holds text */

/* gzip's CRC-32, gone on with; 0 to begin with. */
uint32_t bcda__raw_crc(uint32_t crc, const uint8_t *at, size_t len);

#endif
