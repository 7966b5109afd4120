#include "codec/decoder.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "codec/deletion.h"
#include "codec/line.h"
#include "codec/position.h"
#include "codec/utf8.h"

enum {
    /* The size of the buffer for bytes that are decompressed, but not decrypted yet. */
    SCRATCH = 32 * 1024,
    /* No batch is larger, except for one long line: the largest BCDA_OPT_BATCH_SIZE. */
    BATCH_MAX = 64 * 1024 * 1024,
};

struct bcda__decoder {
    struct bcda__decoder_options o;
    void *coder; /* the decompression state of o.coding; NULL = identity */
    struct bcda__gcm *gcm;
    struct bcda__position *position; /* NULL = no marks are made, and nothing was confirmed */
    int64_t confirmed;               /* lines up to this one were confirmed */
    struct bcda__sha256 *sum; /* the hash of the decoded bytes; NULL = no checksum is expected */
    struct bcda__line_reader *reader;
    uint8_t *scratch;
    size_t scratch_at, scratch_len;

    struct bcda_batch *cur;        /* the batch that is being filled */
    struct bcda_batch *spare;      /* filled next; NULL = take one from the pool or allocate it */
    struct bcda__batch_pool *pool; /* recycles batches that the application has released */
    size_t line_at;                /* start of the current line in cur->bytes */
    size_t seen;                   /* bytes of cur->bytes that were searched for LF */
    int64_t base;                  /* offset of cur->bytes[0] in the decoded file */
    int64_t lines;
    int64_t content_lines; /* lines that are not blank */
    int64_t last_content;  /* the number of the last line that is not blank */
    int open_content;      /* used with checks_only: 1 = the current line is not blank */
    int64_t bytes;
    int skipping;              /* inside a line that exceeds its limit */
    int checks_only;           /* 1 = lines are not read; the whole file is only checked */
    struct bcda_error refused; /* set by bcda__decoder_refuse_line(); code 0 = none */
    int counts;                /* 1 = content_lines is compared with `count` in the manifest */
    int full;
    int verified;
    int code; /* the first error; later calls return it */
    struct bcda__spent spent;
    int64_t lap; /* start of the time that is not in `spent` yet */
};

static int new_batch(struct bcda__decoder *d, struct bcda_batch **out)
{
    int rc = bcda__batch_new(out, d->o.batch_size, bcda__field_set_count(d->o.fields));

    if (!rc) {
        bcda__batch_set_pool(*out, d->pool);
        (*out)->is_deletions = d->o.deletions;
    }
    return rc;
}

int bcda__decoder_new(struct bcda__decoder **out, const struct bcda__decoder_options *o,
                      struct bcda_error *err)
{
    struct bcda__decoder *d = bcda__calloc(1, sizeof *d);
    int rc = BCDA_ERR_NOMEM;

    if (!d)
        return bcda__err_nomem(err);
    d->o = *o;
    d->o.key = NULL;
    d->checks_only = o->check_only;
    d->counts = o->expected && o->expected->count >= 0;
    if (o->coding && (rc = o->coding->open(&d->coder)))
        goto fail;
    if (o->key && (rc = bcda__gcm_new(&d->gcm, o->key)))
        goto fail;
    if (o->expected && o->expected->checksum && (rc = bcda__sha256_new(&d->sum)))
        goto fail;
    if (o->coding && o->key && !(d->scratch = bcda__alloc(SCRATCH)))
        goto nomem;
    if ((o->marks || o->confirmed) && (rc = bcda__position_new(&d->position, o->confirmed)))
        goto fail;
    d->confirmed = o->confirmed ? o->confirmed->line : 0;
    rc = bcda__line_reader_new(&d->reader, o->depth_max, o->fields, o->yajl_only);
    if (rc)
        goto fail;
    rc = bcda__batch_pool_new(&d->pool, o->batch_size);
    if (!rc)
        rc = new_batch(d, &d->cur);
    if (rc)
        goto fail;
    *out = d;
    return 0;
nomem:
    rc = BCDA_ERR_NOMEM;
fail:
    bcda__decoder_free(d);
    return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
}

