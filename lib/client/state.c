#include "client/state.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/json.h"

enum { DEPTH = 4 };

static int write_list(struct bcda__buf *out, const char *name, const struct bcda__texts *list)
{
    size_t i;
    int rc = bcda__buf_addf(out, ",\"%s\":[", name);

    for (i = 0; !rc && i < list->count; i++) {
        rc = i ? bcda__buf_adds(out, ",") : 0;
        if (!rc)
            rc = bcda__json_add_string(out, list->at[i]);
    }
    return rc ? rc : bcda__buf_adds(out, "]");
}

int bcda__state_write(struct bcda__buf *out, const char *url, const struct bcda__texts *types,
                      const struct bcda__texts *done)
{
    int rc = bcda__buf_adds(out, "{\"bcda\":1,\"url\":");

    if (!rc)
        rc = bcda__json_add_string(out, url);
    if (!rc && types)
        rc = write_list(out, "types", types);
    if (!rc)
        rc = write_list(out, "done", done);
    return rc ? rc : bcda__buf_adds(out, "}");
}

struct reading {
    struct bcda__state *state;
    int version;
    enum { NOTHING, VERSION, URL, TYPES, DONE } key;
};

static int is_key(const char *text, size_t len, const char *want)
{
    return strlen(want) == len && memcmp(text, want, len) == 0;
}

static int take_state_text(struct reading *r, int depth, const char *text, size_t len)
{
    if (memchr(text, '\0', len))
        return BCDA_ERR_INVALID;
    if (r->key == DONE && depth == 2)
        return bcda__texts_add(&r->state->done, text, len);
    if (r->key == TYPES && depth == 2)
        return bcda__texts_add(&r->state->types, text, len);
    if (r->key != URL || depth != 1 || r->state->url)
        return 0;
    r->state->url = bcda__strndup(text, len);
    return r->state->url ? 0 : BCDA_ERR_NOMEM;
}

static int state_on_event(void *ctx, enum bcda__json_event event, int depth, const char *text,
                          size_t len)
{
    struct reading *r = ctx;

    if (event == BCDA__JSON_KEY && depth == 1)
        r->key = is_key(text, len, "bcda")    ? VERSION
                 : is_key(text, len, "url")   ? URL
                 : is_key(text, len, "types") ? TYPES
                 : is_key(text, len, "done")  ? DONE
                                              : NOTHING;
    else if (event == BCDA__JSON_ARRAY && depth == 1 && r->key == TYPES)
        r->state->types_known = 1;
    else if (event == BCDA__JSON_NUMBER && depth == 1 && r->key == VERSION)
        r->version = is_key(text, len, "1");
    else if (event == BCDA__JSON_STRING)
        return take_state_text(r, depth, text, len);
    return 0;
}

int bcda__state_read(const char *text, size_t len, struct bcda__state *out)
{
    struct reading r = {0};
    int rc;

    r.state = out;
    rc = bcda__json_parse(text, len, DEPTH, state_on_event, &r);
    if (!rc && (!r.version || !out->url))
        rc = BCDA_ERR_INVALID;
    if (!rc)
        return 0;
    bcda__state_free(out);
    return rc == BCDA_ERR_NOMEM ? rc : BCDA_ERR_INVALID;
}

void bcda__state_free(struct bcda__state *state)
{
    bcda__free(state->url);
    bcda__texts_free(&state->types);
    bcda__texts_free(&state->done);
    memset(state, 0, sizeof *state);
}
