/* The new bytes of a stored file: a source that reads the bodies of as many responses as needed.
 * It knows how much of the stored file was received, requests the rest after a transfer broke
 * off, and makes sure that it is the same file: by requesting the last bytes again and comparing
 * them if the server supports ranges, otherwise by comparing a keyed hash of everything received
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
    struct bcda__source source;      /* first: a source of this kind is an intake */
    struct bcda__transfer *transfer; /* of the current response; NULL = none */
    struct bcda__channel *channel;   /* its own; NULL = the transfer is read by the engine */

    int64_t at; /* bytes of the stored file that have been used */
    /* Two lengths, which may differ: a server may add bytes to a whole file that it neither
     * counts nor sends in a part of it. -1 = not announced. */
    int64_t total;      /* Content-Length of the first whole answer */
    int64_t part_total; /* of the stored file, by Content-Range, once an overlap agreed */
    struct bcda__tail tail;
    char validator[96]; /* Last-Modified or a strong ETag, for If-Range; "" = none */
    char encoding[16];  /* Content-Encoding of the first answer */
    /* Whether a range may be requested: no; yes, the server accepts them; never again for this
     * file, because the end that a part showed was refused. */
    enum { BCDA__RANGES_NO, BCDA__RANGES_YES, BCDA__RANGES_NEVER } ranges;
    struct bcda__secret key;
    struct bcda__mac *mac; /* of all `at` bytes */

    /* The server says that the file ends here, and no more was received: the content must show
     * whether it can (bcda__pipe_end_at()). -1 = the server has not said so. */
    int64_t end_at;
    /* Discard what was received, and restart at offset 0 with the next response, unless
     * something was delivered by then. */
    int restart;

    /* Of the current attempt: */
    int64_t asked; /* the first byte of its range; 0 = the whole file */
    int64_t had;   /* `at` when it began */
    int64_t named; /* the length that its Content-Range names; -1 */
    enum { BCDA__TAKE, BCDA__COMPARE, BCDA__SKIP } phase;
    size_t compared;         /* bytes of the tail that agreed */
    int64_t skipped;         /* bytes received again of a whole file */
    struct bcda__mac *again; /* hash of those */
    struct bcda__mac *next;  /* the same hash, which continues with the new bytes */
};

int bcda__intake_init(struct bcda__intake *r); /* BCDA_ERR_NOMEM, LIBRARY */
void bcda__intake_free(struct bcda__intake *r);
int bcda__intake_reset(struct bcda__intake *r); /* as after bcda__intake_init(); the same errors */

/* Before an attempt: sets the range to request. */
void bcda__intake_begin(struct bcda__intake *r, struct bcda__call *call);
/* The head of a response with status 200, 206 or 416. BCDA__CALL_GO: connect the source.
 * BCDA__CALL_REPEAT: ranges are of no use, the whole file must be requested.
 * BCDA__CALL_COMPLETE: nothing is missing, but see `end_at`. BCDA_ERR_CHANGED (another length or
 * encoding), BCDA_ERR_HTTP (a 206 that was not requested), NOMEM, LIBRARY. */
int bcda__intake_head(struct bcda__intake *r, struct bcda__call *call, struct bcda_error *err);
/* The body ended as HTTP requires. BCDA__CALL_COMPLETE, as above; BCDA__CALL_REPEAT: more must
 * be requested, and `err` says what is missing. */
int bcda__intake_over(struct bcda__intake *r, struct bcda_error *err);
/* The transfer is no longer read. */
void bcda__intake_detach(struct bcda__intake *r);
/* The file cannot end at `end_at`: the whole file is requested next, and no ranges any more. */
void bcda__intake_refuse_end(struct bcda__intake *r);

#endif