void bcda__decoder_free(struct bcda__decoder *d)
{
    if (!d)
        return;
    if (d->coder)
        d->o.coding->close(d->coder);
    bcda__gcm_free(d->gcm);
    bcda__sha256_free(d->sum);
    bcda__position_free(d->position);
    bcda__line_reader_free(d->reader);
    if (d->scratch)
        bcda__wipe(d->scratch, SCRATCH);
    bcda__free(d->scratch);
    bcda_batch_unref(d->cur);
    bcda_batch_unref(d->spare);
    bcda__batch_pool_close(d->pool);
    bcda__free(d);
}

/* ---- the position in the file ---- */

/* Returns 1 while it is not known whether the file is the same as the one whose lines were
 * confirmed. */
static int is_comparing(const struct bcda__decoder *d)
{
    return d->position && bcda__position_is_comparing(d->position);
}

/* Adds the bytes of the current batch before `end` to the hash. Bytes are added at the latest
 * before the batch is taken, or before they are removed from it. If no marks are made, bytes behind
 * the confirmed ones are not added. */
static int hash_until(struct bcda__decoder *d, size_t end)
{
    int64_t from;

    if (!d->o.marks && !is_comparing(d))
        return 0;
    from = bcda__position_bytes(d->position) - d->base;
    if (from >= (int64_t)end)
        return 0;
    return bcda__position_add(d->position, d->cur->bytes + from, end - (size_t)from);
}

/* Compares the bytes of the current batch, but none behind the confirmed ones: the hash of the next
 * mark must not contain what follows it. */
static int compare_batch(struct bcda__decoder *d)
{
    int64_t end = bcda__position_until(d->position)->bytes - d->base;

    return hash_until(d, end < (int64_t)d->cur->fill ? (size_t)end : d->cur->fill);
}

/* Notes where the current batch ends. If that is before the position that was compared, this
 * position also follows the lines of the batch, so it is their mark. */
static int mark_end(struct bcda__decoder *d)
{
    int rc;

    if (!d->o.marks)
        return 0;
    rc = hash_until(d, d->line_at);
    if (rc)
        return rc;
    if (bcda__position_bytes(d->position) == d->base + (int64_t)d->line_at)
        return bcda__position_mark(d->position, d->last_content, &d->cur->end);
    d->cur->end = *bcda__position_until(d->position);
    d->cur->end.line = d->last_content;
    return 0;
}

/* ---- lines ---- */

static int add_bad(struct bcda__decoder *d, int code, size_t len, size_t bad_at, int kept)
{
    struct bcda_bad_line bad = {0};

    if (d->lines <= d->confirmed) {
        d->spent.confirmed_bad++;
        return 0;
    }
    bad.code = code;
    bad.line_number = d->lines;
    bad.offset = d->base + (int64_t)d->line_at;
    bad.length = (int64_t)len;
    bad.bad_at = bad_at;
    bad.at = d->line_at;
    bad.kept = kept;
    return bcda__batch_add_bad(d->cur, &bad);
}

static int is_blank(const char *line, size_t len)
{
    while (len && (*line == ' ' || *line == '\t' || *line == '\r')) {
        line++;
        len--;
    }
    return len == 0;
}

/* Makes a line invalid that is a resource, but not a Bundle of deletions. */
static int check_deletions(const char *line, struct bcda__line_info *info)
{
    int rc = bcda__deletion_each(line + info->resource.at, info->resource.len, NULL, NULL);

    if (rc != BCDA_ERR_LINE_TYPE)
        return rc;
    info->code = rc;
    info->bad_at = 0;
    return 0;
}

/* Reads a line that does not exceed its limit. */
static int read_short_line(struct bcda__decoder *d, const char *line, size_t len, int last)
{
    struct bcda__line_info info;
    int rc = bcda__line_read(d->reader, line, len, &info);

    if (!rc && !info.code && d->o.deletions)
        rc = check_deletions(line, &info);
    if (rc)
        return rc;
    if (!info.code && d->lines <= d->confirmed)
        return 0;
    if (!info.code)
        return bcda__batch_add_row(d->cur, &info, d->line_at, len, d->lines,
                                   d->base + (int64_t)d->line_at);
    /* This is the last line, and the file ends inside a JSON value or a character. */
    if (last && ((info.code == BCDA_ERR_LINE_JSON && info.bad_at == len) ||
                 (info.code == BCDA_ERR_LINE_UTF8 &&
                  bcda__utf8_is_cut(line + info.bad_at, len - info.bad_at))))
        return BCDA_ERR_LINE_CUT;
    return add_bad(d, info.code, len, info.bad_at, 1);
}

