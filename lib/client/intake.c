#include "client/intake.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "net/channel.h"

static enum bcda__source_state peek_body(struct bcda__source *s, const uint8_t **data, size_t *len,
                                         struct bcda_error *err);
static void take_body(struct bcda__source *s, const uint8_t *data, size_t len);

static struct bcda__intake *intake_of(struct bcda__source *s)
{
    return (struct bcda__intake *)(void *)s;
}

int bcda__intake_init(struct bcda__intake *r)
{
    int rc;

    memset(r, 0, sizeof *r);
    r->source.peek = peek_body;
    r->source.take = take_body;
    if (bcda__secret_set(&r->key, NULL, 32))
        return BCDA_ERR_NOMEM;
    rc = bcda__crypto_random(r->key.data, r->key.len);
    return rc ? rc : bcda__intake_reset(r);
}

static void drop_comparison(struct bcda__intake *r)
{
    bcda__mac_free(r->again);
    bcda__mac_free(r->next);
    r->again = r->next = NULL;
}

void bcda__intake_free(struct bcda__intake *r)
{
    drop_comparison(r);
    bcda__mac_free(r->mac);
    bcda__wipe(&r->tail, sizeof r->tail); /* this is patient data if the file is not encrypted */
    bcda__secret_free(&r->key);
    memset(r, 0, sizeof *r);
}

static int new_mac(struct bcda__intake *r, struct bcda__mac **slot)
{
    bcda__mac_free(*slot);
    *slot = NULL;
    return bcda__mac_new(slot, (const uint8_t *)r->key.data);
}

static void stop_ranges(struct bcda__intake *r)
{
    if (r->ranges == BCDA__RANGES_YES)
        r->ranges = BCDA__RANGES_NO;
}

int bcda__intake_reset(struct bcda__intake *r)
{
    r->at = 0;
    r->total = r->part_total = r->named = r->end_at = -1;
    r->tail.len = 0;
    r->validator[0] = r->encoding[0] = '\0';
    stop_ranges(r);
    r->phase = BCDA__TAKE;
    drop_comparison(r);
    return new_mac(r, &r->mac);
}

void bcda__intake_begin(struct bcda__intake *r, struct bcda__call *call)
{
    r->asked = r->ranges == BCDA__RANGES_YES && r->at > BCDA__OVERLAP ? r->at - BCDA__OVERLAP : 0;
    r->had = r->at;
    r->named = -1;
    r->compared = 0;
    r->skipped = 0;
    r->phase = BCDA__TAKE;
    drop_comparison(r);
    bcda__call_set_range(call, r->asked, r->validator);
}

/* ---- heads of responses ---- */

/* Returns the length of the stored file as the server announced it, or -1 if it did not. */
static int64_t expected_total(const struct bcda__intake *r)
{
    return r->total >= 0 ? r->total : r->part_total;
}

static int refuse_changed_file(struct bcda_error *err, const char *what)
{
    return bcda__err_set(err, BCDA_ERR_CHANGED,
                         "the file changed while it was downloaded (%s): export again", what);
}

/* Only a strong validator is allowed in If-Range (RFC 9110 13.1.5). Last-Modified counts as one
 * here, because BCDA never changes a published file. */
static const char *find_validator(const struct bcda__transfer *t)
{
    const char *etag = bcda__transfer_header(t, "ETag");

    return etag[0] == '"' ? etag : bcda__transfer_header(t, "Last-Modified");
}

static void keep_validator(struct bcda__intake *r, const struct bcda__transfer *t)
{
    const char *use = find_validator(t);

    if (strlen(use) < sizeof r->validator)
        bcda__text_copy(r->validator, sizeof r->validator, use);
}

static void first_head(struct bcda__intake *r, const struct bcda__transfer *t)
{
    const char *ranges = bcda__transfer_header(t, "Accept-Ranges");

    r->total = bcda__transfer_content_length(t);
    bcda__text_copy(r->encoding, sizeof r->encoding, bcda__transfer_header(t, "Content-Encoding"));
    keep_validator(r, t);
    if (r->ranges != BCDA__RANGES_NEVER && bcda__text_equal_nocase(ranges, strlen(ranges), "bytes"))
        r->ranges = BCDA__RANGES_YES;
}

static int same_encoding(const struct bcda__intake *r, const struct bcda__transfer *t)
{
    const char *now = bcda__transfer_header(t, "Content-Encoding");

    return bcda__text_equal_nocase(now, strlen(now), r->encoding);
}

/* The server sends the whole file again. The bytes received before are compared by their hash, and
 * skipped. */
