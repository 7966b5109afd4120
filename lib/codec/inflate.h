/* Incremental gzip. gzip.h parses headers and trailers, inflate_raw.h the deflate streams. */
#ifndef BCDA_CODEC_INFLATE_H
#define BCDA_CODEC_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Accepts any number of members in sequence, and verifies the checksum and length of each. The
 * server ends every file with an empty member (bcda-api 6.1). Zero bytes after the last member
 * (padding) are accepted, as by gzip itself. Other bytes there are BCDA_ERR_GZIP. */
struct bcda__inflate;
int bcda__inflate_new(struct bcda__inflate **out); /* BCDA_ERR_NOMEM, LIBRARY */
/* Takes *used bytes, up to `len`, from `in`, and writes *made bytes, up to `cap`, to `out`.
 * Continues until the input is used up or `out` is full. If `out` is full, the next call returns
 * more output, also with `len` 0. 0, BCDA_ERR_GZIP, NOMEM. After an error every call returns that
 * error. */
int bcda__inflate_run(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                      uint8_t *out, size_t cap, size_t *made);
/* Ends the input. 0, or BCDA_ERR_GZIP_CUT: the input ends inside a member, or has no member. */
int bcda__inflate_finish(struct bcda__inflate *z);
/* Sets the end of the input to `at` bytes from its start, although more was received. The server
 * adds an empty member to a file that it sends whole. That member is not in the stored file, so a
 * resumed file ends without it (bcda-api 6.1). 0, or BCDA_ERR_GZIP_CUT: `at` is not the end of the
 * last verified member, or there was output after it. */
int bcda__inflate_end_at(struct bcda__inflate *z, int64_t at);
void bcda__inflate_free(struct bcda__inflate *z);

#endif