/* Reads the line at line_at, which has `len` bytes without its LF. `last` = it is the last line of
 * the file and has no LF. */
static int read_line(struct bcda__decoder *d, size_t len, int last)
{
    const char *line = d->cur->bytes + d->line_at;
    int rc;

    d->lines++;
    if (len <= d->o.line_max && is_blank(line, len))
        return 0;
    d->content_lines++;
    d->last_content = d->lines;
    if (len > d->o.line_max)
        return add_bad(d, BCDA_ERR_LINE_TOO_LONG, len, d->o.line_max, 0);
    rc = read_short_line(d, line, len, last);
    if (len > BCDA__LINE_KEEP)
        bcda__line_reader_trim(d->reader);
    return rc;
}

/* Counts lines that are not read, to compare their number with `count` in the manifest. */
static void count_lines(struct bcda__decoder *d, const char *at, const char *end)
{
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf ? lf : end;

        if (!d->open_content)
            d->open_content = !is_blank(at, (size_t)(stop - at));
        if (lf) {
            d->content_lines += d->open_content;
            d->open_content = 0;
        }
        at = stop + 1;
    }
}

/* Removes the bytes after the last complete line. */
static int drop_tail(struct bcda__decoder *d)
{
    int rc = d->checks_only ? 0 : hash_until(d, d->cur->fill);

    d->base += (int64_t)(d->cur->fill - d->line_at);
    d->cur->fill = d->seen = d->line_at;
    return rc;
}

static int read_lines(struct bcda__decoder *d)
{
    struct bcda_batch *b = d->cur;
    int rc;

    if (d->checks_only) {
        if (d->counts)
            count_lines(d, b->bytes + d->line_at, b->bytes + b->fill);
        return drop_tail(d);
    }
    while (d->seen < b->fill && !d->full) {
        const char *from = b->bytes + d->seen;
        const char *lf = memchr(from, '\n', b->fill - d->seen);
        size_t end;

        if (!lf) {
            d->seen = b->fill;
            break;
        }
        end = (size_t)(lf - b->bytes);
        rc = d->skipping ? 0 : read_line(d, end - d->line_at, 0);
        if (rc)
            return rc;
        d->skipping = 0;
        d->line_at = d->seen = end + 1;
        /* Check the index too: with many short lines it is larger than the lines. */
        d->full = bcda__batch_index_size(b) > d->o.batch_size && !is_comparing(d);
    }
    return 0;
}

/* If the current line has no end yet and already exceeds its limit, reports it once and skips it.
 */
static int check_long(struct bcda__decoder *d)
{
    int rc;

    if (d->seen < d->cur->fill)
        return 0; /* the batch is full; the bytes after `seen` belong in the next one */
    if (!d->skipping && d->cur->fill - d->line_at > d->o.line_max) {
        d->lines++;
        d->content_lines++;
        d->last_content = d->lines;
        rc = add_bad(d, BCDA_ERR_LINE_TOO_LONG, d->cur->fill - d->line_at, d->o.line_max, 0);
        if (rc)
            return rc;
        d->skipping = 1;
    }
    return d->skipping ? drop_tail(d) : 0;
}

/* Makes room for more bytes while the file is compared and no batch can be taken. The lines behind
 * the confirmed one were in one batch with it. More than one batch of them cannot be from the same
 * file. */
static int make_room_to_compare(struct bcda__decoder *d)
{
    size_t max = d->o.line_max > BATCH_MAX ? d->o.line_max + 2 : BATCH_MAX;

    if (d->cur->fill > max)
        return BCDA_ERR_CHANGED;
    return bcda__batch_reserve(d->cur, d->cur->cap + d->cur->cap / 2 + 1);
}

/* Makes room for more bytes. Sets `full` if there is no room until the caller takes the batch. */
static int make_room(struct bcda__decoder *d)
{
    struct bcda_batch *b = d->cur;
    size_t cap;
    int rc;

    if (b->fill < b->cap)
        return 0;
    if (!bcda__batch_is_empty(b)) {
        if (is_comparing(d))
            return make_room_to_compare(d);
        d->full = 1;
        return 0;
    }
    if (d->line_at > 0) { /* all lines before line_at are blank or skipped: remove them */
        rc = hash_until(d, d->line_at);
        if (rc)
            return rc;
        memmove(b->bytes, b->bytes + d->line_at, b->fill - d->line_at);
        b->fill -= d->line_at;
        d->base += (int64_t)d->line_at;
        d->seen -= d->line_at;
        d->line_at = 0;
        return 0;
    }
    cap = b->cap + b->cap / 2;
    if (cap > d->o.line_max + 2)
        cap = d->o.line_max + 2; /* enough to detect a line that exceeds its limit */
    return bcda__batch_reserve(b, cap > b->cap ? cap : b->cap + 1);
}