static int whole_head(struct bcda__intake *r, const struct bcda__transfer *t,
                      struct bcda_error *err)
{
    int64_t length = bcda__transfer_content_length(t);
    int rc;

    if (r->asked)
        stop_ranges(r); /* the server ignored the requested range */
    if (!same_encoding(r, t))
        return refuse_changed_file(err, "it comes in another encoding");
    if (r->total >= 0 && length >= 0 && length != r->total)
        return refuse_changed_file(err, "its length is another");
    rc = new_mac(r, &r->again);
    if (!rc)
        rc = new_mac(r, &r->next);
    if (rc)
        return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    r->phase = BCDA__SKIP;
    return BCDA__CALL_GO;
}

/* Whether a 206 response belongs to a file of another length, which means that the file has
 * changed. `last` and `total` come from its Content-Range. A different `total` is tolerated if the
 * validator (ETag or Last-Modified) is the same and the response ends within the expected length,
 * because the totals that DPC sends are wrong. */
static int is_other_length(const struct bcda__intake *r, const struct bcda__transfer *t,
                           int64_t last, int64_t total)
{
    int64_t expected = expected_total(r);

    if (expected < 0 || total == expected)
        return 0;
    if (last >= expected)
        return 1;
    return total >= 0 && (!r->validator[0] || strcmp(r->validator, find_validator(t)) != 0);
}

static int part_head(struct bcda__intake *r, const struct bcda__transfer *t, struct bcda_error *err)
{
    int64_t first, last, total;

    if (!r->asked)
        return bcda__err_set(err, BCDA_ERR_HTTP,
                             "a part of the file came though all was asked for");
    if (bcda__content_range(bcda__transfer_header(t, "Content-Range"), &first, &last, &total) ||
        first != r->asked || !same_encoding(r, t) || is_other_length(r, t, last, total)) {
        stop_ranges(r);
        return BCDA__CALL_REPEAT;
    }
    /* More bytes were received (`at`) than the stored file has (`total`): to its 200 response with
     * the whole file the server added bytes that its 206 responses leave out. See
     * bcda__inflate_end_at(). */
    if (total >= 0 && total < r->at) {
        r->end_at = total;
        return BCDA__CALL_COMPLETE;
    }
    r->named = total;
    r->phase = BCDA__COMPARE;
    return BCDA__CALL_GO;
}

/* Status 416: Content-Range gives the length of the stored file, and the response has no bytes of
 * the file. */
static int unsatisfied_head(struct bcda__intake *r, const struct bcda__transfer *t)
{
    int64_t end = bcda__unsatisfied_range(bcda__transfer_header(t, "Content-Range"));

    stop_ranges(r);
    if (!r->asked || end < 0 || end > r->at)
        return BCDA__CALL_REPEAT;
    if (end < r->at || r->at < r->total)
        r->end_at = end;
    return BCDA__CALL_COMPLETE;
}

static int judge_head(struct bcda__intake *r, const struct bcda__transfer *t,
                      struct bcda_error *err)
{
    int status = bcda__transfer_status(t);

    if (status == 206)
        return part_head(r, t, err);
    if (status == 416)
        return unsatisfied_head(r, t);
    if (r->at > 0)
        return whole_head(r, t, err);
    first_head(r, t);
    return BCDA__CALL_GO;
}

int bcda__intake_head(struct bcda__intake *r, struct bcda__call *call, struct bcda_error *err)
{
    int rc = judge_head(r, bcda__call_transfer(call), err);

    if (rc != BCDA__CALL_GO)
        return rc;
    r->transfer = bcda__call_transfer(call);
    r->channel = bcda__call_channel(call);
    return BCDA__CALL_GO;
}

void bcda__intake_detach(struct bcda__intake *r)
{
    r->transfer = NULL;
    r->channel = NULL;
}

void bcda__intake_refuse_end(struct bcda__intake *r)
{
    r->end_at = -1;
    r->ranges = BCDA__RANGES_NEVER;
}

/* ---- bytes received before ---- */

/* Compares the first bytes of a 206 response with `tail`, the last bytes received before it. If the
 * two differ, the server's ranges count the bytes of another form of the file, such as its
 * uncompressed form. */
static int compare_received(struct bcda__intake *r, const uint8_t *data, size_t len, size_t *pass)
{
    size_t left = r->tail.len - r->compared;
    size_t n = len < left ? len : left;

    if (memcmp(r->tail.at + r->compared, data, n) != 0) {
        stop_ranges(r);
        return BCDA__CALL_REPEAT;
    }
    r->compared += n;
    *pass = n;
    if (r->compared == r->tail.len) {
        /* The length from Content-Range is kept only now that all bytes of `tail` have agreed. A
         * server whose ranges count the bytes of another form of the file gives the length of that
         * form. */
        if (r->part_total < 0)
            r->part_total = r->named;
        r->phase = BCDA__TAKE;
    }
    return BCDA__CALL_GO;
}

