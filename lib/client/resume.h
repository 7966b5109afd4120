/* Going on with a file whose transfer broke off, without delivering anything twice (DESIGN 4.7).
 * Knows how far the bytes of the stored file have come, asks for the rest, and sees to it that what
 * comes is the same file: by asking for its last bytes once more where the server counts ranges as
 * we do, and otherwise by comparing a keyed hash of everything that came before. */
#ifndef BCDA_CLIENT_RESUME_H
#define BCDA_CLIENT_RESUME_H

#include "base/err.h"
#include "base/secret.h"
#include "codec/crypto.h"
#include "net/http.h"
#include "protocol/range.h"

struct bcda__resume {
    int64_t at; /* bytes of the stored file that have been used */
    /* Two lengths, which need not agree: a server may add bytes to a whole file that it does not
     * count, and does not send, in a part of it. -1 = not announced. */
    int64_t total;      /* Content-Length of the first whole answer */
    int64_t part_total; /* of the stored file, as parts name it, once an overlap agreed */
    struct bcda__tail tail;
    char validator[96]; /* Last-Modified or a strong ETag, for If-Range; "" = none */
    char encoding[16];  /* Content-Encoding of the first answer */
    int ranges;         /* worth asking for */
    struct bcda__secret key;
    struct bcda__mac *mac; /* of all `at` bytes */

    /* of the try at hand */
    int64_t asked; /* where its range begins; 0 = the whole file */
    int64_t had;   /* `at` when it began */
    int64_t named; /* the length that its Content-Range names; -1 */
    enum { BCDA__TAKE, BCDA__COMPARE, BCDA__SKIP } phase;
    size_t compared;         /* bytes of the tail that were the same */
    int64_t skipped;         /* bytes of the whole file that came again */
    struct bcda__mac *again; /* of those */
    struct bcda__mac *next;  /* the same, which goes on behind them */
};

int bcda__resume_init(struct bcda__resume *r); /* NOMEM, LIBRARY */
void bcda__resume_free(struct bcda__resume *r);
int bcda__resume_reset(struct bcda__resume *r); /* nothing has come yet */

/* Before a try: where to begin, 0 = at the start, without a range. */
int64_t bcda__resume_begin(struct bcda__resume *r);

enum bcda__resume_verdict {
    BCDA__RESUME_GO = 0,
    BCDA__RESUME_WHOLE, /* ranges are of no use here: ask for all of it, at once */
    /* The server says that the stored file has *end bytes, and no more than have come. The first
     * answer may have announced more: the content must show whether the file can end there. If it
     * cannot, set `ranges` to 0 and ask for all of it. */
    BCDA__RESUME_ENDS,
    BCDA__RESUME_DONE, /* nothing is lacking */
    BCDA__RESUME_MORE, /* the file goes on behind what has come */
};
/* The head of an answer with status 200, 206 or 416: GO, WHOLE, ENDS, DONE. A negative code is
 * final, `err` filled: BCDA_ERR_CHANGED (other length or encoding), BCDA_ERR_HTTP (a 206 nobody
 * asked for). */
int bcda__resume_head(struct bcda__resume *r, const struct bcda__transfer *t, int64_t *end,
                      struct bcda_error *err);
/* Bytes of the body: how many of them, from the front, came before and are not for the decoder.
 * WHOLE; GO; BCDA_ERR_CHANGED, NOMEM, LIBRARY. */
int bcda__resume_pass(struct bcda__resume *r, const uint8_t *data, size_t len, size_t *pass,
                      struct bcda_error *err);
/* These bytes have been used. */
void bcda__resume_took(struct bcda__resume *r, const uint8_t *data, size_t len);
/* The body has ended well: DONE; MORE, of a server that gives parts only; or ENDS, where a part
 * that reached the end of the stored file brought nothing new. For the latter two `err` says what
 * is lacking. */
int bcda__resume_end(const struct bcda__resume *r, int64_t *end, struct bcda_error *err);

#endif