/* ---- bytes ---- */

/* Adds to *spent the time that has passed since the last call. */
static void charge_lap(struct bcda__decoder *d, int64_t *spent)
{
    int64_t now = bcda__clock_ns();

    *spent += now - d->lap;
    d->lap = now;
}

static int through_both(struct bcda__decoder *d, const uint8_t *in, size_t len, size_t *used,
                        uint8_t *out, size_t cap, size_t *made)
{
    size_t taken;
    int rc;

    *used = 0;
    if (d->scratch_at == d->scratch_len) {
        rc = d->o.coding->run(d->coder, in, len, used, d->scratch, SCRATCH, &d->scratch_len);
        d->scratch_at = 0;
        charge_lap(d, &d->spent.inflate);
        if (rc)
            return rc;
    }
    rc = bcda__gcm_open(d->gcm, d->scratch + d->scratch_at, d->scratch_len - d->scratch_at, &taken,
                        out, cap, made);
    d->scratch_at += taken;
    charge_lap(d, &d->spent.decrypt);
    return rc;
}

static int transform_bytes(struct bcda__decoder *d, const uint8_t *in, size_t len, size_t *used,
                           uint8_t *out, size_t cap, size_t *made)
{
    int rc = 0;

    if (d->coder && d->gcm)
        return through_both(d, in, len, used, out, cap, made);
    if (d->coder) {
        rc = d->o.coding->run(d->coder, in, len, used, out, cap, made);
        charge_lap(d, &d->spent.inflate);
    } else if (d->gcm) {
        rc = bcda__gcm_open(d->gcm, in, len, used, out, cap, made);
        charge_lap(d, &d->spent.decrypt);
    } else {
        *used = *made = len < cap ? len : cap;
        memcpy(out, in, *made);
    }
    return rc;
}

/* Decodes some bytes and reads the lines in them. Sets *idle to 1 if no bytes were taken and none
 * were decoded. */
static int decode_step(struct bcda__decoder *d, const uint8_t *in, size_t len, size_t *used,
                       int *idle)
{
    struct bcda_batch *b = d->cur;
    size_t made = 0;
    int rc, read;

    *used = 0;
    *idle = 0;
    rc = make_room(d);
    if (rc || d->full)
        return rc;
    rc = transform_bytes(d, in, len, used, (uint8_t *)b->bytes + b->fill, b->cap - b->fill, &made);
    if (d->sum)
        bcda__sha256_add(d->sum, b->bytes + b->fill, made);
    bcda__batch_add_bytes(b, made);
    if (rc)
        b->written = b->cap; /* a failed stage may have written more than it says */
    d->bytes += (int64_t)made;
    *idle = made == 0 && *used == 0 && d->scratch_at == d->scratch_len;
    if (!rc && is_comparing(d))
        rc = compare_batch(d);
    if (rc == BCDA_ERR_CHANGED)
        return rc;
    read = read_lines(d); /* even after an error, because the bytes before the damage are valid */
    if (!rc)
        rc = read;
    return rc ? rc : check_long(d);
}

/* Returns the number of lines that are not blank. If the last line has no LF, it is not counted in
 * content_lines, so it is added here. */
static int64_t count_to_end(const struct bcda__decoder *d)
{
    size_t rest = d->cur->fill - d->line_at;

    if (d->checks_only)
        return d->content_lines + d->open_content;
    return d->content_lines + (!d->skipping && !is_blank(d->cur->bytes + d->line_at, rest));
}

