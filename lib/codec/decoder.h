/* The codec joined: bytes of a file in, batches of lines out. No I/O and no
 * host callback: it runs the same inline, on a worker, and from a file on disk. */
#ifndef BCDA_CODEC_DECODER_H
#define BCDA_CODEC_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/batch.h"
#include "codec/coding.h"
#include "codec/crypto.h"

/* What a manifest says about a file, of its bytes without Content-Encoding and encryption. */
struct bcda__expected {
    int64_t length;          /* bytes; -1 = not said */
    int64_t count;           /* lines that are not blank; -1 = not said */
    const uint8_t *checksum; /* SHA-256; NULL = not said */
};

struct bcda__decoder_options {
    const char *name;                  /* of the file, for error texts; outlives the decoder */
    const struct bcda__coding *coding; /* NULL = identity */
    const uint8_t *key;                /* NULL = not encrypted; BCDA__GCM_KEY bytes, copied */
    size_t line_max;
    int depth_max;
    size_t batch_size;                     /* the bytes that a batch gathers before it is full */
    const struct bcda__field_set *fields;  /* may be NULL; outlives the decoder */
    const struct bcda__expected *expected; /* NULL = nothing is; else it outlives the decoder */
    int check_only; /* lines are not read: there is never a batch, only the checks of the whole */
    int trusted;    /* verified before: what is delivered is not provisional */
};

/* Nanoseconds, by what they went for. */
struct bcda__spent {
    int64_t inflate, decrypt, parse;
};

struct bcda__decoder;
int bcda__decoder_new(struct bcda__decoder **out, const struct bcda__decoder_options *o,
                      struct bcda_error *err);

/* Takes bytes as they come: *used of them. Stops early (used < len) only when the batch is full and
 * must be taken first. 0; BCDA_ERR_GZIP, NOMEM, LIBRARY: the file is lost, `err` filled. */
int bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                        struct bcda_error *err);

/* The file is over. First every check of the whole (gzip end, tag), then the last line if no LF
 * ended it. BCDA_ERR_AGAIN: a batch must be taken first. 0: complete, batches taken from now on are
 * verified. BCDA_ERR_GZIP_CUT, CIPHER_SHORT, TAG, LENGTH, CHECKSUM, COUNT, LINE_CUT, or that of
 * bcda__decoder_refuse_line(): failed. */
int bcda__decoder_finish(struct bcda__decoder *d, struct bcda_error *err);

/* The stored file ends `at` bytes from its start, although more was received: see
 * bcda__inflate_end_at(). bcda__decoder_finish() follows. 0; otherwise the file cannot end there.
 */
int bcda__decoder_end_at(struct bcda__decoder *d, int64_t at);

/* 1 where bcda__decoder_take() would give a batch that is full. */
int bcda__decoder_is_full(const struct bcda__decoder *d);
/* 1 where it would give any. */
int bcda__decoder_has_batch(const struct bcda__decoder *d);
/* The caller owns the batch. BCDA_ERR_END where there is none, NOMEM. */
int bcda__decoder_take(struct bcda__decoder *d, struct bcda_batch **out);
/* Gives a batch back; its memory is used again unless the host holds it. */
void bcda__decoder_give_back(struct bcda__decoder *d, struct bcda_batch *b);

/* The file fails on an invalid line that is not tolerated: `err`. No more lines are read. Where the
 * end of the file can still show that the bytes were altered (gzip, tag, checksum), which would be
 * the better diagnosis: 0, and bcda__decoder_finish() gives what it finds, or else `err`. Otherwise
 * the code of `err`: the file has failed. */
int bcda__decoder_refuse_line(struct bcda__decoder *d, const struct bcda_error *err);
/* The line whose file was refused, while its end is still to be checked: its code, `err` filled; or
 * 0. */
int bcda__decoder_refused_line(const struct bcda__decoder *d, struct bcda_error *err);

/* Adds to *sum what was spent since this was last asked. */
void bcda__decoder_take_spent(struct bcda__decoder *d, struct bcda__spent *sum);
int64_t bcda__decoder_bytes(const struct bcda__decoder *d); /* decoded so far */
int64_t bcda__decoder_lines(const struct bcda__decoder *d); /* met so far, blank ones too */
void bcda__decoder_free(struct bcda__decoder *d);

/* Fills `err` for a bad line: name, number, offset, cause; never the line. Gives bad->code. */
int bcda__bad_line_error(const struct bcda_bad_line *bad, const char *name, struct bcda_error *err);

#endif
