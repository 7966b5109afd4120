#include "codec/deletion.h"

#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "codec/batch.h"
#include "codec/document.h"

enum deletion_value { RESOURCE_TYPE, ENTRY, METHOD, URL };

static const struct bcda__document_path deletion_paths[] = {
    {"resourceType", RESOURCE_TYPE},
    {"entry[]", ENTRY},
    {"entry[].request.method", METHOD},
    {"entry[].request.url", URL},
};

struct deletion_reader {
    bcda__deletion_cb each; /* NULL = nothing is reported */
    void *ctx;
    int is_bundle;
    /* Of the current entry: */
    int is_delete;
    struct bcda__deletion deletion; /* `type` is "" if the URL is missing or has another form */
};

static int is_type_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int is_id_character(char c)
{
    return is_type_character(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* Copies the characters at the end of `text` for which `test` is true, if there are 1 to 64 of
 * them. Returns their number, or 0. */
static size_t take_last_part(char *to, const char *text, size_t len, int (*test)(char))
{
    size_t n = 0;

    while (n < len && test(text[len - 1 - n]))
        n++;
    if (n >= BCDA__DELETION_TEXT)
        return 0;
    memcpy(to, text + len - n, n);
    to[n] = '\0';
    return n;
}

/* Splits [base/]Type/id. */
static void read_url(struct bcda__deletion *d, const char *url, size_t len)
{
    size_t id = take_last_part(d->id, url, len, is_id_character), type;

    d->type[0] = '\0';
    if (!id || id == len || url[len - id - 1] != '/')
        return;
    len -= id + 1;
    type = take_last_part(d->type, url, len, is_type_character);
    if (!type || (type < len && url[len - type - 1] != '/') || d->type[0] < 'A' || d->type[0] > 'Z')
        d->type[0] = '\0';
}

static int end_deletion(const struct deletion_reader *r)
{
    if (!r->is_delete || !r->deletion.type[0])
        return BCDA_ERR_LINE_TYPE;
    return r->each ? r->each(r->ctx, &r->deletion) : 0;
}

static int on_deletion_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                             size_t len)
{
    struct deletion_reader *r = ctx;

    if (what == ENTRY && event == BCDA__JSON_OBJECT) {
        r->is_delete = 0;
        r->deletion.type[0] = '\0';
    } else if (what == ENTRY) {
        return event == BCDA__JSON_OBJECT_END ? end_deletion(r) : BCDA_ERR_LINE_TYPE;
    }
    if (event != BCDA__JSON_STRING)
        return 0;
    if (what == RESOURCE_TYPE)
        r->is_bundle = bcda__document_is(text, len, "Bundle");
    else if (what == METHOD)
        r->is_delete = bcda__document_is(text, len, "DELETE");
    else if (what == URL)
        read_url(&r->deletion, text, len);
    return 0;
}

int bcda__deletion_each(const char *json, size_t len, bcda__deletion_cb each, void *ctx)
{
    struct deletion_reader r = {.each = each, .ctx = ctx};
    int rc = bcda__document_parse(json, len, deletion_paths,
                                  sizeof deletion_paths / sizeof deletion_paths[0],
                                  on_deletion_value, &r);

    if (rc == BCDA_ERR_NOT_JSON || rc == BCDA_ERR_BODY_TOO_LARGE || (!rc && !r.is_bundle))
        return BCDA_ERR_LINE_TYPE;
    return rc;
}