static void describe_failure(const struct bcda__decoder *d, int code, struct bcda_error *err)
{
    const char *again = "; download it again, and if that does not help, export again";

    if (code == BCDA_ERR_LINE_CUT)
        bcda__err_set(err, code,
                      "%s, line %" PRId64
                      ": the file ends inside this line, although the file was received "
                      "completely; export again",
                      d->o.name, d->lines);
    else if (code == BCDA_ERR_LENGTH)
        bcda__err_set(err, code,
                      "%s: the manifest says %" PRId64 " bytes, and the file has %" PRId64 "%s",
                      d->o.name, d->o.expected->length, d->bytes, again);
    else if (code == BCDA_ERR_COUNT)
        bcda__err_set(err, code,
                      "%s: the manifest says %" PRId64 " resources, and the file has %" PRId64
                      " lines%s (option \"check_count\" 0 accepts that)",
                      d->o.name, d->o.expected->count, count_to_end(d), again);
    else if (code == BCDA_ERR_CHANGED)
        bcda__err_set(err, code,
                      "%s: the file differs from the one that was loaded up to line %" PRId64
                      ": remove what was loaded of it, and load it from its first line",
                      d->o.name, d->confirmed);
    else if (code == BCDA_ERR_CHECKSUM)
        bcda__err_set(err, code, "%s: the manifest has another SHA-256 than the file%s", d->o.name,
                      again);
    else
        bcda__err_set(err, code, "%s: %s", d->o.name, bcda_error_string(code));
}

static int fail_decoder(struct bcda__decoder *d, int code, struct bcda_error *err)
{
    d->code = code;
    describe_failure(d, code, err);
    bcda__err_where(err, d->o.name, d->lines + (code != BCDA_ERR_LINE_CUT),
                    d->base + (int64_t)d->line_at);
    return code;
}

int bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                        struct bcda_error *err)
{
    const uint8_t *in = data;
    size_t taken;
    int rc, idle = 0;

    *used = 0;
    if (d->code)
        return fail_decoder(d, d->code, err);
    d->lap = bcda__clock_ns();
    while (!d->full && !idle) {
        rc = decode_step(d, in, len - *used, &taken, &idle);
        in += taken;
        *used += taken;
        charge_lap(d, &d->spent.parse);
        if (rc)
            return fail_decoder(d, rc, err);
    }
    return 0;
}

/* Compares the file with the manifest. The length is checked first, because a wrong length also
 * explains a wrong count and a wrong checksum. */
static int check_expected(struct bcda__decoder *d)
{
    const struct bcda__expected *e = d->o.expected;
    uint8_t sum[32];
    int rc;

    if (!e)
        return 0;
    if (e->length >= 0 && e->length != d->bytes)
        return BCDA_ERR_LENGTH;
    if (d->counts && e->count != count_to_end(d))
        return BCDA_ERR_COUNT;
    if (!d->sum)
        return 0;
    rc = bcda__sha256_read(d->sum, sum);
    return rc ? rc : memcmp(sum, e->checksum, sizeof sum) == 0 ? 0 : BCDA_ERR_CHECKSUM;
}

static int check_end(struct bcda__decoder *d)
{
    int rc = d->coder ? d->o.coding->finish(d->coder) : 0;

    if (!rc && d->gcm)
        rc = bcda__gcm_finish(d->gcm);
    return rc ? rc : check_expected(d);
}

int bcda__decoder_end_at(struct bcda__decoder *d, int64_t at)
{
    return d->coder && !d->gcm ? d->o.coding->end_at(d->coder, at) : BCDA_ERR_TRUNCATED;
}

int bcda__decoder_finish(struct bcda__decoder *d, struct bcda_error *err)
{
    size_t used, rest;
    int rc = d->code;

    if (!rc && !d->verified) {
        rc = bcda__decoder_write(d, "", 0, &used, err); /* the decompressor may still hold output */
        if (rc)
            return rc;
        if (d->full)
            return BCDA_ERR_AGAIN;
        rc = check_end(d);
        if (!rc && is_comparing(d)) /* the file is shorter */
            rc = BCDA_ERR_CHANGED;
    }
    if (rc)
        return fail_decoder(d, rc, err);
    d->verified = 1;
    rest = d->cur->fill - d->line_at;
    if (rest && !d->skipping && !d->checks_only) {
        d->cur->bytes[d->cur->fill] = '\n'; /* in the padding: see bcda__line_read() */
        rc = read_line(d, rest, 1);
        if (rc)
            return fail_decoder(d, rc, err);
        d->line_at = d->seen = d->cur->fill;
    }
    return bcda__decoder_refused_line(d, err);
}

int bcda__decoder_is_full(const struct bcda__decoder *d)
{
    return d->full;
}

int bcda__decoder_has_batch(const struct bcda__decoder *d)
{
    return !bcda__batch_is_empty(d->cur) && !is_comparing(d);
}

