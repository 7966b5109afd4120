#include "codec/inflate.h"

#include <limits.h>
#include <stddef.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"

enum { GZIP_ONLY = 15 + 16 }; /* the largest window, and no other wrapping than gzip */

enum state {
    BEFORE,  /* not a byte has come */
    MEMBER,  /* in a member */
    BETWEEN, /* a member has ended; another may follow, or padding */
    PADDING  /* only zero bytes may follow */
};

struct bcda__inflate {
    z_stream zlib;
    enum state state;
    int rc;           /* once something has failed */
    int64_t taken;    /* of the input */
    int64_t verified; /* where the last whole member ended; -1 = none has */
    int64_t made;     /* since then */
};

/* zlib's window holds patient data, so blocks know their size and are wiped when they go. */
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
    /* Zeroed, since zlib may read window bytes before they are written. */
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

int bcda__inflate_new(struct bcda__inflate **out)
{
    struct bcda__inflate *z = bcda__calloc(1, sizeof *z);
    int zrc;

    if (!z)
        return BCDA_ERR_NOMEM;
    z->zlib.zalloc = zlib_alloc;
    z->zlib.zfree = zlib_free;
    z->verified = -1;
    zrc = inflateInit2(&z->zlib, GZIP_ONLY);
    if (zrc != Z_OK) {
        bcda__free(z);
        return zrc == Z_MEM_ERROR ? BCDA_ERR_NOMEM : BCDA_ERR_LIBRARY;
    }
    *out = z;
    return 0;
}

static uInt to_uint(size_t len)
{
    return len < UINT_MAX ? (uInt)len : UINT_MAX;
}

/* One call of zlib inside a member. Nothing used and nothing made means that no more can be done.
 */
static int run_member(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                      uint8_t *out, size_t cap, size_t *made)
{
    uint8_t none = 0; /* zlib refuses NULL even where it has no bytes to touch */
    uInt in_len = to_uint(len);
    uInt out_len = to_uint(cap);
    int zrc;

    z->zlib.next_in = len ? (z_const Bytef *)(uintptr_t)in : &none;
    z->zlib.avail_in = in_len;
    z->zlib.next_out = cap ? out : &none;
    z->zlib.avail_out = out_len;
    zrc = inflate(&z->zlib, Z_NO_FLUSH);
    *used = in_len - z->zlib.avail_in;
    *made = out_len - z->zlib.avail_out;
    switch (zrc) {
    case Z_OK:
    case Z_BUF_ERROR: /* no progress was possible: no error */
        return 0;
    case Z_STREAM_END:
        z->state = BETWEEN;
        return 0;
    case Z_MEM_ERROR:
        return BCDA_ERR_NOMEM;
    default:
        return BCDA_ERR_GZIP;
    }
}

/* Sees by its first byte whether what follows a member is padding or another member. */
static int run_between(struct bcda__inflate *z, const uint8_t *in, size_t len)
{
    if (len == 0)
        return 0;
    if (*in == 0) {
        z->state = PADDING;
        return 0;
    }
    if (inflateReset(&z->zlib) != Z_OK)
        return BCDA_ERR_LIBRARY;
    z->state = MEMBER; /* if it is not the magic number, zlib says so */
    return 0;
}

static int run_padding(const uint8_t *in, size_t len, size_t *used)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (in[i] != 0)
            return BCDA_ERR_GZIP;
    *used = len;
    return 0;
}

static int run_once(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                    uint8_t *out, size_t cap, size_t *made)
{
    switch (z->state) {
    case BEFORE:
        if (len)
            z->state = MEMBER;
        return 0;
    case MEMBER:
        return run_member(z, in, len, used, out, cap, made);
    case BETWEEN:
        return run_between(z, in, len);
    case PADDING:
        return run_padding(in, len, used);
    }
    return BCDA_ERR_LIBRARY;
}

int bcda__inflate_run(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                      uint8_t *out, size_t cap, size_t *made)
{
    enum state state;
    size_t u, m;

    *used = *made = 0;
    do {
        if (z->rc)
            return z->rc;
        state = z->state;
        u = m = 0;
        z->rc = run_once(z, len > *used ? in + *used : NULL, len - *used, &u,
                         cap > *made ? out + *made : NULL, cap - *made, &m);
        *used += u;
        *made += m;
        z->taken += (int64_t)u;
        z->made += (int64_t)m;
        if (state == MEMBER && z->state == BETWEEN) {
            z->verified = z->taken;
            z->made = 0;
        }
    } while (u || m || state != z->state);
    return z->rc;
}

int bcda__inflate_finish(struct bcda__inflate *z)
{
    if (!z->rc && (z->state == BEFORE || z->state == MEMBER))
        z->rc = BCDA_ERR_GZIP_CUT;
    return z->rc;
}

int bcda__inflate_end_at(struct bcda__inflate *z, int64_t at)
{
    if (z->rc || z->verified != at || z->made)
        return BCDA_ERR_GZIP_CUT;
    z->state = BETWEEN;
    return 0;
}

void bcda__inflate_free(struct bcda__inflate *z)
{
    if (!z)
        return;
    inflateEnd(&z->zlib);
    bcda__free(z);
}
