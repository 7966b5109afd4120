#include "protocol/smart.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"
#include "codec/document.h"
#include "protocol/scope.h"

void bcda__smart_free(struct bcda__smart *s)
{
    bcda__free(s->token_url);
    bcda__texts_free(&s->methods);
    bcda__texts_free(&s->algorithms);
    bcda__texts_free(&s->scopes);
    memset(s, 0, sizeof *s);
}

/* ---- both documents ---- */

/* Copies a string of the document. One that contains a NUL becomes "", which is no URL. */
static int copy_string(char **out, const char *text, size_t len)
{
    *out = bcda__strndup(text, memchr(text, '\0', len) ? 0 : len);
    return *out ? 0 : BCDA_ERR_NOMEM;
}

static int is_absolute_url(const char *text)
{
    struct bcda__url url;

    return bcda__url_parse(text, &url) == 0;
}

/* `problem` is a text without any value of the document. */
static int describe_smart_error(struct bcda_error *err, int rc, const char *document,
                                const char *problem)
{
    switch (rc) {
    case BCDA_ERR_NOMEM:
        return bcda__err_nomem(err);
    case BCDA_ERR_DISCOVERY:
        return bcda__err_set(err, rc, "the server's %s cannot be used: %s", document, problem);
    case BCDA_ERR_BODY_TOO_LARGE:
        return bcda__err_set(err, rc, "a text in the server's %s is too long", document);
    default:
        return bcda__err_set(err, rc, "the server's %s is not one JSON document", document);
    }
}

/* ---- the SMART configuration ---- */

enum configuration_value { TOKEN_ENDPOINT, METHODS, ALGORITHMS, SCOPES, CAPABILITIES };

static const struct bcda__document_path configuration_paths[] = {
    {"token_endpoint", TOKEN_ENDPOINT},
    {"token_endpoint_auth_methods_supported[]", METHODS},
    {"token_endpoint_auth_signing_alg_values_supported[]", ALGORITHMS},
    {"scopes_supported[]", SCOPES},
    {"capabilities[]", CAPABILITIES},
};

struct configuration_reader {
    struct bcda__smart smart;
    int endpoints;
    const char *problem;
};

static int refuse_configuration(struct configuration_reader *r, const char *problem)
{
    r->problem = problem;
    return BCDA_ERR_DISCOVERY;
}

static int on_token_endpoint(struct configuration_reader *r, enum bcda__json_event event,
                             const char *text, size_t len)
{
    if (event == BCDA__JSON_KEY) /* another program might use the second one */
        return r->endpoints++ ? refuse_configuration(r, "token_endpoint is there twice") : 0;
    if (event != BCDA__JSON_STRING)
        return refuse_configuration(r, "token_endpoint is not a string");
    if (copy_string(&r->smart.token_url, text, len))
        return BCDA_ERR_NOMEM;
    if (!is_absolute_url(r->smart.token_url))
        return refuse_configuration(r, "token_endpoint is not an absolute http or https URL");
    return 0;
}

static int add_announced(struct bcda__texts *list, const char *text, size_t len)
{
    if (list->count == BCDA__SMART_TEXTS_MAX || len == 0 || len > BCDA__SMART_TEXT_MAX ||
        memchr(text, '\0', len))
        return 0;
    return bcda__texts_add(list, text, len);
}

static int configuration_on_value(void *ctx, int what, enum bcda__json_event event,
                                  const char *text, size_t len)
{
    struct configuration_reader *r = ctx;

    if (what == TOKEN_ENDPOINT)
        return on_token_endpoint(r, event, text, len);
    if (event != BCDA__JSON_STRING)
        return 0;
    switch ((enum configuration_value)what) {
    case METHODS:
        return add_announced(&r->smart.methods, text, len);
    case ALGORITHMS:
        return add_announced(&r->smart.algorithms, text, len);
    case SCOPES:
        r->smart.has_v2_scopes |= bcda__scope_is_v2(text, len);
        return add_announced(&r->smart.scopes, text, len);
    case CAPABILITIES:
        r->smart.has_v2_scopes |= bcda__document_is(text, len, "permission-v2");
        return 0;
    case TOKEN_ENDPOINT:
        break;
    }
    return 0;
}

