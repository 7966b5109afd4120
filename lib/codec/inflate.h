/* gzip as a stream: members by gzip.h, the deflate inside them by inflate_raw.h. */
#ifndef BCDA_CODEC_INFLATE_H
#define BCDA_CODEC_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Any number of members, one after the other, each with its checksum and length verified; the
 * server ends every file with an empty one (bcda-api 6.1). Zero bytes behind the last member
 * (padding) are accepted, as gzip itself does; anything else there is BCDA_ERR_GZIP. */
struct bcda__inflate;
int bcda__inflate_new(struct bcda__inflate **out); /* BCDA_ERR_NOMEM, LIBRARY */
/* Takes up to `len` bytes of `in` (*used) and writes up to `cap` bytes to `out` (*made). Goes on
 * until one of the two is exhausted; output that still waits inside comes with the next call, also
 * one with len 0. 0, BCDA_ERR_GZIP, NOMEM. After an error every call gives the same error. */
int bcda__inflate_run(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                      uint8_t *out, size_t cap, size_t *made);
/* The input is over: 0, or BCDA_ERR_GZIP_CUT inside a member or with no member at all. */
int bcda__inflate_finish(struct bcda__inflate *z);
/* The input turned out to end `at` bytes from its start, where the last member that was verified
 * ended, though more had come: what this server adds to a file on its way, an empty member, is not
 * in the file, and a file that is gone on with ends without it (bcda-api 6.1). 0, or
 * BCDA_ERR_GZIP_CUT where it is no such place. */
int bcda__inflate_end_at(struct bcda__inflate *z, int64_t at);
void bcda__inflate_free(struct bcda__inflate *z);

#endif