static int end_of_skip(struct bcda__intake *r, struct bcda_error *err)
{
    uint8_t before[16], now[16];
    int rc = bcda__mac_finish(r->mac, before);

    if (!rc)
        rc = bcda__mac_finish(r->again, now);
    if (rc)
        return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    if (memcmp(before, now, sizeof before) != 0)
        return refuse_changed_file(err, "what came before comes otherwise now");
    bcda__mac_free(r->mac);
    r->mac = r->next;
    r->next = NULL;
    drop_comparison(r);
    r->phase = BCDA__TAKE;
    return BCDA__CALL_GO;
}

static int skip_known(struct bcda__intake *r, const uint8_t *data, size_t len, size_t *pass,
                      struct bcda_error *err)
{
    int64_t left = r->at - r->skipped;
    size_t n = (int64_t)len < left ? len : (size_t)left;

    bcda__mac_add(r->again, data, n);
    bcda__mac_add(r->next, data, n);
    r->skipped += (int64_t)n;
    *pass = n;
    return r->skipped == r->at ? end_of_skip(r, err) : BCDA__CALL_GO;
}

/* Skips the bytes at the start of `data` that were received before, and sets *skipped to their
 * number. Returns BCDA__CALL_GO, BCDA__CALL_REPEAT or an error code. */
static int skip_old_bytes(struct bcda__intake *r, const uint8_t *data, size_t len, size_t *skipped,
                          struct bcda_error *err)
{
    *skipped = 0;
    if (r->phase == BCDA__COMPARE)
        return compare_received(r, data, len, skipped);
    if (r->phase == BCDA__SKIP)
        return skip_known(r, data, len, skipped, err);
    return BCDA__CALL_GO;
}

/* ---- the source ---- */

/* Returns one contiguous piece of the response body, without the bytes that were received before.
 */
static enum bcda__source_state peek_body(struct bcda__source *s, const uint8_t **data, size_t *len,
                                         struct bcda_error *err)
{
    struct bcda__intake *r = intake_of(s);
    size_t n =
        r->channel ? bcda__channel_read(r->channel, data) : bcda__transfer_peek(r->transfer, data);
    size_t skipped = 0, once;
    int rc = BCDA__CALL_GO;

    if (!n)
        return bcda__transfer_is_over(r->transfer) ? BCDA__SOURCE_OVER : BCDA__SOURCE_EMPTY;
    do {
        rc = skip_old_bytes(r, *data + skipped, n - skipped, &once, err);
        skipped += once;
    } while (rc == BCDA__CALL_GO && once > 0);
    s->skipped += (int64_t)skipped;
    *data += skipped;
    *len = n - skipped;
    if (skipped)
        bcda__transfer_take(r->transfer, skipped);
    if (rc != BCDA__CALL_GO)
        *len = 0;
    return rc < 0 ? BCDA__SOURCE_FAILED : rc ? BCDA__SOURCE_REPEAT : BCDA__SOURCE_BYTES;
}

static void take_body(struct bcda__source *s, const uint8_t *data, size_t len)
{
    struct bcda__intake *r = intake_of(s);

    bcda__tail_add(&r->tail, data, len);
    bcda__mac_add(r->mac, data, len);
    r->at += (int64_t)len;
    bcda__transfer_take(r->transfer, len);
}

int bcda__intake_over(struct bcda__intake *r, struct bcda_error *err)
{
    int64_t total = expected_total(r);

    if (r->phase == BCDA__TAKE && (total < 0 || r->at >= total))
        return BCDA__CALL_COMPLETE;
    if (total >= 0)
        bcda__err_set(err, BCDA_ERR_TRUNCATED, "%" PRId64 " bytes of it came, and %s %" PRId64,
                      r->at, r->total >= 0 ? "the first answer announced" : "the parts of it name",
                      total);
    else
        bcda__err_set(err, BCDA_ERR_TRUNCATED,
                      "it ends now before the %" PRId64 " bytes that came before", r->at);
    if (r->phase != BCDA__TAKE || r->at != r->had || r->at != r->named)
        return BCDA__CALL_REPEAT;
    /* The 206 response reached the end of the stored file and had no new byte, so the file ends
     * here. */
    r->end_at = r->at;
    return BCDA__CALL_COMPLETE;
}
