#include "codec/position.h"

#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "codec/crypto.h"

struct bcda__position {
    struct bcda__sha256 *sum;
    int64_t bytes;
    int is_comparing;
    struct bcda__mark until;
};

int bcda__position_new(struct bcda__position **out, const struct bcda__mark *until)
{
    struct bcda__position *p = bcda__calloc(1, sizeof *p);
    int rc;

    if (!p)
        return BCDA_ERR_NOMEM;
    rc = bcda__sha256_new(&p->sum);
    if (rc) {
        bcda__free(p);
        return rc;
    }
    if (until) {
        p->until = *until;
        p->is_comparing = 1;
    }
    *out = p;
    return 0;
}

void bcda__position_free(struct bcda__position *p)
{
    if (!p)
        return;
    bcda__sha256_free(p->sum);
    bcda__free(p);
}

int64_t bcda__position_bytes(const struct bcda__position *p)
{
    return p->bytes;
}

const struct bcda__mark *bcda__position_until(const struct bcda__position *p)
{
    return &p->until;
}

int bcda__position_is_comparing(const struct bcda__position *p)
{
    return p->is_comparing;
}

static void add_to_sum(struct bcda__position *p, const void *data, size_t len)
{
    bcda__sha256_add(p->sum, data, len);
    p->bytes += (int64_t)len;
}

int bcda__position_add(struct bcda__position *p, const void *data, size_t len)
{
    size_t before = len;
    struct bcda__mark here;
    int rc;

    if (p->is_comparing && p->until.bytes - p->bytes < (int64_t)len)
        before = (size_t)(p->until.bytes - p->bytes);
    add_to_sum(p, data, before);
    if (p->is_comparing && p->bytes == p->until.bytes) {
        rc = bcda__position_mark(p, p->until.line, &here);
        if (rc)
            return rc;
        if (memcmp(here.sha256, p->until.sha256, sizeof here.sha256) != 0)
            return BCDA_ERR_CHANGED;
        p->is_comparing = 0;
    }
    add_to_sum(p, (const char *)data + before, len - before);
    return 0;
}

int bcda__position_mark(struct bcda__position *p, int64_t line, struct bcda__mark *out)
{
    out->line = line;
    out->bytes = p->bytes;
    return bcda__sha256_read(p->sum, out->sha256);
}
