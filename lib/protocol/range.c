#include "protocol/range.h"

#include <string.h>

#include "base/text.h"

/* Reads the number at *at, and moves *at past it. */
static int read_number(const char **at, int64_t *out)
{
    const char *from = *at;

    while (**at >= '0' && **at <= '9')
        ++*at;
    return bcda__text_to_int64(from, (size_t)(*at - from), out);
}

int bcda__content_range(const char *value, int64_t *first, int64_t *last, int64_t *total)
{
    const char *p = value;

    if (!bcda__text_starts_nocase(p, "bytes "))
        return -1;
    p += 6;
    if (read_number(&p, first) || *p++ != '-' || read_number(&p, last) || *p++ != '/')
        return -1;
    *total = -1;
    if (strcmp(p, "*") != 0 && (read_number(&p, total) || *p))
        return -1;
    return *first <= *last && (*total < 0 || *last < *total) ? 0 : -1;
}

int64_t bcda__unsatisfied_range(const char *value)
{
    const char *p = value;
    int64_t length;

    if (!bcda__text_starts_nocase(p, "bytes */"))
        return -1;
    p += 8;
    return read_number(&p, &length) || *p ? -1 : length;
}

void bcda__tail_add(struct bcda__tail *t, const uint8_t *data, size_t len)
{
    size_t keep;

    if (len >= BCDA__OVERLAP) {
        memcpy(t->at, data + len - BCDA__OVERLAP, BCDA__OVERLAP);
        t->len = BCDA__OVERLAP;
        return;
    }
    keep = t->len + len > BCDA__OVERLAP ? BCDA__OVERLAP - len : t->len;
    memmove(t->at, t->at + (t->len - keep), keep);
    memcpy(t->at + keep, data, len);
    t->len = keep + len;
}
