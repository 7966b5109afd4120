/* Incremental decompression of gzip. gzip.h parses headers and trailers, and inflate_raw.h the
 * deflate streams. */
#ifndef BCDA_CODEC_INFLATE_H
#define BCDA_CODEC_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Accepts any number of members in sequence, and verifies the checksum and length of each. The
 * server ends every file with an empty member (bcda-api 6.1). Zero bytes after the last member
 * (padding) are accepted, as by the program gzip. Any other bytes there fail with BCDA_ERR_GZIP. */
struct bcda__inflate;
int bcda__inflate_new(struct bcda__inflate **out); /* 0, BCDA_ERR_NOMEM or LIBRARY */
/* Takes *used bytes, up to `len`, from `in`, and writes *made bytes, up to `cap`, to `out`.
 * Continues until the input is used up or `out` is full. If `out` is full, the next call returns
 * more output, even if its `len` is 0. Returns 0, BCDA_ERR_GZIP or NOMEM. After an error every call
 * returns that error. */
int bcda__inflate_run(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                      uint8_t *out, size_t cap, size_t *made);
/* Ends the input. Returns 0, or BCDA_ERR_GZIP_CUT if the input ends inside a member or has no
 * member. */
int bcda__inflate_finish(struct bcda__inflate *z);
/* Declares that the input ends `at` bytes from its start, although more bytes were received. This
 * is for a download that was interrupted and resumed. When the server sends a whole file, it adds
 * an empty member that is not in the stored file. A resumed file ends without this member, although
 * a part of it may have been received before (bcda-api 6.1). Returns 0, or BCDA_ERR_GZIP_CUT if
 * `at` is not the end of the last verified member, or if there was output after that member. */
int bcda__inflate_end_at(struct bcda__inflate *z, int64_t at);
void bcda__inflate_free(struct bcda__inflate *z);

#endif
