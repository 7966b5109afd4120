#include "client/state.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/document.h"

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

enum state_value { VERSION, URL, TYPES, TYPE, DONE };

static const struct bcda__document_path state_paths[] = {
    {"bcda", VERSION}, {"url", URL}, {"types", TYPES}, {"types[]", TYPE}, {"done[]", DONE},
};

struct reading {
    struct bcda__state *state;
    int version;
};

static int take_state_text(struct bcda__state *state, enum state_value what, const char *text,
                           size_t len)
{
    if (memchr(text, '\0', len))
        return BCDA_ERR_INVALID;
    if (what == DONE)
        return bcda__texts_add(&state->done, text, len);
    if (what == TYPE)
        return bcda__texts_add(&state->types, text, len);
    if (what != URL || state->url)
        return 0;
    state->url = bcda__strndup(text, len);
    return state->url ? 0 : BCDA_ERR_NOMEM;
}

static int state_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                          size_t len)
{
    struct reading *r = ctx;

    if (event == BCDA__JSON_STRING)
        return take_state_text(r->state, (enum state_value)what, text, len);
    if (event == BCDA__JSON_ARRAY && what == TYPES)
        r->state->types_known = 1;
    else if (event == BCDA__JSON_NUMBER && what == VERSION)
        r->version = bcda__document_is(text, len, "1");
    return 0;
}

int bcda__state_read(const char *text, size_t len, struct bcda__state *out)
{
    struct reading r = {0};
    int rc;

    r.state = out;
    rc = bcda__document_parse(text, len, state_paths, sizeof state_paths / sizeof state_paths[0],
                              state_on_value, &r);
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
