#include "codec/coding.h"

#include <string.h>

#include "base/text.h"
#include "bcda/error.h"
#include "codec/inflate.h"

static int gzip_open(void **state)
{
    struct bcda__inflate *z = NULL;
    int rc = bcda__inflate_new(&z);

    *state = z;
    return rc;
}

static int gzip_run(void *state, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                    size_t cap, size_t *made)
{
    return bcda__inflate_run(state, in, len, used, out, cap, made);
}

static int gzip_finish(void *state)
{
    return bcda__inflate_finish(state);
}

static int gzip_end_at(void *state, int64_t at)
{
    return bcda__inflate_end_at(state, at);
}

static void gzip_close(void *state)
{
    bcda__inflate_free(state);
}

const struct bcda__coding bcda__coding_gzip = {
    .name = "gzip",
    .old_name = "x-gzip",
    .first_byte = {0x1f, 0x8b},
    .open = gzip_open,
    .run = gzip_run,
    .finish = gzip_finish,
    .end_at = gzip_end_at,
    .close = gzip_close,
};

static const struct bcda__coding *const codings[] = {&bcda__coding_gzip};

static int is_named(const struct bcda__coding *c, const char *name)
{
    size_t len = strlen(name);

    return bcda__text_equal_nocase(name, len, c->name) ||
           (c->old_name && bcda__text_equal_nocase(name, len, c->old_name));
}

int bcda__coding_find(const struct bcda__coding **out, const char *content_encoding)
{
    size_t i;

    *out = NULL;
    if (!content_encoding[0] ||
        bcda__text_equal_nocase(content_encoding, strlen(content_encoding), "identity"))
        return 0;
    for (i = 0; i < sizeof codings / sizeof codings[0]; i++)
        if (is_named(codings[i], content_encoding))
            *out = codings[i];
    return *out ? 0 : BCDA_ERR_HTTP;
}

const struct bcda__coding *bcda__coding_guess(const uint8_t *data, size_t len)
{
    size_t i;

    for (i = 0; len >= 2 && i < sizeof codings / sizeof codings[0]; i++)
        if (memcmp(codings[i]->first_byte, data, 2) == 0)
            return codings[i];
    return NULL;
}
