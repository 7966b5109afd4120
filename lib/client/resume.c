#include "client/resume.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

int bcda__resume_init(struct bcda__resume *r)
{
    int rc;

    memset(r, 0, sizeof *r);
    if (bcda__secret_set(&r->key, NULL, 32))
        return BCDA_ERR_NOMEM;
    rc = bcda__crypto_random(r->key.data, r->key.len);
    return rc ? rc : bcda__resume_reset(r);
}

static void drop_comparison(struct bcda__resume *r)
{
    bcda__mac_free(r->again);
    bcda__mac_free(r->next);
    r->again = r->next = NULL;
}

void bcda__resume_free(struct bcda__resume *r)
{
    drop_comparison(r);
    bcda__mac_free(r->mac);
    bcda__wipe(&r->tail, sizeof r->tail); /* of a plain file: patient data */
    bcda__secret_free(&r->key);
    memset(r, 0, sizeof *r);
}

static int new_mac(struct bcda__resume *r, struct bcda__mac **slot)
{
    bcda__mac_free(*slot);
    *slot = NULL;
    return bcda__mac_new(slot, (const uint8_t *)r->key.data);
}

int bcda__resume_reset(struct bcda__resume *r)
{
    r->at = 0;
    r->total = r->part_total = r->named = -1;
    r->tail.len = 0;
    r->validator[0] = r->encoding[0] = '\0';
    r->ranges = 0;
    r->phase = BCDA__TAKE;
    drop_comparison(r);
    return new_mac(r, &r->mac);
}

int64_t bcda__resume_begin(struct bcda__resume *r)
{
    r->asked = r->ranges && r->at > BCDA__OVERLAP ? r->at - BCDA__OVERLAP : 0;
    r->had = r->at;
    r->named = -1;
    r->compared = 0;
    r->skipped = 0;
    r->phase = BCDA__TAKE;
    drop_comparison(r);
    return r->asked;
}

/* ---- heads ---- */

/* How many bytes there will be, as far as the server has said; -1 = it has not. */
static int64_t expected_total(const struct bcda__resume *r)
{
    return r->total >= 0 ? r->total : r->part_total;
}

static int changed(struct bcda_error *err, const char *what)
{
    return bcda__err_set(err, BCDA_ERR_CHANGED,
                         "the file changed while it was downloaded (%s): export again", what);
}

/* Only a strong validator may stand in If-Range (RFC 9110 13.1.5). The file's date is one as this
 * server uses it: a file never changes once it is published (bcda-api 6.1). */
static const char *find_validator(const struct bcda__transfer *t)
{
    const char *etag = bcda__transfer_header(t, "ETag");

    return etag[0] == '"' ? etag : bcda__transfer_header(t, "Last-Modified");
}

static void keep_validator(struct bcda__resume *r, const struct bcda__transfer *t)
{
    const char *use = find_validator(t);

    if (strlen(use) < sizeof r->validator)
        bcda__text_copy(r->validator, sizeof r->validator, use);
}

static void first_head(struct bcda__resume *r, const struct bcda__transfer *t)
{
    const char *ranges = bcda__transfer_header(t, "Accept-Ranges");

    r->total = bcda__transfer_content_length(t);
    bcda__text_copy(r->encoding, sizeof r->encoding, bcda__transfer_header(t, "Content-Encoding"));
    keep_validator(r, t);
    r->ranges = bcda__text_equal_nocase(ranges, strlen(ranges), "bytes");
}

static int same_encoding(const struct bcda__resume *r, const struct bcda__transfer *t)
{
    const char *now = bcda__transfer_header(t, "Content-Encoding");

    return bcda__text_equal_nocase(now, strlen(now), r->encoding);
}

/* The whole file once more: what came before is compared and passed over. */
static int whole_head(struct bcda__resume *r, const struct bcda__transfer *t,
                      struct bcda_error *err)
{
    int64_t length = bcda__transfer_content_length(t);
    int rc;

    if (r->asked)
        r->ranges = 0; /* it was asked for a part and did not heed that */
    if (!same_encoding(r, t))
        return changed(err, "it comes in another encoding");
    if (r->total >= 0 && length >= 0 && length != r->total)
        return changed(err, "its length is another");
    rc = new_mac(r, &r->again);
    if (!rc)
        rc = new_mac(r, &r->next);
    if (rc)
        return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    r->phase = BCDA__SKIP;
    return BCDA__RESUME_GO;
}

/* Another length is another file, unless the server shows by the same validator that it is the one,
 * and the part ends within it: DPC's totals are wrong. */
static int is_other_length(const struct bcda__resume *r, const struct bcda__transfer *t,
                           int64_t last, int64_t total)
{
    int64_t expected = expected_total(r);

    if (expected < 0 || total == expected)
        return 0;
    if (last >= expected)
        return 1;
    return total >= 0 && (!r->validator[0] || strcmp(r->validator, find_validator(t)) != 0);
}

static int part_head(struct bcda__resume *r, const struct bcda__transfer *t, int64_t *end,
                     struct bcda_error *err)
{
    int64_t first, last, total;