int bcda__smart_parse_configuration(struct bcda__smart *out, const char *body, size_t len,
                                    struct bcda_error *err)
{
    struct configuration_reader r = {0};
    int rc = bcda__document_parse(body, len, configuration_paths,
                                  sizeof configuration_paths / sizeof configuration_paths[0],
                                  configuration_on_value, &r);

    if (!rc && !r.smart.token_url)
        rc = refuse_configuration(&r, "token_endpoint is not there");
    if (rc) {
        bcda__smart_free(&r.smart);
        return describe_smart_error(err, rc, "SMART configuration", r.problem);
    }
    bcda__smart_free(out);
    *out = r.smart;
    return 0;
}

/* ---- the CapabilityStatement ---- */

#define OAUTH_URIS "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"

enum capabilities_value { RESOURCE_TYPE, OUTER, OUTER_URL, INNER, INNER_URL, INNER_VALUE };

static const struct bcda__document_path capabilities_paths[] = {
    {"resourceType", RESOURCE_TYPE},
    {"rest[].security.extension[]", OUTER},
    {"rest[].security.extension[].url", OUTER_URL},
    {"rest[].security.extension[].extension[]", INNER},
    {"rest[].security.extension[].extension[].url", INNER_URL},
    {"rest[].security.extension[].extension[].valueUri", INNER_VALUE},
};

/* An extension whose members may be in any order, so it is judged when it ends. */
struct extension {
    int urls, values; /* how many members of this name */
    int is_wanted;    /* its url is the one that is looked for */
    int is_ambiguous; /* it has several values that differ */
    char *value;      /* NULL = none */
};

struct capabilities_reader {
    int resource_types;
    int is_capabilities;
    struct extension outer; /* in rest[].security: oauth-uris */
    struct extension inner; /* in that one: token */
    char *token_url;
    const char *problem;
};

static int refuse_capabilities(struct capabilities_reader *r, const char *problem)
{
    r->problem = problem;
    return BCDA_ERR_DISCOVERY;
}

static void extension_clear(struct extension *e)
{
    bcda__free(e->value);
    memset(e, 0, sizeof *e);
}

/* Moves *from to *slot. Returns 1 if another value is already there. */
static int keep_one_value(char **slot, char **from)
{
    if (!*from)
        return 0;
    if (*slot)
        return strcmp(*slot, *from) != 0;
    *slot = *from;
    *from = NULL;
    return 0;
}

static void inner_has_ended(struct capabilities_reader *r)
{
    if (r->inner.is_wanted && keep_one_value(&r->outer.value, &r->inner.value))
        r->outer.is_ambiguous = 1;
    extension_clear(&r->inner);
}

static int outer_has_ended(struct capabilities_reader *r)
{
    if (r->outer.is_wanted &&
        (keep_one_value(&r->token_url, &r->outer.value) || r->outer.is_ambiguous))
        return refuse_capabilities(r, "it names two token URLs");
    extension_clear(&r->outer);
    return 0;
}

static int extension_on_key(struct capabilities_reader *r, int what)
{
    int *count = what == OUTER_URL   ? &r->outer.urls
                 : what == INNER_URL ? &r->inner.urls
                                     : &r->inner.values;

    return (*count)++ ? refuse_capabilities(r, "an extension has a member twice") : 0;
}

static int extension_on_string(struct capabilities_reader *r, int what, const char *text,
                               size_t len)
{
    if (what == OUTER_URL)
        r->outer.is_wanted = bcda__document_is(text, len, OAUTH_URIS);
    else if (what == INNER_URL)
        r->inner.is_wanted = bcda__document_is(text, len, "token");
    else if (what == INNER_VALUE)
        return copy_string(&r->inner.value, text, len);
    return 0;
}

