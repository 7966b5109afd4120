/* The decoder takes the bytes of a file, decompresses and decrypts them, and returns batches of
 * lines. It does no I/O and calls no callback of the application, so the session's thread, decode
 * threads and bcda_decoder all use it. */
#ifndef BCDA_CODEC_DECODER_H
#define BCDA_CODEC_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/batch.h"
#include "codec/coding.h"
#include "codec/crypto.h"
#include "codec/fields.h"

/* What the manifest says about the decoded file, which is neither compressed nor encrypted. */
struct bcda__expected {
    int64_t length;          /* in bytes; -1 = unknown */
    int64_t count;           /* lines that are not blank; -1 = unknown */
    const uint8_t *checksum; /* SHA-256; NULL = unknown */
};

struct bcda__decoder_options {
    /* `name`, `fields` and `expected` must outlive the decoder. */
    const char *name;                  /* the name of the file, for error texts */
    const struct bcda__coding *coding; /* NULL = identity */
    const uint8_t *key;                /* BCDA__GCM_KEY bytes, copied; NULL = not encrypted */
    size_t line_max;
    int depth_max;
    size_t batch_size;                     /* a batch with this many bytes is full */
    const struct bcda__field_set *fields;  /* NULL = none */
    const struct bcda__expected *expected; /* NULL = nothing is known */
    /* 1 = only the checks of the whole file are made. Lines are not read, and there are no
     * batches. */
    int check_only;
    /* 1 = an earlier pass over the same bytes has verified the file, so its batches are not
     * provisional. */
    int trusted;
    int yajl_only; /* 1 = the scanner is not used */
    /* 1 = each batch says where it ends. */
    int marks;
    /* NULL, or what the application confirmed of this file before, copied. The lines up to
     * confirmed->line are read but not delivered. No batch is available before the bytes up to
     * confirmed->bytes were read; if they differ, or if the lines before that would need a larger
     * batch than there can be, the file fails with BCDA_ERR_CHANGED. */
    const struct bcda__mark *confirmed;
    int deletions; /* 1 = a line that is not a Bundle of deletions is invalid (codec/deletion.h) */
};

/* What decoding has cost, and what it has found. */
struct bcda__spent {
    int64_t inflate, decrypt, parse; /* time in each stage, in nanoseconds */
    int64_t yajl_lines;              /* lines that yajl has read (codec/line.h) */
    int64_t confirmed_bad;           /* invalid lines among those that were confirmed before */
};

struct bcda__decoder;
int bcda__decoder_new(struct bcda__decoder **out, const struct bcda__decoder_options *o,
                      struct bcda_error *err);

/* Decodes *used bytes of `data`. If *used is less than `len`, the batch is full, and the caller
 * must take it before the next call. Returns 0. BCDA_ERR_GZIP, TAG, NOMEM or LIBRARY: the file has
 * failed, and `err` is filled. */
int bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                        struct bcda_error *err);

/* Ends the file. Makes all checks of the whole file (end of gzip, tag, manifest), and then reads
 * the last line if it has no LF. Returns 0 if the file is complete; batches that are taken later
 * are then verified. Returns BCDA_ERR_AGAIN if the caller must first take a batch. If the file has
 * failed, returns BCDA_ERR_GZIP_CUT, CIPHER_SHORT, TAG, LENGTH, CHECKSUM, COUNT, LINE_CUT, CHANGED,
 * an error of bcda__decoder_write(), or the code given to bcda__decoder_refuse_line(). */
int bcda__decoder_finish(struct bcda__decoder *d, struct bcda_error *err);

/* Declares that the stored file ends `at` bytes from its start, although more bytes were received;
 * see bcda__inflate_end_at(). Call bcda__decoder_finish() next. Returns 0, or an error if the file
 * cannot end there. */
int bcda__decoder_end_at(struct bcda__decoder *d, int64_t at);

/* Returns 1 if the batch is full, so that the caller must take it. */
int bcda__decoder_is_full(const struct bcda__decoder *d);
/* Returns 1 if there is a batch to take, full or not. */
int bcda__decoder_has_batch(const struct bcda__decoder *d);
/* Takes the batch, which the caller then owns. Returns 0, BCDA_ERR_END if there is none, or
 * NOMEM. */
int bcda__decoder_take(struct bcda__decoder *d, struct bcda_batch **out);
/* Gives back a batch, so that the decoder can fill it again. A batch to which the application keeps
 * a reference is not filled again. */
void bcda__decoder_give_back(struct bcda__decoder *d, struct bcda_batch *b);

/* Makes the file fail because of an invalid line that is not tolerated; `err` describes the line.
 * No more lines are read. Returns 0 if the checks at the end of the file (gzip, tag, checksum) can
 * still show that the bytes were altered, which is the better explanation. bcda__decoder_finish()
 * then returns the error of these checks, or else the code of `err`. If there are no such checks,
 * returns the code of `err`: the file has failed at once. */
int bcda__decoder_refuse_line(struct bcda__decoder *d, const struct bcda_error *err);
/* Fills `err` with the error given to bcda__decoder_refuse_line(), and returns its code. Returns 0
 * if that function was not called. */
int bcda__decoder_refused_line(const struct bcda__decoder *d, struct bcda_error *err);

/* Adds to *sum what was spent since the last call. */
void bcda__decoder_take_spent(struct bcda__decoder *d, struct bcda__spent *sum);
int64_t bcda__decoder_bytes(const struct bcda__decoder *d); /* decoded bytes so far */
int64_t bcda__decoder_lines(const struct bcda__decoder *d); /* lines read, including blank lines */
void bcda__decoder_free(struct bcda__decoder *d);

/* Describes an invalid line in `err`: file name, line number, offset and cause, but never the
 * content. Returns bad->code. */
int bcda__bad_line_error(const struct bcda_bad_line *bad, const char *name, struct bcda_error *err);

#endif