    if (!r->asked)
        return bcda__err_set(err, BCDA_ERR_HTTP,
                             "a part of the file came though all was asked for");
    if (bcda__content_range(bcda__transfer_header(t, "Content-Range"), &first, &last, &total) ||
        first != r->asked || !same_encoding(r, t) || is_other_length(r, t, last, total)) {
        r->ranges = 0;
        return BCDA__RESUME_WHOLE;
    }
    /* It has none of the bytes behind the stored file that came: see bcda__inflate_end_at(). */
    if (total >= 0 && total < r->at) {
        *end = total;
        return BCDA__RESUME_ENDS;
    }
    r->named = total;
    r->phase = BCDA__COMPARE;
    return BCDA__RESUME_GO;
}

/* The server names the length of the stored file instead of a part of it. */
static int unsatisfied_head(struct bcda__resume *r, const struct bcda__transfer *t, int64_t *end)
{
    *end = bcda__unsatisfied_range(bcda__transfer_header(t, "Content-Range"));
    r->ranges = 0;
    if (!r->asked || *end < 0 || *end > r->at)
        return BCDA__RESUME_WHOLE;
    return *end == r->at && r->at >= r->total ? BCDA__RESUME_DONE : BCDA__RESUME_ENDS;
}

int bcda__resume_head(struct bcda__resume *r, const struct bcda__transfer *t, int64_t *end,
                      struct bcda_error *err)
{
    int status = bcda__transfer_status(t);

    if (status == 206)
        return part_head(r, t, end, err);
    if (status == 416)
        return unsatisfied_head(r, t, end);
    if (r->at > 0)
        return whole_head(r, t, err);
    first_head(r, t);
    return BCDA__RESUME_GO;
}

/* ---- bodies ---- */

/* The overlap: other bytes mean that the server counts in another form of the file (bcda-api 6.1).
 */
static int compare(struct bcda__resume *r, const uint8_t *data, size_t len, size_t *pass)
{
    size_t left = r->tail.len - r->compared;
    size_t n = len < left ? len : left;

    if (memcmp(r->tail.at + r->compared, data, n) != 0) {
        r->ranges = 0;
        return BCDA__RESUME_WHOLE;
    }
    r->compared += n;
    *pass = n;
    if (r->compared == r->tail.len) {
        if (r->part_total < 0) /* only now: a server that counts other bytes names their number */
            r->part_total = r->named;
        r->phase = BCDA__TAKE;
    }
    return BCDA__RESUME_GO;
}

static int end_of_skip(struct bcda__resume *r, struct bcda_error *err)
{
    uint8_t before[16], now[16];
    int rc = bcda__mac_finish(r->mac, before);

    if (!rc)
        rc = bcda__mac_finish(r->again, now);
    if (rc)
        return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
    if (memcmp(before, now, sizeof before) != 0)
        return changed(err, "what came before comes otherwise now");
    bcda__mac_free(r->mac);
    r->mac = r->next;
    r->next = NULL;
    drop_comparison(r);
    r->phase = BCDA__TAKE;
    return BCDA__RESUME_GO;
}

static int skip(struct bcda__resume *r, const uint8_t *data, size_t len, size_t *pass,
                struct bcda_error *err)
{
    int64_t left = r->at - r->skipped;
    size_t n = (int64_t)len < left ? len : (size_t)left;

    bcda__mac_add(r->again, data, n);
    bcda__mac_add(r->next, data, n);
    r->skipped += (int64_t)n;
    *pass = n;
    return r->skipped == r->at ? end_of_skip(r, err) : BCDA__RESUME_GO;
}

int bcda__resume_pass(struct bcda__resume *r, const uint8_t *data, size_t len, size_t *pass,
                      struct bcda_error *err)
{
    *pass = 0;
    if (r->phase == BCDA__COMPARE)
        return compare(r, data, len, pass);
    if (r->phase == BCDA__SKIP)
        return skip(r, data, len, pass, err);
    return BCDA__RESUME_GO;
}

void bcda__resume_took(struct bcda__resume *r, const uint8_t *data, size_t len)
{
    bcda__tail_add(&r->tail, data, len);
    bcda__mac_add(r->mac, data, len);
    r->at += (int64_t)len;
}

int bcda__resume_end(const struct bcda__resume *r, int64_t *end, struct bcda_error *err)
{
    int64_t total = expected_total(r);

    if (r->phase == BCDA__TAKE && (total < 0 || r->at >= total))
        return BCDA__RESUME_DONE;
    if (total >= 0)
        bcda__err_set(err, BCDA_ERR_TRUNCATED, "%" PRId64 " bytes of it came, and %s %" PRId64,
                      r->at, r->total >= 0 ? "the first answer announced" : "the parts of it name",
                      total);
    else
        bcda__err_set(err, BCDA_ERR_TRUNCATED,
                      "it ends now before the %" PRId64 " bytes that came before", r->at);
    *end = r->at;
    return r->phase == BCDA__TAKE && r->at == r->had && r->at == r->named ? BCDA__RESUME_ENDS
                                                                          : BCDA__RESUME_MORE;
}
