#include "codec/inflate.h"

#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "codec/gzip.h"
#include "codec/inflate_raw.h"

enum state {
    BEFORE, /* no byte was received yet */
    HEADER,
    BODY,
    TRAILER,
    BETWEEN, /* a member is complete; another member or padding may follow */
    PADDING  /* only zero bytes may follow */
};

struct bcda__inflate {
    struct bcda__raw *raw;
    enum state state;
    /* The state of the current member. `crc` and `size` are compared with its trailer. */
    struct bcda__gzip_head head;
    uint32_t crc;
    uint32_t size;
    uint8_t trailer[BCDA__GZIP_TRAILER];
    size_t trailer_len;
    int rc;           /* the first error; later calls return it */
    int64_t taken;    /* bytes of input so far */
    int64_t verified; /* offset in the input of the end of the last complete member; -1 = none */
    int64_t made;     /* bytes of output since the end of the last complete member */
};

int bcda__inflate_new(struct bcda__inflate **out)
{
    struct bcda__inflate *z = bcda__calloc(1, sizeof *z);
    int rc;

    if (!z)
        return BCDA_ERR_NOMEM;
    z->verified = -1;
    rc = bcda__raw_new(&z->raw);
    if (rc) {
        bcda__free(z);
        return rc;
    }
    *out = z;
    return 0;
}

static int run_header(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used)
{
    int whole = 0;
    int rc = bcda__gzip_head_run(&z->head, in, len, used, &whole);

    if (whole)
        z->state = BODY;
    return rc;
}

static int run_body(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used,
                    uint8_t *out, size_t cap, size_t *made)
{
    int ended = 0;
    int rc = bcda__raw_run(z->raw, in, len, used, out, cap, made, &ended);

    if (*made)
        z->crc = bcda__raw_crc(z->crc, out, *made);
    z->size += (uint32_t)*made; /* modulo 2^32, as in the trailer */
    if (rc || !ended)
        return rc;
    z->trailer_len = bcda__raw_rest(z->raw, z->trailer);
    z->state = TRAILER;
    return 0;
}

static int run_trailer(struct bcda__inflate *z, const uint8_t *in, size_t len, size_t *used)
{
    size_t missing = sizeof z->trailer - z->trailer_len;
    size_t n = len < missing ? len : missing;

    if (n)
        /* NOLINTNEXTLINE(clang-analyzer-core.*): `in` is NULL only if len is 0. */
        memcpy(z->trailer + z->trailer_len, in, n);
    z->trailer_len += n;
    *used = n;
    if (n == missing)
        z->state = BETWEEN;
    return bcda__gzip_check(z->trailer, z->trailer_len, z->crc, z->size);
}

/* Decides by the first byte after a member whether padding or another member follows. */
static int run_between(struct bcda__inflate *z, const uint8_t *in, size_t len)
{
    if (len == 0)
        return 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.*): `in` is NULL only if len is 0. */
    if (*in == 0) {
        z->state = PADDING;
        return 0;
    }
    memset(&z->head, 0, sizeof z->head);
    z->crc = z->size = 0;
    z->state = HEADER; /* run_header() refuses anything but a gzip header */
    return bcda__raw_reset(z->raw);
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
            z->state = HEADER;
        return 0;
    case HEADER:
        return run_header(z, in, len, used);
    case BODY:
        return run_body(z, in, len, used, out, cap, made);
    case TRAILER:
        return run_trailer(z, in, len, used);
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
        if (state == TRAILER && z->state == BETWEEN && !z->rc) {
            z->verified = z->taken;
            z->made = 0;
        }
    } while (u || m || state != z->state);
    return z->rc;
}

int bcda__inflate_finish(struct bcda__inflate *z)
{
    if (!z->rc && z->state < BETWEEN)
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
    bcda__raw_free(z->raw);
    bcda__free(z);
}
