#include "codec/inflate_raw.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"

/* The maximum length for one call: ISA-L's lengths have 32 bits, and some are signed. */
enum { PIECE = 1 << 30 };

struct bcda__raw {
    struct inflate_state isal;
    int failed; /* ISA-L failed; the output in tmp_out_buffer is returned before the error */
};

int bcda__raw_new(struct bcda__raw **out)
{
    struct bcda__raw *r = bcda__calloc(1, sizeof *r);

    if (!r)
        return BCDA_ERR_NOMEM;
    isal_inflate_init(&r->isal);
    r->isal.crc_flag = ISAL_DEFLATE;
    *out = r;
    return 0;
}

int bcda__raw_reset(struct bcda__raw *r)
{
    isal_inflate_reset(&r->isal);
    return 0;
}

static uint32_t to_piece(size_t len)
{
    return len < PIECE ? (uint32_t)len : PIECE;
}

/* Returns output that ISA-L had decompressed before it found an error. ISA-L may decompress more
 * than fits in `out`, and discards the rest if an error follows. zlib returns the rest. This
 * function returns it too, so that a damaged file has the same lines in both builds. */
static int give_rest(struct inflate_state *s, uint8_t *out, size_t cap, size_t *made)
{
    size_t len = (size_t)(s->tmp_out_valid - s->tmp_out_processed);

    if (len > cap)
        len = cap;
    if (len)
        memcpy(out, s->tmp_out_buffer + s->tmp_out_processed, len);
    s->tmp_out_processed += (int32_t)len;
    *made += len;
    return s->tmp_out_processed < s->tmp_out_valid ? 0 : BCDA_ERR_GZIP;
}

int bcda__raw_run(struct bcda__raw *r, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                  size_t cap, size_t *made, int *ended)
{
    struct inflate_state *s = &r->isal;
    uint8_t none = 0;
    uint8_t *from = len ? (uint8_t *)(uintptr_t)in : &none;
    uint8_t *to = cap ? out : &none;

    *used = *made = 0;
    *ended = 0;
    if (!r->failed) {
        s->next_in = from;
        s->avail_in = to_piece(len);
        s->next_out = to;
        s->avail_out = to_piece(cap);
        r->failed = isal_inflate(s) != ISAL_DECOMP_OK;
        /* Do not use avail_in and avail_out: they are wrong after an invalid distance (ISA-L
         * 2.30). */
        *used = (size_t)(s->next_in - from);
        *made = (size_t)(s->next_out - to);
    }
    if (r->failed)
        return give_rest(s, to + *made, cap - *made, made);
    *ended = s->block_state == ISAL_BLOCK_FINISH;
    return 0;
}

/* ISA-L reads up to eight bytes at once, and keeps unused bits in read_in. The lowest of these bits
 * are the rest of the last byte of the stream; whole bytes follow. */
size_t bcda__raw_rest(const struct bcda__raw *r, uint8_t rest[BCDA__RAW_REST])
{
    int32_t bits = r->isal.read_in_length;
    uint64_t from = r->isal.read_in >> (bits % 8);
    size_t i;

    for (i = 0; i < (size_t)bits / 8 && i < BCDA__RAW_REST; i++)
        rest[i] = (uint8_t)(from >> (8 * i));
    return i;
}

void bcda__raw_free(struct bcda__raw *r)
{
    if (!r)
        return;
    bcda__wipe(r, sizeof *r);
    bcda__free(r);
}

uint32_t bcda__raw_crc(uint32_t crc, const uint8_t *at, size_t len)
{
    return crc32_gzip_refl(crc, at, len);
}
