#include "codec/inflate_raw.h"

#include <limits.h>
#include <stddef.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"

enum { RAW = -15 }; /* for inflateInit2(): the largest window, and no header and trailer */

struct bcda__raw {
    z_stream zlib;
};

/* The memory that zlib allocates may contain patient data. Each block stores its size, so that it
 * can be wiped before it is freed. */
union block_head {
    size_t size;
    max_align_t align;
};

static voidpf zlib_alloc(voidpf ctx, uInt count, uInt size)
{
    union block_head *head;
    size_t bytes = (size_t)count * size;

    (void)ctx;
    if (size && (bytes / size != count || bytes > SIZE_MAX - sizeof *head))
        return Z_NULL;
    /* Zeroed, because zlib may read bytes of the window before it has written them. */
    head = bcda__calloc(1, sizeof *head + bytes);
    if (!head)
        return Z_NULL;
    head->size = bytes;
    return head + 1;
}

static void zlib_free(voidpf ctx, voidpf at)
{
    union block_head *head = (union block_head *)at - 1;

    (void)ctx;
    bcda__wipe(at, head->size);
    bcda__free(head);
}

int bcda__raw_new(struct bcda__raw **out)
{
    struct bcda__raw *r = bcda__calloc(1, sizeof *r);
    int zrc;

    if (!r)
        return BCDA_ERR_NOMEM;
    r->zlib.zalloc = zlib_alloc;
    r->zlib.zfree = zlib_free;
    zrc = inflateInit2(&r->zlib, RAW);
    if (zrc != Z_OK) {
        bcda__free(r);
        return zrc == Z_MEM_ERROR ? BCDA_ERR_NOMEM : BCDA_ERR_LIBRARY;
    }
    *out = r;
    return 0;
}

int bcda__raw_reset(struct bcda__raw *r)
{
    return inflateReset(&r->zlib) == Z_OK ? 0 : BCDA_ERR_LIBRARY;
}

static uInt to_uint(size_t len)
{
    return len < UINT_MAX ? (uInt)len : UINT_MAX;
}

int bcda__raw_run(struct bcda__raw *r, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                  size_t cap, size_t *made, int *ended)
{
    uint8_t none = 0; /* zlib does not accept NULL, even for a length of 0 */
    uInt in_len = to_uint(len);
    uInt out_len = to_uint(cap);
    int zrc;

    r->zlib.next_in = len ? (z_const Bytef *)(uintptr_t)in : &none;
    r->zlib.avail_in = in_len;
    r->zlib.next_out = cap ? out : &none;
    r->zlib.avail_out = out_len;
    zrc = inflate(&r->zlib, Z_NO_FLUSH);
    *used = in_len - r->zlib.avail_in;
    *made = out_len - r->zlib.avail_out;
    *ended = zrc == Z_STREAM_END;
    switch (zrc) {
    case Z_OK:
    case Z_BUF_ERROR: /* no progress was possible; not an error */
    case Z_STREAM_END:
        return 0;
    case Z_MEM_ERROR:
        return BCDA_ERR_NOMEM;
    default:
        return BCDA_ERR_GZIP;
    }
}

size_t bcda__raw_rest(const struct bcda__raw *r, uint8_t rest[BCDA__RAW_REST])
{
    (void)r;
    (void)rest;
    return 0; /* zlib takes no bytes beyond the end of the stream */
}

void bcda__raw_free(struct bcda__raw *r)
{
    if (!r)
        return;
    inflateEnd(&r->zlib);
    bcda__free(r);
}

uint32_t bcda__raw_crc(uint32_t crc, const uint8_t *at, size_t len)
{
    return (uint32_t)crc32_z(crc, at, len);
}
