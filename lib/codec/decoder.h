/* The whole codec: takes the bytes of a file and returns batches of lines. It makes no I/O and
 * calls no callback of the application, so the session's thread, a worker and bcda_decoder use it
 * in the same way. */
#ifndef BCDA_CODEC_DECODER_H
#define BCDA_CODEC_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/batch.h"
#include "codec/coding.h"
#include "codec/crypto.h"

/* What the manifest says about the decoded file, without Content-Encoding and encryption. */
struct bcda__expected {
    int64_t length;          /* in bytes; -1 = unknown */
    int64_t count;           /* lines that are not blank; -1 = unknown */
    const uint8_t *checksum; /* SHA-256; NULL = unknown */
};

struct bcda__decoder_options {
    /* `name`, `fields` and `expected` must outlive the decoder. */
    const char *name;                  /* of the file, for error texts */
    const struct bcda__coding *coding; /* NULL = identity */
    const uint8_t *key;                /* BCDA__GCM_KEY bytes, copied; NULL = not encrypted */
    size_t line_max;
    int depth_max;
    size_t batch_size;                     /* a batch with this many bytes is full */
    const struct bcda__field_set *fields;  /* NULL = none */
    const struct bcda__expected *expected; /* NULL = nothing is known */
    /* Lines are not read and there are no batches. Only the checks of the whole file are made. */
    int check_only;
    /* The file was verified before, so its batches are not provisional. */
    int trusted;
};

/* Time spent in each stage, in nanoseconds. */
struct bcda__spent {
    int64_t inflate, decrypt, parse;
};

struct bcda__decoder;
int bcda__decoder_new(struct bcda__decoder **out, const struct bcda__decoder_options *o,
                      struct bcda_error *err);

/* Takes *used bytes of `data`. If *used is less than `len`, the batch is full and must be taken
 * first. 0; BCDA_ERR_GZIP, TAG, NOMEM, LIBRARY: the file has failed and `err` is filled. */
int bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                        struct bcda_error *err);

/* Ends the file. Makes all checks of the whole file (end of gzip, tag, manifest), and then reads
 * the last line if it has no LF. 0: the file is complete, and batches taken after this are
 * verified. BCDA_ERR_AGAIN: a batch must be taken first. The file has failed: BCDA_ERR_GZIP_CUT,
 * CIPHER_SHORT, TAG, LENGTH, CHECKSUM, COUNT, LINE_CUT, or the code given to
 * bcda__decoder_refuse_line(). */
int bcda__decoder_finish(struct bcda__decoder *d, struct bcda_error *err);

/* Sets the end of the stored file to `at` bytes from its start, although more was received: see
 * bcda__inflate_end_at(). The caller calls bcda__decoder_finish() next. An error: the file cannot
 * end there. */
int bcda__decoder_end_at(struct bcda__decoder *d, int64_t at);

/* 1 = the batch is full and must be taken. */
int bcda__decoder_is_full(const struct bcda__decoder *d);
/* 1 = there is a batch to take, full or not. */
int bcda__decoder_has_batch(const struct bcda__decoder *d);
/* The caller owns the batch. BCDA_ERR_END if there is none; NOMEM. */
int bcda__decoder_take(struct bcda__decoder *d, struct bcda_batch **out);
/* Gives back a batch. It is filled again, unless the application keeps a reference to it. */
void bcda__decoder_give_back(struct bcda__decoder *d, struct bcda_batch *b);

/* The file fails because of an invalid line that is not tolerated; `err` describes the line. No
 * more lines are read. 0: the end of the file can still show that the bytes were altered (gzip,
 * tag, checksum), which is the better diagnosis; bcda__decoder_finish() returns that error, or
 * otherwise `err`. Else the code of `err`: the file has failed. */
int bcda__decoder_refuse_line(struct bcda__decoder *d, const struct bcda_error *err);
/* Fills `err` with the error given to bcda__decoder_refuse_line(), and returns its code. 0 = none.
 */
int bcda__decoder_refused_line(const struct bcda__decoder *d, struct bcda_error *err);

/* Adds the time since the last call to *sum. */
void bcda__decoder_take_spent(struct bcda__decoder *d, struct bcda__spent *sum);
int64_t bcda__decoder_bytes(const struct bcda__decoder *d); /* decoded so far */
int64_t bcda__decoder_lines(const struct bcda__decoder *d); /* read so far, with blank lines */
void bcda__decoder_free(struct bcda__decoder *d);

/* Fills `err` for an invalid line: name, number, offset and cause, but never the content. Returns
 * bad->code. */
int bcda__bad_line_error(const struct bcda_bad_line *bad, const char *name, struct bcda_error *err);

#endif