int bcda__decoder_take(struct bcda__decoder *d, struct bcda_batch **out)
{
    struct bcda_batch *next = d->spare;
    size_t tail = d->cur->fill - d->line_at;
    int rc = 0;

    if (!bcda__decoder_has_batch(d))
        return BCDA_ERR_END;
    rc = mark_end(d);
    if (rc)
        return rc;
    if (!next)
        next = bcda__batch_pool_take(d->pool);
    if (!next)
        rc = new_batch(d, &next);
    if (rc)
        return rc;
    d->spare = next;
    rc = bcda__batch_reserve(next, tail + 1);
    if (rc)
        return rc;
    memcpy(next->bytes, d->cur->bytes + d->line_at, tail);
    bcda__batch_add_bytes(next, tail);
    /* A batch with invalid lines is provisional even in a verified file, because such a line may
     * still make the file fail. */
    d->cur->provisional = (!d->verified && !d->o.trusted) || d->code || d->cur->bad_count > 0;
    *out = d->cur;
    d->cur = next;
    d->spare = NULL;
    d->base += (int64_t)d->line_at;
    d->seen -= d->line_at;
    d->line_at = 0;
    d->full = 0;
    return 0;
}

/* Continues in `b`, which is empty, if the current batch has only the start of a line. The memory
 * of `b` was just read and is in the processor's cache, and the current batch, which becomes the
 * spare one, has used little of its memory. */
static int continue_in(struct bcda__decoder *d, struct bcda_batch *b)
{
    struct bcda_batch *cur = d->cur;

    if (!bcda__batch_is_empty(cur) || d->line_at || d->full || cur->fill > b->cap / 8)
        return 0;
    memcpy(b->bytes, cur->bytes, cur->fill);
    bcda__batch_add_bytes(b, cur->fill);
    bcda__batch_clear(cur);
    d->cur = b;
    d->spare = cur;
    return 1;
}

void bcda__decoder_give_back(struct bcda__decoder *d, struct bcda_batch *b)
{
    if (!b)
        return;
    if (d->spare || bcda__batch_is_shared(b) || b->cap > d->o.batch_size) {
        bcda_batch_unref(b); /* not needed, in use, or enlarged for a long line */
        return;
    }
    bcda__batch_clear(b);
    if (!continue_in(d, b))
        d->spare = b;
}

/* Stops reading lines. The checks of the whole file are still made, except the comparison with
 * `count` in the manifest. */
static void stop_reading_lines(struct bcda__decoder *d)
{
    d->checks_only = 1;
    d->counts = 0;
    if (d->cur->fill > d->line_at)
        (void)drop_tail(d);
    bcda__batch_clear(d->cur);
    d->base += (int64_t)d->line_at;
    d->line_at = d->seen = 0;
    d->full = 0;
}

int bcda__decoder_refuse_line(struct bcda__decoder *d, const struct bcda_error *err)
{
    stop_reading_lines(d);
    if (d->verified || (!d->gcm && !d->coder && !d->sum))
        return err->code;
    bcda__err_copy(&d->refused, err);
    return 0;
}

int bcda__decoder_refused_line(const struct bcda__decoder *d, struct bcda_error *err)
{
    if (d->refused.code)
        bcda__err_copy(err, &d->refused);
    return d->refused.code;
}

void bcda__decoder_take_spent(struct bcda__decoder *d, struct bcda__spent *sum)
{
    sum->inflate += d->spent.inflate;
    sum->decrypt += d->spent.decrypt;
    sum->parse += d->spent.parse;
    sum->confirmed_bad += d->spent.confirmed_bad;
    memset(&d->spent, 0, sizeof d->spent);
    sum->yajl_lines += bcda__line_reader_take_yajl_lines(d->reader);
}

int64_t bcda__decoder_bytes(const struct bcda__decoder *d)
{
    return d->bytes;
}

int64_t bcda__decoder_lines(const struct bcda__decoder *d)
{
    return d->lines;
}

int bcda__bad_line_error(const struct bcda_bad_line *bad, const char *name, struct bcda_error *err)
{
    bcda__err_set(err, bad->code, "%s, line %" PRId64 ": %s (at byte %zu of the line)", name,
                  bad->line_number, bcda_error_string(bad->code), bad->bad_at);
    bcda__err_where(err, name, bad->line_number, bad->offset);
    return bad->code;
}
