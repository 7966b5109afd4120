/* A source of the new bytes of a stored file, from the bodies of as many responses as needed. It
 * knows how much of the stored file was received. After a transfer was cut short, it requests the
 * rest, and makes sure that the file is still the same: if the server supports ranges, it requests
 * the last bytes again and compares them; otherwise it compares a keyed hash of everything received
 * before. */
#ifndef BCDA_CLIENT_INTAKE_H
#define BCDA_CLIENT_INTAKE_H

#include "base/err.h"
#include "base/secret.h"
#include "client/call.h"
#include "client/source.h"
#include "codec/crypto.h"
#include "protocol/range.h"

struct bcda__intake {
    struct bcda__source source;      /* must be first: a pointer to it is cast to the intake */
    struct bcda__transfer *transfer; /* transfer of the current response; NULL = none */
    /* The transfer's own channel; NULL = the engine reads the transfer. */
    struct bcda__channel *channel;

    int64_t at; /* number of bytes of the stored file that have been used */
    /* Two lengths, which may differ: to a 200 response with the whole file the server may add bytes
     * that it neither counts in Content-Range nor sends in a 206 response. -1 = not announced. */
    int64_t total; /* Content-Length of the first response with the whole file */
    /* Length of the stored file, from Content-Range of a 206 response; set once the bytes of that
     * response have agreed with `tail`. */
    int64_t part_total;
    struct bcda__tail tail;
    char validator[96]; /* Last-Modified or a strong ETag, for If-Range; "" = none */
    char encoding[16];  /* Content-Encoding of the first response */
    /* Whether a range may be requested. NO: not now. YES: the server accepts ranges. NEVER: no more
     * ranges for this file, because a response to a range gave a length at which the decoder found
     * that the file cannot end. */
    enum { BCDA__RANGES_NO, BCDA__RANGES_YES, BCDA__RANGES_NEVER } ranges;
    struct bcda__secret key;
    struct bcda__mac *mac; /* hash of the first `at` bytes */

    /* Where the file ends according to the server, although more bytes were received. The decoder
     * must find out whether the file can end there (bcda__pipe_end_at()). -1 = the server has not
     * said so. */
    int64_t end_at;
    /* The next response is to restart the file at offset 0, and the bytes received so far are to be
     * discarded, unless some of the file has been delivered to the application by then. */
    int restart;

    /* These belong to the current attempt: */
    int64_t asked; /* offset of the first byte requested; 0 = the whole file */
    int64_t had;   /* value of `at` when the attempt began */
    int64_t named; /* length of the file that Content-Range names; -1 = none */
    enum { BCDA__TAKE, BCDA__COMPARE, BCDA__SKIP } phase;
    size_t compared;         /* number of bytes of `tail` that have agreed */
    int64_t skipped;         /* bytes of the whole file that were received again */
    struct bcda__mac *again; /* hash of the skipped bytes, to be compared with `mac` */
    struct bcda__mac *next;  /* the same as `again`, but it continues with the new bytes, and then
                                replaces `mac` */
};

int bcda__intake_init(struct bcda__intake *r); /* 0, BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY */
void bcda__intake_free(struct bcda__intake *r);
/* Returns to the state after bcda__intake_init(), with the same errors. */
int bcda__intake_reset(struct bcda__intake *r);

/* To be called before an attempt: sets the range to request. */
void bcda__intake_begin(struct bcda__intake *r, struct bcda__call *call);
/* Judges the head of a response with status 200, 206 or 416. Returns BCDA__CALL_GO if the source
 * can be connected; BCDA__CALL_REPEAT if ranges do not help and the whole file must be requested;
 * BCDA__CALL_COMPLETE if nothing is missing (but see `end_at`). Errors: BCDA_ERR_CHANGED (another
 * length or encoding), BCDA_ERR_HTTP (a 206 that was not requested), BCDA_ERR_NOMEM,
 * BCDA_ERR_LIBRARY. */
int bcda__intake_head(struct bcda__intake *r, struct bcda__call *call, struct bcda_error *err);
/* To be called when the body has ended as HTTP requires. Returns BCDA__CALL_COMPLETE if nothing is
 * missing (but see `end_at`), or BCDA__CALL_REPEAT if more must be requested; `err` then says what
 * is missing. */
int bcda__intake_over(struct bcda__intake *r, struct bcda_error *err);
/* From now on the intake does not use the transfer or its channel. */
void bcda__intake_detach(struct bcda__intake *r);
/* To be called if the file cannot end at `end_at`. The next request is for the whole file, and no
 * range of this file is requested any more. */
void bcda__intake_refuse_end(struct bcda__intake *r);

#endif
