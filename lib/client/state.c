#include "client/state.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/json.h"

enum { DEPTH = 4 };

int bcda__state_write(struct bcda__buf *out, const char *url, const struct bcda__texts *done)
{
    size_t i;
    int rc = bcda__buf_adds(out, "{\"bcda\":1,\"url\":");

    if (!rc)
        rc = bcda__json_add_string(out, url);
    if (!rc)
        rc = bcda__buf_adds(out, ",\"done\":[");
    for (i = 0; !rc && i < done->count; i++) {
        rc = i ? bcda__buf_adds(out, ",") : 0;
        if (!rc)
            rc = bcda__json_add_string(out, done->at[i]);
    }
    return rc ? rc : bcda__buf_adds(out, "]}");
}

struct reading {
    char *url;
    struct bcda__texts *done;
    int version;
    enum { NOTHING, VERSION, URL, DONE } key;
};

static int is_key(const char *text, size_t len, const char *want)
{
    return strlen(want) == len && memcmp(text, want, len) == 0;
}

static int take_text(struct reading *r, int depth, const char *text, size_t len)
{
    if (memchr(text, '\0', len))
        return BCDA_ERR_INVALID;
    if (r->key == DONE && depth == 2)
        return bcda__texts_add(r->done, text, len);
    if (r->key != URL || depth != 1 || r->url)
        return 0;
    r->url = bcda__strndup(text, len);
    return r->url ? 0 : BCDA_ERR_NOMEM;
}

static int on_event(void *ctx, enum bcda__json_event event, int depth, const char *text, size_t len)
{
    struct reading *r = ctx;

    if (event == BCDA__JSON_KEY && depth == 1)
        r->key = is_key(text, len, "bcda")   ? VERSION
                 : is_key(text, len, "url")  ? URL
                 : is_key(text, len, "done") ? DONE
                                             : NOTHING;
    else if (event == BCDA__JSON_NUMBER && depth == 1 && r->key == VERSION)
        r->version = is_key(text, len, "1");
    else if (event == BCDA__JSON_STRING)
        return take_text(r, depth, text, len);
    return 0;
}

int bcda__state_read(const char *text, size_t len, char **url, struct bcda__texts *done)
{
    struct reading r = {0};
    int rc;

    r.done = done;
    rc = bcda__json_parse(text, len, DEPTH, on_event, &r);
    if (!rc && (!r.version || !r.url))
        rc = BCDA_ERR_INVALID;
    if (rc) {
        bcda__free(r.url);
        bcda__texts_free(done);
        return rc == BCDA_ERR_NOMEM ? rc : BCDA_ERR_INVALID;
    }
    *url = r.url;
    return 0;
}