static void note_resource_type(struct capabilities_reader *r, enum bcda__json_event event,
                               const char *text, size_t len)
{
    if (event == BCDA__JSON_KEY)
        r->resource_types++;
    r->is_capabilities = r->resource_types == 1 && event == BCDA__JSON_STRING &&
                         bcda__document_is(text, len, "CapabilityStatement");
}

static int capabilities_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                                 size_t len)
{
    struct capabilities_reader *r = ctx;

    if (what == RESOURCE_TYPE) {
        note_resource_type(r, event, text, len);
        return 0;
    }
    if (what == INNER && event == BCDA__JSON_OBJECT_END)
        inner_has_ended(r);
    if (what == OUTER && event == BCDA__JSON_OBJECT_END)
        return outer_has_ended(r);
    if (what == OUTER || what == INNER)
        return 0;
    if (event == BCDA__JSON_KEY)
        return extension_on_key(r, what);
    return event == BCDA__JSON_STRING ? extension_on_string(r, what, text, len) : 0;
}

static int judge_capabilities(struct capabilities_reader *r)
{
    if (!r->is_capabilities)
        return refuse_capabilities(r, "it is another document");
    if (!r->token_url)
        return refuse_capabilities(r, "it names no token URL");
    if (!is_absolute_url(r->token_url))
        return refuse_capabilities(r, "its token URL is not an absolute http or https URL");
    return 0;
}

int bcda__smart_parse_capabilities(struct bcda__smart *out, const char *body, size_t len,
                                   struct bcda_error *err)
{
    struct capabilities_reader r = {0};
    int rc = bcda__document_parse(body, len, capabilities_paths,
                                  sizeof capabilities_paths / sizeof capabilities_paths[0],
                                  capabilities_on_value, &r);

    if (!rc)
        rc = judge_capabilities(&r);
    if (!rc) {
        bcda__smart_free(out);
        out->token_url = r.token_url;
        r.token_url = NULL;
    }
    bcda__free(r.token_url);
    extension_clear(&r.outer);
    extension_clear(&r.inner);
    return rc ? describe_smart_error(err, rc, "CapabilityStatement", r.problem) : 0;
}

/* ---- what the client makes of it ---- */

/* 1 if the list proves that the server does not support `name`. */
static int excludes(const struct bcda__texts *list, const char *name)
{
    return list->count && list->count < BCDA__SMART_TEXTS_MAX && !bcda__texts_has(list, name);
}

static void add_printable(char *to, size_t size, const char *text)
{
    char shown[48];
    char *p;

    bcda__text_show(shown, sizeof shown, text);
    for (p = shown; *p; p++)
        if (*p < 0x20 || *p > 0x7E)
            *p = '?';
    bcda__text_append(to, size, shown);
}

/* Adds the first names of a list. */
static void add_names(char *to, size_t size, const struct bcda__texts *list)
{
    const size_t most = 8;
    size_t i;

    for (i = 0; i < list->count && i < most; i++) {
        bcda__text_append(to, size, i ? ", " : "");
        add_printable(to, size, list->at[i]);
    }
    if (i < list->count)
        bcda__text_append(to, size, ", ...");
}

void bcda__smart_describe_mismatch(const struct bcda__smart *s, const char *method,
                                   const char *algorithm, char *out, size_t size)
{
    char whole[640] = /* large enough for a name and a list */
        "the server announces ";

    out[0] = '\0';
    if (excludes(&s->methods, method)) {
        add_names(whole, sizeof whole, &s->methods);
    } else if (algorithm && excludes(&s->algorithms, algorithm)) {
        if (s->methods.count) {
            add_printable(whole, sizeof whole, method);
            bcda__text_append(whole, sizeof whole, " with ");
        }
        add_names(whole, sizeof whole, &s->algorithms);
    } else {
        return;
    }
    bcda__text_show(out, size, whole);
}

const char *bcda__smart_default_scope(const struct bcda__smart *s)
{
    return s->has_v2_scopes ? "system/*.rs" : "system/*.read";
}
