#include "codec/gzip.h"

#include "bcda/error.h"
#include "codec/inflate_raw.h"

enum { DEFLATE = 8 };

enum { HAS_SUM = 0x02, HAS_EXTRA = 0x04, HAS_NAME = 0x08, HAS_COMMENT = 0x10, UNKNOWN = 0xe0 };

enum { FIXED, EXTRA_LENGTH, EXTRA, NAME, COMMENT, SUM, END };

/* 1 if the header has the field that this step reads. */
static int has_step(const struct bcda__gzip_head *h, int step)
{
    switch (step) {
    case EXTRA_LENGTH:
        return h->flags & HAS_EXTRA;
    case EXTRA:
        return h->extra > 0;
    case NAME:
        return h->flags & HAS_NAME;
    case COMMENT:
        return h->flags & HAS_COMMENT;
    case SUM:
        return h->flags & HAS_SUM;
    default:
        return 1;
    }
}

/* Checks the magic number and the header fields CM and FLG. The fields MTIME, XFL and OS are
 * ignored. As in zlib, the two bytes of the magic number are checked together, and so are CM and
 * FLG. So a file that ends between them counts as truncated, not as damaged. */
static int take_fixed(struct bcda__gzip_head *h, uint8_t c)
{
    uint8_t before = h->last;

    h->last = c;
    if (h->count == 2)
        return before == 0x1f && c == 0x8b ? 0 : BCDA_ERR_GZIP;
    if (h->count != 4)
        return 0;
    h->flags = c;
    return before == DEFLATE && !(c & UNKNOWN) ? 0 : BCDA_ERR_GZIP;
}

/* Takes one byte of the header. Sets *over to 1 if this byte ends the current step of the
 * parser. */
static int take_head_byte(struct bcda__gzip_head *h, uint8_t c, int *over)
{
    h->count++;
    if (h->step != SUM)
        h->crc = bcda__raw_crc(h->crc, &c, 1);
    switch (h->step) {
    case FIXED:
        *over = h->count == 10;
        return take_fixed(h, c);
    case EXTRA_LENGTH:
        h->extra |= (size_t)c << (h->count == 1 ? 0 : 8);
        *over = h->count == 2;
        return 0;
    case EXTRA:
        *over = h->count == h->extra;
        return 0;
    case NAME:
    case COMMENT:
        *over = c == 0;
        return 0;
    default: /* SUM */
        h->sum |= (uint32_t)c << (h->count == 1 ? 0 : 8);
        *over = h->count == 2;
        return *over && h->sum != (h->crc & 0xffff) ? BCDA_ERR_GZIP : 0;
    }
}

int bcda__gzip_head_run(struct bcda__gzip_head *h, const uint8_t *in, size_t len, size_t *used,
                        int *whole)
{
    size_t i;

    for (i = 0; i < len && h->step != END; i++) {
        int over = 0;
        int rc = take_head_byte(h, in[i], &over);

        if (rc)
            return rc;
        if (!over)
            continue;
        h->count = 0;
        do
            h->step++;
        while (!has_step(h, h->step));
    }
    *used = i;
    *whole = h->step == END;
    return 0;
}

static uint32_t little_endian(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int bcda__gzip_check(const uint8_t trailer[BCDA__GZIP_TRAILER], size_t len, uint32_t crc,
                     uint32_t size)
{
    if (len >= 4 && little_endian(trailer) != crc)
        return BCDA_ERR_GZIP;
    return len == BCDA__GZIP_TRAILER && little_endian(trailer + 4) != size ? BCDA_ERR_GZIP : 0;
}
